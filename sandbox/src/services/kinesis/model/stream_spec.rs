//! What a caller chooses about a stream. Data only.

use std::collections::BTreeMap;

/// What decides the number of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The traffic, and warm throughput.
    OnDemand,
    /// The caller.
    Provisioned,
}

impl Mode {
    /// The value in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnDemand => "ON_DEMAND",
            Self::Provisioned => "PROVISIONED",
        }
    }
}

/// How records are distributed over the shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// By the hash of the partition key.
    UserPartitionKey,
    /// Evenly, regardless of the key.
    Auto,
}

impl Distribution {
    /// The value in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserPartitionKey => "USER_PARTITION_KEY",
            Self::Auto => "AUTO",
        }
    }
}

/// The checked request of `CreateStream`.
#[derive(Clone, Debug)]
pub struct StreamSpec {
    /// The name.
    pub name: String,
    /// The capacity mode.
    pub mode: Mode,
    /// Shards of a provisioned stream.
    pub shards: u32,
    /// Warm throughput in MiB/s; 0 for none.
    pub warm_mib: u32,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// The largest record, in KiB.
    pub max_record_kib: u32,
    /// How records are distributed.
    pub distribution: Distribution,
}

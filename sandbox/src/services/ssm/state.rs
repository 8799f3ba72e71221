//! What exists in Parameter Store: parameters by region and name, with their versions. Nothing
//! changes with time alone. No I/O.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use crate::parameters::Tags;

/// "Parameter Store retains up to 100 versions" (PutParameter reference,
/// ParameterMaxVersionLimitExceeded).
const VERSIONS_KEPT: usize = 100;

/// One region's parameters, by name.
pub type ParameterStore = BTreeMap<String, Parameter>;

/// One version of a parameter.
#[derive(Clone, Debug)]
pub struct Version {
    pub number: i64,
    pub value: String,
    pub kind: String,
    pub modified_at: Timestamp,
}

/// A parameter.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Oldest first; at least one.
    pub versions: VecDeque<Version>,
    pub tier: String,
    pub description: Option<String>,
    pub data_type: String,
    pub tags: Tags,
}

impl Parameter {
    /// A parameter that gets its first version next.
    pub fn new(tier: &str, tags: Tags) -> Self {
        Self {
            versions: VecDeque::new(),
            tier: tier.to_owned(),
            description: None,
            data_type: "text".to_owned(),
            tags,
        }
    }

    /// The current version.
    pub fn latest(&self) -> Option<&Version> {
        self.versions.back()
    }

    /// Adds a version and drops the oldest one beyond the limit.
    pub fn add(&mut self, version: Version) {
        self.versions.push_back(version);
        if self.versions.len() > VERSIONS_KEPT {
            self.versions.pop_front();
        }
    }
}

//! The tasks that publish: their number, their records, their hardware.

use std::fmt;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The tasks that publish.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GeneratorSpec {
    /// The generator's container image. Default: the operator's setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// The records per second planned for one task. A phase gets as many tasks as its highest rate
    /// divided by this, rounded up.
    #[serde(default = "default_rate_per_task")]
    #[schemars(range(min = 1, max = 50_000))]
    pub rate_per_task: i32,
    /// The maximum number of tasks for a phase. A plan that needs more is rejected.
    #[serde(default = "default_max_tasks")]
    #[schemars(range(min = 1, max = 100))]
    pub max_tasks: i32,
    /// What the records look like.
    #[serde(default)]
    pub records: RecordsSpec,
    /// The tasks' hardware and network.
    #[serde(default)]
    pub fargate: FargateSpec,
}

impl Default for GeneratorSpec {
    fn default() -> Self {
        Self {
            image: None,
            rate_per_task: default_rate_per_task(),
            max_tasks: default_max_tasks(),
            records: RecordsSpec::default(),
            fargate: FargateSpec::default(),
        }
    }
}

/// What the records look like.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordsSpec {
    /// How large the records are.
    #[serde(default)]
    pub size: RecordSizeSpec,
}

/// How large the records are.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.mode == 'Fixed') == has(self.bytes)").message("generator.records.size.bytes: required with mode Fixed, not allowed otherwise"))]
pub struct RecordSizeSpec {
    /// Natural: each record is as long as its post. Fixed: every record has as many bytes as
    /// `bytes` says.
    #[serde(default)]
    pub mode: RecordSizeMode,
    /// The size of a record's data in bytes. Only with mode Fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 256, max = 1_000_000))]
    pub bytes: Option<i32>,
}

/// How record sizes are chosen.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordSizeMode {
    #[default]
    Natural,
    Fixed,
}

/// The tasks' hardware and network.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "self.cpu == 256 ? self.memoryMiB in [512, 1024, 2048] : \
     self.memoryMiB % 1024 == 0 && self.memoryMiB <= 8 * self.cpu && (self.cpu <= 2048 ? self.memoryMiB >= 2 * self.cpu : \
     self.memoryMiB >= 2 * self.cpu && self.memoryMiB <= 30720)")
    .message("generator.fargate.memoryMiB: not a size that Fargate offers with this cpu (256: 512, 1024, 2048; 512: 1024-4096; 1024: 2048-8192; 2048: 4096-16384; 4096: 8192-30720; in steps of 1024)"))]
pub struct FargateSpec {
    /// CPU units of a task; 1024 is one vCPU. One of 256, 512, 1024, 2048, 4096.
    #[serde(default = "default_cpu")]
    #[schemars(range(min = 256, max = 4096), extend("enum" = [256, 512, 1024, 2048, 4096]))]
    pub cpu: i32,
    /// Memory of a task in MiB.
    #[serde(default = "default_memory", rename = "memoryMiB")]
    #[schemars(range(min = 512, max = 30720))]
    pub memory_mib: i32,
    /// The CPU architecture of the tasks. The image must support it.
    #[serde(default)]
    pub architecture: Architecture,
    /// The subnets of the tasks. Default: the operator's setting.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 32), pattern("^subnet-[0-9a-f]{8,17}$")))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Set)]
    pub subnets: Vec<String>,
    /// The security groups of the tasks. Default: the operator's setting.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5), inner(length(max = 32), pattern("^sg-[0-9a-f]{8,17}$")))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Set)]
    pub security_groups: Vec<String>,
}

impl Default for FargateSpec {
    fn default() -> Self {
        Self {
            cpu: default_cpu(),
            memory_mib: default_memory(),
            architecture: Architecture::default(),
            subnets: Vec::new(),
            security_groups: Vec::new(),
        }
    }
}

/// A CPU architecture, as ECS names it.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Architecture {
    #[default]
    #[serde(rename = "X86_64")]
    X86_64,
    #[serde(rename = "ARM64")]
    Arm64,
}

impl Architecture {
    /// The architecture as container images name it.
    pub const fn oci_name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "X86_64",
            Self::Arm64 => "ARM64",
        })
    }
}

fn default_rate_per_task() -> i32 {
    5_000
}

fn default_max_tasks() -> i32 {
    50
}

fn default_cpu() -> i32 {
    256
}

fn default_memory() -> i32 {
    512
}

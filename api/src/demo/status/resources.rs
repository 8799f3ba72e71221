//! The AWS resources of runs, as stored in status.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The types of resources that a run creates.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ResourceType {
    LogGroup,
    Stream,
    ControlParameter,
    TaskDefinition,
    Service,
    ScheduledScaleToZero,
    Dashboard,
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LogGroup => "log group",
            Self::Stream => "stream",
            Self::ControlParameter => "control parameter",
            Self::TaskDefinition => "task definition",
            Self::Service => "service",
            Self::ScheduledScaleToZero => "scheduled scale-to-zero",
            Self::Dashboard => "dashboard",
        })
    }
}

/// Whether a resource of the run still exists.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResourceState {
    /// It exists, or its creation was attempted and may have succeeded.
    Present,
    /// AWS reported that it does not exist any more.
    Deleted,
    /// It was kept, as the spec requests.
    Retained,
}

/// A resource of the run.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceStatus {
    /// The resource's type.
    #[serde(rename = "type")]
    pub type_: ResourceType,
    /// Its ARN, or its name until the ARN is known.
    #[schemars(length(max = 1024))]
    pub arn: String,
    /// Present, Deleted or Retained.
    pub state: ResourceState,
    /// Whether the operator has read its owner tag on the resource. Only then may it delete the
    /// resource without reading the tag again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub owned: bool,
    /// Whether AWS accepted the request to release a retained stream's warm throughput.
    #[serde(default, rename = "warmReleased", skip_serializing_if = "std::ops::Not::not")]
    pub warm_released: bool,
    /// Why it could not be deleted or read: the error message of AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub problem: Option<String>,
}

impl ResourceStatus {
    /// The type and ARN and, if the resource could not be deleted, why.
    pub fn describe(&self) -> String {
        let Self { type_, arn, problem, .. } = self;
        match problem {
            Some(problem) => format!("{type_} {arn} ({problem})"),
            None => format!("{type_} {arn}"),
        }
    }
}

/// Resources that an earlier run could not delete, and what is needed to find them.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeakedResources {
    /// The run's number.
    #[schemars(range(min = 1))]
    pub run: u32,
    /// The AWS account.
    #[schemars(length(max = 12))]
    pub account_id: String,
    /// The AWS region.
    #[schemars(length(max = 32))]
    pub region: String,
    /// The ECS cluster.
    #[schemars(length(max = 255))]
    pub cluster: String,
    /// The stream's name.
    #[schemars(length(max = 128))]
    pub stream_name: String,
    /// The common name of the run's other resources.
    #[schemars(length(max = 128))]
    pub base_name: String,
    /// Whether the stream is kept and only its warm throughput is released.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retain_stream: bool,
    /// Its resources.
    #[schemars(length(max = 16))]
    pub resources: Vec<ResourceStatus>,
}

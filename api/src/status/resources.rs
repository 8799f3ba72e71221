//! What runs made in AWS, as status has it, and whether it is still there.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kinds of things that a run makes.
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

/// Whether a thing that the run made is still there.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResourceState {
    /// It exists, or its creation was attempted: assume that it does.
    Present,
    /// It was seen to be gone.
    Deleted,
    /// It was left on purpose.
    Retained,
}

/// One thing that the run made.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceStatus {
    /// What kind of thing it is.
    #[serde(rename = "type")]
    pub type_: ResourceType,
    /// Its ARN, or its name until the ARN is known.
    #[schemars(length(max = 1024))]
    pub arn: String,
    /// Present, Deleted or Retained.
    pub state: ResourceState,
    /// Whether our owner tag was read on it: only then may it be removed without another look.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub owned: bool,
    /// Whether AWS took the call that gives a retained stream's warm throughput back.
    #[serde(default, rename = "warmReleased", skip_serializing_if = "std::ops::Not::not")]
    pub warm_released: bool,
    /// Why it could not be removed or seen, in AWS's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub problem: Option<String>,
}

impl ResourceStatus {
    /// What it is and, if it could not be removed, why.
    pub fn describe(&self) -> String {
        let Self { type_, arn, problem, .. } = self;
        match problem {
            Some(problem) => format!("{type_} {arn} ({problem})"),
            None => format!("{type_} {arn}"),
        }
    }
}

/// What an earlier run could not remove, with what is needed to find it again.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leftover {
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
    /// The name that the run's other resources share.
    #[schemars(length(max = 128))]
    pub base_name: String,
    /// Whether the stream stays, and only gives its warm throughput back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retain_stream: bool,
    /// Its resources.
    #[schemars(length(max = 16))]
    pub resources: Vec<ResourceStatus>,
}

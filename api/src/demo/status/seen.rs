//! The stream, the tasks and the dashboard as last observed, as stored in status.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::MicroTime;

/// The stream as last observed.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamStatus {
    /// The stream's name.
    #[schemars(length(max = 128))]
    pub name: String,
    /// The stream's ARN.
    #[schemars(length(max = 1024))]
    pub arn: String,
    /// When AWS created the run's stream. A stream of the same name with another creation time is
    /// not the run's.
    #[serde(default, rename = "createdAt", skip_serializing_if = "Option::is_none")]
    pub created_at: Option<MicroTime>,
    /// CREATING, ACTIVE, UPDATING or DELETING, as AWS reports it. DELETED when it does not exist
    /// any more; then it has no shards.
    #[schemars(length(max = 32))]
    pub status: String,
    /// Open shards.
    pub shards: u32,
    /// Its warm throughput, if the spec requests any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm: Option<WarmStatus>,
    /// How many warm throughput requests AWS accepted in this run.
    #[serde(default, rename = "warmRequests", skip_serializing_if = "is_zero")]
    pub warm_requests: u32,
}

impl StreamStatus {
    /// The status of a stream that does not exist any more. AWS has no such status.
    pub const DELETED: &str = "DELETED";

    /// Marks the stream as deleted, without shards and warm throughput.
    pub fn set_deleted(&mut self) {
        self.status = Self::DELETED.to_owned();
        self.shards = 0;
        self.warm = None;
    }
}

/// Warm throughput in MiB/s.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmStatus {
    /// The requested warm throughput.
    pub target: u32,
    /// The current warm throughput.
    pub current: u32,
}

/// The generator tasks as last observed.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GeneratorsStatus {
    /// The desired count of the ECS service.
    pub desired: u32,
    /// Running tasks.
    pub running: u32,
    /// Tasks that have a slot. Only these send.
    pub admitted: u32,
    /// The longest time from a task's creation until it ran, in this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slowest_start_seconds: Option<u32>,
    /// Tasks that lost their slot because they no longer reported.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub replaced: u32,
    /// Tasks that stopped unexpectedly, as far as ECS still lists them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed: u32,
    /// The most recent of these failures whose cause differs from the one before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<TaskFailure>,
}

/// A task that stopped unexpectedly.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskFailure {
    /// The task's id in ECS.
    #[schemars(length(max = 64))]
    pub task: String,
    /// When it stopped, as ECS reports it.
    pub at: MicroTime,
    /// Why it stopped: the reason that ECS reports, with the container's exit code if there is one.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// The last lines of its log, oldest first. Absent until the log was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 5), inner(length(max = 256)))]
    pub last_lines: Option<Vec<String>>,
}

impl TaskFailure {
    /// A description for people, in one line.
    pub fn describe(&self) -> String {
        let Self { task, message, last_lines, .. } = self;
        let lines = last_lines.as_deref().unwrap_or_default();
        let log = match lines.is_empty() {
            true => String::new(),
            false => format!("; last log lines: {}", lines.join(" | ")),
        };
        format!("task {task} stopped unexpectedly: {message}{log}")
    }
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The run's CloudWatch dashboard, and the metrics that the operator publishes for it. Failures
/// here do not affect the run.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DashboardStatus {
    /// The dashboard's name.
    #[schemars(length(max = 255))]
    pub name: String,
    /// Its URL in the AWS console. Absent in the sandbox's account, which has no console.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub url: Option<String>,
    /// True once CloudWatch has it, or may have it because a response was lost.
    pub published: bool,
    /// How many phases had begun when its publication was last attempted. It is published again
    /// when a phase begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phases_shown: Option<u32>,
    /// When the publication of the operator's metrics was last attempted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_at: Option<MicroTime>,
    /// The first CloudWatch error since the phase began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub problem: Option<String>,
}

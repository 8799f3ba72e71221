//! The stream, the tasks and the dashboard as they were last seen, as status has them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::MicroTime;

/// The stream as last seen.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamStatus {
    /// The stream's name.
    #[schemars(length(max = 128))]
    pub name: String,
    /// The stream's ARN.
    #[schemars(length(max = 1024))]
    pub arn: String,
    /// When the run's stream was made, as AWS says: another one of its name is not the run's.
    #[serde(default, rename = "createdAt", skip_serializing_if = "Option::is_none")]
    pub created_at: Option<MicroTime>,
    /// CREATING, ACTIVE, UPDATING or DELETING, as AWS says; DELETED when it is gone, without shards.
    #[schemars(length(max = 32))]
    pub status: String,
    /// Open shards.
    pub shards: u32,
    /// Its warm throughput, where the spec asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm: Option<WarmStatus>,
    /// How many requests for warm throughput AWS took in this run.
    #[serde(default, rename = "warmRequests", skip_serializing_if = "is_zero")]
    pub warm_requests: u32,
}

impl StreamStatus {
    /// What AWS no longer has a word for.
    pub const DELETED: &str = "DELETED";

    /// Notes that the stream is gone, and with it all that it could take.
    pub fn set_deleted(&mut self) {
        self.status = Self::DELETED.to_owned();
        self.shards = 0;
        self.warm = None;
    }
}

/// Warm throughput in MiB/s.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmStatus {
    /// What was asked for.
    pub target: u32,
    /// What the stream has.
    pub current: u32,
}

/// The generator tasks as last seen.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GeneratorsStatus {
    /// Tasks that the service is asked to run.
    pub desired: u32,
    /// Tasks that run.
    pub running: u32,
    /// Tasks that have a slot: those that send.
    pub admitted: u32,
    /// The longest time a task of this run took from its creation until it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slowest_start_seconds: Option<u32>,
    /// Tasks that lost their slot because they had fallen silent.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub replaced: u32,
    /// Tasks that stopped though nobody had asked them to, as far as ECS still lists them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed: u32,
    /// The last of these that stopped for another reason than the one before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<TaskFailure>,
}

/// A task that stopped though nobody had asked it to.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskFailure {
    /// The task's id in ECS.
    #[schemars(length(max = 64))]
    pub task: String,
    /// When it stopped, as ECS says.
    pub at: MicroTime,
    /// Why, in ECS's words, with the container's exit code if it has one.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// What it last wrote to its log, oldest line first; absent until the log was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 5), inner(length(max = 256)))]
    pub last_lines: Option<Vec<String>>,
}

impl TaskFailure {
    /// For people, in one line.
    pub fn describe(&self) -> String {
        let Self { task, message, last_lines, .. } = self;
        let lines = last_lines.as_deref().unwrap_or_default();
        let said = match lines.is_empty() {
            true => String::new(),
            false => format!("; its log ends with: {}", lines.join(" | ")),
        };
        format!("task {task} stopped by itself: {message}{said}")
    }
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The run's CloudWatch dashboard, and the metrics that the operator publishes for it. The run does not depend on either.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DashboardStatus {
    /// The dashboard's name.
    #[schemars(length(max = 255))]
    pub name: String,
    /// Where it is in the AWS console; absent in the sandbox's account, which has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub url: Option<String>,
    /// True once CloudWatch has it, or may have it because an answer was lost.
    pub published: bool,
    /// How many phases had begun when it was last published, or tried to be: it is renewed when a phase begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phases_shown: Option<u32>,
    /// When the operator's metrics were last published, or tried to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_at: Option<MicroTime>,
    /// The first thing that CloudWatch did not take since the phase began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub problem: Option<String>,
}

//! A run, as its status has it: its number, its instants, what it was started with, how it ended.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Outcome, TotalsStatus};
use crate::MicroTime;
use crate::conditions::Reason;
use crate::demo::KinesisDemoSpec;

/// One run.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// Counts the object's runs, from 1.
    #[schemars(range(min = 1))]
    pub number: u32,
    /// When the current stage was entered.
    pub stage_entered_at: MicroTime,
    /// When the run's settings were pinned, just before its first outside effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<MicroTime>,
    /// When traffic ends by the schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<MicroTime>,
    /// The same for lists: to the second, rounded up. (A column of dates would show how long ago it was, and nothing for what is to come.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub ends: Option<Time>,
    /// When traffic ends whatever else happens: startedAt and limits.maxDuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<MicroTime>,
    /// When the last task was seen to have stopped, after the traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks_stopped_at: Option<MicroTime>,
    /// When the run was over, with everything removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<MicroTime>,
    /// How the run ended, once that is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Why it ended, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Why it ended, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub message: Option<String>,
    /// What the run takes of what its Region's runs share, from when it waits for its turn on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<RunLoad>,
    /// The settings that hold for this run whatever is edited, pinned before the first outside effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<Effective>,
}

/// What a run takes of the reads of control parameters, which all runs of an account's Region share.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunLoad {
    /// The AWS region.
    #[schemars(length(max = 32))]
    pub region: String,
    /// The most tasks that the run has at once.
    pub tasks: u32,
    /// How often each of its tasks reads the control parameter. In a run it only grows.
    #[schemars(range(min = 1))]
    pub read_every_seconds: u32,
}

/// The settings of one run.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Effective {
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
    /// The uid of the object that the run belongs to. A status that was restored under another
    /// object is not acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub object_uid: Option<String>,
    /// Identifies the plan: equal plans have equal hashes.
    #[schemars(length(max = 64))]
    pub plan_hash: String,
    /// The spec as it was accepted, with the changes accepted since, and with the operator's defaults filled in.
    pub spec: KinesisDemoSpec,
}

/// A run that is over.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PastRun {
    /// The run's number.
    pub number: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it ended, in one word.
    pub reason: Reason,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<MicroTime>,
    /// When it was over.
    pub finished_at: MicroTime,
    /// Its books.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totals: Option<TotalsStatus>,
}

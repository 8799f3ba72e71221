//! A run, as stored in status: its number, times, settings and outcome.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CohortStatus, Outcome, TotalsStatus};
use crate::MicroTime;
use crate::conditions::Reason;
use crate::demo::KinesisDemoSpec;

/// One run.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// The run's number; the object's first run is 1.
    #[schemars(range(min = 1))]
    pub number: u32,
    /// When the current stage began.
    pub stage_entered_at: MicroTime,
    /// When the run's settings were fixed, just before its first AWS resource was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<MicroTime>,
    /// When traffic ends according to the schedule, or when it ended if it was stopped earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<MicroTime>,
    /// The same as endsAt for `kubectl get`: in whole seconds, rounded up. (A column of type date
    /// shows the age of an instant, and nothing for a future one.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub ends: Option<Time>,
    /// When traffic ends in any case: startedAt plus limits.maxDuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<MicroTime>,
    /// When the last task was observed to have stopped, after the traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks_stopped_at: Option<MicroTime>,
    /// When the run was over and its resources were deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<MicroTime>,
    /// How the run ended, as soon as it is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The reason for the outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Why it ended, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub message: Option<String>,
    /// The run's use of capacity that all runs of its account and region share. Set from when the
    /// run waits for its turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<RunLoad>,
    /// How far the run is with starting together with the others of its cohort, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cohort: Option<CohortStatus>,
    /// The settings of this run. They are fixed before its first AWS resource is created; later
    /// edits do not change them, except cleanup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<Effective>,
}

/// A run's share of the control parameter reads, whose rate is limited per account and region.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunLoad {
    /// The AWS region.
    #[schemars(length(max = 32))]
    pub region: String,
    /// The maximum number of tasks at the same time.
    pub tasks: u32,
    /// How often each task reads the control parameter, in seconds. It never decreases during a
    /// run.
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
    /// The common name of the run's other resources.
    #[schemars(length(max = 128))]
    pub base_name: String,
    /// The uid of the object that the run belongs to. A status restored under another object is not
    /// acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub object_uid: Option<String>,
    /// The accepted spec with the operator's defaults filled in, and with the changes accepted
    /// since.
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
    /// The reason for the outcome.
    pub reason: Reason,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<MicroTime>,
    /// When it was over.
    pub finished_at: MicroTime,
    /// Its record totals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totals: Option<TotalsStatus>,
}

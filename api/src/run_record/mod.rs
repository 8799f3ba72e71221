//! The record of one run: the second custom resource, which outlives the KinesisDemo. Pure.
//!
//! ```text
//! mod       KinesisDemoRun: what was asked, what came of it
//! traffic   the traffic over time, as points
//! cells     the traffic collected from the ledger lines
//! latency   latencies in few bytes
//! capacity  stream and tasks over time, as steps
//! marks     what happened, and when; what nobody observed
//! ```
//!
//! The operator writes it, and reads it only to continue it. Page, report and comparison read it.
// Columns share types and paths begin alike; clippy counts these as attributes given twice.
#![allow(clippy::duplicated_attributes)]

mod capacity;
mod cells;
mod latency;
mod marks;
mod traffic;

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::MicroTime;
use crate::conditions::Reason;
use crate::demo::KinesisDemoSpec;
use crate::demo::status::{CostStatus, KinesisDemoStatus, Outcome, PhaseReport, Stage, TotalsStatus};

pub use capacity::CapacityStep;
pub use cells::{Horizon, TrafficCells};
pub use marks::{Gap, LONGEST_MARK, Mark, MarkKind, date_throttles};
pub use traffic::{TrafficColumns, TrafficPoint};

/// The label with the name of the KinesisDemo that a run belongs to.
pub const DEMO_LABEL: &str = "kinesisdemo.io/demo";

/// How many points of traffic and steps of capacity a record has at most, together.
pub const MOST_POINTS: usize = 500;
/// How many of them are steps of capacity.
pub const MOST_STEPS: usize = 100;
/// How many marks a record has at most.
pub const MOST_MARKS: usize = 500;
/// How many gaps a record has at most.
pub const MOST_GAPS: usize = 50;
/// How many phases a record has at most. (A KinesisDemo has at most 20.)
const MOST_PHASES: usize = 100;

/// What was asked of one run. Fixed from creation.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "kinesisdemo.io",
    version = "v1alpha1",
    kind = "KinesisDemoRun",
    namespaced,
    status = "KinesisDemoRunStatus",
    derive = "PartialEq",
    // kube forwards a schemars attribute only in this form.
    attr = "cfg_attr(all(), schemars(transform = crate::schema::rewrite))",
    shortname = "kdr",
    category = "demo",
    doc = "The record of one run of a KinesisDemo: what was asked, what came of it, and how it went over time. It outlives the KinesisDemo. The operator writes it and deletes old ones; nothing depends on it.",
    printcolumn(name = "Demo", type_ = "string", json_path = ".spec.demo", description = "The name of the KinesisDemo"),
    printcolumn(name = "Run", type_ = "integer", json_path = ".spec.run", description = "The run's number"),
    printcolumn(name = "Stage", type_ = "string", json_path = ".status.stage", description = "The stage of the run"),
    printcolumn(name = "Scheduled", type_ = "integer", json_path = ".status.totals.scheduled", description = "Records that the plan scheduled"),
    printcolumn(name = "Accepted", type_ = "integer", json_path = ".status.totals.accepted", description = "Records that Kinesis confirmed"),
    printcolumn(name = "Throttled", type_ = "integer", json_path = ".status.totals.throttled", description = "Throttled records, counted once per attempt"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason", description = "The reason for the outcome"),
    printcolumn(name = "Started", type_ = "date", json_path = ".status.startedAt", description = "Time since the run's first AWS resource was created"),
    printcolumn(name = "Left", type_ = "integer", json_path = ".status.leftCount", priority = 1, description = "AWS resources of the run that still existed at its end")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf").message("spec: fixed from creation"))]
pub struct KinesisDemoRunSpec {
    /// The name of the KinesisDemo.
    #[schemars(length(max = 63))]
    pub demo: String,
    /// The uid of the KinesisDemo. Two objects of one name, one after the other, have different
    /// uids.
    #[schemars(length(max = 64))]
    pub demo_uid: String,
    /// The run's number.
    #[schemars(range(min = 1))]
    pub run: u32,
    /// The AWS account.
    #[schemars(length(max = 12))]
    pub account_id: String,
    /// The AWS region.
    #[schemars(length(max = 32))]
    pub region: String,
    /// The stream's name.
    #[schemars(length(max = 128))]
    pub stream_name: String,
    /// The spec that the run started with, with all defaults: a KinesisDemo's spec. It is stored as
    /// it was, whatever later versions allow.
    #[schemars(schema_with = "any_object")]
    pub settings: BTreeMap<String, serde_json::Value>,
    /// The version of the operator that started the record.
    #[schemars(length(max = 64))]
    pub operator_version: String,
}

/// What came of a run. While it runs, the operator writes this at most every ten seconds, with few
/// points; at its end once more, with all.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KinesisDemoRunStatus {
    /// The stage of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
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
    /// When the run's settings were fixed, just before its first AWS resource was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<MicroTime>,
    /// When the first phase began or begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic_starts_at: Option<MicroTime>,
    /// When traffic ends according to the schedule, or when it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic_ends_at: Option<MicroTime>,
    /// When the run was over and its resources were deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<MicroTime>,
    /// When the operator last wrote this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_at: Option<MicroTime>,
    /// Every phase of the run: its times and its measurements.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MOST_PHASES))]
    pub phases: Vec<PhaseReport>,
    /// The record totals of the whole run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totals: Option<TotalsStatus>,
    /// The AWS resources of the run that still existed when it was over, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 2048)))]
    pub left: Vec<String>,
    /// How many there are. Absent until the run is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_count: Option<u32>,
    /// The traffic over time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<TrafficColumns>,
    /// The stream and the tasks over time: one entry for each change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MOST_STEPS))]
    pub capacity: Vec<CapacityStep>,
    /// What happened, in order. Phases are not repeated here: `phases` has their instants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MOST_MARKS))]
    pub marks: Vec<Mark>,
    /// How many further marks there were.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub marks_omitted: u32,
    /// Intervals in which no operator observed the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MOST_GAPS))]
    pub gaps: Vec<Gap>,
    /// What the run costs on AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostStatus>,
}

impl KinesisDemoRunStatus {
    /// Takes over everything of a KinesisDemo's status that a record has, too, except series, marks
    /// and gaps.
    pub fn describe(&mut self, status: &KinesisDemoStatus) {
        let first_phase = status.phases.first().map(|phase| phase.starts_at);
        self.stage = status.stage;
        self.traffic_starts_at =
            first_phase.or_else(|| status.control.as_ref().map(|control| control.traffic_starts_at));
        self.phases.clone_from(&status.phases);
        self.cost.clone_from(&status.cost);
        self.totals = status.traffic.as_ref().map(|traffic| traffic.totals.clone());
        if let Some(run) = &status.run {
            self.outcome = run.outcome;
            self.reason = run.reason;
            self.message.clone_from(&run.message);
            self.started_at = run.started_at;
            self.traffic_ends_at = run.ends_at;
            self.finished_at = run.finished_at;
        }
        if status.stage.is_some_and(Stage::is_terminal) {
            self.left = status.present_resources();
            self.left_count = u32::try_from(self.left.len()).ok();
        }
    }
}

/// A KinesisDemo's spec as a record stores it.
pub fn settings(spec: &KinesisDemoSpec) -> BTreeMap<String, serde_json::Value> {
    let written = serde_json::to_value(spec).and_then(serde_json::from_value);
    // A spec consists of strings, numbers and lists of them, so this cannot fail.
    written.unwrap_or_default()
}

/// The name of the record of a run: unique among all runs of all objects of a namespace, also of
/// those that had the same name before.
pub fn record_name(demo: &str, demo_uid: &str, run: u32) -> String {
    let uid: String = demo_uid.chars().filter(char::is_ascii_alphanumeric).take(5).collect();
    format!("{demo}-{run}-{uid}")
}

/// The schema of an object with any members.
fn any_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_different_objects_and_runs_have_different_names() {
        let uid = "3f2a9c1e-0000-4000-8000-000000000000";
        assert_eq!(record_name("viral-event", uid, 3), "viral-event-3-3f2a9");
        assert_ne!(record_name("a", uid, 11), record_name("a-1", uid, 1));
        assert_ne!(record_name("a", uid, 1), record_name("a", "4f2a9c1e", 1));
    }
}

//! What happened in a run, and when; and intervals that nobody observed. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::MicroTime;

/// Something that happened in a run.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// When it happened, or when the operator saw it.
    pub at: MicroTime,
    /// What kind of thing happened.
    pub kind: MarkKind,
    /// What happened, for people.
    #[schemars(length(max = 160))]
    pub text: String,
}

/// The kinds of marks, the most important first.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MarkKind {
    /// The run entered a stage.
    Stage,
    /// A request of a user was answered.
    Request,
    /// Traffic was interrupted, because control had lapsed.
    Lapse,
    /// The first records of a phase were throttled.
    Throttle,
    /// The warm throughput reached its target.
    Warm,
    /// The number of open shards changed.
    Split,
    /// AWS refused a call, or something else stands in the way.
    Refusal,
    /// Tasks were added, removed, lost or replaced.
    Tasks,
    /// Anything else.
    Other,
}

/// An interval in which no operator observed the run: stream and tasks may have changed, and marks
/// may be missing. The traffic is known from the tasks' logs all the same.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The last observation before it.
    pub from: MicroTime,
    /// The first observation after it.
    pub until: MicroTime,
}

//! The claims from which the tasks' control document is made, as status has them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::MicroTime;
use crate::control::{ControlState, TaskId};

/// What has been claimed for the tasks' control document. The document is a projection of this and of the plan.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ControlStatus {
    /// The leadership under which the version was claimed.
    pub epoch: u64,
    /// Counts the changes.
    pub version: u64,
    /// Run or Stop.
    pub state: ControlState,
    /// When the version takes over.
    pub effective_at: MicroTime,
    /// Until when tasks may send unless the document is renewed, as last claimed.
    pub valid_until: MicroTime,
    /// When the first phase begins.
    pub traffic_starts_at: MicroTime,
    /// Stretches in which nothing was sent because control had lapsed; the schedule moved by them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub interruptions: Vec<Interruption>,
    /// Which task had which slot, and when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub assignments: Vec<Assignment>,
    /// What the assignments that are not listed any more left open, by phase.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub folded: Vec<FoldedPhase>,
}

/// What closed assignments that are not listed any more left open in one phase.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoldedPhase {
    /// The phase's name.
    #[schemars(length(max = 40))]
    pub phase: String,
    /// Records that their tasks may have offered after their last known word.
    pub unreported: u64,
}

/// A stretch without traffic. The schedule stands still in it, and goes on after it where it was at `from`.
///
/// So `from` must be no earlier than the last instant at which any task may have sent: what tasks sent after `from` they
/// would send once more after `until`, and more would be offered than was scheduled. What nobody sent before `from` is
/// unoffered. That last instant is the earliest of: the `validUntil` of the newest document that was published (read it if
/// it is there; a document that is gone may have been read a moment before), a read lease after the last instant at which
/// the parameter could be read as it was, the end of the run.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(description = "A stretch without traffic.")]
pub struct Interruption {
    /// When traffic stopped: no task sent later.
    pub from: MicroTime,
    /// When it went on.
    pub until: MicroTime,
}

/// A task's tenure of a slot.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The slot's number.
    pub slot: u32,
    /// The task.
    pub task: TaskId,
    /// When the version that gave the slot took over.
    pub from: MicroTime,
    /// When the version that took it away takes over; absent while the task has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<MicroTime>,
}

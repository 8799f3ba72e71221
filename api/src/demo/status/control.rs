//! The claims from which the operator generates the control document, as stored in status.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::MicroTime;
use crate::control::{ControlState, TaskId};

/// The state of control that the operator has claimed. The control document is derived from it and
/// from the plan.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ControlStatus {
    /// The leader epoch in which the version was claimed.
    pub epoch: u64,
    /// The version number. It increases with every change.
    pub version: u64,
    /// Run or Stop.
    pub state: ControlState,
    /// When the version takes effect.
    pub effective_at: MicroTime,
    /// When tasks must stop sending unless the document is renewed, as last claimed.
    pub valid_until: MicroTime,
    /// When the first phase begins.
    pub traffic_starts_at: MicroTime,
    /// Intervals in which nothing was sent because control had lapsed. The schedule was moved by
    /// them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub interruptions: Vec<Interruption>,
    /// Which task had which slot, and when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub assignments: Vec<Assignment>,
    /// Unreported records of assignments that are no longer listed, by phase.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub folded: Vec<FoldedPhase>,
}

/// Unreported records, in one phase, of closed assignments that are no longer listed.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoldedPhase {
    /// The phase's name.
    #[schemars(length(max = 40))]
    pub phase: String,
    /// Records that their tasks may have offered after their last ledger line.
    pub unreported: u64,
}

/// An interval without traffic. The schedule is paused in it and continues afterwards from where it
/// was at `from`.
///
/// So `from` must not be earlier than the last instant at which any task may have sent. Records
/// sent after `from` would be sent again after `until`, and more would be offered than was
/// scheduled. Records that were due before `from` and were not sent are unoffered.
///
/// That last instant is the earliest of: the `validUntil` of the newest published document (read
/// from the parameter if it exists; a task may have read a document just before its deletion); one
/// read lease after the last instant at which the parameter could be read with that document; the
/// end of the run.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(description = "An interval without traffic.")]
pub struct Interruption {
    /// When traffic stopped. No task sent later.
    pub from: MicroTime,
    /// When traffic resumed.
    pub until: MicroTime,
}

impl Interruption {
    /// A description for people, in one line.
    pub fn describe(&self) -> String {
        let seconds = self.until.since(self.from).as_secs();
        format!("the control document had expired; the rest of the schedule moved by {seconds} s")
    }
}

/// The assignment of a slot to a task.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The slot's number.
    pub slot: u32,
    /// The task.
    pub task: TaskId,
    /// When the version that assigned the slot took effect.
    pub from: MicroTime,
    /// When the version that removed the assignment takes effect. Absent while the task has the
    /// slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<MicroTime>,
}

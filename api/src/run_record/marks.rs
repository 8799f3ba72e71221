//! What happened in a run, and when; and intervals that nobody observed. Pure.
//!
//! The operator records marks, and the page shows them before they are recorded. Both make them
//! here, so that a mark has the same instant and the same text in both.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CapacityStep, TrafficPoint};
use crate::MicroTime;
use crate::demo::status::{Interruption, PhaseReport, RunStatus, Stage, TaskFailure};
use crate::request::LastRequest;

/// The longest text of a mark, in characters, as the schema counts them.
pub const LONGEST_MARK: usize = 160;

/// Shards that are added within this time are one mark.
const ONE_SPLIT: Duration = Duration::from_secs(5);

/// What the text of a throttle's mark begins with; the phase's name follows.
const THROTTLED_IN: &str = "first records throttled in ";

/// Something that happened in a run.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// When it happened, or when the operator saw it.
    pub at: MicroTime,
    /// What kind of thing happened.
    pub kind: MarkKind,
    /// What happened, for people.
    #[schemars(length(max = LONGEST_MARK))]
    pub text: String,
}

impl Mark {
    /// A mark with as much of the text as it may have.
    pub fn new(at: MicroTime, kind: MarkKind, text: &str) -> Self {
        Self { at, kind, text: text.chars().take(LONGEST_MARK).collect() }
    }

    /// The run entered its stage, with the message if it is about to end or has ended.
    pub fn stage(stage: Stage, run: &RunStatus) -> Self {
        let ends = stage == Stage::Draining || stage.is_terminal();
        let text = match run.message.as_ref().filter(|_| ends) {
            Some(message) => format!("{stage}: {message}"),
            None => stage.to_string(),
        };
        Self::new(run.stage_entered_at, MarkKind::Stage, &text)
    }

    /// A request was answered.
    pub fn request(answered: &LastRequest) -> Self {
        Self::new(answered.at, MarkKind::Request, &answered.message)
    }

    /// Traffic goes on after an interruption, which was noticed at `at`.
    pub fn interruption(interruption: Interruption, at: MicroTime) -> Self {
        Self::new(at, MarkKind::Lapse, &interruption.describe())
    }

    /// A task stopped unexpectedly, which was noticed at `at`.
    pub fn task_failure(failure: &TaskFailure, at: MicroTime) -> Self {
        Self::new(at, MarkKind::Tasks, &failure.describe())
    }

    /// The stream throttles records of a phase for the first time. [`date_throttles`] sets the
    /// instant.
    pub fn throttled(phase: &str, at: MicroTime) -> Self {
        Self::new(at, MarkKind::Throttle, &format!("{THROTTLED_IN}{phase}"))
    }

    /// What changed from one step to the next, if it has a mark.
    pub fn of_capacity(before: &CapacityStep, step: &CapacityStep) -> Vec<Self> {
        let mut marks = Vec::new();
        if let (Some(from), Some(to)) = (before.shards, step.shards)
            && from != to
        {
            marks.push(Self::new(step.at, MarkKind::Split, &format!("{from} → {to} shards")));
        }
        if let Some(target) = step.warm_target
            && step.warm_current >= Some(target)
            && before.warm_current < Some(target)
        {
            marks.push(Self::new(step.at, MarkKind::Warm, &format!("warm throughput is {target} MiB/s")));
        }
        marks
    }

    /// Takes in the mark that follows, if both are of one split. Whether they are.
    pub fn absorb(&mut self, next: &Self) -> bool {
        let is_split = self.kind == MarkKind::Split && next.kind == MarkKind::Split;
        if !is_split || next.at.since(self.at) > ONE_SPLIT {
            return false;
        }
        let (Some((first, _)), Some((_, last))) = (self.text.split_once(' '), next.text.split_once(' '))
        else {
            return false;
        };
        self.text = format!("{first} {last}");
        true
    }
}

/// Sets the marks of throttles to the instants at which these began, and sorts all by time. The
/// operator learns of throttles only when it reads the ledgers.
pub fn date_throttles(marks: &mut [Mark], phases: &[PhaseReport], points: &[TrafficPoint]) {
    for mark in marks.iter_mut().filter(|mark| mark.kind == MarkKind::Throttle) {
        let name = mark.text.strip_prefix(THROTTLED_IN);
        let phase = phases.iter().position(|phase| Some(phase.name.as_str()) == name);
        let first = points.iter().find(|point| Some(point.phase) == phase && point.throttled > 0);
        mark.at = first.map_or(mark.at, |point| point.from.min(mark.at));
    }
    marks.sort_by_key(|mark| mark.at);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn step(second: u64, shards: Option<u32>, warm: Option<(u32, u32)>) -> CapacityStep {
        CapacityStep {
            at: MicroTime::from_micros(1_800_000_000_000_000) + Duration::from_secs(second),
            shards,
            warm_target: warm.map(|(target, _)| target),
            warm_current: warm.map(|(_, current)| current),
            tasks_desired: None,
            tasks_running: None,
        }
    }

    fn texts(before: CapacityStep, step: CapacityStep) -> Vec<String> {
        Mark::of_capacity(&before, &step).into_iter().map(|mark| mark.text).collect()
    }

    #[test]
    fn splits_and_reached_warm_throughput_have_marks() {
        let reached = step(1, Some(8), Some((32, 32)));
        assert_eq!(
            texts(step(0, Some(4), Some((32, 4))), reached),
            ["4 → 8 shards", "warm throughput is 32 MiB/s"]
        );
        assert_eq!(texts(step(0, None, None), step(1, Some(4), None)), [] as [&str; 0]);
        assert_eq!(texts(reached, reached), [] as [&str; 0]);
    }

    #[test]
    fn splits_within_seconds_become_one() {
        let split = |second: u64, from: u32, to: u32| {
            let (before, after) = (step(second, Some(from), None), step(second, Some(to), None));
            Mark::of_capacity(&before, &after).remove(0)
        };
        let mut mark = split(0, 4, 5);
        assert!(mark.absorb(&split(2, 5, 7)) && mark.absorb(&split(5, 7, 8)));
        assert_eq!(mark, split(0, 4, 8));
        assert!(!mark.absorb(&split(6, 8, 9)) && !mark.absorb(&Mark::throttled("peak", mark.at)));
        assert_eq!(mark, split(0, 4, 8));
    }

    #[test]
    fn the_text_of_a_mark_is_cut() {
        let mark = Mark::new(MicroTime::default(), MarkKind::Other, &"ü".repeat(400));
        assert_eq!(mark.text, "ü".repeat(LONGEST_MARK));
    }
}

//! How fast records are accepted, lately. In: the evidence, the time. Out: a rate and the window for which it holds, which
//! is one for all tasks: a task that was not heard of up to the window's end would otherwise count as one that sends
//! nothing, and a fleet that grows would seem to falter. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use super::AccountingInputs;
use crate::MicroTime;
use crate::control::TaskId;
use crate::ledger::Mark;

/// How many ledger intervals the window has.
const WINDOW_INTERVALS: u32 = 2;

/// A task that is so many ledger intervals behind the others is not waited for.
const SILENT_INTERVALS: u32 = 3;

/// Counts are interpolated to so many parts of a record.
const PARTS: u128 = 1_000_000;

/// How fast records were accepted in a window of time, by the clocks of the tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The window's first instant.
    pub from: MicroTime,
    /// The first instant after it: the latest up to which every task that has a slot was heard of.
    pub until: MicroTime,
    /// Records accepted per second, to the nearest.
    pub accepted: u64,
    /// Records per second that the schedule asked for, to the nearest.
    pub target: u64,
}

impl AccountingInputs<'_> {
    /// The rate as it is known `now`, when tasks write a line each `interval` and the log hands it out up to `log_delay`
    /// later. `None` until anything is known of the traffic.
    pub fn rate(&self, now: MicroTime, interval: Duration, log_delay: Duration) -> Option<Rate> {
        let newest = self.ledgers.iter().map(|line| line.at).max();
        let heard_by = newest.map_or(now - log_delay, |newest| newest.max(now - log_delay)).min(now);
        let silent_before = heard_by - interval * SILENT_INTERVALS;
        let tasks = self.tasks();
        let waited_for =
            tasks.iter().filter_map(|task| self.unknown_from(task)).filter(|at| *at >= silent_before);
        let until = waited_for.min().map_or(now, |at| at.min(now));
        let from = (until - interval * WINDOW_INTERVALS).max(self.timeline.starts_at()?);
        if from >= until {
            return None;
        }
        let counts = self.ledgers.marks().map(|(task, marks)| {
            self.accepted_by(task, marks, until).saturating_sub(self.accepted_by(task, marks, from))
        });
        let scheduled = self.timeline.scheduled_in_all(until) - self.timeline.scheduled_in_all(from);
        Some(Rate {
            from,
            until,
            accepted: per_second(counts.sum(), until.since(from)),
            target: per_second(u128::from(scheduled) * PARTS, until.since(from)),
        })
    }

    /// From when on `task` has or had a slot and what it did is not known.
    fn unknown_from(&self, task: &TaskId) -> Option<MicroTime> {
        let line = self.ledgers.of(task);
        let own = self.assignments.iter().filter(|held| held.task == *task);
        let unknown = own.filter_map(|held| match line {
            None => Some(held.from),
            Some(line) if line.is_final => Some(held.from).filter(|from| *from > line.at),
            Some(line) => held.until.is_none_or(|until| until > line.at).then_some(held.from.max(line.at)),
        });
        unknown.min()
    }

    /// How many records of `task` were accepted up to `at`, in millionths. Between two marks they are spread as the schedule
    /// gave them to the task: evenly would be wrong wherever its share or the rate changed.
    fn accepted_by(&self, task: &TaskId, marks: &VecDeque<Mark>, at: MicroTime) -> u128 {
        let slots = self.assignments.iter().filter(|held| held.task == *task).map(|held| held.from);
        let began = slots.min().map(|from| (from, 0));
        let points = || began.into_iter().chain(marks.iter().map(|mark| (mark.at, mark.accepted)));
        let before = points().rfind(|(known_at, _)| *known_at <= at);
        let after = points().find(|(known_at, _)| *known_at > at);
        match (before, after) {
            (None, None) => 0,
            // From before what is remembered of a task that was folded: it counts as if it had stood still.
            (None, Some((_, accepted))) | (Some((_, accepted)), None) => u128::from(accepted) * PARTS,
            (Some((from, then)), Some((until, later))) => {
                let due = |end| {
                    self.assigned(task, from, end).values().map(|count| u128::from(*count)).sum::<u128>()
                };
                let (mut part, mut whole) = (due(at), due(until));
                if whole == 0 {
                    (part, whole) = (at.since(from).as_micros(), until.since(from).as_micros());
                }
                let gained = u128::from(later.saturating_sub(then));
                u128::from(then) * PARTS + (gained * PARTS * part).checked_div(whole).unwrap_or(0)
            }
        }
    }
}

fn per_second(parts: u128, length: Duration) -> u64 {
    let length = length.as_micros().saturating_mul(PARTS / 1_000_000);
    let nearest = parts.saturating_add(length / 2).checked_div(length).unwrap_or(0);
    u64::try_from(nearest).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "rate_tests.rs"]
mod tests;

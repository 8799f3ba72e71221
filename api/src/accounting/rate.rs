//! The current rate of accepted records. In: the accounting inputs, the time. Out: a rate and its
//! window. Pure.
//!
//! The window is the same for all tasks. Otherwise a task that has not reported up to the window's
//! end would count as sending nothing, and the rate would appear to drop while the fleet grows.

use std::collections::VecDeque;
use std::time::Duration;

use super::AccountingInputs;
use crate::MicroTime;
use crate::control::TaskId;
use crate::demo::status::TrafficStatus;
use crate::ledger::Mark;

/// The window's length in ledger intervals.
const WINDOW_INTERVALS: u32 = 2;

/// A task that is this many ledger intervals behind the others is not waited for.
const SILENT_INTERVALS: u32 = 3;

/// Counts are interpolated to this fraction of a record.
const PARTS: u128 = 1_000_000;

/// The rate of accepted records in a window of time, by the tasks' clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The window's first instant.
    pub from: MicroTime,
    /// The first instant after the window: the latest up to which every task with a slot has
    /// reported.
    pub until: MicroTime,
    /// Records accepted per second, rounded.
    pub accepted: u64,
    /// Records scheduled per second, rounded.
    pub target: u64,
}

impl TrafficStatus {
    /// Sets `rate` and its window. Without one, the rate is zero and there is no window.
    pub fn set_rate(&mut self, rate: Option<Rate>) {
        self.rate = rate.map_or(0, |rate| rate.accepted);
        self.target = rate.map(|rate| rate.target);
        self.rate_from = rate.map(|rate| rate.from);
        self.rate_until = rate.map(|rate| rate.until);
    }
}

impl AccountingInputs<'_> {
    /// The rate as known at `now`, if tasks write a line each `interval` and the log delivers it up
    /// to `log_delay` later. `None` until anything is known of the traffic.
    pub fn rate(&self, now: MicroTime, interval: Duration, log_delay: Duration) -> Option<Rate> {
        let newest = self.ledgers.iter().map(|line| line.at).max();
        let reported_by = newest.map_or(now - log_delay, |newest| newest.max(now - log_delay)).min(now);
        let silent_before = reported_by - interval * SILENT_INTERVALS;
        let tasks = self.tasks();
        let awaited =
            tasks.iter().filter_map(|task| self.unknown_from(task)).filter(|at| *at >= silent_before);
        let until = awaited.min().map_or(now, |at| at.min(now));
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

    /// Since when the activity of `task` in a slot is unknown.
    fn unknown_from(&self, task: &TaskId) -> Option<MicroTime> {
        let line = self.ledgers.of(task);
        let own = self.assignments.iter().filter(|assignment| assignment.task == *task);
        let unknown = own.filter_map(|assignment| match line {
            None => Some(assignment.from),
            Some(line) if line.is_final => Some(assignment.from).filter(|from| *from > line.at),
            Some(line) => {
                assignment.until.is_none_or(|until| until > line.at).then_some(assignment.from.max(line.at))
            }
        });
        unknown.min()
    }

    /// How many records of `task` were accepted up to `at`, in millionths. Between two marks they
    /// are distributed as the schedule assigned them to the task. An even distribution would be
    /// wrong where its share or the rate changed.
    fn accepted_by(&self, task: &TaskId, marks: &VecDeque<Mark>, at: MicroTime) -> u128 {
        let slots = self
            .assignments
            .iter()
            .filter(|assignment| assignment.task == *task)
            .map(|assignment| assignment.from);
        let began = slots.min().map(|from| (from, 0));
        let points = || began.into_iter().chain(marks.iter().map(|mark| (mark.at, mark.accepted)));
        let before = points().rfind(|(known_at, _)| *known_at <= at);
        let after = points().find(|(known_at, _)| *known_at > at);
        match (before, after) {
            (None, None) => 0,
            // The count does not change after the latest mark, nor before the first mark of a task
            // whose assignments were folded.
            (None, Some((_, accepted))) | (Some((_, accepted)), None) => u128::from(accepted) * PARTS,
            (Some((from, count_before)), Some((until, count_after))) => {
                let due = |end| {
                    self.assigned(task, from, end).values().map(|count| u128::from(*count)).sum::<u128>()
                };
                let (mut part, mut whole) = (due(at), due(until));
                if whole == 0 {
                    (part, whole) = (at.since(from).as_micros(), until.since(from).as_micros());
                }
                let gained = u128::from(count_after.saturating_sub(count_before));
                u128::from(count_before) * PARTS + (gained * PARTS * part).checked_div(whole).unwrap_or(0)
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

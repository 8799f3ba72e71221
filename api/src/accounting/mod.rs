//! The accounting of a run: the records that the plan scheduled against those that the tasks
//! report. In: the timeline, the slot assignments, the latest ledger of every task. Out: per phase,
//! totals that balance. Pure.
//!
//! Per phase, scheduled + excess = offered + unoffered + unreported, exactly. `scheduled` is the
//! integral of the plan and does not depend on tasks. `excess` is zero unless tasks obeyed a
//! document that the operator did not write. Records missing from `offered` are either `unreported`
//! or `unoffered`. Unreported: a task that died may have sent them after its last ledger line, at
//! most one ledger interval of its share if the log was read. Unoffered: all others.

mod fold;
mod rate;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::MicroTime;
use crate::control::TaskId;
use crate::demo::status::{Assignment, FoldedPhase, LatencyStatus, TotalsStatus};
use crate::ledger::{Latencies, Ledgers, PhaseLedger};
use crate::schedule::Share;
use crate::timeline::Timeline;

pub use fold::{Folding, MAX_ASSIGNMENTS};
pub use rate::Rate;

/// The inputs of the accounting.
#[derive(Clone, Copy, Debug)]
pub struct AccountingInputs<'a> {
    /// The schedule.
    pub timeline: &'a Timeline,
    /// Which task had which slot, and when.
    pub assignments: &'a [Assignment],
    /// Unreported records of assignments that are no longer listed; see [`AccountingInputs::fold`].
    pub folded: &'a [FoldedPhase],
    /// The latest ledger line of every task.
    pub ledgers: &'a Ledgers,
    /// The maximum records per second of a single task.
    pub cap_per_task: u32,
    /// How long a task without a final line may have continued after its latest line: one ledger
    /// interval, if the log was read.
    pub unreported_for: Duration,
    /// The end of the scheduled time that is counted: now, or the last instant at which any task
    /// may have sent, if that was earlier.
    pub until: MicroTime,
    /// When the schedule is cancelled, if it is. Tasks continue until they have read of it.
    pub cancelled_from: Option<MicroTime>,
}

/// The totals of one phase.
#[derive(Clone, Debug, PartialEq)]
pub struct PhaseAccounting {
    /// The counts.
    pub totals: TotalsStatus,
    /// The latencies of accepted records.
    pub latency: Latencies,
}

impl AccountingInputs<'_> {
    /// The totals of every phase, in order.
    pub fn totals(&self) -> Vec<PhaseAccounting> {
        let unreported_by_phase = self.unreported_by_phase();
        self.timeline
            .phases
            .iter()
            .enumerate()
            .map(|(index, window)| {
                let PhaseLedger { counters, latency } = self.ledgers.phase(&window.name);
                let offered = counters.settled();
                let whole = self.timeline.scheduled(index, self.until);
                let unreported =
                    unreported_by_phase.get(&index).copied().unwrap_or(0).min(whole.saturating_sub(offered));
                // Cancelled records are not missing.
                let cancelled_from = self.cancelled_from.unwrap_or(self.until).min(self.until);
                let scheduled =
                    (offered + unreported).clamp(self.timeline.scheduled(index, cancelled_from), whole);
                let missing = scheduled.saturating_sub(offered);
                let totals = TotalsStatus {
                    scheduled,
                    offered,
                    accepted: counters.accepted,
                    throttled: counters.throttled,
                    failed: counters.failed,
                    dropped: counters.dropped,
                    unknown: counters.unknown,
                    unoffered: missing - unreported,
                    unreported,
                    excess: offered.saturating_sub(scheduled),
                };
                PhaseAccounting { totals, latency }
            })
            .collect()
    }

    /// Per phase, the records that tasks without a final line may have sent unreported.
    fn unreported_by_phase(&self) -> BTreeMap<usize, u64> {
        let mut unreported_by_phase = BTreeMap::new();
        for (index, window) in self.timeline.phases.iter().enumerate() {
            let folded = self.folded.iter().filter(|folded| folded.phase == window.name);
            unreported_by_phase.insert(index, folded.map(|folded| folded.unreported).sum());
        }
        for task in self.tasks() {
            for (index, count) in self.unreported_of(task) {
                *unreported_by_phase.entry(index).or_default() += count;
            }
        }
        unreported_by_phase
    }

    /// Every task that has or had a slot, without duplicates.
    fn tasks(&self) -> Vec<&TaskId> {
        let mut tasks: Vec<&TaskId> = self.assignments.iter().map(|assignment| &assignment.task).collect();
        tasks.sort();
        tasks.dedup();
        tasks
    }

    /// Since when nothing is known of `task`: since its latest line, or, if that was its final
    /// line, since it got a slot again.
    fn silent_from(&self, task: &TaskId) -> Option<MicroTime> {
        let line = self.ledgers.of(task);
        let slots = self
            .assignments
            .iter()
            .filter(|assignment| assignment.task == *task)
            .map(|assignment| assignment.from);
        match line {
            Some(line) if line.is_final => slots.filter(|from| *from > line.at).min(),
            Some(line) => Some(line.at),
            None => slots.min(),
        }
    }

    /// Per phase, the share of `task` for the time that it may have continued after its latest
    /// line, plus the records that it had offered by then with an unknown outcome.
    fn unreported_of(&self, task: &TaskId) -> BTreeMap<usize, u64> {
        let Some(silent_from) = self.silent_from(task) else { return BTreeMap::new() };
        let mut unreported_by_phase = self.assigned(task, silent_from, silent_from + self.unreported_for);
        for (index, window) in self.timeline.phases.iter().enumerate() {
            let line = self.ledgers.of(task);
            if let Some(ledger) = line.and_then(|line| line.phases.get(&window.name)) {
                *unreported_by_phase.entry(index).or_default() +=
                    ledger.counters.offered.saturating_sub(ledger.counters.settled());
            }
        }
        unreported_by_phase
    }

    /// The records assigned to `task` in [`from`, `until`), per phase.
    pub fn assigned(&self, task: &TaskId, from: MicroTime, until: MicroTime) -> BTreeMap<usize, u64> {
        let until = until.min(self.until);
        let mut instants: Vec<MicroTime> = self
            .assignments
            .iter()
            .flat_map(|assignment| [Some(assignment.from), assignment.until])
            .flatten()
            .chain([from, until])
            .filter(|at| (from..=until).contains(at))
            .collect();
        instants.sort();
        instants.dedup();

        let mut assigned = BTreeMap::new();
        for pair in instants.windows(2) {
            let &[start, end] = pair else { continue };
            let Some(share) = self.share(task, start) else { continue };
            for placed in &self.timeline.segments {
                let due = share.due(&placed.segment, start, end, self.cap_per_task);
                if due > 0 {
                    *assigned.entry(placed.phase).or_default() += due;
                }
            }
        }
        assigned
    }

    /// The share of `task` at `at`.
    fn share(&self, task: &TaskId, at: MicroTime) -> Option<Share> {
        let mut holders: Vec<&Assignment> = self
            .assignments
            .iter()
            .filter(|assignment| assignment.from <= at && assignment.until.is_none_or(|until| until > at))
            .collect();
        holders.sort_by_key(|assignment| assignment.slot);
        let position = holders.iter().position(|assignment| assignment.task == *task)?;
        Some(Share { position: u32::try_from(position).ok()?, of: u32::try_from(holders.len()).ok()? })
    }
}

/// The sum of several phases' totals.
pub fn total<'a>(phases: impl IntoIterator<Item = &'a TotalsStatus>) -> TotalsStatus {
    let mut sum = TotalsStatus::default();
    phases.into_iter().for_each(|phase| sum.add(phase));
    sum
}

/// The latencies for status, rounded up to whole milliseconds.
pub fn latency_status(latency: &Latencies) -> Option<LatencyStatus> {
    let millis = |value: Duration| u32::try_from(value.as_micros().div_ceil(1000)).unwrap_or(u32::MAX);
    Some(LatencyStatus {
        p50: millis(latency.percentile(50.0)?),
        p99: millis(latency.percentile(99.0)?),
        max: millis(latency.max()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Content;
    use crate::ledger::{Counters, LedgerLine, MARKER};
    use crate::plan::PlannedPhase;

    const T0: MicroTime = MicroTime::from_micros(1_700_000_000_000_000);

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn timeline() -> Timeline {
        let phase = |name: &str, rate| PlannedPhase {
            name: name.into(),
            duration: s(10),
            rate,
            ramp: Duration::ZERO,
            content: Content::Viral,
            tasks: 2,
        };
        Timeline::new(&[phase("calm", 100), phase("storm", 1_000)], T0, &[])
    }

    fn assignment(task: &str, slot: u32, until: Option<u64>) -> Assignment {
        Assignment { slot, task: TaskId::from_arn(task), from: T0, until: until.map(|at| T0 + s(at)) }
    }

    fn line(task: &str, at: u64, is_final: bool, calm: u64, storm: u64) -> LedgerLine {
        let ledger = |accepted| PhaseLedger {
            counters: Counters { offered: accepted, accepted, ..Counters::default() },
            latency: Latencies::default(),
        };
        LedgerLine {
            kinesisdemo: MARKER.into(),
            run: 1,
            task: TaskId::from_arn(task),
            sequence: at,
            at: T0 + s(at),
            is_final,
            control: None,
            phases: BTreeMap::from([("calm".into(), ledger(calm)), ("storm".into(), ledger(storm))]),
        }
    }

    fn totals(assignments: &[Assignment], lines: Vec<LedgerLine>, until: u64) -> Vec<TotalsStatus> {
        let timeline = timeline();
        let mut ledgers = Ledgers::default();
        lines.into_iter().for_each(|line| ledgers.take(line));
        let accounting_inputs = AccountingInputs {
            timeline: &timeline,
            assignments,
            folded: &[],
            ledgers: &ledgers,
            cap_per_task: 10_000,
            unreported_for: s(2),
            until: T0 + s(until),
            cancelled_from: None,
        };
        accounting_inputs.totals().into_iter().map(|phase| phase.totals).collect()
    }

    fn assert_balanced(totals: &[TotalsStatus]) {
        for phase in totals {
            assert_eq!(phase.offered, phase.accepted + phase.failed + phase.dropped + phase.unknown);
            assert_eq!(phase.scheduled, phase.offered + phase.unoffered + phase.unreported);
        }
    }

    #[test]
    fn with_final_lines_of_all_tasks_nothing_is_missing() {
        let totals = totals(
            &[assignment("aaaa", 0, None), assignment("bbbb", 1, None)],
            vec![line("aaaa", 20, true, 500, 5_000), line("bbbb", 20, true, 500, 5_000)],
            20,
        );
        assert_balanced(&totals);
        assert_eq!((totals[0].scheduled, totals[0].unoffered, totals[0].unreported), (1_000, 0, 0));
        assert_eq!((totals[1].scheduled, totals[1].accepted), (10_000, 10_000));
    }

    #[test]
    fn a_dead_task_leaves_at_most_one_interval_unreported() {
        // The last line of b is from second 14. It died, and its slot was removed at second 18.
        let assignments = [assignment("aaaa", 0, None), assignment("bbbb", 1, Some(18))];
        let a = 5_000 - 1_000 + 2_000; // half of 18 s, all of the last 2 s
        let totals = totals(
            &assignments,
            vec![line("aaaa", 20, true, 500, a), line("bbbb", 14, false, 500, 2_000)],
            20,
        );
        assert_balanced(&totals);
        assert_eq!(totals[1].unreported, 1_000, "two seconds of half of 1,000 per second");
        assert_eq!(totals[1].unoffered, 1_000, "two more seconds in which no task had the slot");
    }

    #[test]
    fn a_final_line_does_not_cover_a_later_assignment() {
        let second = Assignment { from: T0 + s(5), ..assignment("aaaa", 0, Some(9)) };
        let totals =
            totals(&[assignment("aaaa", 0, Some(2)), second], vec![line("aaaa", 2, true, 200, 0)], 10);
        assert_balanced(&totals);
        assert_eq!(
            (totals[0].unreported, totals[0].unoffered),
            (200, 600),
            "two seconds of its second assignment"
        );
    }

    #[test]
    fn a_task_without_lines_is_unreported_from_its_first_slot() {
        let totals = totals(&[assignment("aaaa", 0, Some(5))], vec![], 10);
        assert_balanced(&totals);
        assert_eq!((totals[0].unreported, totals[0].unoffered), (200, 800));
    }

    #[test]
    fn shares_follow_slot_changes() {
        let timeline = timeline();
        let assignments = [assignment("aaaa", 0, None), assignment("bbbb", 1, Some(5))];
        let ledgers = Ledgers::default();
        let accounting_inputs = AccountingInputs {
            timeline: &timeline,
            assignments: &assignments,
            folded: &[],
            ledgers: &ledgers,
            cap_per_task: 10_000,
            unreported_for: s(2),
            until: T0 + s(20),
            cancelled_from: None,
        };
        let a = accounting_inputs.assigned(&TaskId::from_arn("aaaa"), T0, T0 + s(20));
        let b = accounting_inputs.assigned(&TaskId::from_arn("bbbb"), T0, T0 + s(20));
        assert_eq!((a[&0], b[&0]), (750, 250));
        assert_eq!((a[&1], b.get(&1)), (10_000, None));
    }
}

#[cfg(test)]
mod agreement_tests;

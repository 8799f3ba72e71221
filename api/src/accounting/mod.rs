//! The books of a run: what the plan scheduled against what the tasks say they did. In: the timeline, who had which slot
//! when, the last word of every task. Out: per phase, sums that balance. Pure.
//!
//! scheduled + excess = offered + unoffered + unreported, exactly, per phase; excess is zero unless tasks obeyed what the
//! operator did not write. `scheduled` is the integral of the plan and knows
//! nothing of tasks. What is missing from `offered` is either `unreported` (a task that died sent it, perhaps, after its last
//! word: at most one ledger interval of its share, if the log was read) or `unoffered` (everything else).

mod fold;
mod rate;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::MicroTime;
use crate::control::TaskId;
use crate::ledger::{Latencies, Ledgers, PhaseLedger};
use crate::schedule::Share;
use crate::status::{Assignment, FoldedPhase, LatencyStatus, TotalsStatus};
use crate::timeline::Timeline;

pub use fold::{Folding, MAX_ASSIGNMENTS};
pub use rate::Rate;

/// What the books are made from.
#[derive(Clone, Copy, Debug)]
pub struct AccountingInputs<'a> {
    /// The schedule.
    pub timeline: &'a Timeline,
    /// Who had which slot, and when.
    pub assignments: &'a [Assignment],
    /// What assignments that are not listed any more left open; see [`AccountingInputs::fold`].
    pub folded: &'a [FoldedPhase],
    /// The last word of every task.
    pub ledgers: &'a Ledgers,
    /// The most a single task sends.
    pub cap_per_task: u32,
    /// How long a task of which nothing more is heard may have gone on after its last word: what lies between two of its lines, if the
    /// log was read.
    pub unheard_for: Duration,
    /// Up to when the schedule counts: now, or the last instant at which any task may have sent, if that came earlier.
    pub until: MicroTime,
    /// From when on the schedule is called off, if it is: tasks send on until they have read of it.
    pub called_off_from: Option<MicroTime>,
}

/// The books of one phase.
#[derive(Clone, Debug, PartialEq)]
pub struct PhaseAccounting {
    /// The counts.
    pub totals: TotalsStatus,
    /// The latencies of accepted records.
    pub latency: Latencies,
}

impl AccountingInputs<'_> {
    /// The books of every phase, in order.
    pub fn totals(&self) -> Vec<PhaseAccounting> {
        let unheard = self.unheard();
        self.timeline
            .phases
            .iter()
            .enumerate()
            .map(|(index, window)| {
                let PhaseLedger { counters, latency } = self.ledgers.phase(&window.name);
                let offered = counters.settled();
                let whole = self.timeline.scheduled(index, self.until);
                let unreported = unheard.get(&index).copied().unwrap_or(0).min(whole.saturating_sub(offered));
                // What was called off is not missing.
                let called_off = self.called_off_from.unwrap_or(self.until).min(self.until);
                let scheduled =
                    (offered + unreported).clamp(self.timeline.scheduled(index, called_off), whole);
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

    /// Per phase, what the tasks without a last word leave open.
    fn unheard(&self) -> BTreeMap<usize, u64> {
        let mut unheard = BTreeMap::new();
        for (index, window) in self.timeline.phases.iter().enumerate() {
            let folded = self.folded.iter().filter(|folded| folded.phase == window.name);
            unheard.insert(index, folded.map(|folded| folded.unreported).sum());
        }
        for task in self.tasks() {
            for (index, count) in self.unheard_of(task) {
                *unheard.entry(index).or_default() += count;
            }
        }
        unheard
    }

    /// Every task that has or had a slot, once.
    fn tasks(&self) -> Vec<&TaskId> {
        let mut tasks: Vec<&TaskId> = self.assignments.iter().map(|held| &held.task).collect();
        tasks.sort();
        tasks.dedup();
        tasks
    }

    /// From when on nothing is known of what `task` did: its last line, if that is no last word, or the beginning of a slot
    /// since then.
    fn silent_from(&self, task: &TaskId) -> Option<MicroTime> {
        let line = self.ledgers.of(task);
        let slots = self.assignments.iter().filter(|held| held.task == *task).map(|held| held.from);
        match line {
            Some(line) if line.is_final => slots.filter(|from| *from > line.at).min(),
            Some(line) => Some(line.at),
            None => slots.min(),
        }
    }

    /// Per phase, the share of `task` for as long as it may have gone on after the line that is its last, plus what it had
    /// offered by then without knowing its outcome.
    fn unheard_of(&self, task: &TaskId) -> BTreeMap<usize, u64> {
        let Some(silent_from) = self.silent_from(task) else { return BTreeMap::new() };
        let mut unheard = self.assigned(task, silent_from, silent_from + self.unheard_for);
        for (index, window) in self.timeline.phases.iter().enumerate() {
            let line = self.ledgers.of(task);
            if let Some(ledger) = line.and_then(|line| line.phases.get(&window.name)) {
                *unheard.entry(index).or_default() +=
                    ledger.counters.offered.saturating_sub(ledger.counters.settled());
            }
        }
        unheard
    }

    /// The records that fell to `task` in [`from`, `until`), per phase.
    pub fn assigned(&self, task: &TaskId, from: MicroTime, until: MicroTime) -> BTreeMap<usize, u64> {
        let until = until.min(self.until);
        let mut instants: Vec<MicroTime> = self
            .assignments
            .iter()
            .flat_map(|held| [Some(held.from), held.until])
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
            .filter(|held| held.from <= at && held.until.is_none_or(|until| until > at))
            .collect();
        holders.sort_by_key(|held| held.slot);
        let position = holders.iter().position(|held| held.task == *task)?;
        Some(Share { position: u32::try_from(position).ok()?, of: u32::try_from(holders.len()).ok()? })
    }
}

/// The sum of several phases' books.
pub fn total<'a>(phases: impl IntoIterator<Item = &'a TotalsStatus>) -> TotalsStatus {
    let mut sum = TotalsStatus::default();
    for phase in phases {
        // Destructured without `..`: a count that is forgotten here would unbalance the books.
        let TotalsStatus {
            scheduled,
            offered,
            accepted,
            throttled,
            failed,
            dropped,
            unknown,
            unoffered,
            unreported,
            excess,
        } = phase;
        sum.scheduled += scheduled;
        sum.offered += offered;
        sum.accepted += accepted;
        sum.throttled += throttled;
        sum.failed += failed;
        sum.dropped += dropped;
        sum.unknown += unknown;
        sum.unoffered += unoffered;
        sum.excess += excess;
        sum.unreported += unreported;
    }
    sum
}

/// The percentiles that status shows, rounded up to whole milliseconds.
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

    fn tenure(task: &str, slot: u32, until: Option<u64>) -> Assignment {
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
            unheard_for: s(2),
            until: T0 + s(until),
            called_off_from: None,
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
    fn a_run_in_which_everybody_spoke_has_nothing_missing() {
        let totals = totals(
            &[tenure("aaaa", 0, None), tenure("bbbb", 1, None)],
            vec![line("aaaa", 20, true, 500, 5_000), line("bbbb", 20, true, 500, 5_000)],
            20,
        );
        assert_balanced(&totals);
        assert_eq!((totals[0].scheduled, totals[0].unoffered, totals[0].unreported), (1_000, 0, 0));
        assert_eq!((totals[1].scheduled, totals[1].accepted), (10_000, 10_000));
    }

    #[test]
    fn a_task_that_died_leaves_at_most_one_interval_unreported() {
        // b's last line is from second 14; it died; its slot was taken away at second 18.
        let assignments = [tenure("aaaa", 0, None), tenure("bbbb", 1, Some(18))];
        let a = 5_000 - 1_000 + 2_000; // half of 18 s, all of the last 2 s
        let totals = totals(
            &assignments,
            vec![line("aaaa", 20, true, 500, a), line("bbbb", 14, false, 500, 2_000)],
            20,
        );
        assert_balanced(&totals);
        assert_eq!(totals[1].unreported, 1_000, "two seconds of half of 1,000 per second");
        assert_eq!(totals[1].unoffered, 1_000, "two more seconds in which nobody had the slot");
    }

    #[test]
    fn a_task_that_died_in_its_second_tenure_is_not_taken_for_one_that_said_its_last_word() {
        let again = Assignment { from: T0 + s(5), ..tenure("aaaa", 0, Some(9)) };
        let totals = totals(&[tenure("aaaa", 0, Some(2)), again], vec![line("aaaa", 2, true, 200, 0)], 10);
        assert_balanced(&totals);
        assert_eq!(
            (totals[0].unreported, totals[0].unoffered),
            (200, 600),
            "two seconds of its second tenure"
        );
    }

    #[test]
    fn a_task_that_never_spoke_counts_from_its_first_slot() {
        let totals = totals(&[tenure("aaaa", 0, Some(5))], vec![], 10);
        assert_balanced(&totals);
        assert_eq!((totals[0].unreported, totals[0].unoffered), (200, 800));
    }

    #[test]
    fn shares_follow_the_slots_through_changes() {
        let timeline = timeline();
        let assignments = [tenure("aaaa", 0, None), tenure("bbbb", 1, Some(5))];
        let ledgers = Ledgers::default();
        let accounting_inputs = AccountingInputs {
            timeline: &timeline,
            assignments: &assignments,
            folded: &[],
            ledgers: &ledgers,
            cap_per_task: 10_000,
            unheard_for: s(2),
            until: T0 + s(20),
            called_off_from: None,
        };
        let a = accounting_inputs.assigned(&TaskId::from_arn("aaaa"), T0, T0 + s(20));
        let b = accounting_inputs.assigned(&TaskId::from_arn("bbbb"), T0, T0 + s(20));
        assert_eq!((a[&0], b[&0]), (750, 250));
        assert_eq!((a[&1], b.get(&1)), (10_000, None));
    }
}

#[cfg(test)]
mod agreement_tests;

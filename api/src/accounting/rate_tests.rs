use std::collections::BTreeMap;

use super::*;
use crate::control::Content;
use crate::demo::status::{Assignment, Interruption};
use crate::ledger::{Counters, Latencies, LedgerLine, Ledgers, MARKER, PhaseLedger};
use crate::plan::PlannedPhase;
use crate::timeline::Timeline;

const T0: MicroTime = MicroTime::from_micros(1_700_000_000_000_000);
const INTERVAL: u64 = 5_000;
const LOG_DELAY: u64 = 6_000;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// 100/s for 20 s, a ramp of 10 s to 10,000/s, 10,000/s for 100 s; nothing from second 60 to 70.
fn timeline() -> Timeline {
    let phase = |name: &str, seconds, rate, ramp| PlannedPhase {
        name: name.into(),
        duration: Duration::from_secs(seconds),
        rate,
        ramp: Duration::from_secs(ramp),
        content: Content::Viral,
        tasks: 1,
    };
    let interruption = Interruption { from: T0 + ms(60_000), until: T0 + ms(70_000) };
    Timeline::new(&[phase("calm", 20, 100, 0), phase("storm", 110, 10_000, 10)], T0, &[interruption])
}

/// Tasks that follow the schedule, accept `percent` of it, and write a line each interval, each
/// with its own offset.
struct TestTasks {
    timeline: Timeline,
    assignments: Vec<Assignment>,
    percent: u64,
    /// When the task of slot 0 dies.
    dies_at: Option<u64>,
}

impl TestTasks {
    /// One task from the start, nine more from `grows_at` on.
    fn growing(grows_at: u64) -> Self {
        let assignments = (0..10).map(|slot| Assignment {
            slot,
            task: TaskId::from_arn(&format!("{slot:08x}")),
            from: T0 + ms(if slot == 0 { 0 } else { grows_at }),
            until: None,
        });
        Self { timeline: timeline(), assignments: assignments.collect(), percent: 100, dies_at: None }
    }

    fn accounting_inputs<'a>(&'a self, ledgers: &'a Ledgers, now: u64) -> AccountingInputs<'a> {
        AccountingInputs {
            timeline: &self.timeline,
            assignments: &self.assignments,
            folded: &[],
            ledgers,
            cap_per_task: 20_000,
            unreported_for: ms(INTERVAL),
            until: T0 + ms(now),
            cancelled_from: None,
        }
    }

    fn accepted(&self, slot: usize, until: MicroTime) -> u64 {
        let (none, task) = (Ledgers::default(), &self.assignments[slot].task);
        let until = until.min(T0 + ms(self.dies_at.filter(|_| slot == 0).unwrap_or(u64::MAX >> 20)));
        let assigned = self.accounting_inputs(&none, 1_000_000).assigned(task, T0, until);
        assigned.values().sum::<u64>() * self.percent / 100
    }

    /// The lines that can be read at `now`, in reverse order, to test that the order does not
    /// matter.
    fn ledgers(&self, now: u64) -> Ledgers {
        let mut lines = Vec::new();
        for (slot, assignment) in self.assignments.iter().enumerate() {
            let first = assignment.from + ms(137 * slot as u64);
            for sequence in 1.. {
                let at = first + ms(INTERVAL) * (sequence as u32 - 1);
                let is_dead = self.dies_at.is_some_and(|dies_at| slot == 0 && at >= T0 + ms(dies_at));
                if at + ms(LOG_DELAY - 1_000 + 100 * slot as u64) > T0 + ms(now) || is_dead {
                    break;
                }
                lines.push(line(&assignment.task, sequence, at, self.accepted(slot, at)));
            }
        }
        let mut ledgers = Ledgers::default();
        lines.into_iter().rev().for_each(|line| ledgers.take(line));
        ledgers
    }

    fn rate(&self, now: u64) -> Option<Rate> {
        let ledgers = self.ledgers(now);
        self.accounting_inputs(&ledgers, now).rate(T0 + ms(now), ms(INTERVAL), ms(LOG_DELAY))
    }

    /// The exact accepted rate in the window of `rate`.
    fn truth(&self, rate: &Rate) -> f64 {
        let count = |at| (0..self.assignments.len()).map(|slot| self.accepted(slot, at)).sum::<u64>();
        (count(rate.until) - count(rate.from)) as f64 / rate.until.since(rate.from).as_secs_f64()
    }
}

fn line(task: &TaskId, sequence: u64, at: MicroTime, accepted: u64) -> LedgerLine {
    let counters = Counters { offered: accepted, accepted, ..Counters::default() };
    LedgerLine {
        kinesisdemo: MARKER.into(),
        run: 1,
        task: task.clone(),
        sequence,
        at,
        is_final: false,
        control: None,
        phases: BTreeMap::from([("storm".into(), PhaseLedger { counters, latency: Latencies::default() })]),
    }
}

#[test]
fn the_rate_does_not_drop_while_the_fleet_grows() {
    for (grows_at, percent, allowed) in
        [(25_000, 100, 1.0), (40_000, 100, 1.0), (40_000, 37, 6.0), (60_000, 100, 1.0)]
    {
        let tasks = TestTasks { percent, ..TestTasks::growing(grows_at) };
        let mut checks = 0;
        for now in (2_000..150_000).step_by(730) {
            let Some(rate) = tasks.rate(now) else {
                assert!(now <= 10_500, "no rate at {now}");
                continue;
            };
            checks += 1;
            let off = (rate.accepted as f64 - tasks.truth(&rate)).abs();
            assert!(off <= allowed, "off by {off} at {now}: {rate:?}, {}", tasks.truth(&rate));
            if percent == 100 {
                assert!(rate.accepted.abs_diff(rate.target) <= 1, "at {now}: {rate:?}");
            }
            assert!(
                T0 + ms(now) <= rate.until + ms(LOG_DELAY + 2 * INTERVAL),
                "not up to date at {now}: {rate:?}"
            );
            assert!(rate.until.since(rate.from) <= ms(2 * INTERVAL));
        }
        assert!(checks > 190, "{checks}");
    }
}

#[test]
fn the_target_of_a_ramp_is_that_of_the_same_window() {
    let tasks = TestTasks::growing(40_000);
    let seen: Vec<_> = (28_000..40_000).step_by(1_000).filter_map(|now| tasks.rate(now)).collect();
    assert!(seen.iter().any(|rate| (1_000..8_000).contains(&rate.target)), "{seen:?}");
    assert!(seen.windows(2).all(|pair| pair[0].target <= pair[1].target), "{seen:?}");
}

#[test]
fn a_silent_task_is_awaited_three_intervals_then_counts_zero() {
    let tasks = TestTasks { dies_at: Some(82_000), ..TestTasks::growing(25_000) };
    let last_line_at = T0 + ms(80_000);
    assert!(
        tasks.rate(93_000).unwrap().until == last_line_at,
        "the dead task is awaited: {:?}",
        tasks.rate(93_000)
    );
    let late = tasks.rate(112_000).unwrap();
    assert!(late.until > T0 + ms(100_000), "{late:?}");
    assert_eq!((late.accepted, late.target), (9_000, 10_000));
    assert!((tasks.truth(&late) - 9_000.0).abs() <= 1.0);
}

#[test]
fn ended_tasks_count_to_their_final_line_and_none_without_lines() {
    let mut tasks = TestTasks::growing(25_000);
    assert_eq!(tasks.accounting_inputs(&Ledgers::default(), 0).rate(T0, ms(INTERVAL), ms(LOG_DELAY)), None);
    for assignment in &mut tasks.assignments {
        assignment.until = Some(T0 + ms(90_000));
    }
    let mut ledgers = Ledgers::default();
    for (slot, assignment) in tasks.assignments.iter().enumerate() {
        let accepted = |at| tasks.accepted(slot, at);
        ledgers.take(line(&assignment.task, 1, T0 + ms(85_000), accepted(T0 + ms(85_000))));
        let last = line(&assignment.task, 2, T0 + ms(90_020), accepted(T0 + ms(90_020)));
        ledgers.take(LedgerLine { is_final: true, ..last });
    }
    let rate =
        |now| tasks.accounting_inputs(&ledgers, now).rate(T0 + ms(now), ms(INTERVAL), ms(LOG_DELAY)).unwrap();
    let ending = rate(95_000);
    assert_eq!((ending.until, ending.accepted), (T0 + ms(95_000), 5_000), "half of the window has traffic");
    assert_eq!(rate(101_000).accepted, 0);
}

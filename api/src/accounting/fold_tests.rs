use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::control::Content;
use crate::demo::status::TotalsStatus;
use crate::ledger::{Counters, Latencies, LedgerLine, Ledgers, MARKER, PhaseLedger};
use crate::plan::PlannedPhase;
use crate::timeline::Timeline;

const T0: MicroTime = MicroTime::from_micros(1_700_000_000_000_000);

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Two phases of ten minutes.
fn timeline() -> Timeline {
    let phase = |name: &str, rate| PlannedPhase {
        name: name.into(),
        duration: Duration::from_secs(600),
        rate,
        ramp: Duration::ZERO,
        content: Content::Viral,
        tasks: 3,
    };
    Timeline::new(&[phase("calm", 70), phase("storm", 1_000)], T0, &[])
}

/// The assignment of one task; those of a slot follow each other.
#[derive(Clone, Debug)]
struct SlotAssignment {
    lasts: u64,
    /// When it wrote its last line, in percent of its time; `None`: it never wrote one.
    last_line_percent: Option<u64>,
    writes_final_line: bool,
    in_flight: u64,
}

fn slot_assignment() -> impl Strategy<Value = SlotAssignment> {
    (1_u64..40_000, prop::option::of(0_u64..101), any::<bool>(), 0_u64..20).prop_map(
        |(lasts, last_line_percent, writes_final_line, in_flight)| SlotAssignment {
            lasts,
            last_line_percent,
            writes_final_line,
            in_flight,
        },
    )
}

/// The assignments up to `now`, and the ledgers of their tasks.
fn simulated(slots: &[Vec<SlotAssignment>], now: u64) -> (Vec<Assignment>, Ledgers) {
    let (mut assignments, mut ledgers) = (Vec::new(), Ledgers::default());
    for (slot, slot_assignments) in slots.iter().enumerate() {
        let mut from = 0;
        for (number, slot_assignment) in slot_assignments.iter().enumerate() {
            if from >= now {
                break;
            }
            let (task, until) =
                (TaskId::from_arn(&format!("{slot:02x}{number:06x}")), from + slot_assignment.lasts);
            let is_last = number + 1 == slot_assignments.len();
            let ends = (!is_last && until <= now).then_some(T0 + ms(until));
            let assignment =
                Assignment { slot: slot as u32, task: task.clone(), from: T0 + ms(from), until: ends };
            assignments.push(assignment);
            if let Some(last_line_percent) = slot_assignment.last_line_percent {
                let at = (from + slot_assignment.lasts * last_line_percent / 100).min(now);
                let is_final = slot_assignment.writes_final_line && until <= now && !is_last;
                ledgers.take(line(task, at, is_final, if is_final { 0 } else { slot_assignment.in_flight }));
            }
            from = until;
        }
    }
    (assignments, ledgers)
}

fn line(task: TaskId, at: u64, is_final: bool, in_flight: u64) -> LedgerLine {
    let counters = Counters { offered: 5 + in_flight, accepted: 5, ..Counters::default() };
    LedgerLine {
        kinesisdemo: MARKER.into(),
        run: 1,
        task,
        sequence: at,
        at: T0 + ms(at),
        is_final,
        control: None,
        phases: BTreeMap::from([("calm".into(), PhaseLedger { counters, latency: Latencies::default() })]),
    }
}

fn accounting_inputs<'a>(
    timeline: &'a Timeline,
    (assignments, folded): (&'a [Assignment], &'a [FoldedPhase]),
    ledgers: &'a Ledgers,
    now: u64,
) -> AccountingInputs<'a> {
    AccountingInputs {
        timeline,
        assignments,
        folded,
        ledgers,
        cap_per_task: 10_000,
        unreported_for: ms(5_000),
        until: T0 + ms(now),
        cancelled_from: None,
    }
}

fn totals(accounting_inputs: &AccountingInputs<'_>) -> Vec<TotalsStatus> {
    accounting_inputs.totals().into_iter().map(|phase| phase.totals).collect()
}

#[test]
fn folding_stays_short_while_tasks_keep_dying() {
    let timeline = timeline();
    // A task dies every five seconds for twenty minutes, in each of three slots: 720 tasks without
    // a final line.
    let dying_task =
        SlotAssignment { lasts: 5_000, last_line_percent: Some(60), writes_final_line: false, in_flight: 3 };
    let slots = vec![vec![dying_task; 400]; 3];
    let (mut record, mut folded) = (Vec::<Assignment>::new(), Vec::new());
    let mut longest = 0;
    for now in (30_000..=1_200_000).step_by(7_000) {
        let (all, ledgers) = simulated(&slots, now);
        // What the operator has stored: the assignments kept by the last fold, and the new ones.
        let known: BTreeSet<_> =
            record.iter().map(|assignment: &Assignment| assignment.task.clone()).collect();
        let newest = record.iter().map(|assignment| assignment.from).max();
        record = all
            .iter()
            .filter(|assignment| {
                known.contains(&assignment.task) || newest.is_none_or(|newest| assignment.from > newest)
            })
            .cloned()
            .collect();
        let before = accounting_inputs(&timeline, (&record, &folded), &ledgers, now);
        let whole = accounting_inputs(&timeline, (&all, &[]), &ledgers, now);
        assert_eq!(totals(&before), totals(&whole), "{now}");
        let folding = before.fold(T0 + ms(now - 20_000));
        longest = longest.max(folding.assignments.len());
        let after = accounting_inputs(&timeline, (&folding.assignments, &folding.folded), &ledgers, now);
        assert_eq!(totals(&after), totals(&whole), "{now}");
        (record, folded) = (folding.assignments, folding.folded);
    }
    assert!(longest <= 30, "{longest} of 720 assignments are kept");
    assert!(folded.iter().all(|phase| phase.unreported > 0) && folded.len() == 2, "{folded:?}");
}

#[test]
fn an_assignment_that_affects_a_kept_share_is_kept() {
    let timeline = timeline();
    let silent = SlotAssignment {
        lasts: 1_000_000,
        last_line_percent: Some(1),
        writes_final_line: false,
        in_flight: 0,
    };
    let brief =
        SlotAssignment { lasts: 2_000, last_line_percent: Some(100), writes_final_line: true, in_flight: 0 };
    let (record, ledgers) = simulated(&[vec![silent], vec![brief; 100]], 300_000);
    let folding = accounting_inputs(&timeline, (&record, &[]), &ledgers, 300_000).fold(T0 + ms(280_000));
    // The silent task's last line is from 10 s, so only assignments that ended before are folded.
    assert_eq!((record.len(), folding.assignments.len(), folding.folded), (101, 96, vec![]));
}

proptest! {
    #[test]
    fn totals_are_the_same_after_folding_and_stay_so(
        slots in prop::collection::vec(prop::collection::vec(slot_assignment(), 1..30), 1..4),
        now in 20_000_u64..700_000, back in 0_u64..60_000, later in 0_u64..600_000,
    ) {
        let timeline = timeline();
        let (record, ledgers) = simulated(&slots, now);
        let before = accounting_inputs(&timeline, (&record, &[]), &ledgers, now);
        let folding = before.fold(T0 + ms(now.saturating_sub(back)));
        let kept = (&folding.assignments[..], &folding.folded[..]);
        prop_assert_eq!(totals(&accounting_inputs(&timeline, kept, &ledgers, now)), totals(&before));

        // Time passes, and the kept tasks report once more.
        let mut ledgers = ledgers;
        for assignment in &folding.assignments {
            let has_final_line = ledgers.of(&assignment.task).is_some_and(|line| line.is_final);
            if assignment.until.is_none() && !has_final_line {
                ledgers.take(line(assignment.task.clone(), now + later / 2, false, 1));
            }
        }
        let before = accounting_inputs(&timeline, (&record, &[]), &ledgers, now + later);
        let after = accounting_inputs(&timeline, kept, &ledgers, now + later);
        prop_assert_eq!(totals(&after), totals(&before));
        // Folding again counts nothing twice.
        let again = after.fold(T0 + ms(now + later));
        let after = accounting_inputs(&timeline, (&again.assignments, &again.folded), &ledgers, now + later);
        prop_assert_eq!(totals(&after), totals(&before));
    }
}

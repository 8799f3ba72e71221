use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::control::Content;
use crate::ledger::{Counters, Latencies, LedgerLine, Ledgers, MARKER, PhaseLedger};
use crate::plan::PlannedPhase;
use crate::status::TotalsStatus;
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

/// One task's time in a slot, one after the other in each slot: how long it lasts, when its last line is, what is in it.
#[derive(Clone, Debug)]
struct SlotAssignment {
    lasts: u64,
    /// Up to how much of its time it was heard of, in percent; `None`: never.
    heard: Option<u64>,
    says_last_word: bool,
    in_flight: u64,
}

fn tenure() -> impl Strategy<Value = SlotAssignment> {
    (1_u64..40_000, prop::option::of(0_u64..101), any::<bool>(), 0_u64..20).prop_map(
        |(lasts, heard, says_last_word, in_flight)| SlotAssignment {
            lasts,
            heard,
            says_last_word,
            in_flight,
        },
    )
}

/// The record of who had which slot up to `now`, and what was heard of them.
fn played(slots: &[Vec<SlotAssignment>], now: u64) -> (Vec<Assignment>, Ledgers) {
    let (mut assignments, mut ledgers) = (Vec::new(), Ledgers::default());
    for (slot, tenures) in slots.iter().enumerate() {
        let mut from = 0;
        for (number, tenure) in tenures.iter().enumerate() {
            if from >= now {
                break;
            }
            let (task, until) = (TaskId::from_arn(&format!("{slot:02x}{number:06x}")), from + tenure.lasts);
            let is_last = number + 1 == tenures.len();
            let ends = (!is_last && until <= now).then_some(T0 + ms(until));
            let assignment =
                Assignment { slot: slot as u32, task: task.clone(), from: T0 + ms(from), until: ends };
            assignments.push(assignment);
            if let Some(heard) = tenure.heard {
                let at = (from + tenure.lasts * heard / 100).min(now);
                let is_final = tenure.says_last_word && until <= now && !is_last;
                ledgers.take(line(task, at, is_final, if is_final { 0 } else { tenure.in_flight }));
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
        unheard_for: ms(5_000),
        until: T0 + ms(now),
        called_off_from: None,
    }
}

fn totals(accounting_inputs: &AccountingInputs<'_>) -> Vec<TotalsStatus> {
    accounting_inputs.totals().into_iter().map(|phase| phase.totals).collect()
}

#[test]
fn tasks_that_die_for_ever_leave_a_short_record_and_the_same_totals() {
    let timeline = timeline();
    // Every five seconds, for twenty minutes, in each of three slots: 720 tasks, none of which says a last word.
    let dying = SlotAssignment { lasts: 5_000, heard: Some(60), says_last_word: false, in_flight: 3 };
    let slots = vec![vec![dying; 400]; 3];
    let (mut record, mut folded) = (Vec::<Assignment>::new(), Vec::new());
    let mut longest = 0;
    for now in (30_000..=1_200_000).step_by(7_000) {
        let (all, ledgers) = played(&slots, now);
        // What the operator holds: what it folded before, and what is new.
        let known: BTreeSet<_> = record.iter().map(|held: &Assignment| held.task.clone()).collect();
        let newest = record.iter().map(|held| held.from).max();
        record = all
            .iter()
            .filter(|held| known.contains(&held.task) || newest.is_none_or(|newest| held.from > newest))
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
    assert!(longest <= 30, "{longest} of 720 are kept");
    assert!(folded.iter().all(|phase| phase.unreported > 0) && folded.len() == 2, "{folded:?}");
}

#[test]
fn an_assignment_on_which_the_share_of_another_depends_stays() {
    let timeline = timeline();
    let silent = SlotAssignment { lasts: 1_000_000, heard: Some(1), says_last_word: false, in_flight: 0 };
    let brief = SlotAssignment { lasts: 2_000, heard: Some(100), says_last_word: true, in_flight: 0 };
    let (record, ledgers) = played(&[vec![silent], vec![brief; 100]], 300_000);
    let folding = accounting_inputs(&timeline, (&record, &[]), &ledgers, 300_000).fold(T0 + ms(280_000));
    // The silent task was last heard of at 10 s: only who ended before is of no more interest.
    assert_eq!((record.len(), folding.assignments.len(), folding.folded), (101, 96, vec![]));
}

proptest! {
    #[test]
    fn the_books_are_the_same_before_and_after_folding_and_stay_so(
        slots in prop::collection::vec(prop::collection::vec(tenure(), 1..30), 1..4),
        now in 20_000_u64..700_000, back in 0_u64..60_000, later in 0_u64..600_000,
    ) {
        let timeline = timeline();
        let (record, ledgers) = played(&slots, now);
        let before = accounting_inputs(&timeline, (&record, &[]), &ledgers, now);
        let folding = before.fold(T0 + ms(now.saturating_sub(back)));
        let kept = (&folding.assignments[..], &folding.folded[..]);
        prop_assert_eq!(totals(&accounting_inputs(&timeline, kept, &ledgers, now)), totals(&before));

        // Time goes on, and those that stayed are heard of once more.
        let mut ledgers = ledgers;
        for held in &folding.assignments {
            let word = ledgers.of(&held.task).is_some_and(|line| line.is_final);
            if held.until.is_none() && !word {
                ledgers.take(line(held.task.clone(), now + later / 2, false, 1));
            }
        }
        let before = accounting_inputs(&timeline, (&record, &[]), &ledgers, now + later);
        let after = accounting_inputs(&timeline, kept, &ledgers, now + later);
        prop_assert_eq!(totals(&after), totals(&before));
        // Folded once more, nothing is counted twice.
        let again = after.fold(T0 + ms(now + later));
        let after = accounting_inputs(&timeline, (&again.assignments, &again.folded), &ledgers, now + later);
        prop_assert_eq!(totals(&after), totals(&before));
    }
}

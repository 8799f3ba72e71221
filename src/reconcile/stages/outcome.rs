//! How a run ended, judged by its totals. In: the settled totals, and whether the log behind them
//! was lost. Out: the condition `TrafficDelivered`, and the outcome of a run whose schedule is
//! complete. Pure.

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::status::{Outcome, TotalsStatus};

use super::decision_builder::DecisionBuilder;
use super::task_failures::failure_clause;
use crate::kubernetes::events::RunEvent;
use crate::reconcile::next_step::with_next_step;

/// One record in this many may be missing: from the offered records before a run fails, and from
/// the accepted records before the traffic counts as partly delivered.
const TOLERATED: u64 = 100;

/// Why a run with a complete schedule failed: its records were not offered. Records that a cold
/// stream throttles are what the demo shows. They are no failure, unless nothing was accepted at
/// all.
pub fn failure(totals: &TotalsStatus) -> Option<(Reason, String)> {
    let TotalsStatus { scheduled, accepted, .. } = *totals;
    if scheduled > 0 && accepted == 0 {
        return Some((Reason::NothingDelivered, describe(totals)));
    }
    if totals.excess * TOLERATED > scheduled {
        let message = format!(
            "{} records beyond the {scheduled} scheduled ones were offered: tasks obeyed a control document that this operator did not write: {}",
            totals.excess,
            describe(totals)
        );
        return Some((Reason::ControlOverwritten, message));
    }
    let missing = totals.unoffered + totals.unreported + totals.dropped;
    (missing * TOLERATED > scheduled).then(|| {
        let message = format!(
            "{} of {scheduled} scheduled records were not offered to the stream, more than 1 %: {}",
            missing,
            describe(totals)
        );
        (Reason::ScheduleNotOffered, message)
    })
}

/// The share of accepted records, and what happened to the rest.
pub fn describe(totals: &TotalsStatus) -> String {
    let TotalsStatus {
        scheduled,
        accepted,
        failed,
        dropped,
        unknown,
        unoffered,
        unreported,
        throttled,
        excess,
        offered: _,
    } = totals;
    let percent = percent(*accepted, *scheduled);
    let rest = [
        (failed, "failed"),
        (dropped, "dropped by tasks that had fallen behind"),
        (unknown, "unknown (no response received)"),
        (unoffered, "not offered by any task"),
        (unreported, "unreported by tasks that ended without a final ledger line"),
        (excess, "beyond the schedule"),
    ];
    let rest: Vec<String> = rest
        .into_iter()
        .filter(|(count, _)| **count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let rest = if rest.is_empty() { String::new() } else { format!("; {}", rest.join(", ")) };
    format!(
        "{accepted} of {scheduled} scheduled records were accepted ({percent} %){rest}; {throttled} send attempts were throttled"
    )
}

/// A share in percent with one decimal, rounded down: 100.0 means all records.
fn percent(part: u64, whole: u64) -> String {
    let tenths = u128::from(part) * 1_000 / u128::from(whole.max(1));
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Adds the result of the settled totals to the decision: the condition, an Event if records are
/// missing, and the outcome if the schedule was complete.
pub fn note_delivery(totals: &TotalsStatus, log_is_lost: bool, builder: &mut DecisionBuilder) {
    let message = describe(totals);
    let number = builder.status.run_number();
    if log_is_lost {
        let message = format!("the tasks' log could not be read completely; known so far: {message}");
        builder.run_events.push(RunEvent::records_missing(number, &message));
        builder.found(
            ConditionType::TrafficDelivered,
            ConditionStatus::Unknown,
            Reason::LogUnreadable,
            message,
        );
        return;
    }
    let (status, reason) = match (totals.scheduled - totals.accepted.min(totals.scheduled)) * TOLERATED {
        missing if missing > totals.scheduled => (ConditionStatus::False, Reason::PartlyDelivered),
        _ if totals.excess * TOLERATED > totals.scheduled => {
            (ConditionStatus::False, Reason::ControlOverwritten)
        }
        _ => (ConditionStatus::True, Reason::Delivered),
    };
    if totals.dropped + totals.unknown + totals.unoffered + totals.unreported + totals.excess > 0 {
        builder.run_events.push(RunEvent::records_missing(number, &message));
    }
    builder.found(ConditionType::TrafficDelivered, status, reason, message);
    let task_failure = failure_clause(&builder.status);
    if let Some(run) = &mut builder.status.run
        && run.outcome == Some(Outcome::Succeeded)
        && let Some((reason, message)) = failure(totals)
    {
        run.outcome = Some(Outcome::Failed);
        run.reason = Some(reason);
        run.message = Some(with_next_step(reason, &format!("{message}{task_failure}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(scheduled: u64, accepted: u64) -> TotalsStatus {
        TotalsStatus { scheduled, offered: accepted, accepted, ..TotalsStatus::default() }
    }

    #[test]
    fn an_offered_schedule_succeeds_however_much_is_throttled() {
        let throttled =
            TotalsStatus { offered: 1_600, failed: 1_248, throttled: 9_000, ..totals(1_600, 352) };
        assert_eq!(failure(&throttled), None);
        assert_eq!(failure(&totals(0, 0)), None);
        assert_eq!(failure(&TotalsStatus { unoffered: 1, ..totals(100, 99) }), None);
    }

    #[test]
    fn more_than_one_percent_not_offered_fails_the_run() {
        for missing in [
            TotalsStatus { unoffered: 2, ..totals(100, 98) },
            TotalsStatus { unreported: 2, ..totals(100, 98) },
            TotalsStatus { dropped: 2, ..totals(100, 98) },
        ] {
            let (reason, message) = failure(&missing).unwrap();
            assert_eq!(reason, Reason::ScheduleNotOffered);
            assert!(message.starts_with("2 of 100 scheduled records were not offered"), "{message}");
        }
        assert!(matches!(failure(&totals(100, 0)), Some((Reason::NothingDelivered, _))));
    }

    #[test]
    fn the_message_has_the_share_and_the_missing_records() {
        let totals = TotalsStatus { failed: 300, unoffered: 50, throttled: 12_000, ..totals(1_600, 1_250) };
        assert_eq!(
            describe(&totals),
            "1250 of 1600 scheduled records were accepted (78.1 %); 300 failed, 50 not offered by any task; 12000 send attempts were throttled"
        );
    }
}

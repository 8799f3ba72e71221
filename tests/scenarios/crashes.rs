//! The operator crashes after each single external call of a whole run and another one takes over.
//! The final state is the same.

use std::time::Duration;

use kinesis_demo_api::status::{KinesisDemoStatus, Outcome, Stage};

use kinesis_demo_api::KinesisDemoSpec;
use kinesis_demo_api::duration::DurationText;
use kinesis_demo_testing::totals::assert_balanced;

use crate::harness::{Harness, s, warm_spec};

/// The warm event with shorter phases. The length of a run does not change which calls it makes.
fn spec() -> KinesisDemoSpec {
    let mut spec = warm_spec();
    for phase in &mut spec.phases {
        phase.duration = DurationText::seconds(40);
    }
    spec
}

const SCHEDULED: u64 = 40 * 60_200;

async fn calls_of_a_whole_run() -> u64 {
    let mut harness = Harness::new(spec());
    harness.run_to_end().await;
    harness.aws.calls().len() as u64
}

#[tokio::test]
async fn a_crash_after_any_single_call_does_not_change_the_result() {
    let calls = calls_of_a_whole_run().await;
    assert!(calls > 100, "{calls} calls are too few for a whole run");
    for call in 1..=calls {
        let mut harness = Harness::new(spec());
        harness.aws.crash_after_call(call);
        while harness.step().await {
            if harness.aws.crashed() {
                harness.restart();
            }
        }
        if harness.aws.crashed() {
            harness.restart();
            harness.run_to_end().await;
        }
        assert_eq!(
            harness.status().stage,
            Some(Stage::Succeeded),
            "crash after call {call}: {:?} {:?}",
            harness.status().run.and_then(|run| run.message),
            harness.errors
        );
        assert_eq!(harness.outcome(), Some(Outcome::Succeeded));
        let totals = harness.totals();
        assert_balanced(&totals);
        assert_eq!(totals.scheduled, SCHEDULED, "crash after call {call}");
        assert!(totals.accepted * 100 >= SCHEDULED * 99, "crash after call {call}: {totals:?}");
        harness.assert_nothing_left();
    }
}

#[tokio::test]
async fn repeated_crashes_do_not_change_the_result() {
    for every in [3, 7, 20] {
        let mut harness = Harness::new(spec());
        harness.aws.crash_after_call(every);
        for _ in 0..100_000 {
            if !harness.step().await && !harness.aws.crashed() {
                break;
            }
            if harness.aws.crashed() {
                harness.restart();
                // A reconcile that cannot finish its reads makes no progress, so each operator
                // instance gets enough calls for about two reconciles.
                harness.aws.crash_after_call(every + 25);
            }
        }
        assert_eq!(harness.status().stage, Some(Stage::Succeeded), "{:?}", harness.status());
        assert_balanced(&harness.totals());
        harness.assert_nothing_left();
    }
}

#[tokio::test]
async fn a_takeover_with_a_long_log_does_not_delay_traffic() {
    assert_takeover_reads_in_pieces(s(0), 8).await;
}

#[tokio::test]
async fn a_takeover_with_a_slow_log_does_not_delay_traffic() {
    assert_takeover_reads_in_pieces(s(3), 2).await;
}

async fn assert_takeover_reads_in_pieces(page_takes: Duration, pages_at_once: u64) {
    let mut harness = Harness::new(spec());
    let in_peak = |status: &KinesisDemoStatus| {
        let phase = status.phase.as_ref().is_some_and(|phase| phase.name == "peak");
        phase && status.traffic.as_ref().is_some_and(|traffic| traffic.totals.accepted > 500_000)
    };
    harness.run_until(s(7200), in_peak).await;
    let known = harness.status().traffic.unwrap();
    harness.aws.set_ledger_page(1, page_takes);
    harness.restart();
    let mut pieces = 0;
    while harness.status().traffic.unwrap().sampled_at == known.sampled_at {
        let read = harness.aws.call_counts()["FilterLogEvents"];
        assert!(harness.step().await);
        let read = harness.aws.call_counts()["FilterLogEvents"] - read;
        assert!(read <= pages_at_once, "{read} pages at once");
        pieces += u32::from(read == pages_at_once);
        // A partly read log does not change the totals.
        let traffic = harness.status().traffic.unwrap();
        assert!(traffic.sampled_at > known.sampled_at || traffic.totals == known.totals, "{traffic:?}");
    }
    assert!(pieces >= 3, "{pieces} pieces");
    // A leader that has not read the log yet does not report tasks as silent.
    assert_eq!(harness.status().generators.unwrap().replaced, 0);
    assert!(harness.cluster.run_events().iter().all(|run_event| run_event.reason != "SilentTasksReplaced"));
    assert!(harness.totals().accepted > known.totals.accepted);
    harness.aws.set_ledger_page(usize::MAX, s(0));
    harness.run_to_end().await;
    assert_eq!(harness.outcome(), Some(Outcome::Succeeded));
    let status = harness.status();
    assert_eq!(status.control.unwrap().interruptions, [], "control lapsed");
    assert_eq!(harness.totals().accepted, SCHEDULED);
    assert_balanced(&harness.totals());
    harness.assert_nothing_left();
}

//! The operator dies after each single outside call of a whole run, and another takes over: the final state is the same.

use std::time::Duration;

use kinesis_demo_api::status::{KinesisDemoStatus, Outcome, Stage};

use kinesis_demo_api::KinesisDemoSpec;
use kinesis_demo_api::duration::DurationText;

use crate::harness::{Theatre, assert_balanced, s, warm_spec};

/// The warm event, shorter: a run of every length makes the same kinds of calls.
fn spec() -> KinesisDemoSpec {
    let mut spec = warm_spec();
    for phase in &mut spec.phases {
        phase.duration = DurationText::seconds(40);
    }
    spec
}

const SCHEDULED: u64 = 40 * 60_200;

async fn calls_of_a_whole_run() -> u64 {
    let mut theatre = Theatre::new(spec());
    theatre.play_out().await;
    theatre.aws.calls().len() as u64
}

#[tokio::test]
async fn a_crash_after_any_single_call_changes_nothing_in_the_end() {
    let calls = calls_of_a_whole_run().await;
    assert!(calls > 100, "{calls} calls are no whole run");
    for call in 1..=calls {
        let mut theatre = Theatre::new(spec());
        theatre.aws.crash_after_call(call);
        while theatre.pass().await {
            if theatre.aws.crashed() {
                theatre.restart();
            }
        }
        if theatre.aws.crashed() {
            theatre.restart();
            theatre.play_out().await;
        }
        assert_eq!(
            theatre.status().stage,
            Some(Stage::Succeeded),
            "crash after call {call}: {:?}",
            theatre.errors
        );
        assert_eq!(theatre.outcome(), Some(Outcome::Succeeded));
        let books = theatre.books();
        assert_balanced(&books);
        assert_eq!(books.scheduled, SCHEDULED, "crash after call {call}");
        assert!(books.accepted * 100 >= SCHEDULED * 99, "crash after call {call}: {books:?}");
        theatre.assert_nothing_left();
    }
}

#[tokio::test]
async fn dying_again_and_again_changes_nothing_in_the_end() {
    for every in [3, 7, 20] {
        let mut theatre = Theatre::new(spec());
        theatre.aws.crash_after_call(every);
        for _ in 0..100_000 {
            if !theatre.pass().await && !theatre.aws.crashed() {
                break;
            }
            if theatre.aws.crashed() {
                theatre.restart();
                // A pass that cannot even finish its reads gets nowhere: give each life two passes.
                theatre.aws.crash_after_call(every + 25);
            }
        }
        assert_eq!(theatre.status().stage, Some(Stage::Succeeded), "{:?}", theatre.status());
        assert_balanced(&theatre.books());
        theatre.assert_nothing_left();
    }
}

#[tokio::test]
async fn who_takes_over_a_long_run_reads_its_log_in_pieces_and_the_traffic_does_not_wait() {
    takes_over_a_log_of_many_pages(s(0), 8).await;
}

#[tokio::test]
async fn nor_does_the_traffic_wait_for_a_slow_log() {
    takes_over_a_log_of_many_pages(s(3), 2).await;
}

async fn takes_over_a_log_of_many_pages(page_takes: Duration, pages_at_once: u64) {
    let mut theatre = Theatre::new(spec());
    let in_peak = |status: &KinesisDemoStatus| {
        let phase = status.phase.as_ref().is_some_and(|phase| phase.name == "peak");
        phase && status.traffic.as_ref().is_some_and(|traffic| traffic.books.accepted > 500_000)
    };
    theatre.play_until(s(7200), in_peak).await;
    let known = theatre.status().traffic.unwrap();
    theatre.aws.set_ledger_page(1, page_takes);
    theatre.restart();
    let mut pieces = 0;
    while theatre.status().traffic.unwrap().sampled_at == known.sampled_at {
        let read = theatre.aws.call_counts()["FilterLogEvents"];
        assert!(theatre.pass().await);
        let read = theatre.aws.call_counts()["FilterLogEvents"] - read;
        assert!(read <= pages_at_once, "{read} pages at once");
        pieces += u32::from(read == pages_at_once);
        // Half of a log is no news.
        let traffic = theatre.status().traffic.unwrap();
        assert!(traffic.sampled_at > known.sampled_at || traffic.books == known.books, "{traffic:?}");
    }
    assert!(pieces >= 3, "{pieces} pieces");
    // Whoever has not read the log yet takes nobody for silent.
    assert_eq!(theatre.status().generators.unwrap().replaced, 0);
    assert!(theatre.cluster.notices().iter().all(|notice| notice.reason != "SilentTasksReplaced"));
    assert!(theatre.books().accepted > known.books.accepted);
    theatre.aws.set_ledger_page(usize::MAX, s(0));
    theatre.play_out().await;
    assert_eq!(theatre.outcome(), Some(Outcome::Succeeded));
    let status = theatre.status();
    assert_eq!(status.control.unwrap().stops, [], "control lapsed");
    assert_eq!(theatre.books().accepted, SCHEDULED);
    assert_balanced(&theatre.books());
    theatre.assert_nothing_left();
}

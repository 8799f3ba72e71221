//! The operator dies after each single outside call of a whole run, and another takes over: the final state is the same.

use kinesis_demo_api::status::{Outcome, Stage};

use kinesis_demo_api::KinesisDemoSpec;
use kinesis_demo_api::duration::DurationText;

use crate::theatre::{Theatre, assert_balanced, warm_spec};

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

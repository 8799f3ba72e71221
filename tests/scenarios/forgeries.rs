//! Control documents that someone else writes into the parameter: older ones, ones that outrank the
//! operator's document, ones with the operator's own version. The status reports what the tasks
//! did, and the operator never outbids a foreign epoch.

use kinesis_demo_api::conditions::Reason;
use kinesis_demo_api::control::ControlDocument;
use kinesis_demo_api::status::{Outcome, Stage};
use kinesis_demo_operator::clock::Clock;
use kinesis_demo_testing::totals::assert_balanced;

use crate::disruptions::{PARAMETER, SCHEDULED, aws, document, event_count, stored};
use crate::harness::{Harness, s, warm_spec};

#[tokio::test]
async fn a_document_that_outranks_ours_fails_the_run_of_the_leader() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("spike").await;
    let forged = ControlDocument { epoch: 1_000_000_000, ..document(&harness).await };
    aws(&harness).parameters.overwrite_parameter(PARAMETER, &forged.to_text().unwrap()).await.unwrap();
    harness.run_to_end().await;
    let status = harness.status();
    let run = status.run.unwrap();
    assert_eq!((run.outcome, run.reason), (Some(Outcome::Failed), Some(Reason::ControlOverwritten)));
    assert!(run.message.unwrap().contains("epoch 1000000000"));
    assert_eq!(status.control.unwrap().epoch, 1, "the forged epoch was outbid");
    let written = harness.aws.parameter_writes(PARAMETER).pop().unwrap().1;
    assert!(written.contains(r#""epoch":1,"#) && written.contains(r#""state":"Stop""#), "{written}");
    harness.assert_nothing_left();
}

/// A renewal writes without reading first. It overwrites a document forged in the seconds before,
/// but tasks may already have read that document.
#[tokio::test]
async fn a_document_that_only_tasks_have_read_fails_the_run_too() {
    let mut only_tasks_saw_it = 0;
    for steps in 0..16 {
        let mut harness = Harness::new(warm_spec());
        harness.run_until_phase("spike").await;
        for _ in 0..steps {
            assert!(harness.step().await);
        }
        let forged = ControlDocument { epoch: 1_000_000_000, ..document(&harness).await };
        aws(&harness).parameters.overwrite_parameter(PARAMETER, &forged.to_text().unwrap()).await.unwrap();
        // Long enough for a task to read it.
        harness.clock.advance(s(6));
        harness.run_to_end().await;
        let run = harness.status().run.unwrap();
        let obeyed = harness.aws.sent().iter().any(|sent| sent.version.0 == forged.epoch);
        let message = run.message.unwrap_or_default();
        match obeyed {
            true => {
                assert_eq!(run.reason, Some(Reason::ControlOverwritten), "after {steps} steps: {message}");
                only_tasks_saw_it += u32::from(message.contains("tasks follow version"));
            }
            false if run.outcome == Some(Outcome::Succeeded) => assert_eq!(stored(&harness), SCHEDULED),
            false => {
                assert_eq!(run.reason, Some(Reason::ControlOverwritten), "after {steps} steps: {message}")
            }
        }
        harness.assert_nothing_left();
    }
    assert!(only_tasks_saw_it > 0, "no renewal overwrote the forged document");
}

#[tokio::test]
async fn the_document_of_another_leader_is_left_alone() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("spike").await;
    harness.cluster.set_another_leads(true);
    let theirs = ControlDocument { epoch: 2, ..document(&harness).await };
    let text = theirs.to_text().unwrap();
    aws(&harness).parameters.overwrite_parameter(PARAMETER, &text).await.unwrap();
    let from = harness.clock.now();
    while harness.clock.now() < from + s(40) {
        assert!(harness.step().await);
    }
    assert_eq!(harness.aws.parameter_writes(PARAMETER).pop().unwrap().1, text);
    assert_eq!(harness.status().stage, Some(Stage::Running));
    // The other leader continues the run.
    harness.cluster.set_another_leads(false);
    harness.restart();
    harness.run_to_end().await;
    assert_eq!(harness.outcome(), Some(Outcome::Succeeded));
    harness.assert_nothing_left();
}

#[tokio::test]
async fn a_document_that_ours_outranks_is_overwritten() {
    let forgeries: [fn(ControlDocument) -> String; 3] = [
        |current| ControlDocument { epoch: 0, version: 0, ..current }.to_text().unwrap(),
        |current| ControlDocument { slots: Vec::new(), ..current }.to_text().unwrap(),
        |_| "no document at all".to_owned(),
    ];
    for forge in forgeries {
        let mut harness = Harness::new(warm_spec());
        harness.run_until_phase("spike").await;
        let forged = forge(document(&harness).await);
        aws(&harness).parameters.overwrite_parameter(PARAMETER, &forged).await.unwrap();
        harness.run_to_end().await;
        assert_eq!((harness.outcome(), stored(&harness)), (Some(Outcome::Succeeded), SCHEDULED), "{forged}");
        assert_eq!(event_count(&harness, "ControlRestored"), 1, "{forged}");
        harness.assert_nothing_left();
    }
}

#[tokio::test]
async fn an_older_copy_of_our_own_document_replays_nothing() {
    let forgeries: [fn(ControlDocument) -> ControlDocument; 3] = [
        |current| ControlDocument { valid_until: current.valid_until - s(300), ..current },
        |current| ControlDocument { epoch: 0, version: u64::MAX, ..current },
        |current| {
            let (effective_at, valid_until) = (current.effective_at - s(100), current.valid_until - s(300));
            ControlDocument { effective_at, valid_until, ..current }
        },
    ];
    for forge in forgeries {
        let mut harness = Harness::new(warm_spec());
        harness.run_until_phase("spike").await;
        harness.clock.advance(s(2));
        let forged = forge(document(&harness).await).to_text().unwrap();
        aws(&harness).parameters.overwrite_parameter(PARAMETER, &forged).await.unwrap();
        harness.run_to_end().await;
        assert_eq!(harness.status().control.unwrap().interruptions, [], "{forged}");
        assert_eq!((harness.outcome(), stored(&harness)), (Some(Outcome::Succeeded), SCHEDULED), "{forged}");
        assert_eq!(event_count(&harness, "ControlRestored"), 1, "{forged}");
        harness.assert_nothing_left();
    }
}

/// Someone keeps writing our own document with a higher rate that the plan allows in another phase.
/// Whatever the tasks do with it, a run that sent more than its schedule does not succeed, and its
/// totals report the excess.
#[tokio::test]
async fn sending_more_than_the_schedule_fails_the_run() {
    let mut succeeded = 0;
    for every in [1, 3, 7, 40] {
        let mut harness = Harness::new(warm_spec());
        harness.run_until_phase("baseline").await;
        let end = harness.clock.now() + s(300);
        let mut forge_at = harness.clock.now();
        while harness.clock.now() < end && harness.status().stage == Some(Stage::Running) {
            if harness.clock.now() >= forge_at {
                forge_at = harness.clock.now() + s(every);
                let mut forged = document(&harness).await;
                forged.segments.iter_mut().for_each(|segment| segment.span.rate = [5_000, 5_000]);
                let text = forged.to_text().unwrap();
                aws(&harness).parameters.overwrite_parameter(PARAMETER, &text).await.unwrap();
            }
            harness.step().await;
        }
        harness.run_to_end().await;
        let (totals, run) = (harness.totals(), harness.status().run.unwrap());
        assert_balanced(&totals);
        match totals.excess {
            0 => succeeded += u32::from(run.outcome == Some(Outcome::Succeeded)),
            _ => assert_eq!(run.outcome, Some(Outcome::Failed), "{totals:?}: {:?}", run.message),
        }
        assert!(event_count(&harness, "ControlRestored") > 0);
        harness.assert_nothing_left();
    }
    assert!(succeeded > 0, "tasks must ignore another document with the version they already have");
}

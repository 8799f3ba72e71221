//! Documents that somebody else wrote into the control parameter: older ones, ones that outrank the operator's, ones under its
//! own number. What the tasks did is told, and no epoch is outbid.

use kinesis_demo_api::conditions::Reason;
use kinesis_demo_api::control::ControlDocument;
use kinesis_demo_api::status::{Outcome, Stage};
use kinesis_demo_operator::clock::Clock;

use crate::harness::{Harness, assert_balanced, s, warm_spec};
use crate::truth::{PARAMETER, SCHEDULED, aws, document, stored, told};

#[tokio::test]
async fn a_document_that_outranks_ours_ends_the_run_if_the_lease_is_ours() {
    let mut harness = Harness::new(warm_spec());
    harness.play_until_phase("spike").await;
    let forged = ControlDocument { epoch: 1_000_000_000, ..document(&harness).await };
    aws(&harness).parameters.overwrite_parameter(PARAMETER, &forged.to_text().unwrap()).await.unwrap();
    harness.play_out().await;
    let status = harness.status();
    let run = status.run.unwrap();
    assert_eq!((run.outcome, run.reason), (Some(Outcome::Failed), Some(Reason::ControlOverwritten)));
    assert!(run.message.unwrap().contains("epoch 1000000000"));
    assert_eq!(status.control.unwrap().epoch, 1, "its epoch was not outbid");
    let written = harness.aws.parameter_writes(PARAMETER).pop().unwrap().1;
    assert!(written.contains(r#""epoch":1,"#) && written.contains(r#""state":"Stop""#), "{written}");
    harness.assert_nothing_left();
}

/// A renewal writes without a look: what was forged in the seconds before it is gone from the parameter, but not from the
/// tasks that read it.
#[tokio::test]
async fn a_document_that_only_the_tasks_saw_ends_the_run_all_the_same() {
    let mut only_tasks_saw_it = 0;
    for passes in 0..16 {
        let mut harness = Harness::new(warm_spec());
        harness.play_until_phase("spike").await;
        for _ in 0..passes {
            assert!(harness.pass().await);
        }
        let forged = ControlDocument { epoch: 1_000_000_000, ..document(&harness).await };
        aws(&harness).parameters.overwrite_parameter(PARAMETER, &forged.to_text().unwrap()).await.unwrap();
        // Long enough for a task to read it.
        harness.clock.advance(s(6));
        harness.play_out().await;
        let run = harness.status().run.unwrap();
        let obeyed = harness.aws.sent().iter().any(|sent| sent.version.0 == forged.epoch);
        let message = run.message.unwrap_or_default();
        match obeyed {
            true => {
                assert_eq!(run.reason, Some(Reason::ControlOverwritten), "after {passes} passes: {message}");
                only_tasks_saw_it += u32::from(message.contains("tasks obey version"));
            }
            false if run.outcome == Some(Outcome::Succeeded) => assert_eq!(stored(&harness), SCHEDULED),
            false => {
                assert_eq!(run.reason, Some(Reason::ControlOverwritten), "after {passes} passes: {message}")
            }
        }
        harness.assert_nothing_left();
    }
    assert!(only_tasks_saw_it > 0, "no renewal wrote over the forged document");
}

#[tokio::test]
async fn a_document_of_another_leader_is_left_alone() {
    let mut harness = Harness::new(warm_spec());
    harness.play_until_phase("spike").await;
    harness.cluster.set_another_leads(true);
    let theirs = ControlDocument { epoch: 2, ..document(&harness).await };
    let text = theirs.to_text().unwrap();
    aws(&harness).parameters.overwrite_parameter(PARAMETER, &text).await.unwrap();
    let from = harness.clock.now();
    while harness.clock.now() < from + s(40) {
        assert!(harness.pass().await);
    }
    assert_eq!(harness.aws.parameter_writes(PARAMETER).pop().unwrap().1, text);
    assert_eq!(harness.status().stage, Some(Stage::Running));
    // The other leader goes on with the run as it is.
    harness.cluster.set_another_leads(false);
    harness.restart();
    harness.play_out().await;
    assert_eq!(harness.outcome(), Some(Outcome::Succeeded));
    harness.assert_nothing_left();
}

#[tokio::test]
async fn a_document_that_ours_outranks_is_written_over() {
    let forgeries: [fn(ControlDocument) -> String; 3] = [
        |held| ControlDocument { epoch: 0, version: 0, ..held }.to_text().unwrap(),
        |held| ControlDocument { slots: Vec::new(), ..held }.to_text().unwrap(),
        |_| "no document at all".to_owned(),
    ];
    for forge in forgeries {
        let mut harness = Harness::new(warm_spec());
        harness.play_until_phase("spike").await;
        let forged = forge(document(&harness).await);
        aws(&harness).parameters.overwrite_parameter(PARAMETER, &forged).await.unwrap();
        harness.play_out().await;
        assert_eq!((harness.outcome(), stored(&harness)), (Some(Outcome::Succeeded), SCHEDULED), "{forged}");
        assert_eq!(told(&harness, "ControlPutBack"), 1, "{forged}");
        harness.assert_nothing_left();
    }
}

#[tokio::test]
async fn an_older_copy_of_our_own_document_replays_nothing() {
    let forgeries: [fn(ControlDocument) -> ControlDocument; 3] = [
        |held| ControlDocument { valid_until: held.valid_until - s(300), ..held },
        |held| ControlDocument { epoch: 0, version: u64::MAX, ..held },
        |held| {
            let (effective_at, valid_until) = (held.effective_at - s(100), held.valid_until - s(300));
            ControlDocument { effective_at, valid_until, ..held }
        },
    ];
    for forge in forgeries {
        let mut harness = Harness::new(warm_spec());
        harness.play_until_phase("spike").await;
        harness.clock.advance(s(2));
        let forged = forge(document(&harness).await).to_text().unwrap();
        aws(&harness).parameters.overwrite_parameter(PARAMETER, &forged).await.unwrap();
        harness.play_out().await;
        assert_eq!(harness.status().control.unwrap().interruptions, [], "{forged}");
        assert_eq!((harness.outcome(), stored(&harness)), (Some(Outcome::Succeeded), SCHEDULED), "{forged}");
        assert_eq!(told(&harness, "ControlPutBack"), 1, "{forged}");
        harness.assert_nothing_left();
    }
}

/// Somebody keeps writing a document of ours with a higher rate that the plan allows elsewhere: whatever the tasks make of it,
/// a run that sent more than its schedule is no success, and its totals say how much more.
#[tokio::test]
async fn more_than_the_schedule_is_no_success() {
    let mut succeeded = 0;
    for every in [1, 3, 7, 40] {
        let mut harness = Harness::new(warm_spec());
        harness.play_until_phase("baseline").await;
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
            harness.pass().await;
        }
        harness.play_out().await;
        let (totals, run) = (harness.totals(), harness.status().run.unwrap());
        assert_balanced(&totals);
        match totals.excess {
            0 => succeeded += u32::from(run.outcome == Some(Outcome::Succeeded)),
            _ => assert_eq!(run.outcome, Some(Outcome::Failed), "{totals:?}: {:?}", run.message),
        }
        assert!(told(&harness, "ControlPutBack") > 0);
        harness.assert_nothing_left();
    }
    assert!(succeeded > 0, "tasks that hold a version obey no other document of its number");
}

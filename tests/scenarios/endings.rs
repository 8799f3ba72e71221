//! Runs that end before their schedule: aborted, deleted, past the deadline.

use std::time::Duration;

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::demo::{ABANDON_ANNOTATION, KinesisDemoSpec};
use kinesis_demo_api::duration::DurationText;
use kinesis_demo_api::request::RequestOutcome;
use kinesis_demo_api::status::{Outcome, ResourceState, Stage};
use kinesis_demo_operator::aws::AwsErrorClass;
use kinesis_demo_operator::clock::Clock;
use kinesis_demo_testing::totals::assert_balanced;

use crate::harness::{Harness, s, warm_spec};

const STAGES: [Stage; 6] = [
    Stage::Provisioning,
    Stage::Warming,
    Stage::Starting,
    Stage::Running,
    Stage::Draining,
    Stage::CleaningUp,
];

#[tokio::test]
async fn deletion_at_any_stage_stops_traffic_and_removes_everything() {
    for stage in STAGES {
        let mut harness = Harness::new(warm_spec());
        harness.run_until_stage(stage).await;
        let deleted_at = harness.clock.now();
        harness.delete();
        harness.run_to_end().await;
        assert!(harness.cluster.object().is_none(), "{stage}: the object is still there");
        harness.assert_nothing_left();
        assert_eq!(
            harness.aws.records_arrived(deleted_at + s(30), deleted_at + s(3600)),
            0,
            "{stage}: traffic continued"
        );
    }
}

#[tokio::test]
async fn deletion_in_the_peak_stops_traffic_before_removing_anything() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("peak").await;
    let deleted_at = harness.clock.now();
    harness.delete();
    harness.run_to_end().await;
    let removals = harness
        .aws
        .calls()
        .into_iter()
        .filter(|call| call.operation.starts_with("Delete"))
        .map(|call| call.at);
    let first_removal = removals.min().expect("no Delete call was made");
    assert!(first_removal > deleted_at);
    assert_eq!(harness.aws.records_arrived(first_removal, first_removal + s(3600)), 0);
    harness.assert_nothing_left();
}

/// The records that an aborted run had not yet sent do not count as missed: its schedule ends when
/// its last task stopped.
#[tokio::test]
async fn the_schedule_of_an_aborted_run_ends_when_its_tasks_stop() {
    // In the pause before the first phase, then within the phase, at different moments between two
    // polls.
    for millis in (0..20).map(|step| step * 1_700) {
        let mut harness = Harness::new(warm_spec());
        harness.run_until_stage(Stage::Running).await;
        let due = harness.clock.now() + Duration::from_millis(millis);
        while harness.clock.now() < due {
            harness.step().await;
        }
        harness.request(r#"{"verb":"abort","run":1,"id":"stop"}"#);
        let requested_at = harness.clock.now();
        harness.run_until_stage(Stage::CleaningUp).await;
        let took = harness.clock.now().since(requested_at);
        harness.run_to_end().await;
        let (totals, sent) = (harness.totals(), harness.aws.stored("kd-viral-event-5f3c2a1b-r1"));
        assert_balanced(&totals);
        assert_eq!(
            (totals.scheduled, totals.unoffered, totals.accepted),
            (sent, 0, sent),
            "after {millis} ms"
        );
        // Polls are 5 s apart. The drain waits for the final ledger lines, not for the leases to
        // expire (25 s more).
        assert!(took < s(30), "after {millis} ms the drain took {took:?}");
        harness.assert_nothing_left();
    }
}

/// The Stop document cannot be written, so the operator stops the tasks by scaling the service to
/// zero.
#[tokio::test]
async fn a_stop_ends_traffic_even_if_the_parameter_cannot_be_written() {
    for (class, lasts) in [
        (AwsErrorClass::Denied, s(86_400)),
        (AwsErrorClass::Transient, s(60)),
        (AwsErrorClass::Throttled, s(30)),
    ] {
        for by_deletion in [false, true] {
            let mut harness = Harness::new(warm_spec());
            harness.run_until_phase("spike").await;
            harness.aws.fail_for("PutParameter", class, lasts);
            let requested_at = harness.clock.now();
            match by_deletion {
                true => harness.delete(),
                false => harness.request(r#"{"verb":"abort","run":1,"id":"stop"}"#),
            }
            harness.run_to_end().await;
            let late = harness.aws.records_arrived(requested_at + s(20), requested_at + s(3_600));
            assert_eq!(late, 0, "{class:?}, by deletion: {by_deletion}");
            if !by_deletion {
                let totals = harness.totals();
                assert_balanced(&totals);
                assert_eq!((totals.unoffered, totals.excess), (0, 0), "{totals:?}");
                assert_eq!(totals.accepted, harness.aws.stored("kd-viral-event-5f3c2a1b-r1"));
            }
            harness.assert_nothing_left();
        }
    }
}

#[tokio::test]
async fn abort_at_any_stage_ends_as_aborted_and_leaves_nothing() {
    for stage in [Stage::Provisioning, Stage::Warming, Stage::Starting, Stage::Running] {
        let mut harness = Harness::new(warm_spec());
        harness.run_until_stage(stage).await;
        harness.clock.advance(s(40));
        harness.step().await;
        harness.request(r#"{"verb":"abort","run":1,"id":"stop"}"#);
        harness.run_to_end().await;
        assert_eq!(harness.status().stage, Some(Stage::Aborted), "from {stage}");
        assert_eq!(harness.status().run.unwrap().reason, Some(Reason::AbortRequested));
        assert_eq!(harness.status().last_request.unwrap().outcome, RequestOutcome::Accepted);
        if let Some(traffic) = harness.status().traffic {
            assert_balanced(&traffic.totals);
        }
        harness.assert_nothing_left();
    }
}

#[tokio::test]
async fn aborting_a_pending_run_calls_no_aws_api() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.set_advantage(kinesis_demo_operator::aws::Advantage::Disabled);
    harness.step().await;
    harness.step().await;
    assert_eq!(harness.status().stage, Some(Stage::Pending));
    let calls = harness.aws.calls().len();
    harness.request(r#"{"verb":"abort","run":1,"id":"stop"}"#);
    harness.run_to_end().await;
    assert_eq!(harness.status().stage, Some(Stage::Aborted));
    assert!(harness.status().run.unwrap().finished_at.is_some());
    assert_eq!(harness.condition(ConditionType::CleanedUp).status, ConditionStatus::True);
    assert_eq!(harness.condition(ConditionType::Stalled).status, ConditionStatus::False);
    assert_eq!(harness.aws.calls().len(), calls);
    harness.assert_nothing_left();
}

#[tokio::test]
async fn credentials_of_another_account_do_not_make_resources_deleted() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_stage(Stage::CleaningUp).await;
    harness.aws.set_account_id("123456789012");
    let writes = |harness: &Harness| harness.aws.calls().into_iter().filter(|call| call.is_write).count();
    let states = |harness: &Harness| -> Vec<_> {
        harness.status().resources.into_iter().map(|resource| (resource.type_, resource.state)).collect()
    };
    let before = (writes(&harness), states(&harness));
    for _ in 0..10 {
        harness.step().await;
    }
    assert_eq!((writes(&harness), states(&harness)), before);
    assert_eq!(harness.status().stage, Some(Stage::CleaningUp));
    let stalled = harness.condition(ConditionType::Stalled);
    assert_eq!((stalled.status, stalled.reason), (ConditionStatus::True, Reason::AccountNotAllowed));
    assert!(stalled.message.contains("000000000000"), "{}", stalled.message);
    harness.aws.set_account_id("000000000000");
    harness.run_to_end().await;
    assert_eq!(harness.status().stage, Some(Stage::Succeeded));
    harness.assert_nothing_left();
}

#[tokio::test]
async fn the_finalizer_is_dropped_at_the_end_and_added_for_a_rerun() {
    let mut harness = Harness::new(warm_spec());
    let finalizers =
        |harness: &Harness| harness.cluster.object().unwrap().metadata.finalizers.unwrap_or_default().len();
    harness.run_until_stage(Stage::Running).await;
    assert_eq!(finalizers(&harness), 1);
    harness.run_to_end().await;
    assert_eq!((harness.status().stage, finalizers(&harness)), (Some(Stage::Succeeded), 0));
    harness.request(r#"{"verb":"rerun","run":1,"id":"again"}"#);
    harness.run_until_stage(Stage::Provisioning).await;
    assert_eq!(finalizers(&harness), 1);
    harness.run_to_end().await;
    assert_eq!((harness.status().stage, finalizers(&harness)), (Some(Stage::Succeeded), 0));
    harness.assert_nothing_left();
}

#[tokio::test]
async fn requests_for_another_run_or_after_the_end_are_refused() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_stage(Stage::Running).await;
    harness.request(r#"{"verb":"abort","run":7,"id":"wrong"}"#);
    harness.step().await;
    assert!(harness.status().last_request.unwrap().message.contains("for run 7, this is run 1"));
    harness.request("please stop");
    harness.step().await;
    harness.step().await;
    assert!(harness.status().last_request.unwrap().message.contains("looks like"));
    harness.run_until_stage(Stage::Succeeded).await;
    harness.request(r#"{"verb":"abort","run":1,"id":"late"}"#);
    harness.run_to_end().await;
    assert_eq!(harness.status().last_request.unwrap().outcome, RequestOutcome::Refused);
    assert_eq!(harness.status().stage, Some(Stage::Succeeded));
}

#[tokio::test]
async fn the_deadline_ends_a_run_that_takes_too_long() {
    let mut spec = warm_spec();
    spec.limits.max_duration = DurationText::seconds(8 * 60 + 5);
    let mut harness = Harness::new(spec);
    harness.run_to_end().await;
    let run = harness.status().run.unwrap();
    assert_eq!((run.outcome, run.reason), (Some(Outcome::Failed), Some(Reason::DeadlineExceeded)));
    assert_eq!(harness.aws.records_arrived(run.deadline_at.unwrap(), run.deadline_at.unwrap() + s(3600)), 0);
    assert_balanced(&harness.totals());
    harness.assert_nothing_left();
}

#[tokio::test]
async fn without_an_operator_traffic_ends_with_the_lease() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("peak").await;
    let lost_at = harness.clock.now();
    let deadline_at = harness.status().run.unwrap().deadline_at.unwrap();
    assert!(harness.aws.records_arrived(lost_at - s(5), lost_at) > 0);
    harness.clock.advance_to(deadline_at + s(120));
    assert_eq!(
        harness.aws.records_arrived(lost_at + s(61), deadline_at + s(120)),
        0,
        "records were sent after control had lapsed"
    );
    assert_eq!(
        harness.aws.running_tasks(),
        [] as [kinesis_demo_api::control::TaskId; 0],
        "the scheduled scale-to-zero did not stop the tasks"
    );
}

#[tokio::test]
async fn an_abandoned_object_is_deleted_and_its_resources_listed() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_stage(Stage::Running).await;
    harness.cluster.edit(|object| {
        object.metadata.annotations.get_or_insert_default().insert(ABANDON_ANNOTATION.into(), "true".into());
    });
    harness.delete();
    harness.run_to_end().await;
    assert!(harness.cluster.object().is_none());
    let run_events = harness.cluster.run_events();
    let abandoned = run_events.iter().find(|run_event| run_event.reason == "ResourcesAbandoned").unwrap();
    assert!(abandoned.note.contains("stream arn:"), "{}", abandoned.note);
}

#[tokio::test]
async fn an_edit_during_a_run_is_deferred_to_the_next_run() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_stage(Stage::Running).await;
    harness.cluster.edit(|object| object.spec.phases[2].records_per_second = 20_000);
    harness.step().await;
    harness.step().await;
    assert_eq!(harness.condition(ConditionType::SpecAccepted).reason, Reason::ChangeDeferred);
    harness.run_until_stage(Stage::Succeeded).await;
    assert_eq!(harness.totals().scheduled, 120 * 60_200);
    harness.run_to_end().await;
    harness.request(r#"{"verb":"rerun","id":"next"}"#);
    harness.step().await;
    harness.run_until_stage(Stage::Succeeded).await;
    assert_eq!(harness.totals().scheduled, 120 * 30_200);
}

#[tokio::test]
async fn a_change_of_the_cleanup_policy_applies_during_a_run() {
    let mut harness = Harness::new(KinesisDemoSpec::default());
    harness.run_until_stage(Stage::Running).await;
    harness.cluster.edit(|object| object.spec.cleanup.stream = kinesis_demo_api::demo::CleanupPolicy::Retain);
    harness.run_until_stage(Stage::Succeeded).await;
    assert_eq!(harness.condition(ConditionType::SpecAccepted).reason, Reason::Accepted);
    assert_eq!(harness.aws.snapshot().streams.len(), 1);
    assert!(harness.status().resources.iter().any(|resource| resource.state == ResourceState::Retained));
}

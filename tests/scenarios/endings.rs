//! Runs that end before their schedule does: aborted, deleted, out of time.

use std::time::Duration;

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::demo::{ABANDON_ANNOTATION, KinesisDemoSpec};
use kinesis_demo_api::duration::DurationText;
use kinesis_demo_api::request::RequestOutcome;
use kinesis_demo_api::status::{Outcome, ResourceState, Stage};
use kinesis_demo_operator::aws::AwsErrorClass;
use kinesis_demo_operator::clock::Clock;

use crate::harness::{Theatre, assert_balanced, s, warm_spec};

const STAGES: [Stage; 6] = [
    Stage::Provisioning,
    Stage::Warming,
    Stage::Starting,
    Stage::Running,
    Stage::Draining,
    Stage::CleaningUp,
];

#[tokio::test]
async fn deletion_at_any_stage_removes_everything_traffic_first() {
    for stage in STAGES {
        let mut theatre = Theatre::new(warm_spec());
        theatre.play_until_stage(stage).await;
        let deleted_at = theatre.clock.now();
        theatre.delete();
        theatre.play_out().await;
        assert!(theatre.cluster.object().is_none(), "{stage}: the object is still there");
        theatre.assert_nothing_left();
        assert_eq!(
            theatre.aws.arrivals(deleted_at + s(30), deleted_at + s(3600)),
            0,
            "{stage}: traffic went on"
        );
    }
}

#[tokio::test]
async fn deletion_in_the_peak_stops_traffic_before_anything_is_removed() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_phase("peak").await;
    let deleted_at = theatre.clock.now();
    theatre.delete();
    theatre.play_out().await;
    let removals = theatre
        .aws
        .calls()
        .into_iter()
        .filter(|call| call.operation.starts_with("Delete"))
        .map(|call| call.at);
    let first_removal = removals.min().expect("things were removed");
    assert!(first_removal > deleted_at);
    assert_eq!(theatre.aws.arrivals(first_removal, first_removal + s(3600)), 0);
    theatre.assert_nothing_left();
}

/// What is called off was not missed: the schedule of an aborted run ends when its last task stopped.
#[tokio::test]
async fn the_schedule_of_an_aborted_run_ends_when_its_tasks_stop() {
    // In the pause before the first phase; then in mid-phase, at any moment between two looks.
    for millis in (0..20).map(|step| step * 1_700) {
        let mut theatre = Theatre::new(warm_spec());
        theatre.play_until_stage(Stage::Running).await;
        let due = theatre.clock.now() + Duration::from_millis(millis);
        while theatre.clock.now() < due {
            theatre.pass().await;
        }
        theatre.request(r#"{"verb":"abort","run":1,"id":"stop"}"#);
        let asked_at = theatre.clock.now();
        theatre.play_until_stage(Stage::CleaningUp).await;
        let took = theatre.clock.now().since(asked_at);
        theatre.play_out().await;
        let (totals, sent) = (theatre.books(), theatre.aws.stored("kd-viral-event-5f3c2a1b-r1"));
        assert_balanced(&totals);
        assert_eq!(
            (totals.scheduled, totals.unoffered, totals.accepted),
            (sent, 0, sent),
            "after {millis} ms"
        );
        // Looks are 5 s apart; it waits for last words, not for leases to end (25 s more).
        assert!(took < s(30), "after {millis} ms the drain took {took:?}");
        theatre.assert_nothing_left();
    }
}

/// The tasks cannot be told, so the service stops them.
#[tokio::test]
async fn a_stop_that_cannot_be_written_ends_the_traffic_all_the_same() {
    for (class, lasts) in [
        (AwsErrorClass::Denied, s(86_400)),
        (AwsErrorClass::Transient, s(60)),
        (AwsErrorClass::Throttled, s(30)),
    ] {
        for deletes in [false, true] {
            let mut theatre = Theatre::new(warm_spec());
            theatre.play_until_phase("spike").await;
            theatre.aws.fail_for("PutParameter", class, lasts);
            let asked_at = theatre.clock.now();
            match deletes {
                true => theatre.delete(),
                false => theatre.request(r#"{"verb":"abort","run":1,"id":"stop"}"#),
            }
            theatre.play_out().await;
            let late = theatre.aws.arrivals(asked_at + s(20), asked_at + s(3_600));
            assert_eq!(late, 0, "{class:?}, deletes: {deletes}");
            if !deletes {
                let totals = theatre.books();
                assert_balanced(&totals);
                assert_eq!((totals.unoffered, totals.excess), (0, 0), "{totals:?}");
                assert_eq!(totals.accepted, theatre.aws.stored("kd-viral-event-5f3c2a1b-r1"));
            }
            theatre.assert_nothing_left();
        }
    }
}

#[tokio::test]
async fn abort_at_any_stage_ends_as_aborted_and_leaves_nothing() {
    for stage in [Stage::Provisioning, Stage::Warming, Stage::Starting, Stage::Running] {
        let mut theatre = Theatre::new(warm_spec());
        theatre.play_until_stage(stage).await;
        theatre.clock.advance(s(40));
        theatre.pass().await;
        theatre.request(r#"{"verb":"abort","run":1,"id":"stop"}"#);
        theatre.play_out().await;
        assert_eq!(theatre.status().stage, Some(Stage::Aborted), "from {stage}");
        assert_eq!(theatre.status().run.unwrap().reason, Some(Reason::AbortRequested));
        assert_eq!(theatre.status().last_request.unwrap().outcome, RequestOutcome::Accepted);
        if let Some(traffic) = theatre.status().traffic {
            assert_balanced(&traffic.books);
        }
        theatre.assert_nothing_left();
    }
}

#[tokio::test]
async fn a_run_that_waits_to_begin_is_aborted_without_a_look_at_aws() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.aws.set_advantage(kinesis_demo_operator::aws::Advantage::Disabled);
    theatre.pass().await;
    theatre.pass().await;
    assert_eq!(theatre.status().stage, Some(Stage::Pending));
    let calls = theatre.aws.calls().len();
    theatre.request(r#"{"verb":"abort","run":1,"id":"stop"}"#);
    theatre.play_out().await;
    assert_eq!(theatre.status().stage, Some(Stage::Aborted));
    assert!(theatre.status().run.unwrap().finished_at.is_some());
    assert_eq!(theatre.condition(ConditionType::CleanedUp).status, ConditionStatus::True);
    assert_eq!(theatre.condition(ConditionType::Stalled).status, ConditionStatus::False);
    assert_eq!(theatre.aws.calls().len(), calls);
    theatre.assert_nothing_left();
}

#[tokio::test]
async fn with_credentials_of_another_account_nothing_is_taken_for_gone() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_stage(Stage::CleaningUp).await;
    theatre.aws.set_account_id("123456789012");
    let writes = |theatre: &Theatre| theatre.aws.calls().into_iter().filter(|call| call.is_write).count();
    let states = |theatre: &Theatre| -> Vec<_> {
        theatre.status().resources.into_iter().map(|held| (held.type_, held.state)).collect()
    };
    let before = (writes(&theatre), states(&theatre));
    for _ in 0..10 {
        theatre.pass().await;
    }
    assert_eq!((writes(&theatre), states(&theatre)), before);
    assert_eq!(theatre.status().stage, Some(Stage::CleaningUp));
    let stalled = theatre.condition(ConditionType::Stalled);
    assert_eq!((stalled.status, stalled.reason), (ConditionStatus::True, Reason::AccountNotAllowed));
    assert!(stalled.message.contains("000000000000"), "{}", stalled.message);
    theatre.aws.set_account_id("000000000000");
    theatre.play_out().await;
    assert_eq!(theatre.status().stage, Some(Stage::Succeeded));
    theatre.assert_nothing_left();
}

#[tokio::test]
async fn a_finished_object_is_let_go_and_held_again_for_the_next_run() {
    let mut theatre = Theatre::new(warm_spec());
    let held =
        |theatre: &Theatre| theatre.cluster.object().unwrap().metadata.finalizers.unwrap_or_default().len();
    theatre.play_until_stage(Stage::Running).await;
    assert_eq!(held(&theatre), 1);
    theatre.play_out().await;
    assert_eq!((theatre.status().stage, held(&theatre)), (Some(Stage::Succeeded), 0));
    theatre.request(r#"{"verb":"rerun","run":1,"id":"again"}"#);
    theatre.play_until_stage(Stage::Provisioning).await;
    assert_eq!(held(&theatre), 1);
    theatre.play_out().await;
    assert_eq!((theatre.status().stage, held(&theatre)), (Some(Stage::Succeeded), 0));
    theatre.assert_nothing_left();
}

#[tokio::test]
async fn a_request_for_another_run_or_after_the_end_is_refused_visibly() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_stage(Stage::Running).await;
    theatre.request(r#"{"verb":"abort","run":7,"id":"wrong"}"#);
    theatre.pass().await;
    assert!(theatre.status().last_request.unwrap().message.contains("for run 7, this is run 1"));
    theatre.request("please stop");
    theatre.pass().await;
    theatre.pass().await;
    assert!(theatre.status().last_request.unwrap().message.contains("looks like"));
    theatre.play_until_stage(Stage::Succeeded).await;
    theatre.request(r#"{"verb":"abort","run":1,"id":"late"}"#);
    theatre.play_out().await;
    assert_eq!(theatre.status().last_request.unwrap().outcome, RequestOutcome::Refused);
    assert_eq!(theatre.status().stage, Some(Stage::Succeeded));
}

#[tokio::test]
async fn the_deadline_ends_a_run_that_takes_too_long() {
    let mut spec = warm_spec();
    spec.limits.max_duration = DurationText::seconds(8 * 60 + 5);
    let mut theatre = Theatre::new(spec);
    theatre.play_out().await;
    let run = theatre.status().run.unwrap();
    assert_eq!((run.outcome, run.reason), (Some(Outcome::Failed), Some(Reason::DeadlineExceeded)));
    assert_eq!(theatre.aws.arrivals(run.deadline_at.unwrap(), run.deadline_at.unwrap() + s(3600)), 0);
    assert_balanced(&theatre.books());
    theatre.assert_nothing_left();
}

#[tokio::test]
async fn a_lost_operator_leaves_no_traffic_after_the_lease_and_no_tasks_after_the_ceiling() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_phase("peak").await;
    let lost_at = theatre.clock.now();
    let deadline_at = theatre.status().run.unwrap().deadline_at.unwrap();
    assert!(theatre.aws.arrivals(lost_at - s(5), lost_at) > 0);
    theatre.clock.advance_to(deadline_at + s(120));
    assert_eq!(
        theatre.aws.arrivals(lost_at + s(61), deadline_at + s(120)),
        0,
        "nothing is sent once control has lapsed"
    );
    assert_eq!(
        theatre.aws.running_tasks(),
        [] as [kinesis_demo_api::control::TaskId; 0],
        "AWS itself stopped the tasks"
    );
}

#[tokio::test]
async fn an_abandoned_object_goes_at_once_and_names_what_it_leaves() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_stage(Stage::Running).await;
    theatre.cluster.edit(|object| {
        object.metadata.annotations.get_or_insert_default().insert(ABANDON_ANNOTATION.into(), "true".into());
    });
    theatre.delete();
    theatre.play_out().await;
    assert!(theatre.cluster.object().is_none());
    let notices = theatre.cluster.notices();
    let told = notices.iter().find(|notice| notice.reason == "ResourcesAbandoned").unwrap();
    assert!(told.note.contains("stream arn:"), "{}", told.note);
}

#[tokio::test]
async fn an_edit_during_a_run_waits_for_the_next_and_says_so() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_stage(Stage::Running).await;
    theatre.cluster.edit(|object| object.spec.phases[2].records_per_second = 20_000);
    theatre.pass().await;
    theatre.pass().await;
    assert_eq!(theatre.condition(ConditionType::SpecAccepted).reason, Reason::ChangeDeferred);
    theatre.play_until_stage(Stage::Succeeded).await;
    assert_eq!(theatre.books().scheduled, 120 * 60_200);
    theatre.play_out().await;
    theatre.request(r#"{"verb":"rerun","id":"next"}"#);
    theatre.pass().await;
    theatre.play_until_stage(Stage::Succeeded).await;
    assert_eq!(theatre.books().scheduled, 120 * 30_200);
}

#[tokio::test]
async fn cleanup_may_change_during_a_run() {
    let mut theatre = Theatre::new(KinesisDemoSpec::default());
    theatre.play_until_stage(Stage::Running).await;
    theatre.cluster.edit(|object| object.spec.cleanup.stream = kinesis_demo_api::demo::CleanupPolicy::Retain);
    theatre.play_until_stage(Stage::Succeeded).await;
    assert_eq!(theatre.condition(ConditionType::SpecAccepted).reason, Reason::Accepted);
    assert_eq!(theatre.aws.snapshot().streams.len(), 1);
    assert!(theatre.status().resources.iter().any(|resource| resource.state == ResourceState::Retained));
}

//! Runs with faults around the operator: tasks die, capacity runs out, AWS denies calls, control
//! lapses.

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason, find};
use kinesis_demo_api::status::{KinesisDemoStatus, Outcome, Stage};
use kinesis_demo_operator::aws::{AwsErrorClass, Regions};
use kinesis_demo_operator::clock::Clock;
use kinesis_demo_testing::aws::FinalLine;
use kinesis_demo_testing::totals::assert_balanced;

use crate::harness::{Harness, s, warm_spec};

const SCHEDULED: u64 = 120 * 60_200;

#[tokio::test]
async fn killed_tasks_are_replaced_and_their_unsent_records_counted() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("peak").await;
    harness.clock.advance(s(10));
    for task in harness.aws.running_tasks().into_iter().take(3) {
        assert!(harness.aws.kill_task(&task, FinalLine::Missing));
    }
    harness.run_to_end().await;
    let totals = harness.totals();
    assert_balanced(&totals);
    assert_eq!(totals.scheduled, SCHEDULED);
    let lost = totals.scheduled - totals.accepted;
    assert!(
        lost > 0 && lost < 3 * 5_000 * 60,
        "three of ten tasks were replaced within a minute: {totals:?}"
    );
    assert!(totals.unreported <= 3 * 5_000 * 5, "at most one ledger interval per task: {totals:?}");
    // More than 1 % of the records were not offered by any task.
    let run = harness.status().run.unwrap();
    assert_eq!((run.outcome, run.reason), (Some(Outcome::Failed), Some(Reason::ScheduleNotOffered)));
    let delivered = harness.condition(ConditionType::TrafficDelivered);
    assert_eq!((delivered.status, delivered.reason), (ConditionStatus::False, Reason::PartlyDelivered));
    assert!(
        delivered.message.contains(&format!("{} of {SCHEDULED}", totals.accepted)),
        "{}",
        delivered.message
    );
    harness.assert_nothing_left();
}

#[tokio::test]
async fn too_few_tasks_send_up_to_their_limit_and_count_the_rest() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.set_capacity(4);
    harness.run_to_end().await;
    let totals = harness.totals();
    assert_balanced(&totals);
    let peak = harness.status().phases[2].totals.clone();
    assert!(
        peak.accepted >= 119 * 40_000 && peak.accepted <= 120 * 40_000,
        "four tasks of at most 10,000: {peak:?}"
    );
    assert!(peak.unoffered >= 120 * 10_000, "{peak:?}");
    harness.assert_nothing_left();
}

#[tokio::test]
async fn an_outage_longer_than_the_lease_moves_the_schedule_once() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("spike").await;
    let planned_end = harness.status().run.unwrap().ends_at.unwrap();
    harness.clock.advance(s(300));
    harness.restart();
    harness.run_to_end().await;
    let status = harness.status();
    let interruptions = status.control.unwrap().interruptions;
    assert_eq!(interruptions.len(), 1, "{interruptions:?}");
    let moved = status.run.unwrap().ends_at.unwrap().since(planned_end);
    assert_eq!(moved, interruptions[0].until.since(interruptions[0].from));
    assert!((s(230)..s(330)).contains(&moved), "{moved:?}");
    let totals = harness.totals();
    assert_balanced(&totals);
    assert!(totals.accepted >= SCHEDULED - 5, "records were lost instead of delayed: {totals:?}");
    harness.assert_nothing_left();
}

#[tokio::test]
async fn an_outage_shorter_than_the_lease_has_no_effect() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("peak").await;
    harness.clock.advance(s(35));
    harness.restart();
    harness.run_to_end().await;
    assert_eq!(harness.status().control.unwrap().interruptions, []);
    assert_eq!(harness.totals().accepted, SCHEDULED);
}

#[tokio::test]
async fn lost_responses_and_throttling_create_no_duplicates() {
    for operation in [
        "CreateLogGroup",
        "CreateStream",
        "PutParameter",
        "RegisterTaskDefinition",
        "CreateService",
        "RegisterScalableTarget",
        "UpdateService",
        "DeleteService",
        "DeleteStream",
        "DeleteLogGroup",
        "DeleteParameter",
        "DeregisterTaskDefinition",
        "PutDashboard",
        "PutMetricData",
        "DeleteDashboards",
    ] {
        let mut harness = Harness::new(warm_spec());
        harness.aws.lose_response(operation, 2);
        harness.run_to_end().await;
        assert_eq!(harness.outcome(), Some(Outcome::Succeeded), "{operation}");
        harness.assert_nothing_left();

        let mut harness = Harness::new(warm_spec());
        harness.aws.fail(operation, AwsErrorClass::Throttled, 3);
        harness.run_to_end().await;
        assert_eq!(harness.outcome(), Some(Outcome::Succeeded), "{operation}");
        harness.assert_nothing_left();
    }
}

#[tokio::test]
async fn the_run_continues_once_a_missing_permission_is_granted() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.fail("CreateStream", AwsErrorClass::Denied, 2);
    harness
        .run_until(s(600), |status| {
            !status.conditions.is_empty() && status.stage == Some(Stage::Provisioning)
        })
        .await;
    harness
        .run_until(s(600), |status| {
            find(&status.conditions, ConditionType::Reconciling).is_some_and(|condition| {
                condition.reason == Reason::AccessDenied && condition.message.contains("CreateStream")
            })
        })
        .await;
    harness.run_to_end().await;
    assert_eq!(harness.outcome(), Some(Outcome::Succeeded));
    assert_eq!(
        harness.cluster.run_events().iter().filter(|run_event| run_event.reason == "AccessDenied").count(),
        1
    );
}

#[tokio::test]
async fn an_unreadable_log_costs_only_the_totals() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.fail("FilterLogEvents", AwsErrorClass::Denied, u32::MAX);
    let denied = |status: &KinesisDemoStatus| {
        find(&status.conditions, ConditionType::Ready).is_some_and(|condition| {
            condition.reason == Reason::AccessDenied && condition.message.contains("FilterLogEvents")
        })
    };
    harness.run_until(s(7200), denied).await;
    harness.run_until_stage(Stage::Draining).await;
    let drain_began_at = harness.clock.now();
    harness.run_to_end().await;
    let waited = harness.clock.now().since(drain_began_at);
    assert!((s(600)..s(900)).contains(&waited), "{waited:?}");
    let status = harness.status();
    assert_eq!(status.control.unwrap().interruptions, [], "control lapsed");
    assert_eq!(harness.aws.records_by_second().values().sum::<u64>(), SCHEDULED);
    let totals = harness.totals();
    assert_balanced(&totals);
    assert_eq!((totals.scheduled, totals.unreported), (SCHEDULED, SCHEDULED), "{totals:?}");
    // What arrived is unknown, so the run must not fail for missing records.
    assert_eq!(status.run.unwrap().reason, Some(Reason::Completed));
    let delivered = harness.condition(ConditionType::TrafficDelivered);
    assert_eq!((delivered.status, delivered.reason), (ConditionStatus::Unknown, Reason::LogUnreadable));
    // One Event while traffic was flowing, one after it.
    assert_eq!(
        harness.cluster.run_events().iter().filter(|run_event| run_event.reason == "AccessDenied").count(),
        2
    );
    assert!(harness.aws.call_counts()["FilterLogEvents"] < 60, "the polling interval must back off");
    harness.assert_nothing_left();
}

#[tokio::test]
async fn a_log_that_fails_for_a_while_is_read_afterwards() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("peak").await;
    harness.aws.fail("FilterLogEvents", AwsErrorClass::Transient, 15);
    harness.run_to_end().await;
    assert_eq!(harness.status().control.unwrap().interruptions, [], "control lapsed");
    assert_eq!((harness.outcome(), harness.totals().accepted), (Some(Outcome::Succeeded), SCHEDULED));
    harness.assert_nothing_left();
}

#[tokio::test]
async fn the_drain_does_not_wait_for_a_deleted_log() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("peak").await;
    let group = harness.aws.snapshot().log_groups.swap_remove(0);
    let (region, name) = group.split_once('/').unwrap();
    harness.aws.in_region(region).logs.delete_log_group(name).await.unwrap();
    harness.run_until_stage(Stage::Draining).await;
    let drain_began_at = harness.clock.now();
    harness.run_to_end().await;
    let waited = harness.clock.now().since(drain_began_at);
    assert!(waited < s(300), "{waited:?}");
    assert_eq!(harness.aws.records_by_second().values().sum::<u64>(), SCHEDULED);
    let totals = harness.totals();
    assert_balanced(&totals);
    assert!(totals.accepted > 0 && totals.accepted + totals.unreported == SCHEDULED, "{totals:?}");
    assert_eq!(harness.outcome(), Some(Outcome::Succeeded));
    harness.assert_nothing_left();
}

#[tokio::test]
async fn a_denied_deletion_does_not_stop_other_deletions() {
    for (operation, left) in [
        ("DeregisterTaskDefinition", "task_definitions"),
        ("DeleteParameter", "parameters"),
        ("DeleteLogGroup", "log_groups"),
        ("DeleteStream", "streams"),
    ] {
        let mut harness = Harness::new(warm_spec());
        harness.aws.fail(operation, AwsErrorClass::Denied, u32::MAX);
        harness.run_until_stage(Stage::CleaningUp).await;
        let from = harness.clock.now();
        while harness.clock.now() < from + s(600) {
            assert!(harness.step().await, "{operation}");
        }
        let snapshot = harness.aws.snapshot();
        let counts = [
            ("streams", snapshot.streams.len()),
            ("task_definitions", snapshot.task_definitions.len()),
            ("services", snapshot.services.len()),
            ("scheduled_actions", snapshot.scheduled_actions.len()),
            ("parameters", snapshot.parameters.len()),
            ("log_groups", snapshot.log_groups.len()),
            ("dashboards", snapshot.dashboards.len()),
        ];
        for (kind, count) in counts {
            assert_eq!(count, usize::from(kind == left), "{kind} without {operation}");
        }
        let reconciling = harness.condition(ConditionType::Reconciling);
        assert!(
            reconciling.reason == Reason::AccessDenied && reconciling.message.contains(operation),
            "{reconciling:?}"
        );
        harness.aws.clear_faults();
        harness.run_to_end().await;
        harness.assert_nothing_left();
    }
}

#[tokio::test]
async fn an_invalid_request_fails_the_run_and_leaves_nothing() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.fail("CreateService", AwsErrorClass::Invalid, 1);
    harness.run_to_end().await;
    let run = harness.status().run.unwrap();
    assert_eq!((run.outcome, run.reason), (Some(Outcome::Failed), Some(Reason::RequestRefused)));
    assert!(run.message.unwrap().contains("CreateService"));
    harness.assert_nothing_left();
}

#[tokio::test]
async fn a_foreign_stream_of_the_same_name_is_never_touched() {
    let mut harness = Harness::with_foreign_stream().await;
    for _ in 0..10 {
        harness.step().await;
    }
    let stalled = harness.condition(ConditionType::Stalled);
    assert_eq!((stalled.status, stalled.reason), (ConditionStatus::True, Reason::OwnershipConflict));
    assert!(stalled.message.contains("stream orders"), "{}", stalled.message);
    harness.delete();
    harness.run_to_end().await;
    assert!(harness.cluster.object().is_none());
    assert_eq!(harness.aws.snapshot().streams, ["us-east-1/orders"]);
    assert_eq!(harness.aws.writes_since(harness.clock.now() - s(50)), 0);
}

#[tokio::test]
async fn a_start_without_capacity_times_out_and_leaves_nothing() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.set_capacity(0);
    harness.run_to_end().await;
    assert_eq!(harness.status().run.unwrap().reason, Some(Reason::StartTimeout));
    harness.assert_nothing_left();
}

#[tokio::test]
async fn denied_status_writes_are_retried() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_stage(Stage::Running).await;
    harness.cluster.deny_writes(true);
    for _ in 0..5 {
        harness.step().await;
    }
    harness.cluster.deny_writes(false);
    harness.run_to_end().await;
    assert_eq!(harness.totals().accepted, SCHEDULED);
    assert!(harness.clock.now() > kinesis_demo_api::MicroTime::from_micros(0));
}

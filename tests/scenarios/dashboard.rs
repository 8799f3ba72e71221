//! The CloudWatch dashboard and metrics of a run. The run does not depend on them.

use std::collections::BTreeSet;

use kinesis_demo_api::conditions::{ConditionType, Reason};
use kinesis_demo_api::demo::DashboardMode;
use kinesis_demo_api::status::{Outcome, ResourceState, ResourceType, Stage};
use kinesis_demo_operator::aws::{AwsErrorClass, RunMetric};
use kinesis_demo_operator::clock::Clock;
use kinesis_demo_testing::totals::assert_balanced;
use serde_json::Value;

use crate::harness::{Harness, s, warm_spec};

const NAME: &str = "KinesisDemo-kd-viral-event-5f3c2a1b-r1";
const SCHEDULED: u64 = 120 * 60_200;

fn bands(harness: &Harness) -> usize {
    let body: Value = serde_json::from_str(&harness.aws.dashboard(NAME).expect("a dashboard")).unwrap();
    body["widgets"][1]["properties"]["annotations"]["vertical"].as_array().unwrap().len()
}

fn count(harness: &Harness, operation: &str) -> u64 {
    harness.aws.call_counts().get(operation).copied().unwrap_or(0)
}

#[tokio::test]
async fn a_dashboard_gains_a_band_per_phase_and_is_deleted_at_the_end() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_stage(Stage::Warming).await;
    assert_eq!(harness.aws.dashboard(NAME), None);
    harness.run_until_stage(Stage::Starting).await;
    assert_eq!(bands(&harness), 0);
    for (index, phase) in ["baseline", "spike", "peak", "decline"].into_iter().enumerate() {
        harness.run_until_phase(phase).await;
        let begun_at = harness.clock.now();
        harness
            .run_until(s(20), |status| {
                status
                    .dashboard
                    .as_ref()
                    .is_some_and(|dashboard| dashboard.phases_shown == Some(index as u32 + 1))
            })
            .await;
        assert!(harness.clock.now().since(begun_at) <= s(10), "{phase} was shown late");
        assert_eq!(bands(&harness), index + 1);
    }
    let shown = harness.status().dashboard.unwrap();
    assert_eq!((shown.name.as_str(), shown.published, shown.problem), (NAME, true, None));
    assert_eq!(shown.url, None, "the sandbox account has no console");
    harness.run_to_end().await;
    assert_eq!(harness.status().dashboard, None);
    assert_eq!((count(&harness, "PutDashboard"), count(&harness, "DeleteDashboards")), (5, 1));
    harness.assert_nothing_left();
}

#[tokio::test]
async fn metrics_are_published_only_while_the_run_is_active() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_stage(Stage::Warming).await;
    let warming_at = harness.clock.now();
    harness.run_until_stage(Stage::CleaningUp).await;
    let cleaning_at = harness.clock.now();
    harness.run_to_end().await;

    let data_points = harness.aws.published_metrics();
    let values = |metric: RunMetric| -> Vec<u32> {
        let mut values: Vec<u32> =
            data_points.iter().filter(|one| one.metric == metric).map(|one| one.value).collect();
        values.dedup();
        values
    };
    assert_eq!(values(RunMetric::TargetRecordsPerSecond), [0, 100, 10_000, 50_000, 100, 0]);
    assert_eq!(values(RunMetric::WarmThroughputTarget), [100]);
    assert_eq!(values(RunMetric::RunningTasks).into_iter().max(), Some(10));
    assert_eq!(values(RunMetric::DesiredTasks).into_iter().max(), Some(10));
    assert!(values(RunMetric::OpenShards).iter().all(|shards| *shards > 0));
    assert!(data_points.iter().all(|one| one.run_name == "kd-viral-event-5f3c2a1b-r1"));

    let instants: Vec<_> =
        data_points.iter().map(|one| one.at).collect::<BTreeSet<_>>().into_iter().collect();
    assert!(instants[0] >= warming_at && *instants.last().unwrap() < cleaning_at);
    for pair in instants.windows(2) {
        assert!((s(15)..=s(26)).contains(&pair[1].since(pair[0])), "{pair:?}");
    }
    assert_eq!(count(&harness, "PutMetricData"), instants.len() as u64, "more than one request per instant");
}

#[tokio::test]
async fn a_cold_run_publishes_no_warm_throughput_metric() {
    let mut harness = Harness::new(Default::default());
    harness.run_until_stage(Stage::Draining).await;
    let metrics: BTreeSet<_> = harness.aws.published_metrics().iter().map(|one| one.metric).collect();
    assert_eq!(
        metrics.into_iter().collect::<Vec<_>>(),
        [
            RunMetric::OpenShards,
            RunMetric::TargetRecordsPerSecond,
            RunMetric::DesiredTasks,
            RunMetric::RunningTasks
        ]
    );
}

#[tokio::test]
async fn a_run_succeeds_without_cloudwatch_and_warns_once_per_phase() {
    for class in [AwsErrorClass::Denied, AwsErrorClass::Throttled, AwsErrorClass::Invalid] {
        let mut harness = Harness::new(warm_spec());
        for operation in ["PutDashboard", "GetDashboard", "DeleteDashboards", "PutMetricData"] {
            harness.aws.fail(operation, class, u32::MAX);
        }
        harness.run_until_stage(Stage::Draining).await;
        let shown = harness.status().dashboard.unwrap();
        assert!(!shown.published);
        assert!(shown.problem.unwrap().contains("PutDashboard KinesisDemo-kd-viral-event"));
        harness.run_to_end().await;
        assert_eq!(harness.outcome(), Some(Outcome::Succeeded), "{class:?}");
        let totals = harness.totals();
        assert_balanced(&totals);
        assert_eq!((totals.scheduled, totals.accepted), (SCHEDULED, SCHEDULED), "{class:?}");
        assert_eq!(harness.errors, [] as [&str; 0]);
        let warnings: Vec<_> = harness
            .cluster
            .run_events()
            .into_iter()
            .filter(|one| one.reason == "DashboardNotPublished")
            .collect();
        let occasions: BTreeSet<_> = warnings.iter().map(|one| one.action.clone()).collect();
        // One before the first phase and one in each of the four phases.
        assert_eq!((warnings.len(), occasions.len()), (5, 5), "{warnings:?}");
        assert_eq!(count(&harness, "PutDashboard"), 5);
        // A dashboard that was never created needs no read and no deletion. Both may be denied too.
        assert_eq!((count(&harness, "GetDashboard"), count(&harness, "DeleteDashboards")), (0, 0));
        assert!(harness.status().resources.iter().all(|one| one.type_ != ResourceType::Dashboard));
        harness.assert_nothing_left();
    }
}

#[tokio::test]
async fn a_failed_dashboard_write_is_retried_at_the_next_phase() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.fail("PutDashboard", AwsErrorClass::Throttled, 2);
    harness.run_until_phase("spike").await;
    assert_eq!(harness.aws.dashboard(NAME), None);
    harness
        .run_until(s(30), |status| status.dashboard.as_ref().is_some_and(|dashboard| dashboard.published))
        .await;
    assert_eq!(bands(&harness), 2);
    assert_eq!(harness.status().dashboard.unwrap().problem, None);
    harness.run_to_end().await;
    let dashboard = harness.status().resources.into_iter().find(|one| one.type_ == ResourceType::Dashboard);
    assert_eq!(dashboard.unwrap().state, ResourceState::Deleted);
    harness.assert_nothing_left();
}

#[tokio::test]
async fn a_dashboard_is_removed_even_if_the_response_was_lost() {
    for times in [1, u32::MAX] {
        let mut harness = Harness::new(warm_spec());
        harness.aws.lose_response("PutDashboard", times);
        harness.run_to_end().await;
        assert_eq!(harness.outcome(), Some(Outcome::Succeeded));
        assert_eq!(count(&harness, "DeleteDashboards"), 1);
        harness.assert_nothing_left();
    }
}

#[tokio::test]
async fn a_denied_dashboard_deletion_is_reported_and_blocks_nothing() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.fail("DeleteDashboards", AwsErrorClass::Denied, u32::MAX);
    harness.run_until_stage(Stage::CleaningUp).await;
    let give_up_at = harness.clock.now() + s(300);
    while harness.clock.now() < give_up_at {
        assert!(harness.step().await);
    }
    let left = harness.aws.snapshot();
    assert_eq!(left.dashboards, [NAME]);
    assert_eq!((left.streams.len(), left.services.len(), left.log_groups.len()), (0, 0, 0));
    assert_eq!(harness.status().stage, Some(Stage::CleaningUp));
    let reconciling = harness.condition(ConditionType::Reconciling);
    assert_eq!(reconciling.reason, Reason::AccessDenied);
    assert!(reconciling.message.contains(&format!("DeleteDashboards {NAME}")), "{}", reconciling.message);
    harness.aws.clear_faults();
    harness.run_to_end().await;
    assert_eq!(harness.status().stage, Some(Stage::Succeeded));
    harness.assert_nothing_left();
}

#[tokio::test]
async fn a_dashboard_that_cannot_be_read_is_removed_anyway() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.fail("GetDashboard", AwsErrorClass::Denied, u32::MAX);
    harness.run_to_end().await;
    assert_eq!(harness.status().stage, Some(Stage::Succeeded));
    harness.assert_nothing_left();
}

#[tokio::test]
async fn control_writes_come_before_dashboard_and_metric_writes() {
    let mut harness = Harness::new(warm_spec());
    harness.run_to_end().await;
    let calls = harness.aws.calls();
    let is_cloudwatch = |operation: &str| ["PutDashboard", "PutMetricData"].contains(&operation);
    assert!(calls.iter().filter(|call| is_cloudwatch(call.operation)).count() > 20);
    // Within one reconcile, the write of the control document for the tasks comes before any write
    // to CloudWatch.
    for (index, call) in calls.iter().enumerate().filter(|(_, call)| is_cloudwatch(call.operation)) {
        let later = calls.iter().skip(index).take_while(|later| later.at == call.at);
        assert!(later.into_iter().all(|later| later.operation != "PutParameter"), "{call:?}");
    }
}

#[tokio::test]
async fn without_a_dashboard_cloudwatch_is_not_called() {
    let mut spec = warm_spec();
    spec.dashboard.mode = DashboardMode::None;
    let mut harness = Harness::new(spec);
    harness.run_to_end().await;
    assert_eq!(harness.outcome(), Some(Outcome::Succeeded));
    for operation in ["PutDashboard", "GetDashboard", "DeleteDashboards", "PutMetricData"] {
        assert_eq!(count(&harness, operation), 0, "{operation}");
    }
    assert_eq!(harness.status().dashboard, None);
}

//! CloudWatch: dashboards and the operator's metrics.

use kinesis_demo_operator::aws::{AwsError, AwsErrorClass, RunMetric};

use super::fixtures::{assert_refused, aws, refusal};
use super::waiting::{minute_of, seconds, wait_until};
use super::{Arm, OTHER_REGION};

const NAME: &str = "KinesisDemo-run";
const BODY: &str = r#"{"widgets": [{"type": "text", "properties": {"markdown": "one"}}]}"#;

pub(super) async fn a_dashboard_belongs_to_the_account(arm: &dyn Arm) {
    let (here, elsewhere) = (aws(arm).dashboards, arm.in_region(OTHER_REGION).dashboards);
    assert!(!here.fetch_dashboard_exists(NAME).await.unwrap());
    here.put_dashboard(NAME, BODY).await.unwrap();
    here.put_dashboard(NAME, r#"{"widgets": []}"#).await.unwrap();
    for dashboards in [&here, &elsewhere] {
        assert!(dashboards.fetch_dashboard_exists(NAME).await.unwrap());
    }
    elsewhere.delete_dashboard(NAME).await.unwrap();
    assert!(!here.fetch_dashboard_exists(NAME).await.unwrap());
}

pub(super) async fn a_missing_dashboard_is_not_found(arm: &dyn Arm) {
    // CloudWatch sends the code of its former query protocol too, and the SDK uses that.
    let (class, code) = (AwsErrorClass::NotFound, "ResourceNotFound");
    let message = "Dashboard KinesisDemo-run does not exist";
    let expected = refusal(class, "DeleteDashboards", NAME, code, message);
    assert_refused(aws(arm).dashboards.delete_dashboard(NAME).await, expected);
}

pub(super) async fn dashboard_names_and_bodies_follow_the_rules(arm: &dyn Arm) {
    let dashboards = aws(arm).dashboards;
    for body in ["{}", "no JSON", r#"{"widgets": {}}"#] {
        let error = dashboards.put_dashboard(NAME, body).await.unwrap_err();
        // The message lists what is wrong with the body, which nobody reads by machine.
        assert!(error.message.starts_with("The dashboard body is invalid"), "{error}");
        let AwsError { class, code, .. } = error;
        assert_eq!((class, code.as_deref()), (AwsErrorClass::Invalid, Some("InvalidParameterInput")));
    }
    let too_long = "a".repeat(256);
    for name in ["a/b", "a b", &too_long] {
        let message = format!(
            "The value {name} for field DashboardName contains invalid characters. It can only contain alphanumerics, dash (-) and underscore (_)."
        );
        let (class, code) = (AwsErrorClass::Invalid, "InvalidParameterInput");
        let expected = refusal(class, "PutDashboard", name, code, message);
        assert_refused(dashboards.put_dashboard(name, BODY).await, expected);
    }
    assert!(!dashboards.fetch_dashboard_exists(NAME).await.unwrap());
}

pub(super) async fn metrics_are_kept_by_run_and_minute(arm: &dyn Arm) {
    let metrics = aws(arm).metrics;
    let (shards, tasks) = (RunMetric::OpenShards, RunMetric::RunningTasks);
    let start = minute_of(arm.now());
    let minute = |index: u64| start + seconds(60 * index);
    arm.let_time_pass(seconds(600)).await;
    for (run, at, data) in [
        ("kd-run", minute(1), vec![(shards, 4), (tasks, 2)]),
        ("kd-run", minute(3) + seconds(59), vec![(shards, 64)]),
        ("kd-run", minute(3), vec![(shards, 8), (tasks, 0)]),
        ("kd-other", minute(1), vec![(shards, 1)]),
    ] {
        metrics.put_run_metrics(run, at, &data).await.unwrap();
    }
    let expected = [(minute(1), 4), (minute(3), 64)];
    wait_until(arm, "the values are readable", async || {
        arm.values_by_minute("kd-run", shards).await.len() == expected.len()
    })
    .await;
    assert_eq!(arm.values_by_minute("kd-run", shards).await, expected);
    assert_eq!(arm.values_by_minute("kd-run", tasks).await, [(minute(1), 2), (minute(3), 0)]);
    assert_eq!(arm.values_by_minute("kd-other", shards).await, [(minute(1), 1)]);
    assert_eq!(arm.values_by_minute("kd-other", tasks).await, []);
}

pub(super) async fn metrics_are_recent_and_not_empty(arm: &dyn Arm) {
    let metrics = aws(arm).metrics;
    let (run, now, data) = ("kd-run", arm.now(), [(RunMetric::OpenShards, 4), (RunMetric::RunningTasks, 0)]);
    let (past, future) = (seconds(14 * 24 * 3_600), seconds(2 * 3_600));
    for at in [now, now - past + seconds(60), now + future - seconds(60)] {
        metrics.put_run_metrics(run, at, &data).await.unwrap();
    }
    for (at, rule) in [
        (now - past - seconds(60), "no more than two weeks in the past"),
        (now + future + seconds(60), "no more than two hours in the future"),
    ] {
        let message = format!("The parameter MetricData.member.1.Timestamp must specify a time {rule}.");
        let (class, code) = (AwsErrorClass::Invalid, "InvalidParameterValue");
        let expected = refusal(class, "PutMetricData", run, code, message);
        assert_refused(metrics.put_run_metrics(run, at, &data).await, expected);
    }
    let message = "The parameter MetricData is required.";
    let (class, code) = (AwsErrorClass::Invalid, "MissingParameter");
    let expected = refusal(class, "PutMetricData", run, code, message);
    assert_refused(metrics.put_run_metrics(run, now, &[]).await, expected);
}

//! CloudWatch: dashboards and the operator's metrics.

use kinesis_demo_operator::aws::{AwsError, AwsErrorClass, RunMetric};

use super::fixtures::{assert_refused, aws, refusal};
use super::waiting::seconds;
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
    let long = "a".repeat(256);
    for name in ["a/b", "a b"] {
        let message = format!(
            "The value {name} for field DashboardName contains invalid characters. It can only contain alphanumerics, dash (-) and underscore (_)."
        );
        let (class, code) = (AwsErrorClass::Invalid, "InvalidParameterInput");
        let expected = refusal(class, "PutDashboard", name, code, message);
        assert_refused(dashboards.put_dashboard(name, BODY).await, expected);
    }
    let error = dashboards.put_dashboard(&long, BODY).await.unwrap_err();
    assert_eq!(error.class, AwsErrorClass::Invalid);
    assert!(!dashboards.fetch_dashboard_exists(NAME).await.unwrap());
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

//! Dashboards of the fake, and the metrics that the operator publishes. In: calls. Out: bodies and
//! values as CloudWatch would store them: dashboards per account, metrics forever.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use kinesis_demo_api::MicroTime;
use serde_json::Value;

use super::{ApiError, Handle, api_error};
use kinesis_demo_operator::aws::{AwsErrorClass, AwsResult, Dashboards, Metrics, RunMetric};

/// What the account has in no region.
#[derive(Default)]
pub(super) struct Account {
    /// Bodies by name.
    pub(super) dashboards: BTreeMap<String, String>,
    pub(super) published_metrics: Vec<PublishedMetric>,
}

/// One value of a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedMetric {
    /// The value of the metric's dimension.
    pub run_name: String,
    /// The time of the measurement.
    pub at: MicroTime,
    /// The metric.
    pub metric: RunMetric,
    /// The value.
    pub value: u32,
}

/// CloudWatch API reference, PutMetricData: timestamps from two weeks in the past to two hours in
/// the future.
const PAST: Duration = Duration::from_secs(14 * 24 * 3_600);
const FUTURE: Duration = Duration::from_secs(2 * 3_600);

/// CloudWatch sends the error codes of its former query protocol too, and the SDK uses those.
fn no_dashboard(name: &str) -> ApiError {
    api_error("ResourceNotFound", format!("Dashboard {name} does not exist"))
}

/// Whether a dashboard may have this name (CloudWatch API reference, PutDashboard).
fn is_name(name: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (1..=255).contains(&name.len()) && name.chars().all(is_allowed)
}

#[async_trait]
impl Dashboards for Handle {
    async fn fetch_dashboard_exists(&self, name: &str) -> AwsResult<bool> {
        let response = self.reach("GetDashboard").await.read("GetDashboard", name, |state| {
            let body = state.account.dashboards.get(name);
            body.map(drop).ok_or_else(|| no_dashboard(name))
        });
        match response {
            Err(error) if error.class == AwsErrorClass::NotFound => Ok(false),
            response => response.map(|()| true),
        }
    }

    async fn put_dashboard(&self, name: &str, body: &str) -> AwsResult<()> {
        self.reach("PutDashboard").await.write("PutDashboard", name, |state| {
            let widgets =
                serde_json::from_str(body).ok().is_some_and(|body: Value| body["widgets"].is_array());
            if !is_name(name) {
                let text = format!(
                    "The value {name} for field DashboardName contains invalid characters. It can only contain alphanumerics, dash (-) and underscore (_)."
                );
                return Err(api_error("InvalidParameterInput", text));
            }
            if !widgets {
                return Err(api_error("InvalidParameterInput", "The dashboard body is invalid"));
            }
            state.account.dashboards.insert(name.to_owned(), body.to_owned());
            Ok(())
        })
    }

    async fn delete_dashboard(&self, name: &str) -> AwsResult<()> {
        self.reach("DeleteDashboards").await.write("DeleteDashboards", name, |state| {
            let removed = state.account.dashboards.remove(name);
            removed.map(drop).ok_or_else(|| no_dashboard(name))
        })
    }
}

#[async_trait]
impl Metrics for Handle {
    async fn put_run_metrics(
        &self,
        run_name: &str,
        at: MicroTime,
        data: &[(RunMetric, u32)],
    ) -> AwsResult<()> {
        self.reach("PutMetricData").await.write("PutMetricData", run_name, |state| {
            if data.is_empty() {
                return Err(api_error("MissingParameter", "The parameter MetricData is required."));
            }
            let rule = match at {
                at if at + PAST < state.now => "no more than two weeks in the past",
                at if at > state.now + FUTURE => "no more than two hours in the future",
                _ => "",
            };
            if !rule.is_empty() {
                let text = format!("The parameter MetricData.member.1.Timestamp must specify a time {rule}.");
                return Err(api_error("InvalidParameterValue", text));
            }
            let run_name = run_name.to_owned();
            state.account.published_metrics.extend(data.iter().map(|&(metric, value)| PublishedMetric {
                run_name: run_name.clone(),
                at,
                metric,
                value,
            }));
            Ok(())
        })
    }
}

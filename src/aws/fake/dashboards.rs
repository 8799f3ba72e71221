//! Dashboards of the fake, and the metrics that the operator publishes. In: calls. Out: bodies and values, as CloudWatch would hold
//! them: dashboards for the whole account, metrics for ever.

use std::collections::BTreeMap;

use async_trait::async_trait;
use kinesis_demo_api::MicroTime;
use serde_json::Value;

use super::{Handle, refusal};
use crate::aws::{AwsErrorClass, AwsResult, Dashboards, Metrics, RunMetric};

/// What belongs to no region.
#[derive(Default)]
pub(super) struct Account {
    /// Bodies by name.
    pub(super) dashboards: BTreeMap<String, String>,
    pub(super) measured: Vec<Measured>,
}

/// One value of a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// The metric's dimension.
    pub run_name: String,
    /// When it was measured.
    pub at: MicroTime,
    /// What was measured.
    pub metric: RunMetric,
    /// The value.
    pub value: u32,
}

/// The characters that a dashboard's name may have (CloudWatch API reference, PutDashboard).
fn is_name(name: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (1..=255).contains(&name.len()) && name.chars().all(is_allowed)
}

#[async_trait]
impl Dashboards for Handle {
    async fn fetch_dashboard_exists(&self, name: &str) -> AwsResult<bool> {
        let answer = self.reach("GetDashboard").await.read("GetDashboard", name, |scene| {
            let held = scene.account.dashboards.get(name);
            held.map(drop)
                .ok_or_else(|| refusal("DashboardNotFoundError", format!("Dashboard {name} does not exist")))
        });
        match answer {
            Err(error) if error.class == AwsErrorClass::NotFound => Ok(false),
            answer => answer.map(|()| true),
        }
    }

    async fn put_dashboard(&self, name: &str, body: &str) -> AwsResult<()> {
        self.reach("PutDashboard").await.write("PutDashboard", name, |scene| {
            let widgets =
                serde_json::from_str(body).ok().is_some_and(|body: Value| body["widgets"].is_array());
            if !is_name(name) || !widgets {
                return Err(refusal("DashboardInvalidInputError", "The dashboard body is invalid"));
            }
            scene.account.dashboards.insert(name.to_owned(), body.to_owned());
            Ok(())
        })
    }

    async fn delete_dashboard(&self, name: &str) -> AwsResult<()> {
        self.reach("DeleteDashboards").await.write("DeleteDashboards", name, |scene| {
            let gone = scene.account.dashboards.remove(name);
            gone.map(drop)
                .ok_or_else(|| refusal("DashboardNotFoundError", format!("Dashboard {name} does not exist")))
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
        self.reach("PutMetricData").await.write("PutMetricData", run_name, |scene| {
            if data.is_empty() {
                return Err(refusal("ValidationException", "The parameter MetricData is required."));
            }
            let run_name = run_name.to_owned();
            scene.account.measured.extend(data.iter().map(|&(metric, value)| Measured {
                run_name: run_name.clone(),
                at,
                metric,
                value,
            }));
            Ok(())
        })
    }
}

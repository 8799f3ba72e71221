//! CloudWatch metrics and dashboards. In: metric data, queries, dashboards. Out: AWS's responses.
//! Keeps everything in memory: metrics by region, and dashboards for the whole account, because
//! they are global on AWS.

mod dashboard_body;
mod dashboards;
mod ingestion;
mod operations;
mod queries;
mod reads;
mod series;
mod statistic;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::call::{AwsError, Call, Caller};
use crate::clock::ModelClock;
use crate::operations::Operation;
use crate::parameters::Parameters;
use crate::services::Service;
use dashboards::Dashboards;
use series::Metrics;

const INVALID_REQUEST: &str = "InvalidParameterValueException";

/// The modelled CloudWatch.
#[derive(Debug)]
pub struct CloudWatch {
    clock: ModelClock,
    state: Mutex<CloudWatchState>,
}

#[derive(Debug, Default)]
struct CloudWatchState {
    regions: BTreeMap<String, Metrics>,
    dashboards: Dashboards,
}

/// A request, with its model time and real time.
#[derive(Clone, Copy)]
struct Request<'a> {
    input: Parameters<'a>,
    caller: &'a Caller,
    /// Model time: determines what reads see.
    now: Timestamp,
    /// Real time in milliseconds.
    wall: i64,
}

impl CloudWatch {
    /// Creates the service, without metrics and dashboards.
    pub fn new(clock: ModelClock) -> Self {
        Self { clock, state: Mutex::default() }
    }
}

#[async_trait]
impl Service for CloudWatch {
    fn operations(&self) -> Option<&'static [Operation]> {
        Some(operations::OPERATIONS)
    }

    async fn call(&self, call: Call<'_>) -> Result<Value, AwsError> {
        let request = Request {
            input: Parameters::new(call.input, INVALID_REQUEST),
            caller: call.caller,
            now: call.now,
            wall: self.clock.wall_at(call.now).as_millisecond(),
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let CloudWatchState { regions, dashboards } = &mut *state;
        let metrics = regions.entry(call.caller.region.clone()).or_default();
        metrics.ingest_due(call.now);
        match call.operation {
            "PutMetricData" => ingestion::put_metric_data(metrics, request),
            "GetMetricData" => queries::get_metric_data(metrics, request),
            "GetMetricStatistics" => reads::get_metric_statistics(metrics, request),
            "ListMetrics" => reads::list_metrics(metrics, request),
            "PutDashboard" => dashboards::put_dashboard(dashboards, request),
            "GetDashboard" => dashboards::get_dashboard(dashboards, request),
            "ListDashboards" => dashboards::list_dashboards(dashboards, request),
            "DeleteDashboards" => dashboards::delete_dashboards(dashboards, request),
            "TagResource" => dashboards::tag_resource(dashboards, request),
            "UntagResource" => dashboards::untag_resource(dashboards, request),
            "ListTagsForResource" => dashboards::list_tags_for_resource(dashboards, request),
            other => Err(crate::operations::unknown("monitoring", other)),
        }
    }

    fn state(&self, _now: Timestamp) -> Value {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let metrics: BTreeMap<_, _> =
            state.regions.iter().map(|(region, metrics)| (region.clone(), metrics.state())).collect();
        json!({"dashboards": state.dashboards.keys().collect::<Vec<_>>(), "metrics": metrics})
    }
}

#[cfg(test)]
mod tests;

//! CloudWatch metrics and dashboards. In: metric data, queries, dashboards. Out: AWS's responses.
//! Keeps everything in memory: metrics by region, and dashboards for the whole account, because
//! they are global on AWS.

mod errors;
mod model;
mod ops;
mod request;
mod state;
mod view;

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use crate::call::{AwsError, Call};
use crate::clock::ModelClock;
use crate::operations::Operation;
use crate::services::Service;
use ops::{dashboards, get_metric_data, get_metric_statistics, list_metrics, put_metric_data, tags};
use request::Request;
use state::CloudWatchState;

/// The modelled CloudWatch.
#[derive(Debug)]
pub struct CloudWatch {
    clock: ModelClock,
    state: Mutex<CloudWatchState>,
}

impl CloudWatch {
    /// Creates the service, without metrics and dashboards.
    pub fn new(clock: ModelClock) -> Self {
        Self { clock, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, CloudWatchState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Service for CloudWatch {
    fn operations(&self) -> Option<&'static [Operation]> {
        Some(ops::OPERATIONS)
    }

    async fn call(&self, call: Call<'_>) -> Result<Value, AwsError> {
        let request = Request::new(&call, &self.clock);
        let mut state = self.lock();
        let (metrics, boards) = state.at(&call.caller.region, call.now);
        match call.operation {
            "PutMetricData" => put_metric_data::put_metric_data(metrics, request),
            "GetMetricData" => get_metric_data::get_metric_data(metrics, request),
            "GetMetricStatistics" => get_metric_statistics::get_metric_statistics(metrics, request),
            "ListMetrics" => list_metrics::list_metrics(metrics, request),
            "PutDashboard" => dashboards::put_dashboard(boards, request),
            "GetDashboard" => dashboards::get_dashboard(boards, request),
            "ListDashboards" => dashboards::list_dashboards(boards, request),
            "DeleteDashboards" => dashboards::delete_dashboards(boards, request),
            "TagResource" => tags::tag_resource(boards, request),
            "UntagResource" => tags::untag_resource(boards, request),
            "ListTagsForResource" => tags::list_tags_for_resource(boards, request),
            other => Err(crate::operations::unknown("monitoring", other)),
        }
    }

    fn state(&self, _now: Timestamp) -> Value {
        view::all(&self.lock())
    }
}

#[cfg(test)]
mod tests;

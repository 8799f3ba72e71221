//! What exists in CloudWatch: metrics by region (`model::series`), and the account's dashboards,
//! which are global on AWS. With time, data points become visible. No I/O.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::model::series::Metrics;
use crate::parameters::Tags;

/// The account's state.
#[derive(Debug, Default)]
pub struct CloudWatchState {
    pub regions: BTreeMap<String, Metrics>,
    pub dashboards: Dashboards,
}

/// Dashboards by name.
pub type Dashboards = BTreeMap<String, Dashboard>;

/// A dashboard.
#[derive(Debug)]
pub struct Dashboard {
    pub body: String,
    /// Epoch milliseconds on the callers' clock.
    pub modified: i64,
    pub tags: Tags,
}

impl CloudWatchState {
    /// A region's metrics with all data that is visible by `now`, and the dashboards.
    pub fn at(&mut self, region: &str, now: Timestamp) -> (&mut Metrics, &mut Dashboards) {
        let metrics = self.regions.entry(region.to_owned()).or_default();
        metrics.ingest_due(now);
        (metrics, &mut self.dashboards)
    }
}

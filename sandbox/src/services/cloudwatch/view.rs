//! How metrics and dashboards become responses. In: the state and a request. Out: JSON. Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::model::series::{Key, Metrics};
use super::request::Request;
use super::state::{CloudWatchState, Dashboard};
use crate::parameters::Tags;

/// `Metric`.
pub fn metric(key: &Key) -> Value {
    let dimensions: Vec<Value> =
        key.dimensions.iter().map(|(name, value)| json!({"Name": name, "Value": value})).collect();
    json!({"Namespace": key.namespace, "MetricName": key.name, "Dimensions": dimensions})
}

/// `DashboardEntry`.
pub fn dashboard_entry(request: Request<'_>, name: &str, dashboard: &Dashboard) -> Value {
    json!({
        "DashboardName": name,
        "DashboardArn": request.dashboard_arn(name),
        "LastModified": dashboard.modified as f64 / 1000.0,
        "Size": dashboard.body.len(),
    })
}

/// A list of `Tag`.
pub fn tags(tags: &Tags) -> Value {
    tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect()
}

/// The complete state, for `GET /_sandbox/state`.
pub fn all(state: &CloudWatchState) -> Value {
    let view = |metrics: &Metrics| {
        let mut namespaces: BTreeMap<&str, usize> = BTreeMap::new();
        for key in metrics.keys() {
            *namespaces.entry(&key.namespace).or_default() += 1;
        }
        json!({"metricsByNamespace": namespaces, "arriving": metrics.arriving_count()})
    };
    let metrics: BTreeMap<&String, Value> =
        state.regions.iter().map(|(region, metrics)| (region, view(metrics))).collect();
    json!({"dashboards": state.dashboards.keys().collect::<Vec<_>>(), "metrics": metrics})
}

//! `ListMetrics`. In: one region's metrics and a request. Out: the response. No I/O.

use serde_json::Value;

use crate::call::AwsError;
use crate::parameters::Parameters;
use crate::services::cloudwatch::errors::INVALID_REQUEST;
use crate::services::cloudwatch::model::series::{Key, Metrics};
use crate::services::cloudwatch::request::Request;
use crate::services::cloudwatch::view;

/// "Up to 500 results are returned for any one call" (ListMetrics reference).
const METRICS_PER_PAGE: usize = 500;

pub fn list_metrics(metrics: &mut Metrics, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
    let (namespace, name) = (input.text("Namespace")?, input.text("MetricName")?);
    let filters = input
        .list("Dimensions")?
        .iter()
        .map(|filter| {
            let filter = Parameters::new(filter, INVALID_REQUEST);
            Ok((filter.required_text("Name")?, filter.text("Value")?))
        })
        .collect::<Result<Vec<_>, AwsError>>()?;
    let matches = |key: &&Key| {
        namespace.is_none_or(|namespace| key.namespace == namespace)
            && name.is_none_or(|name| key.name == name)
            && filters.iter().all(|(dimension, value)| {
                let actual = key.dimensions.get(*dimension);
                actual.is_some_and(|actual| value.is_none_or(|value| actual == value))
            })
    };
    let listed = metrics.listed(request.now).filter(matches);
    let mut sorted: Vec<(String, Value)> =
        listed.map(|key| (format!("{key:?}"), view::metric(key))).collect();
    sorted.sort_by(|left, right| left.0.cmp(&right.0));
    request.paged("Metrics", METRICS_PER_PAGE, sorted)
}

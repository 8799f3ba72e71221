//! `GetMetricStatistics` and `ListMetrics`. In: a request. Out: the response. No I/O.

use serde_json::{Map, Value, json};

use super::queries::{is_period, key, span};
use super::series::{Key, Metrics};
use super::statistic::Statistic;
use super::{INVALID_REQUEST, Request};
use crate::call::AwsError;
use crate::paging::page;
use crate::parameters::Parameters;

/// "The maximum number of data points returned from a single call is 1,440" (GetMetricStatistics
/// reference).
const DATAPOINTS: i64 = 1_440;
/// "Up to 500 results are returned for any one call" (ListMetrics reference).
const METRICS_PER_PAGE: usize = 500;

pub(super) fn get_metric_statistics(metrics: &Metrics, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
    let key = key(input)?;
    let period = input.required_integer("Period")?;
    if !is_period(period) {
        return Err(input.invalid(format!("The value {period} for parameter Period is invalid.")));
    }
    let (start, end) = span(input, period)?;
    if (end - start).div_euclid(period) > DATAPOINTS {
        return Err(AwsError::client(
            "InvalidParameterCombinationException",
            format!(
                "You have requested up to {} datapoints, which exceeds the limit of 1,440. You may reduce the datapoints requested by increasing Period, or decreasing the time range.",
                (end - start).div_euclid(period)
            ),
        ));
    }
    let (plain, extended) = (input.texts("Statistics")?, input.texts("ExtendedStatistics")?);
    if plain.is_empty() == extended.is_empty() {
        return Err(AwsError::client(
            "InvalidParameterCombinationException",
            "Exactly one of the parameters Statistics and ExtendedStatistics must be specified.",
        ));
    }
    let read = |name: &&str| {
        Statistic::parse(name)
            .map(|statistic| ((*name).to_owned(), statistic))
            .ok_or_else(|| input.invalid(format!("The value {name} for parameter Statistics is invalid.")))
    };
    let plain = plain.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let extended = extended.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let unit = input.text("Unit")?;
    let returned_unit = unit.or_else(|| metrics.unit(&key)).unwrap_or("None");
    let datapoints: Vec<Value> = metrics
        .buckets_by_period(&key, unit, (start, end), period)
        .into_iter()
        .map(|(at, bucket)| {
            let computed = |statistics: &[(String, Statistic)]| -> Map<String, Value> {
                statistics
                    .iter()
                    .filter_map(|(name, statistic)| Some((name.clone(), Value::from(statistic.of(&bucket)?))))
                    .collect()
            };
            let mut point = computed(&plain);
            if !extended.is_empty() {
                point.insert("ExtendedStatistics".to_owned(), Value::Object(computed(&extended)));
            }
            point.insert("Timestamp".to_owned(), Value::from(at));
            point.insert("Unit".to_owned(), Value::from(returned_unit));
            Value::Object(point)
        })
        .collect();
    Ok(json!({"Label": key.name, "Datapoints": datapoints}))
}

pub(super) fn list_metrics(metrics: &Metrics, request: Request<'_>) -> Result<Value, AwsError> {
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
    let listed = metrics.listed(request.now).filter(matches).map(|key| {
        let dimensions: Vec<Value> =
            key.dimensions.iter().map(|(name, value)| json!({"Name": name, "Value": value})).collect();
        let view = json!({"Namespace": key.namespace, "MetricName": key.name, "Dimensions": dimensions});
        (format!("{key:?}"), view)
    });
    let mut sorted: Vec<(String, Value)> = listed.collect();
    sorted.sort_by(|left, right| left.0.cmp(&right.0));
    let (items, next) = page(sorted, input.text("NextToken")?, METRICS_PER_PAGE)
        .map_err(|_| input.invalid("The next token specified is invalid."))?;
    let mut output = json!({"Metrics": items});
    if let Some(next) = next {
        output["NextToken"] = Value::from(next);
    }
    Ok(output)
}

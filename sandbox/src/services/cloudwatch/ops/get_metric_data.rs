//! `GetMetricData`. In: queries over a time range. Out: their results, in pages. No I/O.
//!
//! Metric math and Metrics Insights are not modelled and are rejected.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Request;
use super::series::{Key, Metrics};
use super::statistic::Statistic;
use crate::call::AwsError;
use crate::operations::NOT_SUPPORTED;
use crate::parameters::Parameters;

/// "As many as 500 metrics", "100,800 data points" (GetMetricData reference).
const QUERIES: usize = 500;
const DATAPOINTS: i64 = 100_800;

/// The error code of GetMetricData for invalid requests, which AWS's model does not list.
pub(super) const INVALID_REQUEST: &str = "ValidationError";

fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::client(INVALID_REQUEST, message)
}

/// The metric key in a structure.
pub(super) fn key(metric: Parameters<'_>) -> Result<Key, AwsError> {
    let dimensions = metric
        .list("Dimensions")?
        .iter()
        .map(|dimension| {
            let dimension = Parameters::new(dimension, INVALID_REQUEST);
            Ok((dimension.required_text("Name")?.to_owned(), dimension.required_text("Value")?.to_owned()))
        })
        .collect::<Result<BTreeMap<_, _>, AwsError>>()?;
    Ok(Key {
        namespace: metric.required_text("Namespace")?.to_owned(),
        name: metric.required_text("MetricName")?.to_owned(),
        dimensions,
    })
}

/// "1, 5, 10, 20, 30, or any multiple of 60" (MetricStat, Period).
pub(super) fn is_period(seconds: i64) -> bool {
    matches!(seconds, 1 | 5 | 10 | 20 | 30) || (seconds > 0 && seconds % 60 == 0)
}

/// The time range in whole seconds. The start is rounded down to the period if that is shorter than
/// a minute, otherwise to the minute ("StartTime"). The end is rounded up.
pub(super) fn span(input: Parameters<'_>, period: i64) -> Result<(i64, i64), AwsError> {
    let required = |name: &str| {
        input.instant(name)?.ok_or_else(|| {
            AwsError::client(
                "MissingRequiredParameterException",
                format!("The parameter {name} is required."),
            )
        })
    };
    let (start, end) = (required("StartTime")?, required("EndTime")?);
    if start >= end {
        return Err(invalid("The parameter StartTime must be less than the parameter EndTime."));
    }
    let granularity = period.min(60);
    let end = end.as_millisecond().div_euclid(1000) + i64::from(end.subsec_nanosecond() > 0);
    Ok((start.as_second().div_euclid(granularity) * granularity, end))
}

/// The result of one query: times and values, oldest first.
struct QueryResult {
    id: String,
    label: String,
    points: Vec<(i64, f64)>,
}

pub(super) fn get_metric_data(metrics: &Metrics, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
    let queries = input.list("MetricDataQueries")?;
    if queries.is_empty() || queries.len() > QUERIES {
        return Err(invalid(format!(
            "The collection MetricDataQueries must have between 1 and {QUERIES} members."
        )));
    }
    let newest_first = match input.text("ScanBy")?.unwrap_or("TimestampDescending") {
        "TimestampDescending" => true,
        "TimestampAscending" => false,
        other => return Err(invalid(format!("The value {other} for parameter ScanBy is invalid."))),
    };
    let limit = input.integer("MaxDatapoints")?.unwrap_or(DATAPOINTS);
    if !(1..=DATAPOINTS).contains(&limit) {
        return Err(invalid(format!("MaxDatapoints must be between 1 and {DATAPOINTS}.")));
    }
    let skipped: usize = match input.text("NextToken")? {
        None => 0,
        Some(token) => token
            .parse()
            .map_err(|_| AwsError::client("InvalidNextToken", "The next token specified is invalid."))?,
    };
    let mut results = Vec::new();
    for query in queries {
        results.extend(evaluate(metrics, input, Parameters::new(query, INVALID_REQUEST), newest_first)?);
    }
    for (index, result) in results.iter().enumerate() {
        if results[..index].iter().any(|earlier| earlier.id == result.id) {
            return Err(invalid(format!("The value {} for parameter Id is not unique.", result.id)));
        }
    }
    // A page spans the points of all queries in order. Its token is the number of points on earlier
    // pages.
    let (mut to_skip, mut room) = (skipped, limit as usize);
    let total: usize = results.iter().map(|result| result.points.len()).sum();
    let mut views = Vec::new();
    for QueryResult { id, label, points } in results {
        let skip = to_skip.min(points.len());
        to_skip -= skip;
        let page = &points[skip..points.len().min(skip + room)];
        room -= page.len();
        views.push(json!({
            "Id": id,
            "Label": label,
            "Timestamps": page.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
            "Values": page.iter().map(|(_, value)| *value).collect::<Vec<_>>(),
            "StatusCode": if skip + page.len() < points.len() { "PartialData" } else { "Complete" },
        }));
    }
    let mut output = json!({"MetricDataResults": views, "Messages": []});
    if skipped + (limit as usize) < total {
        output["NextToken"] = Value::from((skipped + limit as usize).to_string());
    }
    Ok(output)
}

fn evaluate(
    metrics: &Metrics,
    input: Parameters<'_>,
    query: Parameters<'_>,
    newest_first: bool,
) -> Result<Option<QueryResult>, AwsError> {
    let id = query.required_text("Id")?;
    let well_formed = id.starts_with(|c: char| c.is_ascii_lowercase())
        && id.len() <= 255
        && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !well_formed {
        return Err(invalid(format!(
            "The value {id} for parameter Id is invalid: it must start with a lowercase letter and hold letters, digits and underscores."
        )));
    }
    if query.raw("MetricStat").is_none() {
        return Err(invalid(format!("The query {id} needs a MetricStat.")));
    }
    let metric_stat = query.nested("MetricStat")?;
    let key = key(metric_stat.nested("Metric")?)?;
    let period = metric_stat.required_integer("Period")?;
    if !is_period(period) {
        return Err(invalid(format!(
            "The value {period} for parameter Period is invalid: use 1, 5, 10, 20, 30 or a multiple of 60."
        )));
    }
    let name = metric_stat.required_text("Stat")?;
    let statistic = Statistic::parse(name)
        .ok_or_else(|| invalid(format!("The value {name} for parameter Stat is invalid or not modelled.")))?;
    let span = span(input, period)?;
    let mut points: Vec<(i64, f64)> = metrics
        .buckets_by_period(&key, metric_stat.text("Unit")?, span, period)
        .into_iter()
        .filter_map(|(at, bucket)| Some((at, statistic.of(&bucket)?)))
        .collect();
    if newest_first {
        points.reverse();
    }
    let label = query.text("Label")?.unwrap_or(&key.name).to_owned();
    if label.contains("${") {
        return Err(invalid(format!("a Label with dynamic parts {NOT_SUPPORTED}")));
    }
    let is_returned = query.flag("ReturnData")?.unwrap_or(true);
    Ok(is_returned.then(|| QueryResult { id: id.to_owned(), label, points }))
}

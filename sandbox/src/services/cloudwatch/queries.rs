//! `GetMetricData`. In: queries over a span. Out: their results, page by page. Touches nothing outside.
//!
//! Metric math and Metrics Insights are not modelled and refused.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Request;
use super::series::{Key, Metrics};
use super::statistic::Statistic;
use crate::operations::NOT_OFFERED;
use crate::parameters::Members;
use crate::services::AwsError;

/// "As many as 500 metrics", "100,800 data points" (GetMetricData reference).
const QUERIES: usize = 500;
const DATAPOINTS: i64 = 100_800;

/// GetMetricData answers what it cannot take with this unmodelled code.
pub(super) const REFUSAL: &str = "ValidationError";

fn refusal(message: impl Into<String>) -> AwsError {
    AwsError::client(REFUSAL, message)
}

/// The metric a structure names.
pub(super) fn key(metric: Members<'_>) -> Result<Key, AwsError> {
    let dimensions = metric
        .list("Dimensions")?
        .iter()
        .map(|dimension| {
            let dimension = Members::new(dimension, REFUSAL);
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

/// The span in whole seconds: the start is rounded down to the period below a minute, else to the minute ("StartTime").
pub(super) fn span(input: Members<'_>, period: i64) -> Result<(i64, i64), AwsError> {
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
        return Err(refusal("The parameter StartTime must be less than the parameter EndTime."));
    }
    let grain = period.min(60);
    let end = end.as_millisecond().div_euclid(1000) + i64::from(end.subsec_nanosecond() > 0);
    Ok((start.as_second().div_euclid(grain) * grain, end))
}

/// One query's answer: times and values, oldest first.
struct Answered {
    id: String,
    label: String,
    points: Vec<(i64, f64)>,
}

pub(super) fn get_metric_data(metrics: &Metrics, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
    let queries = input.list("MetricDataQueries")?;
    if queries.is_empty() || queries.len() > QUERIES {
        return Err(refusal(format!(
            "The collection MetricDataQueries must have between 1 and {QUERIES} members."
        )));
    }
    let newest_first = match input.text("ScanBy")?.unwrap_or("TimestampDescending") {
        "TimestampDescending" => true,
        "TimestampAscending" => false,
        other => return Err(refusal(format!("The value {other} for parameter ScanBy is invalid."))),
    };
    let limit = input.integer("MaxDatapoints")?.unwrap_or(DATAPOINTS);
    if !(1..=DATAPOINTS).contains(&limit) {
        return Err(refusal(format!("MaxDatapoints must be between 1 and {DATAPOINTS}.")));
    }
    let skipped: usize = match input.text("NextToken")? {
        None => 0,
        Some(token) => token
            .parse()
            .map_err(|_| AwsError::client("InvalidNextToken", "The next token specified is invalid."))?,
    };
    let mut answered = Vec::new();
    for query in queries {
        answered.extend(answer(metrics, input, Members::new(query, REFUSAL), newest_first)?);
    }
    for (place, held) in answered.iter().enumerate() {
        if answered[..place].iter().any(|earlier| earlier.id == held.id) {
            return Err(refusal(format!("The value {} for parameter Id is not unique.", held.id)));
        }
    }
    // A page cuts through the points of all queries in their order; its token is how many points went before.
    let (mut to_skip, mut room) = (skipped, limit as usize);
    let total: usize = answered.iter().map(|held| held.points.len()).sum();
    let mut results = Vec::new();
    for Answered { id, label, points } in answered {
        let skip = to_skip.min(points.len());
        to_skip -= skip;
        let given = &points[skip..points.len().min(skip + room)];
        room -= given.len();
        results.push(json!({
            "Id": id,
            "Label": label,
            "Timestamps": given.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
            "Values": given.iter().map(|(_, value)| *value).collect::<Vec<_>>(),
            "StatusCode": if skip + given.len() < points.len() { "PartialData" } else { "Complete" },
        }));
    }
    let mut output = json!({"MetricDataResults": results, "Messages": []});
    if skipped + (limit as usize) < total {
        output["NextToken"] = Value::from((skipped + limit as usize).to_string());
    }
    Ok(output)
}

fn answer(
    metrics: &Metrics,
    input: Members<'_>,
    query: Members<'_>,
    newest_first: bool,
) -> Result<Option<Answered>, AwsError> {
    let id = query.required_text("Id")?;
    let well_formed = id.starts_with(|c: char| c.is_ascii_lowercase())
        && id.len() <= 255
        && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !well_formed {
        return Err(refusal(format!(
            "The value {id} for parameter Id is invalid: it must start with a lowercase letter and hold letters, digits and underscores."
        )));
    }
    if query.raw("MetricStat").is_none() {
        return Err(refusal(format!("The query {id} needs a MetricStat.")));
    }
    let wanted = query.nested("MetricStat")?;
    let key = key(wanted.nested("Metric")?)?;
    let period = wanted.required_integer("Period")?;
    if !is_period(period) {
        return Err(refusal(format!(
            "The value {period} for parameter Period is invalid: use 1, 5, 10, 20, 30 or a multiple of 60."
        )));
    }
    let name = wanted.required_text("Stat")?;
    let statistic = Statistic::parse(name)
        .ok_or_else(|| refusal(format!("The value {name} for parameter Stat is invalid or not modelled.")))?;
    let span = span(input, period)?;
    let mut points: Vec<(i64, f64)> = metrics
        .gathered(&key, wanted.text("Unit")?, span, period)
        .into_iter()
        .filter_map(|(at, bucket)| Some((at, statistic.of(&bucket)?)))
        .collect();
    if newest_first {
        points.reverse();
    }
    let label = query.text("Label")?.unwrap_or(&key.name).to_owned();
    if label.contains("${") {
        return Err(refusal(format!("a Label with dynamic parts {NOT_OFFERED}")));
    }
    let shown = query.flag("ReturnData")?.unwrap_or(true);
    Ok(shown.then(|| Answered { id: id.to_owned(), label, points }))
}

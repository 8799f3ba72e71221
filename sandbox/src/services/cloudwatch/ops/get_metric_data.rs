//! `GetMetricData`. In: queries over a time range. Out: their results, in pages. No I/O.
//!
//! Metric math and Metrics Insights are not modelled and are rejected.

use serde_json::{Value, json};

use crate::call::AwsError;
use crate::operations::NOT_SUPPORTED;
use crate::parameters::Parameters;
use crate::services::cloudwatch::errors::{INVALID_QUERY, invalid_query, invalid_query_token};
use crate::services::cloudwatch::model::series::Metrics;
use crate::services::cloudwatch::model::statistic::Statistic;
use crate::services::cloudwatch::request::{Request, is_period, metric_key, time_range};

/// "As many as 500 metrics", "100,800 data points" (GetMetricData reference).
const QUERIES: usize = 500;
const DATAPOINTS: i64 = 100_800;

/// The result of one query: times and values, oldest first.
struct QueryResult {
    id: String,
    label: String,
    points: Vec<(i64, f64)>,
}

pub fn get_metric_data(metrics: &mut Metrics, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
    let queries = input.list("MetricDataQueries")?;
    if queries.is_empty() || queries.len() > QUERIES {
        return Err(invalid_query(format!(
            "The collection MetricDataQueries must have between 1 and {QUERIES} members."
        )));
    }
    let newest_first = match input.text("ScanBy")?.unwrap_or("TimestampDescending") {
        "TimestampDescending" => true,
        "TimestampAscending" => false,
        other => return Err(invalid_query(format!("The value {other} for parameter ScanBy is invalid."))),
    };
    let limit = input.integer("MaxDatapoints")?.unwrap_or(DATAPOINTS);
    if !(1..=DATAPOINTS).contains(&limit) {
        return Err(invalid_query(format!("MaxDatapoints must be between 1 and {DATAPOINTS}.")));
    }
    let skipped: usize = match input.text("NextToken")? {
        None => 0,
        Some(token) => token.parse().map_err(|_| invalid_query_token())?,
    };
    let mut results = Vec::new();
    for query in queries {
        results.extend(evaluate(metrics, input, Parameters::new(query, INVALID_QUERY), newest_first)?);
    }
    for (index, result) in results.iter().enumerate() {
        if results[..index].iter().any(|earlier| earlier.id == result.id) {
            return Err(invalid_query(format!("The value {} for parameter Id is not unique.", result.id)));
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
        return Err(invalid_query(format!(
            "The value {id} for parameter Id is invalid: it must start with a lowercase letter and hold letters, digits and underscores."
        )));
    }
    if query.raw("MetricStat").is_none() {
        return Err(invalid_query(format!("The query {id} needs a MetricStat.")));
    }
    let metric_stat = query.nested("MetricStat")?;
    let key = metric_key(metric_stat.nested("Metric")?)?;
    let period = metric_stat.required_integer("Period")?;
    if !is_period(period) {
        return Err(invalid_query(format!(
            "The value {period} for parameter Period is invalid: use 1, 5, 10, 20, 30 or a multiple of 60."
        )));
    }
    let name = metric_stat.required_text("Stat")?;
    let statistic = Statistic::parse(name).ok_or_else(|| {
        invalid_query(format!("The value {name} for parameter Stat is invalid or not modelled."))
    })?;
    let range = time_range(input, period)?;
    let mut points: Vec<(i64, f64)> = metrics
        .buckets_by_period(&key, metric_stat.text("Unit")?, range, period)
        .into_iter()
        .filter_map(|(at, bucket)| Some((at, statistic.of(&bucket)?)))
        .collect();
    if newest_first {
        points.reverse();
    }
    let label = query.text("Label")?.unwrap_or(&key.name).to_owned();
    if label.contains("${") {
        return Err(invalid_query(format!("a Label with dynamic parts {NOT_SUPPORTED}")));
    }
    let is_returned = query.flag("ReturnData")?.unwrap_or(true);
    Ok(is_returned.then(|| QueryResult { id: id.to_owned(), label, points }))
}

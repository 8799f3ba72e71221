//! `GetMetricStatistics`. In: one region's metrics and a request. Out: the response. No I/O.

use serde_json::{Map, Value, json};

use crate::call::AwsError;
use crate::services::cloudwatch::errors;
use crate::services::cloudwatch::model::series::Metrics;
use crate::services::cloudwatch::model::statistic::Statistic;
use crate::services::cloudwatch::request::{Request, is_period, metric_key, time_range};

/// "The maximum number of data points returned from a single call is 1,440" (GetMetricStatistics
/// reference).
const DATAPOINTS: i64 = 1_440;

pub fn get_metric_statistics(metrics: &mut Metrics, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
    let key = metric_key(input)?;
    let period = input.required_integer("Period")?;
    if !is_period(period) {
        return Err(input.invalid(format!("The value {period} for parameter Period is invalid.")));
    }
    let (start, end) = time_range(input, period)?;
    if (end - start).div_euclid(period) > DATAPOINTS {
        return Err(errors::invalid_combination(format!(
            "You have requested up to {} datapoints, which exceeds the limit of 1,440. You may reduce the datapoints requested by increasing Period, or decreasing the time range.",
            (end - start).div_euclid(period)
        )));
    }
    let (plain, extended) = (input.texts("Statistics")?, input.texts("ExtendedStatistics")?);
    if plain.is_empty() == extended.is_empty() {
        return Err(errors::invalid_combination(
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

//! `PutMetricData`. In: one region's metrics and a request. Out: data points, all of them or none.
//! No I/O.
//!
//! Limits: PutMetricData and MetricDatum references.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::call::AwsError;
use crate::parameters::Parameters;
use crate::services::cloudwatch::errors::{self, INVALID_REQUEST, collection_too_large, missing_parameter};
use crate::services::cloudwatch::model::series::{Datum, Key, Measured, Metrics};
use crate::services::cloudwatch::request::Request;

/// "Up to 1000 different metrics per request", "up to 150 values", "up to 30 dimensions".
const DATA: usize = 1000;
const VALUES: usize = 150;
const DIMENSIONS: usize = 30;
/// "From two weeks in the past to two hours in the future", in milliseconds.
const PAST: i64 = 14 * 24 * 3_600_000;
const FUTURE: i64 = 2 * 3_600_000;
/// "In the range of -2^360 to 2^360."
const EXPONENT: i32 = 360;
/// StandardUnit.
const UNITS: [&str; 27] = [
    "Seconds",
    "Microseconds",
    "Milliseconds",
    "Bytes",
    "Kilobytes",
    "Megabytes",
    "Gigabytes",
    "Terabytes",
    "Bits",
    "Kilobits",
    "Megabits",
    "Gigabits",
    "Terabits",
    "Percent",
    "Count",
    "Bytes/Second",
    "Kilobytes/Second",
    "Megabytes/Second",
    "Gigabytes/Second",
    "Terabytes/Second",
    "Bits/Second",
    "Kilobits/Second",
    "Megabits/Second",
    "Gigabits/Second",
    "Terabits/Second",
    "Count/Second",
    "None",
];

pub fn put_metric_data(metrics: &mut Metrics, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
    let namespace = checked_namespace(input)?;
    let mut data: Vec<(String, &Value)> = input
        .list("MetricData")?
        .iter()
        .enumerate()
        .map(|(index, datum)| (format!("MetricData.member.{}", index + 1), datum))
        .collect();
    for (entity, entity_data) in input.list("EntityMetricData")?.iter().enumerate() {
        let data_of_entity = Parameters::new(entity_data, INVALID_REQUEST).list("MetricData")?;
        data.extend(data_of_entity.iter().enumerate().map(|(index, datum)| {
            (format!("EntityMetricData.member.{}.MetricData.member.{}", entity + 1, index + 1), datum)
        }));
    }
    if data.is_empty() {
        return Err(missing_parameter("MetricData"));
    }
    if data.len() > DATA {
        return Err(collection_too_large("MetricData", DATA));
    }
    let data = data
        .into_iter()
        .map(|(path, datum)| {
            checked_datum(namespace, &path, Parameters::new(datum, INVALID_REQUEST), request.wall)
        })
        .collect::<Result<Vec<Datum>, AwsError>>()?;
    metrics.enqueue(data, request.now);
    Ok(Value::Null)
}

fn checked_namespace(input: Parameters<'_>) -> Result<&str, AwsError> {
    let namespace = input.text("Namespace")?.ok_or_else(|| missing_parameter("Namespace"))?;
    if namespace.starts_with("AWS/") {
        return Err(input.invalid(format!(
            "The value {namespace} for parameter Namespace is invalid. Namespaces beginning with AWS/ are reserved."
        )));
    }
    if !is_label(namespace, 255) || namespace.starts_with(':') {
        return Err(input.invalid(format!("The value {namespace} for parameter Namespace is invalid.")));
    }
    Ok(namespace)
}

/// Whether `text` is printable ASCII with at least one character other than a space.
fn is_label(text: &str, longest: usize) -> bool {
    text.len() <= longest
        && !text.trim().is_empty()
        && text.chars().all(|c| c.is_ascii() && !c.is_ascii_control())
}

fn checked_datum(namespace: &str, path: &str, datum: Parameters<'_>, wall: i64) -> Result<Datum, AwsError> {
    let name = datum.text("MetricName")?.ok_or_else(|| missing_parameter(&format!("{path}.MetricName")))?;
    if !is_label(name, 255) {
        return Err(datum.invalid(format!("The value {name} for parameter {path}.MetricName is invalid.")));
    }
    let unit = datum.text("Unit")?.unwrap_or("None");
    if !UNITS.contains(&unit) {
        return Err(datum.invalid(format!("The value {unit} for parameter {path}.Unit is invalid.")));
    }
    let resolution = datum.integer("StorageResolution")?.unwrap_or(60);
    if !matches!(resolution, 1 | 60) {
        return Err(datum
            .invalid(format!("The value {resolution} for parameter {path}.StorageResolution is invalid.")));
    }
    let at = datum.instant("Timestamp")?.map_or(wall, jiff::Timestamp::as_millisecond);
    if at < wall - PAST {
        return Err(datum.invalid(format!(
            "The parameter {path}.Timestamp must specify a time no more than two weeks in the past."
        )));
    }
    if at > wall + FUTURE {
        return Err(datum.invalid(format!(
            "The parameter {path}.Timestamp must specify a time no more than two hours in the future."
        )));
    }
    Ok(Datum {
        key: Key {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            dimensions: checked_dimensions(path, datum)?,
        },
        unit: unit.to_owned(),
        second: at.div_euclid(1000).div_euclid(resolution) * resolution,
        measured: measured(path, datum)?,
    })
}

fn checked_dimensions(path: &str, datum: Parameters<'_>) -> Result<BTreeMap<String, String>, AwsError> {
    let listed = datum.list("Dimensions")?;
    if listed.len() > DIMENSIONS {
        return Err(collection_too_large(&format!("{path}.Dimensions"), DIMENSIONS));
    }
    let mut dimensions = BTreeMap::new();
    for (number, dimension) in listed.iter().enumerate() {
        let dimension = Parameters::new(dimension, INVALID_REQUEST);
        let part = format!("{path}.Dimensions.member.{}", number + 1);
        for (member, longest) in [("Name", 255), ("Value", 1024)] {
            let text =
                dimension.text(member)?.ok_or_else(|| missing_parameter(&format!("{part}.{member}")))?;
            if !is_label(text, longest) || (member == "Name" && text.starts_with(':')) {
                return Err(
                    datum.invalid(format!("The value {text} for parameter {part}.{member} is invalid."))
                );
            }
        }
        let name = dimension.required_text("Name")?.to_owned();
        if dimensions.insert(name, dimension.required_text("Value")?.to_owned()).is_some() {
            return Err(datum.invalid(format!("Duplicate dimension name at {part}.Name")));
        }
    }
    Ok(dimensions)
}

/// The values of a datum, which must be given in exactly one of three forms.
fn measured(path: &str, datum: Parameters<'_>) -> Result<Measured, AwsError> {
    let forms: Vec<&str> = ["Value", "Values", "StatisticValues"]
        .into_iter()
        .filter(|form| {
            datum.raw(form).is_some_and(|given| given.as_array().is_none_or(|list| !list.is_empty()))
        })
        .collect();
    let form = match forms.as_slice() {
        [] => return Err(missing_parameter(&format!("{path}.Value"))),
        [form] => *form,
        [first, second, ..] => {
            return Err(errors::invalid_combination(format!(
                "The parameters {path}.{first} and {path}.{second} are mutually exclusive and you have specified both."
            )));
        }
    };
    let number = |parameter: String, value: Option<&Value>| {
        let value = value.ok_or_else(|| missing_parameter(&parameter))?;
        let bound = 2_f64.powi(EXPONENT);
        value.as_f64().filter(|number| (-bound..=bound).contains(number)).ok_or_else(|| {
            // NaN and infinities, which JSON cannot represent, arrive as strings.
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            datum.invalid(format!("The value {text} for parameter {parameter} is invalid."))
        })
    };
    match form {
        "Value" => {
            let value = number(format!("{path}.Value"), datum.raw("Value"))?;
            Ok(Measured::Values(vec![(value, 1.0)]))
        }
        "Values" => {
            let (values, counts) = (datum.list("Values")?, datum.list("Counts")?);
            if values.len() > VALUES {
                return Err(collection_too_large(&format!("{path}.Values"), VALUES));
            }
            if !counts.is_empty() && counts.len() != values.len() {
                return Err(datum.invalid(format!(
                    "The parameters {path}.Values and {path}.Counts must be of the same size."
                )));
            }
            let pairs = values.iter().enumerate().map(|(index, value)| {
                let value = number(format!("{path}.Values.member.{}", index + 1), Some(value))?;
                let count = match counts.get(index) {
                    Some(count) => number(format!("{path}.Counts.member.{}", index + 1), Some(count))?,
                    None => 1.0,
                };
                if count <= 0.0 {
                    return Err(datum.invalid(format!(
                        "The value {count} for parameter {path}.Counts.member.{} is invalid.",
                        index + 1
                    )));
                }
                Ok((value, count))
            });
            pairs.collect::<Result<_, _>>().map(Measured::Values)
        }
        _ => {
            let set = datum.nested("StatisticValues")?;
            let part = |name: &str| number(format!("{path}.StatisticValues.{name}"), set.raw(name));
            let [count, sum, minimum, maximum] =
                [part("SampleCount")?, part("Sum")?, part("Minimum")?, part("Maximum")?];
            if minimum > maximum || count <= 0.0 {
                return Err(datum.invalid(format!(
                    "The parameter {path}.StatisticValues is invalid: it needs samples and Minimum must not exceed Maximum."
                )));
            }
            Ok(Measured::Set([count, sum, minimum, maximum]))
        }
    }
}

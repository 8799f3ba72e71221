//! A call of CloudWatch, and what its operations read from it alike. In: a call. Out: metrics, time
//! ranges, pages. No I/O.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::errors::{self, INVALID_QUERY, INVALID_REQUEST};
use super::model::series::Key;
use crate::call::{AwsError, Call, Caller};
use crate::clock::ModelClock;
use crate::paging::page_response;
use crate::parameters::Parameters;

/// A request, with its model time and real time.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub input: Parameters<'a>,
    pub caller: &'a Caller,
    /// Model time: determines what reads see.
    pub now: Timestamp,
    /// Real time in milliseconds.
    pub wall: i64,
}

impl<'a> Request<'a> {
    pub fn new(call: &Call<'a>, clock: &ModelClock) -> Self {
        Self {
            input: Parameters::new(call.input, INVALID_REQUEST),
            caller: call.caller,
            now: call.now,
            wall: clock.wall_at(call.now).as_millisecond(),
        }
    }

    /// The ARN of a dashboard of the caller.
    pub fn dashboard_arn(&self, name: &str) -> String {
        format!("arn:aws:cloudwatch::{}:dashboard/{name}", self.caller.account)
    }

    /// One page of `size` items under `member`.
    pub fn paged(
        &self,
        member: &str,
        size: usize,
        items: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<Value, AwsError> {
        page_response(member, items, "NextToken", self.input.text("NextToken")?, size)
            .map_err(|_| errors::invalid_next_token())
    }
}

/// The metric that a structure names.
pub fn metric_key(metric: Parameters<'_>) -> Result<Key, AwsError> {
    let dimensions = metric
        .list("Dimensions")?
        .iter()
        .map(|dimension| {
            let dimension = Parameters::new(dimension, INVALID_QUERY);
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
pub fn is_period(seconds: i64) -> bool {
    matches!(seconds, 1 | 5 | 10 | 20 | 30) || (seconds > 0 && seconds % 60 == 0)
}

/// The time range in whole seconds. The start is rounded down to the period if that is shorter than
/// a minute, otherwise to the minute ("StartTime"). The end is rounded up.
pub fn time_range(input: Parameters<'_>, period: i64) -> Result<(i64, i64), AwsError> {
    let required = |name: &str| input.instant(name)?.ok_or_else(|| errors::missing_parameter(name));
    let (start, end) = (required("StartTime")?, required("EndTime")?);
    if start >= end {
        return Err(errors::invalid_query(
            "The parameter StartTime must be less than the parameter EndTime.",
        ));
    }
    let granularity = period.min(60);
    let end = end.as_millisecond().div_euclid(1000) + i64::from(end.subsec_nanosecond() > 0);
    Ok((start.as_second().div_euclid(granularity) * granularity, end))
}

//! Streams: creating, describing, changing and deleting them. In: the state and a request. Out: the
//! response. Pure.

use serde_json::{Value, json};

use super::tags;
use crate::call::AwsError;
use crate::services::kinesis::model::stream_spec::{Distribution, Mode, StreamSpec};
use crate::services::kinesis::request::Request;
use crate::services::kinesis::state::{KinesisState, throughput_quota_mib};
use crate::services::kinesis::{errors, view};

/// API reference, `RetentionPeriodHours`: 24 hours to 365 days.
const RETENTION_HOURS: std::ops::RangeInclusive<u64> = 24..=8760;
/// API reference, `ListStreams`: the default and the maximum are 100.
const STREAMS_PER_PAGE: usize = 100;

pub fn create_stream(state: &mut KinesisState, request: Request<'_>) -> Result<Value, AwsError> {
    let spec = checked_spec(state, request)?;
    state.create(request.caller, spec, request.now).map(|()| Value::Null)
}

fn checked_spec(state: &mut KinesisState, request: Request<'_>) -> Result<StreamSpec, AwsError> {
    let caller = request.caller;
    let mode = match request.input["StreamModeDetails"]["StreamMode"].as_str() {
        Some("ON_DEMAND") => Mode::OnDemand,
        _ => Mode::Provisioned,
    };
    let shards = match (mode, request.number("ShardCount")) {
        (Mode::Provisioned, Some(shards)) => shards,
        (Mode::Provisioned, None) => {
            return Err(errors::invalid("ShardCount must be specified for streams with PROVISIONED mode."));
        }
        (Mode::OnDemand, None) => 0,
        (Mode::OnDemand, Some(_)) => {
            return Err(errors::invalid("ShardCount cannot be specified for streams with ON_DEMAND mode."));
        }
    };
    let name = request.input["StreamName"].as_str().unwrap_or_default().to_owned();
    let distribution = checked_distribution(request, mode, &name)?;
    let warm_mib = match request.number("WarmThroughputMiBps") {
        Some(mib) => checked_warm_throughput(state, request, mode, mib)?,
        None => 0,
    };
    let tags = tags::checked(&request.input["Tags"])?;
    tags::check_count(tags.len(), &name, &caller.account)?;
    let max_record_kib = request.number("MaxRecordSizeInKiB").unwrap_or(1024);
    Ok(StreamSpec { name, mode, shards, warm_mib, tags, max_record_kib, distribution })
}

/// The requested record distribution of a stream. The error text for AUTO is the developer guide's
/// ("Configure service-managed record distribution", error handling). Provisioned streams have no
/// such setting (API reference).
fn checked_distribution(request: Request<'_>, mode: Mode, stream: &str) -> Result<Distribution, AwsError> {
    match (request.input["RecordDistributionStrategy"].as_str(), mode) {
        (Some(strategy), Mode::Provisioned) => Err(errors::invalid(format!(
            "RecordDistributionStrategy={strategy} is only supported for on-demand streams. Stream {stream} is using PROVISIONED \
             mode."
        ))),
        (Some("AUTO"), Mode::OnDemand) => Ok(Distribution::Auto),
        _ => Ok(Distribution::UserPartitionKey),
    }
}

pub fn list_streams(state: &mut KinesisState, request: Request<'_>) -> Result<Value, AwsError> {
    let most = request.page_size("Limit", STREAMS_PER_PAGE);
    // The token is the name after which the next page starts, like `ExclusiveStartStreamName`.
    let input = request.input;
    let after = input["NextToken"].as_str().or(input["ExclusiveStartStreamName"].as_str());
    let streams = state.region(request.caller).streams.values();
    let mut remaining =
        streams.filter(|stream| after.is_none_or(|after| stream.spec.name.as_str() > after)).peekable();
    let page: Vec<_> = remaining.by_ref().take(most).collect();
    let summaries: Vec<Value> = page.iter().map(|stream| view::listed_stream(stream)).collect();
    let names: Vec<&str> = page.iter().map(|stream| stream.spec.name.as_str()).collect();
    let has_more = remaining.peek().is_some();
    let mut response =
        json!({ "StreamNames": names, "HasMoreStreams": has_more, "StreamSummaries": summaries });
    if let (true, Some(last)) = (has_more, names.last()) {
        response["NextToken"] = json!(last);
    }
    Ok(response)
}

pub fn describe_stream_summary(state: &mut KinesisState, request: Request<'_>) -> Result<Value, AwsError> {
    let is_committed = state.region(request.caller).commitment.is_committed();
    let stream = request.stream(state)?;
    Ok(json!({ "StreamDescriptionSummary": view::summary(stream, is_committed) }))
}

pub fn delete_stream(state: &mut KinesisState, request: Request<'_>) -> Result<Value, AwsError> {
    request.active_stream(state)?.delete(request.now);
    Ok(Value::Null)
}

/// API reference, `UpdateStreamRecordDistributionStrategy`: "The change takes effect immediately".
pub fn update_distribution(state: &mut KinesisState, request: Request<'_>) -> Result<Value, AwsError> {
    let stream = request.active_stream(state)?;
    stream.spec.distribution = checked_distribution(request, stream.spec.mode, &stream.spec.name)?;
    Ok(Value::Null)
}

pub fn update_warm_throughput(state: &mut KinesisState, request: Request<'_>) -> Result<Value, AwsError> {
    let mib = request.number("WarmThroughputMiBps").unwrap_or(u32::MAX);
    let mode = request.stream(state)?.spec.mode;
    let mib = checked_warm_throughput(state, request, mode, mib)?;
    let stream = request.active_stream(state)?;
    stream.warm(mib, request.now);
    Ok(json!({
        "StreamARN": stream.identity.arn,
        "StreamName": stream.spec.name,
        "WarmThroughput": view::warm_throughput(stream),
    }))
}

/// Warm throughput is for on-demand streams of committed accounts, up to the region's throughput
/// quota (API reference, `UpdateStreamWarmThroughput`).
fn checked_warm_throughput(
    state: &mut KinesisState,
    request: Request<'_>,
    mode: Mode,
    mib: u32,
) -> Result<u32, AwsError> {
    let caller = request.caller;
    if mode == Mode::Provisioned {
        return Err(errors::validation("Warm throughput is only supported for streams with ON_DEMAND mode"));
    }
    if !state.region(caller).commitment.is_committed() {
        return Err(errors::not_committed(&caller.account));
    }
    let quota = throughput_quota_mib(&caller.region);
    if mib > quota {
        return Err(errors::limit(format!(
            "WarmThroughputMiBps {mib} exceeds the limit of {quota} for account {} in {}.",
            caller.account, caller.region
        )));
    }
    Ok(mib)
}

pub fn increase_retention(state: &mut KinesisState, request: Request<'_>) -> Result<Value, AwsError> {
    change_retention(state, request, true)
}

pub fn decrease_retention(state: &mut KinesisState, request: Request<'_>) -> Result<Value, AwsError> {
    change_retention(state, request, false)
}

fn change_retention(
    state: &mut KinesisState,
    request: Request<'_>,
    is_increase: bool,
) -> Result<Value, AwsError> {
    let stream = request.active_stream(state)?;
    let (name, current) = (&stream.spec.name, stream.retention_hours);
    let wanted = request.input["RetentionPeriodHours"].as_u64().unwrap_or(0);
    if wanted < *RETENTION_HOURS.start() {
        return Err(errors::invalid(format!(
            "Minimum allowed retention period is 24 hours. Requested retention period ({wanted} hours) is too short."
        )));
    }
    if wanted > *RETENTION_HOURS.end() {
        return Err(errors::invalid(format!(
            "Maximum allowed retention period is 8760 hours. Requested retention period ({wanted} hours) is too long."
        )));
    }
    let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
    // The new period must be strictly longer or shorter; the current period is rejected as well.
    if is_increase && wanted <= current {
        return Err(errors::invalid(format!(
            "Requested retention period ({wanted} hours) for stream {name} can not be shorter than existing retention \
             period ({current} hours). Use DecreaseRetentionPeriod API."
        )));
    }
    if !is_increase && wanted >= current {
        return Err(errors::invalid(format!(
            "Requested retention period ({wanted} hours) for stream {name} can not be longer than existing retention \
             period ({current} hours). Use IncreaseRetentionPeriod API."
        )));
    }
    stream.retain(wanted, request.now);
    Ok(Value::Null)
}

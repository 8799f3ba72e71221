//! The operations of Kinesis on its state. In: checked parameters. Out: response members or an
//! error. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ferrokinesis::sequence::{parse_sequence, partition_key_to_hash_key};
use serde_json::{Value, json};

use super::commitment::DesiredState;
use super::put::explicit_hash;
use super::shard::id_of;
use super::stream::{Distribution, Incoming, Mode, Stream, StreamSpec};
use super::world::{KinesisState, MAX_ON_DEMAND_STREAMS, Outcome, shard_quota, throughput_quota_mib};
use super::{error, listing, put, read, tags, view};
use crate::arn::Arn;
use crate::call::{AwsError, Caller};
use crate::clock::{ModelClock, Moment};
use crate::parameters::instant_of_seconds;

/// API reference, `RetentionPeriodHours`: 24 hours to 365 days.
const RETENTION_HOURS: std::ops::RangeInclusive<u64> = 24..=8760;

/// Performs an operation whose parameters have been checked.
pub fn perform(
    world: &mut KinesisState,
    clock: &ModelClock,
    operation: &str,
    members: &Value,
    caller: &Caller,
    now: Moment,
) -> Result<Value, AwsError> {
    let account = &caller.account;
    match operation {
        "DescribeAccountSettings" => Ok(account_settings(world, clock, caller)),
        "UpdateAccountSettings" => {
            update_account_settings(world, members, caller, now)?;
            Ok(account_settings(world, clock, caller))
        }
        "DescribeLimits" => {
            let region = world.region(caller);
            Ok(json!({
                "ShardLimit": shard_quota(&caller.region),
                "OpenShardCount": region.provisioned_shards(),
                "OnDemandStreamCount": region.on_demand_streams(),
                "OnDemandStreamCountLimit": MAX_ON_DEMAND_STREAMS,
            }))
        }
        "CreateStream" => {
            let spec = spec(world, members, caller)?;
            world.create(caller, spec, now).map(|()| Value::Null)
        }
        "ListStreams" => Ok(listing::streams(world.region(caller).streams.values(), members)),
        "DeleteStream" => {
            mutable(world, members, caller)?.delete(now);
            Ok(Value::Null)
        }
        "DescribeStreamSummary" => {
            let is_committed = world.region(caller).commitment.is_committed();
            let stream = addressed(world, members, caller)?;
            Ok(json!({ "StreamDescriptionSummary": view::summary(stream, is_committed) }))
        }
        "DescribeStream" => Ok(listing::description(addressed(world, members, caller)?, members)),
        "ListShards" => list_shards(world, members, caller, now),
        "UpdateStreamRecordDistributionStrategy" => {
            update_distribution(world, members, caller).map(|()| Value::Null)
        }
        "UpdateStreamWarmThroughput" => update_warm_throughput(world, members, caller, now),
        "IncreaseStreamRetentionPeriod" | "DecreaseStreamRetentionPeriod" => {
            let is_increase = operation == "IncreaseStreamRetentionPeriod";
            change_retention(world, members, caller, is_increase, now).map(|()| Value::Null)
        }
        "TagResource" | "AddTagsToStream" => {
            let added = tags::read(&members["Tags"])?;
            tags::add(mutable(world, members, caller)?, added, account)?;
            Ok(Value::Null)
        }
        "UntagResource" | "RemoveTagsFromStream" => {
            tags::remove(mutable(world, members, caller)?, &members["TagKeys"]);
            Ok(Value::Null)
        }
        "ListTagsForResource" => Ok(tags::all(addressed(world, members, caller)?)),
        "ListTagsForStream" => Ok(tags::page(addressed(world, members, caller)?, members)),
        "GetShardIterator" => {
            let stream = readable(world, members, caller)?;
            let iterator = read::iterator(stream, members, account, now.wall)?;
            unless_dry_run(members, iterator)
        }
        "GetRecords" => {
            let iterator = members["ShardIterator"].as_str().unwrap_or_default();
            let position = read::position(iterator, now.wall)?;
            if members["StreamARN"].is_string() {
                let named = stream_name(None, members["StreamARN"].as_str(), caller)?;
                if named != position.stream {
                    return Err(error::foreign_iterator(&named, account));
                }
            }
            let stream = world.stream(caller, &position.stream)?;
            unless_dry_run(members, Value::Null)?;
            read::records(stream, &position, members["Limit"].as_u64(), account, now.wall)
        }
        "PutRecord" => put_record(world, members, caller, now),
        _ => Err(AwsError::client("UnknownOperationException", "")),
    }
}

/// The stream that a request names, by name, ARN or both.
pub fn stream_name(name: Option<&str>, arn: Option<&str>, caller: &Caller) -> Result<String, AwsError> {
    let Some(arn) = arn else {
        let missing = || error::invalid("Either StreamName or StreamARN must be provided.");
        return name.map(str::to_owned).ok_or_else(missing);
    };
    let named = arn.split_once(":stream/").map_or("", |(_, named)| named);
    if name.is_some_and(|name| name != named) {
        return Err(error::invalid("StreamARN and StreamName do not refer to the same stream."));
    }
    let own = Arn::own_of(arn, "kinesis", caller).and_then(|arn| arn.resource.strip_prefix("stream/"));
    own.map(str::to_owned).ok_or_else(|| error::stream_not_found(named, &caller.account))
}

fn addressed<'a>(
    world: &'a mut KinesisState,
    members: &Value,
    caller: &Caller,
) -> Result<&'a mut Stream, AwsError> {
    let arn = members["StreamARN"].as_str().or(members["ResourceARN"].as_str());
    let name = stream_name(members["StreamName"].as_str(), arn, caller)?;
    world.stream(caller, &name)
}

/// The named stream if it can be changed, i.e. is ACTIVE.
fn mutable<'a>(
    world: &'a mut KinesisState,
    members: &Value,
    caller: &Caller,
) -> Result<&'a mut Stream, AwsError> {
    let stream = addressed(world, members, caller)?;
    if stream.is_active() {
        return Ok(stream);
    }
    Err(error::not_active(&stream.spec.name, &caller.account, stream.status()))
}

/// The named stream if it can be read.
fn readable<'a>(
    world: &'a mut KinesisState,
    members: &Value,
    caller: &Caller,
) -> Result<&'a mut Stream, AwsError> {
    let stream = addressed(world, members, caller)?;
    if stream.is_creating() {
        return Err(error::stream_not_found(&stream.spec.name, &caller.account));
    }
    Ok(stream)
}

fn account_settings(world: &mut KinesisState, clock: &ModelClock, caller: &Caller) -> Value {
    let commitment = &world.region(caller).commitment;
    json!({ "MinimumThroughputBillingCommitment": view::commitment(commitment, clock) })
}

fn update_account_settings(
    world: &mut KinesisState,
    members: &Value,
    caller: &Caller,
    now: Moment,
) -> Result<(), AwsError> {
    let region = world.region(caller);
    let status = members["MinimumThroughputBillingCommitment"]["Status"].as_str();
    let desired_state =
        if status == Some("ENABLED") { DesiredState::Enabled } else { DesiredState::Disabled };
    let warmed = region.streams.values().find(|stream| stream.spec.warm_mib > 0);
    if let (DesiredState::Disabled, Some(warmed)) = (desired_state, warmed) {
        // Developer guide, "Switch between modes": warm throughput must be removed first. The text
        // is ours.
        return Err(error::validation(format!(
            "The minimum throughput billing commitment of account {} cannot be disabled while warm throughput is set on \
             stream {}",
            caller.account, warmed.spec.name
        )));
    }
    region.commitment.update(desired_state, now.model);
    Ok(())
}

fn spec(world: &mut KinesisState, members: &Value, caller: &Caller) -> Result<StreamSpec, AwsError> {
    let number = |name: &str| members[name].as_u64().and_then(|number| u32::try_from(number).ok());
    let mode = match members["StreamModeDetails"]["StreamMode"].as_str() {
        Some("ON_DEMAND") => Mode::OnDemand,
        _ => Mode::Provisioned,
    };
    let shards = match (mode, number("ShardCount")) {
        (Mode::Provisioned, Some(shards)) => shards,
        (Mode::Provisioned, None) => {
            return Err(error::invalid("ShardCount must be specified for streams with PROVISIONED mode."));
        }
        (Mode::OnDemand, None) => 0,
        (Mode::OnDemand, Some(_)) => {
            return Err(error::invalid("ShardCount cannot be specified for streams with ON_DEMAND mode."));
        }
    };
    let name = members["StreamName"].as_str().unwrap_or_default().to_owned();
    let distribution = checked_distribution(members, mode, &name)?;
    let warm_mib = match number("WarmThroughputMiBps") {
        Some(mib) => checked_warm_throughput(world, caller, mode, mib)?,
        None => 0,
    };
    let tags = tags::read(&members["Tags"])?;
    tags::check_count(tags.len(), &name, &caller.account)?;
    let max_record_kib = number("MaxRecordSizeInKiB").unwrap_or(1024);
    Ok(StreamSpec { name, mode, shards, warm_mib, tags, max_record_kib, distribution })
}

/// The requested record distribution of a stream. The error text for AUTO is the developer guide's
/// ("Configure service-managed record distribution", error handling). Provisioned streams have no
/// such setting (API reference).
fn checked_distribution(members: &Value, mode: Mode, stream: &str) -> Result<Distribution, AwsError> {
    match (members["RecordDistributionStrategy"].as_str(), mode) {
        (Some(strategy), Mode::Provisioned) => Err(error::invalid(format!(
            "RecordDistributionStrategy={strategy} is only supported for on-demand streams. Stream {stream} is using PROVISIONED \
             mode."
        ))),
        (Some("AUTO"), Mode::OnDemand) => Ok(Distribution::Auto),
        _ => Ok(Distribution::UserPartitionKey),
    }
}

/// API reference, `UpdateStreamRecordDistributionStrategy`: "The change takes effect immediately".
fn update_distribution(world: &mut KinesisState, members: &Value, caller: &Caller) -> Result<(), AwsError> {
    let stream = mutable(world, members, caller)?;
    stream.spec.distribution = checked_distribution(members, stream.spec.mode, &stream.spec.name)?;
    Ok(())
}

/// Warm throughput is for on-demand streams of committed accounts, up to the region's throughput
/// quota (API reference, `UpdateStreamWarmThroughput`).
fn checked_warm_throughput(
    world: &mut KinesisState,
    caller: &Caller,
    mode: Mode,
    mib: u32,
) -> Result<u32, AwsError> {
    if mode == Mode::Provisioned {
        return Err(error::validation("Warm throughput is only supported for streams with ON_DEMAND mode"));
    }
    if !world.region(caller).commitment.is_committed() {
        return Err(error::not_committed(&caller.account));
    }
    let quota = throughput_quota_mib(&caller.region);
    if mib > quota {
        return Err(error::limit(format!(
            "WarmThroughputMiBps {mib} exceeds the limit of {quota} for account {} in {}.",
            caller.account, caller.region
        )));
    }
    Ok(mib)
}

fn update_warm_throughput(
    world: &mut KinesisState,
    members: &Value,
    caller: &Caller,
    now: Moment,
) -> Result<Value, AwsError> {
    let mib =
        members["WarmThroughputMiBps"].as_u64().and_then(|mib| u32::try_from(mib).ok()).unwrap_or(u32::MAX);
    let mode = addressed(world, members, caller)?.spec.mode;
    let mib = checked_warm_throughput(world, caller, mode, mib)?;
    let stream = mutable(world, members, caller)?;
    stream.warm(mib, now);
    Ok(json!({
        "StreamARN": stream.identity.arn,
        "StreamName": stream.spec.name,
        "WarmThroughput": view::warm_throughput(stream),
    }))
}

fn change_retention(
    world: &mut KinesisState,
    members: &Value,
    caller: &Caller,
    is_increase: bool,
    now: Moment,
) -> Result<(), AwsError> {
    let stream = mutable(world, members, caller)?;
    let (name, current) = (&stream.spec.name, stream.retention_hours);
    let wanted = members["RetentionPeriodHours"].as_u64().unwrap_or(0);
    if wanted < *RETENTION_HOURS.start() {
        return Err(error::invalid(format!(
            "Minimum allowed retention period is 24 hours. Requested retention period ({wanted} hours) is too short."
        )));
    }
    if wanted > *RETENTION_HOURS.end() {
        return Err(error::invalid(format!(
            "Maximum allowed retention period is 8760 hours. Requested retention period ({wanted} hours) is too long."
        )));
    }
    let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
    // The new period must be strictly longer or shorter; the current period is rejected as well.
    if is_increase && wanted <= current {
        return Err(error::invalid(format!(
            "Requested retention period ({wanted} hours) for stream {name} can not be shorter than existing retention \
             period ({current} hours). Use DecreaseRetentionPeriod API."
        )));
    }
    if !is_increase && wanted >= current {
        return Err(error::invalid(format!(
            "Requested retention period ({wanted} hours) for stream {name} can not be longer than existing retention \
             period ({current} hours). Use IncreaseRetentionPeriod API."
        )));
    }
    stream.retain(wanted, now);
    Ok(())
}

fn list_shards(
    world: &mut KinesisState,
    members: &Value,
    caller: &Caller,
    now: Moment,
) -> Result<Value, AwsError> {
    let Some(text) = members["NextToken"].as_str() else {
        let stream = addressed(world, members, caller)?;
        // The creation time distinguishes streams with the same name. It is compared in whole
        // seconds, because some clients (boto3) send no more.
        let seconds = |at: &Value| at.as_f64().and_then(instant_of_seconds).map(|at| at.as_second());
        let created = stream.created_at.wall.as_second();
        if seconds(&members["StreamCreationTimestamp"]).is_some_and(|wanted| wanted != created) {
            return Err(error::stream_not_found(&stream.spec.name, &caller.account));
        }
        return listing::shards(stream, members, None, now.wall);
    };
    // API reference, `ListShards`: a token identifies the listing, so it allows no other parameter
    // except MaxResults.
    let others =
        ["StreamName", "StreamARN", "StreamCreationTimestamp", "ExclusiveStartShardId", "ShardFilter"];
    if let Some(other) = others.into_iter().find(|other| !members[*other].is_null()) {
        return Err(error::invalid(format!("NextToken and {other} cannot be provided together.")));
    }
    let token = listing::ShardsToken::read(text, now.wall)?;
    let stream = world.stream(caller, &token.stream.clone())?;
    listing::shards(stream, members, Some(token), now.wall)
}

fn put_record(
    world: &mut KinesisState,
    members: &Value,
    caller: &Caller,
    now: Moment,
) -> Result<Value, AwsError> {
    let stream = readable(world, members, caller)?;
    let name = stream.spec.name.clone();
    let key = members["PartitionKey"].as_str().unwrap_or_default();
    if stream.spec.distribution == Distribution::UserPartitionKey && key.is_empty() {
        return Err(put::missing_key());
    }
    if let Some(number) = members["SequenceNumberForOrdering"].as_str() {
        check_ordering(stream, number, &caller.account, now)?;
    }
    let data = BASE64.decode(members["Data"].as_str().unwrap_or_default());
    let data = data.map_err(|_| AwsError::client("SerializationException", ""))?;
    let hash = match members["ExplicitHashKey"].as_str() {
        Some(hash) => explicit_hash(hash)?,
        None => partition_key_to_hash_key(key),
    };
    let record = Incoming { key, hash, data: &data };
    if members["DryRun"].as_bool() == Some(true) {
        return Err(world.dry_put(caller, &name, &[record]));
    }
    let outcomes = world.put(caller, &name, &[record], now)?;
    match outcomes.first() {
        Some(Outcome::Stored(id)) => {
            Ok(json!({ "ShardId": id_of(id.shard), "SequenceNumber": id.sequence_number() }))
        }
        Some(Outcome::Throttled(shard)) => Err(error::rate_exceeded(&id_of(*shard), &name, &caller.account)),
        None => Err(put::missing_key()),
    }
}

/// Sequence numbers grow in each shard regardless of this parameter, so only its value is checked.
fn check_ordering(stream: &Stream, number: &str, account: &str, now: Moment) -> Result<(), AwsError> {
    let name = &stream.spec.name;
    if stream.spec.distribution == Distribution::Auto {
        // Developer guide, "Producer API behavior with service-managed distribution"; the text is
        // ours.
        return Err(error::invalid(format!(
            "SequenceNumberForOrdering is not supported for streams with RecordDistributionStrategy=AUTO. Stream {name} uses it."
        )));
    }
    let arrived_millis = parse_sequence(number).ok().map(|sequence| sequence.seq_time.unwrap_or(0));
    let now_millis = u64::try_from(now.wall.as_millisecond()).unwrap_or(0);
    if arrived_millis.is_some_and(|arrived| arrived <= now_millis) {
        return Ok(());
    }
    Err(error::invalid(format!(
        "ExclusiveMinimumSequenceNumber {number} used in PutRecord on stream {name} under account {account} is invalid."
    )))
}

/// Returns the response, or the dry-run error if the caller only wants to know whether the call
/// would succeed.
fn unless_dry_run(members: &Value, response: Value) -> Result<Value, AwsError> {
    if members["DryRun"].as_bool() == Some(true) { Err(error::dry_run()) } else { Ok(response) }
}

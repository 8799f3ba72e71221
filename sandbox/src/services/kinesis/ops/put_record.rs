//! `PutRecord`. In: the state and a request. Out: the response. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ferrokinesis::sequence::{parse_sequence, partition_key_to_hash_key};
use serde_json::{Value, json};

use super::put_records::explicit_hash;
use crate::call::AwsError;
use crate::clock::Moment;
use crate::services::kinesis::errors;
use crate::services::kinesis::model::shard::id_of;
use crate::services::kinesis::model::stream::{Incoming, Stream};
use crate::services::kinesis::model::stream_spec::Distribution;
use crate::services::kinesis::request::Request;
use crate::services::kinesis::state::{KinesisState, Outcome};

pub fn put_record(state: &mut KinesisState, request: Request<'_>) -> Result<Value, AwsError> {
    let (caller, now) = (request.caller, request.now);
    let stream = request.readable_stream(state)?;
    let name = stream.spec.name.clone();
    let key = request.input["PartitionKey"].as_str().unwrap_or_default();
    if stream.spec.distribution == Distribution::UserPartitionKey && key.is_empty() {
        return Err(errors::missing_key());
    }
    if let Some(number) = request.input["SequenceNumberForOrdering"].as_str() {
        check_ordering(stream, number, &caller.account, now)?;
    }
    let data = BASE64.decode(request.input["Data"].as_str().unwrap_or_default());
    let data = data.map_err(|_| errors::unreadable(""))?;
    let hash = match request.input["ExplicitHashKey"].as_str() {
        Some(hash) => explicit_hash(hash)?,
        None => partition_key_to_hash_key(key),
    };
    let record = Incoming { key, hash, data: &data };
    if request.input["DryRun"].as_bool() == Some(true) {
        return Err(state.dry_put(caller, &name, &[record]));
    }
    let outcomes = state.put(caller, &name, &[record], now)?;
    match outcomes.first() {
        Some(Outcome::Stored(id)) => {
            Ok(json!({ "ShardId": id_of(id.shard), "SequenceNumber": id.sequence_number() }))
        }
        Some(Outcome::Throttled(shard)) => Err(errors::rate_exceeded(&id_of(*shard), &name, &caller.account)),
        None => Err(errors::missing_key()),
    }
}

/// Sequence numbers grow in each shard regardless of this parameter, so only its value is checked.
fn check_ordering(stream: &Stream, number: &str, account: &str, now: Moment) -> Result<(), AwsError> {
    let name = &stream.spec.name;
    if stream.spec.distribution == Distribution::Auto {
        // Developer guide, "Producer API behavior with service-managed distribution"; the text is
        // ours.
        return Err(errors::invalid(format!(
            "SequenceNumberForOrdering is not supported for streams with RecordDistributionStrategy=AUTO. Stream {name} uses it."
        )));
    }
    let arrived_millis = parse_sequence(number).ok().map(|sequence| sequence.seq_time.unwrap_or(0));
    let now_millis = u64::try_from(now.wall.as_millisecond()).unwrap_or(0);
    if arrived_millis.is_some_and(|arrived| arrived <= now_millis) {
        return Ok(());
    }
    Err(errors::invalid(format!(
        "ExclusiveMinimumSequenceNumber {number} used in PutRecord on stream {name} under account {account} is invalid."
    )))
}

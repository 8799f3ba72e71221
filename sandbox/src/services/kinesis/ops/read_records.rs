//! `GetShardIterator` and `GetRecords`. Pure. Iterators are encoded by ferrokinesis (as in
//! kinesalite): sealed, expiring tokens.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ferrokinesis::sequence::{SeqObj, parse_sequence, resolve_shard_id, stringify_sequence};
use ferrokinesis::shard_iterator::{create_shard_iterator, decode_shard_iterator};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::call::AwsError;
use crate::parameters::instant_of_seconds;
use crate::services::kinesis::errors;
use crate::services::kinesis::model::shard::{RecordId, Shard, id_of};
use crate::services::kinesis::model::stream::Stream;
use crate::services::kinesis::request::{Request, stream_name};
use crate::services::kinesis::state::KinesisState;
use crate::services::kinesis::view::{child_shards, epoch_seconds};

/// API reference, `GetShardIterator`: "A shard iterator expires 5 minutes after it is returned".
const ITERATOR_LIFETIME_MILLIS: u64 = 300_000;
/// API reference, `GetRecords`: "the maximum size of data that GetRecords can return is 10 MiB",
/// 10,000 records.
const MAX_BYTES: usize = 10 << 20;
const MAX_RECORDS: u64 = 10_000;

/// A shard's number, from its id.
fn shard_number(id: &str, stream: &str, account: &str) -> Result<u32, AwsError> {
    let number = resolve_shard_id(id).ok().and_then(|(_, number)| u32::try_from(number).ok());
    number.ok_or_else(|| errors::no_such_shard_id(id, stream, account))
}

pub fn get_shard_iterator(state: &mut KinesisState, request: Request<'_>) -> Result<Value, AwsError> {
    let stream = request.readable_stream(state)?;
    let iterator = iterator(stream, request.input, &request.caller.account, request.now.wall)?;
    request.unless_dry_run(iterator)
}

pub fn get_records(state: &mut KinesisState, request: Request<'_>) -> Result<Value, AwsError> {
    let (input, caller, now) = (request.input, request.caller, request.now.wall);
    let position = position(input["ShardIterator"].as_str().unwrap_or_default(), now)?;
    if input["StreamARN"].is_string() {
        let named = stream_name(None, input["StreamARN"].as_str(), caller)?;
        if named != position.stream {
            return Err(errors::foreign_iterator(&named, &caller.account));
        }
    }
    let stream = state.stream(caller, &position.stream)?;
    request.unless_dry_run(Value::Null)?;
    records(stream, &position, input["Limit"].as_u64(), &caller.account, now)
}

/// A new iterator.
fn iterator(stream: &Stream, members: &Value, account: &str, now: Timestamp) -> Result<Value, AwsError> {
    let name = &stream.spec.name;
    let id = members["ShardId"].as_str().unwrap_or_default();
    let number = shard_number(id, name, account)?;
    let not_found = || errors::shard_not_found(&id_of(number), name, account);
    let shard = stream.shards.shard(number).ok_or_else(not_found)?;
    let kind = members["ShardIteratorType"].as_str().unwrap_or_default();
    let given = members["StartingSequenceNumber"].as_str();
    let mismatch = |what: &str| {
        errors::invalid(format!(
            "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) \
             TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified {kind} and {what} \
             StartingSequenceNumber."
        ))
    };
    let seq = match (kind, given) {
        ("AT_SEQUENCE_NUMBER", Some(given)) => sequence_position(shard, given, name, account)?,
        ("AFTER_SEQUENCE_NUMBER", Some(given)) => {
            sequence_position(shard, given, name, account)?.saturating_add(1)
        }
        ("AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER", None) => return Err(mismatch("no")),
        (_, Some(_)) => return Err(mismatch("also a")),
        ("TRIM_HORIZON", None) => 0,
        ("AT_TIMESTAMP", None) => timestamp_position(shard, &members["Timestamp"], now)?,
        (_, None) => shard.next_seq(),
    };
    Ok(json!({ "ShardIterator": token(name, shard, seq, now) }))
}

fn sequence_position(shard: &Shard, given: &str, stream: &str, account: &str) -> Result<u64, AwsError> {
    let id = shard.id();
    let invalid = |suffix: &str| {
        errors::invalid(format!(
            "StartingSequenceNumber {given} used in GetShardIterator on shard {id} in stream {stream} under account \
             {account} is invalid{suffix}"
        ))
    };
    let sequence = parse_sequence(given).map_err(|_| invalid("."))?;
    if sequence.shard_ix != i64::from(shard.index) {
        return Err(errors::invalid(format!(
            "Invalid StartingSequenceNumber. It encodes {}, while it was used in a call to a shard with {id}",
            ferrokinesis::sequence::shard_id_name(sequence.shard_ix)
        )));
    }
    if sequence.version != 2 || sequence.shard_create_time != shard.opened_millis() {
        return Err(invalid(" because it did not come from this stream."));
    }
    Ok(sequence.seq_ix.unwrap_or(0))
}

fn timestamp_position(shard: &Shard, timestamp: &Value, now: Timestamp) -> Result<u64, AwsError> {
    let at = timestamp.as_f64().and_then(instant_of_seconds).ok_or_else(|| {
        errors::invalid(
            "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no timestamp \
             parameter.",
        )
    })?;
    let millis = at.as_millisecond();
    if millis > now.as_millisecond() {
        return Err(errors::invalid(format!(
            "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. timestampInMillis: \
             {millis}, currentTimestampInMillis: {}",
            now.as_millisecond()
        )));
    }
    Ok(shard.record_log.first_since(millis).unwrap_or_else(|| shard.next_seq()))
}

fn token(stream: &str, shard: &Shard, seq: u64, now: Timestamp) -> String {
    let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
    let sequence_number = stringify_sequence(&SeqObj {
        shard_create_time: shard.opened_millis(),
        seq_ix: Some(seq),
        byte1: None,
        seq_time: Some(millis),
        seq_rand: None,
        shard_ix: i64::from(shard.index),
        version: 2,
    });
    create_shard_iterator(stream, &shard.id(), &sequence_number, millis)
}

/// A decoded iterator.
struct IteratorPosition {
    /// The stream it belongs to.
    stream: String,
    shard: String,
    number: u32,
    shard_millis: u64,
    seq: u64,
}

/// Reads an iterator that has not expired.
fn position(iterator: &str, now: Timestamp) -> Result<IteratorPosition, AwsError> {
    let invalid = || errors::invalid("Invalid ShardIterator.");
    let (issued_millis, stream, shard, sequence) = decode_shard_iterator(iterator).map_err(|_| invalid())?;
    let now_millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
    let age = now_millis.checked_sub(issued_millis).ok_or_else(invalid)?;
    if age > ITERATOR_LIFETIME_MILLIS {
        let spelled = |millis: u64| {
            let at = i64::try_from(millis).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
            at.unwrap_or(Timestamp::UNIX_EPOCH).strftime("%a %b %d %H:%M:%S UTC %Y").to_string()
        };
        return Err(errors::expired_iterator(
            &spelled(issued_millis),
            &spelled(now_millis),
            ITERATOR_LIFETIME_MILLIS,
        ));
    }
    let sequence = parse_sequence(&sequence).map_err(|_| invalid())?;
    let number = u32::try_from(sequence.shard_ix).map_err(|_| invalid())?;
    Ok(IteratorPosition {
        stream,
        shard,
        number,
        shard_millis: sequence.shard_create_time,
        seq: sequence.seq_ix.unwrap_or(0),
    })
}

/// The records at a position, and the next iterator.
fn records(
    stream: &mut Stream,
    position: &IteratorPosition,
    limit: Option<u64>,
    account: &str,
    now: Timestamp,
) -> Result<Value, AwsError> {
    let name = stream.spec.name.clone();
    let not_found = || errors::shard_not_found(&position.shard, &name, account);
    let shard = stream.shards.shard_mut(position.number).ok_or_else(not_found)?;
    if shard.opened_millis() != position.shard_millis {
        return Err(not_found());
    }
    if !shard.reads.admits(now) {
        return Err(errors::rate_exceeded(&position.shard, &name, account));
    }
    let most = usize::try_from(limit.unwrap_or(MAX_RECORDS).min(MAX_RECORDS)).unwrap_or(usize::MAX);
    let mut bytes = 0;
    let mut next = position.seq;
    let mut last_millis = None;
    let mut records = Vec::new();
    for record in shard.record_log.records_from(position.seq).take(most) {
        let size = record.key.len() + record.data.len();
        if bytes + size > MAX_BYTES && !records.is_empty() {
            break;
        }
        bytes += size;
        next = record.seq + 1;
        last_millis = Some(record.at_millis);
        let id = RecordId {
            shard: shard.index,
            shard_millis: position.shard_millis,
            seq: record.seq,
            at_millis: record.at_millis,
        };
        let arrived = Timestamp::from_millisecond(record.at_millis).unwrap_or(now);
        let mut entry = json!({
            "SequenceNumber": id.sequence_number(),
            "ApproximateArrivalTimestamp": epoch_seconds(arrived),
            "Data": BASE64.encode(record.data),
        });
        // API reference, `Record`: "this value is not returned if the producer did not provide a
        // partition key".
        if !record.key.is_empty() {
            entry["PartitionKey"] = json!(record.key);
        }
        records.push(entry);
    }
    shard.reads.charge(bytes);
    if records.is_empty() {
        // No record is stored between this position and the end of the log.
        next = next.max(shard.next_seq());
    }
    let at_tip = next >= shard.next_seq();
    // The age of the last returned record, or 0 at the tip.
    let behind = match last_millis {
        Some(last) if !at_tip => now.as_millisecond() - last,
        _ => 0,
    };
    let mut response = json!({ "Records": records, "MillisBehindLatest": behind.max(0) });
    if shard.closed.is_some() && at_tip {
        response["ChildShards"] = json!(child_shards(stream, position.number));
    } else {
        response["NextShardIterator"] = json!(token(&name, shard, next, now));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use crate::services::kinesis::model::hash::equal_ranges;

    #[test]
    fn timestamps_in_seconds_find_records_to_the_millisecond() {
        let wall = |millis: i64| Timestamp::from_millisecond(1_700_000_000_000 + millis).unwrap();
        let opened = Moment { wall: wall(-1), model: wall(-1) };
        let mut shard = Shard::open(0, equal_ranges(1)[0], (None, None), opened);
        for millis in 0..900 {
            let (id, _) = shard.put("k", b"x", wall(millis)).unwrap();
            let found = timestamp_position(&shard, &epoch_seconds(wall(millis)), wall(1000)).unwrap();
            assert_eq!(found, id.seq, "{millis}");
        }
        assert!(timestamp_position(&shard, &epoch_seconds(wall(1001)), wall(1000)).is_err());
        assert!(timestamp_position(&shard, &Value::Null, wall(1000)).is_err());
    }
}

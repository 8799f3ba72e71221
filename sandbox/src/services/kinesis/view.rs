//! Streams and shards as Kinesis describes them. Pure; instants are in wall time.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::model::commitment::Commitment;
use super::model::shard::{Shard, id_of};
use super::model::stream::Stream;
use super::model::stream_spec::Mode;
use super::state::KinesisState;
use crate::clock::ModelClock;

/// An instant as the JSON protocols send it: epoch seconds with milliseconds.
pub fn epoch_seconds(at: Timestamp) -> Value {
    let millis = at.as_millisecond();
    if millis % 1000 == 0 { json!(millis / 1000) } else { json!(millis as f64 / 1000.0) }
}

/// `StreamDescriptionSummary`.
pub fn summary(stream: &Stream, is_committed: bool) -> Value {
    let mut summary = base(stream);
    summary["OpenShardCount"] = json!(stream.shards.open_count());
    summary["ConsumerCount"] = json!(0);
    summary["MaxRecordSizeInKiB"] = json!(stream.spec.max_record_kib);
    summary["QueueCount"] = json!(0);
    summary["ChannelCount"] = json!(0);
    if stream.spec.mode == Mode::OnDemand {
        summary["RecordDistributionStrategy"] = json!(stream.spec.distribution.as_str());
        // API reference, `WarmThroughputObject`: only on-demand streams of committed accounts have
        // it.
        if is_committed {
            summary["WarmThroughput"] = warm_throughput(stream);
        }
    }
    summary
}

/// `WarmThroughputObject`.
pub fn warm_throughput(stream: &Stream) -> Value {
    json!({ "TargetMiBps": stream.spec.warm_mib, "CurrentMiBps": stream.current_mib() })
}

/// The common part of both descriptions of a stream.
pub fn base(stream: &Stream) -> Value {
    json!({
        "StreamName": stream.spec.name,
        "StreamARN": stream.identity.arn,
        "StreamStatus": stream.status(),
        "StreamModeDetails": { "StreamMode": stream.spec.mode.as_str() },
        "RetentionPeriodHours": stream.retention_hours,
        "StreamCreationTimestamp": epoch_seconds(stream.created_at.wall),
        "EnhancedMonitoring": [{ "ShardLevelMetrics": [] }],
        "EncryptionType": "NONE",
    })
}

/// `Shard`.
pub fn shard(shard: &Shard) -> Value {
    let mut value = json!({
        "ShardId": shard.id(),
        "HashKeyRange": hash_range(shard),
        "SequenceNumberRange": { "StartingSequenceNumber": shard.starting_sequence_number() },
    });
    if let Some(parent) = shard.parent {
        value["ParentShardId"] = json!(id_of(parent));
    }
    if let Some(parent) = shard.adjacent_parent {
        value["AdjacentParentShardId"] = json!(id_of(parent));
    }
    if let Some(ending) = shard.ending_sequence_number() {
        value["SequenceNumberRange"]["EndingSequenceNumber"] = json!(ending);
    }
    value
}

/// `HashKeyRange`.
pub fn hash_range(shard: &Shard) -> Value {
    json!({
        "StartingHashKey": shard.range.start.to_string(),
        "EndingHashKey": shard.range.end.to_string(),
    })
}

/// `MinimumThroughputBillingCommitmentOutput`.
pub fn commitment(commitment: &Commitment, clock: &ModelClock) -> Value {
    let mut value = json!({ "Status": commitment.status() });
    let instants = [
        ("StartedAt", commitment.started_at()),
        ("EndedAt", commitment.ended_at()),
        ("EarliestAllowedEndAt", commitment.earliest_allowed_end_at()),
    ];
    for (name, at) in instants {
        if let Some(at) = at {
            value[name] = epoch_seconds(clock.wall_at(at));
        }
    }
    value
}

/// The children of a closed shard, as `GetRecords` returns them at its end.
pub fn child_shards(stream: &Stream, closed: u32) -> Vec<Value> {
    let child = |shard: &Shard| {
        let parents: Vec<String> =
            [shard.parent, shard.adjacent_parent].into_iter().flatten().map(id_of).collect();
        json!({ "ShardId": shard.id(), "ParentShards": parents, "HashKeyRange": hash_range(shard) })
    };
    stream.shards.children(closed).map(child).collect()
}

/// A list of `Tag`.
pub fn tags<'a>(tags: impl Iterator<Item = (&'a String, &'a String)>) -> Vec<Value> {
    tags.map(|(key, value)| json!({ "Key": key, "Value": value })).collect()
}

/// `StreamSummary`, of `ListStreams`.
pub fn listed_stream(stream: &Stream) -> Value {
    json!({
        "StreamName": stream.spec.name,
        "StreamARN": stream.identity.arn,
        "StreamStatus": stream.status(),
        "StreamModeDetails": { "StreamMode": stream.spec.mode.as_str() },
        "StreamCreationTimestamp": epoch_seconds(stream.created_at.wall),
    })
}

/// The complete state, for `GET /_sandbox/state`.
pub fn all(state: &KinesisState, clock: &ModelClock) -> Value {
    let mut streams = Vec::new();
    let mut commitments = serde_json::Map::new();
    for (name, region) in state.regions() {
        let is_committed = region.commitment.is_committed();
        for stream in region.streams.values() {
            let mut shown = summary(stream, is_committed);
            shown["Region"] = json!(name);
            shown["Tags"] = json!(stream.spec.tags);
            shown["ForgottenRecords"] = json!(stream.forgotten_records);
            streams.push(shown);
        }
        commitments.insert(name.clone(), commitment(&region.commitment, clock));
    }
    json!({
        "streams": streams,
        "minimumThroughputBillingCommitment": commitments,
        "recordBytesHeld": state.record_bytes(),
    })
}

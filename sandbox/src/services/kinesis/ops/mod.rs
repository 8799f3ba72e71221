//! The Kinesis operations that are supported, and how each parameter is treated (`parameters`).
//! Pure.

pub mod account;
pub mod list_shards;
pub mod put_record;
pub mod put_records;
pub mod read_records;
pub mod streams;
pub mod tags;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ferrokinesis::validation::{FieldDef, FieldType};
use serde_json::Value;

use super::parameters::{Parameter, check, fields, on_stream, supported, with_id};
use crate::call::AwsError;
use crate::parameters::Usage::NoEffect;

/// The parameters of an operation, or `None` if the sandbox does not support it.
fn parameters(operation: &str) -> Option<Vec<Parameter>> {
    Some(match operation {
        "DescribeAccountSettings" | "DescribeLimits" => vec![],
        "UpdateAccountSettings" => {
            let status = fields::string().not_null().enum_values(vec!["ENABLED", "DISABLED"]);
            let commitment = fields::structure(vec![("Status", status)]).not_null();
            supported(vec![("MinimumThroughputBillingCommitment", commitment)])
        }
        "CreateStream" => {
            let mode = fields::string().not_null().enum_values(vec!["PROVISIONED", "ON_DEMAND"]);
            supported(vec![
                ("ShardCount", fields::integer().gte(1.0)),
                ("WarmThroughputMiBps", fields::integer().gte(0.0)),
                ("MaxRecordSizeInKiB", fields::integer().gte(1024.0).lte(10_240.0)),
                ("RecordDistributionStrategy", fields::distribution()),
                ("StreamModeDetails", fields::structure(vec![("StreamMode", mode)])),
                ("Tags", fields::tags()),
                ("StreamName", fields::stream_name().not_null()),
            ])
        }
        "DeleteStream" => {
            let mut parameters = on_stream(vec![]);
            let usage = NoEffect("no stream has consumers: RegisterStreamConsumer is not supported");
            parameters.push(Parameter::new("EnforceConsumerDeletion", fields::boolean(), usage));
            parameters
        }
        "DescribeStreamSummary" => on_stream(vec![]),
        "DescribeStream" => on_stream(vec![
            ("Limit", fields::integer().gte(1.0).lte(10_000.0)),
            ("ExclusiveStartShardId", fields::shard_id()),
        ]),
        "ListStreams" => supported(vec![
            ("Limit", fields::integer().gte(1.0).lte(10_000.0)),
            ("ExclusiveStartStreamName", fields::stream_name()),
            ("NextToken", fields::string().len_gte(1).len_lte(1_048_576)),
        ]),
        "ListShards" => on_stream(vec![
            ("ExclusiveStartShardId", fields::shard_id()),
            ("MaxResults", fields::integer().gte(1.0).lte(10_000.0)),
            ("NextToken", fields::string().len_gte(1).len_lte(1_048_576)),
            ("StreamCreationTimestamp", fields::timestamp()),
            ("ShardFilter", fields::shard_filter()),
        ]),
        "UpdateStreamWarmThroughput" => {
            on_stream(vec![("WarmThroughputMiBps", fields::integer().gte(0.0).not_null())])
        }
        "UpdateStreamRecordDistributionStrategy" => with_id(vec![
            ("RecordDistributionStrategy", fields::distribution().not_null()),
            ("StreamARN", fields::stream_arn().not_null()),
        ]),
        "IncreaseStreamRetentionPeriod" | "DecreaseStreamRetentionPeriod" => {
            on_stream(vec![("RetentionPeriodHours", fields::integer().not_null())])
        }
        "TagResource" => {
            with_id(vec![("Tags", fields::tags().not_null()), ("ResourceARN", fields::resource_arn())])
        }
        "UntagResource" => {
            with_id(vec![("TagKeys", fields::tag_keys()), ("ResourceARN", fields::resource_arn())])
        }
        "ListTagsForResource" => with_id(vec![("ResourceARN", fields::resource_arn())]),
        "AddTagsToStream" => on_stream(vec![("Tags", fields::tags().not_null())]),
        "RemoveTagsFromStream" => on_stream(vec![("TagKeys", fields::tag_keys())]),
        "ListTagsForStream" => on_stream(vec![
            ("Limit", fields::integer().gte(1.0).lte(50.0)),
            ("ExclusiveStartTagKey", fields::string().len_gte(1).len_lte(128)),
        ]),
        "GetShardIterator" => on_stream(vec![
            ("ShardId", fields::shard_id().not_null()),
            ("ShardIteratorType", fields::string().not_null().enum_values(fields::iterator_types())),
            ("StartingSequenceNumber", fields::string().regex(fields::SEQUENCE_NUMBER)),
            ("Timestamp", fields::timestamp()),
            ("DryRun", fields::boolean()),
        ]),
        "GetRecords" => with_id(vec![
            ("Limit", fields::integer().gte(1.0).lte(10_000.0)),
            ("ShardIterator", fields::string().not_null().len_gte(1).len_lte(512)),
            ("StreamARN", fields::stream_arn()),
            ("DryRun", fields::boolean()),
        ]),
        "PutRecord" => {
            let mut parameters =
                vec![("SequenceNumberForOrdering", fields::string().regex(fields::SEQUENCE_NUMBER))];
            parameters.extend(fields::record());
            parameters.push(("DryRun", fields::boolean()));
            on_stream(parameters)
        }
        "PutRecords" => {
            let records =
                FieldDef::new(FieldType::List { children: Box::new(fields::structure(fields::record())) });
            let records = records.not_null().len_gte(1).len_lte(fields::MOST_RECORDS);
            on_stream(vec![("Records", records), ("DryRun", fields::boolean())])
        }
        _ => return None,
    })
}

/// The operations that the sandbox supports.
const SUPPORTED: [&str; 23] = [
    "AddTagsToStream",
    "CreateStream",
    "DecreaseStreamRetentionPeriod",
    "DeleteStream",
    "DescribeAccountSettings",
    "DescribeLimits",
    "DescribeStream",
    "DescribeStreamSummary",
    "GetRecords",
    "GetShardIterator",
    "IncreaseStreamRetentionPeriod",
    "ListShards",
    "ListStreams",
    "ListTagsForResource",
    "ListTagsForStream",
    "PutRecord",
    "PutRecords",
    "RemoveTagsFromStream",
    "TagResource",
    "UntagResource",
    "UpdateAccountSettings",
    "UpdateStreamRecordDistributionStrategy",
    "UpdateStreamWarmThroughput",
];

/// The other operations of AWS's model.
const UNSUPPORTED: [&str; 34] = [
    "AcknowledgeDeadLetterQueueRecords",
    "AcknowledgeQueueRecords",
    "CreateChannel",
    "CreateQueue",
    "DeleteChannel",
    "DeleteQueue",
    "DeleteResourcePolicy",
    "DeregisterStreamConsumer",
    "DescribeChannel",
    "DescribeQueue",
    "DescribeStreamConsumer",
    "DisableEnhancedMonitoring",
    "EnableEnhancedMonitoring",
    "GetResourcePolicy",
    "ListChannels",
    "ListQueues",
    "ListStreamConsumers",
    "MergeShards",
    "PutResourcePolicy",
    "ReceiveDeadLetterQueueRecords",
    "ReceiveQueueRecords",
    "RegisterStreamConsumer",
    "RestoreDeadLetterQueueRecords",
    "SplitShard",
    "StartStreamEncryption",
    "StopStreamEncryption",
    "SubscribeToShard",
    "UpdateChannel",
    "UpdateDeadLetterQueueRecordsVisibility",
    "UpdateMaxRecordSize",
    "UpdateQueue",
    "UpdateQueueRecordsVisibility",
    "UpdateShardCount",
    "UpdateStreamMode",
];

/// By operation.
static PARAMETERS: LazyLock<BTreeMap<&str, Vec<Parameter>>> = LazyLock::new(|| {
    SUPPORTED.into_iter().filter_map(|operation| Some((operation, parameters(operation)?))).collect()
});

/// The error for an operation without rules. If AWS does not know it either, the error has AWS's
/// form, which has no text.
fn unknown(operation: &str) -> AwsError {
    if UNSUPPORTED.contains(&operation) {
        crate::operations::unknown("kinesis", operation)
    } else {
        AwsError::client("UnknownOperationException", "")
    }
}

/// The request's parameters, checked against the model.
pub fn checked(operation: &str, input: &Value) -> Result<Value, AwsError> {
    let parameters = PARAMETERS.get(operation).ok_or_else(|| unknown(operation))?;
    check(parameters, operation, input)
}

#[cfg(test)]
mod tests;

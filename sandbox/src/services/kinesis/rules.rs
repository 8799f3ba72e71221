//! The shapes of Kinesis's requests, and what becomes of each of their members. Pure.
//!
//! Constraints are those of the service model (botocore 1.44.8, kinesis 2013-12-02), and a test holds them against it. Types are checked
//! by ferrokinesis, which words what is wrong as AWS does; constraints in `constraints`, for the generic path and for `put` alike.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ferrokinesis::validation::{FieldDef, FieldType, check_types};
use serde_json::Value;

use super::constraints::{self, pattern, violations};
use super::error;
use crate::parameters::Usage::{self, Honoured, NoEffect, Refused};
use crate::parameters::refused;
use crate::services::AwsError;

/// A member of a request.
pub struct Member {
    name: &'static str,
    rule: FieldDef,
    usage: Usage,
}

type Members = Vec<Member>;

/// What `PutRecords` holds its records and their stream against, one by one.
pub struct PutRules {
    /// `StreamName`
    pub stream_name: FieldDef,
    /// `StreamARN`
    pub stream_arn: FieldDef,
    /// `PartitionKey`
    pub key: FieldDef,
    /// `ExplicitHashKey`
    pub hash: FieldDef,
    /// The most records.
    pub most_records: usize,
    /// The largest `Data`, in bytes.
    pub most_data: usize,
}

/// See [`PutRules`].
pub static PUT_RULES: LazyLock<PutRules> = LazyLock::new(|| PutRules {
    stream_name: stream_name(),
    stream_arn: stream_arn(),
    key: partition_key(),
    hash: hash_key(),
    most_records: MOST_RECORDS,
    most_data: MOST_DATA,
});

const MOST_RECORDS: usize = 500;
const MOST_DATA: usize = 10_485_760;

fn string() -> FieldDef {
    FieldDef::new(FieldType::String)
}

fn boolean() -> FieldDef {
    FieldDef::new(FieldType::Boolean)
}

fn timestamp() -> FieldDef {
    FieldDef::new(FieldType::Timestamp)
}

fn integer() -> FieldDef {
    FieldDef::new(FieldType::Integer)
}

fn stream_name() -> FieldDef {
    string().regex(pattern::NAME).len_gte(1).len_lte(128)
}

fn stream_arn() -> FieldDef {
    string().regex(pattern::STREAM_ARN).len_gte(1).len_lte(2048)
}

fn resource_arn() -> FieldDef {
    string().not_null().regex(pattern::RESOURCE_ARN).len_gte(1).len_lte(2048)
}

fn shard_id() -> FieldDef {
    string().regex(pattern::NAME).len_gte(1).len_lte(128)
}

fn partition_key() -> FieldDef {
    string().len_gte(1).len_lte(256)
}

fn hash_key() -> FieldDef {
    string().regex(pattern::HASH_KEY)
}

fn tags() -> FieldDef {
    FieldDef::new(FieldType::Map { children: Box::new(string()) })
        .len_gte(1)
        .len_lte(200)
        .child_key_lengths(1, 128)
        .child_value_lengths(0, 256)
}

fn tag_keys() -> FieldDef {
    FieldDef::new(FieldType::List { children: Box::new(string()) })
        .not_null()
        .len_gte(1)
        .len_lte(50)
        .child_lengths(1, 128)
}

fn structure(children: Vec<(&str, FieldDef)>) -> FieldDef {
    let children = children.into_iter().map(|(name, rule)| (name.to_owned(), rule)).collect();
    FieldDef::new(FieldType::Structure { children })
}

fn distribution() -> FieldDef {
    string().enum_values(vec!["AUTO", "USER_PARTITION_KEY"])
}

fn record() -> Vec<(&'static str, FieldDef)> {
    vec![
        ("PartitionKey", partition_key()),
        ("ExplicitHashKey", hash_key()),
        ("Data", FieldDef::new(FieldType::Blob).not_null().len_lte(MOST_DATA)),
    ]
}

/// Members that do what AWS says.
fn honoured(members: Vec<(&'static str, FieldDef)>) -> Members {
    members.into_iter().map(|(name, rule)| Member { name, rule, usage: Honoured }).collect()
}

/// The same, with the id that the model has everywhere.
fn with_id(members: Vec<(&'static str, FieldDef)>) -> Members {
    let mut members = honoured(members);
    let rule = string().regex(pattern::STREAM_ID).len_gte(1).len_lte(24);
    let usage = Refused("AWS reserves it for future use, so name the stream by StreamName or an ARN");
    members.push(Member { name: "StreamId", rule, usage });
    members
}

/// Members of an operation on a stream that name, ARN or both tell.
fn addressed(mut members: Vec<(&'static str, FieldDef)>) -> Members {
    members.push(("StreamARN", stream_arn()));
    members.push(("StreamName", stream_name()));
    with_id(members)
}

/// The members of an operation, or `None` if the sandbox does not offer it.
fn members(operation: &str) -> Option<Members> {
    Some(match operation {
        "DescribeAccountSettings" | "DescribeLimits" => vec![],
        "UpdateAccountSettings" => {
            let status = string().not_null().enum_values(vec!["ENABLED", "DISABLED"]);
            let commitment = structure(vec![("Status", status)]).not_null();
            honoured(vec![("MinimumThroughputBillingCommitment", commitment)])
        }
        "CreateStream" => {
            let mode = string().not_null().enum_values(vec!["PROVISIONED", "ON_DEMAND"]);
            honoured(vec![
                ("ShardCount", integer().gte(1.0)),
                ("WarmThroughputMiBps", integer().gte(0.0)),
                ("MaxRecordSizeInKiB", integer().gte(1024.0).lte(10_240.0)),
                ("RecordDistributionStrategy", distribution()),
                ("StreamModeDetails", structure(vec![("StreamMode", mode)])),
                ("Tags", tags()),
                ("StreamName", stream_name().not_null()),
            ])
        }
        "DeleteStream" => {
            let mut members = addressed(vec![]);
            let usage = NoEffect("no stream has consumers: RegisterStreamConsumer is not offered");
            members.push(Member { name: "EnforceConsumerDeletion", rule: boolean(), usage });
            members
        }
        "DescribeStreamSummary" => addressed(vec![]),
        "DescribeStream" => addressed(vec![
            ("Limit", integer().gte(1.0).lte(10_000.0)),
            ("ExclusiveStartShardId", shard_id()),
        ]),
        "ListStreams" => honoured(vec![
            ("Limit", integer().gte(1.0).lte(10_000.0)),
            ("ExclusiveStartStreamName", stream_name()),
            ("NextToken", string().len_gte(1).len_lte(1_048_576)),
        ]),
        "ListShards" => addressed(vec![
            ("ExclusiveStartShardId", shard_id()),
            ("MaxResults", integer().gte(1.0).lte(10_000.0)),
            ("NextToken", string().len_gte(1).len_lte(1_048_576)),
            ("StreamCreationTimestamp", timestamp()),
            ("ShardFilter", shard_filter()),
        ]),
        "UpdateStreamWarmThroughput" => {
            addressed(vec![("WarmThroughputMiBps", integer().gte(0.0).not_null())])
        }
        "UpdateStreamRecordDistributionStrategy" => with_id(vec![
            ("RecordDistributionStrategy", distribution().not_null()),
            ("StreamARN", stream_arn().not_null()),
        ]),
        "IncreaseStreamRetentionPeriod" | "DecreaseStreamRetentionPeriod" => {
            addressed(vec![("RetentionPeriodHours", integer().not_null())])
        }
        "TagResource" => with_id(vec![("Tags", tags().not_null()), ("ResourceARN", resource_arn())]),
        "UntagResource" => with_id(vec![("TagKeys", tag_keys()), ("ResourceARN", resource_arn())]),
        "ListTagsForResource" => with_id(vec![("ResourceARN", resource_arn())]),
        "AddTagsToStream" => addressed(vec![("Tags", tags().not_null())]),
        "RemoveTagsFromStream" => addressed(vec![("TagKeys", tag_keys())]),
        "ListTagsForStream" => addressed(vec![
            ("Limit", integer().gte(1.0).lte(50.0)),
            ("ExclusiveStartTagKey", string().len_gte(1).len_lte(128)),
        ]),
        "GetShardIterator" => addressed(vec![
            ("ShardId", shard_id().not_null()),
            ("ShardIteratorType", string().not_null().enum_values(iterator_types())),
            ("StartingSequenceNumber", string().regex(pattern::SEQUENCE_NUMBER)),
            ("Timestamp", timestamp()),
            ("DryRun", boolean()),
        ]),
        "GetRecords" => with_id(vec![
            ("Limit", integer().gte(1.0).lte(10_000.0)),
            ("ShardIterator", string().not_null().len_gte(1).len_lte(512)),
            ("StreamARN", stream_arn()),
            ("DryRun", boolean()),
        ]),
        "PutRecord" => {
            let mut members = vec![("SequenceNumberForOrdering", string().regex(pattern::SEQUENCE_NUMBER))];
            members.extend(record());
            members.push(("DryRun", boolean()));
            addressed(members)
        }
        "PutRecords" => {
            let records = FieldDef::new(FieldType::List { children: Box::new(structure(record())) });
            let records = records.not_null().len_gte(1).len_lte(MOST_RECORDS);
            addressed(vec![("Records", records), ("DryRun", boolean())])
        }
        _ => return None,
    })
}

/// What the sandbox offers.
const OFFERED: [&str; 23] = [
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

/// What AWS has besides (botocore 1.44.8).
const NOT_OFFERED: [&str; 34] = [
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
static MEMBERS: LazyLock<BTreeMap<&str, Members>> = LazyLock::new(|| {
    OFFERED.into_iter().filter_map(|operation| Some((operation, members(operation)?))).collect()
});

fn shard_filter() -> FieldDef {
    let types = vec![
        "AFTER_SHARD_ID",
        "AT_TRIM_HORIZON",
        "FROM_TRIM_HORIZON",
        "AT_LATEST",
        "AT_TIMESTAMP",
        "FROM_TIMESTAMP",
    ];
    structure(vec![
        ("Type", string().not_null().enum_values(types)),
        ("ShardId", shard_id()),
        ("Timestamp", timestamp()),
    ])
}

fn iterator_types() -> Vec<&'static str> {
    vec!["AFTER_SEQUENCE_NUMBER", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON"]
}

/// The refusal of members that must not be null, by their paths.
pub fn nulls(paths: &[String]) -> AwsError {
    error::validation(constraints::nulls(paths))
}

/// An operation that has no rules. What AWS does not know either gets AWS's own answer, which has no text.
fn unknown(operation: &str) -> AwsError {
    if NOT_OFFERED.contains(&operation) {
        crate::operations::unknown("kinesis", operation)
    } else {
        AwsError::client("UnknownOperationException", "")
    }
}

/// The request's members, checked against the model; members that AWS does not know are left out.
pub fn checked(operation: &str, input: &Value) -> Result<Value, AwsError> {
    let members = MEMBERS.get(operation).ok_or_else(|| unknown(operation))?;
    let rules: Vec<(&str, &FieldDef)> = members.iter().map(|member| (member.name, &member.rule)).collect();
    let mistyped = |error: ferrokinesis::error::KinesisErrorResponse| {
        AwsError::client(&error.body.error_type, error.body.message.unwrap_or_default())
    };
    let checked = check_types(input, &rules).map_err(mistyped)?;
    if let Some(told) = violations(&checked, rules) {
        return Err(error::validation(told));
    }
    match refused(&checked, members.iter().map(|member| (member.name, member.usage))) {
        Some(told) => Err(error::invalid(told)),
        None => Ok(checked),
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;

//! The parameters of Kinesis's requests, and how each is treated. Pure.
//!
//! Constraints are those of the service model (botocore 1.44.8, kinesis 2013-12-02); a test
//! compares them. ferrokinesis checks types, with AWS's error texts. `constraints` checks the
//! constraints, both for the generic path and for `put`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ferrokinesis::validation::{FieldDef, FieldType, check_types};
use serde_json::Value;

use super::{error, pattern};
use crate::call::AwsError;
use crate::constraints::{self, Kind, Pattern, Rule, violations};
use crate::operations::{is_unset, not_supported};
use crate::parameters::Usage::{self, NoEffect, Rejected, Supported};
use crate::parameters::first_rejected;

/// A parameter of a request.
pub struct Member {
    name: &'static str,
    rule: FieldDef,
    constraints: Rule,
    usage: Usage,
}

impl Member {
    fn new(name: &'static str, rule: FieldDef, usage: Usage) -> Self {
        Self { name, constraints: constraints_of(&rule), rule, usage }
    }
}

type Members = Vec<Member>;

/// The rules of the parameters of `PutRecords`, which are checked one by one.
pub struct PutRules {
    /// `StreamName`
    pub stream_name: Rule,
    /// `StreamARN`
    pub stream_arn: Rule,
    /// `PartitionKey`
    pub key: Rule,
    /// `ExplicitHashKey`
    pub hash: Rule,
    /// The maximum number of records.
    pub most_records: usize,
    /// The maximum size of `Data`, in bytes.
    pub most_data: usize,
}

/// See [`PutRules`].
pub static PUT_RULES: LazyLock<PutRules> = LazyLock::new(|| PutRules {
    stream_name: constraints_of(&stream_name()),
    stream_arn: constraints_of(&stream_arn()),
    key: constraints_of(&partition_key()),
    hash: constraints_of(&hash_key()),
    most_records: MOST_RECORDS,
    most_data: MOST_DATA,
});

const MOST_RECORDS: usize = 500;
const MOST_DATA: usize = 10_485_760;

/// The constraints in the form that is common to all services.
fn constraints_of(rule: &FieldDef) -> Rule {
    let length = |length: usize| length as f64;
    let lengths = |bounds: Option<(usize, usize)>| Rule {
        kind: Kind::Text,
        least: bounds.map(|(least, _)| length(least)),
        most: bounds.map(|(_, most)| length(most)),
        ..Rule::default()
    };
    let kind = match &rule.field_type {
        FieldType::Boolean | FieldType::Timestamp => Kind::Plain,
        FieldType::Short | FieldType::Integer | FieldType::Long | FieldType::Double => Kind::Number,
        FieldType::String => Kind::Text,
        FieldType::Blob => Kind::Blob,
        FieldType::List { children } if rule.child_lengths.is_none() => {
            Kind::List(Box::new(constraints_of(children)))
        }
        FieldType::List { .. } => Kind::List(Box::new(lengths(rule.child_lengths))),
        FieldType::Map { .. } => {
            Kind::Map(Box::new(lengths(rule.child_key_lengths)), Box::new(lengths(rule.child_value_lengths)))
        }
        FieldType::Structure { children } => Kind::Structure(
            children.iter().map(|(name, child)| (name.clone(), constraints_of(child))).collect(),
        ),
    };
    Rule {
        kind,
        required: rule.not_null,
        least: rule.greater_than_or_equal.or(rule.length_greater_than_or_equal.map(length)),
        most: rule.less_than_or_equal.or(rule.length_less_than_or_equal.map(length)),
        pattern: rule.regex.as_deref().and_then(Pattern::new),
        values: rule.enum_values.clone(),
    }
}

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

/// Parameters with the effect that AWS documents.
fn honoured(members: Vec<(&'static str, FieldDef)>) -> Members {
    members.into_iter().map(|(name, rule)| Member::new(name, rule, Supported)).collect()
}

/// The same, plus the `StreamId` that all operations of the model have.
fn with_id(members: Vec<(&'static str, FieldDef)>) -> Members {
    let mut members = honoured(members);
    let rule = string().regex(pattern::STREAM_ID).len_gte(1).len_lte(24);
    let usage = Rejected("AWS reserves it for future use; name the stream by StreamName or an ARN");
    members.push(Member::new("StreamId", rule, usage));
    members
}

/// The parameters of an operation on a stream, plus the stream's name and ARN.
fn addressed(mut members: Vec<(&'static str, FieldDef)>) -> Members {
    members.push(("StreamARN", stream_arn()));
    members.push(("StreamName", stream_name()));
    with_id(members)
}

/// The parameters of an operation, or `None` if the sandbox does not support it.
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
            let usage = NoEffect("no stream has consumers: RegisterStreamConsumer is not supported");
            members.push(Member::new("EnforceConsumerDeletion", boolean(), usage));
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

/// The other operations of AWS (botocore 1.44.8).
const NOT_SUPPORTED: [&str; 34] = [
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
    SUPPORTED.into_iter().filter_map(|operation| Some((operation, members(operation)?))).collect()
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

/// The error for parameters that are null but must not be, by path.
pub fn nulls(paths: &[String]) -> AwsError {
    error::validation(constraints::nulls(paths))
}

/// The error for an operation without rules. If AWS does not know it either, the error has AWS's
/// form, which has no text.
fn unknown(operation: &str) -> AwsError {
    if NOT_SUPPORTED.contains(&operation) {
        crate::operations::unknown("kinesis", operation)
    } else {
        AwsError::client("UnknownOperationException", "")
    }
}

/// The request's parameters, checked against the model.
pub fn checked(operation: &str, input: &Value) -> Result<Value, AwsError> {
    let members = MEMBERS.get(operation).ok_or_else(|| unknown(operation))?;
    let rules: Vec<(&str, &FieldDef)> = members.iter().map(|member| (member.name, &member.rule)).collect();
    let mistyped = |error: ferrokinesis::error::KinesisErrorResponse| {
        AwsError::client(&error.body.error_type, error.body.message.unwrap_or_default())
    };
    let checked = check_types(input, &rules).map_err(mistyped)?;
    let found = violations(&checked, members.iter().map(|member| (member.name, &member.constraints)));
    if !found.is_empty() {
        return Err(error::validation(constraints::validation_message(&found)));
    }
    let known = |name: &str| members.iter().find(|member| member.name == name);
    for (name, value) in input.as_object().into_iter().flatten() {
        let unknown_member = match known(name) {
            Some(member) => unknown_member(&member.constraints, value).map(|below| format!("{name}.{below}")),
            None => (!is_unset(value)).then(|| name.clone()),
        };
        if let Some(unknown_member) = unknown_member {
            return Err(error::invalid(not_supported(operation, &unknown_member)));
        }
    }
    match first_rejected(&checked, members.iter().map(|member| (member.name, member.usage))) {
        Some(message) => Err(error::invalid(message)),
        None => Ok(checked),
    }
}

/// The first member below a value that no model knows and that is not empty. Its path contains no
/// list positions.
fn unknown_member(rule: &Rule, value: &Value) -> Option<String> {
    match (&rule.kind, value) {
        (Kind::List(item), Value::Array(items)) => items.iter().find_map(|value| unknown_member(item, value)),
        (Kind::Structure(members), Value::Object(given)) => {
            given.iter().find_map(|(name, value)| match members.iter().find(|(member, _)| member == name) {
                Some((_, rule)) => unknown_member(rule, value).map(|below| format!("{name}.{below}")),
                None => (!is_unset(value)).then(|| name.clone()),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;

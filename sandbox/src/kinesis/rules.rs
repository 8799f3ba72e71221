//! The shapes of Kinesis's requests, as rules for ferrokinesis's validator, which words violations as AWS does. Pure.
//!
//! Constraints are those of the service model (botocore 1.44.5, kinesis 2013-12-02); ferrokinesis's own rules are older.

use ferrokinesis::validation::{FieldDef, FieldType, check_types, check_validations};
use serde_json::Value;

use crate::service::AwsError;

type Rules = Vec<(&'static str, FieldDef)>;

fn string() -> FieldDef {
    FieldDef::new(FieldType::String)
}

fn integer(least: f64, most: f64) -> FieldDef {
    FieldDef::new(FieldType::Integer).gte(least).lte(most)
}

fn stream_name() -> FieldDef {
    string().regex("[a-zA-Z0-9_.-]+").len_gte(1).len_lte(128)
}

fn stream_arn() -> FieldDef {
    string().regex(r"arn:aws.*:kinesis:.*:\d{12}:stream/\S+").len_gte(1).len_lte(2048)
}

fn resource_arn() -> FieldDef {
    string().not_null().regex(r"arn:aws.*:kinesis:.*:\d{12}:.*stream/\S+").len_gte(1).len_lte(2048)
}

fn shard_id() -> FieldDef {
    string().regex("[a-zA-Z0-9_.-]+").len_gte(1).len_lte(128)
}

fn tags(most: usize) -> FieldDef {
    FieldDef::new(FieldType::Map { children: Box::new(string()) })
        .len_gte(1)
        .len_lte(most)
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

fn structure(children: Rules) -> FieldDef {
    let children = children.into_iter().map(|(name, rule)| (name.to_owned(), rule)).collect();
    FieldDef::new(FieldType::Structure { children })
}

fn record(rules: &mut Rules) {
    rules.push(("PartitionKey", string().len_gte(1).len_lte(256)));
    rules.push(("ExplicitHashKey", string().regex(r"0|([1-9]\d{0,38})")));
    rules.push(("Data", FieldDef::new(FieldType::Blob).not_null().len_lte(10_485_760)));
}

fn addressed(mut rules: Rules) -> Rules {
    rules.push(("StreamARN", stream_arn()));
    rules.push(("StreamName", stream_name()));
    rules
}

/// The rules of an operation, or `None` if the sandbox does not offer it.
fn rules(operation: &str) -> Option<Rules> {
    let large = f64::from(i32::MAX);
    Some(match operation {
        "DescribeAccountSettings" | "DescribeLimits" => vec![],
        "UpdateAccountSettings" => {
            let status = string().not_null().enum_values(vec!["ENABLED", "DISABLED"]);
            vec![("MinimumThroughputBillingCommitment", structure(vec![("Status", status)]).not_null())]
        }
        "CreateStream" => vec![
            ("ShardCount", integer(1.0, large)),
            ("WarmThroughputMiBps", integer(0.0, large)),
            ("MaxRecordSizeInKiB", integer(1024.0, 10_240.0)),
            ("RecordDistributionStrategy", string().enum_values(vec!["AUTO", "USER_PARTITION_KEY"])),
            (
                "StreamModeDetails",
                structure(vec![(
                    "StreamMode",
                    string().not_null().enum_values(vec!["PROVISIONED", "ON_DEMAND"]),
                )]),
            ),
            ("Tags", tags(200)),
            ("StreamName", stream_name().not_null()),
        ],
        "DeleteStream" => addressed(vec![("EnforceConsumerDeletion", FieldDef::new(FieldType::Boolean))]),
        "DescribeStreamSummary" => addressed(vec![]),
        "DescribeStream" => {
            addressed(vec![("Limit", integer(1.0, 10_000.0)), ("ExclusiveStartShardId", shard_id())])
        }
        "ListStreams" => vec![
            ("Limit", integer(1.0, 10_000.0)),
            ("ExclusiveStartStreamName", stream_name()),
            ("NextToken", string().len_gte(1).len_lte(1_048_576)),
        ],
        "ListShards" => addressed(vec![
            ("ExclusiveStartShardId", shard_id()),
            ("MaxResults", integer(1.0, 10_000.0)),
            ("NextToken", string().len_gte(1).len_lte(1_048_576)),
            ("StreamCreationTimestamp", FieldDef::new(FieldType::Timestamp)),
            ("ShardFilter", shard_filter()),
        ]),
        "UpdateStreamWarmThroughput" => {
            addressed(vec![("WarmThroughputMiBps", integer(0.0, large).not_null())])
        }
        "IncreaseStreamRetentionPeriod" | "DecreaseStreamRetentionPeriod" => {
            addressed(vec![("RetentionPeriodHours", FieldDef::new(FieldType::Integer).not_null())])
        }
        "TagResource" => vec![("Tags", tags(200).not_null()), ("ResourceARN", resource_arn())],
        "UntagResource" => vec![("TagKeys", tag_keys()), ("ResourceARN", resource_arn())],
        "ListTagsForResource" => vec![("ResourceARN", resource_arn())],
        "AddTagsToStream" => addressed(vec![("Tags", tags(200).not_null())]),
        "RemoveTagsFromStream" => addressed(vec![("TagKeys", tag_keys())]),
        "ListTagsForStream" => addressed(vec![
            ("Limit", integer(1.0, 50.0)),
            ("ExclusiveStartTagKey", string().len_gte(1).len_lte(128)),
        ]),
        "GetShardIterator" => addressed(vec![
            ("ShardId", shard_id().not_null()),
            ("ShardIteratorType", string().not_null().enum_values(iterator_types())),
            ("StartingSequenceNumber", string().regex(r"0|([1-9]\d{0,128})")),
            ("Timestamp", FieldDef::new(FieldType::Timestamp)),
        ]),
        "GetRecords" => vec![
            ("Limit", integer(1.0, 10_000.0)),
            ("ShardIterator", string().not_null().len_gte(1).len_lte(512)),
            ("StreamARN", stream_arn()),
        ],
        "PutRecord" => {
            let mut rules = vec![("SequenceNumberForOrdering", string().regex(r"0|([1-9]\d{0,128})"))];
            record(&mut rules);
            rules.push(("DryRun", FieldDef::new(FieldType::Boolean)));
            addressed(rules)
        }
        "PutRecords" => {
            let mut entry = vec![];
            record(&mut entry);
            let records = FieldDef::new(FieldType::List { children: Box::new(structure(entry)) });
            let dry_run = FieldDef::new(FieldType::Boolean);
            addressed(vec![("Records", records.not_null().len_gte(1).len_lte(500)), ("DryRun", dry_run)])
        }
        _ => return None,
    })
}

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
        ("Timestamp", FieldDef::new(FieldType::Timestamp)),
    ])
}

fn iterator_types() -> Vec<&'static str> {
    vec!["AFTER_SEQUENCE_NUMBER", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON"]
}

/// The request's members, checked against the model; members that AWS does not know are left out.
pub fn checked(operation: &str, input: &Value) -> Result<Value, AwsError> {
    let rules = rules(operation).ok_or_else(|| AwsError::client("UnknownOperationException", ""))?;
    let rules: Vec<(&str, &FieldDef)> = rules.iter().map(|(name, rule)| (*name, rule)).collect();
    let refused = |error: ferrokinesis::error::KinesisErrorResponse| {
        AwsError::client(&error.body.error_type, error.body.message.unwrap_or_default())
    };
    let members = check_types(input, &rules).map_err(refused)?;
    check_validations(&members, &rules, None).map_err(refused)?;
    Ok(members)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(operation: &str, input: Value) -> (String, String) {
        let error = checked(operation, &input).unwrap_err();
        (error.code, error.message)
    }

    #[test]
    fn violations_are_worded_as_aws_words_them() {
        let (code, message) = refusal("CreateStream", json!({"StreamName": "no blanks", "ShardCount": 0}));
        assert_eq!(code, "ValidationException");
        assert_eq!(
            message,
            "2 validation errors detected: Value '0' at 'shardCount' failed to satisfy constraint: Member must have \
             value greater than or equal to 1; Value 'no blanks' at 'streamName' failed to satisfy constraint: Member \
             must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
        );
        let (code, message) = refusal("CreateStream", json!({"StreamName": 5}));
        assert_eq!(code, "SerializationException");
        assert!(message.ends_with("can not be converted to an String"), "{message}");
    }

    #[test]
    fn bounds_hold_at_the_bound_and_fail_beyond_it() {
        let name = |length: usize| json!({"StreamName": "a".repeat(length)});
        assert!(checked("DescribeStreamSummary", &name(128)).is_ok());
        assert_eq!(refusal("DescribeStreamSummary", name(129)).0, "ValidationException");
        let records = |count: usize| {
            let record = json!({"Data": "YQ==", "PartitionKey": "k"});
            json!({"StreamName": "a", "Records": vec![record; count]})
        };
        assert!(checked("PutRecords", &records(500)).is_ok());
        assert_eq!(refusal("PutRecords", records(501)).0, "ValidationException");
        assert_eq!(refusal("PutRecords", records(0)).0, "ValidationException");
        for (kib, fits) in [(1023, false), (1024, true), (10_240, true), (10_241, false)] {
            let input = json!({"StreamName": "a", "MaxRecordSizeInKiB": kib});
            assert_eq!(checked("CreateStream", &input).is_ok(), fits, "{kib}");
        }
    }

    #[test]
    fn operations_we_do_not_offer_are_unknown() {
        assert_eq!(refusal("SplitShard", json!({})).0, "UnknownOperationException");
        assert_eq!(refusal("Nonsense", json!({})).0, "UnknownOperationException");
    }
}

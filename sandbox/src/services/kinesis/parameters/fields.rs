//! The types and constraints of Kinesis's parameters (kinesis 2013-12-02, `models/kinesis.json`).
//! Patterns are verbatim, because error messages quote them. Pure.

use ferrokinesis::validation::{FieldDef, FieldType};

/// `StreamName`, `ShardId`.
const NAME: &str = "[a-zA-Z0-9_.-]+";
/// `StreamARN`.
const STREAM_ARN: &str = r"arn:aws.*:kinesis:.*:\d{12}:stream/\S+";
/// `ResourceARN`.
const RESOURCE_ARN: &str = r"arn:aws.*:kinesis:.*:\d{12}:.*(stream|channel|queue)/\S+";
/// `StreamId`.
pub const STREAM_ID: &str = "[a-z0-9]{20}-[a-z0-9]{3}";
/// `HashKey`.
const HASH_KEY: &str = r"^(0|([1-9]\d{0,38}))$";
/// `SequenceNumber`.
pub const SEQUENCE_NUMBER: &str = r"^(0|([1-9]\d{0,128}))$";

pub const MOST_RECORDS: usize = 500;

pub const MOST_DATA: usize = 10_485_760;

pub fn string() -> FieldDef {
    FieldDef::new(FieldType::String)
}

pub fn boolean() -> FieldDef {
    FieldDef::new(FieldType::Boolean)
}

pub fn timestamp() -> FieldDef {
    FieldDef::new(FieldType::Timestamp)
}

pub fn integer() -> FieldDef {
    FieldDef::new(FieldType::Integer)
}

pub fn stream_name() -> FieldDef {
    string().regex(NAME).len_gte(1).len_lte(128)
}

pub fn stream_arn() -> FieldDef {
    string().regex(STREAM_ARN).len_gte(1).len_lte(2048)
}

pub fn resource_arn() -> FieldDef {
    string().not_null().regex(RESOURCE_ARN).len_gte(1).len_lte(2048)
}

pub fn shard_id() -> FieldDef {
    string().regex(NAME).len_gte(1).len_lte(128)
}

pub fn partition_key() -> FieldDef {
    string().len_gte(1).len_lte(256)
}

pub fn hash_key() -> FieldDef {
    string().regex(HASH_KEY)
}

pub fn tags() -> FieldDef {
    FieldDef::new(FieldType::Map { children: Box::new(string()) })
        .len_gte(1)
        .len_lte(200)
        .child_key_lengths(1, 128)
        .child_value_lengths(0, 256)
}

pub fn tag_keys() -> FieldDef {
    FieldDef::new(FieldType::List { children: Box::new(string()) })
        .not_null()
        .len_gte(1)
        .len_lte(50)
        .child_lengths(1, 128)
}

pub fn structure(children: Vec<(&str, FieldDef)>) -> FieldDef {
    let children = children.into_iter().map(|(name, rule)| (name.to_owned(), rule)).collect();
    FieldDef::new(FieldType::Structure { children })
}

pub fn distribution() -> FieldDef {
    string().enum_values(vec!["AUTO", "USER_PARTITION_KEY"])
}

pub fn record() -> Vec<(&'static str, FieldDef)> {
    vec![
        ("PartitionKey", partition_key()),
        ("ExplicitHashKey", hash_key()),
        ("Data", FieldDef::new(FieldType::Blob).not_null().len_lte(MOST_DATA)),
    ]
}

pub fn shard_filter() -> FieldDef {
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

pub fn iterator_types() -> Vec<&'static str> {
    vec!["AFTER_SEQUENCE_NUMBER", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON"]
}

//! The model's patterns (botocore 1.44.8, kinesis 2013-12-02), verbatim, because error messages
//! quote them.

/// `StreamName`, `ShardId`.
pub const NAME: &str = "[a-zA-Z0-9_.-]+";
/// `StreamARN`.
pub const STREAM_ARN: &str = r"arn:aws.*:kinesis:.*:\d{12}:stream/\S+";
/// `ResourceARN`.
pub const RESOURCE_ARN: &str = r"arn:aws.*:kinesis:.*:\d{12}:.*(stream|channel|queue)/\S+";
/// `StreamId`.
pub const STREAM_ID: &str = "[a-z0-9]{20}-[a-z0-9]{3}";
/// `HashKey`.
pub const HASH_KEY: &str = r"^(0|([1-9]\d{0,38}))$";
/// `SequenceNumber`.
pub const SEQUENCE_NUMBER: &str = r"^(0|([1-9]\d{0,128}))$";

//! Kinesis's refusals, worded as AWS words them where a captured text is known (kinesalite's and ferrokinesis's recordings
//! of the service); texts marked "ours" say what AWS's documents say in the same style. Pure.

use crate::services::AwsError;

/// No such stream, or one that is not created yet.
pub fn stream_not_found(name: &str, account: &str) -> AwsError {
    AwsError::client("ResourceNotFoundException", format!("Stream {name} under account {account} not found."))
}

/// The name is taken, by a stream that is being deleted too.
pub fn stream_exists(name: &str, account: &str) -> AwsError {
    AwsError::client(
        "ResourceInUseException",
        format!("Stream {name} under account {account} already exists."),
    )
}

/// Mutations need an ACTIVE stream.
pub fn not_active(name: &str, account: &str, status: &str) -> AwsError {
    AwsError::client(
        "ResourceInUseException",
        format!("Stream {name} under account {account} not ACTIVE, instead in state {status}"),
    )
}

/// A shard's second is full.
pub fn rate_exceeded(shard: &str, stream: &str, account: &str) -> AwsError {
    AwsError::client("ProvisionedThroughputExceededException", rate_exceeded_text(shard, stream, account))
}

/// The text of [`rate_exceeded`], as per-record errors carry it.
pub fn rate_exceeded_text(shard: &str, stream: &str, account: &str) -> String {
    format!("Rate exceeded for shard {shard} in stream {stream} under account {account}.")
}

/// No such shard.
pub fn shard_not_found(shard: &str, stream: &str, account: &str) -> AwsError {
    AwsError::client(
        "ResourceNotFoundException",
        format!("Shard {shard} in stream {stream} under account {account} does not exist"),
    )
}

/// An iterator of another stream than the one that is named. The text is ours.
pub fn foreign_iterator(stream: &str, account: &str) -> AwsError {
    invalid(format!(
        "The ShardIterator does not belong to the stream that StreamARN names, {stream} under account {account}."
    ))
}

/// What a dry run is told that would have succeeded.
pub fn dry_run() -> AwsError {
    AwsError::client("DryRunOperationException", "Request would have succeeded, but DryRun flag is set.")
}

/// An argument that cannot be right.
pub fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::client("InvalidArgumentException", message)
}

/// A request the service's rules forbid.
pub fn validation(message: impl Into<String>) -> AwsError {
    AwsError::client("ValidationException", message)
}

/// A quota would be passed.
pub fn limit(message: impl Into<String>) -> AwsError {
    AwsError::client("LimitExceededException", message)
}

/// Warm throughput without On-demand Advantage. The type is reported by users (terraform-provider-aws 48152), the text by
/// one emulator; neither is confirmed by AWS's documents.
pub fn not_committed(account: &str) -> AwsError {
    validation(format!("Account {account} is not enabled for minimum throughput billing commitment"))
}

//! Kinesis's errors, with AWS's texts where they are known (from kinesalite's and ferrokinesis's
//! recordings of the service). Texts marked "ours" state what AWS's documentation says, in the same
//! style. Pure.

use crate::call::AwsError;

/// The stream does not exist or is still being created.
pub fn stream_not_found(name: &str, account: &str) -> AwsError {
    AwsError::client("ResourceNotFoundException", format!("Stream {name} under account {account} not found."))
}

/// The name is taken, possibly by a stream that is being deleted.
pub fn stream_exists(name: &str, account: &str) -> AwsError {
    AwsError::client(
        "ResourceInUseException",
        format!("Stream {name} under account {account} already exists."),
    )
}

/// Changes need an ACTIVE stream.
pub fn not_active(name: &str, account: &str, status: &str) -> AwsError {
    AwsError::client(
        "ResourceInUseException",
        format!("Stream {name} under account {account} not ACTIVE, instead in state {status}"),
    )
}

/// The shard's limit per second is reached.
pub fn rate_exceeded(shard: &str, stream: &str, account: &str) -> AwsError {
    AwsError::client("ProvisionedThroughputExceededException", rate_exceeded_text(shard, stream, account))
}

/// The text of [`rate_exceeded`], as in per-record errors.
pub fn rate_exceeded_text(shard: &str, stream: &str, account: &str) -> String {
    format!("Rate exceeded for shard {shard} in stream {stream} under account {account}.")
}

/// The shard does not exist.
pub fn shard_not_found(shard: &str, stream: &str, account: &str) -> AwsError {
    AwsError::client(
        "ResourceNotFoundException",
        format!("Shard {shard} in stream {stream} under account {account} does not exist"),
    )
}

/// The iterator belongs to another stream than the one named. The text is ours.
pub fn foreign_iterator(stream: &str, account: &str) -> AwsError {
    invalid(format!(
        "The ShardIterator does not belong to the stream that StreamARN names, {stream} under account {account}."
    ))
}

/// The result of a successful dry run.
pub fn dry_run() -> AwsError {
    AwsError::client("DryRunOperationException", "Request would have succeeded, but DryRun flag is set.")
}

/// An invalid argument.
pub fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::client("InvalidArgumentException", message)
}

/// A request that the service's rules forbid.
pub fn validation(message: impl Into<String>) -> AwsError {
    AwsError::client("ValidationException", message)
}

/// A quota would be exceeded.
pub fn limit(message: impl Into<String>) -> AwsError {
    AwsError::client("LimitExceededException", message)
}

/// Warm throughput without On-demand Advantage. The error type was reported by users
/// (terraform-provider-aws 48152), the text comes from an emulator; AWS's documentation confirms
/// neither.
pub fn not_committed(account: &str) -> AwsError {
    validation(format!("Account {account} is not enabled for minimum throughput billing commitment"))
}

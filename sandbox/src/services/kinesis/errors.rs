//! Kinesis's errors, with AWS's texts where they are known (from kinesalite's and ferrokinesis's
//! recordings of the service). Texts marked "ours" state what AWS's documentation says, in the same
//! style. Pure.

use crate::call::AwsError;
use crate::constraints;

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

/// The id of a shard cannot exist.
pub fn no_such_shard_id(id: &str, stream: &str, account: &str) -> AwsError {
    AwsError::client(
        "ResourceNotFoundException",
        format!("Could not find shard {id} in stream {stream} under account {account}."),
    )
}

/// The shard does not exist.
pub fn shard_not_found(shard: &str, stream: &str, account: &str) -> AwsError {
    AwsError::client(
        "ResourceNotFoundException",
        format!("Shard {shard} in stream {stream} under account {account} does not exist"),
    )
}

/// The iterator belongs to a stream other than the named one. AWS documents no text; this is ours.
pub fn foreign_iterator(stream: &str, account: &str) -> AwsError {
    invalid(format!(
        "The ShardIterator does not belong to the stream that StreamARN names, {stream} under account {account}."
    ))
}

/// The iterator is older than five minutes. The instants are written as AWS writes them.
pub fn expired_iterator(issued: &str, now: &str, lifetime_millis: u64) -> AwsError {
    AwsError::client(
        "ExpiredIteratorException",
        format!(
            "Iterator expired. The iterator was created at time {issued} while right now it is {now} which is further in the \
             future than the tolerated delay of {lifetime_millis} milliseconds."
        ),
    )
}

/// The token of a listing is older than five minutes.
pub fn expired_next_token() -> AwsError {
    AwsError::client("ExpiredNextTokenException", "NextToken has expired.")
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

/// Parameters that are null but must not be, by path.
fn nulls(paths: &[String]) -> AwsError {
    validation(constraints::nulls(paths))
}

/// Records of a `PutRecords` without a partition key, by position, if the stream requires one.
pub fn missing_keys(positions: &[usize]) -> AwsError {
    let path = |position: &usize| format!("records.{}.member.partitionKey", position + 1);
    nulls(&positions.iter().map(path).collect::<Vec<_>>())
}

/// A `PutRecord` without a partition key, if the stream requires one.
pub fn missing_key() -> AwsError {
    nulls(&["partitionKey".to_owned()])
}

/// A body that cannot be read.
pub fn unreadable(message: impl Into<String>) -> AwsError {
    AwsError::client("SerializationException", message)
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

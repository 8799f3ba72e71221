//! [`Sender`] over PutRecords. In: batches. Out: one outcome per record, or one for the whole
//! request. Touches the outside: Kinesis.
//!
//! The important distinction is between "not stored" and "perhaps stored": only records that were
//! not stored may be retried.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::put_records::{PutRecordsError, PutRecordsOutput};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use kinesis_demo_api::error_chain::error_chain;
use tracing::warn;

use crate::batch::{Batch, Record};
use crate::sender::{RecordOutcome, Rejection, SendOutcome, Sender};

/// Error codes for exceeded throughput of the stream, per record or for a whole request (Kinesis
/// API reference, PutRecords, "Errors"; the last two are returned by the service's front end,
/// Common error types). These are fewer than the codes of `AwsErrorClass::Throttled`: if KMS
/// throttles, the stream still has throughput.
const THROUGHPUT_CODES: [&str; 4] =
    ["ProvisionedThroughputExceededException", "LimitExceededException", "ThrottlingException", "Throttling"];

/// Sends to one stream.
pub struct KinesisSender {
    client: Client,
    stream: StreamTarget,
    /// Error codes already logged. Each is logged once; their number is in the counters.
    logged_codes: Mutex<BTreeSet<String>>,
}

enum StreamTarget {
    Name(String),
    Arn(String),
}

impl KinesisSender {
    /// Creates a sender to a stream, given by name or ARN.
    pub fn new(client: Client, stream: &str) -> Self {
        let stream = if stream.starts_with("arn:") {
            StreamTarget::Arn(stream.into())
        } else {
            StreamTarget::Name(stream.into())
        };
        Self { client, stream, logged_codes: Mutex::default() }
    }

    fn log_once(&self, error: &SdkError<PutRecordsError, HttpResponse>, send_outcome: &SendOutcome) {
        if *send_outcome == SendOutcome::Rejected(Rejection::Throughput) {
            return;
        }
        let code = error.code().unwrap_or("no response").to_owned();
        if self.logged_codes.lock().unwrap_or_else(PoisonError::into_inner).insert(code) {
            warn!(error = error_chain(error), "could not put records");
        }
    }
}

#[async_trait]
impl Sender for KinesisSender {
    async fn put(&self, batch: &Batch) -> SendOutcome {
        let mut entries = Vec::with_capacity(batch.records().len());
        for record in batch.records() {
            match entry(batch, record) {
                Some(entry) => entries.push(entry),
                None => return SendOutcome::Rejected(Rejection::Other),
            }
        }
        let request = self.client.put_records().set_records(Some(entries));
        let request = match &self.stream {
            StreamTarget::Name(name) => request.stream_name(name),
            StreamTarget::Arn(arn) => request.stream_arn(arn),
        };
        match request.send().await {
            Ok(output) => record_outcomes(&output, batch.records().len()),
            Err(error) => {
                let send_outcome = error_outcome(&error);
                self.log_once(&error, &send_outcome);
                send_outcome
            }
        }
    }
}

fn entry(batch: &Batch, record: &Record) -> Option<PutRecordsRequestEntry> {
    let key = std::str::from_utf8(&record.key).ok()?;
    PutRecordsRequestEntry::builder().data(Blob::new(batch.data(record))).partition_key(key).build().ok()
}

/// The response lists the records in the request's order. A response with a different number of
/// records is not conclusive.
fn record_outcomes(output: &PutRecordsOutput, sent: usize) -> SendOutcome {
    if output.records.len() != sent {
        return SendOutcome::Unknown;
    }
    let outcomes = output.records.iter().map(|record| match record.error_code() {
        None => RecordOutcome::Accepted,
        Some(code) => RecordOutcome::Rejected(rejection(code)),
    });
    SendOutcome::PerRecord(outcomes.collect())
}

fn rejection(code: &str) -> Rejection {
    if THROUGHPUT_CODES.contains(&code) { Rejection::Throughput } else { Rejection::Other }
}

fn error_outcome(error: &SdkError<PutRecordsError, HttpResponse>) -> SendOutcome {
    match error {
        SdkError::ConstructionFailure(_) => SendOutcome::Rejected(Rejection::Other),
        SdkError::DispatchFailure(_) if was_never_sent(error) => SendOutcome::Rejected(Rejection::Other),
        // With a client error the service processed the request and stored nothing. A server error
        // may come from a proxy in front of a service that stored everything.
        SdkError::ServiceError(service) if service.raw().status().is_client_error() => {
            SendOutcome::Rejected(service.err().code().map_or(Rejection::Other, rejection))
        }
        _ => SendOutcome::Unknown,
    }
}

/// True if the request was never sent, because there was no connection or no credentials to sign it
/// with.
fn was_never_sent(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let no_connection = error
            .downcast_ref::<hyper_util::client::legacy::Error>()
            .is_some_and(hyper_util::client::legacy::Error::is_connect);
        if no_connection || error.is::<CredentialsError>() {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
#[path = "kinesis_tests.rs"]
mod tests;

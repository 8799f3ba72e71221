//! [`Sender`] over PutRecords. In: batches. Out: one outcome per record, or what is known of the whole request. Touches the
//! outside: Kinesis.
//!
//! The line that matters runs between "not stored" and "perhaps stored": only the former may be sent again.

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
use tracing::warn;

use crate::batch::{Batch, Record};
use crate::error::chain;
use crate::sender::{Answer, Outcome, Refusal, Sender};

/// The codes with which Kinesis refuses for want of throughput, per record or for a whole request (Kinesis API reference,
/// PutRecords, "Errors"; the last two are those of the service's front door, Common error types).
const THROUGHPUT_CODES: [&str; 4] =
    ["ProvisionedThroughputExceededException", "LimitExceededException", "ThrottlingException", "Throttling"];

/// Sends to one stream.
pub struct KinesisSender {
    client: Client,
    stream: Stream,
    /// The kinds of failure that were logged: each is said once, how often it happens is counted.
    told: Mutex<BTreeSet<String>>,
}

enum Stream {
    Name(String),
    Arn(String),
}

impl KinesisSender {
    /// A sender to the stream of that name or ARN.
    pub fn new(client: Client, stream: &str) -> Self {
        let stream =
            if stream.starts_with("arn:") { Stream::Arn(stream.into()) } else { Stream::Name(stream.into()) };
        Self { client, stream, told: Mutex::default() }
    }

    fn tell_once(&self, error: &SdkError<PutRecordsError, HttpResponse>, answer: &Answer) {
        if *answer == Answer::Refused(Refusal::Throughput) {
            return;
        }
        let kind = error.code().unwrap_or("no answer").to_owned();
        if self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(kind) {
            warn!(error = chain(error), "put records");
        }
    }
}

#[async_trait]
impl Sender for KinesisSender {
    async fn put(&self, batch: &Batch) -> Answer {
        let mut entries = Vec::with_capacity(batch.records().len());
        for record in batch.records() {
            match entry(batch, record) {
                Some(entry) => entries.push(entry),
                None => return Answer::Refused(Refusal::Other),
            }
        }
        let request = self.client.put_records().set_records(Some(entries));
        let request = match &self.stream {
            Stream::Name(name) => request.stream_name(name),
            Stream::Arn(arn) => request.stream_arn(arn),
        };
        match request.send().await {
            Ok(output) => per_record(&output, batch.records().len()),
            Err(error) => {
                let answer = of_error(&error);
                self.tell_once(&error, &answer);
                answer
            }
        }
    }
}

fn entry(batch: &Batch, record: &Record) -> Option<PutRecordsRequestEntry> {
    let key = std::str::from_utf8(&record.key).ok()?;
    PutRecordsRequestEntry::builder().data(Blob::new(batch.data(record))).partition_key(key).build().ok()
}

/// The answer lists the records in the request's order. One that lists another number of them says nothing definite.
fn per_record(output: &PutRecordsOutput, sent: usize) -> Answer {
    if output.records.len() != sent {
        return Answer::Lost;
    }
    let outcomes = output.records.iter().map(|record| match record.error_code() {
        None => Outcome::Accepted,
        Some(code) => Outcome::Refused(refusal(code)),
    });
    Answer::PerRecord(outcomes.collect())
}

fn refusal(code: &str) -> Refusal {
    if THROUGHPUT_CODES.contains(&code) { Refusal::Throughput } else { Refusal::Other }
}

fn of_error(error: &SdkError<PutRecordsError, HttpResponse>) -> Answer {
    match error {
        SdkError::ConstructionFailure(_) => Answer::Refused(Refusal::Other),
        SdkError::DispatchFailure(_) if was_never_sent(error) => Answer::Refused(Refusal::Other),
        // A client error is an answer: the service looked at the request and stored nothing. A server error may come
        // from between us and a service that has stored everything.
        SdkError::ServiceError(service) if service.raw().status().is_client_error() => {
            Answer::Refused(service.err().code().map_or(Refusal::Other, refusal))
        }
        _ => Answer::Lost,
    }
}

/// True if the request never left: there was no connection to send it over, or no credentials to sign it with.
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

//! `PutRecords`: from bytes to bytes, without generic JSON in between. Pure except
//! for the scratch buffers.

mod cbor;
pub mod error_parameters;
mod is_set;
mod request;

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ferrokinesis::sequence::partition_key_to_hash_key;
use serde::Serialize;

use request::{Data, PutEntry, Request};

use crate::call::AwsError;
use crate::constraints::admits;
use crate::protocol::Encoding;
use crate::services::kinesis::errors;
use crate::services::kinesis::model::shard::id_of;
use crate::services::kinesis::model::stream::Incoming;
use crate::services::kinesis::parameters::PUT_RULES;
use crate::services::kinesis::state::Outcome;

/// API reference, `PutRecords`: "up to a limit of 10 MiB for the entire request, including
/// partition keys".
const MAX_REQUEST_BYTES: usize = 10 << 20;

/// A valid, decoded request.
pub struct Batch<'a> {
    /// The stream's name, as sent.
    pub name: Option<Cow<'a, str>>,
    /// The stream's ARN, as sent.
    pub arn: Option<Cow<'a, str>>,
    /// Whether the caller only wants to know if the call would succeed.
    pub dry_run: bool,
    /// The data decoded from base64.
    decoded: Vec<u8>,
    records: Vec<Record<'a>>,
}

struct Record<'a> {
    /// Empty if absent; an empty key would be invalid.
    key: Cow<'a, str>,
    hash: u128,
    data: RecordLocation<'a>,
}

/// Where a record's data is stored.
enum RecordLocation<'a> {
    Body(Cow<'a, [u8]>),
    Decoded(Range<usize>),
}

impl Batch<'_> {
    /// The records, ready to be stored.
    pub fn records(&self) -> Vec<Incoming<'_>> {
        self.records
            .iter()
            .map(|record| {
                let data = match &record.data {
                    RecordLocation::Body(data) => &**data,
                    RecordLocation::Decoded(range) => self.decoded.get(range.clone()).unwrap_or_default(),
                };
                Incoming { key: &record.key, hash: record.hash, data }
            })
            .collect()
    }
}

/// Reads a `PutRecords` body. The usual case takes one pass. Other bodies are checked by the rules,
/// which produce AWS's errors.
pub fn batch(encoding: Encoding, body: &[u8]) -> Result<Batch<'_>, AwsError> {
    match Request::read(encoding, body).and_then(checked) {
        Some(batch) => batch,
        None => Err(parse_error(encoding, body)),
    }
}

fn checked(request: Request<'_>) -> Option<Result<Batch<'_>, AwsError>> {
    let Request { name, arn, dry_run, has_id, records } = request;
    let rules = &*PUT_RULES;
    let is_addressed_well = name.as_ref().is_none_or(|name| admits(&rules.stream_name, name))
        && arn.as_ref().is_none_or(|arn| admits(&rules.stream_arn, arn))
        && !has_id;
    if !is_addressed_well || records.is_empty() {
        return None;
    }
    let encoded: usize = records.iter().map(|record| record.data.encoded_length()).sum();
    let mut decoded = Vec::with_capacity(encoded / 4 * 3 + 3);
    let mut kept = Vec::with_capacity(records.len());
    let mut bytes = 0;
    for PutEntry { data, key, hash } in records {
        let (data, length) = match data {
            Data::Bytes(data) => {
                let length = data.len();
                (RecordLocation::Body(data), length)
            }
            Data::Base64(text) => {
                let start = decoded.len();
                BASE64.decode_vec(text.as_bytes(), &mut decoded).ok()?;
                (RecordLocation::Decoded(start..decoded.len()), decoded.len() - start)
            }
        };
        if length > rules.most_data || key.as_ref().is_some_and(|key| !admits(&rules.key, key)) {
            return None;
        }
        let key = key.unwrap_or_default();
        bytes += key.len() + length;
        let hash = match hash {
            None => partition_key_to_hash_key(&key),
            Some(hash) if !admits(&rules.hash, &hash) => return None,
            Some(hash) => match explicit_hash(&hash) {
                Ok(hash) => hash,
                Err(error) => return Some(Err(error)),
            },
        };
        kept.push(Record { key, hash, data });
    }
    if bytes > MAX_REQUEST_BYTES {
        return Some(Err(errors::invalid("Records size exceeds 10 MB limit")));
    }
    Some(Ok(Batch { name, arn, dry_run, decoded, records: kept }))
}

/// An explicit hash key.
pub fn explicit_hash(text: &str) -> Result<u128, AwsError> {
    text.parse().map_err(|_| {
        errors::invalid(format!(
            "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was {text}"
        ))
    })
}

/// The error for a body that is not a valid request.
fn parse_error(encoding: Encoding, body: &[u8]) -> AwsError {
    let checked_by_rules =
        error_parameters::read(encoding, body).and_then(|input| super::checked("PutRecords", &input));
    // The rules accepted the body although the parser did not, so it cannot be read at all.
    checked_by_rules.err().unwrap_or_else(|| errors::unreadable(""))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Response {
    failed_record_count: usize,
    records: Vec<EntryResult>,
}

#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "PascalCase")]
enum EntryResult {
    Stored { shard_id: String, sequence_number: String },
    Rejected { error_code: &'static str, error_message: String },
}

/// Writes the response, in the order of the request.
pub fn response(
    encoding: Encoding,
    outcomes: &[Outcome],
    stream: &str,
    account: &str,
) -> Result<Vec<u8>, AwsError> {
    let entered = |outcome: &Outcome| match outcome {
        Outcome::Stored(record_id) => EntryResult::Stored {
            shard_id: id_of(record_id.shard),
            sequence_number: record_id.sequence_number(),
        },
        Outcome::Throttled(shard) => EntryResult::Rejected {
            error_code: "ProvisionedThroughputExceededException",
            error_message: errors::rate_exceeded_text(&id_of(*shard), stream, account),
        },
    };
    let response = Response {
        failed_record_count: outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Outcome::Throttled(_)))
            .count(),
        records: outcomes.iter().map(entered).collect(),
    };
    encoding.write(&response)
}

#[cfg(test)]
mod tests;

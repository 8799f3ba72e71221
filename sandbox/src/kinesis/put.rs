//! `PutRecords` and `PutRecord`: bytes in, bytes out, without generic JSON in between. Pure but for the scratch buffers.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ferrokinesis::sequence::partition_key_to_hash_key;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::refusal;
use super::rules;
use super::shard::id_of;
use super::stream::Incoming;
use super::world::Outcome;
use crate::service::AwsError;

/// API reference, `PutRecords`: "up to a limit of 10 MiB for the entire request, including partition keys".
const MAX_REQUEST_BYTES: usize = 10 << 20;
const MAX_RECORDS: usize = 500;
const MAX_KEY_CHARS: usize = 256;

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(rename = "StreamName", borrow, default)]
    name: Option<Text<'a>>,
    #[serde(rename = "StreamARN", borrow, default)]
    arn: Option<Text<'a>>,
    #[serde(rename = "DryRun", default)]
    dry_run: Option<bool>,
    #[serde(rename = "Records", borrow)]
    records: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(rename = "Data", borrow)]
    data: Cow<'a, str>,
    #[serde(rename = "PartitionKey", borrow, default)]
    key: Option<Text<'a>>,
    #[serde(rename = "ExplicitHashKey", borrow, default)]
    hash: Option<Text<'a>>,
}

/// Borrowed where JSON needed no unescaping (serde borrows inside an `Option` only through a type of one's own).
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A parsed and decoded request.
pub struct Batch<'a> {
    /// The stream's name as given.
    pub name: Option<Cow<'a, str>>,
    /// The stream's ARN as given.
    pub arn: Option<Cow<'a, str>>,
    /// Whether the caller only wants to know if it would succeed.
    pub dry_run: bool,
    data: Vec<u8>,
    records: Vec<Decoded<'a>>,
}

struct Decoded<'a> {
    key: Cow<'a, str>,
    hash: u128,
    start: usize,
    end: usize,
}

impl Batch<'_> {
    /// The records, ready to be stored.
    pub fn records(&self) -> Vec<Incoming<'_>> {
        let data = |record: &Decoded<'_>| self.data.get(record.start..record.end);
        self.records
            .iter()
            .filter_map(|record| Some(Incoming { key: &record.key, hash: record.hash, data: data(record)? }))
            .collect()
    }
}

/// Reads a `PutRecords` body. The usual case takes one pass; whatever it cannot take goes through the rules, for AWS's words.
pub fn batch(body: &[u8]) -> Result<Batch<'_>, AwsError> {
    match serde_json::from_slice::<Request<'_>>(body).ok().and_then(decoded) {
        Some(batch) => batch,
        None => Err(explained(body)),
    }
}

fn decoded(request: Request<'_>) -> Option<Result<Batch<'_>, AwsError>> {
    let Request { name, arn, dry_run, records } = request;
    if records.is_empty() || records.len() > MAX_RECORDS {
        return None;
    }
    let encoded: usize = records.iter().map(|record| record.data.len()).sum();
    let mut data = Vec::with_capacity(encoded / 4 * 3 + 3);
    let mut decoded = Vec::with_capacity(records.len());
    let mut key_bytes = 0;
    for Entry { data: text, key, hash } in records {
        let start = data.len();
        BASE64.decode_vec(text.as_bytes(), &mut data).ok()?;
        // An empty key is not legal, so it can stand for none: streams that distribute records themselves need none.
        let key = match key {
            None => Cow::Borrowed(""),
            Some(Text(key)) if key.is_empty() => return None,
            Some(Text(key)) if key.len() > MAX_KEY_CHARS && key.chars().count() > MAX_KEY_CHARS => {
                return None;
            }
            Some(Text(key)) => key,
        };
        key_bytes += key.len();
        let hash = match hash {
            None => partition_key_to_hash_key(&key),
            Some(Text(hash)) => match explicit_hash(&hash) {
                Ok(hash) => hash,
                Err(error) => return Some(Err(error)),
            },
        };
        decoded.push(Decoded { key, hash, start, end: data.len() });
    }
    if data.len() + key_bytes > MAX_REQUEST_BYTES {
        return Some(Err(refusal::invalid("Records size exceeds 10 MB limit")));
    }
    Some(Ok(Batch {
        name: name.map(|Text(text)| text),
        arn: arn.map(|Text(text)| text),
        dry_run: dry_run.unwrap_or(false),
        data,
        records: decoded,
    }))
}

/// A hash the caller chose.
pub fn explicit_hash(text: &str) -> Result<u128, AwsError> {
    text.parse().map_err(|_| {
        refusal::invalid(format!(
            "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was {text}"
        ))
    })
}

/// Why a body is not a request.
fn explained(body: &[u8]) -> AwsError {
    let refused = serde_json::from_slice::<Value>(body)
        .map_err(|_| AwsError::client("SerializationException", ""))
        .and_then(|input| rules::checked("PutRecords", &input));
    // What the rules let pass and the parser did not cannot be read at all.
    refused.err().unwrap_or_else(|| AwsError::client("SerializationException", ""))
}

/// A record without a partition key, where the stream needs one.
pub fn missing_key() -> AwsError {
    refusal::validation(
        "1 validation error detected: Value null at 'partitionKey' failed to satisfy constraint: Member must not be null",
    )
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Response {
    failed_record_count: usize,
    records: Vec<Entered>,
}

#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "PascalCase")]
enum Entered {
    Stored { shard_id: String, sequence_number: String },
    Refused { error_code: &'static str, error_message: String },
}

/// Writes the answer, in the order of the request.
pub fn answer(outcomes: &[Outcome], stream: &str, account: &str) -> Result<Vec<u8>, AwsError> {
    let entered = |outcome: &Outcome| match outcome {
        Outcome::Stored(place) => {
            Entered::Stored { shard_id: id_of(place.shard), sequence_number: place.sequence_number() }
        }
        Outcome::Throttled(shard) => Entered::Refused {
            error_code: "ProvisionedThroughputExceededException",
            error_message: refusal::rate_exceeded_text(&id_of(*shard), stream, account),
        },
    };
    let response = Response {
        failed_record_count: outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Outcome::Throttled(_)))
            .count(),
        records: outcomes.iter().map(entered).collect(),
    };
    serde_json::to_vec(&response).map_err(|error| AwsError {
        status: 500,
        code: "InternalFailure".to_owned(),
        message: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinesis::shard::Place;

    fn refused(body: Value) -> AwsError {
        batch(body.to_string().as_bytes()).err().unwrap()
    }

    #[test]
    fn records_are_decoded_and_hashed() {
        let body = br#"{"StreamName":"posts","Records":[
            {"Data":"YWJj","PartitionKey":"a"},
            {"PartitionKey":"quo\"te","Data":"","ExplicitHashKey":"340282366920938463463374607431768211455"}]}"#;
        let batch = batch(body).unwrap();
        assert_eq!(batch.name.as_deref(), Some("posts"));
        let records = batch.records();
        assert_eq!((records[0].key, records[0].data), ("a", &b"abc"[..]));
        // MD5 of "a"
        assert_eq!(records[0].hash, 0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661);
        assert_eq!((records[1].key, records[1].data, records[1].hash), ("quo\"te", &b""[..], u128::MAX));
    }

    #[test]
    fn what_is_no_request_is_refused_in_awss_words() {
        let record = json!({"Data": "YQ==", "PartitionKey": "k"});
        let code = |body: Value| refused(body).code;
        assert_eq!(code(json!({"StreamName": "a", "Records": []})), "ValidationException");
        assert_eq!(
            code(json!({"StreamName": "a", "Records": vec![record.clone(); 501]})),
            "ValidationException"
        );
        assert_eq!(code(json!({"StreamName": "a"})), "ValidationException");
        let empty = json!({"Data": "YQ==", "PartitionKey": ""});
        assert_eq!(code(json!({"StreamName": "a", "Records": [empty]})), "ValidationException");
        let long = json!({"Data": "YQ==", "PartitionKey": "k".repeat(257)});
        assert_eq!(code(json!({"StreamName": "a", "Records": [long]})), "ValidationException");
        let wrong = json!({"Data": "Y", "PartitionKey": "k"});
        assert_eq!(code(json!({"StreamName": "a", "Records": [wrong]})), "SerializationException");
        let hash = json!({"Data": "", "PartitionKey": "k", "ExplicitHashKey": "340282366920938463463374607431768211456"});
        assert_eq!(code(json!({"StreamName": "a", "Records": [hash]})), "InvalidArgumentException");
        assert_eq!(batch(b"{").err().unwrap().code, "SerializationException");
    }

    #[test]
    fn a_request_holds_ten_mebibytes_and_not_one_byte_more() {
        let body = |bytes: usize| {
            let half = BASE64.encode(vec![0u8; 5 << 20]);
            let rest = BASE64.encode(vec![0u8; bytes - (5 << 20)]);
            let record = |data| json!({"Data": data, "PartitionKey": "k"});
            json!({"StreamName": "a", "Records": [record(half), record(rest)]}).to_string()
        };
        assert!(batch(body((10 << 20) - 2).as_bytes()).is_ok());
        assert_eq!(batch(body((10 << 20) - 1).as_bytes()).err().unwrap().code, "InvalidArgumentException");
    }

    #[test]
    fn answers_keep_the_order_and_carry_per_record_errors() {
        let place =
            Place { shard: 3, shard_millis: 1_600_000_000_000, seq: 42, at_millis: 1_600_000_001_000 };
        let outcomes = [Outcome::Throttled(1), Outcome::Stored(place)];
        let answer: Value =
            serde_json::from_slice(&answer(&outcomes, "posts", "000000000000").unwrap()).unwrap();
        assert_eq!(
            answer,
            json!({"FailedRecordCount": 1, "Records": [
                {
                    "ErrorCode": "ProvisionedThroughputExceededException",
                    "ErrorMessage": "Rate exceeded for shard shardId-000000000001 in stream posts under account \
                                     000000000000."
                },
                {"ShardId": "shardId-000000000003", "SequenceNumber": place.sequence_number()},
            ]})
        );
    }
}

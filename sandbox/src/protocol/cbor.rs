//! AWS's two protocols in CBOR. In: CBOR bytes, or values of services. Out: the other one. No I/O.
//!
//! Timestamps on the wire have tag 1. Services use plain numbers of seconds. When encoding, members
//! with timestamps are therefore recognized by name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ciborium::Value as Cbor;
use serde::Serialize;
use serde_json::{Map, Number, Value};

use crate::call::AwsError;

/// RFC 8949, 3.4.2: the tag of a timestamp. Smithy counts seconds, the older protocol milliseconds.
const INSTANT: u64 = 1;

/// One of AWS's CBOR protocols.
pub struct Dialect {
    /// The media type of requests and responses.
    pub content_type: &'static str,
    /// The unit of timestamps.
    ticks: Ticks,
    /// The members with a timestamp, or a list of them.
    instants: &'static [&'static str],
    /// The response members with bytes, which services provide as base64.
    blobs: &'static [&'static str],
    /// The prefix of the code in an error's type.
    namespace: &'static str,
    /// The response body of operations without output.
    empty_output: &'static [u8],
}

#[derive(Clone, Copy, PartialEq)]
enum Ticks {
    Seconds,
    Milliseconds,
}

/// Smithy rpc-v2-cbor, which CloudWatch uses.
pub const RPC_V2: Dialect = Dialect {
    content_type: "application/cbor",
    ticks: Ticks::Seconds,
    instants: &["Timestamp", "Timestamps", "LastModified", "StartTime", "EndTime"],
    blobs: &[],
    namespace: "com.amazonaws.cloudwatch#",
    // An empty map.
    empty_output: &[0xa0],
};

/// AWS JSON 1.1 as CBOR, which the SDKs for Java use for Kinesis by default
/// (`AwsCborProtocolFactory`, `SdkCborGenerator`: timestamps are tagged and count milliseconds,
/// blobs are byte strings).
pub const KINESIS: Dialect = Dialect {
    content_type: "application/x-amz-cbor-1.1",
    ticks: Ticks::Milliseconds,
    instants: &[
        "ApproximateArrivalTimestamp",
        "EarliestAllowedEndAt",
        "EndedAt",
        "StartedAt",
        "StreamCreationTimestamp",
        "Timestamp",
    ],
    blobs: &["Data"],
    namespace: "",
    empty_output: &[],
};

impl Dialect {
    /// Whether the member with that name has a timestamp, or a list of them.
    pub(super) fn holds_instants(&self, member: &str) -> bool {
        self.instants.contains(&member)
    }

    /// Decodes a request's members. An empty body is an empty object.
    pub fn decode(&self, body: &[u8]) -> Result<Value, AwsError> {
        if body.is_empty() {
            return Ok(Value::Object(Map::new()));
        }
        let invalid = |why: String| AwsError::client("SerializationException", why);
        let cbor: Cbor = ciborium::from_reader(body).map_err(|error| invalid(error.to_string()))?;
        match self.shape(cbor, "").map_err(|why| invalid(why.to_owned()))? {
            object @ Value::Object(_) => Ok(object),
            _ => Err(invalid("the body is not a map".to_owned())),
        }
    }

    /// Converts the value of the member with this name.
    fn shape(&self, cbor: Cbor, member: &str) -> Result<Value, &'static str> {
        Ok(match cbor {
            Cbor::Null => Value::Null,
            Cbor::Bool(value) => Value::Bool(value),
            Cbor::Text(text) => Value::String(text),
            Cbor::Bytes(bytes) => Value::String(STANDARD.encode(bytes)),
            Cbor::Tag(INSTANT, inner) => self.seconds(*inner)?,
            // A timestamp without its tag.
            Cbor::Float(_) | Cbor::Integer(_) if self.holds_instants(member) => self.seconds(cbor)?,
            Cbor::Float(value) => float(value),
            Cbor::Integer(value) => {
                let value = i128::from(value);
                i64::try_from(value)
                    .map(Number::from)
                    .or_else(|_| u64::try_from(value).map(Number::from))
                    .map_or(Err("an integer does not fit"), |number| Ok(Value::Number(number)))?
            }
            Cbor::Array(items) => {
                items.into_iter().map(|item| self.shape(item, member)).collect::<Result<_, _>>()?
            }
            Cbor::Map(entries) => {
                let mut members = Map::new();
                for (key, value) in entries {
                    let Cbor::Text(key) = key else { return Err("a member's name is not text") };
                    let value = self.shape(value, &key)?;
                    members.insert(key, value);
                }
                Value::Object(members)
            }
            _ => return Err("a value of a kind that is not used"),
        })
    }

    /// Converts a timestamp to seconds, as services use them.
    fn seconds(&self, cbor: Cbor) -> Result<Value, &'static str> {
        let value = self.shape(cbor, "")?;
        Ok(match (self.ticks, value.as_f64()) {
            (Ticks::Milliseconds, Some(millis)) => float(millis / 1000.0),
            _ => value,
        })
    }

    /// Encodes a response body.
    pub fn encode(&self, value: &Value) -> Vec<u8> {
        match value {
            Value::Null => self.empty_output.to_vec(),
            value => to_bytes(&self.cbor(value, "")),
        }
    }

    /// Encodes an error's body: its shape id and its message.
    pub fn encode_error(&self, error: &AwsError) -> Vec<u8> {
        let mut members =
            vec![(Cbor::from("__type"), Cbor::from(format!("{}{}", self.namespace, error.code)))];
        if !error.message.is_empty() {
            members.push((Cbor::from("message"), Cbor::from(error.message.as_str())));
        }
        to_bytes(&Cbor::Map(members))
    }

    fn cbor(&self, value: &Value, member: &str) -> Cbor {
        match value {
            Value::Null => Cbor::Null,
            Value::Bool(value) => Cbor::Bool(*value),
            Value::String(text) => match STANDARD.decode(text) {
                Ok(bytes) if self.blobs.contains(&member) => Cbor::Bytes(bytes),
                _ => Cbor::Text(text.clone()),
            },
            Value::Array(items) => Cbor::Array(items.iter().map(|item| self.cbor(item, member)).collect()),
            Value::Object(members) => Cbor::Map(
                members
                    .iter()
                    .filter(|(_, value)| !value.is_null())
                    .map(|(name, value)| (Cbor::from(name.as_str()), self.cbor(value, name)))
                    .collect(),
            ),
            Value::Number(number) if self.holds_instants(member) => {
                let plain = match (self.ticks, number.as_f64()) {
                    (Ticks::Milliseconds, Some(seconds)) => Cbor::from((seconds * 1000.0).round() as i64),
                    _ => plain(number),
                };
                Cbor::Tag(INSTANT, Box::new(plain))
            }
            Value::Number(number) => plain(number),
        }
    }
}

fn plain(number: &Number) -> Cbor {
    match (number.as_i64(), number.as_u64()) {
        (Some(integer), _) => Cbor::from(integer),
        (None, Some(integer)) => Cbor::from(integer),
        (None, None) => Cbor::Float(number.as_f64().unwrap_or_default()),
    }
}

/// Converts a number. What JSON cannot represent becomes the word that AWS's JSON protocols use for
/// it.
fn float(value: f64) -> Value {
    Number::from_f64(value).map_or_else(
        || {
            let word = if value.is_nan() {
                "NaN"
            } else if value > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            };
            Value::from(word)
        },
        Value::Number,
    )
}

/// Encodes any value as CBOR.
pub fn to_bytes(value: &impl Serialize) -> Vec<u8> {
    let mut body = Vec::new();
    // Writing to memory cannot fail, and all values here can be encoded.
    if let Err(error) = ciborium::into_writer(value, &mut body) {
        tracing::error!(%error, "could not encode a response as CBOR");
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn timestamps_are_tagged_in_responses_and_plain_in_requests() {
        let value = json!({"Timestamps": [1.5, 2.0], "Values": [1.0], "Id": "m1", "Count": 3, "Flag": true});
        let body = RPC_V2.encode(&value);
        let raw: Cbor = ciborium::from_reader(body.as_slice()).unwrap();
        let Cbor::Map(members) = &raw else { panic!("{raw:?}") };
        let timestamps = &members.iter().find(|(name, _)| name.as_text() == Some("Timestamps")).unwrap().1;
        assert_eq!(
            timestamps,
            &Cbor::Array(vec![
                Cbor::Tag(1, Box::new(Cbor::Float(1.5))),
                Cbor::Tag(1, Box::new(Cbor::Float(2.0)))
            ])
        );
        assert_eq!(RPC_V2.decode(&body).unwrap(), value);
    }

    #[test]
    fn non_json_numbers_decode_to_words_and_blobs_to_base64() {
        let body = to_bytes(&Cbor::Map(vec![
            (Cbor::from("Value"), Cbor::Float(f64::NAN)),
            (Cbor::from("Blob"), Cbor::Bytes(vec![1, 2])),
        ]));
        assert_eq!(RPC_V2.decode(&body).unwrap(), json!({"Value": "NaN", "Blob": "AQI="}));
    }

    #[test]
    fn a_body_that_is_not_a_map_is_rejected() {
        for body in [&[0x01][..], &[0xff], &[0xa1, 0x01, 0x01], &[0xa1]] {
            assert_eq!(RPC_V2.decode(body).unwrap_err().code, "SerializationException", "{body:?}");
        }
        assert_eq!(RPC_V2.decode(b"").unwrap(), json!({}));
    }

    #[test]
    fn no_output_is_an_empty_map_and_errors_have_a_shape_id() {
        assert_eq!(RPC_V2.encode(&Value::Null), [0xa0]);
        let error = AwsError::client("DashboardNotFoundError", "Dashboard a does not exist");
        assert_eq!(
            RPC_V2.decode(&RPC_V2.encode_error(&error)).unwrap(),
            json!({"__type": "com.amazonaws.cloudwatch#DashboardNotFoundError", "message": "Dashboard a does not exist"})
        );
    }

    #[test]
    fn kinesis_timestamps_are_milliseconds_and_blobs_are_bytes() {
        let value = json!({"Records": [{
            "ApproximateArrivalTimestamp": 1_600_000_000.123, "Data": "AQI=", "PartitionKey": "AQI="
        }]});
        let raw: Cbor = ciborium::from_reader(KINESIS.encode(&value).as_slice()).unwrap();
        let record = Cbor::Map(vec![
            (
                Cbor::from("ApproximateArrivalTimestamp"),
                Cbor::Tag(1, Box::new(Cbor::from(1_600_000_000_123_i64))),
            ),
            (Cbor::from("Data"), Cbor::Bytes(vec![1, 2])),
            (Cbor::from("PartitionKey"), Cbor::from("AQI=")),
        ]);
        assert_eq!(raw, Cbor::Map(vec![(Cbor::from("Records"), Cbor::Array(vec![record]))]));
        assert_eq!(KINESIS.decode(&KINESIS.encode(&value)).unwrap(), value);
        // Jackson's maps have indefinite length: 0xbf … 0xff.
        let filter =
            [&[0xbf, 0x69][..], b"Timestamp", &[0xc1, 0x1b], &1_600_000_000_123_u64.to_be_bytes(), &[0xff]];
        assert_eq!(KINESIS.decode(&filter.concat()).unwrap(), json!({"Timestamp": 1_600_000_000.123}));
        let untagged = to_bytes(&Cbor::Map(vec![(Cbor::from("Timestamp"), Cbor::from(1500))]));
        assert_eq!(KINESIS.decode(&untagged).unwrap(), json!({"Timestamp": 1.5}));
    }

    #[test]
    fn kinesis_has_empty_bodies_and_errors_without_a_namespace() {
        assert_eq!(KINESIS.encode(&Value::Null), b"");
        let error = AwsError::client("ResourceNotFoundException", "Stream a not found.");
        assert_eq!(
            KINESIS.decode(&KINESIS.encode_error(&error)).unwrap(),
            json!({"__type": "ResourceNotFoundException", "message": "Stream a not found."})
        );
    }
}

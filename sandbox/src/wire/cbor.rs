//! Smithy rpc-v2-cbor, as CloudWatch speaks it with the Rust SDK. In: CBOR bytes or the services' shapes. Out: the other. No I/O.
//!
//! Instants travel as tag 1 (epoch seconds); services see and give them as plain numbers, so on the way out the members that
//! hold instants are known by name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ciborium::Value as Cbor;
use serde_json::{Map, Number, Value};

use crate::service::AwsError;

/// The media type of requests and answers.
pub const CONTENT_TYPE: &str = "application/cbor";

/// RFC 8949, 3.4.2.
const EPOCH_SECONDS: u64 = 1;

/// Whether the member of that name holds an instant, or a list of them, in an answer of CloudWatch.
pub(super) fn holds_instants(member: &str) -> bool {
    matches!(member, "Timestamp" | "Timestamps" | "LastModified" | "StartTime" | "EndTime")
}

/// The request's members. An empty body is an empty object.
pub fn decode(body: &[u8]) -> Result<Value, AwsError> {
    if body.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let refused = |why: String| AwsError::client("SerializationException", why);
    let cbor: Cbor = ciborium::from_reader(body).map_err(|error| refused(error.to_string()))?;
    match shape(cbor).map_err(|why| refused(why.to_owned()))? {
        object @ Value::Object(_) => Ok(object),
        _ => Err(refused("the body is not a map".to_owned())),
    }
}

fn shape(cbor: Cbor) -> Result<Value, &'static str> {
    Ok(match cbor {
        Cbor::Null => Value::Null,
        Cbor::Bool(value) => Value::Bool(value),
        Cbor::Text(text) => Value::String(text),
        Cbor::Bytes(bytes) => Value::String(STANDARD.encode(bytes)),
        Cbor::Float(value) => float(value),
        Cbor::Integer(value) => {
            let value = i128::from(value);
            i64::try_from(value)
                .map(Number::from)
                .or_else(|_| u64::try_from(value).map(Number::from))
                .map_or(Err("an integer does not fit"), |number| Ok(Value::Number(number)))?
        }
        Cbor::Tag(EPOCH_SECONDS, inner) => shape(*inner)?,
        Cbor::Array(items) => items.into_iter().map(shape).collect::<Result<_, _>>()?,
        Cbor::Map(entries) => {
            let mut members = Map::new();
            for (key, value) in entries {
                let Cbor::Text(key) = key else { return Err("a member's name is not text") };
                members.insert(key, shape(value)?);
            }
            Value::Object(members)
        }
        _ => return Err("a value of a kind that is not used"),
    })
}

/// A number; what JSON cannot hold becomes the word that AWS's JSON protocols use for it.
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

/// The answer's body. Operations without output answer with an empty map.
pub fn encode(_operation: &str, value: &Value) -> Vec<u8> {
    match value {
        Value::Null => bytes(&Cbor::Map(Vec::new())),
        value => bytes(&cbor(value, false)),
    }
}

/// An error's body: its absolute shape id and its text.
pub fn encode_error(error: &AwsError) -> Vec<u8> {
    bytes(&Cbor::Map(vec![
        (Cbor::from("__type"), Cbor::from(format!("com.amazonaws.cloudwatch#{}", error.code))),
        (Cbor::from("message"), Cbor::from(error.message.as_str())),
    ]))
}

fn cbor(value: &Value, instant: bool) -> Cbor {
    match value {
        Value::Null => Cbor::Null,
        Value::Bool(value) => Cbor::Bool(*value),
        Value::String(text) => Cbor::Text(text.clone()),
        Value::Array(items) => Cbor::Array(items.iter().map(|item| cbor(item, instant)).collect()),
        Value::Object(members) => Cbor::Map(
            members
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (Cbor::from(name.as_str()), cbor(value, holds_instants(name))))
                .collect(),
        ),
        Value::Number(number) => {
            let plain = match (number.as_i64(), number.as_u64()) {
                (Some(integer), _) => Cbor::from(integer),
                (None, Some(integer)) => Cbor::from(integer),
                (None, None) => Cbor::Float(number.as_f64().unwrap_or_default()),
            };
            if instant { Cbor::Tag(EPOCH_SECONDS, Box::new(plain)) } else { plain }
        }
    }
}

fn bytes(value: &Cbor) -> Vec<u8> {
    let mut body = Vec::new();
    // Writing to memory cannot fail, and a value built here holds nothing that has no encoding.
    if let Err(error) = ciborium::into_writer(value, &mut body) {
        tracing::error!(%error, "could not encode an answer as cbor");
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn instants_are_tagged_on_the_way_out_and_plain_on_the_way_in() {
        let value = json!({"Timestamps": [1.5, 2.0], "Values": [1.0], "Id": "m1", "Count": 3, "Flag": true});
        let body = encode("GetMetricData", &value);
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
        assert_eq!(decode(&body).unwrap(), value);
    }

    #[test]
    fn what_json_cannot_hold_arrives_as_a_word_and_blobs_as_base64() {
        let body = bytes(&Cbor::Map(vec![
            (Cbor::from("Value"), Cbor::Float(f64::NAN)),
            (Cbor::from("Blob"), Cbor::Bytes(vec![1, 2])),
        ]));
        assert_eq!(decode(&body).unwrap(), json!({"Value": "NaN", "Blob": "AQI="}));
    }

    #[test]
    fn what_is_no_map_is_refused() {
        for body in [&[0x01][..], &[0xff], &[0xa1, 0x01, 0x01], &[0xa1]] {
            assert_eq!(decode(body).unwrap_err().code, "SerializationException", "{body:?}");
        }
        assert_eq!(decode(b"").unwrap(), json!({}));
    }

    #[test]
    fn no_output_is_an_empty_map_and_errors_carry_their_shape_id() {
        assert_eq!(encode("PutMetricData", &Value::Null), [0xa0]);
        let error = AwsError::client("DashboardNotFoundError", "Dashboard a does not exist");
        assert_eq!(
            decode(&encode_error(&error)).unwrap(),
            json!({"__type": "com.amazonaws.cloudwatch#DashboardNotFoundError", "message": "Dashboard a does not exist"})
        );
    }
}

//! AWS JSON 1.1: request and response bodies, and errors (`__type` and `message`). No I/O.

use serde_json::{Value, json};

use crate::call::AwsError;

/// The media type of requests and responses.
pub const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// Decodes a request's members. An empty body is an empty object, since SDKs send it for operations
/// without input.
pub fn decode(body: &[u8]) -> Result<Value, AwsError> {
    if body.is_empty() {
        return Ok(json!({}));
    }
    match serde_json::from_slice(body) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) | Err(_) => Err(AwsError::client("SerializationException", "")),
    }
}

/// Encodes a response body, which is empty for operations without output.
pub fn encode(value: &Value) -> Vec<u8> {
    match value {
        Value::Null => Vec::new(),
        value => value.to_string().into_bytes(),
    }
}

/// Encodes an error's body. Only `SerializationException` spells the member `Message`, and omits it
/// if the message is empty.
pub fn encode_error(error: &AwsError) -> Vec<u8> {
    let mut body = serde_json::Map::from_iter([("__type".to_owned(), json!(error.code))]);
    if !error.message.is_empty() {
        let member = if error.code == "SerializationException" { "Message" } else { "message" };
        body.insert(member.to_owned(), json!(error.message));
    }
    Value::Object(body).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_not_an_object_is_rejected() {
        for body in ["[]", "1", "{", "null"] {
            assert_eq!(decode(body.as_bytes()).unwrap_err().code, "SerializationException", "{body}");
        }
        assert_eq!(decode(b"").unwrap(), json!({}));
    }

    #[test]
    fn errors_name_their_type_and_text() {
        let error = AwsError::client("ResourceNotFoundException", "Stream a under account 0 not found.");
        let body: Value = serde_json::from_slice(&encode_error(&error)).unwrap();
        assert_eq!(
            body,
            json!({"__type": "ResourceNotFoundException", "message": "Stream a under account 0 not found."})
        );
        let silent = AwsError::client("SerializationException", "");
        assert_eq!(encode_error(&silent), br#"{"__type":"SerializationException"}"#);
    }

    #[test]
    fn operations_without_output_have_an_empty_body() {
        assert_eq!(encode(&Value::Null), b"");
        assert_eq!(encode(&json!({})), b"{}");
    }
}

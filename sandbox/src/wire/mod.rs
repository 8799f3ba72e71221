//! The wire formats, translated to and from the shapes that services see. No I/O.
//!
//! The door calls, for each format:
//!
//! ```text
//! json::decode(body) -> Result<Value, AwsError>          json::encode(&value) -> Vec<u8>     json::encode_error(&error) -> Vec<u8>
//! cbor::decode(body) -> Result<Value, AwsError>          cbor::encode(operation, &value) -> Vec<u8>      cbor::encode_error(&error) -> Vec<u8>
//! query::decode(body) -> Result<(String, Value), AwsError>   (the operation and its members)
//! query::encode(service, operation, &value, request_id) -> Vec<u8>   query::encode_error(service, &error, request_id) -> Vec<u8>
//! ```

pub mod cbor;
pub mod json;
pub mod query;

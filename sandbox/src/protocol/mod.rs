//! The wire formats, converted to and from the values that services use. No I/O.
//!
//! `http` calls, for each format:
//!
//! ```text
//! json::decode(body) -> Result<Value, AwsError>
//! json::encode(&value) -> Vec<u8>
//! json::encode_error(&error) -> Vec<u8>
//! cbor::RPC_V2 and cbor::KINESIS: the same, as methods
//! query::decode(body) -> Result<(String, Value), AwsError>   (the operation and its members)
//! query::encode(service, operation, &value, request_id) -> Vec<u8>
//! query::encode_error(service, &error, request_id) -> Vec<u8>
//! ```

pub mod cbor;
pub mod json;
pub mod query;

use serde::Serialize;
use serde_json::Value;

use crate::call::AwsError;

/// The encoding of Kinesis's bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// AWS JSON 1.1.
    Json,
    /// The same in CBOR.
    Cbor,
}

impl Encoding {
    /// Decodes a request's members.
    pub fn decode(self, body: &[u8]) -> Result<Value, AwsError> {
        match self {
            Self::Json => json::decode(body),
            Self::Cbor => cbor::KINESIS.decode(body),
        }
    }

    /// Encodes a response without timestamps and bytes.
    pub fn write(self, response: &impl Serialize) -> Result<Vec<u8>, AwsError> {
        match self {
            Self::Json => serde_json::to_vec(response).map_err(|error| AwsError {
                status: 500,
                code: "InternalFailure".to_owned(),
                message: error.to_string(),
            }),
            Self::Cbor => Ok(cbor::to_bytes(response)),
        }
    }
}

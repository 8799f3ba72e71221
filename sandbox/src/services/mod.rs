//! What every modelled AWS service looks like to the front door: one operation in, one answer or one AWS error out.
//!
//! The wire formats (JSON 1.1, rpc-v2-cbor, query) are translated at the door, so a service sees the same shapes whatever
//! the client spoke: objects with AWS's member names, timestamps as epoch seconds, blobs as base64.
//!
//! Time: `Call::now` is model time and drives delays. Callers compare what they read with their own clocks, so an instant
//! that a service reports goes through `clock::ModelClock::wall_at` first; data a caller stamped itself stays as it is.
//! Services take `(ModelClock, …)` in `new` and are registered in `start.rs` under their signing name (`registry.rs`).

pub mod cloudwatch;
pub mod ecs;
pub mod kinesis;
pub mod logs;
pub mod scaling;
pub mod ssm;
pub mod sts;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use crate::operations::Operation;

/// Who calls, as far as the sandbox tells callers apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The account the sandbox claims to be (`--account`).
    pub account: String,
    /// The region of the request's SigV4 credential scope.
    pub region: String,
}

/// One API call, after authentication and decoding.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// The operation's name, as in `CreateStream`.
    pub operation: &'a str,
    /// The request's members.
    pub input: &'a Value,
    /// Who calls.
    pub caller: &'a Caller,
    /// The model's time (it may run faster than the wall clock).
    pub now: Timestamp,
}

/// An error as AWS returns it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct AwsError {
    /// The HTTP status.
    pub status: u16,
    /// The error's code, as in `ResourceNotFoundException`.
    pub code: String,
    /// The text for people.
    pub message: String,
}

impl AwsError {
    /// An error that blames the request (HTTP 400).
    pub fn client(code: &str, message: impl Into<String>) -> Self {
        Self { status: 400, code: code.to_owned(), message: message.into() }
    }
}

/// One modelled service.
#[async_trait]
pub trait Service: Send + Sync {
    /// What it offers: requests are checked by this table first. `None`: it checks them itself.
    fn operations(&self) -> Option<&'static [Operation]> {
        None
    }

    /// Performs one operation.
    async fn call(&self, call: Call<'_>) -> Result<Value, AwsError>;

    /// Everything the service holds, for `GET /_sandbox/state`.
    fn state(&self, now: Timestamp) -> Value;
}

//! The common interface of the modelled AWS services to `http`: one operation in, one response or
//! one AWS error out.
//!
//! `protocol` translates the wire formats (JSON 1.1, rpc-v2-cbor, query), so a service sees the
//! same shapes for every client: objects with AWS's member names, timestamps as epoch seconds,
//! blobs as base64.
//!
//! Time: `Call::now` is model time and determines delays. Callers compare timestamps with their own
//! clocks, so a service converts each instant that it returns with `clock::ModelClock::wall_at`.
//! Timestamps that a caller supplied stay unchanged. Services take `(ModelClock, …)` in `new` and
//! are registered in `start.rs` under their signing name (`registry.rs`).

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

/// The caller's account and region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The configured account (`--account`).
    pub account: String,
    /// The region of the request's SigV4 credential scope.
    pub region: String,
}

/// One API call, after authentication and decoding.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// The operation's name, such as `CreateStream`.
    pub operation: &'a str,
    /// The request's members.
    pub input: &'a Value,
    /// The caller.
    pub caller: &'a Caller,
    /// Model time, which may run faster than the wall clock.
    pub now: Timestamp,
}

/// An error as AWS returns it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct AwsError {
    /// The HTTP status.
    pub status: u16,
    /// The error's code, such as `ResourceNotFoundException`.
    pub code: String,
    /// The human-readable text.
    pub message: String,
}

impl AwsError {
    /// A client error (HTTP 400).
    pub fn client(code: &str, message: impl Into<String>) -> Self {
        Self { status: 400, code: code.to_owned(), message: message.into() }
    }
}

/// One modelled service.
#[async_trait]
pub trait Service: Send + Sync {
    /// The supported operations, against which requests are checked first. `None` if the service
    /// checks requests itself.
    fn operations(&self) -> Option<&'static [Operation]> {
        None
    }

    /// Performs one operation.
    async fn call(&self, call: Call<'_>) -> Result<Value, AwsError>;

    /// The complete state of the service, for `GET /_sandbox/state`.
    fn state(&self, now: Timestamp) -> Value;
}

//! One call of an AWS API: who calls, what, and the error that AWS returns. Every other module may
//! use these types; they use none. No I/O.

use jiff::Timestamp;
use serde_json::Value;

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
    /// The request's parameters.
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

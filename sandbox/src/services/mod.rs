//! The modelled AWS services, and their common interface to `http`: one operation in, one response
//! or one AWS error out.
//!
//! # The layout of a service
//!
//! Every service has the same files, so that who knows one of them finds everything in another:
//!
//! - `mod.rs`: what the service is; its state behind a lock; which function performs which
//!   operation; its background loop, if it has one.
//! - `request.rs`: a call with its times, and what its operations read from it alike: names, ARNs,
//!   pages.
//! - `state.rs`: what exists, by region, and how it changes with time alone.
//! - `ops/`: one file for each operation or group of related operations: parse, act, answer.
//!   `ops/mod.rs` is the table of the operations and of how each of their parameters is treated.
//! - `errors.rs`: the service's error codes and messages.
//! - `view.rs`: how state becomes a response, and `GET /_sandbox/state`.
//! - `model/`: rules of AWS that need a model of their own, such as how Kinesis scales. Pure: it
//!   knows neither the service's state nor its requests.
//!
//! Files depend on those below them only: `mod` → `ops` → `view`, `request` → `state` → `model`,
//! `errors`. A large file becomes a folder of the same name (`ecs/state/`). A service of one
//! operation is one file (`sts.rs`). Tests of a whole service are in its `tests.rs`; tests of a
//! file are in the file.
//!
//! No service uses the code of another. What they do for each other is in `integrations`. What they
//! share is below them: `call`, `clock`, `parameters` (types, tags, instants), `operations` (the
//! tables), `arn`, `paging`, `token_bucket`.
//!
//! # What a service sees
//!
//! `protocol` translates the wire formats (JSON 1.1, rpc-v2-cbor, query), so a service sees the
//! same shapes for every client: objects with AWS's parameter names, timestamps as epoch seconds,
//! blobs as base64.
//!
//! Time: `Call::now` is model time and determines delays. Callers compare timestamps with their own
//! clocks, so a service converts each instant that it returns with `clock::ModelClock::wall_at`.
//! Timestamps that a caller supplied stay unchanged. Services take `(ModelClock, …)` in `new` and
//! are registered in `start.rs` under their signing name (`registry.rs`).

pub mod cloudwatch;
pub mod ecs;
pub mod integrations;
pub mod kinesis;
pub mod logs;
pub mod scaling;
pub mod ssm;
pub mod sts;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use crate::call::{AwsError, Call};
use crate::operations::Operation;

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

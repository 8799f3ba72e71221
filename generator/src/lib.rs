//! The generator: the main process of an ECS task. It publishes posts to Kinesis at exactly the
//! rate that the control document requests.
//!
//! ```text
//!             reader (SSM) ──► documents        clock
//!                                  │              │
//!                                  ▼              ▼
//! SIGTERM ──► worker ───────────► gate ── due ──► pacer ── batches ──► dispatcher ──► Kinesis
//!               │                 (api, pure)    payload              retries, limits
//!               └── ledger lines ◄──────── recorder ◄─────────────────────┘
//!                    (stdout)                  └──► metrics (CloudWatch)
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod args;
pub mod aws;
pub mod batch;
pub mod clock;
pub mod dispatcher;
pub mod error;
#[cfg(test)]
mod fake;
pub mod ledger_writer;
pub mod metadata;
pub mod metrics;
pub mod pacer;
pub mod payload;
pub mod reader;
pub mod recorder;
pub mod sender;
mod start;
pub mod worker;

pub use start::run;

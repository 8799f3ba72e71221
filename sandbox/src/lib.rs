//! A local AWS on loopback: it accepts real AWS request formats and models how Kinesis on-demand
//! streams scale.
//!
//! ```text
//! request ─► http (key, operation) ─► faults ─► limits ─► service ─► wire format ─► response
//!                                                                     │
//!                               admin API (/_sandbox/…) ◄── ingest statistics, state, calls
//! ```
//!
//! `docs/sandbox.md` lists what is modelled and what is not.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod access;
pub mod admin;
pub mod args;
pub mod arn;
pub mod call;
pub mod calls;
pub mod clock;
pub mod constraints;
pub mod faults;
pub mod http;
pub mod ingest_statistics;
pub mod limits;
pub mod models;
pub mod operations;
pub mod options;
pub mod paging;
pub mod parameters;
pub mod protocol;
pub mod publish;
pub mod recording;
pub mod registry;
pub mod services;
pub mod start;
pub mod task_runner;
pub mod tls;
pub mod token_bucket;

pub use options::Options;
pub use start::{Running, Sandbox};

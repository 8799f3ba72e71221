//! The KinesisDemo operator.
//!
//! ```text
//!             reads only              no I/O                 writes only           writes only
//!  object ──► observe ──► Observed ──► decide ──► Decision ──► act ──► refusal? ──► report
//!               ▲  (includes now)        ▲                                            │
//!               │                        └── Plan ◄── plan(spec)                      ▼
//!          Aws, Clock                                               status, events, finalizer, next wake
//! ```
//!
//! `run` is one pass over one object; `controller` calls it; `start` constructs everything. `aws`, `cluster` and `registry` hold
//! the outside at arm's length, each behind narrow traits with a fake that is a small world.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod admin;
pub mod api_server;
pub mod aws;
pub mod check;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod controller;
pub mod crd;
pub mod drain;
pub mod lease;
pub mod metrics;
pub mod registry;
pub mod run;
pub mod settings;
pub mod start;
pub mod telemetry;
pub mod tenure;

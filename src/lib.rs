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
//! `reconcile` is one reconcile of one object; `controller` calls it; `start` constructs everything. `aws`, `kubernetes` and `registry` hold
//! the outside at arm's length, each behind narrow traits with a fake that is a small world.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod admin;
pub mod aws;
pub mod check;
pub mod cli;
pub mod clock;
pub mod controller;
pub mod crd;
pub mod drain;
pub mod kubernetes;
pub mod metrics;
pub mod reconcile;
pub mod registry;
pub mod settings;
pub mod start;
pub mod telemetry;

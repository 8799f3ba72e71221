//! The KinesisDemo operator.
//!
//! ```text
//!             reads only                  no I/O                 writes only        writes only
//!  object ──► observe ──► ObservedState ──► decide ──► Decision ──► act ──► outcome ──► report
//!               ▲  (includes the time)        ▲                                           │
//!               │                             └── Plan ◄── plan(spec)                     ▼
//!          Aws, Clock                                           status, events, finalizer, requeue
//! ```
//!
//! `reconcile` is one reconcile of one object; `controller` calls it; `start` constructs
//! everything. `aws`, `kubernetes` and `registry` isolate the external systems behind narrow
//! traits; the crate `testing` has an in-memory double of each.
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
pub mod write_fence;

//! A local AWS on loopback: real request formats at the door, a model of Kinesis on-demand scaling behind it.
//!
//! ```text
//! request ─► door (whose key, which service, which operation) ─► faults ─► limits ─► service ─► wire format ─► answer
//!                                                                                 │
//!                                        observer (/_sandbox/…) ◄── arrivals, state, calls
//! ```
//!
//! What is modelled and what is not: `docs/sandbox.md`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod access;
pub mod admin;
pub mod args;
pub mod calls;
pub mod clock;
pub mod faults;
pub mod http;
pub mod ingest_statistics;
pub mod limits;
pub mod operations;
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

pub use start::{Options, Running, Sandbox};

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
pub mod args;
pub mod arn;
pub mod arrivals;
pub mod calls;
pub mod clock;
pub mod cloudwatch;
pub mod connections;
pub mod constraints;
pub mod door;
pub mod ecs;
pub mod faults;
pub mod kinesis;
pub mod limits;
pub mod logs;
pub mod members;
pub mod models;
pub mod observer;
pub mod operations;
pub mod paging;
pub mod publish;
pub mod recording;
pub mod registry;
pub mod scaling;
pub mod service;
pub mod ssm;
pub mod start;
pub mod sts;
pub mod tls;
pub mod wire;

pub use start::{Options, Running, Sandbox};

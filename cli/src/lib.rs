//! The command line for KinesisDemo objects, and the local demo.
//!
//! ```text
//! command_line ─► commands (list, watch, start, stop, rerun, logs …) ─► cluster ─► API server
//!     │      └─► (report, compare) ─► runs ─► API server, files
//!     ├─► foundation ─► CloudFormation, ECS
//!     └─► demo ─► kinesis_demo_local_cluster: API server, operator, sandbox ─► report
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod args;
pub mod cluster;
pub mod command_line;
pub mod commands;
pub mod demo;
pub mod error;
pub mod exit_status;
pub mod field_managers;
pub mod follow;
#[cfg(feature = "foundation")]
pub mod foundation;
pub mod manifest;
pub mod output;
pub mod render;
pub mod run_name;
pub mod runs;
pub mod screen;

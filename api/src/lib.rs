//! Types that the operator, the generator, the sandbox's tests and the command line share. Pure: no client, no clock, no I/O
//! (but for `kubeconfig`, which reads the files that a kubeconfig names).
//!
//! ```text
//! demo        the custom resource: spec, status, stages        conditions  their types, reasons and set rules
//! plan        spec → checked Plan                              schedule    legs, integrals, shares; integers only
//! timeline    plan placed on the clock                         control     the document tasks obey, and how
//! ledger      what a task says it sent                         books       scheduled against offered
//! stops       stretches in which the schedule stood still
//! time        instants as the API stores them                  duration    "1m30s" in manifests
//! allowance   what specs may name besides the operator's own   request     what the request annotation asks for
//! schema      the definition's schema in words that every reader knows
//! proxy       which proxy stands before a Kubernetes API server
//! kubeconfig  how to reach the server that a kubeconfig names
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod accounting;
pub mod allow_list;
pub mod conditions;
pub mod control;
pub mod demo;
pub mod duration;
pub mod interruptions;
pub mod kubeconfig;
pub mod ledger;
pub mod plan;
pub mod proxy;
pub mod request;
pub mod schedule;
pub mod schema;
pub mod status;
pub mod time;
pub mod timeline;

pub use demo::{KinesisDemo, KinesisDemoSpec};
pub use status::{KinesisDemoStatus, Stage};
pub use time::MicroTime;

//! Types that the operator, the generator, the command line and the sandbox's tests share. Pure: no
//! client, no clock, no I/O, except that `kubeconfig` reads the files that a kubeconfig names.
//!
//! ```text
//! demo           the custom resource: spec and status  request     the request annotation
//! conditions     their types, reasons, update rules    record_size how large the records are
//! plan           spec → checked Plan                   schedule    rates → record counts, shares
//! limits         what an operator allows a plan to ask for
//! timeline       the plan placed on the clock          ledger      what each task reports it sent
//! control        the control document that tasks obey, and the gate that applies it
//! accounting     scheduled records against offered records
//! interruptions  intervals in which the schedule was paused
//! time           instants as the API stores them       duration    "1m30s" in manifests
//! allow_list     images and networks that a spec may name
//! aws_error      the classes of AWS errors, by code
//! error_chain    an error with all its causes, as one line
//! backoff        how long to wait before a retry
//! schema         the CRD's schema as API server and client generators need it
//! run_record     the second custom resource: how a run went over time
//! proxy          which proxy leads to a Kubernetes API server
//! kubeconfig     how to reach the server that a kubeconfig names
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod accounting;
pub mod allow_list;
pub mod aws_error;
pub mod backoff;
pub mod conditions;
pub mod control;
pub mod demo;
pub mod duration;
pub mod error_chain;
pub mod interruptions;
pub mod kubeconfig;
pub mod ledger;
pub mod limits;
pub mod plan;
pub mod proxy;
pub mod record_size;
pub mod request;
pub mod run_record;
pub mod schedule;
pub mod schema;
pub mod time;
pub mod timeline;

pub use demo::status::{self, KinesisDemoStatus, Stage};
pub use demo::{KinesisDemo, KinesisDemoSpec};
pub use run_record::{KinesisDemoRun, KinesisDemoRunSpec, KinesisDemoRunStatus};
pub use time::MicroTime;

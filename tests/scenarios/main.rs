//! Scenario tests: whole runs against an in-process fake AWS and a fake Kubernetes API, on a manual
//! clock. Hours pass in milliseconds, and every fault can be injected.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod cohort;
mod cohort_harness;
mod cost;
mod crashes;
mod dashboard;
mod disruptions;
mod endings;
mod fault_table;
mod faults;
mod forgeries;
mod hand_changes;
mod harness;
mod lifecycle;
mod lists;
mod new_account;
mod post_mortem;
mod preflight;
mod properties;
mod queue;
mod records;
mod removals;

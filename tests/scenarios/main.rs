//! Whole runs against a small AWS and a small Kubernetes inside the process, on a clock that is set by hand: hours pass in
//! milliseconds, and every accident can be arranged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod accidents;
mod crashes;
mod dashboard;
mod endings;
mod fault_table;
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
mod removals;
mod truth;

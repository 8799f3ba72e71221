//! One file per group of verbs: the requests to the cluster, and the output.

pub mod cleanup;
pub mod estimate;
pub mod logs;
pub mod report;
pub mod requests;
pub mod show;
pub mod start;

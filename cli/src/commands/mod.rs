//! One file per group of verbs: what a verb asks the cluster for, and what it prints.

pub mod cleanup;
pub mod logs;
pub mod requests;
pub mod show;
pub mod start;

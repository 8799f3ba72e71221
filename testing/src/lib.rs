//! Test doubles of the operator's surroundings: AWS, the Kubernetes API, container registries and
//! the clock, each simulated in memory behind the operator's own traits. Also the assertion that
//! every run's totals must pass.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod aws;
pub mod clock;
pub mod conformance;
pub mod kubernetes;
pub mod registry;
pub mod totals;

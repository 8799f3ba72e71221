//! Test doubles of the operator's surroundings: AWS, the Kubernetes API, container registries and
//! the clock, each simulated in memory behind the operator's own traits. Also the settings of the
//! operator in tests, what tests with a real cluster need (its KinesisDemos), the assertion that
//! every run's totals must pass, and how tests wait.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod aws;
pub mod clock;
pub mod conformance;
pub mod demos;
pub mod kubernetes;
pub mod registry;
pub mod settings;
pub mod totals;
pub mod wait;

//! Test doubles of the operator's surroundings: AWS, the Kubernetes API, container registries and
//! the clock. Each simulates its system in memory behind the operator's own traits.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod aws;
pub mod clock;
pub mod kubernetes;
pub mod registry;

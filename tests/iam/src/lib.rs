//! Judges AWS calls by the IAM policies that `foundation/iam` ships. In: calls, as recorded or as written down. Out: for each, which
//! permissions it needs and which of them the caller lacks. Reads files of the repository; calls nobody.
//!
//! A call goes through three steps: `needs` says what AWS checks for it (one call may need several actions, on several resources),
//! `reference` leaves in the context only those condition keys that AWS knows for the action and resource, and `judge` evaluates the policies
//! (with the crate `iam-rs`, which knows nothing of particular services).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod call;
pub mod needs;
pub mod policies;
pub mod policy_evaluator;
pub mod reference;
pub mod template;
pub mod world;

pub use call::{Call, Principal};
pub use policies::Deployment;
pub use policy_evaluator::{PolicyEvaluator, Refusal};
pub use world::ResourceTags;

/// The repository's root.
pub fn repository() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

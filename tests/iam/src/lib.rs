//! Evaluates AWS calls against the IAM policies in `foundation/iam`. In: calls, recorded or written
//! by hand. Out: for each call, the permissions it needs and those that the caller lacks. Reads
//! files of the repository and makes no network calls.
//!
//! A call goes through three steps. `needs` returns what AWS checks for it (one call may need
//! several actions, on several resources). `reference` keeps only the condition keys that AWS
//! offers for the action and resource. `policy_evaluator` evaluates the policies with the crate
//! `iam-rs`, which knows nothing about particular services.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod call;
pub mod needs;
pub mod policies;
pub mod policy_evaluator;
pub mod reference;
pub mod resource_tags;
pub mod template;

pub use call::{Call, Principal};
pub use policies::Deployment;
pub use policy_evaluator::{PolicyEvaluator, Refusal};
pub use resource_tags::ResourceTags;

/// The repository's root.
pub fn repository() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

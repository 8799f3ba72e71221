//! End-to-end tests with real programs: an API server with RBAC, the operator under its own role,
//! the sandbox, generator processes. They need the programs in the target folder (`make test`
//! builds them) and an API server. Without these, each test prints why it is skipped and passes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod boundaries;
mod by_hand;
mod control_reads;
mod deletion;
mod demo;
mod faults;
mod fresh_account;
mod hand_changes;
mod kills;
mod local_stack;
mod objects;
mod permissions;
mod proxy;
mod refusals;
mod tasks_that_fail;
mod unparseable_objects;

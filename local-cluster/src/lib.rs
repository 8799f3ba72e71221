//! A local cluster: a real Kubernetes API server, the operator and the local AWS, as child
//! processes. The demo and the tests of all crates use it.
//!
//! ```text
//! kubernetes: etcd, kube-apiserver (or kind), definition, operator's role ─┐
//! programs: the operator, the sandbox ────────────────────────────────────┴─► processes ─► state
//! sandbox: a client of its admin API, and what follows from its responses
//! ```
//!
//! In: the folder that `--state` names. Out: an API server with RBAC, kubeconfigs for an
//! administrator and for the operator's own identity, and our programs. Stopping removes all of it.
//! Everything here has side effects (files in one folder, processes, loopback ports) except
//! [`kubernetes::certificates`], [`kubernetes::kubeconfig`], [`shell`], [`sandbox::boundaries`],
//! [`sandbox::leaked_resources`], and the decision of [`processes::record`] which processes may be
//! killed.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod error;
pub mod kubernetes;
pub mod private_files;
pub mod processes;
pub mod programs;
pub mod progress;
pub mod sandbox;
pub mod shell;
pub mod state;
pub mod tls;

pub use error::LocalClusterError;
pub use kubernetes::api_server::{ApiServer, ApiServerOptions};
pub use processes::supervisor::{Lifetime, Supervisor};
pub use progress::{Progress, silent};

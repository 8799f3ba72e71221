//! Errors of a reconcile. In: what failed. Out: a fixed word for metrics and a retry class. Waiting
//! is not an error: it is a decision with a wake-up time.

use std::time::Duration;

use kinesis_demo_api::conditions::Reason;

use crate::aws::{AwsError, AwsErrorClass};
use crate::kubernetes::ClusterError;

/// Why a reconcile failed.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The Kubernetes API rejected a write.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The object lacks a field that every stored object has.
    #[error("read object: it has no {0}")]
    Malformed(&'static str),
}

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// After this time.
    After(Duration),
    /// With per-object exponential backoff and jitter.
    Backoff,
}

impl ReconcileError {
    /// A fixed word for metrics.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Cluster(ClusterError::Conflict { .. }) => "conflict",
            Self::Cluster(ClusterError::NotFound { .. }) => "not_found",
            Self::Cluster(ClusterError::Other { .. }) => "kubernetes",
            Self::Malformed(_) => "malformed",
        }
    }

    /// When to try again.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Cluster(ClusterError::Conflict { .. }) => Retry::After(Duration::from_secs(1)),
            Self::Cluster(_) | Self::Malformed(_) => Retry::Backoff,
        }
    }
}

/// The condition reason for an AWS error. If AWS does not see a new resource yet, it has responded,
/// so that is `RequestRefused`.
pub fn reason(error: &AwsError) -> Reason {
    match error.class {
        AwsErrorClass::Transient if error.is_not_seen_yet() => Reason::RequestRefused,
        AwsErrorClass::Denied => Reason::AccessDenied,
        AwsErrorClass::Quota => Reason::QuotaExceeded,
        AwsErrorClass::Throttled => Reason::Throttled,
        AwsErrorClass::Invalid | AwsErrorClass::NotFound | AwsErrorClass::AlreadyExists => {
            Reason::RequestRefused
        }
        AwsErrorClass::Transient => Reason::AwsUnavailable,
    }
}

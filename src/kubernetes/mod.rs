//! The Kubernetes API: a reconcile's writes, and its check of the Lease. Objects are read through
//! the watch.

pub mod client;
pub mod events;
pub mod lease;
pub mod run_records;
pub mod writer;

use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use kinesis_demo_api::{KinesisDemo, KinesisDemoStatus};

use events::RunEvent;
use run_records::RunRecords;

/// The time limit of one request.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The result of a request, or an error after `limit`: kube has no read timeout by default.
pub async fn within<T>(
    limit: Duration,
    request: impl Future<Output = Result<T, ::kube::Error>>,
) -> Result<T, ::kube::Error> {
    match tokio::time::timeout(limit, request).await {
        Ok(result) => result,
        Err(elapsed) => Err(::kube::Error::Service(elapsed.into())),
    }
}

/// Why a write to Kubernetes failed.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The object has changed since it was read. Read it again; never merge by hand.
    #[error("write {what} of {object}: it has changed since it was read")]
    Conflict { what: &'static str, object: String },
    /// The object was deleted.
    #[error("write {what} of {object}: it was deleted")]
    NotFound { what: &'static str, object: String },
    /// Any other error.
    #[error("write {what} of {object}")]
    Other {
        what: &'static str,
        object: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The calls of a reconcile.
#[async_trait]
pub trait Cluster: RunRecords {
    /// Replaces the status of `object` if the object has not changed since it was read.
    async fn replace_status(
        &self,
        object: &KinesisDemo,
        status: &KinesisDemoStatus,
    ) -> Result<(), ClusterError>;
    /// Adds or removes our finalizer if the object has not changed since it was read.
    async fn put_finalizer(&self, object: &KinesisDemo, present: bool) -> Result<(), ClusterError>;
    /// Reads the Lease: whether this operator still leads with `epoch`.
    async fn still_leads(&self, epoch: u64) -> Result<bool, ClusterError>;
    /// Publishes an Event about `object`. A failure is logged and not returned.
    async fn publish(&self, object: &KinesisDemo, run_event: &RunEvent);
}

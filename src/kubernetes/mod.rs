//! Kubernetes at arm's length: the three things a reconcile writes there. Reads come through the watch.

pub mod client;
pub mod fake;
pub mod lease;
pub mod write_fence;
pub mod writer;

use async_trait::async_trait;
use kinesis_demo_api::{KinesisDemo, KinesisDemoStatus};

use crate::reconcile::run_event::RunEvent;

/// Why a write to Kubernetes did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The object has changed since it was read: read it again, never merge by hand.
    #[error("write {what} of {object}: it has changed meanwhile")]
    Conflict { what: &'static str, object: String },
    /// The object is gone.
    #[error("write {what} of {object}: it is gone")]
    Gone { what: &'static str, object: String },
    /// Anything else.
    #[error("write {what} of {object}")]
    Other {
        what: &'static str,
        object: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The writes of a reconcile.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// Replaces the status of `object`, if the object is still as it was read.
    async fn replace_status(
        &self,
        object: &KinesisDemo,
        status: &KinesisDemoStatus,
    ) -> Result<(), ClusterError>;
    /// Adds or removes our finalizer, if the object is still as it was read.
    async fn put_finalizer(&self, object: &KinesisDemo, present: bool) -> Result<(), ClusterError>;
    /// Reads the Lease: whether this operator still leads, under `epoch`.
    async fn still_leads(&self, epoch: u64) -> Result<bool, ClusterError>;
    /// Publishes an Event about `object`. Failing to is logged, not returned.
    async fn publish(&self, object: &KinesisDemo, run_event: &RunEvent);
}

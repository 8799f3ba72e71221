//! The interface for sending a batch, and its outcomes. `aws/kinesis.rs` implements it.

use async_trait::async_trait;

use crate::batch::Batch;

/// Sends batches. One call is one attempt: an implementation must not retry.
#[async_trait]
pub trait Sender: Send + Sync {
    /// Sends the batch's records once.
    async fn put(&self, batch: &Batch) -> SendOutcome;
}

/// The outcome of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// One outcome per record, in the batch's order.
    PerRecord(Vec<RecordOutcome>),
    /// The whole request was rejected: no record was stored.
    Rejected(Rejection),
    /// It is not known which records were stored: the request was sent, and its response did not
    /// arrive or is not conclusive.
    Unknown,
}

/// The outcome of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordOutcome {
    /// The record was stored.
    Accepted,
    /// The record was not stored.
    Rejected(Rejection),
}

/// Why records were not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The stream's throughput was exceeded.
    Throughput,
    /// Any other reason, including a connection that was never established.
    Other,
}

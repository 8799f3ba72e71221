//! How a batch is sent: the port, and what can come of it. The Kinesis side is in `kinesis.rs`.

use async_trait::async_trait;

use crate::batch::Batch;

/// Sends batches. One call is one attempt: nothing is tried again behind the caller's back.
#[async_trait]
pub trait Sender: Send + Sync {
    /// Sends the batch's records, once.
    async fn put(&self, batch: &Batch) -> Answer;
}

/// What became of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// One outcome per record, in the batch's order.
    PerRecord(Vec<Outcome>),
    /// No record was stored.
    Refused(Refusal),
    /// Nobody knows: the request left, and its answer did not arrive or says nothing definite.
    Lost,
}

/// What became of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is stored.
    Accepted,
    /// It is not.
    Refused(Refusal),
}

/// Why something was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The stream's throughput was exceeded.
    Throughput,
    /// Anything else, down to a connection that was never made.
    Other,
}

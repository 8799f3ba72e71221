//! Errors outside the sending of records. Each message states what was attempted;
//! [`error_chain`](kinesis_demo_api::error_chain::error_chain) adds the causes. Pure.

use std::error::Error;

use kinesis_demo_api::control::ControlError;

type Cause = Box<dyn Error + Send + Sync>;

/// Why the control document could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The request for it failed.
    #[error("get the control parameter")]
    Get(#[source] Cause),
    /// The Region's GetParameter quota is exhausted: polling faster would make it worse for every
    /// reader.
    #[error("get the control parameter: the Region's read quota is exhausted")]
    Throttled(#[source] Cause),
    /// No response before the timeout.
    #[error("get the control parameter: timed out")]
    TimedOut,
    /// The parameter's text is not a valid control document.
    #[error("parse the control parameter")]
    Unreadable(#[source] ControlError),
}

/// Why the task id is not known.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// The request for it failed.
    #[error("get the task metadata")]
    Get(#[source] reqwest::Error),
    /// The response has no task ARN.
    #[error("find a task ARN in the task metadata")]
    NoArn,
}

/// Why metrics were not published.
#[derive(Debug, thiserror::Error)]
#[error("put metric data")]
pub struct PublishError(#[source] pub Cause);

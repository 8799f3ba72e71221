//! What can go wrong around the sending. Each message says what was attempted; [`chain`] adds the causes. Pure.

use std::error::Error;
use std::fmt::Write as _;

use kinesis_demo_api::control::ControlError;

type Cause = Box<dyn Error + Send + Sync>;

/// Why the control document could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The request for it failed.
    #[error("get the control parameter")]
    Get(#[source] Cause),
    /// The Region's reads of parameters are used up: asking more often makes it worse for everybody.
    #[error("get the control parameter: too many reads in this Region")]
    Throttled(#[source] Cause),
    /// No answer in time.
    #[error("get the control parameter: no answer in time")]
    TimedOut,
    /// Something was read that is no document this task may obey.
    #[error("understand the control parameter")]
    Unreadable(#[source] ControlError),
}

/// Why the task does not know its own name.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// The request for it failed.
    #[error("get the task's metadata")]
    Get(#[source] reqwest::Error),
    /// The answer has no task ARN.
    #[error("find a task ARN in the task's metadata")]
    NoArn,
}

/// Why metrics were not published.
#[derive(Debug, thiserror::Error)]
#[error("put metric data")]
pub struct PublishError(#[source] pub Cause);

/// An error with its causes, outermost first.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let _ = write!(text, ": {deeper}");
        cause = deeper.source();
    }
    text
}

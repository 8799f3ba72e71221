//! Calls to the API server. In: a call. Out: its result, after retries for a limited time. Talks to
//! the API server.

use std::time::Duration;

use tokio::time::Instant;

/// The time limit of one call. The client has no timeout of its own.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a call is retried while the API server is unavailable or busy.
pub(super) const RETRY_FOR: Duration = Duration::from_secs(60);
/// The first pause between two attempts, doubled up to the longest.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(100);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("the API server did not respond within {} s", CALL_TIMEOUT.as_secs())]
    TimedOut,
    #[error(transparent)]
    Kube(#[from] kube::Error),
}

impl CallError {
    /// The status code of the API server's response.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Kube(kube::Error::Api(status)) => Some(status.code),
            _ => None,
        }
    }

    pub fn is_missing(&self) -> bool {
        self.code() == Some(404)
    }

    /// Whether a later attempt may succeed: no response, too many requests, or a server error.
    pub fn is_transient(&self) -> bool {
        self.code().is_none_or(|code| matches!(code, 408 | 429) || code >= 500)
    }
}

/// Makes one call.
pub(super) async fn call<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(CallError::TimedOut),
    }
}

/// Repeats a call until it succeeds, fails permanently, or `RETRY_FOR` has passed.
pub(super) async fn call_with_retry<T, F>(attempt: impl Fn() -> F) -> Result<T, CallError>
where
    F: Future<Output = kube::Result<T>>,
{
    let give_up_at = Instant::now() + RETRY_FOR;
    let mut pause = FIRST_PAUSE;
    loop {
        match call(attempt()).await {
            Err(error) if error.is_transient() && Instant::now() + pause < give_up_at => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            result => return result,
        }
    }
}

//! Single calls to the API server. In: a call. Out: its answer, after as many tries as it takes within a bound. Talks to the API server.

use std::time::Duration;

use tokio::time::Instant;

/// How long one call may take. The client has no timeout of its own.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a call is tried again while the API server is out of reach or busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// The first pause between two tries, doubled up to the longest.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(100);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("the API server did not answer in {} s", CALL_TIMEOUT.as_secs())]
    Silent,
    #[error(transparent)]
    Kube(#[from] kube::Error),
}

impl CallError {
    /// The status the API server answered with.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Kube(kube::Error::Api(status)) => Some(status.code),
            _ => None,
        }
    }

    pub fn is_missing(&self) -> bool {
        self.code() == Some(404)
    }

    /// Whether the same call may succeed later: no answer, too many requests, or the server's own trouble.
    pub fn may_pass(&self) -> bool {
        self.code().is_none_or(|code| matches!(code, 408 | 429) || code >= 500)
    }
}

/// One call.
pub(super) async fn call<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(CallError::Silent),
    }
}

/// A call that is tried again until it is answered for good.
pub(super) async fn persist<T, F>(attempt: impl Fn() -> F) -> Result<T, CallError>
where
    F: Future<Output = kube::Result<T>>,
{
    let give_up_at = Instant::now() + PATIENCE;
    let mut pause = FIRST_PAUSE;
    loop {
        match call(attempt()).await {
            Err(error) if error.may_pass() && Instant::now() + pause < give_up_at => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            answer => return answer,
        }
    }
}

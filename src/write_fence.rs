//! Limits how long this process may write. In: renewals of the Lease. Out: a fence around every
//! request to AWS and every write to Kubernetes. A leader that was frozen, or lost the API server,
//! thereby stops writing before another can lead.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

/// Permits writes until an instant of our own monotonic clock. Renewals move that instant.
#[derive(Clone, Debug)]
pub struct WriteFence(Arc<Mutex<Instant>>);

/// The fence has expired: this process may no longer write, because another operator may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this operator no longer leads")]
pub struct WriteFenceExpired;

impl WriteFence {
    /// A fence that expires at `until` unless it is renewed.
    #[must_use]
    pub fn until(until: Instant) -> Self {
        Self(Arc::new(Mutex::new(until)))
    }

    /// A fence for programs without a Lease: tools and tests.
    #[must_use]
    pub fn unshared() -> Self {
        const YEARS: Duration = Duration::from_secs(10 * 365 * 86_400);
        Self::until(Instant::now() + YEARS)
    }

    /// Moves the expiry to `until`.
    pub fn renew(&self, until: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    fn expires_at(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` until the fence expires, then drops it. The clock is read before every step of
    /// `work`, because the timers of a process that was frozen fire late.
    pub async fn guard<T>(&self, work: impl Future<Output = T>) -> Result<T, WriteFenceExpired> {
        let mut work = pin!(work);
        let mut expiry = pin!(async {
            while Instant::now() < self.expires_at() {
                tokio::time::sleep_until(self.expires_at()).await;
            }
        });
        poll_fn(|context| {
            if Instant::now() >= self.expires_at() {
                return Poll::Ready(Err(WriteFenceExpired));
            }
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Ok(done));
            }
            expiry.as_mut().poll(context).map(|()| Err(WriteFenceExpired))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn work_is_not_started_after_expiry() {
        let write_fence = WriteFence::until(Instant::now());
        let begun = AtomicBool::new(false);
        let work = async { begun.store(true, Ordering::Relaxed) };
        assert_eq!(write_fence.guard(work).await, Err(WriteFenceExpired));
        assert!(!begun.load(Ordering::Relaxed));
    }

    #[tokio::test(start_paused = true)]
    async fn running_work_is_dropped_at_expiry_and_not_before() {
        let start = Instant::now();
        let write_fence = WriteFence::until(start + SECOND * 3);
        let outcome = write_fence.guard(tokio::time::sleep(SECOND * 10)).await;
        assert_eq!((outcome, start.elapsed()), (Err(WriteFenceExpired), SECOND * 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_lets_running_work_finish() {
        let write_fence = WriteFence::until(Instant::now() + SECOND * 3);
        let renewing = async {
            tokio::time::sleep(SECOND * 2).await;
            write_fence.renew(Instant::now() + SECOND * 10);
        };
        let (outcome, ()) = tokio::join!(write_fence.guard(tokio::time::sleep(SECOND * 5)), renewing);
        assert_eq!(outcome, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_after_expiry_is_not_run_even_if_it_is_due_first() {
        let write_fence = WriteFence::until(Instant::now() + SECOND);
        let steps = AtomicUsize::new(0);
        let work = async {
            for _ in 0..2 {
                steps.fetch_add(1, Ordering::Relaxed);
                // The process is frozen here while the fence expires: time passes without a poll.
                tokio::task::yield_now().await;
            }
        };
        let mut guarded = pin!(write_fence.guard(work));
        poll_fn(|context| {
            assert!(guarded.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        tokio::time::advance(SECOND * 2).await;
        assert_eq!(guarded.await, Err(WriteFenceExpired));
        assert_eq!(steps.load(Ordering::Relaxed), 1);
    }
}

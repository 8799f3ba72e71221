//! How long this process may still write. In: the Lease's renewals. Out: a fence that every request to AWS and every write to
//! Kubernetes passes, so that a leader which was frozen, or cut off from the API server, is silent before another can lead.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

/// The right to write, until an instant of our own monotonic clock; renewals move it.
#[derive(Clone, Debug)]
pub struct WriteFence(Arc<Mutex<Instant>>);

/// This process may no longer write: another may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this operator no longer leads")]
pub struct WriteFenceExpired;

impl WriteFence {
    /// A right that ends at `until` unless it is renewed.
    #[must_use]
    pub fn until(until: Instant) -> Self {
        Self(Arc::new(Mutex::new(until)))
    }

    /// A right for whoever has nobody to share it with: tools and tests.
    #[must_use]
    pub fn unshared() -> Self {
        const YEARS: Duration = Duration::from_secs(10 * 365 * 86_400);
        Self::until(Instant::now() + YEARS)
    }

    /// Moves the end to `until`.
    pub fn renew(&self, until: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    fn end(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` while the right lasts, and drops it when it ends. The clock is read before every step of `work`, not only by a
    /// timer: a process that was frozen wakes with its timers late.
    pub async fn guard<T>(&self, work: impl Future<Output = T>) -> Result<T, WriteFenceExpired> {
        let mut work = pin!(work);
        let mut ended = pin!(async {
            while Instant::now() < self.end() {
                tokio::time::sleep_until(self.end()).await;
            }
        });
        poll_fn(|context| {
            if Instant::now() >= self.end() {
                return Poll::Ready(Err(WriteFenceExpired));
            }
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Ok(done));
            }
            ended.as_mut().poll(context).map(|()| Err(WriteFenceExpired))
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
    async fn work_is_not_even_begun_after_the_end() {
        let write_fence = WriteFence::until(Instant::now());
        let begun = AtomicBool::new(false);
        let work = async { begun.store(true, Ordering::Relaxed) };
        assert_eq!(write_fence.guard(work).await, Err(WriteFenceExpired));
        assert!(!begun.load(Ordering::Relaxed));
    }

    #[tokio::test(start_paused = true)]
    async fn work_in_hand_is_dropped_at_the_end_and_not_before() {
        let start = Instant::now();
        let write_fence = WriteFence::until(start + SECOND * 3);
        let outcome = write_fence.guard(tokio::time::sleep(SECOND * 10)).await;
        assert_eq!((outcome, start.elapsed()), (Err(WriteFenceExpired), SECOND * 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_lets_work_in_hand_finish() {
        let write_fence = WriteFence::until(Instant::now() + SECOND * 3);
        let renewing = async {
            tokio::time::sleep(SECOND * 2).await;
            write_fence.renew(Instant::now() + SECOND * 10);
        };
        let (outcome, ()) = tokio::join!(write_fence.guard(tokio::time::sleep(SECOND * 5)), renewing);
        assert_eq!(outcome, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_that_comes_after_the_end_is_not_taken_even_if_it_is_due_first() {
        let write_fence = WriteFence::until(Instant::now() + SECOND);
        let steps = AtomicUsize::new(0);
        let work = async {
            for _ in 0..2 {
                steps.fetch_add(1, Ordering::Relaxed);
                // The process is frozen over the end here: time passes while nobody polls.
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

//! The model's clock: wall time, anchored at the start, that runs `--speed` times faster.
//!
//! Model time drives everything that takes time on AWS: creation, deletion, warm-up, capacity
//! growth, the 24-hour commitment. Rates (records per second, API calls per second) and everything
//! that a caller compares with its own clock are wall time: a service that reports an instant
//! converts it with [`ModelClock::wall_at`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

/// One instant on both time lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Wall-clock time, as the callers see it.
    pub wall: Timestamp,
    /// Model time.
    pub model: Timestamp,
}

/// The clock that all modelled services share; cheap to clone.
#[derive(Clone, Debug)]
pub struct ModelClock(Arc<Anchor>);

#[derive(Debug)]
struct Anchor {
    started_at: Timestamp,
    speed: u32,
    source: Source,
}

/// The source of elapsed wall time.
#[derive(Debug)]
enum Source {
    Machine(Instant),
    Hand(watch::Sender<Duration>),
}

impl ModelClock {
    /// A clock that starts now and runs `speed` times as fast as the wall clock (at least 1).
    pub fn start(speed: u32) -> Self {
        Self::anchored(speed, Source::Machine(Instant::now()))
    }

    /// A clock that moves only by [`ModelClock::advance`]: for tests.
    pub fn manual(speed: u32) -> Self {
        Self::anchored(speed, Source::Hand(watch::Sender::new(Duration::ZERO)))
    }

    fn anchored(speed: u32, source: Source) -> Self {
        Self(Arc::new(Anchor { started_at: Timestamp::now(), speed: speed.max(1), source }))
    }

    /// Moves a manual clock by this much wall time. Has no effect on a running clock.
    pub fn advance(&self, by: Duration) {
        if let Source::Hand(elapsed) = &self.0.source {
            elapsed.send_modify(|elapsed| *elapsed += by);
        }
    }

    /// The model's time.
    pub fn now(&self) -> Timestamp {
        self.moment().model
    }

    /// Both times, read once. Wall time here is monotonic: it does not follow changes of the
    /// machine's clock after the start.
    pub fn moment(&self) -> Moment {
        let elapsed = match &self.0.source {
            Source::Machine(started) => started.elapsed(),
            Source::Hand(elapsed) => *elapsed.borrow(),
        };
        Moment {
            wall: later(self.0.started_at, elapsed),
            model: later(self.0.started_at, elapsed * self.0.speed),
        }
    }

    /// How many model seconds pass in one second.
    pub fn speed(&self) -> u32 {
        self.0.speed
    }

    /// The wall time at which the model reaches (or reached) `model`.
    pub fn wall_at(&self, model: Timestamp) -> Timestamp {
        let since_start = model.duration_since(self.0.started_at);
        let speed = i32::try_from(self.0.speed).unwrap_or(i32::MAX);
        self.0.started_at.saturating_add(since_start / speed).unwrap_or(model)
    }

    /// Waits until the model reaches `model`; returns at once if that is in the past.
    pub async fn sleep_until(&self, model: Timestamp) {
        match &self.0.source {
            Source::Machine(_) => {
                let wait = self.wall_at(model).duration_since(self.moment().wall);
                if let Ok(wait) = Duration::try_from(wait) {
                    tokio::time::sleep(wait).await;
                }
            }
            Source::Hand(elapsed) => {
                // The sender lives as long as this clock, so waiting cannot fail.
                let _ = elapsed.subscribe().wait_for(|_| self.now() >= model).await;
            }
        }
    }
}

/// `at` plus `by`, or the latest timestamp on overflow.
fn later(at: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn model_time_runs_faster_from_the_same_anchor() {
        let clock = ModelClock::start(20);
        let anchor = clock.0.started_at;
        let moment = clock.moment();
        assert_eq!(moment.model.duration_since(anchor), moment.wall.duration_since(anchor) * 20);
    }

    #[test]
    fn a_model_instant_maps_back_to_the_callers_clock() {
        let clock = ModelClock::start(20);
        let anchor = clock.0.started_at;
        let day = SignedDuration::from_hours(24);
        assert_eq!(clock.wall_at(anchor + day).duration_since(anchor), SignedDuration::from_mins(72));
    }

    #[test]
    fn sleeping_until_a_past_instant_returns_at_once() {
        let clock = ModelClock::start(2);
        assert_eq!(clock.sleep_until(clock.0.started_at).now_or_never(), Some(()));
    }

    #[test]
    fn a_manual_clock_wakes_sleepers_when_it_is_moved_far_enough() {
        let clock = ModelClock::manual(10);
        let until = clock.now() + SignedDuration::from_secs(60);
        let mut sleeper = Box::pin(clock.sleep_until(until));
        assert_eq!(sleeper.as_mut().now_or_never(), None);
        clock.advance(Duration::from_secs(5));
        assert_eq!(sleeper.as_mut().now_or_never(), None);
        clock.advance(Duration::from_secs(1));
        assert_eq!(sleeper.now_or_never(), Some(()));
    }
}

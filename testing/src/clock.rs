//! A clock that a test sets.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kinesis_demo_api::MicroTime;
use kinesis_demo_operator::clock::Clock;

/// A clock for tests. It changes only when it is set.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<MicroTime>>);

impl ManualClock {
    /// A clock that starts at `start`.
    pub fn new(start: MicroTime) -> Self {
        Self(Arc::new(Mutex::new(start)))
    }

    /// Moves the clock to `instant`, never backwards.
    pub fn advance_to(&self, instant: MicroTime) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = instant.max(*now);
    }

    /// Moves the clock by `duration`.
    pub fn advance(&self, duration: Duration) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = *now + duration;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> MicroTime {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The wall clock, as a dependency. In: nothing. Out: the current time. Only `reconcile/observe`,
//! `lease` and the AWS adapters read it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kinesis_demo_api::MicroTime;

/// A source of the current time.
pub trait Clock: Send + Sync {
    /// The current instant.
    fn now(&self) -> MicroTime;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> MicroTime {
        Timestamp::now().into()
    }
}

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

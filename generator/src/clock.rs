//! The clock. Out: the wall clock and a monotonic clock, read together. Touches the outside: the
//! system clocks.
//!
//! The schedule and its deadlines are absolute instants of the wall clock. Elapsed time within this
//! process is measured by the monotonic clock, which corrections of the wall clock do not affect.

use jiff::Timestamp;
use kinesis_demo_api::MicroTime;
pub use kinesis_demo_api::time::Now;
use tokio::time::Instant;

/// Reads the time.
pub trait Clock: Send + Sync {
    /// The current instant.
    fn now(&self) -> Now;
}

/// The clocks of the machine.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Starts the monotonic clock now.
    pub fn starting_now() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now { wall: MicroTime::from(Timestamp::now()), running: self.started.elapsed() }
    }
}

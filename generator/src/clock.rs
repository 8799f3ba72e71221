//! What time it is. Out: the wall clock and a clock that never jumps, read together. Touches the outside: the system clocks.
//!
//! The schedule and its deadlines are absolute instants of the wall clock; how long ago something happened in this process
//! is measured by the other one, which no correction of the wall clock can stretch or shrink.

use jiff::Timestamp;
use kinesis_demo_api::MicroTime;
pub use kinesis_demo_api::time::Now;
use tokio::time::Instant;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> Now;
}

/// The clocks of the machine.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose process starts to run now.
    pub fn starting_now() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now { wall: MicroTime::from(Timestamp::now()), running: self.started.elapsed() }
    }
}

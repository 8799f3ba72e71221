//! The wall clock, as a dependency. In: nothing. Out: the current time. Only `reconcile/observe`,
//! `lease` and the AWS adapters read it.

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

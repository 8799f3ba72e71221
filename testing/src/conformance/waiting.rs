//! Waiting in AWS's time, with an absolute deadline.

use std::fmt::Debug;
use std::time::Duration;

use kinesis_demo_api::MicroTime;

use super::Arm;

/// The longest wait in AWS's time. Nothing that a body waits for takes as long.
const LIMIT: Duration = Duration::from_secs(15 * 60);

const STEP: Duration = Duration::from_secs(1);

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The beginning of the minute of `at`.
pub(super) fn minute_of(at: MicroTime) -> MicroTime {
    const MINUTE: i64 = 60_000_000;
    MicroTime::from_micros(at.as_micros().div_euclid(MINUTE) * MINUTE)
}

/// Lets time pass until `condition` holds.
pub(super) async fn wait_until(arm: &dyn Arm, what: &str, condition: impl AsyncFn() -> bool) {
    let deadline = arm.now() + LIMIT;
    while !condition().await {
        assert!(arm.now() < deadline, "waited {} s in vain until {what}", LIMIT.as_secs());
        arm.let_time_pass(STEP).await;
    }
}

/// Lets time pass until `observe` returns `last`. Returns the different values in their order.
pub(super) async fn values_until<T: PartialEq + Debug>(
    arm: &dyn Arm,
    last: T,
    observe: impl AsyncFn() -> T,
) -> Vec<T> {
    let deadline = arm.now() + LIMIT;
    let mut values = vec![observe().await];
    while values.last() != Some(&last) {
        assert!(arm.now() < deadline, "waited {} s in vain for {last:?}: {values:?}", LIMIT.as_secs());
        arm.let_time_pass(STEP).await;
        let value = observe().await;
        if values.last() != Some(&value) {
            values.push(value);
        }
    }
    values
}

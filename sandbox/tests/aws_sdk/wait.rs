//! Waiting for what another process or another task of this one does. In: what to look for. Out:
//! what was found.

use std::time::Duration;

/// The pause between two looks, in real time.
const PAUSE: Duration = Duration::from_millis(20);
/// Longer than anything takes that a test waits for, on a busy machine too.
const HALF_A_MINUTE: Duration = Duration::from_secs(30);

/// Waits until `find` finds something.
pub async fn wait_for<T>(what: &str, find: impl AsyncFn() -> Option<T>) -> T {
    wait_within(HALF_A_MINUTE, what, find).await
}

/// The same with a time limit. Only the pauses count, so that a slow `find` gets as many looks.
pub async fn wait_within<T>(limit: Duration, what: &str, find: impl AsyncFn() -> Option<T>) -> T {
    let looks = limit.as_millis() / PAUSE.as_millis();
    for _ in 0..looks {
        if let Some(found) = find().await {
            return found;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("timed out after {limit:?} waiting for {what}");
}

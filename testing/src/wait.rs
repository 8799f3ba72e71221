//! Waits in tests with real processes and clusters.

use std::time::Duration;

/// How often something is looked for.
const POLL: Duration = Duration::from_millis(100);

/// Calls `find` until it returns a value, and returns that; `None` if it returns none within
/// `limit`.
pub async fn wait_for<T, F>(limit: Duration, mut find: impl FnMut() -> F) -> Option<T>
where
    F: Future<Output = Option<T>>,
{
    let found = async {
        loop {
            if let Some(found) = find().await {
                return found;
            }
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(limit, found).await.ok()
}

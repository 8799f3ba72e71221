//! Progress lines of steps that take noticeable time.

use std::sync::Arc;

/// Receives one line for each step that takes noticeable time.
pub type Progress = Arc<dyn Fn(&str) + Send + Sync>;

/// A progress callback that discards its lines.
#[must_use]
pub fn silent() -> Progress {
    Arc::new(|_| {})
}

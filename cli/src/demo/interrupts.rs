//! Counts Ctrl-C, SIGTERM and SIGHUP (a closed terminal). In: signals. Out: a future per signal.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Counts the signals of this process.
pub struct Interrupts {
    count: watch::Receiver<u32>,
    handled: u32,
}

impl Interrupts {
    /// From now on these signals no longer end the process; the caller must react to them.
    pub fn listen() -> std::io::Result<Self> {
        let (sender, count) = watch::channel(0);
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            let mut signals = signal(kind)?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    sender.send_modify(|count| *count += 1);
                }
            });
        }
        Ok(Self { count, handled: 0 })
    }

    /// How many signals have arrived.
    #[must_use]
    pub fn count(&self) -> u32 {
        *self.count.borrow()
    }

    /// Returns once there is a signal that no earlier call returned for. Cancel safe.
    pub async fn next(&mut self) {
        let handled = self.handled;
        match self.count.wait_for(|count| *count > handled).await {
            Ok(count) => self.handled = *count,
            // The listener tasks live as long as the runtime.
            Err(_) => std::future::pending().await,
        }
    }
}

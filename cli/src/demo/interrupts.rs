//! Ctrl-C, SIGTERM and a closed terminal, counted. In: signals. Out: a future per signal.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// The signals that have come, and those that will.
pub struct Interrupts {
    count: watch::Receiver<u32>,
    answered: u32,
}

impl Interrupts {
    /// From here on these signals no longer end the process: whoever listens must.
    pub fn listen() -> std::io::Result<Self> {
        let (tell, count) = watch::channel(0);
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            let mut signals = signal(kind)?;
            let tell = tell.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    tell.send_modify(|count| *count += 1);
                }
            });
        }
        Ok(Self { count, answered: 0 })
    }

    /// How many have come.
    #[must_use]
    pub fn count(&self) -> u32 {
        *self.count.borrow()
    }

    /// Returns at the first that nobody has answered yet. Cancel safe.
    pub async fn next(&mut self) {
        let answered = self.answered;
        match self.count.wait_for(|count| *count > answered).await {
            Ok(count) => self.answered = *count,
            // The listeners live as long as the runtime.
            Err(_) => std::future::pending().await,
        }
    }
}

//! Polls the control document. In: its source. Out: every document that could be read, with the
//! instant at which the read started. Touches the outside only through [`ControlSource`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kinesis_demo_api::backoff::{Backoff, Jitter};
use kinesis_demo_api::control::ControlDocument;
use kinesis_demo_api::error_chain::error_chain;
use rand::Rng;
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::error::ReadError;

/// The source of the control document.
#[async_trait]
pub trait ControlSource: Send + Sync {
    /// Reads the text; `None` if there is no document yet.
    async fn fetch(&self) -> Result<Option<String>, ReadError>;
}

/// One successful read.
#[derive(Debug)]
pub struct ControlRead {
    /// The document.
    pub document: ControlDocument,
    /// When the read started, by the monotonic clock.
    pub began_at: Duration,
}

/// The first and the longest pause between reads before a document exists. All readers in a Region
/// share 40 reads per second (Systems Manager service quotas, GetParameter at standard throughput).
const FIRST_MISSING_PAUSE: Duration = Duration::from_secs(1);
const MAX_MISSING_PAUSE: Duration = Duration::from_secs(4);

/// The longest pause of a task that is throttled repeatedly, or 1.5 read intervals if those are
/// longer.
const MAX_THROTTLED_PAUSE: Duration = Duration::from_secs(10);

/// What each further read without a document, or a throttled one, multiplies the pause by: slowly,
/// so that a throttled task still has two reads within a lease of three intervals.
const FACTOR: f64 = 1.5;

/// Tasks that started together spread out, while the average read rate stays as planned.
const JITTER: Jitter = Jitter { from: 0.9, to: 1.1 };

/// Timeout of one read. It is shorter if the read lease is short, so that one lost response does
/// not cost the lease.
const MAX_READ_TIMEOUT: Duration = Duration::from_secs(2);
const MIN_READ_TIMEOUT: Duration = Duration::from_millis(500);

/// Polls until the receiver of `reads` is dropped.
pub async fn poll_control(
    source: Arc<dyn ControlSource>,
    clock: Arc<dyn Clock>,
    reads: mpsc::Sender<ControlRead>,
) {
    let mut cadence = Cadence::default();
    loop {
        let began_at = clock.now().running;
        let outcome = match tokio::time::timeout(cadence.read_timeout(), source.fetch()).await {
            Ok(Ok(Some(text))) => ControlDocument::parse(&text).map_err(ReadError::Unreadable).map(Some),
            Ok(Ok(None)) => Ok(None),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ReadError::TimedOut),
        };
        cadence.note(&outcome);
        if let Ok(Some(document)) = outcome
            && reads.send(ControlRead { document, began_at }).await.is_err()
        {
            return;
        }
        let pause = cadence.pause(&mut rand::rng());
        tokio::time::sleep(pause).await;
        if reads.is_closed() {
            return;
        }
    }
}

/// Outcome of the last read. Changes are logged, and it determines the next pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadState {
    Starting,
    Missing,
    Failing,
    /// Throttled: the Region's read quota is exhausted.
    Throttled,
    Reading,
}

#[derive(Debug)]
struct Cadence {
    state: ReadState,
    /// Consecutive reads with this outcome; counted only for `Missing` and `Throttled`.
    consecutive: u32,
    read_every: Duration,
    read_lease: Duration,
}

impl Default for Cadence {
    fn default() -> Self {
        Self {
            state: ReadState::Starting,
            consecutive: 0,
            read_every: FIRST_MISSING_PAUSE,
            read_lease: 4 * MAX_READ_TIMEOUT,
        }
    }
}

impl Cadence {
    fn note(&mut self, outcome: &Result<Option<ControlDocument>, ReadError>) {
        let state = match outcome {
            Ok(Some(document)) => {
                (self.read_every, self.read_lease) = (document.read_every(), document.read_lease());
                ReadState::Reading
            }
            Ok(None) => ReadState::Missing,
            Err(ReadError::Throttled(_)) => ReadState::Throttled,
            Err(_) => ReadState::Failing,
        };
        let is_repeat = state == self.state && matches!(state, ReadState::Missing | ReadState::Throttled);
        self.consecutive = if is_repeat { self.consecutive.saturating_add(1) } else { 1 };
        if state == self.state {
            return;
        }
        self.state = state;
        match outcome {
            Ok(Some(document)) => {
                info!(epoch = document.epoch, version = document.version, "control document read")
            }
            Ok(None) => info!("the control document does not exist yet; retrying"),
            Err(error) => warn!(error = error_chain(error), "could not read the control document; retrying"),
        }
    }

    fn read_timeout(&self) -> Duration {
        (self.read_lease / 4).clamp(MIN_READ_TIMEOUT, MAX_READ_TIMEOUT)
    }

    /// The pause until the next read.
    fn pause(&self, random: &mut impl Rng) -> Duration {
        match self.state {
            ReadState::Reading => JITTER.of(self.read_every, random),
            ReadState::Failing => JITTER.of((self.read_every / 2).max(MIN_READ_TIMEOUT), random),
            ReadState::Throttled => {
                let first = self.read_every.mul_f64(FACTOR);
                let longest = MAX_THROTTLED_PAUSE.max(first);
                let backoff = Backoff { first, factor: FACTOR, longest, jitter: JITTER };
                backoff.pause(self.consecutive, random)
            }
            ReadState::Starting | ReadState::Missing => {
                let (first, longest) = (FIRST_MISSING_PAUSE, MAX_MISSING_PAUSE);
                let backoff = Backoff { first, factor: FACTOR, longest, jitter: JITTER };
                backoff.pause(self.consecutive, random)
            }
        }
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;

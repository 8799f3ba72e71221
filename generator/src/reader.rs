//! Keeps reading the control document. In: a place to read it from. Out: every document that could be read, with the
//! instant at which its reading began. Touches the outside through [`ControlSource`] only.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kinesis_demo_api::control::ControlDocument;
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::error::{ReadError, chain};

/// Where the control document is.
#[async_trait]
pub trait ControlSource: Send + Sync {
    /// Its text; `None` if there is none yet.
    async fn fetch(&self) -> Result<Option<String>, ReadError>;
}

/// A document that was read.
#[derive(Debug)]
pub struct Read {
    /// What it says.
    pub document: ControlDocument,
    /// When the reading began, by the clock that never jumps.
    pub began_at: Duration,
}

/// How often a document is looked for before there is one: at first, and at the slowest. Systems Manager gives all of a
/// Region's readers together 40 reads a second (Service quotas, GetParameter at standard throughput).
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const SLOWEST_PAUSE: Duration = Duration::from_secs(4);

/// How rarely a task asks that is refused again and again, unless it reads less often anyhow.
const SLOWEST_THROTTLED: Duration = Duration::from_secs(10);

/// A reading that has not ended by then has failed. Shorter where the read lease is short, so that one lost answer does not
/// cost the lease.
const LONGEST_READ: Duration = Duration::from_secs(2);
const SHORTEST_READ: Duration = Duration::from_millis(500);

/// Reads for as long as `reads` has a receiver.
pub async fn keep_reading(source: Arc<dyn ControlSource>, clock: Arc<dyn Clock>, reads: mpsc::Sender<Read>) {
    let mut cadence = Cadence::default();
    loop {
        let began_at = clock.now().running;
        let outcome = match tokio::time::timeout(cadence.longest_read(), source.fetch()).await {
            Ok(Ok(Some(text))) => ControlDocument::parse(&text).map_err(ReadError::Unreadable).map(Some),
            Ok(Ok(None)) => Ok(None),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ReadError::TimedOut),
        };
        cadence.note(&outcome);
        if let Ok(Some(document)) = outcome
            && reads.send(Read { document, began_at }).await.is_err()
        {
            return;
        }
        tokio::time::sleep(cadence.pause()).await;
        if reads.is_closed() {
            return;
        }
    }
}

/// How it went last, which is what is logged when it changes and what decides the next pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Starting,
    Missing,
    Failing,
    /// Refused because the Region's reads are used up.
    Throttled,
    Reading,
}

#[derive(Debug)]
struct Cadence {
    state: State,
    /// How many readings in a row went like the last one, where that matters.
    looks: u32,
    read_every: Duration,
    read_lease: Duration,
}

impl Default for Cadence {
    fn default() -> Self {
        Self { state: State::Starting, looks: 0, read_every: FIRST_PAUSE, read_lease: 4 * LONGEST_READ }
    }
}

impl Cadence {
    fn note(&mut self, outcome: &Result<Option<ControlDocument>, ReadError>) {
        let state = match outcome {
            Ok(Some(document)) => {
                (self.read_every, self.read_lease) = (document.read_every(), document.read_lease());
                State::Reading
            }
            Ok(None) => State::Missing,
            Err(ReadError::Throttled(_)) => State::Throttled,
            Err(_) => State::Failing,
        };
        let repeats = state == self.state && matches!(state, State::Missing | State::Throttled);
        self.looks = if repeats { self.looks.saturating_add(1) } else { 1 };
        if state == self.state {
            return;
        }
        self.state = state;
        match outcome {
            Ok(Some(document)) => {
                info!(epoch = document.epoch, version = document.version, "control document read")
            }
            Ok(None) => info!("no control document yet"),
            Err(error) => warn!(error = chain(error), "control document cannot be read"),
        }
    }

    fn longest_read(&self) -> Duration {
        (self.read_lease / 4).clamp(SHORTEST_READ, LONGEST_READ)
    }

    /// A tenth longer or shorter than asked for, at random: tasks that started together spread out, and read
    /// as often as was counted on.
    fn pause(&self) -> Duration {
        self.pause_with(rand::random_range(0.9..=1.1))
    }

    fn pause_with(&self, jitter: f64) -> Duration {
        let pause = match self.state {
            State::Reading => self.read_every,
            State::Failing => (self.read_every / 2).max(SHORTEST_READ),
            // Less often each time, and at first still twice within a lease of three intervals.
            State::Throttled => {
                let slowest = SLOWEST_THROTTLED.max(self.read_every * 3 / 2);
                self.read_every.mul_f64(1.5_f64.powi(self.looks.min(8) as i32)).min(slowest)
            }
            State::Starting | State::Missing => {
                FIRST_PAUSE.mul_f64(1.5_f64.powi(self.looks.min(8) as i32 - 1)).min(SLOWEST_PAUSE)
            }
        };
        pause.mul_f64(jitter)
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;

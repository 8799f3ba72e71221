//! The main loop of a generator task. In: control documents, the clock, a shutdown request. Out:
//! offers to the pacer, ledger lines. The loop sleeps until the next event and ticks only while
//! records fall due.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kinesis_demo_api::control::gate::{Gate, Reading, SendState, TaskLimits};
use kinesis_demo_api::control::{ControlState, TaskId};
use kinesis_demo_api::ledger::{ControlVersion, LedgerLine};
use kinesis_demo_api::schedule::Share;
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::clock::{Clock, Now};
use crate::dispatcher::Dispatcher;
use crate::pacer::Pacer;
use crate::reader::ControlRead;
use crate::recorder::Recorder;

/// Interval at which due records are sent, and so the longest time that a record waits. Short
/// enough that a change of rate is visible well within 300 ms and that counts over two seconds
/// hardly depend on where the window is cut; long enough that the number of requests stays small at
/// any rate.
const TICK: Duration = Duration::from_millis(20);

/// Longest sleep when no event is expected, so that a step of the wall clock is noticed.
const MAX_SLEEP: Duration = Duration::from_secs(30);

/// How long a stopping task waits for its requests. Longer than the last attempt of any record can
/// take, and shorter than the 30 s after which ECS kills the container (ECS API reference,
/// ContainerDefinition, `stopTimeout`).
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// Writes ledger lines.
pub trait LedgerWriter: Send {
    /// Writes one line.
    fn write_line(&mut self, line: &LedgerLine);
}

/// The main loop and its dependencies.
pub struct Worker {
    /// The task's id.
    pub task: TaskId,
    /// The limits set at start. The worker ends at their deadline.
    pub limits: TaskLimits,
    /// How often a ledger line is written while the task has a slot or unreported counts.
    pub ledger_every: Duration,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// Counts what happens to every record.
    pub recorder: Arc<Recorder>,
    /// Delivers the batches that the pacer creates.
    pub dispatcher: Arc<Dispatcher>,
    /// Creates the records that are due.
    pub pacer: Pacer,
    /// Writes the ledger lines.
    pub ledger_writer: Box<dyn LedgerWriter>,
}

/// Why the worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerEnd {
    /// The task received a shutdown signal.
    Stopped,
    /// The deadline passed.
    DeadlinePassed,
}

impl Worker {
    /// Runs until `stop` is ready or the deadline passes, then drains and writes the final ledger
    /// line.
    pub async fn work(
        mut self,
        mut reads: mpsc::Receiver<ControlRead>,
        stop: impl Future<Output = ()>,
    ) -> WorkerEnd {
        tokio::pin!(stop);
        let mut gate = Gate::new(self.task.clone(), self.limits, self.clock.now());
        let mut state = WorkerState::default();
        let end = loop {
            let now = self.clock.now();
            if now.wall >= self.limits.deadline {
                break WorkerEnd::DeadlinePassed;
            }
            self.pacer.offer(&gate.release(now), now);
            let send_state = gate.send_state(now);
            state.update_share(gate.share(now), &send_state);
            self.report(&send_state, &mut state, now);
            let sleep = self.sleep_length(&send_state, &state, now);
            // Only a task with nothing more to send waits for its requests in flight.
            let waits_for_drain =
                state.owes_final_line && send_state == SendState::Finished && !self.dispatcher.is_idle();
            tokio::select! {
                biased;
                () = &mut stop => break WorkerEnd::Stopped,
                Some(read) = reads.recv() => self.apply_read(&mut gate, read, &mut state),
                () = self.dispatcher.drained(), if waits_for_drain => {}
                () = tokio::time::sleep(sleep) => {}
            }
        };
        self.finish(end, state.newest).await;
        end
    }

    fn apply_read(&self, gate: &mut Gate, read: ControlRead, state: &mut WorkerState) {
        let (epoch, version, requested_state) =
            (read.document.epoch, read.document.version, read.document.state);
        let effective_at = read.document.effective_at;
        let reading = gate.take(read.document, read.began_at, self.clock.now());
        state.newest = gate.newest().map(ControlVersion::from);
        if reading == Reading::NewVersion {
            let stops = requested_state == ControlState::Stop;
            // The operator waits for a final ledger line from every task that was given a slot or
            // that read `Stop`, because it cannot know which of them have started to send.
            state.owes_final_line |=
                stops || gate.newest().is_some_and(|document| document.share_of(&self.task).is_some());
            info!(epoch, version, stops, %effective_at, "new version of the control document");
        }
        let rejected = Some(reading).filter(|reading| {
            matches!(reading, Reading::ForeignRun | Reading::Contradiction | Reading::BeyondLimits(_))
        });
        if rejected != state.rejected {
            match rejected {
                Some(Reading::BeyondLimits(violation)) => {
                    let why = violation.to_string();
                    warn!(
                        epoch,
                        version, why, "ignoring the control document: it exceeds this plan's limits"
                    );
                }
                Some(Reading::Contradiction) => {
                    warn!(
                        epoch,
                        version,
                        "ignoring the control document: it has the version of the current one but different content"
                    );
                }
                Some(_) => warn!(epoch, version, "ignoring the control document: it belongs to another run"),
                None => info!(epoch, version, "accepting the control document again"),
            }
        }
        state.rejected = rejected;
    }

    /// Logs a change of the send state, and writes a ledger line if one is due.
    fn report(&mut self, send_state: &SendState, state: &mut WorkerState, now: Now) {
        if state.differs_from(send_state) {
            log_send_state(send_state);
            // Writes a line now, so that the totals of a phase that just ended appear in the
            // ledger.
            state.line_due_at = now.running;
            state.send_state = Some(send_state.clone());
        }
        if *send_state == SendState::Finished && state.owes_final_line && self.dispatcher.is_idle() {
            state.owes_final_line = false;
            state.line_due_at = now.running + self.ledger_every;
            self.write_line(true, state.newest);
            return;
        }
        if now.running >= state.line_due_at {
            state.line_due_at = now.running + self.ledger_every;
            // While the task has a slot, it writes a line even without new counts: the operator
            // treats a silent task as hung.
            if state.owes_final_line || self.recorder.totals().has_unreported_counts() {
                self.write_line(false, state.newest);
            }
        }
    }

    fn sleep_length(&self, send_state: &SendState, state: &WorkerState, now: Now) -> Duration {
        let mut sleep = MAX_SLEEP.min(self.limits.deadline.since(now.wall));
        match send_state {
            SendState::Sends { .. } => sleep = sleep.min(until_next_tick(now, state.share)),
            SendState::Waits { until } => sleep = sleep.min(until.since(now.wall)),
            SendState::Lapsed | SendState::Finished => {}
        }
        if state.owes_final_line
            || self.recorder.totals().has_unreported_counts()
            || !self.dispatcher.is_idle()
        {
            sleep = sleep.min(state.line_due_at.saturating_sub(now.running));
        }
        // Tokio's timer has millisecond resolution: a shorter sleep would not sleep at all.
        sleep.max(Duration::from_millis(1))
    }

    async fn finish(&mut self, end: WorkerEnd, newest: Option<ControlVersion>) {
        match end {
            WorkerEnd::Stopped => info!("shutdown signal received: draining"),
            WorkerEnd::DeadlinePassed => {
                info!("the deadline has passed: draining");
                self.dispatcher.stop_sending();
            }
        }
        if tokio::time::timeout(DRAIN_TIMEOUT, self.dispatcher.drained()).await.is_err() {
            self.dispatcher.abandon();
            self.dispatcher.drained().await;
        }
        self.write_line(true, newest);
    }

    fn write_line(&mut self, is_final: bool, newest: Option<ControlVersion>) {
        let at = self.clock.now().wall;
        let mut line = {
            let mut totals = self.recorder.totals();
            debug_assert!(!is_final || totals.unsettled() == 0, "a final line has no unsettled records");
            totals.next_line(self.limits.run, &self.task, at)
        };
        line.is_final = is_final;
        line.control = newest;
        self.ledger_writer.write_line(&line);
    }
}

fn log_send_state(send_state: &SendState) {
    match send_state {
        SendState::Sends { phase } => info!(phase, "sending"),
        SendState::Waits { until } => info!(%until, "waiting until the next records are due"),
        SendState::Lapsed => {
            warn!("not sending: the control document has expired or was not read recently enough")
        }
        SendState::Finished => info!("nothing to send"),
    }
}

/// Ticks are aligned to the wall clock, so a late tick does not delay the next ones. Each share has
/// its own offset, evenly spread over the interval, so that tasks at the same rate send a steady
/// stream instead of waves.
fn until_next_tick(now: Now, share: Option<Share>) -> Duration {
    let tick = i64::try_from(TICK.as_micros()).unwrap_or(i64::MAX);
    let offset = share.map_or(0, |share| tick * i64::from(share.position) / i64::from(share.of.max(1)));
    let elapsed = (now.wall.as_micros() - offset).rem_euclid(tick);
    Duration::from_micros((tick - elapsed).unsigned_abs())
}

/// State kept between iterations of the main loop.
#[derive(Debug, Default)]
struct WorkerState {
    send_state: Option<SendState>,
    /// The task's share of the traffic, if it has a slot.
    share: Option<Share>,
    /// Since its last final ledger line, the task was given a slot (even one that is not effective
    /// yet), sent records, or read `Stop`.
    owes_final_line: bool,
    line_due_at: Duration,
    /// The newest document accepted.
    newest: Option<ControlVersion>,
    /// The last reading, if it was rejected. Kept so that it is logged once.
    rejected: Option<Reading>,
}

impl WorkerState {
    fn update_share(&mut self, share: Option<Share>, send_state: &SendState) {
        let gained_slot = share.is_some() && self.share.is_none();
        self.owes_final_line |= gained_slot || matches!(send_state, SendState::Sends { .. });
        self.share = share;
    }

    fn differs_from(&self, send_state: &SendState) -> bool {
        self.send_state.as_ref() != Some(send_state)
    }
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;

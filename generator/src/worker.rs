//! One task's life. In: documents as they are read, the clock, a request to stop. Out: offers to the pacer, ledger lines.
//! It sleeps until the next thing that can happen, and ticks only while records fall due.

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
use crate::reader::Read;
use crate::recorder::Recorder;

/// How often what fell due is sent, which is also how long a record waits at the most: a change of rate shows well within
/// 300 ms, two seconds' arrivals hardly depend on where they are cut, and the requests are few at any rate.
const TICK: Duration = Duration::from_millis(20);

/// An end to sleeping when nothing is known to come, so that a wall clock that was set is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// How long a stopping task waits for its requests: longer than any record's last attempt can take, shorter than the 30 s
/// after which ECS kills (ECS API reference, ContainerDefinition, `stopTimeout`).
const LONGEST_DRAIN: Duration = Duration::from_secs(20);

/// Where ledger lines go.
pub trait LedgerWriter: Send {
    /// Writes one line.
    fn write_line(&mut self, line: &LedgerLine);
}

/// What a worker is made of.
pub struct Worker {
    /// The task's name.
    pub task: TaskId,
    /// What the task was started with. At its deadline the work ends.
    pub limits: TaskLimits,
    /// How often the ledger is written while the task has a slot or something new to say.
    pub ledger_every: Duration,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// The books.
    pub recorder: Arc<Recorder>,
    /// Delivers what the pacer hands over.
    pub dispatcher: Arc<Dispatcher>,
    /// Makes records.
    pub pacer: Pacer,
    /// Takes the ledger lines.
    pub ledger_writer: Box<dyn LedgerWriter>,
}

/// Why the work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The task was asked to stop.
    Stopped,
    /// The deadline passed.
    Ceiling,
}

impl Worker {
    /// Works until `stop` is ready or the deadline passes, drains, and says its last word.
    pub async fn work(mut self, mut reads: mpsc::Receiver<Read>, stop: impl Future<Output = ()>) -> End {
        tokio::pin!(stop);
        let mut gate = Gate::new(self.task.clone(), self.limits, self.clock.now());
        let mut course = WorkerState::default();
        let end = loop {
            let now = self.clock.now();
            if now.wall >= self.limits.deadline {
                break End::Ceiling;
            }
            self.pacer.offer(&gate.release(now), now);
            let standing = gate.send_state(now);
            course.note_share(gate.share(now), &standing);
            self.note(&standing, &mut course, now);
            let sleep = self.sleep_length(&standing, &course, now);
            // Only a task that has nothing else to send waits for what it has sent.
            let waits_for_answers =
                course.owes_last_word && standing == SendState::Finished && !self.dispatcher.is_idle();
            tokio::select! {
                biased;
                () = &mut stop => break End::Stopped,
                Some(read) = reads.recv() => self.take(&mut gate, read, &mut course),
                () = self.dispatcher.drained(), if waits_for_answers => {}
                () = tokio::time::sleep(sleep) => {}
            }
        };
        self.finish(end, course.held).await;
        end
    }

    fn take(&self, gate: &mut Gate, read: Read, course: &mut WorkerState) {
        let (epoch, version, state) = (read.document.epoch, read.document.version, read.document.state);
        let effective_at = read.document.effective_at;
        let reading = gate.take(read.document, read.began_at, self.clock.now());
        course.held = gate.newest().map(ControlVersion::from);
        if reading == Reading::NewVersion {
            let stops = state == ControlState::Stop;
            // The operator waits for a last line from every task that it gave a slot or told to stop; it cannot know which
            // of them have begun to send.
            course.owes_last_word |=
                stops || gate.newest().is_some_and(|held| held.share_of(&self.task).is_some());
            info!(epoch, version, stops, %effective_at, "new version of the control document");
        }
        let not_obeyed = Some(reading).filter(|reading| {
            matches!(reading, Reading::ForeignRun | Reading::Contradiction | Reading::BeyondLimits(_))
        });
        if not_obeyed != course.not_obeyed {
            match not_obeyed {
                Some(Reading::BeyondLimits(beyond)) => {
                    let why = beyond.to_string();
                    warn!(epoch, version, why, "the control document is not obeyed: it is not this plan's");
                }
                Some(Reading::Contradiction) => {
                    warn!(epoch, version, "the control document is not obeyed: it contradicts the one held");
                }
                Some(_) => warn!(epoch, version, "the control document is not obeyed: it is another run's"),
                None => info!(epoch, version, "the control document is obeyed again"),
            }
        }
        course.not_obeyed = not_obeyed;
    }

    /// Logs a change of course, and writes the ledger when it is time to.
    fn note(&mut self, standing: &SendState, course: &mut WorkerState, now: Now) {
        if course.changes_to(standing) {
            log_course(standing);
            // A phase that ended is in the ledger at once.
            course.line_due_at = now.running;
            course.standing = Some(standing.clone());
        }
        if *standing == SendState::Finished && course.owes_last_word && self.dispatcher.is_idle() {
            course.owes_last_word = false;
            course.line_due_at = now.running + self.ledger_every;
            self.write_line(true, course.held);
            return;
        }
        if now.running >= course.line_due_at {
            course.line_due_at = now.running + self.ledger_every;
            // While it has a slot it says so even without news: a task of which nothing is heard hangs.
            if course.owes_last_word || self.recorder.books().has_news() {
                self.write_line(false, course.held);
            }
        }
    }

    fn sleep_length(&self, standing: &SendState, course: &WorkerState, now: Now) -> Duration {
        let mut sleep = LONGEST_SLEEP.min(self.limits.deadline.since(now.wall));
        match standing {
            SendState::Sends { .. } => sleep = sleep.min(until_next_tick(now, course.share)),
            SendState::Waits { until } => sleep = sleep.min(until.since(now.wall)),
            SendState::Lapsed | SendState::Finished => {}
        }
        if course.owes_last_word || self.recorder.books().has_news() || !self.dispatcher.is_idle() {
            sleep = sleep.min(course.line_due_at.saturating_sub(now.running));
        }
        // The timer's grain is a millisecond: less would be no sleep at all.
        sleep.max(Duration::from_millis(1))
    }

    async fn finish(&mut self, end: End, held: Option<ControlVersion>) {
        match end {
            End::Stopped => info!("told to stop: draining"),
            End::Ceiling => {
                info!("the deadline has passed: draining");
                self.dispatcher.send_no_more();
            }
        }
        if tokio::time::timeout(LONGEST_DRAIN, self.dispatcher.drained()).await.is_err() {
            self.dispatcher.abandon();
            self.dispatcher.drained().await;
        }
        self.write_line(true, held);
    }

    fn write_line(&mut self, is_final: bool, held: Option<ControlVersion>) {
        let at = self.clock.now().wall;
        let mut line = {
            let mut books = self.recorder.books();
            debug_assert!(!is_final || books.unsettled() == 0, "a last word leaves nothing open");
            books.next_line(self.limits.run, &self.task, at)
        };
        line.is_final = is_final;
        line.control = held;
        self.ledger_writer.write_line(&line);
    }
}

fn log_course(standing: &SendState) {
    match standing {
        SendState::Sends { phase } => info!(phase, "sending"),
        SendState::Waits { until } => info!(%until, "waiting for the next records"),
        SendState::Lapsed => {
            warn!("not sending: the lease or the last reading of the control document is too old")
        }
        SendState::Finished => info!("nothing to send"),
    }
}

/// Ticks lie on a grid of the wall clock: a late one does not delay those after it. Each share has its own, and all of them
/// together are spread evenly, so that what several tasks send at one rate comes as a stream and not in waves.
fn until_next_tick(now: Now, share: Option<Share>) -> Duration {
    let tick = i64::try_from(TICK.as_micros()).unwrap_or(i64::MAX);
    let own = share.map_or(0, |share| tick * i64::from(share.position) / i64::from(share.of.max(1)));
    let into = (now.wall.as_micros() - own).rem_euclid(tick);
    Duration::from_micros((tick - into).unsigned_abs())
}

/// What the worker remembers from one round to the next.
#[derive(Debug, Default)]
struct WorkerState {
    standing: Option<SendState>,
    /// What is the task's own of the traffic, if it has a slot.
    share: Option<Share>,
    /// The task was given a slot, even one that does not count yet, or sent, or read `Stop`, since its last word.
    owes_last_word: bool,
    line_due_at: Duration,
    /// The newest document held.
    held: Option<ControlVersion>,
    /// What was read last, if it was not obeyed: it is logged once.
    not_obeyed: Option<Reading>,
}

impl WorkerState {
    fn note_share(&mut self, share: Option<Share>, standing: &SendState) {
        let is_given = share.is_some() && self.share.is_none();
        self.owes_last_word |= is_given || matches!(standing, SendState::Sends { .. });
        self.share = share;
    }

    fn changes_to(&self, standing: &SendState) -> bool {
        self.standing.as_ref() != Some(standing)
    }
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;

//! A generator as far as the operator can tell: it reads the control document, obeys it, and keeps its books. In: instants
//! and what surrounds the task. Out: what it sent, and its ledger lines. Sending takes no time.
//!
//! What is due to it is decided by the gate of the real generator. It is asked only when the task reads or writes: what the
//! gate hands out for a long stretch at once is the same as for many short ones.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::gate::{
    DueRecords, GapRule, Gate, LONGEST_READ_LEASE, Reading, SendState, TaskLimits,
};
use kinesis_demo_api::control::{ControlDocument, ControlState, TaskId};
use kinesis_demo_api::ledger::{ControlVersion, Counters};
use kinesis_demo_api::schedule::{ScheduleSegment, Share};
use kinesis_demo_api::time::Now;

use super::FakeAws;
use super::kinesis::Stream;
use super::logs::{Line, LogGroup};
use super::parameters::Parameter;

/// How often a task without a document looks for one.
const FIRST_READ_EVERY: Duration = Duration::from_secs(1);

/// What one task sent during a stretch of time in which nothing changed for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub task: TaskId,
    pub stream: Arc<str>,
    pub run: u32,
    /// Epoch and version of the document in force.
    pub version: (u64, u64),
    pub phase: String,
    pub span: ScheduleSegment,
    pub share: Share,
    pub cap_per_task: u32,
    pub from: MicroTime,
    pub until: MicroTime,
    pub count: u64,
}

impl Sent {
    fn new(task: TaskId, stream: Arc<str>, run: u32, due: DueRecords) -> Self {
        let DueRecords { version, segment, share, count, from, until } = due;
        Self {
            task,
            stream,
            run,
            version,
            phase: segment.phase,
            span: segment.span,
            share,
            cap_per_task: segment.cap_per_task,
            from,
            until,
            count,
        }
    }

    /// How many of the records were sent in [`from`, `until`).
    pub fn within(&self, from: MicroTime, until: MicroTime) -> u64 {
        let (from, until) = (from.max(self.from), until.min(self.until));
        if from >= until { 0 } else { self.share.due(&self.span, from, until, self.cap_per_task) }
    }

    fn continues(&self, earlier: &Self) -> bool {
        earlier.until == self.from
            && earlier.version == self.version
            && earlier.span == self.span
            && earlier.share == self.share
            && earlier.cap_per_task == self.cap_per_task
            && earlier.phase == self.phase
    }
}

/// What a task can reach.
pub(super) struct TaskEnvironment<'a> {
    pub(super) parameters: &'a BTreeMap<String, Parameter>,
    pub(super) streams: &'a BTreeMap<String, Stream>,
    pub(super) stored: &'a mut BTreeMap<String, u64>,
    pub(super) log_groups: &'a mut BTreeMap<String, LogGroup>,
    /// Whether the streams refuse what is above their capacity; then `settle` tells what became of the records.
    pub(super) limited: bool,
    pub(super) log_delivery: Duration,
}

/// The environment that the task definition gave.
#[derive(Clone, Debug)]
struct Environment {
    limits: TaskLimits,
    parameter: String,
    stream: Arc<str>,
    ledger_every: Duration,
}

impl Environment {
    /// As the real generator reads it: `None` is a process that exits with a usage error.
    fn parse(environment: &BTreeMap<String, String>) -> Option<Self> {
        let get = |name: &str| environment.get(name).map(String::as_str);
        for needed in ["AWS_REGION", "KINESISDEMO_RUN_NAME"] {
            get(needed).filter(|value| !value.is_empty())?;
        }
        let scale_to_zero: jiff::Timestamp = get("KINESISDEMO_DEADLINE")?.parse().ok()?;
        let ledger_every = get("KINESISDEMO_LEDGER_EVERY_SECONDS").map_or(Ok(5), str::parse).ok()?;
        Some(Self {
            limits: TaskLimits {
                run: get("KINESISDEMO_RUN")?.parse().ok()?,
                deadline: scale_to_zero.into(),
                max_records_per_second: get("KINESISDEMO_MAX_RECORDS_PER_SECOND")?.parse().ok()?,
                longest_read_lease: LONGEST_READ_LEASE,
            },
            parameter: get("KINESISDEMO_CONTROL_PARAMETER")?.to_owned(),
            stream: get("KINESISDEMO_STREAM")?.into(),
            ledger_every: Duration::from_secs(Some(ledger_every).filter(|every| (1..=300).contains(every))?),
        })
    }
}

pub(super) struct Generator {
    task: TaskId,
    environment: Environment,
    log_group: String,
    gate: Gate,
    next_read_at: MicroTime,
    next_line_at: MicroTime,
    sends: bool,
    sequence: u64,
    books: BTreeMap<String, Counters>,
    unwritten: bool,
    /// It was given a slot, or sent, since its last word.
    owes_last_word: bool,
    had_slot: bool,
    unsettled: BTreeMap<String, u64>,
    sent: Vec<Sent>,
}

impl Generator {
    /// The process that starts `at`; `None` if it exits at once because its environment is no good.
    pub(super) fn new(
        task: TaskId,
        environment: &BTreeMap<String, String>,
        log_group: &str,
        gap_rule: GapRule,
        at: MicroTime,
    ) -> Option<Self> {
        let environment = Environment::parse(environment)?;
        Some(Self {
            gate: Gate::with_gap_rule(task.clone(), environment.limits, gap_rule, now(at)),
            task,
            log_group: log_group.to_owned(),
            next_read_at: at,
            next_line_at: at + environment.ledger_every,
            sends: true,
            sequence: 0,
            books: BTreeMap::new(),
            unwritten: false,
            owes_last_word: false,
            had_slot: false,
            unsettled: BTreeMap::new(),
            sent: Vec::new(),
            environment,
        })
    }

    pub(super) fn sent(&self) -> &[Sent] {
        &self.sent
    }

    pub(super) fn deadline(&self) -> MicroTime {
        self.environment.limits.deadline
    }

    pub(super) fn sends_to(&self, stream: &str) -> bool {
        &*self.environment.stream == stream
    }

    /// Lives up to `until`: reads, sends, writes.
    pub(super) fn live_until(&mut self, until: MicroTime, around: &mut TaskEnvironment<'_>) {
        if !self.sends {
            return;
        }
        loop {
            let next = self.next_read_at.min(self.next_line_at);
            if next > until {
                break;
            }
            self.send_until(next, around);
            if next == self.next_read_at {
                self.read(next, around.parameters);
                let every = self.gate.newest().map_or(FIRST_READ_EVERY, ControlDocument::read_every);
                self.next_read_at = next + every;
            }
            if next == self.next_line_at {
                if self.unwritten || self.owes_last_word {
                    self.write_line(next, false, around);
                }
                self.next_line_at = next + self.environment.ledger_every;
            }
            self.note_state(next, around);
        }
        self.send_until(until, around);
    }

    /// A task that has a slot, or sent, says its last word when nothing more is due and every record is settled.
    fn note_state(&mut self, at: MicroTime, around: &mut TaskEnvironment<'_>) {
        let has_slot = self.gate.share(now(at)).is_some();
        self.owes_last_word |= has_slot && !self.had_slot;
        self.had_slot = has_slot;
        let finished = || self.gate.send_state(now(at)) == SendState::Finished;
        if self.owes_last_word && self.unsettled() == 0 && finished() {
            self.owes_last_word = false;
            self.next_line_at = at + self.environment.ledger_every;
            self.write_line(at, true, around);
        }
    }

    /// SIGTERM: nothing is sent any more.
    pub(super) fn stop_sending(&mut self) {
        self.sends = false;
    }

    /// The ledger's final line.
    pub(super) fn say_last_word(&mut self, at: MicroTime, around: &mut TaskEnvironment<'_>) {
        self.write_line(at, true, around);
    }

    /// Records sent whose outcome is open.
    pub(super) fn unsettled(&self) -> u64 {
        self.unsettled.values().sum()
    }

    /// Of the records whose outcome is open, `accepted` were taken and the others refused and given up.
    pub(super) fn settle(&mut self, mut accepted: u64) {
        for (phase, count) in std::mem::take(&mut self.unsettled) {
            let taken = accepted.min(count);
            accepted -= taken;
            let books = self.books.entry(phase).or_default();
            books.accepted += taken;
            books.failed += count - taken;
            books.throttled += count - taken;
            self.unwritten = true;
        }
    }

    fn read(&mut self, at: MicroTime, parameters: &BTreeMap<String, Parameter>) {
        let document = parameters.get(&self.environment.parameter).and_then(Parameter::document);
        if let Some(document) = document {
            let now = now(at);
            let reading = self.gate.take(Arc::clone(document), now.running, now);
            let owes = document.state == ControlState::Stop || document.share_of(&self.task).is_some();
            self.owes_last_word |= reading == Reading::NewVersion && owes;
        }
    }

    fn send_until(&mut self, at: MicroTime, around: &mut TaskEnvironment<'_>) {
        for due in self.gate.release(now(at)) {
            let (task, stream) = (self.task.clone(), Arc::clone(&self.environment.stream));
            self.send(Sent::new(task, stream, self.environment.limits.run, due), around);
        }
    }

    fn send(&mut self, sent: Sent, around: &mut TaskEnvironment<'_>) {
        self.unwritten = true;
        self.owes_last_word = true;
        let books = self.books.entry(sent.phase.clone()).or_default();
        books.offered += sent.count;
        match around.streams.get(&*sent.stream).is_some_and(Stream::takes_records) {
            false => books.failed += sent.count,
            true if around.limited => *self.unsettled.entry(sent.phase.clone()).or_default() += sent.count,
            true => {
                books.accepted += sent.count;
                *around.stored.entry(sent.stream.to_string()).or_default() += sent.count;
            }
        }
        match self.sent.last_mut() {
            Some(last) if sent.continues(last) => {
                last.until = sent.until;
                last.count += sent.count;
            }
            _ => self.sent.push(sent),
        }
    }

    fn write_line(&mut self, at: MicroTime, is_final: bool, around: &mut TaskEnvironment<'_>) {
        self.sequence += 1;
        self.unwritten = false;
        // Without its log group a line is lost, as with the awslogs driver.
        let Some(group) = around.log_groups.get_mut(&self.log_group) else { return };
        group.lines.push(Line {
            visible_at: at + around.log_delivery,
            run: self.environment.limits.run,
            task: self.task.clone(),
            sequence: self.sequence,
            at,
            is_final,
            control: self.gate.newest().map(ControlVersion::from),
            books: self.books.clone(),
        });
    }
}

/// The manual clock never jumps: both of a task's clocks follow it.
fn now(at: MicroTime) -> Now {
    Now { wall: at, running: at.since(MicroTime::from_micros(0)) }
}

impl FakeAws {
    /// How tasks that start from now on treat a gap between the numbers of the documents that they read.
    pub fn set_gap_rule(&self, gap_rule: GapRule) {
        self.now().settings.gap_rule = gap_rule;
    }
}

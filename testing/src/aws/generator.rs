//! A generator as the operator sees it: it reads the control document, follows it, and counts its
//! records. In: instants and the task's environment. Out: what it sent, and its ledger lines.
//! Sending takes no time.
//!
//! The gate of the real generator decides which records are due. It is called only when the task
//! reads or writes: the gate releases the same records for one long stretch as for many short ones.

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

/// How often a task without a document tries to read one.
const FIRST_READ_EVERY: Duration = Duration::from_secs(1);

/// What one task sent during a stretch of time without changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub task: TaskId,
    pub stream: Arc<str>,
    pub run: u32,
    /// The epoch and version of the document in effect.
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

    /// The number of records sent in [`from`, `until`).
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

/// The resources that a task can reach.
pub(super) struct TaskEnvironment<'a> {
    pub(super) parameters: &'a BTreeMap<String, Parameter>,
    pub(super) streams: &'a BTreeMap<String, Stream>,
    pub(super) stored: &'a mut BTreeMap<String, u64>,
    pub(super) log_groups: &'a mut BTreeMap<String, LogGroup>,
    /// Whether streams have limited capacity. If so, `settle` decides the outcome of records.
    pub(super) limited: bool,
    pub(super) log_delivery: Duration,
}

/// The environment from the task definition.
#[derive(Clone, Debug)]
struct Environment {
    limits: TaskLimits,
    parameter: String,
    stream: Arc<str>,
    ledger_every: Duration,
}

impl Environment {
    /// Parses it as the real generator does. `None` stands for a process that exits with a usage
    /// error.
    fn parse(environment: &BTreeMap<String, String>) -> Option<Self> {
        let get = |name: &str| environment.get(name).map(String::as_str);
        for needed in ["AWS_REGION", "KINESISDEMO_RUN_NAME"] {
            get(needed).filter(|value| !value.is_empty())?;
        }
        let deadline: jiff::Timestamp = get("KINESISDEMO_DEADLINE")?.parse().ok()?;
        let ledger_every = get("KINESISDEMO_LEDGER_EVERY_SECONDS").map_or(Ok(5), str::parse).ok()?;
        Some(Self {
            limits: TaskLimits {
                run: get("KINESISDEMO_RUN")?.parse().ok()?,
                deadline: deadline.into(),
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
    counters: BTreeMap<String, Counters>,
    unwritten: bool,
    /// Whether the task got a slot, or sent records, since its last final line.
    owes_final_line: bool,
    had_slot: bool,
    unsettled: BTreeMap<String, u64>,
    sent: Vec<Sent>,
}

impl Generator {
    /// A process that starts `at`. `None` if it exits at once because its environment is invalid.
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
            counters: BTreeMap::new(),
            unwritten: false,
            owes_final_line: false,
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

    /// Simulates the task up to `until`: it reads, sends and writes.
    pub(super) fn run_until(&mut self, until: MicroTime, task_env: &mut TaskEnvironment<'_>) {
        if !self.sends {
            return;
        }
        loop {
            let next = self.next_read_at.min(self.next_line_at);
            if next > until {
                break;
            }
            self.send_until(next, task_env);
            if next == self.next_read_at {
                self.read(next, task_env.parameters);
                let every = self.gate.newest().map_or(FIRST_READ_EVERY, ControlDocument::read_every);
                self.next_read_at = next + every;
            }
            if next == self.next_line_at {
                if self.unwritten || self.owes_final_line {
                    self.write_line(next, false, task_env);
                }
                self.next_line_at = next + self.environment.ledger_every;
            }
            self.note_state(next, task_env);
        }
        self.send_until(until, task_env);
    }

    /// Writes the final line of a task that had a slot or sent records, once nothing more is due
    /// and every record is settled.
    fn note_state(&mut self, at: MicroTime, task_env: &mut TaskEnvironment<'_>) {
        let has_slot = self.gate.share(now(at)).is_some();
        self.owes_final_line |= has_slot && !self.had_slot;
        self.had_slot = has_slot;
        let finished = || self.gate.send_state(now(at)) == SendState::Finished;
        if self.owes_final_line && self.unsettled() == 0 && finished() {
            self.owes_final_line = false;
            self.next_line_at = at + self.environment.ledger_every;
            self.write_line(at, true, task_env);
        }
    }

    /// Handles SIGTERM: sends nothing more.
    pub(super) fn stop_sending(&mut self) {
        self.sends = false;
    }

    /// Writes the ledger's final line.
    pub(super) fn write_final_line(&mut self, at: MicroTime, task_env: &mut TaskEnvironment<'_>) {
        self.write_line(at, true, task_env);
    }

    /// The number of records sent whose outcome is open.
    pub(super) fn unsettled(&self) -> u64 {
        self.unsettled.values().sum()
    }

    /// Settles all records with an open outcome: `accepted` of them were accepted, the others were
    /// throttled and failed.
    pub(super) fn settle(&mut self, mut accepted: u64) {
        for (phase, count) in std::mem::take(&mut self.unsettled) {
            let taken = accepted.min(count);
            accepted -= taken;
            let counters = self.counters.entry(phase).or_default();
            counters.accepted += taken;
            counters.failed += count - taken;
            counters.throttled += count - taken;
            self.unwritten = true;
        }
    }

    fn read(&mut self, at: MicroTime, parameters: &BTreeMap<String, Parameter>) {
        let document = parameters.get(&self.environment.parameter).and_then(Parameter::document);
        if let Some(document) = document {
            let now = now(at);
            let reading = self.gate.take(Arc::clone(document), now.running, now);
            let owes_line = document.state == ControlState::Stop || document.share_of(&self.task).is_some();
            self.owes_final_line |= reading == Reading::NewVersion && owes_line;
        }
    }

    fn send_until(&mut self, at: MicroTime, task_env: &mut TaskEnvironment<'_>) {
        for due in self.gate.release(now(at)) {
            let (task, stream) = (self.task.clone(), Arc::clone(&self.environment.stream));
            self.send(Sent::new(task, stream, self.environment.limits.run, due), task_env);
        }
    }

    fn send(&mut self, sent: Sent, task_env: &mut TaskEnvironment<'_>) {
        self.unwritten = true;
        self.owes_final_line = true;
        let counters = self.counters.entry(sent.phase.clone()).or_default();
        counters.offered += sent.count;
        match task_env.streams.get(&*sent.stream).is_some_and(Stream::takes_records) {
            false => counters.failed += sent.count,
            true if task_env.limited => *self.unsettled.entry(sent.phase.clone()).or_default() += sent.count,
            true => {
                counters.accepted += sent.count;
                *task_env.stored.entry(sent.stream.to_string()).or_default() += sent.count;
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

    fn write_line(&mut self, at: MicroTime, is_final: bool, task_env: &mut TaskEnvironment<'_>) {
        self.sequence += 1;
        self.unwritten = false;
        // Without its log group, a line is lost, as with the awslogs driver.
        let Some(group) = task_env.log_groups.get_mut(&self.log_group) else { return };
        group.lines.push(Line {
            visible_at: at + task_env.log_delivery,
            run: self.environment.limits.run,
            task: self.task.clone(),
            sequence: self.sequence,
            at,
            is_final,
            control: self.gate.newest().map(ControlVersion::from),
            counters: self.counters.clone(),
        });
    }
}

/// The manual clock never jumps, so both clocks of a task follow it.
fn now(at: MicroTime) -> Now {
    Now { wall: at, running: at.since(MicroTime::from_micros(0)) }
}

impl FakeAws {
    /// Sets how tasks that start from now on treat a gap between the versions of the documents that
    /// they read.
    pub fn set_gap_rule(&self, gap_rule: GapRule) {
        self.now().settings.gap_rule = gap_rule;
    }
}

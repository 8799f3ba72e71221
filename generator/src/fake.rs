//! A small world for tests: clocks that follow paused Tokio time, a stream that stores, refuses and loses, a control
//! document to be read, and journals that remember.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::{Content, ControlDocument, ControlState, SCHEMA, Segment, TaskId};
use kinesis_demo_api::ledger::LedgerLine;
use kinesis_demo_api::schedule::ScheduleSegment;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;

use crate::batch::Batch;
use crate::clock::{Clock, Now};
use crate::error::ReadError;
use crate::reader::ControlSource;
use crate::sender::{Answer, Outcome, Refusal, Sender};
use crate::worker::LedgerWriter;

/// When every test begins.
pub const T0: MicroTime = MicroTime::from_micros(1_700_000_000_000_000);

pub fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A segment of viral posts at one rate; `from` and `until` are milliseconds after the start.
pub fn segment(phase: &str, from: u64, until: u64, rate: u32) -> Segment {
    Segment {
        phase: phase.to_owned(),
        span: ScheduleSegment::whole(T0 + ms(from), T0 + ms(until), [rate, rate]),
        content: Content::Viral,
        cap_per_task: 100_000,
    }
}

/// Version 1 of run 1, from the start on: valid for a minute, read every second, a reading counts 15 s.
pub fn document(slots: Vec<Option<TaskId>>, segments: Vec<Segment>) -> ControlDocument {
    ControlDocument {
        schema: SCHEMA,
        epoch: 1,
        version: 1,
        run: 1,
        state: ControlState::Run,
        effective_at: T0,
        valid_until: T0 + ms(60_000),
        ends_by: T0 + ms(600_000),
        read_every_seconds: 1,
        read_lease_seconds: 15,
        slots,
        segments,
    }
}

/// Clocks that move with Tokio's, paused or not, and count how often they are asked.
pub struct TokioClock {
    started: Instant,
    pub asked: AtomicUsize,
}

impl TokioClock {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { started: Instant::now(), asked: AtomicUsize::new(0) })
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Now {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let running = self.started.elapsed();
        Now { wall: T0 + running, running }
    }
}

/// How a stream treats requests. Shares are per mille of the requests, or of the records for `refuse_records`.
#[derive(Clone, Debug, Default)]
pub struct Nature {
    pub latency: Duration,
    pub refuse_records: u32,
    pub refuse_requests: u32,
    pub lose_before_storing: u32,
    pub lose_after_storing: u32,
    /// No request is ever answered.
    pub hangs: bool,
    /// Records stored per second of the clock, at most.
    pub capacity: Option<usize>,
}

/// A stream that remembers what it stored.
pub struct FakeStream {
    clock: Arc<dyn Clock>,
    pub nature: Mutex<Nature>,
    rng: Mutex<ChaCha8Rng>,
    world: Mutex<ServiceState>,
}

#[derive(Default)]
struct ServiceState {
    requests: Vec<Arrived>,
    stored: BTreeMap<Vec<u8>, usize>,
    stored_per_second: BTreeMap<u64, usize>,
    under_way: usize,
    most_under_way: usize,
}

/// A request as the stream saw it.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// How long after the beginning.
    pub at: Duration,
    pub records: Vec<Vec<u8>>,
    pub answer: Answer,
}

impl FakeStream {
    pub fn new(clock: Arc<dyn Clock>, nature: Nature, seed: u64) -> Arc<Self> {
        let rng = Mutex::new(ChaCha8Rng::seed_from_u64(seed));
        Arc::new(Self { clock, nature: Mutex::new(nature), rng, world: Mutex::default() })
    }

    pub fn requests(&self) -> Vec<Arrived> {
        self.world.lock().unwrap().requests.clone()
    }

    /// How many records are stored, and how often the most frequent of them is.
    pub fn stored(&self) -> (usize, usize) {
        let world = self.world.lock().unwrap();
        (world.stored.values().sum(), world.stored.values().copied().max().unwrap_or(0))
    }

    pub fn most_under_way(&self) -> usize {
        self.world.lock().unwrap().most_under_way
    }

    fn happens(&self, per_mille: u32) -> bool {
        self.rng.lock().unwrap().random_range(0..1_000) < per_mille
    }

    fn treat(&self, nature: &Nature, records: &[Vec<u8>]) -> Answer {
        if self.happens(nature.refuse_requests) {
            return Answer::Refused(if self.happens(500) { Refusal::Throughput } else { Refusal::Other });
        }
        if self.happens(nature.lose_before_storing) {
            return Answer::Lost;
        }
        let second = self.clock.now().running.as_secs();
        let outcomes = records.iter().map(|record| {
            if self.happens(nature.refuse_records) {
                return Outcome::Refused(if self.happens(800) {
                    Refusal::Throughput
                } else {
                    Refusal::Other
                });
            }
            let mut world = self.world.lock().unwrap();
            let stored = world.stored_per_second.entry(second).or_default();
            if nature.capacity.is_some_and(|capacity| *stored >= capacity) {
                return Outcome::Refused(Refusal::Throughput);
            }
            *stored += 1;
            *world.stored.entry(record.clone()).or_default() += 1;
            Outcome::Accepted
        });
        let answer = Answer::PerRecord(outcomes.collect());
        if self.happens(nature.lose_after_storing) { Answer::Lost } else { answer }
    }
}

#[async_trait]
impl Sender for FakeStream {
    async fn put(&self, batch: &Batch) -> Answer {
        let at = self.clock.now().running;
        let records: Vec<_> = batch.records().iter().map(|record| batch.data(record).to_vec()).collect();
        let nature = self.nature.lock().unwrap().clone();
        {
            let mut world = self.world.lock().unwrap();
            world.under_way += 1;
            world.most_under_way = world.most_under_way.max(world.under_way);
        }
        let answer = self.treat(&nature, &records);
        self.world.lock().unwrap().requests.push(Arrived { at, records, answer: answer.clone() });
        if nature.hangs {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(nature.latency).await;
        self.world.lock().unwrap().under_way -= 1;
        answer
    }
}

/// A parameter: what it says, or that it cannot be read.
#[derive(Default)]
pub struct FakeParameter {
    text: Mutex<Option<String>>,
    is_broken: Mutex<bool>,
    reads: Mutex<Vec<Instant>>,
}

impl FakeParameter {
    pub fn put(&self, text: impl Into<String>) {
        *self.text.lock().unwrap() = Some(text.into());
    }

    pub fn set_broken(&self, is_broken: bool) {
        *self.is_broken.lock().unwrap() = is_broken;
    }

    pub fn reads(&self) -> Vec<Instant> {
        self.reads.lock().unwrap().clone()
    }
}

#[async_trait]
impl ControlSource for FakeParameter {
    async fn fetch(&self) -> Result<Option<String>, ReadError> {
        self.reads.lock().unwrap().push(Instant::now());
        if *self.is_broken.lock().unwrap() {
            return Err(ReadError::Get("broken".into()));
        }
        Ok(self.text.lock().unwrap().clone())
    }
}

/// A journal that remembers its lines.
#[derive(Clone, Default)]
pub struct MemoryLedgerWriter(Arc<Mutex<Vec<LedgerLine>>>);

impl MemoryLedgerWriter {
    pub fn lines(&self) -> Vec<LedgerLine> {
        self.0.lock().unwrap().clone()
    }
}

impl LedgerWriter for MemoryLedgerWriter {
    fn write_line(&mut self, line: &LedgerLine) {
        self.0.lock().unwrap().push(line.clone());
    }
}

//! Fakes for tests: clocks that follow Tokio's (possibly paused) time, a stream that stores,
//! rejects and loses records, a control parameter, and a ledger writer that keeps its lines.

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
use crate::sender::{RecordOutcome, Rejection, SendOutcome, Sender};
use crate::worker::LedgerWriter;

/// The instant at which every test starts.
pub const T0: MicroTime = MicroTime::from_micros(1_700_000_000_000_000);

pub fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A segment of viral posts at a constant rate, from `from` to `until` milliseconds after the
/// start.
pub fn segment(phase: &str, from: u64, until: u64, rate: u32) -> Segment {
    Segment {
        phase: phase.to_owned(),
        span: ScheduleSegment::whole(T0 + ms(from), T0 + ms(until), [rate, rate]),
        content: Content::Viral,
        cap_per_task: 100_000,
    }
}

/// Version 1 of run 1, effective at the start and valid for a minute. Tasks read it every second
/// and their read lease is 15 s.
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

/// Clocks that follow Tokio's time, paused or not, and count their calls.
pub struct TokioClock {
    started: Instant,
    pub calls: AtomicUsize,
}

impl TokioClock {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { started: Instant::now(), calls: AtomicUsize::new(0) })
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Now {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let running = self.started.elapsed();
        Now { wall: T0 + running, running }
    }
}

/// How a stream responds. Probabilities are per mille of the requests, or of the records for
/// `reject_records`.
#[derive(Clone, Debug, Default)]
pub struct StreamBehavior {
    pub latency: Duration,
    pub reject_records: u32,
    pub reject_requests: u32,
    pub lose_before_storing: u32,
    pub lose_after_storing: u32,
    /// No request gets a response.
    pub hangs: bool,
    /// Most records stored per second of the clock.
    pub capacity: Option<usize>,
}

/// A stream that keeps its requests and counts the records it stored.
pub struct FakeStream {
    clock: Arc<dyn Clock>,
    pub behavior: Mutex<StreamBehavior>,
    rng: Mutex<ChaCha8Rng>,
    state: Mutex<ServiceState>,
}

#[derive(Default)]
struct ServiceState {
    requests: Vec<RecordedRequest>,
    stored: BTreeMap<Vec<u8>, usize>,
    stored_per_second: BTreeMap<u64, usize>,
    in_flight: usize,
    max_in_flight: usize,
}

/// A request that arrived at the stream.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    /// Time since the start of the test.
    pub at: Duration,
    pub records: Vec<Vec<u8>>,
    pub send_outcome: SendOutcome,
}

impl FakeStream {
    pub fn new(clock: Arc<dyn Clock>, behavior: StreamBehavior, seed: u64) -> Arc<Self> {
        let rng = Mutex::new(ChaCha8Rng::seed_from_u64(seed));
        Arc::new(Self { clock, behavior: Mutex::new(behavior), rng, state: Mutex::default() })
    }

    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.state.lock().unwrap().requests.clone()
    }

    /// The number of stored records, counting duplicates, and the largest number of copies of one
    /// record.
    pub fn stored(&self) -> (usize, usize) {
        let state = self.state.lock().unwrap();
        (state.stored.values().sum(), state.stored.values().copied().max().unwrap_or(0))
    }

    pub fn max_in_flight(&self) -> usize {
        self.state.lock().unwrap().max_in_flight
    }

    fn chance(&self, per_mille: u32) -> bool {
        self.rng.lock().unwrap().random_range(0..1_000) < per_mille
    }

    fn respond(&self, behavior: &StreamBehavior, records: &[Vec<u8>]) -> SendOutcome {
        if self.chance(behavior.reject_requests) {
            return SendOutcome::Rejected(if self.chance(500) {
                Rejection::Throughput
            } else {
                Rejection::Other
            });
        }
        if self.chance(behavior.lose_before_storing) {
            return SendOutcome::Unknown;
        }
        let second = self.clock.now().running.as_secs();
        let outcomes = records.iter().map(|record| {
            if self.chance(behavior.reject_records) {
                return RecordOutcome::Rejected(if self.chance(800) {
                    Rejection::Throughput
                } else {
                    Rejection::Other
                });
            }
            let mut state = self.state.lock().unwrap();
            let stored = state.stored_per_second.entry(second).or_default();
            if behavior.capacity.is_some_and(|capacity| *stored >= capacity) {
                return RecordOutcome::Rejected(Rejection::Throughput);
            }
            *stored += 1;
            *state.stored.entry(record.clone()).or_default() += 1;
            RecordOutcome::Accepted
        });
        let send_outcome = SendOutcome::PerRecord(outcomes.collect());
        if self.chance(behavior.lose_after_storing) { SendOutcome::Unknown } else { send_outcome }
    }
}

#[async_trait]
impl Sender for FakeStream {
    async fn put(&self, batch: &Batch) -> SendOutcome {
        let at = self.clock.now().running;
        let records: Vec<_> = batch.records().iter().map(|record| batch.data(record).to_vec()).collect();
        let behavior = self.behavior.lock().unwrap().clone();
        {
            let mut state = self.state.lock().unwrap();
            state.in_flight += 1;
            state.max_in_flight = state.max_in_flight.max(state.in_flight);
        }
        let send_outcome = self.respond(&behavior, &records);
        self.state.lock().unwrap().requests.push(RecordedRequest {
            at,
            records,
            send_outcome: send_outcome.clone(),
        });
        if behavior.hangs {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(behavior.latency).await;
        self.state.lock().unwrap().in_flight -= 1;
        send_outcome
    }
}

/// A control parameter with a settable text and a switch that makes reads fail.
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

/// A ledger writer that keeps its lines in memory.
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

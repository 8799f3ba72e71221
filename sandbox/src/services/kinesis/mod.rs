//! Amazon Kinesis Data Streams: control plane and data plane over a pure `world`, behind one lock.
//!
//! The only things here that touch the outside are the clock and the ticker, which lets time pass when nobody calls.

mod commitment;
mod constraints;
mod control;
mod error;
mod hash;
mod listing;
mod load_history;
mod put;
pub mod put_parameters;
mod put_request;
mod rate_limit;
mod read;
mod record_log;
mod rules;
mod shard;
mod shards;
mod stream;
mod tags;
mod view;
mod world;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use self::commitment::{Commitment, DesiredState};
use self::world::{KinesisState, RECORD_MEMORY_BYTES};
use crate::clock::{ModelClock, Moment};
use crate::ingest_statistics::IngestStatistics;
use crate::protocol::Encoding;
use crate::services::{AwsError, Call, Caller, Service};

/// How often time passes without a call; short against the shortest delay at usual speeds.
const TICK: Duration = Duration::from_millis(100);

/// The service.
pub struct Kinesis {
    clock: ModelClock,
    world: Mutex<KinesisState>,
}

impl Kinesis {
    /// An account without streams; with `is_committed`, every region starts with On-demand Advantage.
    pub fn new(clock: ModelClock, is_committed: bool, arrivals: Arc<IngestStatistics>) -> Arc<Self> {
        let mut initial = Commitment::NEVER;
        if is_committed {
            initial.update(DesiredState::Enabled, clock.now());
        }
        let world = KinesisState::new(arrivals, initial, RECORD_MEMORY_BYTES);
        Arc::new(Self { clock, world: Mutex::new(world) })
    }

    /// Lets time pass until the service is dropped. Spawns on the current runtime.
    pub fn tick(self: &Arc<Self>) {
        let service: Weak<Self> = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            loop {
                ticks.tick().await;
                let Some(service) = service.upgrade() else { return };
                drop(service.world());
            }
        });
    }

    /// The world as of now.
    fn world(&self) -> (MutexGuard<'_, KinesisState>, Moment) {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: time must not run backwards for the world.
        let now = self.clock.moment();
        world.advance(now);
        (world, now)
    }

    /// `PutRecords`, from body to body.
    pub fn put_records(&self, caller: &Caller, encoding: Encoding, body: &[u8]) -> Result<Vec<u8>, AwsError> {
        let batch = put::batch(encoding, body)?;
        let name = control::stream_name(batch.name.as_deref(), batch.arn.as_deref(), caller)?;
        let records = batch.records();
        let (mut world, now) = self.world();
        if batch.dry_run {
            return Err(world.dry_put(caller, &name, &records));
        }
        let outcomes = world.put(caller, &name, &records, now)?;
        drop(world);
        put::answer(encoding, &outcomes, &name, &caller.account)
    }
}

#[async_trait]
impl Service for Kinesis {
    async fn call(&self, call: Call<'_>) -> Result<Value, AwsError> {
        let members = rules::checked(call.operation, call.input)?;
        let (mut world, now) = self.world();
        control::perform(&mut world, &self.clock, call.operation, &members, call.caller, now)
    }

    fn state(&self, _now: Timestamp) -> Value {
        let (world, _) = self.world();
        let mut streams = Vec::new();
        let mut commitments = serde_json::Map::new();
        for (name, region) in world.regions() {
            let is_committed = region.commitment.is_committed();
            for stream in region.streams.values() {
                let mut shown = view::summary(stream, is_committed);
                shown["Region"] = json!(name);
                shown["Tags"] = json!(stream.design.tags);
                shown["ForgottenRecords"] = json!(stream.forgotten_records);
                streams.push(shown);
            }
            commitments.insert(name.clone(), view::commitment(&region.commitment, &self.clock));
        }
        json!({
            "streams": streams,
            "minimumThroughputBillingCommitment": commitments,
            "recordBytesHeld": world.held_bytes(),
        })
    }
}

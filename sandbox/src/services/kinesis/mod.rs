//! Amazon Kinesis Data Streams: control plane and data plane, on a pure state (`world`) behind one
//! lock.
//!
//! Only the clock and the ticker touch the outside. The ticker advances the state even without
//! calls.

mod commitment;
mod control;
mod error;
mod hash;
mod listing;
mod load_history;
mod pattern;
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
mod unknown_members;
mod view;
mod world;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use self::commitment::{Commitment, DesiredState};
use self::world::{KinesisState, RECORD_MEMORY_BYTES};
use crate::call::{AwsError, Call, Caller};
use crate::clock::{ModelClock, Moment};
use crate::ingest_statistics::IngestStatistics;
use crate::protocol::Encoding;
use crate::services::Service;

/// How often the state advances without a call; short compared with the shortest delay at usual
/// speeds.
const TICK: Duration = Duration::from_millis(100);

/// The service.
pub struct Kinesis {
    clock: ModelClock,
    world: Mutex<KinesisState>,
}

impl Kinesis {
    /// An account without streams. With `is_committed`, every region starts with On-demand
    /// Advantage.
    pub fn new(clock: ModelClock, is_committed: bool, arrivals: Arc<IngestStatistics>) -> Arc<Self> {
        let mut initial = Commitment::NEVER;
        if is_committed {
            initial.update(DesiredState::Enabled, clock.now());
        }
        let world = KinesisState::new(arrivals, initial, RECORD_MEMORY_BYTES);
        Arc::new(Self { clock, world: Mutex::new(world) })
    }

    /// Advances the state periodically until the service is dropped. Spawns on the current runtime.
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

    /// The state, advanced to the current time.
    fn world(&self) -> (MutexGuard<'_, KinesisState>, Moment) {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, so that time never runs backwards for the state.
        let now = self.clock.moment();
        world.advance(now);
        (world, now)
    }

    /// `PutRecords`, from request body to response body.
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
        put::response(encoding, &outcomes, &name, &caller.account)
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
                shown["Tags"] = json!(stream.spec.tags);
                shown["ForgottenRecords"] = json!(stream.forgotten_records);
                streams.push(shown);
            }
            commitments.insert(name.clone(), view::commitment(&region.commitment, &self.clock));
        }
        json!({
            "streams": streams,
            "minimumThroughputBillingCommitment": commitments,
            "recordBytesHeld": world.record_bytes(),
        })
    }
}

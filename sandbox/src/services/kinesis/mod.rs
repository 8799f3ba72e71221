//! Amazon Kinesis Data Streams: control plane and data plane, on a pure state behind one lock. How
//! streams scale is in `model`.
//!
//! Only the clock and the ticker touch the outside. The ticker advances the state even without
//! calls. The service checks requests itself (`parameters`), and `PutRecords` bypasses the generic
//! JSON.

mod errors;
mod model;
mod ops;
mod parameters;
mod request;
mod state;
mod view;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::call::{AwsError, Call, Caller};
use crate::clock::{ModelClock, Moment};
use crate::ingest_statistics::IngestStatistics;
use crate::protocol::Encoding;
use crate::services::Service;
use model::commitment::{Commitment, DesiredState};
use ops::{account, list_shards, put_record, put_records, read_records, streams, tags};
use request::{Request, stream_name};
use state::{KinesisState, RECORD_MEMORY_BYTES};

/// How often the state advances without a call; short compared with the shortest delay at usual
/// speeds.
const TICK: Duration = Duration::from_millis(100);

/// The service.
pub struct Kinesis {
    clock: ModelClock,
    state: Mutex<KinesisState>,
}

impl Kinesis {
    /// An account without streams. With `is_committed`, every region starts with On-demand
    /// Advantage.
    pub fn new(clock: ModelClock, is_committed: bool, ingest_statistics: Arc<IngestStatistics>) -> Arc<Self> {
        let mut initial = Commitment::NEVER;
        if is_committed {
            initial.update(DesiredState::Enabled, clock.now());
        }
        let state = KinesisState::new(ingest_statistics, initial, RECORD_MEMORY_BYTES);
        Arc::new(Self { clock, state: Mutex::new(state) })
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
                drop(service.advanced());
            }
        });
    }

    /// The state, advanced to the current time.
    fn advanced(&self) -> (MutexGuard<'_, KinesisState>, Moment) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, so that time never runs backwards for the state.
        let now = self.clock.moment();
        state.advance(now);
        (state, now)
    }

    /// `PutRecords`, from request body to response body.
    pub fn put_records(&self, caller: &Caller, encoding: Encoding, body: &[u8]) -> Result<Vec<u8>, AwsError> {
        let batch = put_records::batch(encoding, body)?;
        let name = stream_name(batch.name.as_deref(), batch.arn.as_deref(), caller)?;
        let records = batch.records();
        let (mut state, now) = self.advanced();
        if batch.dry_run {
            return Err(state.dry_put(caller, &name, &records));
        }
        let outcomes = state.put(caller, &name, &records, now)?;
        drop(state);
        put_records::response(encoding, &outcomes, &name, &caller.account)
    }

    /// What reached each shard per second, for the admin API: streams with one name or ARN, or all.
    pub fn shard_windows(&self, wanted: Option<&str>, since: Option<Timestamp>) -> Value {
        let (mut state, now) = self.advanced();
        let streams = state.shard_windows(wanted, since);
        drop(state);
        json!({ "now": now.wall, "streams": streams })
    }

    /// The parameters of a `PutRecords` body that its error messages need.
    pub fn put_records_parameters(encoding: Encoding, body: &[u8]) -> Result<Value, AwsError> {
        put_records::error_parameters::read(encoding, body)
    }
}

#[async_trait]
impl Service for Kinesis {
    async fn call(&self, call: Call<'_>) -> Result<Value, AwsError> {
        let input = ops::checked(call.operation, call.input)?;
        let (mut state, now) = self.advanced();
        let state = &mut *state;
        let request = Request { input: &input, caller: call.caller, clock: &self.clock, now };
        match call.operation {
            "DescribeAccountSettings" => account::describe_account_settings(state, request),
            "UpdateAccountSettings" => account::update_account_settings(state, request),
            "DescribeLimits" => account::describe_limits(state, request),
            "CreateStream" => streams::create_stream(state, request),
            "ListStreams" => streams::list_streams(state, request),
            "DeleteStream" => streams::delete_stream(state, request),
            "DescribeStreamSummary" => streams::describe_stream_summary(state, request),
            "DescribeStream" => list_shards::describe_stream(state, request),
            "ListShards" => list_shards::list_shards(state, request),
            "UpdateStreamRecordDistributionStrategy" => streams::update_distribution(state, request),
            "UpdateStreamWarmThroughput" => streams::update_warm_throughput(state, request),
            "IncreaseStreamRetentionPeriod" => streams::increase_retention(state, request),
            "DecreaseStreamRetentionPeriod" => streams::decrease_retention(state, request),
            "TagResource" | "AddTagsToStream" => tags::add_tags(state, request),
            "UntagResource" | "RemoveTagsFromStream" => tags::remove_tags(state, request),
            "ListTagsForResource" => tags::list_all_tags(state, request),
            "ListTagsForStream" => tags::list_tags_by_page(state, request),
            "GetShardIterator" => read_records::get_shard_iterator(state, request),
            "GetRecords" => read_records::get_records(state, request),
            "PutRecord" => put_record::put_record(state, request),
            _ => Err(AwsError::client("UnknownOperationException", "")),
        }
    }

    fn state(&self, _now: Timestamp) -> Value {
        let (state, _) = self.advanced();
        view::all(&state, &self.clock)
    }
}

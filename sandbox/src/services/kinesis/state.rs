//! What exists in Kinesis: regions, their streams and commitments, and the bounded memory for
//! records. With time, everything in it advances (`model`). Pure.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

use super::errors;
use super::model::commitment::Commitment;
use super::model::shard::RecordId;
use super::model::shard_windows::{NewStream, ShardWindows, StreamShards};
use super::model::stream::{Incoming, Stream, StreamIdentity};
use super::model::stream_spec::{Distribution, Mode, StreamSpec};
use crate::call::{AwsError, Caller};
use crate::clock::Moment;
use crate::ingest_statistics::{IngestStatistics, Tally};

/// Memory for readable records. AWS keeps records for the retention period; here the oldest are
/// dropped beyond this size.
pub const RECORD_MEMORY_BYTES: usize = 256 << 20;
/// API reference, `CreateStream`: "more than five streams in the CREATING state".
const MAX_CREATING: usize = 5;
/// Developer guide, "Quotas and limits": on-demand streams per account and region.
pub const MAX_ON_DEMAND_STREAMS: usize = 50;
/// Developer guide, "Quotas and limits": the regions with the high default quotas.
const LARGE_REGIONS: [&str; 3] = ["us-east-1", "us-west-2", "eu-west-1"];

/// The default quota of shards of an account's provisioned streams (20,000, or 1,000 in the
/// smallest regions).
pub fn shard_quota(region: &str) -> usize {
    if LARGE_REGIONS.contains(&region) { 20_000 } else { 1_000 }
}

/// The default quota of write throughput of one on-demand stream, in MiB/s (10 GiB/s, or 200 MB/s
/// elsewhere). It also limits warm throughput (developer guide, "Quotas and limits").
pub fn throughput_quota_mib(region: &str) -> u32 {
    if LARGE_REGIONS.contains(&region) { 10_240 } else { 200 }
}

/// One region of the account.
pub struct Region {
    /// The account's billing commitment in this region.
    pub commitment: Commitment,
    /// The streams by name.
    pub streams: BTreeMap<String, Stream>,
}

/// The complete state.
pub struct KinesisState {
    ingest_statistics: Arc<IngestStatistics>,
    shard_windows: ShardWindows,
    initial: Commitment,
    regions: BTreeMap<String, Region>,
    next_uid: u64,
    memory: RecordMemory,
}

/// The segments of stored records, oldest first.
struct RecordMemory {
    limit: usize,
    used: usize,
    segments: VecDeque<StoredSegment>,
}

struct StoredSegment {
    stream: u64,
    shard: u32,
}

/// The result of storing a record.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    /// It is stored.
    Stored(RecordId),
    /// This shard's limit per second was reached.
    Throttled(u32),
}

impl KinesisState {
    /// An account without streams. Every region starts with the given commitment.
    pub fn new(ingest_statistics: Arc<IngestStatistics>, initial: Commitment, memory_limit: usize) -> Self {
        let memory = RecordMemory { limit: memory_limit, used: 0, segments: VecDeque::new() };
        let shard_windows = ShardWindows::default();
        Self { ingest_statistics, shard_windows, initial, regions: BTreeMap::new(), next_uid: 0, memory }
    }

    /// Advances all regions to `now`.
    pub fn advance(&mut self, now: Moment) {
        if self.shard_windows.is_over(now.wall) {
            self.collect_windows();
            self.shard_windows.begin(now.wall);
        }
        for region in self.regions.values_mut() {
            region.commitment.advance(now.model);
            if !region.commitment.is_committed() {
                // Warm throughput requires a commitment. A caller cannot end a commitment while
                // warm throughput is set. If it was set after the end was requested, it is removed
                // when the commitment ends (ours).
                region.streams.values_mut().for_each(|stream| stream.spec.warm_mib = 0);
            }
            region.streams.retain(|_, stream| {
                let is_deleted = stream.advance(now);
                self.memory.used -= stream.take_expired_bytes().min(self.memory.used);
                if is_deleted {
                    self.memory.used -= stream.closed_cost().min(self.memory.used);
                    self.shard_windows.collect(stream.identity.uid, &mut stream.shards);
                    self.shard_windows.close(stream.identity.uid, now.wall);
                }
                !is_deleted
            });
        }
    }

    fn collect_windows(&mut self) {
        for stream in self.regions.values_mut().flat_map(|region| region.streams.values_mut()) {
            self.shard_windows.collect(stream.identity.uid, &mut stream.shards);
        }
    }

    /// What reached each shard of the streams with one name or ARN, or of all. The last window may
    /// not be over.
    pub fn shard_windows(&mut self, wanted: Option<&str>, since: Option<Timestamp>) -> Vec<StreamShards> {
        self.collect_windows();
        self.shard_windows.report(wanted, since)
    }

    /// The regions that have been used.
    pub fn regions(&self) -> &BTreeMap<String, Region> {
        &self.regions
    }

    /// The size of the readable records, in bytes.
    pub fn record_bytes(&self) -> usize {
        self.memory.used
    }

    /// The caller's region.
    pub fn region(&mut self, caller: &Caller) -> &mut Region {
        let initial = self.initial;
        self.regions
            .entry(caller.region.clone())
            .or_insert_with(|| Region { commitment: initial, streams: BTreeMap::new() })
    }

    /// A stream by name.
    pub fn stream(&mut self, caller: &Caller, name: &str) -> Result<&mut Stream, AwsError> {
        let not_found = errors::stream_not_found(name, &caller.account);
        self.region(caller).streams.get_mut(name).ok_or(not_found)
    }

    /// Begins to create a stream, within the account's quotas.
    pub fn create(&mut self, caller: &Caller, spec: StreamSpec, now: Moment) -> Result<(), AwsError> {
        let region = self.region(caller);
        let account = &caller.account;
        if region.streams.contains_key(&spec.name) {
            return Err(errors::stream_exists(&spec.name, account));
        }
        if region.streams.values().filter(|stream| stream.is_creating()).count() >= MAX_CREATING {
            return Err(errors::limit(format!(
                "Limit for streams being created concurrently exceeded for account {account}: {MAX_CREATING}."
            )));
        }
        match spec.mode {
            Mode::OnDemand => {
                let on_demand = region.on_demand_streams();
                if on_demand >= MAX_ON_DEMAND_STREAMS {
                    return Err(errors::limit(format!(
                        "This request would exceed the on-demand stream limit for the account {account} in {}. Current \
                         on-demand stream count for the account: {on_demand}. Limit: {MAX_ON_DEMAND_STREAMS}.",
                        caller.region
                    )));
                }
            }
            Mode::Provisioned => {
                let quota = shard_quota(&caller.region);
                let current = region.provisioned_shards();
                let wanted = spec.shards as usize;
                if current + wanted > quota {
                    return Err(errors::limit(format!(
                        "This request would exceed the shard limit for the account {account} in {}. Current shard count \
                         for the account: {current}. Limit: {quota}. Number of additional shards that would have resulted \
                         from this request: {wanted}. Refer to the AWS Service Limits page \
                         (http://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html) for current limits and \
                         how to request higher limits.",
                        caller.region
                    )));
                }
            }
        }
        let arn = format!("arn:aws:kinesis:{}:{account}:stream/{}", caller.region, spec.name);
        let ingest_id = self.ingest_statistics.open(&spec.name, &arn, now.wall);
        let uid = self.next_uid;
        self.shard_windows.open(NewStream { uid, name: &spec.name, arn: &arn, created_at: now.wall });
        let identity = StreamIdentity { uid, arn, ingest_id };
        self.next_uid += 1;
        let name = spec.name.clone();
        let stream = Stream::create(identity, spec, throughput_quota_mib(&caller.region), now);
        self.region(caller).streams.insert(name, stream);
        Ok(())
    }

    /// The result of a dry run of [`KinesisState::put`]: the error of the real call, or the error
    /// that reports success.
    pub fn dry_put(&mut self, caller: &Caller, name: &str, records: &[Incoming<'_>]) -> AwsError {
        stream_for_put(&mut self.regions, caller, name, records).err().unwrap_or_else(errors::dry_run)
    }

    /// Stores records in a stream; each record is stored or rejected individually.
    pub fn put(
        &mut self,
        caller: &Caller,
        name: &str,
        records: &[Incoming<'_>],
        now: Moment,
    ) -> Result<Vec<Outcome>, AwsError> {
        let stream = stream_for_put(&mut self.regions, caller, name, records)?;
        let not_found = || errors::stream_not_found(name, &caller.account);
        let mut tally = Tally::default();
        let mut outcomes = Vec::with_capacity(records.len());
        for record in records {
            match stream.put(*record, now.wall).ok_or_else(not_found)? {
                Ok(stored) => {
                    tally.records += 1;
                    tally.bytes += (record.key.len() + record.data.len()) as u64;
                    if let Some(cost) = stored.closed_segment {
                        self.memory.used += cost;
                        self.memory
                            .segments
                            .push_back(StoredSegment { stream: stream.identity.uid, shard: stored.id.shard });
                    }
                    outcomes.push(Outcome::Stored(stored.id));
                }
                Err(shard) => {
                    tally.throttled += 1;
                    outcomes.push(Outcome::Throttled(shard));
                }
            }
        }
        self.ingest_statistics.count(stream.identity.ingest_id, now.wall, tally);
        self.trim();
        Ok(outcomes)
    }

    /// Drops the oldest records until the memory is within its limit.
    fn trim(&mut self) {
        while self.memory.used > self.memory.limit {
            let Some(oldest) = self.memory.segments.pop_front() else { return };
            let mut streams = self.regions.values_mut().flat_map(|region| region.streams.values_mut());
            // The memory of deleted streams has already been freed.
            if let Some(stream) = streams.find(|stream| stream.identity.uid == oldest.stream) {
                let freed = stream.drop_oldest(oldest.shard);
                self.memory.used -= freed.min(self.memory.used);
            }
        }
    }
}

/// The stream for new records, if it accepts them.
fn stream_for_put<'a>(
    regions: &'a mut BTreeMap<String, Region>,
    caller: &Caller,
    name: &str,
    records: &[Incoming<'_>],
) -> Result<&'a mut Stream, AwsError> {
    let not_found = || errors::stream_not_found(name, &caller.account);
    let region = regions.get_mut(&caller.region).ok_or_else(not_found)?;
    let stream = region.streams.get_mut(name).filter(|stream| !stream.is_creating()).ok_or_else(not_found)?;
    let largest = stream.spec.max_record_kib as usize * 1024;
    if records.iter().any(|record| record.key.len() + record.data.len() > largest) {
        return Err(errors::invalid(format!(
            "The combined size of a record's data and partition key exceeds the stream's maximum record size of \
             {largest} bytes"
        )));
    }
    if stream.spec.distribution == Distribution::UserPartitionKey {
        let keyless = records.iter().enumerate().filter(|(_, record)| record.key.is_empty());
        let positions: Vec<usize> = keyless.map(|(position, _)| position).collect();
        if !positions.is_empty() {
            return Err(errors::missing_keys(&positions));
        }
    }
    Ok(stream)
}

impl Region {
    /// The number of on-demand streams.
    pub fn on_demand_streams(&self) -> usize {
        self.streams.values().filter(|stream| stream.spec.mode == Mode::OnDemand).count()
    }

    /// The number of shards that provisioned streams have or will have.
    pub fn provisioned_shards(&self) -> usize {
        let provisioned = self.streams.values().filter(|stream| stream.spec.mode == Mode::Provisioned);
        provisioned.map(|stream| stream.spec.shards as usize).sum()
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;

//! Everything Kinesis holds: regions, their streams and commitments, and the bounded memory for records. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::commitment::Commitment;
use super::error;
use super::put;
use super::shard::Place;
use super::stream::{Distribution, Identity, Incoming, Mode, Stream, StreamSpec};
use crate::clock::Moment;
use crate::ingest_statistics::{IngestStatistics, Tally};
use crate::services::{AwsError, Caller};

/// Memory for records that can be read back. AWS keeps them for the retention period; a laptop cannot, so the oldest go.
pub const RECORD_MEMORY_BYTES: usize = 256 << 20;
/// API reference, `CreateStream`: "more than five streams in the CREATING state".
const MAX_CREATING: usize = 5;
/// Developer guide, "Quotas and limits": on-demand streams per account and region.
pub const MAX_ON_DEMAND_STREAMS: usize = 50;
/// Developer guide, "Quotas and limits": the regions with the high default quotas.
const LARGE_REGIONS: [&str; 3] = ["us-east-1", "us-west-2", "eu-west-1"];

/// The shards of provisioned streams an account may have by default (20,000, or 1,000 in the smallest regions).
pub fn shard_quota(region: &str) -> usize {
    if LARGE_REGIONS.contains(&region) { 20_000 } else { 1_000 }
}

/// The write throughput one on-demand stream may reach by default, in MiB/s (10 GiB/s, or 200 MB/s elsewhere), which is also
/// the largest warm throughput (developer guide, "Quotas and limits").
pub fn throughput_quota_mib(region: &str) -> u32 {
    if LARGE_REGIONS.contains(&region) { 10_240 } else { 200 }
}

/// One region of the account.
pub struct Region {
    /// The account's billing commitment here.
    pub commitment: Commitment,
    /// The streams by name.
    pub streams: BTreeMap<String, Stream>,
}

/// The whole of it.
pub struct KinesisState {
    arrivals: Arc<IngestStatistics>,
    initial: Commitment,
    regions: BTreeMap<String, Region>,
    next_uid: u64,
    memory: RecordMemory,
}

/// Which segments hold records, oldest first.
struct RecordMemory {
    limit: usize,
    held: usize,
    segments: VecDeque<Segment>,
}

struct Segment {
    stream: u64,
    shard: u32,
}

/// What became of a record.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    /// It is stored.
    Stored(Place),
    /// This shard's second was full.
    Throttled(u32),
}

impl KinesisState {
    /// An account without streams. Every region starts with the given commitment.
    pub fn new(arrivals: Arc<IngestStatistics>, initial: Commitment, memory_limit: usize) -> Self {
        let memory = RecordMemory { limit: memory_limit, held: 0, segments: VecDeque::new() };
        Self { arrivals, initial, regions: BTreeMap::new(), next_uid: 0, memory }
    }

    /// Lets time pass everywhere.
    pub fn advance(&mut self, now: Moment) {
        for region in self.regions.values_mut() {
            region.commitment.advance(now.model);
            if !region.commitment.is_committed() {
                // Warm throughput exists only under a commitment. A caller cannot end one while it is set; what was set
                // after the end was asked for goes with it (ours).
                region.streams.values_mut().for_each(|stream| stream.design.warm_mib = 0);
            }
            region.streams.retain(|_, stream| {
                let gone = stream.advance(now);
                self.memory.held -= stream.take_expired_bytes().min(self.memory.held);
                if gone {
                    self.memory.held -= stream.closed_cost().min(self.memory.held);
                }
                !gone
            });
        }
    }

    /// The regions that were ever used.
    pub fn regions(&self) -> &BTreeMap<String, Region> {
        &self.regions
    }

    /// Bytes held to be read back.
    pub fn held_bytes(&self) -> usize {
        self.memory.held
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
        let not_found = error::stream_not_found(name, &caller.account);
        self.region(caller).streams.get_mut(name).ok_or(not_found)
    }

    /// Begins to create a stream, within the account's quotas.
    pub fn create(&mut self, caller: &Caller, design: StreamSpec, now: Moment) -> Result<(), AwsError> {
        let region = self.region(caller);
        let account = &caller.account;
        if region.streams.contains_key(&design.name) {
            return Err(error::stream_exists(&design.name, account));
        }
        if region.streams.values().filter(|stream| stream.is_creating()).count() >= MAX_CREATING {
            return Err(error::limit(format!(
                "Limit for streams being created concurrently exceeded for account {account}: {MAX_CREATING}."
            )));
        }
        match design.mode {
            Mode::OnDemand => {
                let on_demand = region.on_demand_streams();
                if on_demand >= MAX_ON_DEMAND_STREAMS {
                    return Err(error::limit(format!(
                        "This request would exceed the on-load_history stream limit for the account {account} in {}. Current \
                         on-load_history stream count for the account: {on_demand}. Limit: {MAX_ON_DEMAND_STREAMS}.",
                        caller.region
                    )));
                }
            }
            Mode::Provisioned => {
                let quota = shard_quota(&caller.region);
                let current = region.provisioned_shards();
                let wanted = design.shards as usize;
                if current + wanted > quota {
                    return Err(error::limit(format!(
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
        let arn = format!("arn:aws:kinesis:{}:{account}:stream/{}", caller.region, design.name);
        let book = self.arrivals.open(&design.name, &arn, now.wall);
        let identity = Identity { uid: self.next_uid, arn, book };
        self.next_uid += 1;
        let name = design.name.clone();
        let stream = Stream::create(identity, design, throughput_quota_mib(&caller.region), now);
        self.region(caller).streams.insert(name, stream);
        Ok(())
    }

    /// What a dry run of [`KinesisState::put`] is told: why the records would be refused, or that they would not be.
    pub fn dry_put(&mut self, caller: &Caller, name: &str, records: &[Incoming<'_>]) -> AwsError {
        taking(&mut self.regions, caller, name, records).err().unwrap_or_else(error::dry_run)
    }

    /// Stores records in a stream, each in its shard or not at all.
    pub fn put(
        &mut self,
        caller: &Caller,
        name: &str,
        records: &[Incoming<'_>],
        now: Moment,
    ) -> Result<Vec<Outcome>, AwsError> {
        let stream = taking(&mut self.regions, caller, name, records)?;
        let not_found = || error::stream_not_found(name, &caller.account);
        let mut tally = Tally::default();
        let mut outcomes = Vec::with_capacity(records.len());
        for record in records {
            match stream.put(*record, now.wall).ok_or_else(not_found)? {
                Ok(stored) => {
                    tally.records += 1;
                    tally.bytes += (record.key.len() + record.data.len()) as u64;
                    if let Some(cost) = stored.closed_segment {
                        self.memory.held += cost;
                        self.memory
                            .segments
                            .push_back(Segment { stream: stream.identity.uid, shard: stored.place.shard });
                    }
                    outcomes.push(Outcome::Stored(stored.place));
                }
                Err(shard) => {
                    tally.throttled += 1;
                    outcomes.push(Outcome::Throttled(shard));
                }
            }
        }
        self.arrivals.count(stream.identity.book, now.wall, tally);
        self.trim();
        Ok(outcomes)
    }

    /// Gives up the oldest records until memory is within its bound.
    fn trim(&mut self) {
        while self.memory.held > self.memory.limit {
            let Some(oldest) = self.memory.segments.pop_front() else { return };
            let mut streams = self.regions.values_mut().flat_map(|region| region.streams.values_mut());
            // A stream that is gone has given its memory back already.
            if let Some(stream) = streams.find(|stream| stream.identity.uid == oldest.stream) {
                let freed = stream.forget_oldest(oldest.shard);
                self.memory.held -= freed.min(self.memory.held);
            }
        }
    }
}

/// The stream that is to take records, if it takes them.
fn taking<'a>(
    regions: &'a mut BTreeMap<String, Region>,
    caller: &Caller,
    name: &str,
    records: &[Incoming<'_>],
) -> Result<&'a mut Stream, AwsError> {
    let not_found = || error::stream_not_found(name, &caller.account);
    let region = regions.get_mut(&caller.region).ok_or_else(not_found)?;
    let stream = region.streams.get_mut(name).filter(|stream| !stream.is_creating()).ok_or_else(not_found)?;
    let largest = stream.design.max_record_kib as usize * 1024;
    if records.iter().any(|record| record.key.len() + record.data.len() > largest) {
        return Err(error::invalid(format!(
            "The combined size of a record's data and partition key exceeds the stream's maximum record size of \
             {largest} bytes"
        )));
    }
    if stream.design.distribution == Distribution::UserPartitionKey {
        let keyless = records.iter().enumerate().filter(|(_, record)| record.key.is_empty());
        let positions: Vec<usize> = keyless.map(|(position, _)| position).collect();
        if !positions.is_empty() {
            return Err(put::missing_keys(&positions));
        }
    }
    Ok(stream)
}

impl Region {
    /// How many on-demand streams there are.
    pub fn on_demand_streams(&self) -> usize {
        self.streams.values().filter(|stream| stream.design.mode == Mode::OnDemand).count()
    }

    /// How many shards provisioned streams have or will have.
    pub fn provisioned_shards(&self) -> usize {
        let provisioned = self.streams.values().filter(|stream| stream.design.mode == Mode::Provisioned);
        provisioned.map(|stream| stream.design.shards as usize).sum()
    }
}

#[cfg(test)]
#[path = "world_tests.rs"]
mod tests;

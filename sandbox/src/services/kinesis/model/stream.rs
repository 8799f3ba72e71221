//! One stream: its settings, its lifecycle, and how its capacity follows its traffic. Pure; time is
//! passed in.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use super::load::{Load, MilliShards};
use super::load_history::{INITIAL_SHARDS, LoadHistory};
use super::shard::RecordId;
use super::shards::Shards;
use super::stream_spec::{Distribution, Mode, StreamSpec};
use crate::clock::Moment;
use crate::ingest_statistics::IngestId;

// Durations in model time. AWS publishes only "a few minutes" for warm-up (API reference,
// `UpdateStreamWarmThroughput`). These are ours, from what users report (Terraform's waiters and
// acceptance tests).
const CREATION: SignedDuration = SignedDuration::from_secs(20);
const DELETION: SignedDuration = SignedDuration::from_secs(30);
const RETENTION_CHANGE: SignedDuration = SignedDuration::from_secs(10);
const WARM_UP: SignedDuration = SignedDuration::from_secs(60);
const WARM_UP_PER_DOUBLING: SignedDuration = SignedDuration::from_secs(30);
/// The model time over which traffic is averaged, but at least one second of wall time.
const MEASUREMENT: SignedDuration = SignedDuration::from_secs(20);
const SHORTEST_REAL_MEASUREMENT: SignedDuration = SignedDuration::from_secs(1);
/// From needing more capacity to starting to split, and from there to the new shards.
const REACTION: SignedDuration = SignedDuration::from_secs(120);
const SPLITTING: SignedDuration = SignedDuration::from_secs(60);
/// A shard that throttles at this load is split even if the stream as a whole has room, because its
/// keys are hot.
const SATURATED: MilliShards = MilliShards(900);

/// The lifecycle phase of a stream.
enum Phase {
    Creating {
        until: Timestamp,
        shards: u32,
    },
    Active,
    /// Capacity changes in `steps`, on request.
    Warming {
        steps: VecDeque<(Timestamp, u32)>,
        until: Timestamp,
    },
    /// Shards split, or merge down to `shards`, according to the traffic.
    Resharding {
        until: Timestamp,
        shards: u32,
    },
    Settling {
        until: Timestamp,
    },
    Deleting {
        until: Timestamp,
    },
}

/// The identity of a stream, which never changes.
pub struct StreamIdentity {
    /// Unique in the sandbox, unlike names.
    pub uid: u64,
    /// The ARN.
    pub arn: String,
    /// Its entry in the ingest statistics.
    pub ingest_id: IngestId,
}

/// A stream.
pub struct Stream {
    /// Its identity.
    pub identity: StreamIdentity,
    /// Its settings from `CreateStream`; some can be changed later.
    pub spec: StreamSpec,
    /// When it was created.
    pub created_at: Moment,
    /// How many hours records are retained.
    pub retention_hours: u32,
    /// Its shards.
    pub shards: Shards,
    /// The number of records dropped to bound memory.
    pub forgotten_records: u64,
    /// The maximum number of shards of one on-demand stream under the region's throughput quota.
    max_shards: u32,
    phase: Phase,
    load_history: LoadHistory,
    measured_since: Moment,
    hottest: Vec<u32>,
    saturated: u32,
    growing_since: Option<Timestamp>,
    turn: usize,
    expired_bytes: usize,
}

impl Stream {
    /// A stream whose creation begins now.
    pub fn create(identity: StreamIdentity, spec: StreamSpec, max_shards: u32, now: Moment) -> Self {
        let (shards, warming) = match spec.mode {
            Mode::Provisioned => (spec.shards, SignedDuration::ZERO),
            Mode::OnDemand => {
                let goal = spec.warm_mib.max(INITIAL_SHARDS);
                let steps = levels(INITIAL_SHARDS, goal).len();
                (goal, WARM_UP_PER_DOUBLING * i32::try_from(steps).unwrap_or(i32::MAX))
            }
        };
        Self {
            identity,
            spec,
            created_at: now,
            retention_hours: 24,
            shards: Shards::default(),
            forgotten_records: 0,
            max_shards,
            phase: Phase::Creating { until: later(now.model, CREATION + warming), shards },
            load_history: LoadHistory::new(shards, now.model),
            measured_since: now,
            hottest: Vec::new(),
            saturated: 0,
            growing_since: None,
            turn: 0,
            expired_bytes: 0,
        }
    }

    /// The status in the API.
    pub fn status(&self) -> &'static str {
        match self.phase {
            Phase::Creating { .. } => "CREATING",
            Phase::Active => "ACTIVE",
            // API reference, `StreamDescriptionSummary`: "UPDATING - Shards in the stream are being
            // merged or split."
            Phase::Warming { .. } | Phase::Resharding { .. } | Phase::Settling { .. } => "UPDATING",
            Phase::Deleting { .. } => "DELETING",
        }
    }

    /// Whether it can be changed.
    pub fn is_active(&self) -> bool {
        matches!(self.phase, Phase::Active)
    }

    /// Whether it is still being created, so that it can neither be written nor read.
    pub fn is_creating(&self) -> bool {
        matches!(self.phase, Phase::Creating { .. })
    }

    /// The current write capacity, in MiB/s.
    pub fn current_mib(&self) -> u32 {
        self.shards.open_count()
    }

    /// Begins the deletion. Data can be read and written until it completes (API reference,
    /// `DeleteStream`).
    pub fn delete(&mut self, now: Moment) {
        self.phase = Phase::Deleting { until: later(now.model, DELETION) };
    }

    /// Changes the retention period.
    pub fn retain(&mut self, hours: u32, now: Moment) {
        self.retention_hours = hours;
        self.phase = Phase::Settling { until: later(now.model, RETENTION_CHANGE) };
    }

    /// Begins to move the capacity to the requested warm throughput. This also scales down, but
    /// never below what the last hour's peak needs (What's New 2026-07-24, "on-demand scale-down").
    pub fn warm(&mut self, mib: u32, now: Moment) {
        self.spec.warm_mib = mib;
        let goal = mib.max(self.load_history.needed_recently()).min(self.max_shards);
        if goal < self.shards.open_count() {
            self.load_history.forget_history();
        }
        let mut at = later(now.model, WARM_UP);
        let mut steps = VecDeque::new();
        for level in levels(self.shards.open_count(), goal) {
            at = later(at, WARM_UP_PER_DOUBLING);
            steps.push_back((at, level));
        }
        self.phase = Phase::Warming { steps, until: at };
    }

    /// Advances to `now`. Returns `true` if the stream is deleted.
    pub fn advance(&mut self, now: Moment) -> bool {
        // First, because the shards that are split or merged below have not expired.
        let retention = SignedDuration::from_hours(self.retention_hours.into());
        self.expired_bytes += self.shards.expire(retention, now.model);
        match &mut self.phase {
            Phase::Creating { until, shards } if now.model >= *until => {
                self.shards = Shards::create(*shards, now);
                self.measured_since = now;
                self.phase = Phase::Active;
            }
            Phase::Warming { steps, until } => {
                let mut reached = None;
                while let Some((at, level)) = steps.front()
                    && now.model >= *at
                {
                    reached = Some(*level);
                    steps.pop_front();
                }
                let done = now.model >= *until;
                if let Some(level) = reached {
                    self.resize(level, &[], true, now);
                }
                if done {
                    self.phase = Phase::Active;
                }
            }
            Phase::Resharding { until, shards } if now.model >= *until => {
                let goal = *shards;
                self.phase = Phase::Active;
                // The fullest shards first, because their keys are hot.
                let fullest = std::mem::take(&mut self.hottest);
                self.resize(goal, &fullest, false, now);
            }
            Phase::Settling { until } if now.model >= *until => self.phase = Phase::Active,
            Phase::Deleting { until } if now.model >= *until => return true,
            _ => {}
        }
        self.measure(now);
        false
    }

    /// Splits shards until there are `shards`, beginning with `first`, or merges down to that
    /// number.
    fn resize(&mut self, shards: u32, first: &[u32], on_request: bool, now: Moment) {
        match shards.checked_sub(self.shards.open_count()) {
            None => self.shards.shrink(shards, now),
            Some(wanted) => {
                let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
                self.shards.split_in_halves(first.get(..wanted).unwrap_or(first), now);
                self.shards.grow(shards, now);
            }
        }
        self.load_history.resized(self.shards.open_count(), on_request, now.model);
    }

    /// Measures the load since the last measurement, and starts to grow or shrink if needed.
    fn measure(&mut self, now: Moment) {
        let real = now.wall.duration_since(self.measured_since.wall);
        let long_enough = now.model.duration_since(self.measured_since.model) >= MEASUREMENT
            && real >= SHORTEST_REAL_MEASUREMENT;
        if !long_enough || self.is_creating() {
            return;
        }
        let mut total = Load::default();
        let mut throughputs = Vec::with_capacity(self.shards.open().len());
        self.saturated = 0;
        for shard in self.shards.open_mut() {
            let load = shard.load.since(&mut shard.measured);
            total.records += load.records;
            total.bytes += load.bytes;
            let throughput = MilliShards::of(load, real);
            self.saturated += u32::from(load.throttled > 0 && throughput >= SATURATED);
            throughputs.push((throughput, shard.index));
        }
        self.measured_since = now;
        if self.spec.mode == Mode::Provisioned {
            return;
        }
        self.load_history.note(MilliShards::of(total, real), now.model);
        throughputs.sort_unstable_by_key(|(throughput, index)| (std::cmp::Reverse(*throughput), *index));
        self.hottest = throughputs.into_iter().map(|(_, index)| index).collect();
        self.follow_traffic(now);
    }

    fn follow_traffic(&mut self, now: Moment) {
        let open = self.shards.open_count();
        let needed = self.load_history.needed().max(open.saturating_add(self.saturated));
        let goal = needed.min(self.load_history.attainable(now.model)).min(self.max_shards);
        if !self.is_active() {
            return;
        }
        if goal > open {
            let since = *self.growing_since.get_or_insert(now.model);
            if now.model >= later(since, REACTION) {
                self.growing_since = None;
                self.phase = Phase::Resharding { until: later(now.model, SPLITTING), shards: goal };
            }
            return;
        }
        self.growing_since = None;
        // Shrinking needs half the load of growing, so that the capacity does not oscillate.
        let low = self.load_history.needed().max(self.spec.warm_mib);
        if open >= low.saturating_mul(2) {
            self.phase = Phase::Resharding { until: later(now.model, SPLITTING), shards: low };
        }
    }

    /// The memory freed by expired shards since the last call.
    pub fn take_expired_bytes(&mut self) -> usize {
        std::mem::take(&mut self.expired_bytes)
    }

    /// The memory of the closed segments of all shards.
    pub fn closed_cost(&self) -> usize {
        self.shards.all().iter().map(|shard| shard.record_log.closed_cost()).sum()
    }

    /// Drops the oldest segment of a shard. Returns the freed memory in bytes.
    pub fn drop_oldest(&mut self, shard: u32) -> usize {
        // An expired shard has already freed its memory.
        let freed =
            self.shards.shard_mut(shard).map(|shard| shard.record_log.drop_oldest()).unwrap_or_default();
        self.forgotten_records += freed.records as u64;
        freed.bytes
    }

    /// Stores a record in its shard. `Err`: that shard's limit per second is reached.
    pub fn put(&mut self, record: Incoming<'_>, at: Timestamp) -> Option<Result<Stored, u32>> {
        let shard = match self.spec.distribution {
            Distribution::UserPartitionKey => self.shards.shard_for(record.hash)?,
            Distribution::Auto => {
                self.turn = self.turn.wrapping_add(1);
                self.shards.in_turn(self.turn)?
            }
        };
        Some(match shard.put(record.key, record.data, at) {
            Some((id, closed_segment)) => Ok(Stored { id, closed_segment }),
            None => Err(shard.index),
        })
    }
}

/// A record to be stored.
#[derive(Clone, Copy)]
pub struct Incoming<'a> {
    /// The partition key.
    pub key: &'a str,
    /// The hash that selects the shard.
    pub hash: u128,
    /// The data, decoded.
    pub data: &'a [u8],
}

/// A stored record.
pub struct Stored {
    /// The record's id.
    pub id: RecordId,
    /// The size of the segment that this record closed, if any.
    pub closed_segment: Option<usize>,
}

/// The capacities between two levels, doubling or halving at each step.
fn levels(from: u32, to: u32) -> Vec<u32> {
    let mut levels = Vec::new();
    let mut level = from.max(1);
    while level != to {
        level = if level < to { level.saturating_mul(2).min(to) } else { (level / 2).max(to) };
        levels.push(level);
    }
    levels
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;

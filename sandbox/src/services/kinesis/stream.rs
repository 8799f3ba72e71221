//! One stream: what it is, where it stands in its life, and how its capacity follows its traffic. Pure; time is passed in.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use super::load_history::{INITIAL_SHARDS, LoadHistory, MilliShards};
use super::shard::{Load, Place};
use super::shards::Shards;
use crate::clock::Moment;
use crate::ingest_statistics::BookId;

// How long things take, in model time. AWS names no figures but "a few minutes" for warm-up (API reference,
// `UpdateStreamWarmThroughput`); these are ours, from what users report (Terraform's waiters and acceptance tests).
const CREATION: SignedDuration = SignedDuration::from_secs(20);
const DELETION: SignedDuration = SignedDuration::from_secs(30);
const RETENTION_CHANGE: SignedDuration = SignedDuration::from_secs(10);
const WARM_UP: SignedDuration = SignedDuration::from_secs(60);
const WARM_UP_PER_DOUBLING: SignedDuration = SignedDuration::from_secs(30);
/// Traffic is averaged over so much model time, but never over less than a second of real traffic.
const LOOK: SignedDuration = SignedDuration::from_secs(20);
const SHORTEST_REAL_LOOK: SignedDuration = SignedDuration::from_secs(1);
/// From needing more capacity to starting to split, and from there to the new shards.
const REACTION: SignedDuration = SignedDuration::from_secs(120);
const SPLITTING: SignedDuration = SignedDuration::from_secs(60);
/// A shard that throttled while this full is split even if the stream as a whole has room: its keys are hot.
const SATURATED: MilliShards = MilliShards(900);

/// Who decides on the number of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The traffic, and warm throughput.
    OnDemand,
    /// The caller.
    Provisioned,
}

impl Mode {
    /// The wire's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnDemand => "ON_DEMAND",
            Self::Provisioned => "PROVISIONED",
        }
    }
}

/// Where records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// By the hash of the partition key.
    UserPartitionKey,
    /// Evenly, whatever the key.
    Auto,
}

impl Distribution {
    /// The wire's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserPartitionKey => "USER_PARTITION_KEY",
            Self::Auto => "AUTO",
        }
    }
}

/// What `CreateStream` asks for, checked.
#[derive(Clone, Debug)]
pub struct StreamSpec {
    /// The name.
    pub name: String,
    /// The capacity mode.
    pub mode: Mode,
    /// Shards of a provisioned stream.
    pub shards: u32,
    /// Warm throughput in MiB/s; 0 for none.
    pub warm_mib: u32,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// The largest record, in KiB.
    pub max_record_kib: u32,
    /// Where records go.
    pub distribution: Distribution,
}

/// What a stream is busy with.
enum Phase {
    Creating {
        until: Timestamp,
        shards: u32,
    },
    Active,
    /// Capacity moves by `steps` on request.
    Warming {
        steps: VecDeque<(Timestamp, u32)>,
        until: Timestamp,
    },
    /// Shards split, or merge down to `shards`, as traffic asks.
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

/// Who a stream is: fixed for its life.
pub struct Identity {
    /// Unique in the sandbox, names are not.
    pub uid: u64,
    /// The ARN.
    pub arn: String,
    /// Where its arrivals are counted.
    pub book: BookId,
}

/// A stream.
pub struct Stream {
    /// Who it is.
    pub identity: Identity,
    /// What it was created as; tags change.
    pub design: StreamSpec,
    /// When it was created.
    pub created_at: Moment,
    /// Hours records are kept.
    pub retention_hours: u32,
    /// Its shards.
    pub shards: Shards,
    /// Records given up to bound memory.
    pub forgotten_records: u64,
    /// The most shards the region's throughput quota allows one on-demand stream.
    ceiling: u32,
    phase: Phase,
    load_history: LoadHistory,
    look_since: Moment,
    hottest: Vec<u32>,
    saturated: u32,
    growing_since: Option<Timestamp>,
    turn: usize,
    expired_bytes: usize,
}

impl Stream {
    /// A stream that begins to be created.
    pub fn create(identity: Identity, design: StreamSpec, ceiling: u32, now: Moment) -> Self {
        let (shards, warming) = match design.mode {
            Mode::Provisioned => (design.shards, SignedDuration::ZERO),
            Mode::OnDemand => {
                let goal = design.warm_mib.max(INITIAL_SHARDS);
                let steps = levels(INITIAL_SHARDS, goal).len();
                (goal, WARM_UP_PER_DOUBLING * i32::try_from(steps).unwrap_or(i32::MAX))
            }
        };
        Self {
            identity,
            design,
            created_at: now,
            retention_hours: 24,
            shards: Shards::default(),
            forgotten_records: 0,
            ceiling,
            phase: Phase::Creating { until: later(now.model, CREATION + warming), shards },
            load_history: LoadHistory::new(shards, now.model),
            look_since: now,
            hottest: Vec::new(),
            saturated: 0,
            growing_since: None,
            turn: 0,
            expired_bytes: 0,
        }
    }

    /// The wire's word for where the stream stands.
    pub fn status(&self) -> &'static str {
        match self.phase {
            Phase::Creating { .. } => "CREATING",
            Phase::Active => "ACTIVE",
            // API reference, `StreamDescriptionSummary`: "UPDATING - Shards in the stream are being merged or split."
            Phase::Warming { .. } | Phase::Resharding { .. } | Phase::Settling { .. } => "UPDATING",
            Phase::Deleting { .. } => "DELETING",
        }
    }

    /// Whether mutations are possible.
    pub fn is_active(&self) -> bool {
        matches!(self.phase, Phase::Active)
    }

    /// Whether it is still being created: then there is nothing to write to or read from.
    pub fn is_creating(&self) -> bool {
        matches!(self.phase, Phase::Creating { .. })
    }

    /// What the stream can take now, in MiB/s.
    pub fn current_mib(&self) -> u32 {
        self.shards.open_count()
    }

    /// Begins the deletion. Data stays readable and writable until it is done (API reference, `DeleteStream`).
    pub fn delete(&mut self, now: Moment) {
        self.phase = Phase::Deleting { until: later(now.model, DELETION) };
    }

    /// Changes the retention period.
    pub fn retain(&mut self, hours: u32, now: Moment) {
        self.retention_hours = hours;
        self.phase = Phase::Settling { until: later(now.model, RETENTION_CHANGE) };
    }

    /// Begins to move capacity to the requested warm throughput. The same call scales down, but never below what the last
    /// hour's peak needs (What's New 2026-07-24, "on-demand scale-down").
    pub fn warm(&mut self, mib: u32, now: Moment) {
        self.design.warm_mib = mib;
        let goal = mib.max(self.load_history.needed_recently()).min(self.ceiling);
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

    /// Lets time pass. `true`: the stream is gone.
    pub fn advance(&mut self, now: Moment) -> bool {
        // Before anything else: what is split or merged now has not expired.
        let retention = SignedDuration::from_hours(self.retention_hours.into());
        self.expired_bytes += self.shards.expire(retention, now.model);
        match &mut self.phase {
            Phase::Creating { until, shards } if now.model >= *until => {
                self.shards = Shards::create(*shards, now);
                self.look_since = now;
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
                // The fullest first: their keys are hot.
                let fullest = std::mem::take(&mut self.hottest);
                self.resize(goal, &fullest, false, now);
            }
            Phase::Settling { until } if now.model >= *until => self.phase = Phase::Active,
            Phase::Deleting { until } if now.model >= *until => return true,
            _ => {}
        }
        self.look(now);
        false
    }

    /// Splits shards until there are `shards`, the given ones before the others, or merges down to so many.
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

    /// Settles what was stored since the last look, and starts to grow or shrink if that calls for it.
    fn look(&mut self, now: Moment) {
        let real = now.wall.duration_since(self.look_since.wall);
        let long_enough =
            now.model.duration_since(self.look_since.model) >= LOOK && real >= SHORTEST_REAL_LOOK;
        if !long_enough || self.is_creating() {
            return;
        }
        let mut total = Load::default();
        let mut heights = Vec::with_capacity(self.shards.open().len());
        self.saturated = 0;
        for shard in self.shards.open_mut() {
            let load = std::mem::take(&mut shard.load);
            total.records += load.records;
            total.bytes += load.bytes;
            let height = MilliShards::of(load, real);
            self.saturated += u32::from(load.throttled > 0 && height >= SATURATED);
            heights.push((height, shard.index));
        }
        self.look_since = now;
        if self.design.mode == Mode::Provisioned {
            return;
        }
        self.load_history.note(MilliShards::of(total, real), now.model);
        heights.sort_unstable_by_key(|(height, index)| (std::cmp::Reverse(*height), *index));
        self.hottest = heights.into_iter().map(|(_, index)| index).collect();
        self.follow_traffic(now);
    }

    fn follow_traffic(&mut self, now: Moment) {
        let open = self.shards.open_count();
        let called_for = self.load_history.needed().max(open.saturating_add(self.saturated));
        let goal = called_for.min(self.load_history.attainable(now.model)).min(self.ceiling);
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
        // Far apart from growing, lest capacity swing to and fro.
        let low = self.load_history.needed().max(self.design.warm_mib);
        if open >= low.saturating_mul(2) {
            self.phase = Phase::Resharding { until: later(now.model, SPLITTING), shards: low };
        }
    }

    /// Memory that expired shards gave back since the last call.
    pub fn take_expired_bytes(&mut self) -> usize {
        std::mem::take(&mut self.expired_bytes)
    }

    /// Memory in the closed segments of all shards.
    pub fn closed_cost(&self) -> usize {
        self.shards.all().iter().map(|shard| shard.record_log.closed_cost()).sum()
    }

    /// Gives up the oldest segment of a shard, and tells how much memory that freed.
    pub fn forget_oldest(&mut self, shard: u32) -> usize {
        // A shard that expired gave everything back then.
        let freed =
            self.shards.shard_mut(shard).map(|shard| shard.record_log.forget_oldest()).unwrap_or_default();
        self.forgotten_records += freed.records as u64;
        freed.bytes
    }

    /// Stores a record in its shard. `Err`: that shard's second is full.
    pub fn put(&mut self, record: Incoming<'_>, at: Timestamp) -> Option<Result<Stored, u32>> {
        let shard = match self.design.distribution {
            Distribution::UserPartitionKey => self.shards.taking(record.hash)?,
            Distribution::Auto => {
                self.turn = self.turn.wrapping_add(1);
                self.shards.in_turn(self.turn)?
            }
        };
        Some(match shard.put(record.key, record.data, at) {
            Some((place, closed_segment)) => Ok(Stored { place, closed_segment }),
            None => Err(shard.index),
        })
    }
}

/// A record on its way in.
#[derive(Clone, Copy)]
pub struct Incoming<'a> {
    /// The partition key.
    pub key: &'a str,
    /// The hash that decides on the shard.
    pub hash: u128,
    /// The data, decoded.
    pub data: &'a [u8],
}

/// A record that was stored.
pub struct Stored {
    /// Where.
    pub place: Place,
    /// The memory of the segment this filled, if it did.
    pub closed_segment: Option<usize>,
}

/// The capacities between two, doubling or halving from step to step.
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

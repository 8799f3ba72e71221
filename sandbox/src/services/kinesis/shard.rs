//! One shard: its part of the hash space, its ancestry, its allowances and its records. Pure.

use ferrokinesis::sequence::{self, SeqObj};
use jiff::Timestamp;

use super::hash::HashRange;
use super::rate_limit::{ReadAllowance, WriteAllowance};
use super::record_log::RecordLog;
use crate::clock::Moment;

/// What a shard stored since the last look, for the capacity model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Records stored.
    pub records: u64,
    /// Bytes stored, keys included.
    pub bytes: u64,
    /// Records refused.
    pub throttled: u64,
}

/// Names a stored record: all that its sequence number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The shard's number.
    pub shard: u32,
    /// When the shard began.
    pub shard_millis: u64,
    /// The record's place in the shard.
    pub seq: u64,
    /// When the record arrived.
    pub at_millis: i64,
}

impl Place {
    /// The sequence number as AWS writes it (version 2).
    pub fn sequence_number(&self) -> String {
        sequence_number(self.shard, self.shard_millis, self.seq, u64::try_from(self.at_millis).unwrap_or(0))
    }
}

fn sequence_number(shard: u32, shard_millis: u64, seq: u64, at_millis: u64) -> String {
    sequence::stringify_sequence(&SeqObj {
        shard_create_time: shard_millis,
        seq_ix: Some(seq),
        byte1: None,
        seq_time: Some(at_millis),
        seq_rand: None,
        shard_ix: i64::from(shard),
        version: 2,
    })
}

/// A shard, open or closed.
pub struct Shard {
    /// Its number, unique in the stream.
    pub index: u32,
    /// Its hashes.
    pub range: HashRange,
    /// The shard it was split from, or the lower one it was merged from.
    pub parent: Option<u32>,
    /// The upper shard it was merged from.
    pub adjacent_parent: Option<u32>,
    /// When it began.
    pub opened_at: Moment,
    /// When it stopped taking records.
    pub closed: Option<Moment>,
    /// Its records.
    pub record_log: RecordLog,
    /// What it gives out.
    pub reads: ReadAllowance,
    /// What it stored since the last look.
    pub load: Load,
    writes: WriteAllowance,
    next_seq: u64,
}

impl Shard {
    /// A new shard, rested and empty.
    pub fn open(index: u32, range: HashRange, parents: (Option<u32>, Option<u32>), at: Moment) -> Self {
        let nanos = nanos(at.wall);
        Self {
            index,
            range,
            parent: parents.0,
            adjacent_parent: parents.1,
            opened_at: at,
            closed: None,
            record_log: RecordLog::default(),
            reads: ReadAllowance::full(nanos),
            load: Load::default(),
            writes: WriteAllowance::full(nanos),
            // 0 is the place of the shard's own starting sequence number.
            next_seq: 1,
        }
    }

    /// Whether it took records at an instant of the callers' clocks. At the instant of a split or merge that is the
    /// children, not the parents.
    pub fn was_open_at(&self, wall: Timestamp) -> bool {
        self.opened_at.wall <= wall && self.closed.is_none_or(|closing| wall < closing.wall)
    }

    /// `shardId-000000000000`
    pub fn id(&self) -> String {
        id_of(self.index)
    }

    /// When it began, as sequence numbers hold it: whole seconds.
    pub fn opened_millis(&self) -> u64 {
        u64::try_from(self.opened_at.wall.as_second()).unwrap_or(0) * 1000
    }

    /// Stores a record, or refuses it if the shard's second is full.
    pub fn put(&mut self, key: &str, data: &[u8], at: Timestamp) -> Option<(Place, Option<usize>)> {
        let bytes = key.len() + data.len();
        if !self.writes.admits(bytes, nanos(at)) {
            self.load.throttled += 1;
            return None;
        }
        self.load.records += 1;
        self.load.bytes += bytes as u64;
        let place = Place {
            shard: self.index,
            shard_millis: self.opened_millis(),
            seq: self.next_seq,
            at_millis: at.as_millisecond(),
        };
        self.next_seq += 1;
        let closed_segment = self.record_log.push(place.seq, place.at_millis, key, data);
        Some((place, closed_segment))
    }

    /// The place of the next record.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Where sequence numbers of this shard begin.
    pub fn starting_sequence_number(&self) -> String {
        sequence_number(self.index, self.opened_millis(), 0, self.opened_millis())
    }

    /// Beyond the last record of a closed shard.
    pub fn ending_sequence_number(&self) -> Option<String> {
        let closing = self.closed?;
        let millis = u64::try_from(closing.wall.as_millisecond()).unwrap_or(0);
        Some(sequence_number(self.index, self.opened_millis(), sequence::MAX_SEQ_IX, millis))
    }
}

/// A shard's id.
pub fn id_of(index: u32) -> String {
    sequence::shard_id_name(i64::from(index))
}

/// Nanoseconds since 1970; enough until 2262.
pub fn nanos(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX)
}

//! One shard: its part of the hash space, its ancestry, its limits and its records. Pure.

use ferrokinesis::sequence::{self, SeqObj};
use jiff::Timestamp;

use super::hash::HashRange;
use super::load::Load;
use super::rate_limit::{ReadLimit, WriteLimit};
use super::record_log::RecordLog;
use crate::clock::Moment;

/// Identifies a stored record, with all parts of its sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordId {
    /// The shard's number.
    pub shard: u32,
    /// When the shard was opened.
    pub shard_millis: u64,
    /// The record's position in the shard.
    pub seq: u64,
    /// When the record arrived.
    pub at_millis: i64,
}

impl RecordId {
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
    /// Its hash range.
    pub range: HashRange,
    /// The shard it was split from, or the lower one it was merged from.
    pub parent: Option<u32>,
    /// The upper shard it was merged from.
    pub adjacent_parent: Option<u32>,
    /// When it was opened.
    pub opened_at: Moment,
    /// When it was closed for writes.
    pub closed: Option<Moment>,
    /// Its records.
    pub record_log: RecordLog,
    /// Its read limit.
    pub reads: ReadLimit,
    /// Its load since it was opened.
    pub load: Load,
    /// The load at the last measurement of the capacity model.
    pub measured: Load,
    /// The load when it was last collected for the admin API.
    pub collected: Load,
    writes: WriteLimit,
    next_seq: u64,
}

impl Shard {
    /// A new, empty shard with full limits.
    pub fn open(index: u32, range: HashRange, parents: (Option<u32>, Option<u32>), at: Moment) -> Self {
        Self {
            index,
            range,
            parent: parents.0,
            adjacent_parent: parents.1,
            opened_at: at,
            closed: None,
            record_log: RecordLog::default(),
            reads: ReadLimit::default(),
            load: Load::default(),
            measured: Load::default(),
            collected: Load::default(),
            writes: WriteLimit::default(),
            // 0 is the position of the shard's starting sequence number.
            next_seq: 1,
        }
    }

    /// Whether it accepted records at an instant of wall time. At the instant of a split or merge,
    /// only the children did.
    pub fn was_open_at(&self, wall: Timestamp) -> bool {
        self.opened_at.wall <= wall && self.closed.is_none_or(|closing| wall < closing.wall)
    }

    /// `shardId-000000000000`
    pub fn id(&self) -> String {
        id_of(self.index)
    }

    /// When it was opened, as in its sequence numbers: whole seconds.
    pub fn opened_millis(&self) -> u64 {
        u64::try_from(self.opened_at.wall.as_second()).unwrap_or(0) * 1000
    }

    /// Stores a record, or rejects it if the shard's limit per second is reached.
    pub fn put(&mut self, key: &str, data: &[u8], at: Timestamp) -> Option<(RecordId, Option<usize>)> {
        let bytes = key.len() + data.len();
        if !self.writes.admits(bytes, at) {
            self.load.throttled += 1;
            return None;
        }
        self.load.records += 1;
        self.load.bytes += bytes as u64;
        let record_id = RecordId {
            shard: self.index,
            shard_millis: self.opened_millis(),
            seq: self.next_seq,
            at_millis: at.as_millisecond(),
        };
        self.next_seq += 1;
        let closed_segment = self.record_log.push(record_id.seq, record_id.at_millis, key, data);
        Some((record_id, closed_segment))
    }

    /// The position of the next record.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The starting sequence number of this shard.
    pub fn starting_sequence_number(&self) -> String {
        sequence_number(self.index, self.opened_millis(), 0, self.opened_millis())
    }

    /// The end of a closed shard, after its last record.
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

//! The records of one shard, in order, in few large allocations. The owner bounds the size by
//! dropping segments. Pure.

use std::collections::VecDeque;

/// A segment is closed at this size: small enough that dropping the oldest one costs little, even
/// with thousands of shards.
const SEGMENT_BYTES: usize = 32 << 10;

#[derive(Clone, Copy)]
struct LoggedRecord {
    seq: u64,
    at_millis: i64,
    start: u32,
    key_len: u32,
    data_len: u32,
}

#[derive(Default)]
struct LogSegment {
    bytes: Vec<u8>,
    entries: Vec<LoggedRecord>,
}

impl LogSegment {
    fn cost(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<LoggedRecord>()
    }

    fn record<'a>(&'a self, entry: &LoggedRecord) -> Option<Record<'a>> {
        let (start, key_len) = (entry.start as usize, entry.key_len as usize);
        let data_start = start + key_len;
        Some(Record {
            seq: entry.seq,
            at_millis: entry.at_millis,
            key: std::str::from_utf8(self.bytes.get(start..data_start)?).ok()?,
            data: self.bytes.get(data_start..data_start + entry.data_len as usize)?,
        })
    }
}

/// A stored record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its position in the shard.
    pub seq: u64,
    /// When it arrived, in Unix milliseconds of wall time.
    pub at_millis: i64,
    /// The partition key.
    pub key: &'a str,
    /// The data, decoded.
    pub data: &'a [u8],
}

/// The result of dropping a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// The records that can no longer be read.
    pub records: usize,
    /// The memory they occupied.
    pub bytes: usize,
}

/// One shard's records.
#[derive(Default)]
pub struct RecordLog {
    closed: VecDeque<LogSegment>,
    open: LogSegment,
}

impl RecordLog {
    /// Appends a record; `seq` must grow from call to call. If this closes a segment, returns its
    /// size in bytes.
    pub fn push(&mut self, seq: u64, at_millis: i64, key: &str, data: &[u8]) -> Option<usize> {
        let segment = &mut self.open;
        let start = u32::try_from(segment.bytes.len()).unwrap_or(u32::MAX);
        segment.bytes.extend_from_slice(key.as_bytes());
        segment.bytes.extend_from_slice(data);
        let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        segment.entries.push(LoggedRecord {
            seq,
            at_millis,
            start,
            key_len: length(key.len()),
            data_len: length(data.len()),
        });
        if segment.bytes.len() < SEGMENT_BYTES {
            return None;
        }
        segment.bytes.shrink_to_fit();
        segment.entries.shrink_to_fit();
        let cost = segment.cost();
        self.closed.push_back(std::mem::take(segment));
        Some(cost)
    }

    /// Drops the oldest closed segment.
    pub fn drop_oldest(&mut self) -> Freed {
        self.closed.pop_front().map_or(Freed::default(), |segment| Freed {
            records: segment.entries.len(),
            bytes: segment.cost(),
        })
    }

    /// The memory of the closed segments.
    pub fn closed_cost(&self) -> usize {
        self.closed.iter().map(LogSegment::cost).sum()
    }

    /// Records from `seq` on, oldest first.
    pub fn records_from(&self, seq: u64) -> impl Iterator<Item = Record<'_>> {
        let first =
            self.closed.partition_point(|segment| segment.entries.last().is_some_and(|last| last.seq < seq));
        self.closed.iter().skip(first).chain([&self.open]).flat_map(move |segment| {
            let from = segment.entries.partition_point(|entry| entry.seq < seq);
            segment.entries.iter().skip(from).filter_map(|entry| segment.record(entry))
        })
    }

    /// The position of the first record that arrived at or after an instant.
    pub fn first_since(&self, at_millis: i64) -> Option<u64> {
        let all = self.closed.iter().chain([&self.open]);
        all.flat_map(|segment| &segment.entries)
            .find(|entry| entry.at_millis >= at_millis)
            .map(|entry| entry.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record_log(records: u64, data: &[u8]) -> (RecordLog, usize) {
        let mut record_log = RecordLog::default();
        let cost = (0..records).filter_map(|seq| record_log.push(seq, 10 * seq as i64, "key", data)).sum();
        (record_log, cost)
    }

    #[test]
    fn records_can_be_read_from_any_position() {
        let (record_log, _) = record_log(1000, b"0123456789012345678901234567890123456789");
        let seqs: Vec<u64> = record_log.records_from(997).map(|record| record.seq).collect();
        assert_eq!(seqs, [997, 998, 999]);
        let first = record_log.records_from(0).next().unwrap();
        assert_eq!((first.key, first.data.len(), first.at_millis), ("key", 40, 0));
        assert_eq!(record_log.records_from(0).count(), 1000);
        assert_eq!(record_log.records_from(1000).count(), 0);
    }

    #[test]
    fn an_instant_finds_the_first_record_at_or_after_it() {
        let (record_log, _) = record_log(1000, b"data");
        assert_eq!(record_log.first_since(-5), Some(0));
        assert_eq!(record_log.first_since(95), Some(10));
        assert_eq!(record_log.first_since(9990), Some(999));
        assert_eq!(record_log.first_since(9991), None);
    }

    #[test]
    fn dropping_closed_segments_frees_their_cost() {
        let (mut record_log, cost) = record_log(5000, &[7; 100]);
        assert_eq!(record_log.closed_cost(), cost);
        let before = record_log.records_from(0).count();
        let freed = record_log.drop_oldest();
        assert!(freed.records > 100);
        assert_eq!(record_log.records_from(0).count(), before - freed.records);
        assert_eq!(record_log.records_from(0).next().unwrap().seq, freed.records as u64);
        assert_eq!(record_log.closed_cost() + freed.bytes, cost);
    }
}

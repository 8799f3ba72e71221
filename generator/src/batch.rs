//! Groups records into requests. In: posts. Out: batches within the limits of one request. Pure.
//!
//! A batch keeps the bytes of all its records in one buffer: a record needs no allocation of its
//! own, and a retry sends the same bytes again.

use std::ops::Range;

use kinesis_demo_api::MicroTime;

use crate::payload::PartitionKey;
use crate::recorder::PhaseId;

/// The maximum number of records per request (Kinesis API reference, PutRecords).
pub const MAX_RECORDS: usize = 500;

/// A batch of this size is sent. PutRecords accepts ten times as much, but smaller requests get
/// their response sooner.
const FULL_BYTES: usize = 1 << 20;

/// One record of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The phase it counts for.
    pub phase: PhaseId,
    /// When it fell due.
    pub due_at: MicroTime,
    /// Its partition key.
    pub key: PartitionKey,
    data: Range<usize>,
}

/// Records that are sent together.
#[derive(Debug, Default)]
pub struct Batch {
    buffer: Vec<u8>,
    records: Vec<Record>,
}

impl Batch {
    /// Adds a record; `write` appends its bytes to the buffer.
    pub fn push(
        &mut self,
        phase: PhaseId,
        due_at: MicroTime,
        write: impl FnOnce(&mut Vec<u8>) -> (PartitionKey, Range<usize>),
    ) {
        let (key, data) = write(&mut self.buffer);
        self.records.push(Record { phase, due_at, key, data });
    }

    /// The records, in the order in which they were added.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// A record's data.
    pub fn data(&self, record: &Record) -> &[u8] {
        &self.buffer[record.data.clone()]
    }

    /// Size of the buffer, including records already removed.
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// True if no records are left to send.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Keeps the records for which `keep` returns true. It is called in order, with each record's
    /// position.
    pub fn retain(&mut self, mut keep: impl FnMut(usize, &Record) -> bool) {
        let mut position = 0;
        self.records.retain(|record| {
            position += 1;
            keep(position - 1, record)
        });
    }

    fn is_full(&self) -> bool {
        self.records.len() >= MAX_RECORDS || self.buffer.len() >= FULL_BYTES
    }
}

/// Fills batches.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    open: Batch,
}

impl BatchBuilder {
    /// Adds a record; returns the batch if it is now full.
    pub fn push(
        &mut self,
        phase: PhaseId,
        due_at: MicroTime,
        write: impl FnOnce(&mut Vec<u8>) -> (PartitionKey, Range<usize>),
    ) -> Option<Batch> {
        self.open.push(phase, due_at, write);
        self.open.is_full().then(|| self.start_next())
    }

    /// Returns the current batch unless it is empty.
    pub fn take(&mut self) -> Option<Batch> {
        (!self.open.is_empty()).then(|| self.start_next())
    }

    /// Number of records in the current batch.
    pub fn record_count(&self) -> usize {
        self.open.records.len()
    }

    fn start_next(&mut self) -> Batch {
        // The next batch will probably have about the same size.
        let next = Batch {
            buffer: Vec::with_capacity(self.open.buffer.len()),
            records: Vec::with_capacity(self.open.records.len()),
        };
        std::mem::replace(&mut self.open, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::Totals;

    const DUE_AT: MicroTime = MicroTime::from_micros(1_700_000_000_000_000);

    fn push(batch_builder: &mut BatchBuilder, bytes: &[u8]) -> Option<Batch> {
        let phase = Totals::default().phase("peak");
        batch_builder.push(phase, DUE_AT, |buffer| {
            let start = buffer.len();
            buffer.extend_from_slice(bytes);
            (*b"keykeyke", start..buffer.len())
        })
    }

    #[test]
    fn a_batch_is_full_at_500_records() {
        let mut batch_builder = BatchBuilder::default();
        for _ in 1..MAX_RECORDS {
            assert!(push(&mut batch_builder, b"post").is_none());
        }
        let batch = push(&mut batch_builder, b"last").unwrap();
        assert_eq!((batch.records().len(), batch.bytes(), batch_builder.record_count()), (500, 2_000, 0));
        assert_eq!(batch.data(&batch.records()[499]), b"last");
    }

    #[test]
    fn a_batch_is_full_at_one_mebibyte() {
        let mut batch_builder = BatchBuilder::default();
        assert!(push(&mut batch_builder, &vec![b'x'; FULL_BYTES - 1]).is_none());
        assert_eq!(push(&mut batch_builder, b"y").unwrap().records().len(), 2);
    }

    #[test]
    fn taking_the_current_batch_empties_the_builder() {
        let mut batch_builder = BatchBuilder::default();
        assert!(batch_builder.take().is_none());
        push(&mut batch_builder, b"one");
        push(&mut batch_builder, b"two");
        assert_eq!(batch_builder.take().unwrap().records().len(), 2);
        assert!(batch_builder.take().is_none());
    }

    #[test]
    fn retained_records_keep_their_bytes() {
        let mut batch_builder = BatchBuilder::default();
        for post in [b"a", b"b", b"c", b"d"] {
            push(&mut batch_builder, post);
        }
        let mut batch = batch_builder.take().unwrap();
        batch.retain(|position, _| position % 2 == 1);
        let kept: Vec<_> = batch.records().iter().map(|record| batch.data(record)).collect();
        assert_eq!(kept, [b"b", b"d"]);
    }
}

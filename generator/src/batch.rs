//! Records on their way to one request. In: posts. Out: batches, none larger than a request may be. Pure.
//!
//! A batch keeps the bytes of all its records in one buffer: a record costs no allocation of its own, and what is sent
//! again is what was sent before.

use std::ops::Range;

use kinesis_demo_api::MicroTime;

use crate::payload::PartitionKey;
use crate::recorder::PhaseId;

/// The most records of one request (Kinesis API reference, PutRecords).
pub const MOST_RECORDS: usize = 500;

/// A batch that holds this much goes. PutRecords takes ten times as much; smaller requests are answered sooner.
const FULL_BYTES: usize = 1 << 20;

/// One record of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The phase it counts for.
    pub phase: PhaseId,
    /// When its turn came.
    pub due_at: MicroTime,
    /// Where it is stored.
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
    /// Adds a record, whose bytes `write` appends to the buffer it is given.
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

    /// What the batch occupies, sent or not.
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// True if nothing is left to send.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Keeps the records for which `keep` says so; it is asked in order, with each record's position.
    pub fn retain(&mut self, mut keep: impl FnMut(usize, &Record) -> bool) {
        let mut position = 0;
        self.records.retain(|record| {
            position += 1;
            keep(position - 1, record)
        });
    }

    fn is_full(&self) -> bool {
        self.records.len() >= MOST_RECORDS || self.buffer.len() >= FULL_BYTES
    }
}

/// The batch that is being filled.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    open: Batch,
}

impl BatchBuilder {
    /// Adds a record; returns the batch if that filled it.
    pub fn push(
        &mut self,
        phase: PhaseId,
        due_at: MicroTime,
        write: impl FnOnce(&mut Vec<u8>) -> (PartitionKey, Range<usize>),
    ) -> Option<Batch> {
        self.open.push(phase, due_at, write);
        self.open.is_full().then(|| self.replace())
    }

    /// The batch, if it holds anything.
    pub fn take(&mut self) -> Option<Batch> {
        (!self.open.is_empty()).then(|| self.replace())
    }

    /// How many records wait.
    pub fn loaded(&self) -> usize {
        self.open.records.len()
    }

    fn replace(&mut self) -> Batch {
        // The next batch will be about as large as this one.
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
    use crate::recorder::Books;

    const DUE_AT: MicroTime = MicroTime::from_micros(1_700_000_000_000_000);

    fn push(batch_builder: &mut BatchBuilder, bytes: &[u8]) -> Option<Batch> {
        let phase = Books::default().phase("peak");
        batch_builder.push(phase, DUE_AT, |buffer| {
            let start = buffer.len();
            buffer.extend_from_slice(bytes);
            (*b"keykeyke", start..buffer.len())
        })
    }

    #[test]
    fn a_batch_goes_when_it_holds_five_hundred_records() {
        let mut batch_builder = BatchBuilder::default();
        for _ in 1..MOST_RECORDS {
            assert!(push(&mut batch_builder, b"post").is_none());
        }
        let batch = push(&mut batch_builder, b"last").unwrap();
        assert_eq!((batch.records().len(), batch.bytes(), batch_builder.loaded()), (500, 2_000, 0));
        assert_eq!(batch.data(&batch.records()[499]), b"last");
    }

    #[test]
    fn a_batch_goes_when_it_holds_a_mebibyte() {
        let mut batch_builder = BatchBuilder::default();
        assert!(push(&mut batch_builder, &vec![b'x'; FULL_BYTES - 1]).is_none());
        assert_eq!(push(&mut batch_builder, b"y").unwrap().records().len(), 2);
    }

    #[test]
    fn what_was_loaded_can_be_taken_once() {
        let mut batch_builder = BatchBuilder::default();
        assert!(batch_builder.take().is_none());
        push(&mut batch_builder, b"one");
        push(&mut batch_builder, b"two");
        assert_eq!(batch_builder.take().unwrap().records().len(), 2);
        assert!(batch_builder.take().is_none());
    }

    #[test]
    fn what_is_kept_of_a_batch_keeps_its_bytes() {
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

//! The read and write limits of a shard, as token buckets that hold one second's worth, in wall
//! time. Pure.

use jiff::Timestamp;

use crate::token_bucket::{Rate, TokenBucket};

/// Kinesis API reference, `PutRecords`: "Each shard can support writes up to 1,000 records per
/// second, up to a maximum data write total of 1 MB per second" (MiB, as `CreateStream` says).
pub const WRITE_RECORDS_PER_SECOND: i64 = 1000;
/// See [`WRITE_RECORDS_PER_SECOND`].
pub const WRITE_BYTES_PER_SECOND: i64 = 1 << 20;
const WRITE_RECORDS: Rate = Rate::steady(WRITE_RECORDS_PER_SECOND);
const WRITE_BYTES: Rate = Rate::steady(WRITE_BYTES_PER_SECOND);
/// API reference, `GetRecords`: "The size of the data returned by GetRecords" is limited to 2 MiB
/// per second and shard, and a shard takes 5 transactions per second.
const READ_BYTES: Rate = Rate::steady(2 << 20);
const READ_CALLS: Rate = Rate::steady(5);

/// The remaining write capacity of a shard.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteLimit {
    records: TokenBucket,
    bytes: TokenBucket,
}

impl WriteLimit {
    /// Admits one record of `bytes` (data and key), or rejects it. A record may be larger than a
    /// shard's limit per second: it then needs the whole second.
    pub fn admits(&mut self, bytes: usize, now: Timestamp) -> bool {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let admitted = self.records.has(WRITE_RECORDS, 1, now) && self.bytes.has(WRITE_BYTES, bytes, now);
        if admitted {
            self.records.take(1);
            self.bytes.take(bytes);
        }
        admitted
    }
}

/// The remaining read capacity of a shard.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadLimit {
    calls: TokenBucket,
    bytes: TokenBucket,
}

impl ReadLimit {
    /// Admits a `GetRecords` call unless earlier calls used up the calls or bytes.
    pub fn admits(&mut self, now: Timestamp) -> bool {
        self.bytes.has_any(READ_BYTES, now) && self.calls.try_take(READ_CALLS, 1, now)
    }

    /// Charges the returned bytes: 10 MiB at once throttle the next five seconds (API reference,
    /// `GetRecords`).
    pub fn charge(&mut self, bytes: usize) {
        self.bytes.take(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    /// An instant this many microseconds after the first.
    fn at(micros: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_micros(micros)
    }

    const SECOND: i64 = 1_000_000;

    fn admitted(limit: &mut WriteLimit, records: usize, bytes: usize, micros: i64) -> usize {
        (0..records).filter(|_| limit.admits(bytes, at(micros))).count()
    }

    #[test]
    fn a_second_allows_a_thousand_records() {
        let mut limit = WriteLimit::default();
        assert_eq!(admitted(&mut limit, 1500, 10, 0), 1000);
        assert_eq!(admitted(&mut limit, 10, 10, SECOND / 1000 - 1), 0);
        assert_eq!(admitted(&mut limit, 10, 10, SECOND / 1000), 1);
        assert_eq!(admitted(&mut limit, 1500, 10, 90 * SECOND), 1000);
    }

    #[test]
    fn a_second_allows_one_mebibyte() {
        let mut limit = WriteLimit::default();
        assert_eq!(admitted(&mut limit, 5, 1 << 18, 0), 4);
        assert!(!limit.admits(1, at(0)));
        assert!(limit.admits(1 << 19, at(SECOND / 2)));
        assert!(!limit.admits(1, at(SECOND / 2)));
    }

    #[test]
    fn an_oversized_record_needs_a_full_bucket_and_leaves_a_debt() {
        let mut limit = WriteLimit::default();
        assert!(limit.admits(1, at(0)));
        assert!(!limit.admits(3 << 20, at(0)));
        assert!(limit.admits(3 << 20, at(SECOND)));
        assert!(!limit.admits(1, at(3 * SECOND)));
        assert!(limit.admits(1, at(3 * SECOND + 1)));
    }

    #[test]
    fn reading_ten_mebibytes_blocks_five_seconds() {
        let mut limit = ReadLimit::default();
        assert_eq!((0..9).filter(|_| limit.admits(at(0))).count(), 5);
        assert!(limit.admits(at(SECOND)));
        limit.charge(12 << 20);
        assert!(!limit.admits(at(6 * SECOND)));
        assert!(limit.admits(at(6 * SECOND + 1)));
    }
}

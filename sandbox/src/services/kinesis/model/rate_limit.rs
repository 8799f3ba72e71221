//! The read and write limits of a shard, as token buckets with a depth of one second, in wall time.
//! Pure.

/// Kinesis API reference, `PutRecords`: "Each shard can support writes up to 1,000 records per
/// second, up to a maximum data write total of 1 MB per second" (MiB, as `CreateStream` says).
pub const WRITE_RECORDS_PER_SECOND: i64 = 1000;
/// See [`WRITE_RECORDS_PER_SECOND`].
pub const WRITE_BYTES_PER_SECOND: i64 = 1 << 20;
/// API reference, `GetRecords`: "The size of the data returned by GetRecords" is limited to 2 MiB
/// per second and shard, and a shard takes 5 transactions per second.
const READ_BYTES_PER_SECOND: i64 = 2 << 20;
const READ_CALLS_PER_SECOND: i64 = 5;

const NANOS: i64 = 1_000_000_000;

/// A bucket that holds one second's worth. Amounts are in billionths, so that refilling by the
/// nanosecond is exact.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    per_second: i64,
    tokens: i64,
    at_nanos: i64,
}

impl Bucket {
    fn full(per_second: i64, at_nanos: i64) -> Self {
        Self { per_second, tokens: per_second.saturating_mul(NANOS), at_nanos }
    }

    fn refill(&mut self, now_nanos: i64) {
        let elapsed = now_nanos - self.at_nanos;
        if elapsed <= 0 {
            return;
        }
        let capacity = self.per_second.saturating_mul(NANOS);
        let refilled = self.per_second.saturating_mul(elapsed);
        self.tokens = self.tokens.saturating_add(refilled).min(capacity);
        self.at_nanos = now_nanos;
    }

    /// Whether `amount` fits. An amount larger than the bucket fits if the bucket is full, and
    /// leaves a debt, because records may be larger than a shard's limit per second.
    fn has(&self, amount: i64) -> bool {
        self.tokens >= amount.min(self.per_second).saturating_mul(NANOS)
    }

    fn take(&mut self, amount: i64) {
        self.tokens = self.tokens.saturating_sub(amount.saturating_mul(NANOS));
    }
}

/// The remaining write capacity of a shard.
#[derive(Clone, Copy, Debug)]
pub struct WriteLimit {
    records: Bucket,
    bytes: Bucket,
}

impl WriteLimit {
    /// The full capacity.
    pub fn full(now_nanos: i64) -> Self {
        Self {
            records: Bucket::full(WRITE_RECORDS_PER_SECOND, now_nanos),
            bytes: Bucket::full(WRITE_BYTES_PER_SECOND, now_nanos),
        }
    }

    /// Admits one record of `bytes` (data and key), or rejects it.
    pub fn admits(&mut self, bytes: usize, now_nanos: i64) -> bool {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.records.refill(now_nanos);
        self.bytes.refill(now_nanos);
        let admitted = self.records.has(1) && self.bytes.has(bytes);
        if admitted {
            self.records.take(1);
            self.bytes.take(bytes);
        }
        admitted
    }
}

/// The remaining read capacity of a shard.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimit {
    calls: Bucket,
    bytes: Bucket,
}

impl ReadLimit {
    /// The full capacity.
    pub fn full(now_nanos: i64) -> Self {
        Self {
            calls: Bucket::full(READ_CALLS_PER_SECOND, now_nanos),
            bytes: Bucket::full(READ_BYTES_PER_SECOND, now_nanos),
        }
    }

    /// Admits a `GetRecords` call unless earlier calls used up the calls or bytes.
    pub fn admits(&mut self, now_nanos: i64) -> bool {
        self.calls.refill(now_nanos);
        self.bytes.refill(now_nanos);
        let admitted = self.calls.has(1) && self.bytes.tokens > 0;
        if admitted {
            self.calls.take(1);
        }
        admitted
    }

    /// Charges the returned bytes: 10 MiB at once throttle the next five seconds (API reference,
    /// `GetRecords`).
    pub fn charge(&mut self, bytes: usize) {
        self.bytes.take(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = NANOS;

    fn admitted(limit: &mut WriteLimit, records: usize, bytes: usize, now: i64) -> usize {
        (0..records).filter(|_| limit.admits(bytes, now)).count()
    }

    #[test]
    fn a_second_allows_a_thousand_records() {
        let mut limit = WriteLimit::full(0);
        assert_eq!(admitted(&mut limit, 1500, 10, 0), 1000);
        assert_eq!(admitted(&mut limit, 10, 10, SECOND / 1000 - 1), 0);
        assert_eq!(admitted(&mut limit, 10, 10, SECOND / 1000), 1);
        assert_eq!(admitted(&mut limit, 1500, 10, 90 * SECOND), 1000);
    }

    #[test]
    fn a_second_allows_one_mebibyte() {
        let mut limit = WriteLimit::full(0);
        assert_eq!(admitted(&mut limit, 5, 1 << 18, 0), 4);
        assert!(!limit.admits(1, 0));
        assert!(limit.admits(1 << 19, SECOND / 2));
        assert!(!limit.admits(1, SECOND / 2));
    }

    #[test]
    fn an_oversized_record_needs_a_full_bucket_and_leaves_a_debt() {
        let mut limit = WriteLimit::full(0);
        assert!(limit.admits(1, 0));
        assert!(!limit.admits(3 << 20, 0));
        assert!(limit.admits(3 << 20, SECOND));
        assert!(!limit.admits(1, 3 * SECOND));
        assert!(limit.admits(1, 3 * SECOND + 1000));
    }

    #[test]
    fn reading_ten_mebibytes_blocks_five_seconds() {
        let mut limit = ReadLimit::full(0);
        assert_eq!((0..9).filter(|_| limit.admits(0)).count(), 5);
        assert!(limit.admits(SECOND));
        limit.charge(12 << 20);
        assert!(!limit.admits(6 * SECOND));
        assert!(limit.admits(6 * SECOND + 1000));
    }
}

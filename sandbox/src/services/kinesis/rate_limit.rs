//! What a shard takes in and gives out per second. Token buckets one second deep, in wall time. Pure.

/// Kinesis API reference, `PutRecords`: "Each shard can support writes up to 1,000 records per second, up to a maximum data
/// write total of 1 MB per second" (MiB, as `CreateStream` says).
pub const WRITE_RECORDS_PER_SECOND: i64 = 1000;
/// See [`WRITE_RECORDS_PER_SECOND`].
pub const WRITE_BYTES_PER_SECOND: i64 = 1 << 20;
/// API reference, `GetRecords`: "The size of the data returned by GetRecords" is limited to 2 MiB per second and shard, and
/// a shard takes 5 transactions per second.
const READ_BYTES_PER_SECOND: i64 = 2 << 20;
const READ_CALLS_PER_SECOND: i64 = 5;

const NANOS: i64 = 1_000_000_000;

/// A bucket that holds one second's worth. Amounts are in billionths, so that refilling by the nanosecond is exact.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    per_second: i64,
    held: i64,
    at_nanos: i64,
}

impl Bucket {
    fn full(per_second: i64, at_nanos: i64) -> Self {
        Self { per_second, held: per_second.saturating_mul(NANOS), at_nanos }
    }

    fn refill(&mut self, now_nanos: i64) {
        let elapsed = now_nanos - self.at_nanos;
        if elapsed <= 0 {
            return;
        }
        let capacity = self.per_second.saturating_mul(NANOS);
        let refilled = self.per_second.saturating_mul(elapsed);
        self.held = self.held.saturating_add(refilled).min(capacity);
        self.at_nanos = now_nanos;
    }

    /// Whether `amount` fits. What is larger than the bucket fits when the bucket is full, and leaves a debt: records may be
    /// larger than a shard's second.
    fn has(&self, amount: i64) -> bool {
        self.held >= amount.min(self.per_second).saturating_mul(NANOS)
    }

    fn take(&mut self, amount: i64) {
        self.held = self.held.saturating_sub(amount.saturating_mul(NANOS));
    }
}

/// What a shard still takes in.
#[derive(Clone, Copy, Debug)]
pub struct WriteAllowance {
    records: Bucket,
    bytes: Bucket,
}

impl WriteAllowance {
    /// A rested shard's.
    pub fn full(now_nanos: i64) -> Self {
        Self {
            records: Bucket::full(WRITE_RECORDS_PER_SECOND, now_nanos),
            bytes: Bucket::full(WRITE_BYTES_PER_SECOND, now_nanos),
        }
    }

    /// Takes one record of `bytes` (data and key) in, or refuses it whole.
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

/// What a shard still gives out.
#[derive(Clone, Copy, Debug)]
pub struct ReadAllowance {
    calls: Bucket,
    bytes: Bucket,
}

impl ReadAllowance {
    /// A rested shard's.
    pub fn full(now_nanos: i64) -> Self {
        Self {
            calls: Bucket::full(READ_CALLS_PER_SECOND, now_nanos),
            bytes: Bucket::full(READ_BYTES_PER_SECOND, now_nanos),
        }
    }

    /// Admits a `GetRecords` call unless the calls or bytes of earlier ones are still to be paid.
    pub fn admits(&mut self, now_nanos: i64) -> bool {
        self.calls.refill(now_nanos);
        self.bytes.refill(now_nanos);
        let admitted = self.calls.has(1) && self.bytes.held > 0;
        if admitted {
            self.calls.take(1);
        }
        admitted
    }

    /// Charges what the call returned: 10 MiB at once throttle the next five seconds (API reference, `GetRecords`).
    pub fn charge(&mut self, bytes: usize) {
        self.bytes.take(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = NANOS;

    fn admitted(allowance: &mut WriteAllowance, records: usize, bytes: usize, now: i64) -> usize {
        (0..records).filter(|_| allowance.admits(bytes, now)).count()
    }

    #[test]
    fn a_second_holds_a_thousand_records_and_not_one_more() {
        let mut allowance = WriteAllowance::full(0);
        assert_eq!(admitted(&mut allowance, 1500, 10, 0), 1000);
        assert_eq!(admitted(&mut allowance, 10, 10, SECOND / 1000 - 1), 0);
        assert_eq!(admitted(&mut allowance, 10, 10, SECOND / 1000), 1);
        assert_eq!(admitted(&mut allowance, 1500, 10, 90 * SECOND), 1000);
    }

    #[test]
    fn a_second_holds_a_mebibyte_and_not_one_byte_more() {
        let mut allowance = WriteAllowance::full(0);
        assert_eq!(admitted(&mut allowance, 5, 1 << 18, 0), 4);
        assert!(!allowance.admits(1, 0));
        assert!(allowance.admits(1 << 19, SECOND / 2));
        assert!(!allowance.admits(1, SECOND / 2));
    }

    #[test]
    fn a_record_larger_than_a_second_waits_for_a_full_bucket_and_leaves_a_debt() {
        let mut allowance = WriteAllowance::full(0);
        assert!(allowance.admits(1, 0));
        assert!(!allowance.admits(3 << 20, 0));
        assert!(allowance.admits(3 << 20, SECOND));
        assert!(!allowance.admits(1, 3 * SECOND));
        assert!(allowance.admits(1, 3 * SECOND + 1000));
    }

    #[test]
    fn five_reads_a_second_and_ten_mebibytes_block_the_next_five_seconds() {
        let mut allowance = ReadAllowance::full(0);
        assert_eq!((0..9).filter(|_| allowance.admits(0)).count(), 5);
        assert!(allowance.admits(SECOND));
        allowance.charge(12 << 20);
        assert!(!allowance.admits(6 * SECOND));
        assert!(allowance.admits(6 * SECOND + 1000));
    }
}

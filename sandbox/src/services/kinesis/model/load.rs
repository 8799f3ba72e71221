//! The load of shards and streams. In: what was stored in a time. Out: throughput. Pure.

use jiff::SignedDuration;

use super::rate_limit::{WRITE_BYTES_PER_SECOND, WRITE_RECORDS_PER_SECOND};

/// What reached a shard since it was opened. Its readers take the difference to their last reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Records stored.
    pub records: u64,
    /// Bytes stored, keys included.
    pub bytes: u64,
    /// Records rejected.
    pub throttled: u64,
}

impl Load {
    /// What came since `last`, which becomes this load.
    pub fn since(self, last: &mut Self) -> Self {
        let Self { records, bytes, throttled } = std::mem::replace(last, self);
        Self {
            records: self.records - records,
            bytes: self.bytes - bytes,
            throttled: self.throttled - throttled,
        }
    }
}

/// Throughput in thousandths of a shard: the larger of its bytes and its records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MilliShards(pub u64);

impl MilliShards {
    /// The throughput of `load` over `elapsed` wall time. Rates are in wall time regardless of the
    /// clock's speed.
    pub fn of(load: Load, elapsed: SignedDuration) -> Self {
        let Ok(millis) = u128::try_from(elapsed.as_millis()) else { return Self(0) };
        if millis == 0 {
            return Self(0);
        }
        // Per second and in thousandths: both factors of 1000 appear in the milliseconds below.
        let share = |amount: u64, per_second: i64| {
            u128::from(amount) * 1_000_000 / (millis * u128::from(per_second.unsigned_abs()))
        };
        let records = share(load.records, WRITE_RECORDS_PER_SECOND);
        let bytes = share(load.bytes, WRITE_BYTES_PER_SECOND);
        Self(u64::try_from(records.max(bytes)).unwrap_or(u64::MAX))
    }

    /// The number of shards that can take double this throughput.
    pub fn doubled(self) -> u32 {
        u32::try_from(self.0.saturating_mul(2).div_ceil(1000)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throughput_is_the_larger_of_bytes_and_records() {
        let second = SignedDuration::from_secs(1);
        let load = |records, bytes| Load { records, bytes, throttled: 0 };
        assert_eq!(MilliShards::of(load(2500, 100), second), MilliShards(2500));
        assert_eq!(MilliShards::of(load(10, 3 << 20), second), MilliShards(3000));
        assert_eq!(MilliShards::of(load(2500, 100), SignedDuration::from_millis(500)), MilliShards(5000));
        assert_eq!(MilliShards::of(load(2500, 100), SignedDuration::ZERO), MilliShards(0));
    }
}

//! The load of each shard of a stream over time, as far as somebody counted it. In: counts, which
//! are untrusted. Out: the same within bounds, and what they show in words. Pure.
//!
//! A record of a run has no such figures: AWS has them at a price per shard, the sandbox for
//! nothing.

use std::collections::BTreeMap;

use kinesis_demo_api::MicroTime;

use crate::text::offset;

/// Kinesis API reference, `PutRecords`: a shard takes 1,000 records and 1 MiB per second.
const RECORDS_PER_SECOND: u128 = 1_000;
const BYTES_PER_SECOND: u128 = 1 << 20;

/// The shards of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardLoads {
    /// How many seconds a window has. Windows begin at multiples of it since 1970.
    pub window_seconds: u32,
    /// From when on, and until when, the windows are known.
    pub from: MicroTime,
    pub until: MicroTime,
    pub shards: Vec<ShardLoad>,
}

/// One shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardLoad {
    pub id: String,
    /// Its part of the hash keys, both ends included.
    pub hash_keys: (u128, u128),
    pub opened_at: MicroTime,
    pub closed_at: Option<MicroTime>,
    /// The windows with any traffic, by when they begin, in seconds since 1970.
    pub windows: BTreeMap<i64, WindowCounts>,
}

/// What a shard got in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowCounts {
    pub records: u64,
    pub bytes: u64,
    pub throttled: u64,
}

impl WindowCounts {
    pub fn add(&mut self, other: Self) {
        let Self { records, bytes, throttled } = other;
        self.records = self.records.saturating_add(records);
        self.bytes = self.bytes.saturating_add(bytes);
        self.throttled = self.throttled.saturating_add(throttled);
    }

    /// How much of the shard's limit it was over that time, in percent: of records or of bytes,
    /// whichever is more.
    #[must_use]
    pub fn load_percent(self, millis: u64) -> u32 {
        let share =
            |count: u64, limit: u128| u128::from(count) * 100_000 / (u128::from(millis.max(1)) * limit);
        let records = share(self.records, RECORDS_PER_SECOND);
        let bytes = share(self.bytes, BYTES_PER_SECOND);
        u32::try_from(records.max(bytes)).unwrap_or(u32::MAX)
    }
}

/// How many shards were how loaded at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Census {
    open: usize,
    above_half: usize,
    throttled: usize,
}

impl ShardLoads {
    /// How many milliseconds of the window that begins at that second are known.
    #[must_use]
    pub fn known_millis(&self, second: i64) -> u64 {
        let whole = i64::from(self.window_seconds) * 1_000;
        let known = (self.until.as_micros() / 1_000).saturating_sub(second.saturating_mul(1_000));
        u64::try_from(known.clamp(0, whole)).unwrap_or(0)
    }

    fn census(&self, second: i64) -> Census {
        let millis = self.known_millis(second);
        let from = MicroTime::from_micros(second.saturating_mul(1_000_000));
        let until = MicroTime::from_micros(
            second.saturating_add(self.window_seconds.into()).saturating_mul(1_000_000),
        );
        let mut census = Census::default();
        for shard in &self.shards {
            if shard.opened_at >= until || shard.closed_at.is_some_and(|closed_at| closed_at <= from) {
                continue;
            }
            let counts = shard.windows.get(&second).copied().unwrap_or_default();
            census.open += usize::from(shard.closed_at.is_none_or(|closed_at| closed_at >= until));
            census.above_half += usize::from(counts.load_percent(millis) > 50);
            census.throttled += usize::from(counts.throttled > 0);
        }
        census
    }

    /// What the shards do in the last window, and the most that they did, relative to `zero`. None
    /// if nothing is known.
    #[must_use]
    pub fn spoken(&self, zero: MicroTime) -> Option<String> {
        let wide = i64::from(self.window_seconds.max(1));
        let last = self
            .until
            .as_micros()
            .saturating_sub(1)
            .div_euclid(1_000_000)
            .div_euclid(wide)
            .checked_mul(wide)?;
        if self.shards.is_empty() || self.until <= self.from {
            return None;
        }
        let Census { open, above_half, throttled } = self.census(last);
        let at = offset(MicroTime::from_micros(last.checked_mul(1_000_000)?), zero);
        let mut seconds: Vec<i64> =
            self.shards.iter().flat_map(|shard| shard.windows.keys().copied()).collect();
        seconds.sort_unstable();
        seconds.dedup();
        let all: Vec<Census> = seconds.into_iter().map(|second| self.census(second)).collect();
        let most = |of: fn(&Census) -> usize| all.iter().map(of).max().unwrap_or(0);
        Some(format!(
            "Shards at {at}: {above_half} of {open} above half of their limit; {throttled} throttled. The most at \
             once: {} above half, {} throttled.",
            most(|census| census.above_half),
            most(|census| census.throttled)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(records: u64, throttled: u64) -> WindowCounts {
        WindowCounts { records, bytes: records.saturating_mul(10), throttled }
    }

    fn shard(id: &str, opened: i64, closed: Option<i64>, windows: &[(i64, WindowCounts)]) -> ShardLoad {
        let at = |second: i64| MicroTime::from_micros(second * 1_000_000);
        ShardLoad {
            id: id.into(),
            hash_keys: (0, u128::MAX),
            opened_at: at(opened),
            closed_at: closed.map(at),
            windows: windows.iter().copied().collect(),
        }
    }

    #[test]
    fn the_load_is_that_of_records_or_of_bytes() {
        assert_eq!(counts(500, 0).load_percent(1_000), 50);
        assert_eq!(counts(500, 0).load_percent(500), 100);
        assert_eq!(WindowCounts { records: 1, bytes: 3 << 19, throttled: 0 }.load_percent(2_000), 75);
        assert_eq!(counts(u64::MAX, 0).load_percent(0), u32::MAX);
    }

    #[test]
    fn the_text_alternative_counts_shards() {
        let shards = vec![
            shard("a", 10, Some(12), &[(10, counts(900, 7)), (11, counts(900, 0))]),
            shard("b", 12, None, &[(12, counts(600, 0))]),
            shard("c", 12, None, &[(12, counts(100, 0))]),
        ];
        let second = |second: i64| MicroTime::from_micros(second * 1_000_000);
        let loads = ShardLoads { window_seconds: 1, from: second(10), until: second(13), shards };
        assert_eq!(
            loads.spoken(second(2)).unwrap(),
            "Shards at +10.0s: 1 of 2 above half of their limit; 0 throttled. The most at once: 1 above half, 1 throttled."
        );
        assert_eq!(ShardLoads::default().spoken(second(2)), None);
    }
}

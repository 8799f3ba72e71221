//! Latencies in few bytes. In: latencies of a ledger. Out: percentiles in milliseconds, at most 4.5
//! per cent too high. Pure.
//!
//! A histogram of the ledger takes 23 KB, and a run has a thousand cells. Here, a latency is counted
//! with those between the same two powers of the sixteenth root of two. Latencies of a cell are
//! mostly alike, so few counts are not zero.

use std::collections::BTreeMap;

use crate::ledger::Latencies;

/// Steps per doubling.
const STEPS: f64 = 16.0;

/// How many records had which latency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LatencyCounts(BTreeMap<u16, u64>);

impl LatencyCounts {
    /// The latencies of a ledger.
    pub fn of(latencies: &Latencies) -> Self {
        let mut counts = BTreeMap::new();
        for (latency, count) in latencies.values() {
            let micros = latency.as_micros().max(1) as f64;
            *counts.entry((micros.log2() * STEPS).ceil() as u16).or_default() += count;
        }
        Self(counts)
    }

    /// Adds the latencies of another cell.
    pub fn add(&mut self, other: &Self) {
        for (step, count) in &other.0 {
            *self.0.entry(*step).or_default() += count;
        }
    }

    /// The latency that `percent` of the records did not exceed, rounded up to whole milliseconds.
    /// `None` without records.
    pub fn percentile_ms(&self, percent: u64) -> Option<u32> {
        let all: u64 = self.0.values().sum();
        let wanted = (u128::from(all) * u128::from(percent)).div_ceil(100);
        let mut passed: u128 = 0;
        for (step, count) in &self.0 {
            passed += u128::from(*count);
            if passed >= wanted {
                let micros = (f64::from(*step) / STEPS).exp2();
                return Some((micros / 1000.0).ceil() as u32);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn percentiles_are_at_most_a_twentieth_too_high() {
        let mut latencies = Latencies::default();
        for millis in 1..=1_000 {
            latencies.record(Duration::from_millis(millis), 1);
        }
        let counts = LatencyCounts::of(&latencies);
        for (percent, exact) in [(50, 500), (99, 990)] {
            let found = counts.percentile_ms(percent).unwrap();
            assert!((exact..=exact + exact / 18).contains(&found), "p{percent}: {found}");
        }
        assert_eq!(LatencyCounts::default().percentile_ms(99), None);
    }

    #[test]
    fn the_sum_of_two_has_the_records_of_both() {
        let of = |millis, records| {
            let mut latencies = Latencies::default();
            latencies.record(Duration::from_millis(millis), records);
            LatencyCounts::of(&latencies)
        };
        let mut sum = of(2, 98);
        sum.add(&of(400, 2));
        assert!(sum.percentile_ms(50).unwrap() <= 3);
        assert!(sum.percentile_ms(99).unwrap() >= 400);
    }
}

//! Checks whether the traffic changed when the plan said so. In: the phases with their instants and
//! rates, and the records that arrived per 100 ms. Out: for each phase, within how many
//! milliseconds of its start the arrivals changed from the old rate to the new one. Pure.

use std::cmp::Reverse;

use jiff::Timestamp;
use kinesis_demo_api::KinesisDemo;
use kinesis_demo_api::demo::RampShape;
use kinesis_demo_api::status::PhaseReport;
use serde::Deserialize;

/// The records that arrived from `at` for [`IngestStatistics::bucket_millis`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Bucket {
    pub at: Timestamp,
    pub records: u64,
}

/// The ingest statistics of one stream, as counted by the sandbox. Empty buckets are omitted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngestStatistics {
    pub bucket_millis: u32,
    pub buckets: Vec<Bucket>,
}

/// A planned change of rate at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boundary {
    pub at: Timestamp,
    /// Records per second before and after.
    pub rates: (u32, u32),
}

/// How far from a boundary the change is searched.
const WINDOW_MILLIS: i64 = 1_000;
/// A change of fewer records per bucket cannot be distinguished from the effect of batching.
const LEAST_RECORDS_PER_BUCKET: u64 = 50;

/// The boundary at the start of each phase. None for the first phase, for a ramp, and for a phase
/// that never started.
#[must_use]
pub fn boundaries(demo: &KinesisDemo) -> Vec<Option<Boundary>> {
    let Some(status) = &demo.status else { return Vec::new() };
    let mut before = None;
    let mut boundary = |phase: &PhaseReport| {
        let old = before.replace(phase.records_per_second)?;
        let planned = demo.spec.phases.iter().find(|planned| planned.name == phase.name)?;
        let rates = (old, phase.records_per_second);
        (planned.ramp.shape == RampShape::Step).then(|| Boundary { at: phase.starts_at.timestamp(), rates })
    };
    status.phases.iter().map(&mut boundary).collect()
}

impl IngestStatistics {
    /// Within how many milliseconds of the boundary, early or late, the arrivals changed from the
    /// old rate to the new one.
    ///
    /// Considers every edge between two buckets within a second of the boundary. Chooses the edge
    /// at which a step between the two rates differs least from the arrivals, by the sum of the
    /// absolute differences. A single bucket whose batches arrived in the next bucket does not move
    /// the result. None if the best edge is further away than that second, or if the change is too
    /// small to measure.
    #[must_use]
    pub fn changed_within_millis(&self, boundary: Boundary) -> Option<u32> {
        let width = i64::from(self.bucket_millis);
        let per_bucket = |rate: u32| u64::from(rate) * u64::from(self.bucket_millis) / 1_000;
        let (old, new) = (per_bucket(boundary.rates.0), per_bucket(boundary.rates.1));
        if width == 0 || old.abs_diff(new) < LEAST_RECORDS_PER_BUCKET {
            return None;
        }
        let at = boundary.at.as_millisecond();
        // Buckets are aligned to multiples of their width. The bucket that contains the boundary
        // belongs to both sides and is skipped.
        let containing = at.div_euclid(width) * width;
        let steps = WINDOW_MILLIS / width;
        let begins: Vec<i64> =
            (-steps..=steps).filter(|step| *step != 0).map(|step| containing + step * width).collect();
        let records: Vec<u64> = begins.iter().map(|begins| self.records_at(*begins)).collect();
        let distance = |edge: usize| match begins.len() / 2 {
            middle if edge < middle => at - begins[edge],
            middle if edge > middle => begins[edge - 1] + width - at,
            _ => 0,
        };
        let difference = |edge: usize| {
            let (before, after) = records.split_at(edge);
            let differences =
                |records: &[u64], rate| records.iter().map(|count| count.abs_diff(rate)).sum::<u64>();
            differences(before, old) + differences(after, new)
        };
        // Of two edges that fit equally well, take the one further away.
        let edge = (0..=begins.len()).min_by_key(|edge| (difference(*edge), Reverse(distance(*edge))))?;
        (edge > 0 && edge < begins.len()).then(|| u32::try_from(distance(edge)).ok())?
    }

    fn records_at(&self, begins: i64) -> u64 {
        self.buckets
            .iter()
            .filter(|bucket| bucket.at.as_millisecond() == begins)
            .map(|bucket| bucket.records)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Consecutive buckets that begin at second 0.
    fn ingest_statistics(records: &[u64]) -> IngestStatistics {
        let bucket = |(index, records): (usize, &u64)| Bucket {
            at: Timestamp::from_millisecond(i64::try_from(index).unwrap() * 100).unwrap(),
            records: *records,
        };
        IngestStatistics { bucket_millis: 100, buckets: records.iter().enumerate().map(bucket).collect() }
    }

    fn step_at(millis: i64, old: u32, new: u32) -> Boundary {
        Boundary { at: Timestamp::from_millisecond(millis).unwrap(), rates: (old, new) }
    }

    fn rise(late_buckets: usize) -> IngestStatistics {
        let mut records = vec![1_000; 10 + late_buckets];
        records.resize(30, 5_000);
        ingest_statistics(&records)
    }

    #[test]
    fn a_change_in_the_boundarys_bucket_has_no_delay() {
        assert_eq!(rise(0).changed_within_millis(step_at(1_030, 10_000, 50_000)), Some(0));
        assert_eq!(rise(1).changed_within_millis(step_at(1_030, 10_000, 50_000)), Some(0));
    }

    #[test]
    fn a_late_change_is_measured_to_the_last_old_buckets_end() {
        assert_eq!(rise(3).changed_within_millis(step_at(1_030, 10_000, 50_000)), Some(270));
        let mut slow = rise(2);
        slow.buckets[12].records = 2_900;
        slow.buckets[13].records = 2_900;
        assert_eq!(slow.changed_within_millis(step_at(1_030, 10_000, 50_000)), Some(370));
    }

    #[test]
    fn batches_in_the_next_bucket_are_not_a_change() {
        let mut stalled = rise(0);
        stalled.buckets[14].records = 2_000;
        stalled.buckets[15].records = 8_000;
        assert_eq!(stalled.changed_within_millis(step_at(1_030, 10_000, 50_000)), Some(0));
    }

    #[test]
    fn a_rate_nearer_to_the_old_one_has_not_changed() {
        let mut half = vec![1_000; 10];
        half.resize(30, 2_900);
        assert_eq!(ingest_statistics(&half).changed_within_millis(step_at(1_000, 10_000, 50_000)), None);
    }

    #[test]
    fn an_early_change_is_measured() {
        assert_eq!(rise(0).changed_within_millis(step_at(1_250, 10_000, 50_000)), Some(250));
    }

    #[test]
    fn a_missing_bucket_counts_as_empty() {
        let mut fall = vec![5_000; 10];
        fall.resize(12, 0);
        let mut observed = ingest_statistics(&fall);
        observed.buckets.truncate(10);
        assert_eq!(observed.changed_within_millis(step_at(1_000, 50_000, 100)), Some(0));
    }

    #[test]
    fn a_missing_or_small_change_has_no_result() {
        assert_eq!(
            ingest_statistics(&[1_000; 30]).changed_within_millis(step_at(1_000, 10_000, 50_000)),
            None
        );
        assert_eq!(rise(0).changed_within_millis(step_at(1_000, 100, 200)), None);
    }

    #[test]
    fn the_first_phase_and_a_ramp_have_no_boundary() {
        let phase = |name: &str, rate: u32| {
            json!({
                "name": name, "recordsPerSecond": rate, "tasks": 1,
                "startsAt": "2026-11-22T10:00:00Z", "endsAt": "2026-11-22T10:00:10Z",
                "scheduled": 0, "offered": 0, "accepted": 0, "throttled": 0, "failed": 0, "dropped": 0, "unknown": 0,
                "unoffered": 0, "unreported": 0,
            })
        };
        let demo: KinesisDemo = serde_json::from_value(json!({
            "apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemo", "metadata": {"name": "a"},
            "spec": {"phases": [
                {"name": "low", "duration": "10s", "recordsPerSecond": 100},
                {"name": "high", "duration": "10s", "recordsPerSecond": 700},
                {"name": "ramp", "duration": "10s", "recordsPerSecond": 900, "ramp": {"shape": "Linear", "over": "5s"}},
            ]},
            "status": {"phases": [phase("low", 100), phase("high", 700), phase("ramp", 900)]},
        }))
        .unwrap();
        let rates: Vec<_> = boundaries(&demo).iter().map(|found| found.map(|found| found.rates)).collect();
        assert_eq!(rates, [None, Some((100, 700)), None]);
    }
}

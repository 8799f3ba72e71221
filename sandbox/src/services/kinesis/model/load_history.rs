//! The past load of an on-demand stream, and the number of shards that it requires. Pure; model
//! time.
//!
//! Developer guide, "On-demand Standard mode features": a stream starts with 4 MB/s and 4,000
//! records/s of writes, scales to accommodate up to double the peak write throughput of the last 30
//! days, and may throttle when traffic more than doubles within 15 minutes. Parts of the model
//! without a published source are marked as ours.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use super::load::MilliShards;

/// The shards of a new on-demand stream: 4 MiB/s, 4,000 records/s (developer guide, "Quotas and
/// limits").
pub const INITIAL_SHARDS: u32 = 4;
/// How long a peak counts if no caller scales the stream down (developer guide, as above).
const MEMORY: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long a peak counts after a caller scaled the stream down (What's New 2026-07-24, "on-demand
/// scale-down": at least what the last hour's peak needs).
const RECENT: SignedDuration = SignedDuration::from_hours(1);
/// The time in which capacity at most doubles (developer guide, as above).
const DOUBLING: SignedDuration = SignedDuration::from_mins(15);

#[derive(Clone, Copy)]
struct Peak {
    at: Timestamp,
    height: MilliShards,
}

/// A stream's traffic so far: hourly peaks for 30 days, every measurement of the last hour, and
/// past capacities.
pub struct LoadHistory {
    hours: VecDeque<Peak>,
    recent: VecDeque<Peak>,
    /// Capacity in shards since the given instants, oldest first; the first entry may lie before
    /// the window.
    capacities: VecDeque<(Timestamp, u32)>,
}

impl LoadHistory {
    /// A new stream: no traffic yet, and its initial capacity.
    pub fn new(capacity: u32, at: Timestamp) -> Self {
        Self { hours: VecDeque::new(), recent: VecDeque::new(), capacities: VecDeque::from([(at, capacity)]) }
    }

    /// Adds a measurement of the stored load.
    pub fn note(&mut self, height: MilliShards, now: Timestamp) {
        let hour = SignedDuration::from_hours(1);
        match self.hours.back_mut() {
            Some(last) if now.duration_since(last.at) < hour => last.height = last.height.max(height),
            _ => self.hours.push_back(Peak { at: now, height }),
        }
        self.recent.push_back(Peak { at: now, height });
        forget(&mut self.hours, MEMORY, now);
        forget(&mut self.recent, RECENT, now);
    }

    /// Adds a change of capacity. If a caller requested it (`on_request`), it becomes the new base
    /// for doubling.
    pub fn resized(&mut self, capacity: u32, on_request: bool, now: Timestamp) {
        if on_request {
            self.capacities.clear();
        }
        self.capacities.push_back((now, capacity));
    }

    /// Drops everything older than an hour: the caller scaled the stream down.
    pub fn forget_history(&mut self) {
        self.hours.clone_from(&self.recent);
    }

    /// Shards needed for the traffic of the last 30 days.
    pub fn needed(&self) -> u32 {
        highest(&self.hours).doubled().max(INITIAL_SHARDS)
    }

    /// Shards needed for the traffic of the last hour.
    pub fn needed_recently(&self) -> u32 {
        highest(&self.recent).doubled().max(INITIAL_SHARDS)
    }

    /// The maximum of shards at this time: double the capacity of 15 minutes ago.
    pub fn attainable(&mut self, now: Timestamp) -> u32 {
        while let Some((next, _)) = self.capacities.get(1)
            && now.duration_since(*next) >= DOUBLING
        {
            self.capacities.pop_front();
        }
        let least = self.capacities.iter().map(|(_, capacity)| *capacity).min();
        least.unwrap_or(INITIAL_SHARDS).saturating_mul(2)
    }
}

fn highest(peaks: &VecDeque<Peak>) -> MilliShards {
    peaks.iter().map(|peak| peak.height).max().unwrap_or_default()
}

fn forget(peaks: &mut VecDeque<Peak>, span: SignedDuration, now: Timestamp) {
    while peaks.front().is_some_and(|oldest| now.duration_since(oldest.at) > span) {
        peaks.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Timestamp = Timestamp::UNIX_EPOCH;

    fn minutes(minutes: i64) -> Timestamp {
        T0 + SignedDuration::from_mins(minutes)
    }

    #[test]
    fn needed_capacity_is_twice_the_peak_and_at_least_four() {
        let mut load_history = LoadHistory::new(4, T0);
        assert_eq!(load_history.needed(), 4);
        load_history.note(MilliShards(2000), minutes(1));
        assert_eq!(load_history.needed(), 4);
        load_history.note(MilliShards(2001), minutes(2));
        assert_eq!(load_history.needed(), 5);
        load_history.note(MilliShards(10_000), minutes(3));
        load_history.note(MilliShards(10), minutes(4));
        assert_eq!(load_history.needed(), 20);
    }

    #[test]
    fn a_peak_counts_for_30_days_or_one_hour_after_scale_down() {
        let mut load_history = LoadHistory::new(4, T0);
        load_history.note(MilliShards(10_000), T0);
        load_history.note(MilliShards(3_000), minutes(61));
        assert_eq!((load_history.needed(), load_history.needed_recently()), (20, 6));
        load_history.note(MilliShards(0), T0 + MEMORY);
        assert_eq!(load_history.needed(), 20);
        load_history.note(MilliShards(0), T0 + MEMORY + SignedDuration::from_secs(1));
        assert_eq!(load_history.needed(), 6);
        load_history.forget_history();
        assert_eq!(load_history.needed(), 4);
    }

    #[test]
    fn capacity_at_most_doubles_in_fifteen_minutes() {
        let mut load_history = LoadHistory::new(4, T0);
        assert_eq!(load_history.attainable(minutes(1)), 8);
        load_history.resized(8, false, minutes(4));
        assert_eq!(load_history.attainable(minutes(18)), 8);
        assert_eq!(load_history.attainable(minutes(19)), 16);
    }

    #[test]
    fn requested_capacity_is_a_new_base_for_doubling() {
        let mut load_history = LoadHistory::new(4, T0);
        load_history.resized(100, true, minutes(5));
        assert_eq!(load_history.attainable(minutes(5)), 200);
    }
}

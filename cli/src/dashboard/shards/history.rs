//! The load of the shards of one stream, kept as it is read. In: reports of the sandbox, each from
//! where the last ended. Out: the load over time. Pure.
//!
//! Memory is bounded: when there are too many windows, two become one.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kinesis_demo_api::MicroTime;
use kinesis_demo_local_cluster::sandbox::shards::{ShardCounts, StreamShards};
use kinesis_demo_report::shards::{ShardLoad, ShardLoads, WindowCounts};

/// How many windows are kept. A figure has half as many columns.
const MOST_WINDOWS: i64 = 240;
/// How many shards are kept, closed ones included.
const MOST_SHARDS: usize = 5_000;

/// One stream.
#[derive(Clone, Debug)]
pub struct History {
    window_seconds: u32,
    /// From when on the windows are known.
    from: i64,
    /// The first second that was not read yet.
    next: i64,
    shards: BTreeMap<String, ShardLoad>,
}

impl History {
    /// Begins with the first report of a stream.
    #[must_use]
    pub fn of(report: &StreamShards, now: Timestamp) -> Self {
        let created = report.created_at.as_second();
        let from = match report.forgotten_windows {
            0 => created,
            _ => report.windows.first().map_or(now.as_second(), |first| first.as_second()).max(created),
        };
        let mut history = Self { window_seconds: 1, from, next: from, shards: BTreeMap::new() };
        history.add(report, now);
        history
    }

    /// From when on the next report is to be.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        Timestamp::from_second(self.next).ok()
    }

    /// Adds the windows that are over and that were not read before.
    pub fn add(&mut self, report: &StreamShards, now: Timestamp) {
        let end = now.as_second();
        let is_new = |second: i64| second >= self.next && second < end;
        let seconds: Vec<i64> = report.windows.iter().map(|at| at.as_second()).collect();
        for counts in &report.shards {
            if self.shards.len() >= MOST_SHARDS && !self.shards.contains_key(&counts.shard_id) {
                continue;
            }
            let shard = self.shards.entry(counts.shard_id.clone()).or_insert_with(|| shard_of(counts));
            shard.closed_at = counts.closed_at.map(MicroTime::from);
            let columns = counts.records.iter().zip(&counts.bytes).zip(&counts.throttled);
            for (second, ((records, bytes), throttled)) in seconds.iter().zip(columns) {
                let found = WindowCounts { records: *records, bytes: *bytes, throttled: *throttled };
                if is_new(*second) && found != WindowCounts::default() {
                    let window = start_of(*second, self.window_seconds);
                    shard.windows.entry(window).or_default().add(found);
                }
            }
        }
        self.next = self.next.max(end);
        while self.next.saturating_sub(self.from) / i64::from(self.window_seconds) > MOST_WINDOWS {
            self.window_seconds = self.window_seconds.saturating_mul(2);
            for shard in self.shards.values_mut() {
                let mut merged: BTreeMap<i64, WindowCounts> = BTreeMap::new();
                for (second, counts) in &shard.windows {
                    merged.entry(start_of(*second, self.window_seconds)).or_default().add(*counts);
                }
                shard.windows = merged;
            }
        }
    }

    /// The load over time; None before the stream has shards.
    #[must_use]
    pub fn loads(&self) -> Option<ShardLoads> {
        let at = |second: i64| MicroTime::from_micros(second.saturating_mul(1_000_000));
        (!self.shards.is_empty() && self.next > self.from).then(|| ShardLoads {
            window_seconds: self.window_seconds,
            from: at(self.from),
            until: at(self.next),
            shards: self.shards.values().cloned().collect(),
        })
    }
}

fn shard_of(counts: &ShardCounts) -> ShardLoad {
    let keys = &counts.hash_key_range;
    ShardLoad {
        id: counts.shard_id.clone(),
        hash_keys: (keys.starting_hash_key, keys.ending_hash_key),
        opened_at: counts.opened_at.into(),
        closed_at: None,
        windows: BTreeMap::new(),
    }
}

fn start_of(second: i64, window_seconds: u32) -> i64 {
    let wide = i64::from(window_seconds.max(1));
    second.div_euclid(wide).saturating_mul(wide)
}

#[cfg(test)]
mod tests {
    use kinesis_demo_local_cluster::sandbox::shards::HashKeyRange;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A report with so many records a second of one shard.
    fn report(windows: std::ops::Range<i64>, records: u64) -> StreamShards {
        let count = windows.clone().count();
        StreamShards {
            name: "posts".into(),
            arn: "arn:posts".into(),
            created_at: at(100),
            forgotten_windows: 0,
            windows: windows.map(at).collect(),
            shards: vec![ShardCounts {
                shard_id: "shardId-000000000000".into(),
                hash_key_range: HashKeyRange { starting_hash_key: 0, ending_hash_key: u128::MAX },
                opened_at: at(101),
                closed_at: None,
                records: vec![records; count],
                bytes: vec![10 * records; count],
                throttled: vec![1; count],
            }],
        }
    }

    fn windows(history: &History) -> Vec<(i64, u64)> {
        let loads = history.loads().unwrap();
        loads.shards[0].windows.iter().map(|(second, counts)| (*second, counts.records)).collect()
    }

    #[test]
    fn a_window_is_counted_once_and_when_it_is_over() {
        let mut history = History::of(&report(101..104, 5), at(103));
        assert_eq!(windows(&history), [(101, 5), (102, 5)]);
        assert_eq!(history.next(), Some(at(103)));
        history.add(&report(102..105, 7), at(104));
        assert_eq!(windows(&history), [(101, 5), (102, 5), (103, 7)]);
        let loads = history.loads().unwrap();
        assert_eq!((loads.from, loads.until), (at(100).into(), at(104).into()));
    }

    #[test]
    fn hours_are_kept_in_wider_windows_with_the_same_sums() {
        let mut history = History::of(&report(101..102, 1), at(102));
        for second in 102..30_000 {
            history.add(&report(second..second + 1, 1), at(second + 1));
        }
        let loads = history.loads().unwrap();
        assert_eq!(loads.window_seconds, 128);
        let kept = &loads.shards[0].windows;
        assert!(kept.len() as i64 <= MOST_WINDOWS + 1, "{}", kept.len());
        assert!(kept.keys().all(|second| second % 128 == 0));
        let total = kept.values().map(|counts| (counts.records, counts.throttled));
        assert_eq!(total.fold((0, 0), |sum, more| (sum.0 + more.0, sum.1 + more.1)), (29_899, 29_899));
    }

    #[test]
    fn what_the_sandbox_forgot_is_not_known() {
        let mut old = report(500..502, 5);
        old.forgotten_windows = 9;
        assert_eq!(History::of(&old, at(502)).loads().unwrap().from, at(500).into());
        assert!(History::of(&StreamShards { shards: Vec::new(), ..old }, at(502)).loads().is_none());
    }

    #[test]
    fn a_closed_shard_stays_with_its_windows() {
        let mut history = History::of(&report(101..103, 5), at(103));
        let mut closed = report(103..103, 0);
        closed.shards[0].closed_at = Some(at(103));
        history.add(&closed, at(104));
        history.add(&StreamShards { shards: Vec::new(), ..closed }, at(105));
        let loads = history.loads().unwrap();
        assert_eq!((loads.shards[0].closed_at, loads.shards[0].windows.len()), (Some(at(103).into()), 2));
    }
}

//! Counts what reached the streams: records and bytes per 100 ms of wall time. The counts survive
//! the deletion of a stream. Memory is bounded: the newest hour of each of the newest 256 streams.
//! Counts only; no I/O.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

/// The width of a bucket.
pub const BUCKET_MILLIS: i64 = 100;
/// An hour of uninterrupted traffic.
const MAX_BUCKETS: usize = 36_000;
const MAX_STREAMS: usize = 256;

/// The result of one `PutRecord` or `PutRecords`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Records stored.
    pub records: u64,
    /// Their size: data and partition key, as counted for throughput.
    pub bytes: u64,
    /// Records rejected by a shard's limit.
    pub throttled: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        let Self { records, bytes, throttled } = other;
        self.records += records;
        self.bytes += bytes;
        self.throttled += throttled;
    }
}

/// Identifies a stream's counts. Every stream that was ever created has its own, even if a name is
/// reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IngestId(u64);

#[derive(Clone, Copy)]
struct Bucket {
    /// Unix time in units of [`BUCKET_MILLIS`].
    index: i64,
    tally: Tally,
}

struct StreamCounts {
    id: IngestId,
    name: String,
    arn: String,
    created_at: Timestamp,
    total: Tally,
    forgotten_buckets: u64,
    buckets: VecDeque<Bucket>,
}

/// One stream's counts as `GET /_sandbox/ingest` returns them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamIngest {
    /// The stream's name.
    pub name: String,
    /// The stream's ARN.
    pub arn: String,
    /// When it was created, in wall time.
    pub created_at: Timestamp,
    /// Everything since then, including dropped buckets.
    pub totals: Tally,
    /// The width of a bucket.
    pub bucket_millis: i64,
    /// How many buckets were dropped.
    pub forgotten_buckets: u64,
    /// The buckets with any traffic, oldest first.
    pub buckets: Vec<TimedTally>,
}

/// A bucket and its start.
#[derive(Debug, Serialize)]
pub struct TimedTally {
    /// When the bucket begins, in wall time.
    pub at: Timestamp,
    /// The bucket's counts.
    #[serde(flatten)]
    pub tally: Tally,
}

/// The counts of all streams of the account.
#[derive(Default)]
pub struct IngestStatistics(Mutex<AllStreams>);

#[derive(Default)]
struct AllStreams {
    next_id: u64,
    streams: VecDeque<StreamCounts>,
}

impl IngestStatistics {
    /// No streams.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts counting for a new stream.
    pub fn open(&self, name: &str, arn: &str, created_at: Timestamp) -> IngestId {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = IngestId(all.next_id);
        all.next_id += 1;
        if all.streams.len() == MAX_STREAMS {
            all.streams.pop_front();
        }
        all.streams.push_back(StreamCounts {
            id,
            name: name.to_owned(),
            arn: arn.to_owned(),
            created_at,
            total: Tally::default(),
            forgotten_buckets: 0,
            buckets: VecDeque::new(),
        });
        id
    }

    /// Counts what arrived at `wall`.
    pub fn count(&self, id: IngestId, wall: Timestamp, tally: Tally) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Streams are sorted by id; the newest ones are usually the busy ones.
        let Some(stream_counts) = all.streams.iter_mut().rev().find(|stream_counts| stream_counts.id == id)
        else {
            return;
        };
        stream_counts.total.add(tally);
        let index = wall.as_millisecond().div_euclid(BUCKET_MILLIS);
        // Callers read the clock before they take the lock, so neighbouring buckets may arrive out
        // of order. Larger differences do not occur.
        match stream_counts.buckets.iter_mut().rev().take(16).find(|bucket| bucket.index == index) {
            Some(bucket) => bucket.tally.add(tally),
            None => {
                let index_in_buckets = stream_counts.buckets.partition_point(|bucket| bucket.index < index);
                stream_counts.buckets.insert(index_in_buckets, Bucket { index, tally });
                if stream_counts.buckets.len() > MAX_BUCKETS {
                    stream_counts.buckets.pop_front();
                    stream_counts.forgotten_buckets += 1;
                }
            }
        }
    }

    /// The counts, newest stream last: of all streams, or of those with one name or ARN. `since`
    /// omits earlier buckets; totals are always complete.
    pub fn report(&self, stream: Option<&str>, since: Option<Timestamp>) -> Vec<StreamIngest> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = |stream_counts: &&StreamCounts| {
            stream.is_none_or(|wanted| wanted == stream_counts.name || wanted == stream_counts.arn)
        };
        all.streams.iter().filter(wanted).map(|stream_counts| report(stream_counts, since)).collect()
    }
}

fn report(stream_counts: &StreamCounts, since: Option<Timestamp>) -> StreamIngest {
    let timed = |bucket: &Bucket| {
        let at = Timestamp::from_millisecond(bucket.index * BUCKET_MILLIS).ok()?;
        since.is_none_or(|since| at >= since).then_some(TimedTally { at, tally: bucket.tally })
    };
    StreamIngest {
        name: stream_counts.name.clone(),
        arn: stream_counts.arn.clone(),
        created_at: stream_counts.created_at,
        totals: stream_counts.total,
        bucket_millis: BUCKET_MILLIS,
        forgotten_buckets: stream_counts.forgotten_buckets,
        buckets: stream_counts.buckets.iter().filter_map(timed).collect(),
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    const T0: Timestamp = Timestamp::UNIX_EPOCH;

    fn tally(records: u64) -> Tally {
        Tally { records, bytes: 10 * records, throttled: 1 }
    }

    #[test]
    fn records_are_counted_in_buckets_of_100_ms() {
        let ingest_statistics = IngestStatistics::new();
        let id = ingest_statistics.open("posts", "arn:posts", T0);
        ingest_statistics.count(id, T0 + SignedDuration::from_millis(99), tally(1));
        ingest_statistics.count(id, T0 + SignedDuration::from_millis(100), tally(2));
        ingest_statistics.count(id, T0 + SignedDuration::from_millis(20), tally(4));
        let report = ingest_statistics.report(Some("posts"), None);
        let buckets: Vec<_> =
            report[0].buckets.iter().map(|bucket| (bucket.at, bucket.tally.records)).collect();
        assert_eq!(buckets, [(T0, 5), (T0 + SignedDuration::from_millis(100), 2)]);
        assert_eq!(report[0].totals, Tally { records: 7, bytes: 70, throttled: 3 });
        let later = ingest_statistics.report(None, Some(T0 + SignedDuration::from_millis(50)));
        assert_eq!((later[0].buckets.len(), later[0].totals.records), (1, 7));
    }

    #[test]
    fn a_reused_name_has_separate_counts() {
        let ingest_statistics = IngestStatistics::new();
        let first = ingest_statistics.open("posts", "arn:posts", T0);
        let second = ingest_statistics.open("posts", "arn:posts", T0 + SignedDuration::from_secs(5));
        ingest_statistics.count(first, T0, tally(1));
        ingest_statistics.count(second, T0, tally(2));
        let totals: Vec<_> = ingest_statistics
            .report(Some("arn:posts"), None)
            .iter()
            .map(|stream_counts| stream_counts.totals.records)
            .collect();
        assert_eq!(totals, [1, 2]);
        assert!(ingest_statistics.report(Some("other"), None).is_empty());
    }

    #[test]
    fn dropped_buckets_stay_in_the_totals() {
        let ingest_statistics = IngestStatistics::new();
        let id = ingest_statistics.open("posts", "arn:posts", T0);
        for bucket in 0..=MAX_BUCKETS as i64 {
            ingest_statistics.count(id, T0 + SignedDuration::from_millis(bucket * BUCKET_MILLIS), tally(1));
        }
        let report = ingest_statistics.report(None, None);
        assert_eq!(report[0].buckets.len(), MAX_BUCKETS);
        assert_eq!(report[0].forgotten_buckets, 1);
        assert_eq!(report[0].totals.records, MAX_BUCKETS as u64 + 1);
    }
}

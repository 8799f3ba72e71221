//! What reached the streams, seen from outside the account: records and bytes per 100 ms of wall time, kept when a stream
//! is deleted. Memory is bounded: the newest hour of each of the newest 256 streams. Counts only; no I/O.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

/// The width of a bucket.
pub const BUCKET_MILLIS: i64 = 100;
/// An hour of traffic without a pause.
const MAX_BUCKETS: usize = 36_000;
const MAX_STREAMS: usize = 256;

/// What one `PutRecord` or `PutRecords` brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Records stored.
    pub records: u64,
    /// Their bytes: data and partition key, as throughput counts them.
    pub bytes: u64,
    /// Records refused by a shard's limit.
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

/// A stream's place in the books; one per stream that was ever created, so a name used twice has two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookId(u64);

#[derive(Clone, Copy)]
struct Bucket {
    /// Unix time in units of [`BUCKET_MILLIS`].
    index: i64,
    tally: Tally,
}

struct Book {
    id: BookId,
    name: String,
    arn: String,
    created_at: Timestamp,
    total: Tally,
    forgotten_buckets: u64,
    buckets: VecDeque<Bucket>,
}

/// One stream's arrivals as `GET /_sandbox/arrivals` shows them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamIngest {
    /// The stream's name.
    pub name: String,
    /// The stream's ARN.
    pub arn: String,
    /// When it was created, on the callers' clocks.
    pub created_at: Timestamp,
    /// Everything since then, forgotten buckets included.
    pub totals: Tally,
    /// The width of a bucket.
    pub bucket_millis: i64,
    /// Buckets that are no longer listed.
    pub forgotten_buckets: u64,
    /// Buckets in which anything happened, oldest first.
    pub buckets: Vec<TimedTally>,
}

/// A bucket with its beginning.
#[derive(Debug, Serialize)]
pub struct TimedTally {
    /// When the bucket begins, on the callers' clocks.
    pub at: Timestamp,
    /// What it holds.
    #[serde(flatten)]
    pub tally: Tally,
}

/// The books of all streams of the account.
#[derive(Default)]
pub struct IngestStatistics(Mutex<Books>);

#[derive(Default)]
struct Books {
    next_id: u64,
    streams: VecDeque<Book>,
}

impl IngestStatistics {
    /// Empty books.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens a book for a new stream.
    pub fn open(&self, name: &str, arn: &str, created_at: Timestamp) -> BookId {
        let mut books = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = BookId(books.next_id);
        books.next_id += 1;
        if books.streams.len() == MAX_STREAMS {
            books.streams.pop_front();
        }
        books.streams.push_back(Book {
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
    pub fn count(&self, id: BookId, wall: Timestamp, tally: Tally) {
        let mut books = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Books are in the order of their ids; the newest streams are the busy ones.
        let Some(book) = books.streams.iter_mut().rev().find(|book| book.id == id) else { return };
        book.total.add(tally);
        let index = wall.as_millisecond().div_euclid(BUCKET_MILLIS);
        // Callers read the clock before they take the lock, so neighbours may swap places; older is not possible.
        match book.buckets.iter_mut().rev().take(16).find(|bucket| bucket.index == index) {
            Some(bucket) => bucket.tally.add(tally),
            None => {
                let place = book.buckets.partition_point(|bucket| bucket.index < index);
                book.buckets.insert(place, Bucket { index, tally });
                if book.buckets.len() > MAX_BUCKETS {
                    book.buckets.pop_front();
                    book.forgotten_buckets += 1;
                }
            }
        }
    }

    /// The books, newest stream last; all of them, or those of one name or ARN. With `since`, only the buckets that begin at
    /// or after it; totals are whole in any case.
    pub fn report(&self, stream: Option<&str>, since: Option<Timestamp>) -> Vec<StreamIngest> {
        let books = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = |book: &&Book| stream.is_none_or(|wanted| wanted == book.name || wanted == book.arn);
        books.streams.iter().filter(wanted).map(|book| report(book, since)).collect()
    }
}

fn report(book: &Book, since: Option<Timestamp>) -> StreamIngest {
    let timed = |bucket: &Bucket| {
        let at = Timestamp::from_millisecond(bucket.index * BUCKET_MILLIS).ok()?;
        since.is_none_or(|since| at >= since).then_some(TimedTally { at, tally: bucket.tally })
    };
    StreamIngest {
        name: book.name.clone(),
        arn: book.arn.clone(),
        created_at: book.created_at,
        totals: book.total,
        bucket_millis: BUCKET_MILLIS,
        forgotten_buckets: book.forgotten_buckets,
        buckets: book.buckets.iter().filter_map(timed).collect(),
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
    fn arrivals_fall_into_buckets_of_a_tenth_of_a_second() {
        let arrivals = IngestStatistics::new();
        let id = arrivals.open("posts", "arn:posts", T0);
        arrivals.count(id, T0 + SignedDuration::from_millis(99), tally(1));
        arrivals.count(id, T0 + SignedDuration::from_millis(100), tally(2));
        arrivals.count(id, T0 + SignedDuration::from_millis(20), tally(4));
        let report = arrivals.report(Some("posts"), None);
        let buckets: Vec<_> =
            report[0].buckets.iter().map(|bucket| (bucket.at, bucket.tally.records)).collect();
        assert_eq!(buckets, [(T0, 5), (T0 + SignedDuration::from_millis(100), 2)]);
        assert_eq!(report[0].totals, Tally { records: 7, bytes: 70, throttled: 3 });
        let later = arrivals.report(None, Some(T0 + SignedDuration::from_millis(50)));
        assert_eq!((later[0].buckets.len(), later[0].totals.records), (1, 7));
    }

    #[test]
    fn a_name_used_twice_has_two_books() {
        let arrivals = IngestStatistics::new();
        let first = arrivals.open("posts", "arn:posts", T0);
        let second = arrivals.open("posts", "arn:posts", T0 + SignedDuration::from_secs(5));
        arrivals.count(first, T0, tally(1));
        arrivals.count(second, T0, tally(2));
        let totals: Vec<_> =
            arrivals.report(Some("arn:posts"), None).iter().map(|book| book.totals.records).collect();
        assert_eq!(totals, [1, 2]);
        assert!(arrivals.report(Some("other"), None).is_empty());
    }

    #[test]
    fn an_old_bucket_is_forgotten_but_stays_in_the_totals() {
        let arrivals = IngestStatistics::new();
        let id = arrivals.open("posts", "arn:posts", T0);
        for bucket in 0..=MAX_BUCKETS as i64 {
            arrivals.count(id, T0 + SignedDuration::from_millis(bucket * BUCKET_MILLIS), tally(1));
        }
        let report = arrivals.report(None, None);
        assert_eq!(report[0].buckets.len(), MAX_BUCKETS);
        assert_eq!(report[0].forgotten_buckets, 1);
        assert_eq!(report[0].totals.records, MAX_BUCKETS as u64 + 1);
    }
}

//! What is counted per shard and second, and that memory is bounded.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;
use crate::clock::Moment;

const T0: Timestamp = Timestamp::UNIX_EPOCH;

fn at(millis: i64) -> Moment {
    let wall = T0 + SignedDuration::from_millis(millis);
    Moment { wall, model: wall }
}

/// Windows, and the shards of some streams, which advance together.
#[derive(Default)]
struct Harness {
    windows: ShardWindows,
    streams: Vec<Shards>,
}

impl Harness {
    fn with(shards: u32) -> Self {
        let mut harness = Self::default();
        harness.open(shards, 0);
        harness
    }

    fn open(&mut self, shards: u32, millis: i64) {
        let uid = self.streams.len() as u64;
        self.windows.open(NewStream { uid, name: "posts", arn: "arn:posts", created_at: at(millis).wall });
        self.streams.push(Shards::create(shards, at(millis)));
    }

    fn advance(&mut self, millis: i64) {
        if self.windows.is_over(at(millis).wall) {
            self.collect();
            self.windows.begin(at(millis).wall);
        }
    }

    fn collect(&mut self) {
        for (uid, shards) in self.streams.iter_mut().enumerate() {
            self.windows.collect(uid as u64, shards);
        }
    }

    /// As many records to each open shard of each stream.
    fn put(&mut self, records: usize, millis: i64) {
        self.advance(millis);
        for shard in self.streams.iter_mut().flat_map(Shards::open_mut) {
            for _ in 0..records {
                let _ = shard.put("k", b"123456789", at(millis).wall);
            }
        }
    }

    fn report(&mut self, since: Option<i64>) -> Value {
        self.collect();
        let since = since.map(|millis| at(millis).wall);
        serde_json::to_value(self.windows.report(None, since)).unwrap()
    }
}

#[test]
fn each_shard_has_its_records_per_second() {
    let mut harness = Harness::with(2);
    harness.put(3, 100);
    harness.put(2, 900);
    harness.put(1_200, 2_500);
    let half = "170141183460469231731687303715884105728";
    let end = "340282366920938463463374607431768211455";
    let shard = |id: &str, from: &str, until: &str| {
        json!({
            "shardId": id,
            "hashKeyRange": {"startingHashKey": from, "endingHashKey": until},
            "openedAt": "1970-01-01T00:00:00Z",
            "closedAt": null,
            "records": [5, 1000],
            "bytes": [50, 10_000],
            "throttled": [0, 200],
        })
    };
    assert_eq!(
        harness.report(None),
        json!([{
            "name": "posts",
            "arn": "arn:posts",
            "createdAt": "1970-01-01T00:00:00Z",
            "windowMillis": 1000,
            "forgottenWindows": 0,
            "windows": ["1970-01-01T00:00:00Z", "1970-01-01T00:00:02Z"],
            "shards": [
                shard("shardId-000000000000", "0", "170141183460469231731687303715884105727"),
                shard("shardId-000000000001", half, end),
            ],
        }])
    );
    let later = harness.report(Some(1_000));
    assert_eq!(later[0]["windows"], json!(["1970-01-01T00:00:02Z"]));
    assert_eq!(later[0]["shards"][1]["records"], json!([1000]));
}

#[test]
fn a_read_within_a_second_splits_no_window() {
    let mut harness = Harness::with(1);
    harness.put(3, 100);
    assert_eq!(harness.report(None)[0]["shards"][0]["records"], json!([3]));
    harness.put(4, 600);
    assert_eq!(harness.report(None)[0]["shards"][0]["records"], json!([7]));
}

#[test]
fn a_split_closes_its_shard_and_keeps_its_last_records() {
    let mut harness = Harness::with(1);
    harness.put(3, 100);
    harness.streams[0].split_in_halves(&[0], at(400));
    harness.put(1, 600);
    harness.put(1, 1_600);
    let report = harness.report(None);
    let shards = report[0]["shards"].as_array().unwrap();
    let rows: Vec<_> = shards.iter().map(|shard| (&shard["closedAt"], &shard["records"])).collect();
    let closed = json!("1970-01-01T00:00:00.4Z");
    assert_eq!(
        rows,
        [(&closed, &json!([3, 0])), (&Value::Null, &json!([1, 1])), (&Value::Null, &json!([1, 1]))]
    );
    let later = harness.report(Some(1_000));
    assert_eq!(later[0]["shards"].as_array().unwrap().len(), 2, "the closed shard has no part in it");
}

#[test]
fn ten_minutes_are_kept_of_open_and_closed_shards() {
    let mut harness = Harness::with(1);
    harness.put(1, 0);
    harness.streams[0].split_in_halves(&[0], at(500));
    for second in 1..=1_300 {
        harness.put(1, second * 1_000);
    }
    let report = harness.report(None);
    assert_eq!(report[0]["forgottenWindows"], 1_301 - 601);
    assert_eq!(report[0]["windows"].as_array().unwrap().len(), 601, "600 and the current one");
    assert_eq!(report[0]["shards"].as_array().unwrap().len(), 2);
    assert_eq!(harness.windows.cells, 2 * 601);
}

#[test]
fn a_deleted_stream_is_kept_for_ten_minutes() {
    let mut harness = Harness::with(1);
    harness.put(1, 5_000);
    harness.collect();
    harness.windows.close(0, at(6_000).wall);
    harness.streams.clear();
    harness.advance(601_000);
    assert_eq!(harness.report(None)[0]["shards"][0]["closedAt"], "1970-01-01T00:00:06Z");
    harness.advance(606_000);
    harness.advance(661_000);
    assert_eq!(harness.report(None), json!([]));
    assert_eq!(harness.windows.cells, 0);
}

#[test]
fn many_busy_shards_keep_a_shorter_time() {
    let mut harness = Harness::with(20_000);
    for second in 0..40 {
        harness.put(1, second * 1_000);
    }
    harness.collect();
    assert_eq!(harness.windows.cells, MOST_CELLS);
    let kept = &harness.windows.streams[0];
    assert_eq!((kept.windows.len(), kept.forgotten_windows), (30, 10));
}

#[test]
fn the_newest_streams_are_kept() {
    let mut harness = Harness::default();
    for second in 0..300 {
        harness.open(1, second);
    }
    harness.put(1, 1_000);
    assert_eq!(harness.report(None).as_array().unwrap().len(), MOST_STREAMS);
    assert_eq!(harness.windows.cells, MOST_STREAMS);
    assert_eq!(harness.windows.streams[0].uid, 300 - MOST_STREAMS as u64);
}

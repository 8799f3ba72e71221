//! A stream under a manual clock: creation, growth, warm-up, scale-down, deletion.

use std::collections::BTreeMap;

use super::*;
use crate::ingest_statistics::IngestStatistics;

/// Model seconds per wall-clock second in these tests.
const SPEED: i32 = 20;

struct Harness {
    stream: Stream,
    wall: Timestamp,
    is_deleted: bool,
}

impl Harness {
    fn new(spec: StreamSpec) -> Self {
        let start = Timestamp::UNIX_EPOCH;
        let now = Moment { wall: start, model: start };
        let ingest_id = IngestStatistics::new().open(&spec.name, "arn", start);
        let identity = StreamIdentity { uid: 7, arn: "arn".to_owned(), ingest_id };
        Self { stream: Stream::create(identity, spec, 200, now), wall: start, is_deleted: false }
    }

    fn on_demand(warm_mib: u32) -> Self {
        let mut harness = Self::new(spec(Mode::OnDemand, 0, warm_mib));
        harness.advance_by(SignedDuration::from_secs(20 + 10 * 30), 0);
        assert!(harness.stream.is_active());
        harness
    }

    fn now(&self) -> Moment {
        let start = Timestamp::UNIX_EPOCH;
        Moment { wall: self.wall, model: start + self.wall.duration_since(start) * SPEED }
    }

    /// Advances model time under `rate` records per wall-clock second, with evenly spread hashes.
    fn advance_by(&mut self, model: SignedDuration, rate: u64) {
        let tick = SignedDuration::from_millis(100);
        let ticks = (model / SPEED).as_millis() / tick.as_millis();
        for _ in 0..ticks {
            self.wall += tick;
            let now = self.now();
            self.is_deleted |= self.stream.advance(now);
            let records = rate / 10;
            for number in 0..records {
                let hash = (u128::MAX / u128::from(records)) * u128::from(number);
                self.stream.put(Incoming { key: "k", hash, data: b"0123456789" }, now.wall);
            }
        }
    }

    fn open(&self) -> u32 {
        self.stream.shards.open_count()
    }
}

fn spec(mode: Mode, shards: u32, warm_mib: u32) -> StreamSpec {
    StreamSpec {
        name: "posts".to_owned(),
        mode,
        shards,
        warm_mib,
        tags: BTreeMap::new(),
        max_record_kib: 1024,
        distribution: Distribution::UserPartitionKey,
    }
}

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

#[test]
fn a_stream_becomes_active_with_four_shards() {
    let mut harness = Harness::new(spec(Mode::OnDemand, 0, 0));
    harness.advance_by(seconds(18), 0);
    assert_eq!((harness.stream.status(), harness.open()), ("CREATING", 0));
    harness.advance_by(seconds(2), 0);
    assert_eq!((harness.stream.status(), harness.open()), ("ACTIVE", 4));
}

#[test]
fn a_warm_stream_takes_longer_and_is_warm_when_active() {
    let mut harness = Harness::new(spec(Mode::OnDemand, 0, 100));
    // 4 → 8 → 16 → 32 → 64 → 100: five doublings.
    harness.advance_by(seconds(20 + 5 * 30 - 2), 0);
    assert_eq!(harness.stream.status(), "CREATING");
    harness.advance_by(seconds(2), 0);
    assert_eq!((harness.stream.status(), harness.open()), ("ACTIVE", 100));
}

#[test]
fn a_cold_stream_doubles_at_most_every_15_minutes() {
    let mut harness = Harness::on_demand(0);
    harness.advance_by(seconds(160), 10_000);
    assert_eq!(harness.open(), 4);
    harness.advance_by(seconds(60), 10_000);
    assert_eq!(harness.open(), 8, "after 220 s of model time, 11 s of real time");
    harness.advance_by(seconds(13 * 60), 10_000);
    assert_eq!(harness.open(), 8, "no second doubling within 15 minutes of the first");
    harness.advance_by(seconds(6 * 60), 10_000);
    assert_eq!(harness.open(), 16);
    harness.advance_by(seconds(20 * 60), 10_000);
    assert_eq!(harness.open(), 20, "twice the peak of 10,000 records/s");
    harness.advance_by(seconds(20 * 60), 10_000);
    assert_eq!(harness.open(), 20, "20 shards are enough");
}

#[test]
fn a_splitting_stream_is_updating_and_accepts_records() {
    let mut harness = Harness::on_demand(0);
    harness.advance_by(seconds(170), 4000);
    assert_eq!(harness.stream.status(), "UPDATING");
    let now = harness.now();
    let outcome = harness.stream.put(Incoming { key: "k", hash: 1, data: b"x" }, now.wall);
    assert!(outcome.is_some());
}

#[test]
fn traffic_within_half_the_capacity_changes_nothing() {
    let mut harness = Harness::on_demand(0);
    harness.advance_by(seconds(3600), 2000);
    assert_eq!(harness.open(), 4);
    assert!(harness.stream.is_active());
}

#[test]
fn a_hot_key_splits_its_shard() {
    let mut harness = Harness::on_demand(0);
    for _ in 0..120 {
        harness.wall += SignedDuration::from_millis(100);
        let now = harness.now();
        harness.stream.advance(now);
        for _ in 0..150 {
            harness.stream.put(Incoming { key: "hot", hash: 5, data: b"x" }, now.wall);
        }
    }
    assert_eq!(harness.open(), 5);
    assert_eq!(harness.stream.shards.children(0).count(), 2, "the hot shard must be split");
}

#[test]
fn warm_throughput_doubles_until_it_reaches_its_target() {
    let mut harness = Harness::on_demand(0);
    harness.stream.warm(100, harness.now());
    harness.advance_by(seconds(88), 0);
    assert_eq!((harness.stream.status(), harness.stream.current_mib()), ("UPDATING", 4));
    harness.advance_by(seconds(4), 0);
    assert_eq!(harness.stream.current_mib(), 8);
    harness.advance_by(seconds(90), 0);
    assert_eq!((harness.stream.status(), harness.stream.current_mib()), ("UPDATING", 64));
    harness.advance_by(seconds(60), 0);
    assert_eq!((harness.stream.status(), harness.stream.current_mib()), ("ACTIVE", 100));
}

#[test]
fn warm_throughput_stays_while_the_traffic_is_low() {
    let mut harness = Harness::on_demand(100);
    harness.advance_by(seconds(2 * 3600), 100);
    assert_eq!(harness.open(), 100);
}

#[test]
fn reduced_warm_throughput_falls_to_the_last_hours_need() {
    let mut harness = Harness::on_demand(100);
    harness.advance_by(seconds(60), 10_000);
    harness.stream.warm(0, harness.now());
    harness.advance_by(seconds(60 + 3 * 30 + 4), 0);
    assert_eq!((harness.stream.status(), harness.open()), ("ACTIVE", 20));
    harness.advance_by(seconds(3700), 0);
    harness.stream.warm(0, harness.now());
    harness.advance_by(seconds(60 + 3 * 30 + 4), 0);
    assert_eq!((harness.stream.status(), harness.open()), ("ACTIVE", 4));
}

#[test]
fn warm_throughput_stops_at_the_regions_quota() {
    let mut harness = Harness::on_demand(0);
    harness.stream.warm(500, harness.now());
    harness.advance_by(seconds(400), 0);
    assert_eq!(harness.open(), 200);
}

#[test]
fn a_provisioned_stream_keeps_its_shard_count() {
    let mut harness = Harness::new(spec(Mode::Provisioned, 2, 0));
    harness.advance_by(seconds(3600), 4000);
    assert_eq!(harness.open(), 2);
}

#[test]
fn a_stream_accepts_records_while_it_is_deleted() {
    let mut harness = Harness::on_demand(0);
    harness.stream.delete(harness.now());
    harness.advance_by(seconds(28), 0);
    assert_eq!(harness.stream.status(), "DELETING");
    let now = harness.now();
    let outcome = harness.stream.put(Incoming { key: "k", hash: 1, data: b"x" }, now.wall);
    assert!(outcome.unwrap().is_ok());
    assert!(!harness.is_deleted);
    harness.advance_by(seconds(2), 0);
    assert!(harness.is_deleted);
}

#[test]
fn automatic_distribution_fills_all_shards_from_one_key() {
    let mut harness = Harness::on_demand(0);
    harness.stream.spec.distribution = Distribution::Auto;
    let now = harness.now();
    let stored = (0..4000)
        .filter(|_| {
            harness.stream.put(Incoming { key: "one", hash: 1, data: b"x" }, now.wall).unwrap().is_ok()
        })
        .count();
    assert_eq!(stored, 4000);
}

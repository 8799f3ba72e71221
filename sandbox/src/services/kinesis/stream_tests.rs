//! A stream under a manual clock: creation, growth, warm-up, release, deletion.

use super::*;
use crate::ingest_statistics::IngestStatistics;

/// Model seconds per second of real time in these tests.
const SPEED: i32 = 20;

struct Harness {
    stream: Stream,
    wall: Timestamp,
    gone: bool,
}

impl Harness {
    fn new(design: StreamSpec) -> Self {
        let start = Timestamp::UNIX_EPOCH;
        let now = Moment { wall: start, model: start };
        let book = IngestStatistics::new().open(&design.name, "arn", start);
        let identity = Identity { uid: 7, arn: "arn".to_owned(), book };
        Self { stream: Stream::create(identity, design, 200, now), wall: start, gone: false }
    }

    fn on_demand(warm_mib: u32) -> Self {
        let mut harness = Self::new(design(Mode::OnDemand, 0, warm_mib));
        harness.pass(SignedDuration::from_secs(20 + 10 * 30), 0);
        assert!(harness.stream.is_active());
        harness
    }

    fn now(&self) -> Moment {
        let start = Timestamp::UNIX_EPOCH;
        Moment { wall: self.wall, model: start + self.wall.duration_since(start) * SPEED }
    }

    /// Lets model time pass under `rate` records a second (real time) with evenly spread hashes.
    fn pass(&mut self, model: SignedDuration, rate: u64) {
        let tick = SignedDuration::from_millis(100);
        let ticks = (model / SPEED).as_millis() / tick.as_millis();
        for _ in 0..ticks {
            self.wall += tick;
            let now = self.now();
            self.gone |= self.stream.advance(now);
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

fn design(mode: Mode, shards: u32, warm_mib: u32) -> StreamSpec {
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
fn a_stream_is_created_after_its_delay_with_four_shards() {
    let mut harness = Harness::new(design(Mode::OnDemand, 0, 0));
    harness.pass(seconds(18), 0);
    assert_eq!((harness.stream.status(), harness.open()), ("CREATING", 0));
    harness.pass(seconds(2), 0);
    assert_eq!((harness.stream.status(), harness.open()), ("ACTIVE", 4));
}

#[test]
fn a_warm_stream_takes_longer_to_create_and_is_warm_when_active() {
    let mut harness = Harness::new(design(Mode::OnDemand, 0, 100));
    // 4 → 8 → 16 → 32 → 64 → 100: five doublings.
    harness.pass(seconds(20 + 5 * 30 - 2), 0);
    assert_eq!(harness.stream.status(), "CREATING");
    harness.pass(seconds(2), 0);
    assert_eq!((harness.stream.status(), harness.open()), ("ACTIVE", 100));
}

#[test]
fn a_cold_stream_grows_within_fifteen_seconds_at_speed_twenty_and_doubles_no_faster_than_in_15_minutes() {
    let mut harness = Harness::on_demand(0);
    harness.pass(seconds(160), 10_000);
    assert_eq!(harness.open(), 4);
    harness.pass(seconds(60), 10_000);
    assert_eq!(harness.open(), 8, "after 220 s of model time, 11 s of real time");
    harness.pass(seconds(13 * 60), 10_000);
    assert_eq!(harness.open(), 8, "no second doubling within 15 minutes of the first");
    harness.pass(seconds(6 * 60), 10_000);
    assert_eq!(harness.open(), 16);
    harness.pass(seconds(20 * 60), 10_000);
    assert_eq!(harness.open(), 20, "twice the peak of 10,000 records/s");
    harness.pass(seconds(20 * 60), 10_000);
    assert_eq!(harness.open(), 20, "and no more");
}

#[test]
fn while_it_splits_a_stream_is_updating_and_takes_records() {
    let mut harness = Harness::on_demand(0);
    harness.pass(seconds(170), 4000);
    assert_eq!(harness.stream.status(), "UPDATING");
    let now = harness.now();
    let outcome = harness.stream.put(Incoming { key: "k", hash: 1, data: b"x" }, now.wall);
    assert!(outcome.is_some());
}

#[test]
fn traffic_within_half_the_capacity_changes_nothing() {
    let mut harness = Harness::on_demand(0);
    harness.pass(seconds(3600), 2000);
    assert_eq!(harness.open(), 4);
    assert!(harness.stream.is_active());
}

#[test]
fn a_hot_key_splits_its_shard_though_the_stream_has_room() {
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
    assert_eq!(harness.stream.shards.children(0).count(), 2, "the hot shard was the one to split");
}

#[test]
fn warm_throughput_moves_by_doublings_and_ends_at_its_target() {
    let mut harness = Harness::on_demand(0);
    harness.stream.warm(100, harness.now());
    harness.pass(seconds(88), 0);
    assert_eq!((harness.stream.status(), harness.stream.current_mib()), ("UPDATING", 4));
    harness.pass(seconds(4), 0);
    assert_eq!(harness.stream.current_mib(), 8);
    harness.pass(seconds(90), 0);
    assert_eq!((harness.stream.status(), harness.stream.current_mib()), ("UPDATING", 64));
    harness.pass(seconds(60), 0);
    assert_eq!((harness.stream.status(), harness.stream.current_mib()), ("ACTIVE", 100));
}

#[test]
fn warm_throughput_stays_while_the_traffic_is_low() {
    let mut harness = Harness::on_demand(100);
    harness.pass(seconds(2 * 3600), 100);
    assert_eq!(harness.open(), 100);
}

#[test]
fn released_warm_throughput_falls_to_what_the_last_hour_needs() {
    let mut harness = Harness::on_demand(100);
    harness.pass(seconds(60), 10_000);
    harness.stream.warm(0, harness.now());
    harness.pass(seconds(60 + 3 * 30 + 4), 0);
    assert_eq!((harness.stream.status(), harness.open()), ("ACTIVE", 20));
    harness.pass(seconds(3700), 0);
    harness.stream.warm(0, harness.now());
    harness.pass(seconds(60 + 3 * 30 + 4), 0);
    assert_eq!((harness.stream.status(), harness.open()), ("ACTIVE", 4));
}

#[test]
fn warm_throughput_stops_at_the_regions_ceiling() {
    let mut harness = Harness::on_demand(0);
    harness.stream.warm(500, harness.now());
    harness.pass(seconds(400), 0);
    assert_eq!(harness.open(), 200);
}

#[test]
fn a_provisioned_stream_keeps_its_shards_whatever_the_traffic() {
    let mut harness = Harness::new(design(Mode::Provisioned, 2, 0));
    harness.pass(seconds(3600), 4000);
    assert_eq!(harness.open(), 2);
}

#[test]
fn deletion_takes_its_time_and_still_takes_records() {
    let mut harness = Harness::on_demand(0);
    harness.stream.delete(harness.now());
    harness.pass(seconds(28), 0);
    assert_eq!(harness.stream.status(), "DELETING");
    let now = harness.now();
    let outcome = harness.stream.put(Incoming { key: "k", hash: 1, data: b"x" }, now.wall);
    assert!(outcome.unwrap().is_ok());
    assert!(!harness.gone);
    harness.pass(seconds(2), 0);
    assert!(harness.gone);
}

#[test]
fn automatic_distribution_fills_all_shards_from_one_key() {
    let mut harness = Harness::on_demand(0);
    harness.stream.design.distribution = Distribution::Auto;
    let now = harness.now();
    let stored = (0..4000)
        .filter(|_| {
            harness.stream.put(Incoming { key: "one", hash: 1, data: b"x" }, now.wall).unwrap().is_ok()
        })
        .count();
    assert_eq!(stored, 4000);
}

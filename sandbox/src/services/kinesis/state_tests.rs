//! Quotas and memory of the account.

use jiff::{SignedDuration, Timestamp};

use super::*;

const T0: Moment = Moment { wall: Timestamp::UNIX_EPOCH, model: Timestamp::UNIX_EPOCH };

fn at(seconds: i64) -> Moment {
    let passed = SignedDuration::from_secs(seconds);
    Moment { wall: T0.wall + passed, model: T0.model + passed }
}

fn caller(region: &str) -> Caller {
    Caller { account: "000000000000".to_owned(), region: region.to_owned() }
}

fn spec(name: &str, mode: Mode, shards: u32) -> StreamSpec {
    StreamSpec {
        name: name.to_owned(),
        mode,
        shards,
        warm_mib: 0,
        tags: BTreeMap::new(),
        max_record_kib: 1024,
        distribution: Distribution::UserPartitionKey,
    }
}

fn state(memory_limit: usize) -> KinesisState {
    KinesisState::new(Arc::new(IngestStatistics::new()), Commitment::NEVER, memory_limit)
}

fn code(result: Result<(), AwsError>) -> String {
    result.map_or_else(|error| error.code, |()| "created".to_owned())
}

#[test]
fn at_most_five_streams_are_created_concurrently() {
    let mut state = state(1 << 20);
    let here = caller("us-east-1");
    for number in 0..5 {
        let name = format!("posts-{number}");
        assert_eq!(code(state.create(&here, spec(&name, Mode::OnDemand, 0), T0)), "created");
    }
    assert_eq!(code(state.create(&here, spec("six", Mode::OnDemand, 0), T0)), "LimitExceededException");
    assert_eq!(code(state.create(&caller("eu-west-1"), spec("six", Mode::OnDemand, 0), T0)), "created");
    state.advance(at(20));
    assert_eq!(code(state.create(&here, spec("six", Mode::OnDemand, 0), at(20))), "created");
}

#[test]
fn an_account_has_at_most_fifty_on_demand_streams() {
    let mut state = state(1 << 20);
    let here = caller("us-east-1");
    for number in 0..50 {
        let now = at(number * 20);
        state.advance(now);
        let name = format!("posts-{number}");
        assert_eq!(code(state.create(&here, spec(&name, Mode::OnDemand, 0), now)), "created");
    }
    let now = at(51 * 20);
    state.advance(now);
    assert_eq!(code(state.create(&here, spec("x", Mode::OnDemand, 0), now)), "LimitExceededException");
    assert_eq!(code(state.create(&here, spec("x", Mode::Provisioned, 1), now)), "created");
}

#[test]
fn the_shard_quota_depends_on_the_region() {
    let mut state = state(1 << 20);
    let small = caller("eu-north-1");
    assert_eq!(code(state.create(&small, spec("a", Mode::Provisioned, 1000), T0)), "created");
    assert_eq!(code(state.create(&small, spec("b", Mode::Provisioned, 1), T0)), "LimitExceededException");
    let large = caller("us-east-1");
    assert_eq!(code(state.create(&large, spec("a", Mode::Provisioned, 20_000), T0)), "created");
    assert_eq!(code(state.create(&large, spec("b", Mode::Provisioned, 1), T0)), "LimitExceededException");
}

#[test]
fn a_name_is_taken_until_its_stream_is_deleted() {
    let mut state = state(1 << 20);
    let here = caller("us-east-1");
    state.create(&here, spec("posts", Mode::OnDemand, 0), T0).unwrap();
    state.advance(at(20));
    state.stream(&here, "posts").unwrap().delete(at(20));
    state.advance(at(49));
    assert_eq!(code(state.create(&here, spec("posts", Mode::OnDemand, 0), at(49))), "ResourceInUseException");
    state.advance(at(50));
    assert!(state.stream(&here, "posts").is_err());
    assert_eq!(code(state.create(&here, spec("posts", Mode::OnDemand, 0), at(50))), "created");
}

#[test]
fn old_records_are_dropped_to_bound_memory() {
    let limit = 4 << 20;
    let mut state = state(limit);
    let here = caller("us-east-1");
    state.create(&here, spec("posts", Mode::OnDemand, 0), T0).unwrap();
    state.advance(at(20));
    let data = [7; 1000];
    for second in 0..20 {
        let records: Vec<Incoming<'_>> = (0..2000u128)
            .map(|number| Incoming { key: "key", hash: number * (u128::MAX / 2000), data: &data })
            .collect();
        let outcomes = state.put(&here, "posts", &records, at(30 + second)).unwrap();
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Stored(_))), "{second}");
        assert!(state.record_bytes() <= limit);
    }
    let stream = state.stream(&here, "posts").unwrap();
    let readable: usize =
        stream.shards.open().iter().map(|shard| shard.record_log.records_from(0).count()).sum();
    assert_eq!(stream.forgotten_records as usize + readable, 40_000);
    assert!(readable > 3000, "{readable}");
    stream.delete(at(60));
    state.advance(at(90));
    assert_eq!(state.record_bytes(), 0);
}

#[test]
fn puts_need_an_active_stream_and_a_valid_record_size() {
    let mut state = state(1 << 20);
    let here = caller("us-east-1");
    let put = |state: &mut KinesisState, data: &[u8], now| {
        let record = Incoming { key: "key", hash: 1, data };
        state.put(&here, "posts", &[record], now).map_err(|error| error.code)
    };
    assert_eq!(put(&mut state, b"x", T0).unwrap_err(), "ResourceNotFoundException");
    state.create(&here, spec("posts", Mode::OnDemand, 0), T0).unwrap();
    assert_eq!(put(&mut state, b"x", T0).unwrap_err(), "ResourceNotFoundException");
    state.advance(at(20));
    assert!(put(&mut state, &vec![0; (1 << 20) - 3], at(20)).is_ok());
    assert_eq!(put(&mut state, &vec![0; (1 << 20) - 2], at(20)).unwrap_err(), "InvalidArgumentException");
}

#[test]
fn records_without_keys_need_automatic_distribution() {
    let mut state = state(1 << 20);
    let here = caller("us-east-1");
    let automatic = StreamSpec { distribution: Distribution::Auto, ..spec("auto", Mode::OnDemand, 0) };
    state.create(&here, automatic, T0).unwrap();
    state.create(&here, spec("posts", Mode::OnDemand, 0), T0).unwrap();
    state.advance(at(20));
    let keyless = [Incoming { key: "", hash: 1, data: b"x" }];
    assert!(state.put(&here, "auto", &keyless, at(20)).is_ok());
    assert_eq!(state.put(&here, "posts", &keyless, at(20)).unwrap_err().code, "ValidationException");
}

#[test]
fn windows_of_shards_add_up_to_the_ingest_totals() {
    let ingest_statistics = Arc::new(IngestStatistics::new());
    let mut state = KinesisState::new(Arc::clone(&ingest_statistics), Commitment::NEVER, 1 << 20);
    let here = caller("us-east-1");
    state.create(&here, spec("posts", Mode::OnDemand, 0), T0).unwrap();
    // More than four shards take, so that some are throttled and the stream splits.
    for tenth in 200..4_000i64 {
        let passed = SignedDuration::from_millis(tenth * 100);
        let now = Moment { wall: T0.wall + passed, model: T0.model + passed };
        state.advance(now);
        let records: Vec<Incoming<'_>> = (0..500u128)
            .map(|number| Incoming { key: "key", hash: number * (u128::MAX / 500), data: b"0123456" })
            .collect();
        state.put(&here, "posts", &records, now).unwrap();
    }
    let stream = state.stream(&here, "posts").unwrap();
    assert!(stream.shards.open_count() > 4);
    stream.delete(at(400));
    state.advance(at(430));
    assert!(state.stream(&here, "posts").is_err());
    let report = serde_json::to_value(state.shard_windows(Some("posts"), None)).unwrap();
    let shards = report[0]["shards"].as_array().unwrap();
    let sum = |column: &str| -> u64 {
        let counts = shards.iter().flat_map(|shard| shard[column].as_array().unwrap());
        counts.map(|count| count.as_u64().unwrap()).sum()
    };
    let totals = ingest_statistics.report(Some("posts"), None)[0].totals;
    assert!(totals.throttled > 0);
    let summed = Tally { records: sum("records"), bytes: sum("bytes"), throttled: sum("throttled") };
    assert_eq!(summed, totals);
}

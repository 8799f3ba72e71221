//! Tests of `ListShards` and of the life of shards: filters, expiry, growth and release of
//! capacity.

use crate::test_sandbox::{TestSandbox, mode, records};
use aws_sdk_kinesis::error::ProvideErrorMetadata;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{Shard, ShardFilter, ShardFilterType, StreamMode};
use kinesis_demo_sandbox::clock::ModelClock;
use kinesis_demo_sandbox::{Options, Sandbox};

const DAY: u64 = 24 * 3600;

/// A sandbox with On-demand Advantage enabled in every Region.
async fn advantage_sandbox() -> TestSandbox {
    let clock = ModelClock::manual(1);
    let options = Options { is_advantage_enabled: true, ..Options::default() };
    let running = Sandbox::start_with_clock(options, clock.clone()).await.unwrap();
    let kinesis = aws_sdk_kinesis::Client::new(&crate::test_sandbox::config(&running, "us-east-1").await);
    TestSandbox { clock, running, kinesis }
}

async fn warm(sandbox: &TestSandbox, mib: i32) {
    let request = sandbox.kinesis.update_stream_warm_throughput().stream_name("posts");
    request.warm_throughput_mibps(mib).send().await.unwrap();
    // In small steps, because the sandbox updates its streams only when it gets a request.
    for _ in 0..60 {
        sandbox.advance(10);
        sandbox.status("posts").await;
    }
}

async fn listed(sandbox: &TestSandbox, kind: ShardFilterType, at: Option<DateTime>) -> Vec<Shard> {
    let filter = ShardFilter::builder().r#type(kind).set_timestamp(at).build().unwrap();
    let request = sandbox.kinesis.list_shards().stream_name("posts").shard_filter(filter).max_results(7);
    let mut response = request.send().await.unwrap();
    let mut shards = response.shards().to_vec();
    while let Some(token) = response.next_token() {
        response = sandbox.kinesis.list_shards().next_token(token).max_results(7).send().await.unwrap();
        shards.extend(response.shards().to_vec());
    }
    shards
}

fn cover_the_hash_space_once(shards: &[Shard]) -> bool {
    let hash = |text: &str| text.parse::<u128>().unwrap();
    let mut ranges: Vec<(u128, u128)> = shards
        .iter()
        .map(|shard| shard.hash_key_range().unwrap())
        .map(|range| (hash(range.starting_hash_key()), hash(range.ending_hash_key())))
        .collect();
    ranges.sort_unstable();
    ranges.first().is_some_and(|first| first.0 == 0)
        && ranges.last().is_some_and(|last| last.1 == u128::MAX)
        && ranges.windows(2).all(|pair| pair[0].1.checked_add(1) == Some(pair[1].0))
}

fn now(sandbox: &TestSandbox) -> DateTime {
    DateTime::from_millis(sandbox.clock.moment().wall.as_millisecond())
}

#[tokio::test]
async fn listed_shards_cover_the_hash_space_once_at_every_instant() {
    let sandbox = advantage_sandbox().await;
    sandbox.on_demand_stream("posts").await;
    let first = listed(&sandbox, ShardFilterType::AtTrimHorizon, None).await;
    assert_eq!(first.len(), 4);
    let mut instants = vec![now(&sandbox)];
    for (mib, hours) in [(10, 1), (20, 10), (7, 20), (25, 3), (0, 30), (9, 1)] {
        warm(&sandbox, mib).await;
        instants.push(now(&sandbox));
        for kind in [ShardFilterType::AtTrimHorizon, ShardFilterType::AtLatest] {
            let shards = listed(&sandbox, kind.clone(), None).await;
            assert!(cover_the_hash_space_once(&shards), "{kind} after {mib}: {shards:?}");
        }
        for instant in &instants {
            let shards = listed(&sandbox, ShardFilterType::AtTimestamp, Some(*instant)).await;
            assert!(cover_the_hash_space_once(&shards), "at {instant} after {mib}");
        }
        sandbox.advance(hours * 3600);
    }
    // The retention period of the first shards has passed.
    let horizon = listed(&sandbox, ShardFilterType::AtTrimHorizon, None).await;
    assert!(
        cover_the_hash_space_once(&horizon) && horizon.iter().all(|shard| shard.parent_shard_id().is_some())
    );
    sandbox.advance(DAY);
    let ids = |shards: &[Shard]| shards.iter().map(|shard| shard.shard_id().to_owned()).collect::<Vec<_>>();
    let latest = ids(&listed(&sandbox, ShardFilterType::AtLatest, None).await);
    assert_eq!(latest.len(), 9);
    for kind in [ShardFilterType::AtTrimHorizon, ShardFilterType::FromTrimHorizon] {
        assert_eq!(ids(&listed(&sandbox, kind, None).await), latest, "only the open shards are left");
    }
    let long_ago = Some(DateTime::from_secs(1));
    for kind in [ShardFilterType::AtTimestamp, ShardFilterType::FromTimestamp] {
        assert_eq!(
            ids(&listed(&sandbox, kind, long_ago).await),
            latest,
            "an older timestamp is raised to the trim horizon"
        );
    }
}

#[tokio::test]
async fn a_filter_needs_exactly_the_parameters_of_its_type() {
    let sandbox = TestSandbox::start().await;
    sandbox.provisioned_stream("posts", 4).await;
    let error_message = async |kind: ShardFilterType, id: Option<&str>, at: Option<DateTime>| {
        let filter =
            ShardFilter::builder().r#type(kind).set_shard_id(id.map(str::to_owned)).set_timestamp(at);
        let request =
            sandbox.kinesis.list_shards().stream_name("posts").shard_filter(filter.build().unwrap());
        let error = request.send().await.err()?;
        assert_eq!(error.code(), Some("InvalidArgumentException"));
        Some(error.message().unwrap().to_owned())
    };
    let (id, at) = (Some("shardId-000000000001"), Some(now(&sandbox)));
    for kind in [
        ShardFilterType::AtLatest,
        ShardFilterType::AtTrimHorizon,
        ShardFilterType::FromTrimHorizon,
        ShardFilterType::AfterShardId,
        ShardFilterType::AtTimestamp,
        ShardFilterType::FromTimestamp,
    ] {
        let wants_id = kind == ShardFilterType::AfterShardId;
        let wants_at = [ShardFilterType::AtTimestamp, ShardFilterType::FromTimestamp].contains(&kind);
        for (id, at) in [(None, None), (id, None), (None, at), (id, at)] {
            let rejection = error_message(kind.clone(), id, at).await;
            let fits = id.is_some() == wants_id && at.is_some() == wants_at;
            assert_eq!(rejection.is_none(), fits, "{kind} {id:?} {at:?}: {rejection:?}");
            if let Some(message) = rejection {
                assert!(message.contains("ShardId") || message.contains("Timestamp"), "{message}");
            }
        }
    }
    let after = ShardFilter::builder().r#type(ShardFilterType::AfterShardId).shard_id(id.unwrap());
    let after = sandbox.kinesis.list_shards().stream_name("posts").shard_filter(after.build().unwrap());
    let after = after.send().await.unwrap();
    let ids: Vec<&str> = after.shards().iter().map(Shard::shard_id).collect();
    assert_eq!(ids, ["shardId-000000000002", "shardId-000000000003"]);
}

#[tokio::test]
async fn a_creation_timestamp_selects_among_streams_of_one_name() {
    let sandbox = TestSandbox::start().await;
    sandbox.provisioned_stream("posts", 1).await;
    let response = sandbox.kinesis.describe_stream_summary().stream_name("posts").send().await.unwrap();
    let created = *response.stream_description_summary().unwrap().stream_creation_timestamp();
    let list = |at| sandbox.kinesis.list_shards().stream_name("posts").stream_creation_timestamp(at).send();
    assert_eq!(list(created).await.unwrap().shards().len(), 1);
    list(DateTime::from_secs(created.secs())).await.unwrap();
    let other = list(DateTime::from_secs(created.secs() - 1)).await.unwrap_err();
    assert_eq!(other.code(), Some("ResourceNotFoundException"));
    let with_token = sandbox.kinesis.list_shards().next_token("a").exclusive_start_shard_id("shardId-0");
    let rejection = with_token.send().await.unwrap_err();
    assert_eq!(rejection.message(), Some("NextToken and ExclusiveStartShardId cannot be provided together."));
}

#[tokio::test]
async fn doubling_warm_throughput_splits_each_shard() {
    let sandbox = advantage_sandbox().await;
    let create = sandbox.kinesis.create_stream().stream_name("posts");
    create.stream_mode_details(mode(StreamMode::OnDemand)).warm_throughput_mibps(10).send().await.unwrap();
    sandbox.advance(200);
    let count = async || sandbox.kinesis.list_shards().stream_name("posts").send().await.unwrap();
    assert_eq!(count().await.shards().len(), 10);
    warm(&sandbox, 20).await;
    let grown = count().await;
    assert_eq!(grown.shards().len(), 30, "ten parents, twenty children");
    assert!(grown.shards().iter().all(|shard| shard.adjacent_parent_shard_id().is_none()));
    let put = sandbox.kinesis.put_records().stream_name("posts").set_records(Some(records(500)));
    assert_eq!(put.send().await.unwrap().failed_record_count(), Some(0));
    warm(&sandbox, 10).await;
    let shrunk = count().await;
    let merged = shrunk.shards().iter().filter(|shard| shard.adjacent_parent_shard_id().is_some());
    assert_eq!((shrunk.shards().len(), merged.count()), (40, 10), "adjacent shards merge in pairs");
}

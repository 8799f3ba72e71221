//! Tests of Kinesis's data plane: limits per shard, partial failures, reads and growth.

use std::time::Duration;

use crate::test_sandbox::{TestSandbox, records};
use aws_sdk_kinesis::error::ProvideErrorMetadata;
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{Shard, ShardFilter, ShardFilterType, ShardIteratorType};
use serde_json::json;

fn code<T, E: ProvideErrorMetadata>(result: Result<T, E>) -> String {
    result.err().and_then(|error| error.code().map(str::to_owned)).unwrap_or_else(|| "no error".to_owned())
}

async fn iterator(sandbox: &TestSandbox, stream: &str, shard: &str, kind: ShardIteratorType) -> String {
    let request =
        sandbox.kinesis.get_shard_iterator().stream_name(stream).shard_id(shard).shard_iterator_type(kind);
    request.send().await.unwrap().shard_iterator().unwrap().to_owned()
}

async fn read(sandbox: &TestSandbox, iterator: &str) -> GetRecordsOutput {
    sandbox.kinesis.get_records().shard_iterator(iterator).send().await.unwrap()
}

const SHARD: &str = "shardId-000000000000";

#[tokio::test]
async fn a_shard_accepts_1_000_records_per_second() {
    let sandbox = TestSandbox::start().await;
    sandbox.provisioned_stream("posts", 1).await;
    let put =
        |count| sandbox.kinesis.put_records().stream_name("posts").set_records(Some(records(count))).send();
    for _ in 0..2 {
        assert_eq!(put(500).await.unwrap().failed_record_count(), Some(0));
    }
    let full = put(3).await.unwrap();
    assert_eq!(full.failed_record_count(), Some(3));
    let rejected = &full.records()[2];
    assert_eq!(rejected.error_code(), Some("ProvisionedThroughputExceededException"));
    assert_eq!(
        rejected.error_message(),
        Some("Rate exceeded for shard shardId-000000000000 in stream posts under account 000000000000.")
    );
    assert!(rejected.sequence_number().is_none() && rejected.shard_id().is_none());

    sandbox.clock.advance(Duration::from_millis(5));
    let partial = put(500).await.unwrap();
    assert_eq!(partial.failed_record_count(), Some(495));
    let stored: Vec<bool> =
        partial.records().iter().map(|record| record.sequence_number().is_some()).collect();
    assert_eq!(
        stored.iter().position(|stored| !stored),
        Some(5),
        "the results are in the order of the request"
    );
    let single = sandbox.kinesis.put_record().stream_name("posts").partition_key("k").data(Blob::new("x"));
    assert_eq!(code(single.send().await), "ProvisionedThroughputExceededException");

    let ingest_statistics = sandbox.admin_get("ingest").await;
    assert_eq!(ingest_statistics["streams"][0]["totals"]["records"], 1005);
    assert_eq!(ingest_statistics["streams"][0]["totals"]["throttled"], 3 + 495 + 1);
    let buckets = ingest_statistics["streams"][0]["buckets"].as_array().unwrap();
    let counted: u64 = buckets.iter().map(|bucket| bucket["records"].as_u64().unwrap()).sum();
    assert_eq!(counted, 1005);
    let shards = sandbox.admin_get("shards?stream=posts").await;
    let shard = &shards["streams"][0]["shards"][0];
    let sum = |column: &str| -> u64 {
        shard[column].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum()
    };
    assert_eq!((&shard["shardId"], sum("records"), sum("throttled")), (&json!(SHARD), 1005, 3 + 495 + 1));
    assert!(shards["now"].as_str() > shards["streams"][0]["createdAt"].as_str());
}

#[tokio::test]
async fn a_shards_byte_limit_includes_partition_keys() {
    let sandbox = TestSandbox::start().await;
    sandbox.provisioned_stream("posts", 1).await;
    let put = |bytes: usize| {
        let request = sandbox.kinesis.put_record().stream_name("posts").partition_key("0123456789abcdef");
        request.data(Blob::new(vec![7; bytes])).send()
    };
    assert_eq!(
        code(put((1 << 20) - 15).await),
        "InvalidArgumentException",
        "one byte more than the maximum record size"
    );
    put((1 << 20) - 16).await.unwrap();
    assert_eq!(code(put(0).await), "ProvisionedThroughputExceededException");
    sandbox.advance(1);
    put(0).await.unwrap();
}

#[tokio::test]
async fn records_are_read_in_the_order_of_their_puts() {
    let sandbox = TestSandbox::start().await;
    sandbox.provisioned_stream("posts", 1).await;
    let latest = iterator(&sandbox, "posts", SHARD, ShardIteratorType::Latest).await;
    let put = sandbox
        .kinesis
        .put_records()
        .stream_name("posts")
        .set_records(Some(records(3)))
        .send()
        .await
        .unwrap();
    let all = read(&sandbox, &latest).await;
    let data: Vec<&[u8]> = all.records().iter().map(|record| record.data().as_ref()).collect();
    assert_eq!(data, [b"record 0", b"record 1", b"record 2"]);
    assert_eq!(all.records()[1].partition_key(), Some("key-1"));
    let numbers: Vec<Option<&str>> =
        all.records().iter().map(|record| Some(record.sequence_number())).collect();
    assert_eq!(numbers, put.records().iter().map(|entry| entry.sequence_number()).collect::<Vec<_>>());
    assert_eq!(all.millis_behind_latest(), Some(0));
    let empty = read(&sandbox, all.next_shard_iterator().unwrap()).await;
    assert!(empty.records().is_empty() && empty.next_shard_iterator().is_some());

    let request = sandbox.kinesis.get_shard_iterator().stream_name("posts").shard_id(SHARD);
    let after = request
        .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
        .starting_sequence_number(numbers[1].unwrap())
        .send()
        .await
        .unwrap();
    let rest = read(&sandbox, after.shard_iterator().unwrap()).await;
    assert_eq!(rest.records().len(), 1);
    assert_eq!(rest.records()[0].data().as_ref(), b"record 2");
    sandbox.advance(301);
    let expired = sandbox.kinesis.get_records().shard_iterator(&latest).send().await;
    assert_eq!(code(expired), "ExpiredIteratorException");
}

#[tokio::test]
async fn a_shard_allows_five_reads_per_second() {
    let sandbox = TestSandbox::start().await;
    sandbox.provisioned_stream("posts", 1).await;
    let horizon = iterator(&sandbox, "posts", SHARD, ShardIteratorType::TrimHorizon).await;
    for _ in 0..5 {
        read(&sandbox, &horizon).await;
    }
    let sixth = sandbox.kinesis.get_records().shard_iterator(&horizon).send().await;
    assert_eq!(code(sixth), "ProvisionedThroughputExceededException");
}

#[tokio::test]
async fn a_throttled_stream_splits_and_readers_follow_to_the_children() {
    let sandbox = TestSandbox::start().await;
    sandbox.on_demand_stream("posts").await;
    let mut rejected = 0;
    // The first second exceeds four shards; the rest is enough that twice the peak needs more than
    // four.
    for calls in [9].into_iter().chain([5; 21]) {
        for _ in 0..calls {
            let put = sandbox.kinesis.put_records().stream_name("posts").set_records(Some(records(500)));
            rejected += put.send().await.unwrap().failed_record_count().unwrap();
        }
        sandbox.advance(1);
    }
    assert!(rejected > 0, "4,500 records per second exceed a new stream's capacity");
    sandbox.advance(125);
    sandbox.status("posts").await;
    sandbox.advance(61);
    let open = sandbox.kinesis.describe_stream_summary().stream_name("posts").send().await.unwrap();
    let open = open.stream_description_summary().unwrap().open_shard_count();
    assert!((5..=8).contains(&open), "{open}");
    let all = sandbox.kinesis.list_shards().stream_name("posts").send().await.unwrap();
    assert_eq!(all.shards().len(), 4 + 2 * usize::try_from(open - 4).unwrap());
    let latest = ShardFilter::builder().r#type(ShardFilterType::AtLatest).build().unwrap();
    let latest =
        sandbox.kinesis.list_shards().stream_name("posts").shard_filter(latest).send().await.unwrap();
    assert_eq!(latest.shards().len(), usize::try_from(open).unwrap());

    let closed = |shard: &&Shard| shard.sequence_number_range().unwrap().ending_sequence_number().is_some();
    let parent = all.shards().iter().find(closed).unwrap().shard_id();
    let mut position = iterator(&sandbox, "posts", parent, ShardIteratorType::TrimHorizon).await;
    let mut count = 0;
    let children = loop {
        sandbox.advance(1);
        let page = read(&sandbox, &position).await;
        count += page.records().len();
        match page.next_shard_iterator() {
            Some(next) => position = next.to_owned(),
            None => break page.child_shards().to_vec(),
        }
    };
    assert!(count > 10_000, "{count}");
    assert_eq!(children.len(), 2);
    assert_eq!(children[0].parent_shards(), [parent]);
}

//! Tests of record distribution, stream names and ARNs, and dry runs.

use crate::test_sandbox::{TestSandbox, mode};
use aws_sdk_kinesis::error::ProvideErrorMetadata;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{
    PutRecordsRequestEntry, Record, RecordDistributionStrategy, ShardIteratorType, StreamMode,
};

const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream";

fn error_of<T, E: ProvideErrorMetadata>(result: Result<T, E>) -> (String, String) {
    let error = result.err();
    let text = |text: Option<&str>| text.unwrap_or("none").to_owned();
    error.map_or_else(Default::default, |error| (text(error.code()), text(error.message())))
}

async fn create_auto_stream(sandbox: &TestSandbox, name: &str) {
    let create = sandbox.kinesis.create_stream().stream_name(name);
    create
        .stream_mode_details(mode(StreamMode::OnDemand))
        .record_distribution_strategy(RecordDistributionStrategy::Auto)
        .send()
        .await
        .unwrap();
    sandbox.advance(20);
}

async fn all_records(sandbox: &TestSandbox, stream: &str) -> Vec<Record> {
    let mut records = Vec::new();
    for number in 0..4 {
        let request = sandbox.kinesis.get_shard_iterator().stream_name(stream);
        let iterator = request
            .shard_id(format!("shardId-{number:012}"))
            .shard_iterator_type(ShardIteratorType::TrimHorizon)
            .send()
            .await
            .unwrap();
        let response = sandbox.kinesis.get_records().shard_iterator(iterator.shard_iterator().unwrap());
        records.extend(response.send().await.unwrap().records().to_vec());
    }
    records
}

#[tokio::test]
async fn automatic_distribution_needs_no_partition_keys() {
    let sandbox = TestSandbox::start().await;
    create_auto_stream(&sandbox, "auto").await;
    let put = |key: Option<&str>| {
        let request = sandbox.kinesis.put_record().stream_name("auto").data(Blob::new("x"));
        request.set_partition_key(key.map(str::to_owned))
    };
    put(None).send().await.unwrap();
    put(Some("k")).send().await.unwrap();
    let entry = |key: Option<&str>| {
        let entry = PutRecordsRequestEntry::builder().data(Blob::new("y"));
        entry.set_partition_key(key.map(str::to_owned)).build().unwrap()
    };
    let batch =
        sandbox.kinesis.put_records().stream_name("auto").records(entry(None)).records(entry(Some("l")));
    assert_eq!(batch.send().await.unwrap().failed_record_count(), Some(0));
    let mut keys: Vec<Option<String>> = all_records(&sandbox, "auto")
        .await
        .iter()
        .map(|record| record.partition_key().map(str::to_owned))
        .collect();
    keys.sort();
    assert_eq!(keys, [None, None, Some("k".to_owned()), Some("l".to_owned())]);
    let number = "49645115243426186736189010681818288118848411738000752642";
    let (code, message) = error_of(put(Some("k")).sequence_number_for_ordering(number).send().await);
    assert_eq!(code, "InvalidArgumentException");
    assert!(message.contains("SequenceNumberForOrdering") && message.contains("AUTO"), "{message}");
}

#[tokio::test]
async fn user_distribution_needs_keys_and_allows_ordering() {
    let sandbox = TestSandbox::start().await;
    sandbox.on_demand_stream("posts").await;
    let put = || sandbox.kinesis.put_record().stream_name("posts").data(Blob::new("x"));
    let missing = |path: &str| {
        let text = format!(
            "1 validation error detected: Value null at '{path}' failed to satisfy constraint: Member must not be null"
        );
        ("ValidationException".to_owned(), text)
    };
    assert_eq!(error_of(put().send().await), missing("partitionKey"));
    let entry = |key: Option<&str>| {
        let entry = PutRecordsRequestEntry::builder().data(Blob::new("y"));
        entry.set_partition_key(key.map(str::to_owned)).build().unwrap()
    };
    let batch =
        sandbox.kinesis.put_records().stream_name("posts").records(entry(Some("k"))).records(entry(None));
    assert_eq!(error_of(batch.send().await), missing("records.2.member.partitionKey"));
    assert!(all_records(&sandbox, "posts").await.is_empty(), "no record of a rejected request is stored");
    let first = put().partition_key("k").send().await.unwrap();
    let ordered = put().partition_key("k").sequence_number_for_ordering(first.sequence_number());
    let second = ordered.send().await.unwrap();
    assert!(second.sequence_number() > first.sequence_number());
    let nonsense = put().partition_key("k").sequence_number_for_ordering("9".repeat(100)).send().await;
    assert_eq!(error_of(nonsense).0, "InvalidArgumentException");
}

#[tokio::test]
async fn the_distribution_strategy_changes_at_once_on_demand_only() {
    let sandbox = TestSandbox::start().await;
    sandbox.on_demand_stream("posts").await;
    sandbox.provisioned_stream("fixed", 1).await;
    let update = |name: &str, strategy: RecordDistributionStrategy| {
        let request = sandbox.kinesis.update_stream_record_distribution_strategy();
        request.stream_arn(format!("{ARN}/{name}")).record_distribution_strategy(strategy).send()
    };
    let strategy = async || {
        let response = sandbox.kinesis.describe_stream_summary().stream_name("posts").send().await.unwrap();
        response.stream_description_summary().unwrap().record_distribution_strategy().cloned()
    };
    assert_eq!(strategy().await, Some(RecordDistributionStrategy::UserPartitionKey));
    update("posts", RecordDistributionStrategy::Auto).await.unwrap();
    assert_eq!(strategy().await, Some(RecordDistributionStrategy::Auto));
    sandbox.kinesis.put_record().stream_name("posts").data(Blob::new("x")).send().await.unwrap();
    update("posts", RecordDistributionStrategy::UserPartitionKey).await.unwrap();
    let keyless = sandbox.kinesis.put_record().stream_name("posts").data(Blob::new("x")).send().await;
    assert_eq!(error_of(keyless).0, "ValidationException");
    let expected_error = |name: &str| {
        let text = format!(
            "RecordDistributionStrategy=AUTO is only supported for on-demand streams. Stream {name} is using PROVISIONED mode."
        );
        ("InvalidArgumentException".to_owned(), text)
    };
    assert_eq!(error_of(update("fixed", RecordDistributionStrategy::Auto).await), expected_error("fixed"));
    let create = sandbox.kinesis.create_stream().stream_name("other").shard_count(1);
    let create = create.record_distribution_strategy(RecordDistributionStrategy::Auto).send().await;
    assert_eq!(error_of(create), expected_error("other"));
    assert_eq!(
        error_of(update("none", RecordDistributionStrategy::Auto).await).0,
        "ResourceNotFoundException"
    );
}

#[tokio::test]
async fn an_iterator_belongs_to_its_stream() {
    let sandbox = TestSandbox::start().await;
    sandbox.provisioned_stream("posts", 1).await;
    sandbox.provisioned_stream("other", 1).await;
    let iterator = sandbox.kinesis.get_shard_iterator().stream_name("posts").shard_id("shardId-000000000000");
    let iterator = iterator.shard_iterator_type(ShardIteratorType::Latest).send().await.unwrap();
    let read = |arn: String| {
        sandbox
            .kinesis
            .get_records()
            .shard_iterator(iterator.shard_iterator().unwrap())
            .stream_arn(arn)
            .send()
    };
    read(format!("{ARN}/posts")).await.unwrap();
    let (code, message) = error_of(read(format!("{ARN}/other")).await);
    assert_eq!(code, "InvalidArgumentException");
    assert!(message.contains("StreamARN") && message.contains("other"), "{message}");
    let elsewhere = read("arn:aws:kinesis:eu-west-1:000000000000:stream/posts".to_owned()).await;
    assert_eq!(error_of(elsewhere).0, "ResourceNotFoundException");
}

#[tokio::test]
async fn a_dry_run_validates_without_effect() {
    let sandbox = TestSandbox::start().await;
    sandbox.provisioned_stream("posts", 1).await;
    let put = |name: &str| sandbox.kinesis.put_record().stream_name(name).data(Blob::new("x")).dry_run(true);
    assert_eq!(error_of(put("posts").partition_key("k").send().await).0, "DryRunOperationException");
    assert_eq!(error_of(put("posts").send().await).0, "ValidationException");
    assert_eq!(error_of(put("other").partition_key("k").send().await).0, "ResourceNotFoundException");
    let large = put("posts").partition_key("k").data(Blob::new(vec![0; 1 << 20]));
    assert_eq!(error_of(large.send().await).0, "InvalidArgumentException");
    let iterator = |dry: bool| {
        let request =
            sandbox.kinesis.get_shard_iterator().stream_name("posts").shard_id("shardId-000000000000");
        request.shard_iterator_type(ShardIteratorType::TrimHorizon).dry_run(dry).send()
    };
    assert_eq!(error_of(iterator(true).await).0, "DryRunOperationException");
    let position = iterator(false).await.unwrap();
    let read = |dry| {
        sandbox.kinesis.get_records().shard_iterator(position.shard_iterator().unwrap()).dry_run(dry).send()
    };
    assert_eq!(error_of(read(true).await).0, "DryRunOperationException");
    assert!(read(false).await.unwrap().records().is_empty());
}

#[tokio::test]
async fn unsupported_kinesis_operations_are_rejected() {
    let sandbox = TestSandbox::start().await;
    let errors = [
        error_of(
            sandbox.kinesis.register_stream_consumer().stream_arn("arn").consumer_name("c").send().await,
        ),
        error_of(
            sandbox
                .kinesis
                .split_shard()
                .stream_name("a")
                .shard_to_split("b")
                .new_starting_hash_key("1")
                .send()
                .await,
        ),
    ];
    for (error, operation) in errors.into_iter().zip(["RegisterStreamConsumer", "SplitShard"]) {
        let text = format!(
            "The operation {operation} of Kinesis is not supported by this sandbox; docs/sandbox.md lists what is supported"
        );
        assert_eq!(error, ("UnknownOperationException".to_owned(), text));
    }
}

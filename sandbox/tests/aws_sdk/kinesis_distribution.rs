//! Where records go, what names a stream, and what a dry run is told.

use crate::test_sandbox::{TestSandbox, mode};
use aws_sdk_kinesis::error::ProvideErrorMetadata;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{
    PutRecordsRequestEntry, Record, RecordDistributionStrategy, ShardIteratorType, StreamMode,
};

const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream";

fn told<T, E: ProvideErrorMetadata>(result: Result<T, E>) -> (String, String) {
    let error = result.err();
    let text = |text: Option<&str>| text.unwrap_or("none").to_owned();
    error.map_or_else(Default::default, |error| (text(error.code()), text(error.message())))
}

async fn automatic(sandbox: &TestSandbox, name: &str) {
    let create = sandbox.kinesis.create_stream().stream_name(name);
    create
        .stream_mode_details(mode(StreamMode::OnDemand))
        .record_distribution_strategy(RecordDistributionStrategy::Auto)
        .send()
        .await
        .unwrap();
    sandbox.pass(20);
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
        let answer = sandbox.kinesis.get_records().shard_iterator(iterator.shard_iterator().unwrap());
        records.extend(answer.send().await.unwrap().records().to_vec());
    }
    records
}

#[tokio::test]
async fn streams_that_distribute_records_themselves_need_no_keys_and_give_none_back() {
    let sandbox = TestSandbox::start().await;
    automatic(&sandbox, "auto").await;
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
    let (code, message) = told(put(Some("k")).sequence_number_for_ordering(number).send().await);
    assert_eq!(code, "InvalidArgumentException");
    assert!(message.contains("SequenceNumberForOrdering") && message.contains("AUTO"), "{message}");
}

#[tokio::test]
async fn other_streams_need_keys_and_take_numbers_to_outdo() {
    let sandbox = TestSandbox::start().await;
    sandbox.on_demand_stream("posts").await;
    let put = || sandbox.kinesis.put_record().stream_name("posts").data(Blob::new("x"));
    let missing = |path: &str| {
        let text = format!(
            "1 validation error detected: Value null at '{path}' failed to satisfy constraint: Member must not be null"
        );
        ("ValidationException".to_owned(), text)
    };
    assert_eq!(told(put().send().await), missing("partitionKey"));
    let entry = |key: Option<&str>| {
        let entry = PutRecordsRequestEntry::builder().data(Blob::new("y"));
        entry.set_partition_key(key.map(str::to_owned)).build().unwrap()
    };
    let batch =
        sandbox.kinesis.put_records().stream_name("posts").records(entry(Some("k"))).records(entry(None));
    assert_eq!(told(batch.send().await), missing("records.2.member.partitionKey"));
    assert!(all_records(&sandbox, "posts").await.is_empty(), "nothing of a refused request is stored");
    let first = put().partition_key("k").send().await.unwrap();
    let ordered = put().partition_key("k").sequence_number_for_ordering(first.sequence_number());
    let second = ordered.send().await.unwrap();
    assert!(second.sequence_number() > first.sequence_number());
    let nonsense = put().partition_key("k").sequence_number_for_ordering("9".repeat(100)).send().await;
    assert_eq!(told(nonsense).0, "InvalidArgumentException");
}

#[tokio::test]
async fn the_strategy_changes_at_once_and_only_on_demand_streams_have_one() {
    let sandbox = TestSandbox::start().await;
    sandbox.on_demand_stream("posts").await;
    sandbox.provisioned_stream("fixed", 1).await;
    let update = |name: &str, strategy: RecordDistributionStrategy| {
        let request = sandbox.kinesis.update_stream_record_distribution_strategy();
        request.stream_arn(format!("{ARN}/{name}")).record_distribution_strategy(strategy).send()
    };
    let strategy = async || {
        let answer = sandbox.kinesis.describe_stream_summary().stream_name("posts").send().await.unwrap();
        answer.stream_description_summary().unwrap().record_distribution_strategy().cloned()
    };
    assert_eq!(strategy().await, Some(RecordDistributionStrategy::UserPartitionKey));
    update("posts", RecordDistributionStrategy::Auto).await.unwrap();
    assert_eq!(strategy().await, Some(RecordDistributionStrategy::Auto));
    sandbox.kinesis.put_record().stream_name("posts").data(Blob::new("x")).send().await.unwrap();
    update("posts", RecordDistributionStrategy::UserPartitionKey).await.unwrap();
    let keyless = sandbox.kinesis.put_record().stream_name("posts").data(Blob::new("x")).send().await;
    assert_eq!(told(keyless).0, "ValidationException");
    let refusal = |name: &str| {
        let text = format!(
            "RecordDistributionStrategy=AUTO is only supported for on-demand streams. Stream {name} is using PROVISIONED mode."
        );
        ("InvalidArgumentException".to_owned(), text)
    };
    assert_eq!(told(update("fixed", RecordDistributionStrategy::Auto).await), refusal("fixed"));
    let create = sandbox.kinesis.create_stream().stream_name("other").shard_count(1);
    let create = create.record_distribution_strategy(RecordDistributionStrategy::Auto).send().await;
    assert_eq!(told(create), refusal("other"));
    assert_eq!(told(update("none", RecordDistributionStrategy::Auto).await).0, "ResourceNotFoundException");
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
    let (code, message) = told(read(format!("{ARN}/other")).await);
    assert_eq!(code, "InvalidArgumentException");
    assert!(message.contains("StreamARN") && message.contains("other"), "{message}");
    let elsewhere = read("arn:aws:kinesis:eu-west-1:000000000000:stream/posts".to_owned()).await;
    assert_eq!(told(elsewhere).0, "ResourceNotFoundException");
}

#[tokio::test]
async fn a_dry_run_is_told_what_would_happen_and_nothing_does() {
    let sandbox = TestSandbox::start().await;
    sandbox.provisioned_stream("posts", 1).await;
    let put = |name: &str| sandbox.kinesis.put_record().stream_name(name).data(Blob::new("x")).dry_run(true);
    assert_eq!(told(put("posts").partition_key("k").send().await).0, "DryRunOperationException");
    assert_eq!(told(put("posts").send().await).0, "ValidationException");
    assert_eq!(told(put("other").partition_key("k").send().await).0, "ResourceNotFoundException");
    let large = put("posts").partition_key("k").data(Blob::new(vec![0; 1 << 20]));
    assert_eq!(told(large.send().await).0, "InvalidArgumentException");
    let iterator = |dry: bool| {
        let request =
            sandbox.kinesis.get_shard_iterator().stream_name("posts").shard_id("shardId-000000000000");
        request.shard_iterator_type(ShardIteratorType::TrimHorizon).dry_run(dry).send()
    };
    assert_eq!(told(iterator(true).await).0, "DryRunOperationException");
    let position = iterator(false).await.unwrap();
    let read = |dry| {
        sandbox.kinesis.get_records().shard_iterator(position.shard_iterator().unwrap()).dry_run(dry).send()
    };
    assert_eq!(told(read(true).await).0, "DryRunOperationException");
    assert!(read(false).await.unwrap().records().is_empty());
}

#[tokio::test]
async fn what_aws_has_and_the_sandbox_has_not_says_so() {
    let sandbox = TestSandbox::start().await;
    let refused = [
        told(sandbox.kinesis.register_stream_consumer().stream_arn("arn").consumer_name("c").send().await),
        told(
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
    for (told, operation) in refused.into_iter().zip(["RegisterStreamConsumer", "SplitShard"]) {
        let text = format!(
            "The operation {operation} of Kinesis is not offered by this sandbox; docs/sandbox.md lists what is"
        );
        assert_eq!(told, ("UnknownOperationException".to_owned(), text));
    }
}

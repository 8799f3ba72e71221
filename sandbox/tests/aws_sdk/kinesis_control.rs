//! Tests of Kinesis's control plane: stream life cycle, warm throughput, commitment and errors.

use crate::test_sandbox::{TestSandbox, config, mode, records};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::ProvideErrorMetadata;
use aws_sdk_kinesis::types::{
    MinimumThroughputBillingCommitmentInput, MinimumThroughputBillingCommitmentInputStatus,
    MinimumThroughputBillingCommitmentOutput, MinimumThroughputBillingCommitmentOutputStatus, StreamMode,
    StreamStatus, WarmThroughputObject,
};
use serde_json::json;

fn code<T, E: ProvideErrorMetadata>(result: Result<T, E>) -> String {
    result.err().and_then(|error| error.code().map(str::to_owned)).unwrap_or_else(|| "no error".to_owned())
}

async fn commit(
    kinesis: &Client,
    status: MinimumThroughputBillingCommitmentInputStatus,
) -> Result<MinimumThroughputBillingCommitmentOutput, String> {
    let wanted = MinimumThroughputBillingCommitmentInput::builder().status(status).build().unwrap();
    let sent = kinesis.update_account_settings().minimum_throughput_billing_commitment(wanted).send().await;
    let response = sent.map_err(|error| error.code().unwrap_or("none").to_owned())?;
    Ok(response.minimum_throughput_billing_commitment().unwrap().clone())
}

async fn warm(sandbox: &TestSandbox, name: &str) -> Option<(i32, i32)> {
    let response = sandbox.kinesis.describe_stream_summary().stream_name(name).send().await.unwrap();
    let summary = response.stream_description_summary().unwrap();
    let both = |warm: &WarmThroughputObject| (warm.target_mibps().unwrap(), warm.current_mibps().unwrap());
    summary.warm_throughput().map(both)
}

use MinimumThroughputBillingCommitmentInputStatus::{Disabled, Enabled};

#[tokio::test]
async fn a_stream_goes_from_creating_to_deleted() {
    let sandbox = TestSandbox::start().await;
    let create = || {
        sandbox
            .kinesis
            .create_stream()
            .stream_name("posts")
            .stream_mode_details(mode(StreamMode::OnDemand))
            .tags("kinesisdemo.io/owner", "ns/name")
    };
    create().send().await.unwrap();
    assert_eq!(sandbox.status("posts").await, StreamStatus::Creating);
    assert_eq!(code(create().send().await), "ResourceInUseException");
    let put = || sandbox.kinesis.put_records().stream_name("posts").set_records(Some(records(1)));
    assert_eq!(code(put().send().await), "ResourceNotFoundException");
    assert_eq!(
        code(sandbox.kinesis.delete_stream().stream_name("posts").send().await),
        "ResourceInUseException"
    );

    sandbox.advance(20);
    let response = sandbox.kinesis.describe_stream_summary().stream_name("posts").send().await.unwrap();
    let summary = response.stream_description_summary().unwrap();
    let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/posts";
    assert_eq!(*summary.stream_status(), StreamStatus::Active);
    assert_eq!((summary.stream_arn(), summary.open_shard_count()), (arn, 4));
    assert!(summary.warm_throughput().is_none(), "an uncommitted account shows no warm throughput");
    assert_eq!(put().send().await.unwrap().failed_record_count(), Some(0));
    let tags = sandbox.kinesis.list_tags_for_resource().resource_arn(arn).send().await.unwrap();
    assert_eq!((tags.tags()[0].key(), tags.tags()[0].value()), ("kinesisdemo.io/owner", Some("ns/name")));

    sandbox.kinesis.delete_stream().stream_arn(arn).send().await.unwrap();
    assert_eq!(sandbox.status("posts").await, StreamStatus::Deleting);
    assert!(put().send().await.is_ok(), "a stream that is being deleted still accepts records");
    assert_eq!(code(create().send().await), "ResourceInUseException");
    sandbox.advance(30);
    assert_eq!(
        code(sandbox.kinesis.describe_stream_summary().stream_name("posts").send().await),
        "ResourceNotFoundException"
    );
    assert_eq!(sandbox.admin_get("state").await["kinesis"]["streams"], json!([]));
    let ingest_statistics = sandbox.admin_get("ingest?stream=posts").await;
    assert_eq!(
        ingest_statistics["streams"][0]["totals"]["records"], 2,
        "the statistics are kept after the stream is deleted"
    );
}

#[tokio::test]
async fn warm_throughput_moves_from_current_to_target_while_updating() {
    let sandbox = TestSandbox::start().await;
    commit(&sandbox.kinesis, Enabled).await.unwrap();
    sandbox.on_demand_stream("posts").await;
    assert_eq!(warm(&sandbox, "posts").await, Some((0, 4)));
    let update =
        |mib| sandbox.kinesis.update_stream_warm_throughput().stream_name("posts").warm_throughput_mibps(mib);
    let response = update(100).send().await.unwrap();
    let object = response.warm_throughput().unwrap();
    assert_eq!((object.target_mibps(), object.current_mibps()), (Some(100), Some(4)));
    assert_eq!(sandbox.status("posts").await, StreamStatus::Updating);
    assert_eq!(code(update(50).send().await), "ResourceInUseException");
    let put = sandbox.kinesis.put_records().stream_name("posts").set_records(Some(records(10)));
    assert_eq!(
        put.send().await.unwrap().failed_record_count(),
        Some(0),
        "records are accepted while the stream is updating"
    );
    sandbox.advance(120);
    assert_eq!(warm(&sandbox, "posts").await, Some((100, 16)));
    sandbox.advance(90);
    assert_eq!(sandbox.status("posts").await, StreamStatus::Active);
    assert_eq!(warm(&sandbox, "posts").await, Some((100, 100)));

    assert_eq!(commit(&sandbox.kinesis, Disabled).await.unwrap_err(), "ValidationException");
    update(0).send().await.unwrap();
    assert_eq!(warm(&sandbox, "posts").await, Some((0, 100)));
    sandbox.advance(300);
    assert_eq!(sandbox.status("posts").await, StreamStatus::Active);
    assert_eq!(warm(&sandbox, "posts").await, Some((0, 4)));
    commit(&sandbox.kinesis, Disabled).await.unwrap();
}

#[tokio::test]
async fn warm_throughput_needs_commitment_on_demand_and_quota() {
    let sandbox = TestSandbox::start().await;
    let create = |warm| {
        sandbox
            .kinesis
            .create_stream()
            .stream_name("posts")
            .stream_mode_details(mode(StreamMode::OnDemand))
            .warm_throughput_mibps(warm)
    };
    assert_eq!(code(create(100).send().await), "ValidationException");
    sandbox.on_demand_stream("cold").await;
    sandbox.provisioned_stream("fixed", 1).await;
    let update = |name: &str, warm| {
        sandbox.kinesis.update_stream_warm_throughput().stream_name(name).warm_throughput_mibps(warm)
    };
    assert_eq!(code(update("cold", 10).send().await), "ValidationException");
    commit(&sandbox.kinesis, Enabled).await.unwrap();
    assert_eq!(code(update("fixed", 10).send().await), "ValidationException");
    sandbox.advance(5);
    assert_eq!(code(update("cold", 10_241).send().await), "LimitExceededException");
    assert_eq!(code(update("cold", 10_240).send().await), "no error");
    create(100).send().await.unwrap();
    sandbox.advance(20 + 5 * 30);
    assert_eq!(warm(&sandbox, "posts").await, Some((100, 100)));
}

#[tokio::test]
async fn the_commitment_ends_after_24_hours() {
    let sandbox = TestSandbox::start().await;
    let never = sandbox.kinesis.describe_account_settings().send().await.unwrap();
    let never = never.minimum_throughput_billing_commitment().unwrap();
    assert_eq!(*never.status(), MinimumThroughputBillingCommitmentOutputStatus::Disabled);
    assert_eq!((never.started_at(), never.earliest_allowed_end_at()), (None, None));
    let enabled = commit(&sandbox.kinesis, Enabled).await.unwrap();
    assert_eq!(*enabled.status(), MinimumThroughputBillingCommitmentOutputStatus::Enabled);
    let day = enabled.earliest_allowed_end_at().unwrap().secs() - enabled.started_at().unwrap().secs();
    assert_eq!(day, 24 * 3600);
    sandbox.advance(3600);
    let ending = commit(&sandbox.kinesis, Disabled).await.unwrap();
    assert_eq!(
        *ending.status(),
        MinimumThroughputBillingCommitmentOutputStatus::EnabledUntilEarliestAllowedEnd
    );
    sandbox.advance(23 * 3600);
    let ended = sandbox.kinesis.describe_account_settings().send().await.unwrap();
    let ended = ended.minimum_throughput_billing_commitment().unwrap();
    assert_eq!(*ended.status(), MinimumThroughputBillingCommitmentOutputStatus::Disabled);
    assert_eq!(ended.ended_at(), enabled.earliest_allowed_end_at());
    let elsewhere = Client::new(&config(&sandbox.running, "eu-west-1").await);
    let other = elsewhere.describe_account_settings().send().await.unwrap();
    assert!(other.minimum_throughput_billing_commitment().unwrap().started_at().is_none());
}

#[tokio::test]
async fn tags_and_retention_change_only_while_the_stream_is_active() {
    let sandbox = TestSandbox::start().await;
    sandbox.on_demand_stream("posts").await;
    let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/posts";
    sandbox.kinesis.tag_resource().resource_arn(arn).tags("a", "1").tags("b", "2").send().await.unwrap();
    sandbox.kinesis.untag_resource().resource_arn(arn).tag_keys("a").send().await.unwrap();
    let listed = sandbox.kinesis.list_tags_for_stream().stream_name("posts").send().await.unwrap();
    assert_eq!(listed.tags().iter().map(|tag| tag.key()).collect::<Vec<_>>(), ["b"]);
    assert!(!listed.has_more_tags());

    let increase = |hours| {
        sandbox.kinesis.increase_stream_retention_period().stream_name("posts").retention_period_hours(hours)
    };
    assert_eq!(code(increase(24).send().await), "InvalidArgumentException");
    assert_eq!(code(increase(8761).send().await), "InvalidArgumentException");
    increase(8760).send().await.unwrap();
    assert_eq!(sandbox.status("posts").await, StreamStatus::Updating);
    let tag = sandbox.kinesis.tag_resource().resource_arn(arn).tags("c", "3");
    assert_eq!(code(tag.send().await), "ResourceInUseException");
    sandbox.advance(10);
    let decrease = |hours| {
        sandbox.kinesis.decrease_stream_retention_period().stream_name("posts").retention_period_hours(hours)
    };
    assert_eq!(code(decrease(23).send().await), "InvalidArgumentException");
    decrease(24).send().await.unwrap();
}

#[tokio::test]
async fn calls_beyond_an_operations_rate_are_rejected_and_counted() {
    let sandbox = TestSandbox::start().await;
    sandbox.on_demand_stream("posts").await;
    sandbox.advance(1);
    let describe = || sandbox.kinesis.describe_stream_summary().stream_name("posts").send();
    for _ in 0..20 {
        describe().await.unwrap();
    }
    assert_eq!(code(describe().await), "LimitExceededException");
    sandbox.advance(1);
    describe().await.unwrap();
    let calls = sandbox.admin_get("calls").await;
    let counted = &calls["services"]["kinesis"]["DescribeStreamSummary"];
    assert_eq!(*counted, json!({"calls": 23, "refused": {"LimitExceededException": 1}}));
}

#[tokio::test]
async fn invalid_requests_get_the_error_codes_of_aws() {
    let sandbox = TestSandbox::start().await;
    let kinesis = &sandbox.kinesis;
    let name_and_count = kinesis
        .create_stream()
        .stream_name("posts")
        .stream_mode_details(mode(StreamMode::OnDemand))
        .shard_count(4);
    assert_eq!(code(name_and_count.send().await), "InvalidArgumentException");
    assert_eq!(code(kinesis.create_stream().stream_name("posts").send().await), "InvalidArgumentException");
    assert_eq!(
        code(kinesis.create_stream().stream_name("no blanks").shard_count(1).send().await),
        "ValidationException"
    );
    assert_eq!(code(kinesis.describe_stream_summary().send().await), "InvalidArgumentException");
    let elsewhere = "arn:aws:kinesis:eu-west-1:000000000000:stream/posts";
    assert_eq!(
        code(kinesis.describe_stream_summary().stream_arn(elsewhere).send().await),
        "ResourceNotFoundException"
    );
    let split =
        kinesis.split_shard().stream_name("posts").shard_to_split("shardId-0").new_starting_hash_key("5");
    assert_eq!(code(split.send().await), "UnknownOperationException");
}

#[tokio::test]
async fn lists_are_paginated() {
    let sandbox = TestSandbox::start().await;
    for name in ["a", "b", "c"] {
        sandbox.provisioned_stream(name, 3).await;
    }
    let first = sandbox.kinesis.list_streams().limit(2).send().await.unwrap();
    assert_eq!(
        (first.stream_names(), first.has_more_streams()),
        (&["a".to_owned(), "b".to_owned()][..], true)
    );
    let second = sandbox.kinesis.list_streams().next_token(first.next_token().unwrap()).send().await.unwrap();
    assert_eq!((second.stream_names(), second.has_more_streams()), (&["c".to_owned()][..], false));

    let first = sandbox.kinesis.list_shards().stream_name("a").max_results(2).send().await.unwrap();
    assert_eq!(first.shards().len(), 2);
    let rest = sandbox.kinesis.list_shards().next_token(first.next_token().unwrap());
    let second = rest.clone().send().await.unwrap();
    assert_eq!(second.shards()[0].shard_id(), "shardId-000000000002");
    assert!(second.next_token().is_none());
    sandbox.advance(301);
    assert_eq!(code(rest.send().await), "ExpiredNextTokenException");
    let described = sandbox.kinesis.describe_stream().stream_name("a").limit(2).send().await.unwrap();
    let description = described.stream_description().unwrap();
    assert_eq!((description.shards().len(), description.has_more_shards()), (2, true));
    let limits = sandbox.kinesis.describe_limits().send().await.unwrap();
    assert_eq!((limits.open_shard_count(), limits.on_demand_stream_count()), (9, 0));
}

//! Kinesis: streams, their warm throughput, and On-demand Advantage.

use kinesis_demo_operator::aws::{
    Advantage, Aws, AwsError, AwsErrorClass, NewStream, StreamDescription, StreamState, Tags, Warm,
};

use super::fixtures::{TIME_RESOLUTION, a_stream, arn, assert_refused, aws, refusal, tags};
use super::waiting::{seconds, values_until, wait_until};
use super::{Arm, OTHER_REGION};

const NAME: &str = "kd-stream";

fn stream_arn() -> String {
    arn("kinesis", "stream/kd-stream")
}

async fn stream(aws: &Aws) -> Option<StreamDescription> {
    aws.streams.fetch_stream(NAME).await.unwrap()
}

async fn state(aws: &Aws) -> Option<StreamState> {
    stream(aws).await.map(|stream| stream.state)
}

async fn warm(aws: &Aws) -> Option<Warm> {
    stream(aws).await.unwrap().warm
}

/// Creates a stream and waits until it is ACTIVE.
async fn create(arm: &dyn Arm, warm: Option<u32>) {
    let aws = aws(arm);
    aws.streams.create_stream(&a_stream(NAME, warm)).await.unwrap();
    wait_until(arm, "the stream is active", async || state(&aws).await == Some(StreamState::Active)).await;
}

fn already_exists(name: &str) -> AwsError {
    let message = format!("Stream {name} under account 000000000000 already exists.");
    refusal(AwsErrorClass::AlreadyExists, "CreateStream", name, "ResourceInUseException", message)
}

fn not_active(operation: &'static str, status: &str) -> AwsError {
    let message =
        format!("Stream kd-stream under account 000000000000 not ACTIVE, instead in state {status}");
    refusal(AwsErrorClass::AlreadyExists, operation, &stream_arn(), "ResourceInUseException", message)
}

fn not_found(operation: &'static str) -> AwsError {
    let message = "Stream kd-stream under account 000000000000 not found.";
    refusal(AwsErrorClass::NotFound, operation, &stream_arn(), "ResourceNotFoundException", message)
}

fn not_committed(operation: &'static str, target: &str) -> AwsError {
    let message = "Account 000000000000 is not enabled for minimum throughput billing commitment";
    refusal(AwsErrorClass::Invalid, operation, target, "ValidationException", message)
}

pub(super) async fn a_stream_goes_from_creating_to_active_to_deleted(arm: &dyn Arm) {
    let (aws, before) = (aws(arm), arm.now() - TIME_RESOLUTION);
    assert_eq!(stream(&aws).await, None);
    aws.streams.create_stream(&a_stream(NAME, None)).await.unwrap();
    let created = stream(&aws).await.unwrap();
    let expected = StreamDescription {
        arn: stream_arn(),
        state: StreamState::Creating,
        open_shards: 0,
        warm: None,
        created_at: created.created_at,
        queues: 0,
    };
    assert_eq!(created, expected);
    let created_at = created.created_at.expect("a stream has a creation time");
    assert!(before <= created_at && created_at <= arm.now(), "{created_at}");
    assert_eq!(aws.streams.fetch_stream_tags(&stream_arn()).await.unwrap(), tags("ns/demo"));

    let states = values_until(arm, Some(StreamState::Active), async || state(&aws).await).await;
    assert_eq!(states, [Some(StreamState::Creating), Some(StreamState::Active)]);
    let active = StreamDescription { state: StreamState::Active, open_shards: 4, ..expected };
    assert_eq!(stream(&aws).await, Some(active.clone()));

    aws.streams.delete_stream(&stream_arn()).await.unwrap();
    let deleting = StreamDescription { state: StreamState::Deleting, ..active };
    assert_eq!(stream(&aws).await, Some(deleting));
    let states = values_until(arm, None, async || state(&aws).await).await;
    assert_eq!(states, [Some(StreamState::Deleting), None]);
}

pub(super) async fn a_stream_exists_once_until_it_is_deleted(arm: &dyn Arm) {
    let aws = aws(arm);
    let create_again = async || aws.streams.create_stream(&a_stream(NAME, None)).await;
    create_again().await.unwrap();
    assert_refused(create_again().await, already_exists(NAME));
    let active = async || state(&aws).await == Some(StreamState::Active);
    wait_until(arm, "the stream is active", active).await;
    assert_refused(create_again().await, already_exists(NAME));
    aws.streams.delete_stream(&stream_arn()).await.unwrap();
    assert_refused(create_again().await, already_exists(NAME));
    wait_until(arm, "the stream is deleted", async || state(&aws).await.is_none()).await;
    create_again().await.unwrap();
}

pub(super) async fn only_an_active_stream_can_be_changed(arm: &dyn Arm) {
    let aws = aws(arm);
    arm.set_advantage(Advantage::Enabled).await;
    let assert_busy = async |status: &str| {
        let warming = aws.streams.update_warm_throughput(&stream_arn(), 8).await;
        assert_refused(warming, not_active("UpdateStreamWarmThroughput", status));
        assert_refused(aws.streams.delete_stream(&stream_arn()).await, not_active("DeleteStream", status));
    };
    aws.streams.create_stream(&a_stream(NAME, None)).await.unwrap();
    assert_busy("CREATING").await;
    wait_until(arm, "the stream is active", async || state(&aws).await == Some(StreamState::Active)).await;
    aws.streams.update_warm_throughput(&stream_arn(), 8).await.unwrap();
    assert_busy("UPDATING").await;
    wait_until(arm, "the stream is active", async || state(&aws).await == Some(StreamState::Active)).await;
    aws.streams.delete_stream(&stream_arn()).await.unwrap();
    assert_busy("DELETING").await;
}

pub(super) async fn a_missing_stream_is_not_found(arm: &dyn Arm) {
    let aws = aws(arm);
    assert_refused(aws.streams.fetch_stream_tags(&stream_arn()).await, not_found("ListTagsForResource"));
    assert_refused(aws.streams.delete_stream(&stream_arn()).await, not_found("DeleteStream"));
    // Without Advantage too: first the stream is looked up.
    let warming = aws.streams.update_warm_throughput(&stream_arn(), 8).await;
    assert_refused(warming, not_found("UpdateStreamWarmThroughput"));
}

pub(super) async fn advantage_is_off_then_on_then_ending(arm: &dyn Arm) {
    let aws = aws(arm);
    create(arm, None).await;
    for (advantage, expected) in [
        (Advantage::Disabled, None),
        (Advantage::Enabled, Some(Warm { target: 0, current: 4 })),
        (Advantage::EnabledUntilEarliestAllowedEnd, Some(Warm { target: 0, current: 4 })),
    ] {
        arm.set_advantage(advantage).await;
        assert_eq!(aws.streams.fetch_advantage().await.unwrap(), advantage);
        assert_eq!(warm(&aws).await, expected, "{advantage:?}");
    }
    aws.streams.update_warm_throughput(&stream_arn(), 8).await.unwrap();
}

pub(super) async fn warm_throughput_needs_advantage(arm: &dyn Arm) {
    let aws = aws(arm);
    let created = aws.streams.create_stream(&a_stream(NAME, Some(8))).await;
    assert_refused(created, not_committed("CreateStream", NAME));
    assert_eq!(stream(&aws).await, None);
    create(arm, None).await;
    for mib_per_second in [8, 0] {
        let warming = aws.streams.update_warm_throughput(&stream_arn(), mib_per_second).await;
        assert_refused(warming, not_committed("UpdateStreamWarmThroughput", &stream_arn()));
    }
    assert_eq!(state(&aws).await, Some(StreamState::Active));
}

pub(super) async fn warm_throughput_rises_and_falls_while_updating(arm: &dyn Arm) {
    let aws = aws(arm);
    arm.set_advantage(Advantage::Enabled).await;
    create(arm, None).await;
    for (target, from, to) in [(16, 4, 16), (0, 16, 4)] {
        aws.streams.update_warm_throughput(&stream_arn(), target).await.unwrap();
        let observe = async || {
            let seen = stream(&aws).await.unwrap();
            (seen.state, seen.warm.unwrap())
        };
        let last = (StreamState::Active, Warm { target, current: to });
        let values = values_until(arm, last, observe).await;
        assert_eq!(values[0], (StreamState::Updating, Warm { target, current: from }));
        let currents: Vec<u32> = values.iter().map(|(_, warm)| warm.current).collect();
        let is_monotonic = if from < to { currents.is_sorted() } else { currents.iter().rev().is_sorted() };
        assert!(is_monotonic, "{values:?}");
        let updating = &values[..values.len() - 1];
        assert!(
            updating.iter().all(|(state, warm)| *state == StreamState::Updating && warm.target == target),
            "{values:?}"
        );
        assert_eq!(stream(&aws).await.unwrap().open_shards, to);
    }
}

pub(super) async fn a_stream_created_warm_has_its_throughput_when_active(arm: &dyn Arm) {
    let aws = aws(arm);
    arm.set_advantage(Advantage::Enabled).await;
    aws.streams.create_stream(&a_stream(NAME, Some(16))).await.unwrap();
    let observe = async || {
        let seen = stream(&aws).await.unwrap();
        (seen.state, seen.open_shards, seen.warm.unwrap())
    };
    let active = (StreamState::Active, 16, Warm { target: 16, current: 16 });
    let values = values_until(arm, active, observe).await;
    assert_eq!(values[0], (StreamState::Creating, 0, Warm { target: 16, current: 0 }));
    // AWS does not document whether it is CREATING or UPDATING until then. It is not ACTIVE.
    let before = &values[..values.len() - 1];
    assert!(before.iter().all(|(state, _, _)| *state != StreamState::Active), "{values:?}");
    assert!(values.iter().map(|(_, shards, _)| shards).is_sorted(), "{values:?}");
    assert!(
        values.iter().all(|(_, shards, warm)| (warm.target, warm.current) == (16, *shards)),
        "{values:?}"
    );
}

pub(super) async fn warm_throughput_is_limited_by_region(arm: &dyn Arm) {
    arm.set_advantage(Advantage::Enabled).await;
    for (region, limit) in [(super::REGION, 10_240), (OTHER_REGION, 200)] {
        let streams = arm.in_region(region).streams;
        let above = streams.create_stream(&a_stream(NAME, Some(limit + 1))).await;
        let message = format!(
            "WarmThroughputMiBps {} exceeds the limit of {limit} for account 000000000000 in {region}.",
            limit + 1
        );
        let (class, code) = (AwsErrorClass::Quota, "LimitExceededException");
        assert_refused(above, refusal(class, "CreateStream", NAME, code, message));
        arm.let_time_pass(seconds(1)).await;
        streams.create_stream(&a_stream(NAME, Some(limit))).await.unwrap();
    }
}

/// Creates streams with these numbers in their names, which are CREATING then.
async fn create_numbered(aws: &Aws, numbers: std::ops::Range<u32>) {
    for number in numbers {
        aws.streams.create_stream(&a_stream(&format!("kd-{number}"), None)).await.unwrap();
    }
}

pub(super) async fn at_most_five_streams_are_creating(arm: &dyn Arm) {
    let aws = aws(arm);
    create_numbered(&aws, 0..5).await;
    // A second later, because only five streams can be created per second as well.
    arm.let_time_pass(seconds(1)).await;
    let sixth = aws.streams.create_stream(&a_stream("kd-5", None)).await;
    let message = "Limit for streams being created concurrently exceeded for account 000000000000: 5.";
    let (class, code) = (AwsErrorClass::Throttled, "LimitExceededException");
    assert_refused(sixth, refusal(class, "CreateStream", "kd-5", code, message));
    arm.let_time_pass(seconds(60)).await;
    create_numbered(&aws, 5..6).await;
}

pub(super) async fn an_account_has_at_most_fifty_streams(arm: &dyn Arm) {
    let aws = aws(arm);
    for batch in 0..10 {
        create_numbered(&aws, batch * 5..(batch + 1) * 5).await;
        arm.let_time_pass(seconds(60)).await;
    }
    let beyond = aws.streams.create_stream(&a_stream("kd-50", None)).await;
    let message = "This request would exceed the on-demand stream limit for the account 000000000000 in eu-west-1. Current on-demand stream count for the account: 50. Limit: 50.";
    let (class, code) = (AwsErrorClass::Quota, "LimitExceededException");
    assert_refused(beyond, refusal(class, "CreateStream", "kd-50", code, message));
    arm.in_region(OTHER_REGION).streams.create_stream(&a_stream("kd-50", None)).await.unwrap();
}

pub(super) async fn stream_names_and_tags_follow_the_rules(arm: &dyn Arm) {
    let aws = aws(arm);
    let (spaced, long) = ("a b".to_owned(), "a".repeat(129));
    let untagged = NewStream { tags: Tags::new(), ..a_stream(NAME, None) };
    let pattern = "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+";
    for (stream, value, member, constraint) in [
        (a_stream(&spaced, None), spaced.as_str(), "streamName", pattern),
        (a_stream(&long, None), &long, "streamName", "Member must have length less than or equal to 128"),
        (untagged, "{}", "tags", "Member must have length greater than or equal to 1"),
    ] {
        let message = format!(
            "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {constraint}"
        );
        let (class, code) = (AwsErrorClass::Invalid, "ValidationException");
        let expected = refusal(class, "CreateStream", &stream.name, code, message);
        assert_refused(aws.streams.create_stream(&stream).await, expected);
    }
    aws.streams.create_stream(&a_stream(&"a".repeat(128), None)).await.unwrap();
}

pub(super) async fn regions_have_separate_streams(arm: &dyn Arm) {
    create(arm, None).await;
    let elsewhere = arm.in_region(OTHER_REGION);
    assert_eq!(stream(&elsewhere).await, None);
    elsewhere.streams.create_stream(&a_stream(NAME, None)).await.unwrap();
    let arn = stream(&elsewhere).await.unwrap().arn;
    assert_eq!(arn, "arn:aws:kinesis:eu-central-1:000000000000:stream/kd-stream");
    assert_eq!(state(&elsewhere).await, Some(StreamState::Creating));
    assert_eq!(state(&aws(arm)).await, Some(StreamState::Active));
}

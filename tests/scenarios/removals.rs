//! What is removed, what is not, and what is said of it: held streams, lost tags, lost finalizers,
//! restored objects, leftovers that outlive their run.

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::demo::{CleanupPolicy, KinesisDemoSpec};
use kinesis_demo_api::status::{Outcome, ResourceState, ResourceType, Stage};
use kinesis_demo_operator::aws::{AwsErrorClass, NewStream, Regions, Tags};
use kinesis_demo_operator::clock::Clock;

use crate::harness::{Theatre, s, warm_spec};

const STREAM: &str = "kd-viral-event-5f3c2a1b-r1";
const PARAMETER: &str = "/kinesisdemo/kd-viral-event-5f3c2a1b-r1/control";

fn finalizers(theatre: &Theatre) -> usize {
    theatre.cluster.object().and_then(|object| object.metadata.finalizers).unwrap_or_default().len()
}

async fn play_for(theatre: &mut Theatre, seconds: u64) {
    let until = theatre.clock.now() + s(seconds);
    while theatre.clock.now() < until && theatre.pass().await {}
}

async fn play_until_over(theatre: &mut Theatre) {
    theatre.play_until(s(7_200), |status| status.stage.is_some_and(Stage::is_terminal)).await;
}

#[tokio::test]
async fn a_stream_with_queues_stays_with_their_count_until_they_are_gone() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_stage(Stage::CleaningUp).await;
    theatre.aws.set_queues(STREAM, 2);
    play_until_over(&mut theatre).await;
    let status = theatre.status();
    assert_eq!((status.stage, theatre.outcome()), (Some(Stage::Succeeded), Some(Outcome::Succeeded)));
    let cleaned = theatre.condition(ConditionType::CleanedUp);
    assert_eq!((cleaned.status, cleaned.reason), (ConditionStatus::False, Reason::RemovalFailed));
    for words in ["stream arn:", "Delete the queues before", "2 queues", "remove it by hand"] {
        assert!(cleaned.message.contains(words), "{}", cleaned.message);
    }
    assert!(theatre.aws.call_counts()["DeleteStream"] < 60, "{:?}", theatre.aws.call_counts());
    assert_eq!((theatre.aws.snapshot().streams.len(), finalizers(&theatre)), (1, 1));
    assert!(theatre.aws.snapshot().services.is_empty() && theatre.aws.snapshot().parameters.is_empty());
    theatre.aws.set_queues(STREAM, 0);
    play_for(&mut theatre, 900).await;
    theatre.assert_nothing_left();
    assert_eq!(theatre.condition(ConditionType::CleanedUp).reason, Reason::NothingLeft);
    assert_eq!(finalizers(&theatre), 0);
}

#[tokio::test]
async fn a_stream_that_lost_its_tag_is_neither_removed_nor_forgotten() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_phase("decline").await;
    theatre.aws.untag_stream(STREAM);
    play_until_over(&mut theatre).await;
    let cleaned = theatre.condition(ConditionType::CleanedUp);
    assert_eq!((cleaned.status, cleaned.reason), (ConditionStatus::False, Reason::RemovalFailed));
    assert!(
        cleaned.message.contains("no longer carries the tag kinesisdemo.io/owner"),
        "{}",
        cleaned.message
    );
    assert_eq!(theatre.aws.call_counts().get("DeleteStream"), None);
    theatre.delete();
    play_for(&mut theatre, 300).await;
    assert!(theatre.cluster.object().is_some(), "the object went and left a stream");
    assert_eq!(theatre.aws.snapshot().streams.len(), 1);
}

#[tokio::test]
async fn a_finalizer_that_is_lost_in_mid_run_is_put_back() {
    for stage in [Stage::Provisioning, Stage::Running, Stage::CleaningUp] {
        let mut theatre = Theatre::new(warm_spec());
        theatre.play_until_stage(stage).await;
        theatre.cluster.edit(|object| object.metadata.finalizers = None);
        theatre.pass().await;
        theatre.pass().await;
        assert_eq!(finalizers(&theatre), 1, "{stage}");
        theatre.delete();
        theatre.play_out().await;
        theatre.assert_nothing_left();
    }
}

#[tokio::test]
async fn the_status_of_another_object_is_not_acted_upon() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_stage(Stage::Running).await;
    // Restored from a backup under a new uid, while what the old object made is still there.
    let there = theatre.aws.snapshot();
    let writes = theatre.aws.writes_since(kinesis_demo_api::MicroTime::from_micros(0));
    theatre.cluster.edit(|object| object.metadata.uid = Some("00000000-aaaa-bbbb-cccc-222222222222".into()));
    play_for(&mut theatre, 600).await;
    let stalled = theatre.condition(ConditionType::Stalled);
    assert_eq!((stalled.status, stalled.reason), (ConditionStatus::True, Reason::StatusOfAnotherObject));
    assert!(stalled.message.contains("5f3c2a1b-9d2e-4c7a-8f10-1234567890ab"), "{}", stalled.message);
    assert_eq!(theatre.aws.writes_since(kinesis_demo_api::MicroTime::from_micros(0)), writes);
    assert_eq!(theatre.aws.snapshot().streams, there.streams);
    // A request begins a run of its own, which touches nothing of the other's.
    theatre.request(r#"{"verb":"rerun","id":"anew"}"#);
    play_until_over(&mut theatre).await;
    assert_eq!(theatre.outcome(), Some(Outcome::Succeeded));
    assert_eq!(theatre.aws.snapshot().streams, there.streams);
    theatre.delete();
    theatre.play_out().await;
    assert!(theatre.cluster.object().is_none());
}

#[tokio::test]
async fn a_restored_object_that_is_deleted_goes_and_touches_nothing() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_stage(Stage::Running).await;
    theatre.cluster.edit(|object| object.metadata.uid = Some("00000000-aaaa-bbbb-cccc-222222222222".into()));
    theatre.delete();
    theatre.play_out().await;
    assert!(theatre.cluster.object().is_none());
    assert_eq!(theatre.aws.snapshot().streams.len(), 1);
    assert!(theatre.aws.call_counts().keys().all(|operation| !operation.starts_with("Delete")));
}

#[tokio::test]
async fn the_next_run_takes_over_what_one_before_it_could_not_remove() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.aws.fail("DeleteLogGroup", AwsErrorClass::Denied, u32::MAX);
    play_until_over(&mut theatre).await;
    theatre.request(r#"{"verb":"rerun","run":1,"id":"again"}"#);
    theatre.play_until(s(600), |status| status.run.as_ref().is_some_and(|run| run.number == 2)).await;
    let leftovers = theatre.status().leftovers;
    assert_eq!((leftovers.len(), leftovers[0].run, leftovers[0].resources.len()), (1, 1, 1));
    assert_eq!(leftovers[0].resources[0].type_, ResourceType::LogGroup);
    play_until_over(&mut theatre).await;
    assert_eq!((theatre.outcome(), theatre.aws.snapshot().log_groups.len()), (Some(Outcome::Succeeded), 2));
    let cleaned = theatre.condition(ConditionType::CleanedUp);
    assert_eq!(cleaned.status, ConditionStatus::False);
    assert!(cleaned.message.contains("-r1") && cleaned.message.contains("-r2"), "{}", cleaned.message);
    theatre.delete();
    play_for(&mut theatre, 600).await;
    assert!(theatre.cluster.object().is_some(), "the object went and left two log groups");
    theatre.aws.clear_faults();
    play_for(&mut theatre, 1_200).await;
    assert!(theatre.cluster.object().is_none());
    assert!(theatre.aws.snapshot().is_empty(), "{:#?}", theatre.aws.snapshot());
}

#[tokio::test]
async fn nothing_is_removed_unseen_in_an_account_that_is_not_known() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_stage(Stage::CleaningUp).await;
    for operation in ["GetCallerIdentity", "DescribeStreamSummary", "DescribeServices", "GetParameter"] {
        theatre.aws.fail(operation, AwsErrorClass::Denied, u32::MAX);
    }
    let from = theatre.clock.now();
    play_for(&mut theatre, 300).await;
    assert_eq!(theatre.aws.writes_since(from), 0);
    // Another's credentials: what was looked for and not found would be taken for gone.
    theatre.aws.clear_faults();
    theatre.aws.set_account_id("123456789012");
    theatre.aws.fail("DescribeStreamSummary", AwsErrorClass::Denied, u32::MAX);
    play_until_over(&mut theatre).await;
    assert_eq!(theatre.aws.writes_since(from), 0);
    let cleaned = theatre.condition(ConditionType::CleanedUp);
    assert!(cleaned.message.contains("123456789012"), "{}", cleaned.message);
    theatre.aws.set_account_id("000000000000");
    theatre.aws.clear_faults();
    play_for(&mut theatre, 600).await;
    theatre.assert_nothing_left();
}

#[tokio::test]
async fn a_stream_that_the_user_named_is_never_removed_unseen() {
    let mut spec = warm_spec();
    spec.stream.name = Some("posts".into());
    let mut theatre = Theatre::new(spec);
    theatre.play_until_stage(Stage::CleaningUp).await;
    theatre.aws.fail("DescribeStreamSummary", AwsErrorClass::Denied, u32::MAX);
    play_until_over(&mut theatre).await;
    assert_eq!(theatre.aws.call_counts().get("DeleteStream"), None);
    let left: Vec<_> = theatre
        .status()
        .resources
        .into_iter()
        .filter(|held| held.state == ResourceState::Present)
        .map(|held| held.type_)
        .collect();
    assert_eq!(left, [ResourceType::Stream]);
    theatre.aws.clear_faults();
    play_for(&mut theatre, 600).await;
    theatre.assert_nothing_left();
}

#[tokio::test]
async fn a_neighbours_stream_of_that_name_outlives_every_look_that_is_refused() {
    let mut spec = warm_spec();
    spec.stream.name = Some("orders".into());
    let mut theatre = Theatre::new(spec);
    let foreign = NewStream {
        name: "orders".into(),
        warm_mib_per_second: None,
        tags: Tags::from([("team".into(), "payments".into())]),
    };
    theatre.aws.in_region("us-east-1").streams.create_stream(&foreign).await.unwrap();
    theatre.clock.advance(s(60));
    theatre.aws.fail("ListTagsForResource", AwsErrorClass::Denied, u32::MAX);
    play_for(&mut theatre, 900).await;
    theatre.delete();
    play_for(&mut theatre, 3_600).await;
    assert!(theatre.aws.snapshot().streams.contains(&"us-east-1/orders".to_owned()));
    assert_eq!(theatre.aws.call_counts().get("DeleteStream"), None);
}

#[tokio::test]
async fn a_retained_stream_stays_and_gives_its_warm_throughput_back() {
    let mut spec: KinesisDemoSpec = warm_spec();
    spec.cleanup.stream = CleanupPolicy::Retain;
    let mut theatre = Theatre::new(spec);
    theatre.aws.fail_for("UpdateStreamWarmThroughput", AwsErrorClass::Throttled, s(1_200));
    play_until_over(&mut theatre).await;
    assert_eq!(
        (theatre.aws.snapshot().streams.len(), theatre.aws.call_counts().get("DeleteStream")),
        (1, None)
    );
}

#[tokio::test]
async fn stop_and_size_zero_wait_for_no_look() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_phase("peak").await;
    for operation in [
        "GetParameter",
        "DescribeServices",
        "ListTasks",
        "DescribeTasks",
        "FilterLogEvents",
        "DescribeStreamSummary",
    ] {
        theatre.aws.fail(operation, AwsErrorClass::Denied, u32::MAX);
    }
    theatre.request(r#"{"verb":"abort","run":1,"id":"stop"}"#);
    let asked_at = theatre.clock.now();
    play_for(&mut theatre, 45).await;
    let (at, text) = theatre.aws.parameter_writes(PARAMETER).pop().unwrap();
    assert!(text.contains(r#""state":"Stop""#) && at.since(asked_at) < s(2), "{at} {text}");
    assert_eq!(theatre.aws.arrivals(at + s(4), at + s(600)), 0, "tasks read it within 3 s");
    play_for(&mut theatre, 15).await;
    assert_eq!(theatre.aws.running_tasks().len(), 0, "{:?}", theatre.aws.call_counts());
    play_until_over(&mut theatre).await;
    assert_eq!(theatre.status().stage, Some(Stage::Aborted));
}

#[tokio::test]
async fn a_run_whose_spec_does_not_parse_any_more_ends_as_it_was_begun_and_no_other_begins() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_phase("spike").await;
    theatre.unreadable = Some("missing field `name`".into());
    theatre.cluster.edit(|object| object.metadata.generation = Some(2));
    play_until_over(&mut theatre).await;
    theatre.play_out().await;
    assert_eq!(theatre.outcome(), Some(Outcome::Succeeded));
    theatre.assert_nothing_left();
    let told = theatre.condition(ConditionType::SpecAccepted);
    assert_eq!((told.status, told.reason), (ConditionStatus::False, Reason::Invalid));
    assert!(told.message.contains("missing field `name`"), "{}", told.message);
    theatre.request(r#"{"verb":"rerun","id":"again"}"#);
    theatre.play_out().await;
    assert_eq!(theatre.status().stage, Some(Stage::Pending));
    assert_eq!(theatre.condition(ConditionType::Stalled).reason, Reason::Invalid);
    theatre.assert_nothing_left();
    theatre.delete();
    theatre.play_out().await;
    assert!(theatre.cluster.object().is_none());
}

//! What is removed, what is not, and what is reported: streams with queues, lost tags, lost
//! finalizers, restored objects, leaked resources of earlier runs.

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::demo::{CleanupPolicy, KinesisDemoSpec};
use kinesis_demo_api::status::{Outcome, ResourceState, ResourceType, Stage};
use kinesis_demo_operator::aws::AwsErrorClass;
use kinesis_demo_operator::clock::Clock;

use crate::harness::{Harness, s, warm_spec};

const STREAM: &str = "kd-viral-event-5f3c2a1b-r1";
const PARAMETER: &str = "/kinesisdemo/kd-viral-event-5f3c2a1b-r1/control";

fn finalizers(harness: &Harness) -> usize {
    harness.cluster.object().and_then(|object| object.metadata.finalizers).unwrap_or_default().len()
}

async fn run_until_terminal(harness: &mut Harness) {
    harness.run_until(s(7_200), |status| status.stage.is_some_and(Stage::is_terminal)).await;
}

#[tokio::test]
async fn a_stream_with_queues_is_kept_and_their_count_reported() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_stage(Stage::CleaningUp).await;
    harness.aws.set_queues(STREAM, 2);
    run_until_terminal(&mut harness).await;
    let status = harness.status();
    assert_eq!((status.stage, harness.outcome()), (Some(Stage::Succeeded), Some(Outcome::Succeeded)));
    let cleaned = harness.condition(ConditionType::CleanedUp);
    assert_eq!((cleaned.status, cleaned.reason), (ConditionStatus::False, Reason::RemovalFailed));
    for words in ["stream arn:", "Delete the queues before", "2 queues", "remove it by hand"] {
        assert!(cleaned.message.contains(words), "{}", cleaned.message);
    }
    assert!(harness.aws.call_counts()["DeleteStream"] < 60, "{:?}", harness.aws.call_counts());
    assert_eq!((harness.aws.snapshot().streams.len(), finalizers(&harness)), (1, 1));
    assert!(harness.aws.snapshot().services.is_empty() && harness.aws.snapshot().parameters.is_empty());
    harness.aws.set_queues(STREAM, 0);
    harness.run_for(s(900)).await;
    harness.assert_nothing_left();
    assert_eq!(harness.condition(ConditionType::CleanedUp).reason, Reason::NothingLeft);
    assert_eq!(finalizers(&harness), 0);
}

#[tokio::test]
async fn a_stream_without_its_tag_is_kept_and_reported() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("decline").await;
    harness.aws.untag_stream(STREAM);
    run_until_terminal(&mut harness).await;
    let cleaned = harness.condition(ConditionType::CleanedUp);
    assert_eq!((cleaned.status, cleaned.reason), (ConditionStatus::False, Reason::RemovalFailed));
    assert!(
        cleaned.message.contains("no longer carries the tag kinesisdemo.io/owner"),
        "{}",
        cleaned.message
    );
    assert_eq!(harness.aws.call_counts().get("DeleteStream"), None);
    harness.delete();
    harness.run_for(s(300)).await;
    assert!(harness.cluster.object().is_some(), "the object was deleted although a stream is left");
    assert_eq!(harness.aws.snapshot().streams.len(), 1);
}

#[tokio::test]
async fn a_finalizer_lost_during_a_run_is_restored() {
    for stage in [Stage::Provisioning, Stage::Running, Stage::CleaningUp] {
        let mut harness = Harness::new(warm_spec());
        harness.run_until_stage(stage).await;
        harness.cluster.edit(|object| object.metadata.finalizers = None);
        harness.step().await;
        harness.step().await;
        assert_eq!(finalizers(&harness), 1, "{stage}");
        harness.delete();
        harness.run_to_end().await;
        harness.assert_nothing_left();
    }
}

#[tokio::test]
async fn the_status_of_another_object_is_not_acted_upon() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_stage(Stage::Running).await;
    // The object is restored from a backup under a new uid while the resources of the old object
    // exist.
    let before = harness.aws.snapshot();
    let writes = harness.aws.writes_since(kinesis_demo_api::MicroTime::from_micros(0));
    harness.cluster.edit(|object| object.metadata.uid = Some("00000000-aaaa-bbbb-cccc-222222222222".into()));
    harness.run_for(s(600)).await;
    let stalled = harness.condition(ConditionType::Stalled);
    assert_eq!((stalled.status, stalled.reason), (ConditionStatus::True, Reason::StatusOfAnotherObject));
    assert!(stalled.message.contains("5f3c2a1b-9d2e-4c7a-8f10-1234567890ab"), "{}", stalled.message);
    assert_eq!(harness.aws.writes_since(kinesis_demo_api::MicroTime::from_micros(0)), writes);
    assert_eq!(harness.aws.snapshot().streams, before.streams);
    // A rerun request starts a separate run, which touches no resource of the old object.
    harness.request(r#"{"verb":"rerun","id":"anew"}"#);
    run_until_terminal(&mut harness).await;
    assert_eq!(harness.outcome(), Some(Outcome::Succeeded));
    assert_eq!(harness.aws.snapshot().streams, before.streams);
    harness.delete();
    harness.run_to_end().await;
    assert!(harness.cluster.object().is_none());
}

#[tokio::test]
async fn deleting_a_restored_object_touches_no_resource() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_stage(Stage::Running).await;
    harness.cluster.edit(|object| object.metadata.uid = Some("00000000-aaaa-bbbb-cccc-222222222222".into()));
    harness.delete();
    harness.run_to_end().await;
    assert!(harness.cluster.object().is_none());
    assert_eq!(harness.aws.snapshot().streams.len(), 1);
    assert!(harness.aws.call_counts().keys().all(|operation| !operation.starts_with("Delete")));
}

#[tokio::test]
async fn the_next_run_takes_over_leaked_resources_of_earlier_runs() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.fail("DeleteLogGroup", AwsErrorClass::Denied, u32::MAX);
    run_until_terminal(&mut harness).await;
    harness.request(r#"{"verb":"rerun","run":1,"id":"again"}"#);
    harness.run_until(s(600), |status| status.run.as_ref().is_some_and(|run| run.number == 2)).await;
    let leaked_resources = harness.status().leaked_resources;
    assert_eq!(
        (leaked_resources.len(), leaked_resources[0].run, leaked_resources[0].resources.len()),
        (1, 1, 1)
    );
    assert_eq!(leaked_resources[0].resources[0].type_, ResourceType::LogGroup);
    run_until_terminal(&mut harness).await;
    assert_eq!((harness.outcome(), harness.aws.snapshot().log_groups.len()), (Some(Outcome::Succeeded), 2));
    let cleaned = harness.condition(ConditionType::CleanedUp);
    assert_eq!(cleaned.status, ConditionStatus::False);
    assert!(cleaned.message.contains("-r1") && cleaned.message.contains("-r2"), "{}", cleaned.message);
    harness.delete();
    harness.run_for(s(600)).await;
    assert!(harness.cluster.object().is_some(), "the object was deleted although two log groups are left");
    harness.aws.clear_faults();
    harness.run_for(s(1_200)).await;
    assert!(harness.cluster.object().is_none());
    assert!(harness.aws.snapshot().is_empty(), "{:#?}", harness.aws.snapshot());
}

#[tokio::test]
async fn nothing_is_removed_in_an_unverified_account() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_stage(Stage::CleaningUp).await;
    for operation in ["GetCallerIdentity", "DescribeStreamSummary", "DescribeServices", "GetParameter"] {
        harness.aws.fail(operation, AwsErrorClass::Denied, u32::MAX);
    }
    let from = harness.clock.now();
    harness.run_for(s(300)).await;
    assert_eq!(harness.aws.writes_since(from), 0);
    // With credentials of another account, "not found" would be mistaken for "deleted".
    harness.aws.clear_faults();
    harness.aws.set_account_id("123456789012");
    harness.aws.fail("DescribeStreamSummary", AwsErrorClass::Denied, u32::MAX);
    run_until_terminal(&mut harness).await;
    assert_eq!(harness.aws.writes_since(from), 0);
    let cleaned = harness.condition(ConditionType::CleanedUp);
    assert!(cleaned.message.contains("123456789012"), "{}", cleaned.message);
    harness.aws.set_account_id("000000000000");
    harness.aws.clear_faults();
    harness.run_for(s(600)).await;
    harness.assert_nothing_left();
}

#[tokio::test]
async fn a_stream_named_by_the_user_is_only_removed_after_a_read() {
    let mut spec = warm_spec();
    spec.stream.name = Some("posts".into());
    let mut harness = Harness::new(spec);
    harness.run_until_stage(Stage::CleaningUp).await;
    harness.aws.fail("DescribeStreamSummary", AwsErrorClass::Denied, u32::MAX);
    run_until_terminal(&mut harness).await;
    assert_eq!(harness.aws.call_counts().get("DeleteStream"), None);
    let left: Vec<_> = harness
        .status()
        .resources
        .into_iter()
        .filter(|resource| resource.state == ResourceState::Present)
        .map(|resource| resource.type_)
        .collect();
    assert_eq!(left, [ResourceType::Stream]);
    harness.aws.clear_faults();
    harness.run_for(s(600)).await;
    harness.assert_nothing_left();
}

#[tokio::test]
async fn a_foreign_stream_of_the_same_name_survives_denied_reads() {
    let mut harness = Harness::with_foreign_stream().await;
    harness.aws.fail("ListTagsForResource", AwsErrorClass::Denied, u32::MAX);
    harness.run_for(s(900)).await;
    harness.delete();
    harness.run_for(s(3_600)).await;
    assert!(harness.aws.snapshot().streams.contains(&"us-east-1/orders".to_owned()));
    assert_eq!(harness.aws.call_counts().get("DeleteStream"), None);
}

#[tokio::test]
async fn a_retained_stream_stays_though_its_release_is_throttled() {
    let mut spec: KinesisDemoSpec = warm_spec();
    spec.cleanup.stream = CleanupPolicy::Retain;
    let mut harness = Harness::new(spec);
    harness.aws.fail_for("UpdateStreamWarmThroughput", AwsErrorClass::Throttled, s(1_200));
    run_until_terminal(&mut harness).await;
    assert_eq!(
        (harness.aws.snapshot().streams.len(), harness.aws.call_counts().get("DeleteStream")),
        (1, None)
    );
}

#[tokio::test]
async fn an_abort_does_not_wait_for_reads() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("peak").await;
    for operation in [
        "GetParameter",
        "DescribeServices",
        "ListTasks",
        "DescribeTasks",
        "FilterLogEvents",
        "DescribeStreamSummary",
    ] {
        harness.aws.fail(operation, AwsErrorClass::Denied, u32::MAX);
    }
    harness.request(r#"{"verb":"abort","run":1,"id":"stop"}"#);
    let requested_at = harness.clock.now();
    harness.run_for(s(45)).await;
    let (at, text) = harness.aws.parameter_writes(PARAMETER).pop().unwrap();
    assert!(text.contains(r#""state":"Stop""#) && at.since(requested_at) < s(2), "{at} {text}");
    assert_eq!(harness.aws.records_arrived(at + s(4), at + s(600)), 0, "tasks must read Stop within 3 s");
    harness.run_for(s(15)).await;
    assert_eq!(harness.aws.running_tasks().len(), 0, "{:?}", harness.aws.call_counts());
    run_until_terminal(&mut harness).await;
    assert_eq!(harness.status().stage, Some(Stage::Aborted));
}

#[tokio::test]
async fn an_unparseable_spec_lets_the_run_finish_but_starts_no_other() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("spike").await;
    harness.unreadable = Some("missing field `name`".into());
    harness.cluster.edit(|object| object.metadata.generation = Some(2));
    run_until_terminal(&mut harness).await;
    harness.run_to_end().await;
    assert_eq!(harness.outcome(), Some(Outcome::Succeeded));
    harness.assert_nothing_left();
    let accepted = harness.condition(ConditionType::SpecAccepted);
    assert_eq!((accepted.status, accepted.reason), (ConditionStatus::False, Reason::Invalid));
    assert!(accepted.message.contains("missing field `name`"), "{}", accepted.message);
    harness.request(r#"{"verb":"rerun","id":"again"}"#);
    harness.run_to_end().await;
    assert_eq!(harness.status().stage, Some(Stage::Pending));
    assert_eq!(harness.condition(ConditionType::Stalled).reason, Reason::Invalid);
    harness.assert_nothing_left();
    harness.delete();
    harness.run_to_end().await;
    assert!(harness.cluster.object().is_none());
}

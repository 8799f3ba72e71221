//! Queued runs: how often their status is written, and how active runs make room for them.

use kinesis_demo_api::KinesisDemo;
use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::control::ControlDocument;
use kinesis_demo_api::status::{Outcome, Stage};
use kinesis_demo_operator::aws::Regions;
use serde_json::{Value, json};

use crate::harness::{Harness, s, settings, warm_spec};

/// Another object that is queued, for a run of a hundred tasks.
fn queued(name: &str) -> KinesisDemo {
    let status = json!({
        "stage": "Pending",
        "conditions": [{"type": "Reconciling", "status": "True", "reason": "Queued", "message": "",
            "lastTransitionTime": "2026-11-23T10:00:00Z"}],
        "run": {"number": 1, "stageEnteredAt": "2026-11-23T10:00:00Z",
            "load": {"region": "us-east-1", "tasks": 100, "readEverySeconds": 3}},
    });
    another(name, status)
}

/// Another object in the cluster, with this status.
fn another(name: &str, status: Value) -> KinesisDemo {
    let mut object = KinesisDemo::new(name, warm_spec());
    object.metadata.uid = Some(name.into());
    object.metadata.namespace = Some("demos".into());
    object.status = Some(serde_json::from_value(status).unwrap());
    object
}

#[tokio::test]
async fn a_run_beyond_the_limit_is_queued_and_calls_no_aws_api() {
    let mut settings = settings();
    settings.max_runs = 1;
    let mut harness = Harness::with(warm_spec(), settings);
    harness.cluster.set_beside(vec![another("other", json!({"stage": "Draining"}))]);
    for _ in 0..100 {
        harness.step().await;
    }
    let reconciling = harness.condition(ConditionType::Reconciling);
    assert_eq!((reconciling.status, reconciling.reason), (ConditionStatus::True, Reason::Queued));
    assert!(reconciling.message.contains("--max-runs"), "{}", reconciling.message);
    assert_eq!(harness.condition(ConditionType::Stalled).status, ConditionStatus::False);
    assert_eq!(harness.status().stage, Some(Stage::Pending));
    assert_eq!(harness.aws.calls(), []);
    assert_eq!(
        harness.cluster.run_events(),
        [],
        "a queued run emits no Event: with a thousand of them, each would be a write"
    );
    assert_eq!(harness.cluster.writes(), 1);

    harness.cluster.set_beside(vec![another("other", json!({"stage": "Succeeded"}))]);
    harness.run_until_stage(Stage::Succeeded).await;
}

/// A queued run needs parameter reads that the tasks of this run use. From then on these tasks read
/// less often, and no record is lost.
#[tokio::test]
async fn a_run_reads_less_often_when_another_needs_its_reads() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("baseline").await;
    let load = |harness: &Harness| harness.status().run.unwrap().load.unwrap();
    let own = load(&harness);
    assert_eq!((own.region.as_str(), own.read_every_seconds), ("us-east-1", 3));
    harness.cluster.set_beside(vec![queued("other")]);
    // Both runs share 25 reads a second.
    let wanted = (own.tasks + 100).div_ceil(25);
    harness
        .run_until(s(60), |status| {
            status.run.as_ref().unwrap().load.as_ref().unwrap().read_every_seconds == wanted
        })
        .await;
    harness.run_until_phase("peak").await;
    let name = format!("/kinesisdemo/{}/control", harness.status().run.unwrap().effective.unwrap().base_name);
    let text = harness.aws.in_region("us-east-1").parameters.fetch_parameter(&name).await.unwrap().unwrap();
    let document = ControlDocument::parse(&text).unwrap();
    assert_eq!(document.read_every_seconds, wanted);
    assert!(document.read_lease_seconds >= 3 * wanted, "{}", document.read_lease_seconds);
    harness.cluster.set_beside(vec![]);
    harness.run_to_end().await;
    assert_eq!(harness.outcome(), Some(Outcome::Succeeded), "{:?}", harness.status().run);
    assert_eq!(load(&harness).read_every_seconds, wanted, "the read interval must not shrink during a run");
    let totals = harness.totals();
    assert_eq!(totals.offered, totals.scheduled);
    harness.assert_nothing_left();
}

/// Thousands of objects may be queued, so status writes must be few.
#[tokio::test]
async fn a_queued_object_is_written_once_and_again_when_it_starts() {
    let mut settings = settings();
    settings.max_runs = 1;
    let mut harness = Harness::with(warm_spec(), settings);
    let running = |number| another(&format!("other-{number}"), json!({"stage": "Running"}));
    let mut others: Vec<KinesisDemo> = (0..5).map(running).collect();
    while !others.is_empty() {
        harness.cluster.set_beside(others.clone());
        for _ in 0..10 {
            harness.step().await;
        }
        assert_eq!(harness.cluster.writes(), 1, "{} runs ahead of it", others.len());
        others.pop();
    }
    harness.cluster.set_beside(others);
    harness.run_until_stage(Stage::Provisioning).await;
    // The finalizer is a separate write.
    assert_eq!(harness.cluster.writes(), 3);
}

/// Until all objects are listed, the number of active runs is unknown.
#[tokio::test]
async fn no_run_starts_before_all_objects_are_listed() {
    let mut harness = Harness::new(warm_spec());
    harness.cluster.set_unlisted(true);
    for _ in 0..20 {
        harness.step().await;
    }
    assert_eq!((harness.status().stage, harness.cluster.writes()), (Some(Stage::Pending), 1));
    assert_eq!(harness.aws.calls(), []);
    harness.cluster.set_unlisted(false);
    harness.run_until_stage(Stage::Succeeded).await;
}

/// An admitted run whose spec becomes invalid frees its slot for others.
#[tokio::test]
async fn an_object_that_becomes_invalid_frees_its_place() {
    let mut settings = settings();
    settings.max_runs = 1;
    let mut harness = Harness::with(warm_spec(), settings);
    harness.step().await;
    harness.cluster.set_beside(vec![queued("other")]);
    assert_eq!(harness.next_in_turn(), [] as [&str; 0], "a second run was admitted");
    harness.cluster.edit(|object| object.spec.stream.warm_throughput.mib_per_second = Some(5_000));
    harness.step().await;
    harness.step().await;
    assert_eq!(harness.condition(ConditionType::Stalled).reason, Reason::Invalid);
    assert_eq!(harness.next_in_turn(), ["other"]);
}

/// A run that is still warming up sends nothing, so it can change its read interval at once.
#[tokio::test]
async fn a_run_that_is_not_sending_yet_makes_room_at_once() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_stage(Stage::Provisioning).await;
    harness.cluster.set_beside(vec![queued("other")]);
    for _ in 0..3 {
        harness.step().await;
    }
    let status = harness.status();
    assert!(status.stage < Some(Stage::Running), "{:?}", status.stage);
    assert!(status.run.unwrap().load.unwrap().read_every_seconds > 3);
    harness.run_to_end().await;
    assert_eq!(harness.outcome(), Some(Outcome::Succeeded), "{:?}", harness.status().run);
    harness.assert_nothing_left();
}

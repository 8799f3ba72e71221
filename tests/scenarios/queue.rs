//! Runs that wait for their turn: how often they are written, and what the runs before them do for them.

use kinesis_demo_api::KinesisDemo;
use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::control::ControlDocument;
use kinesis_demo_api::status::{Outcome, Stage};
use kinesis_demo_operator::aws::Regions;
use serde_json::{Value, json};

use crate::harness::{Harness, s, settings, warm_spec};

/// Another object that waits, for a run of a hundred tasks.
fn waiting(name: &str) -> KinesisDemo {
    let status = json!({
        "stage": "Pending",
        "conditions": [{"type": "Reconciling", "status": "True", "reason": "Queued", "message": "",
            "lastTransitionTime": "2026-11-23T10:00:00Z"}],
        "run": {"number": 1, "stageEnteredAt": "2026-11-23T10:00:00Z",
            "load": {"region": "us-east-1", "tasks": 100, "readEverySeconds": 3}},
    });
    another(name, status)
}

/// Another object of the cluster, with this status.
fn another(name: &str, status: Value) -> KinesisDemo {
    let mut object = KinesisDemo::new(name, warm_spec());
    object.metadata.uid = Some(name.into());
    object.metadata.namespace = Some("demos".into());
    object.status = Some(serde_json::from_value(status).unwrap());
    object
}

#[tokio::test]
async fn beyond_the_runs_that_may_go_on_at_once_an_object_waits_its_turn_and_asks_aws_nothing() {
    let mut settings = settings();
    settings.max_runs = 1;
    let mut harness = Harness::with(warm_spec(), settings);
    harness.cluster.set_beside(vec![another("other", json!({"stage": "Draining"}))]);
    for _ in 0..100 {
        harness.pass().await;
    }
    let reconciling = harness.condition(ConditionType::Reconciling);
    assert_eq!((reconciling.status, reconciling.reason), (ConditionStatus::True, Reason::Queued));
    assert!(reconciling.message.contains("--max-runs"), "{}", reconciling.message);
    assert_eq!(harness.condition(ConditionType::Stalled).status, ConditionStatus::False);
    assert_eq!(harness.status().stage, Some(Stage::Pending));
    assert_eq!(harness.aws.calls(), []);
    assert_eq!(harness.cluster.run_events(), [], "where a thousand wait, each Event would be a write");
    assert_eq!(harness.cluster.writes(), 1);

    harness.cluster.set_beside(vec![another("other", json!({"stage": "Succeeded"}))]);
    harness.play_until_stage(Stage::Succeeded).await;
}

/// Whoever waits for its turn needs reads that this run's tasks use: they read less often from then on, and no
/// record is lost by it.
#[tokio::test]
async fn a_run_reads_less_often_when_another_waits_for_its_reads() {
    let mut harness = Harness::new(warm_spec());
    harness.play_until_phase("baseline").await;
    let load = |harness: &Harness| harness.status().run.unwrap().load.unwrap();
    let own = load(&harness);
    assert_eq!((own.region.as_str(), own.read_every_seconds), ("us-east-1", 3));
    harness.cluster.set_beside(vec![waiting("other")]);
    // 25 reads a second for both.
    let wanted = (own.tasks + 100).div_ceil(25);
    harness
        .play_until(s(60), |status| {
            status.run.as_ref().unwrap().load.as_ref().unwrap().read_every_seconds == wanted
        })
        .await;
    harness.play_until_phase("peak").await;
    let name = format!("/kinesisdemo/{}/control", harness.status().run.unwrap().effective.unwrap().base_name);
    let text = harness.aws.in_region("us-east-1").parameters.fetch_parameter(&name).await.unwrap().unwrap();
    let document = ControlDocument::parse(&text).unwrap();
    assert_eq!(document.read_every_seconds, wanted);
    assert!(document.read_lease_seconds >= 3 * wanted, "{}", document.read_lease_seconds);
    harness.cluster.set_beside(vec![]);
    harness.play_out().await;
    assert_eq!(harness.outcome(), Some(Outcome::Succeeded), "{:?}", harness.status().run);
    assert_eq!(load(&harness).read_every_seconds, wanted, "in a run it only grows");
    let totals = harness.totals();
    assert_eq!(totals.offered, totals.scheduled);
    harness.assert_nothing_left();
}

/// Thousands may wait: each write counts.
#[tokio::test]
async fn an_object_that_waits_is_written_once_and_once_more_when_its_turn_comes() {
    let mut settings = settings();
    settings.max_runs = 1;
    let mut harness = Harness::with(warm_spec(), settings);
    let running = |number| another(&format!("other-{number}"), json!({"stage": "Running"}));
    let mut others: Vec<KinesisDemo> = (0..5).map(running).collect();
    while !others.is_empty() {
        harness.cluster.set_beside(others.clone());
        for _ in 0..10 {
            harness.pass().await;
        }
        assert_eq!(harness.cluster.writes(), 1, "{} runs before it", others.len());
        others.pop();
    }
    harness.cluster.set_beside(others);
    harness.play_until_stage(Stage::Provisioning).await;
    // The finalizer is a write of its own.
    assert_eq!(harness.cluster.writes(), 3);
}

/// Before all objects are listed nobody knows how many runs go on.
#[tokio::test]
async fn nothing_begins_before_all_objects_are_known() {
    let mut harness = Harness::new(warm_spec());
    harness.cluster.set_unlisted(true);
    for _ in 0..20 {
        harness.pass().await;
    }
    assert_eq!((harness.status().stage, harness.cluster.writes()), (Some(Stage::Pending), 1));
    assert_eq!(harness.aws.calls(), []);
    harness.cluster.set_unlisted(false);
    harness.play_until_stage(Stage::Succeeded).await;
}

/// A place that was taken for a spec that cannot be planned any more is free for others.
#[tokio::test]
async fn an_object_that_becomes_invalid_leaves_its_place() {
    let mut settings = settings();
    settings.max_runs = 1;
    let mut harness = Harness::with(warm_spec(), settings);
    harness.pass().await;
    harness.cluster.set_beside(vec![waiting("other")]);
    assert_eq!(harness.next_in_turn(), [] as [&str; 0], "the only place is taken");
    harness.cluster.edit(|object| object.spec.stream.warm_throughput.mib_per_second = Some(5_000));
    harness.pass().await;
    harness.pass().await;
    assert_eq!(harness.condition(ConditionType::Stalled).reason, Reason::Invalid);
    assert_eq!(harness.next_in_turn(), ["other"]);
}

/// While a run is warmed up nothing counts yet: whoever waits for its reads does not wait for that.
#[tokio::test]
async fn a_run_that_has_not_begun_to_send_makes_room_at_once() {
    let mut harness = Harness::new(warm_spec());
    harness.play_until_stage(Stage::Provisioning).await;
    harness.cluster.set_beside(vec![waiting("other")]);
    for _ in 0..3 {
        harness.pass().await;
    }
    let status = harness.status();
    assert!(status.stage < Some(Stage::Running), "{:?}", status.stage);
    assert!(status.run.unwrap().load.unwrap().read_every_seconds > 3);
    harness.play_out().await;
    assert_eq!(harness.outcome(), Some(Outcome::Succeeded), "{:?}", harness.status().run);
    harness.assert_nothing_left();
}

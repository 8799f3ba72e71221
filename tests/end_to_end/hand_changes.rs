//! Someone deletes or changes resources of a run while it is active. What can be restored is
//! restored. Otherwise the run ends, and its status says why.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::types::WarmThroughputObject;
use kinesis_demo_api::Stage;
use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::control::ControlDocument;
use kinesis_demo_local_cluster::programs::CLUSTER;
use kinesis_demo_operator::settings::Timings;
use kinesis_demo_testing::wait::wait_for;
use serde_json::json;

use crate::by_hand::sleep_until;
use crate::faults::{ENDS_WITHIN, FaultyCluster, Run, condition};

const PHASES: [(u32, u32); 2] = [(15, 100), (15, 150)];
const SCHEDULED: u64 = 15 * 100 + 15 * 150;

/// A few reconciles.
const SOON: Duration = Duration::from_secs(15);

pub async fn a_stream_is_deleted(on: Arc<FaultyCluster>) {
    let run = Run::apply(&on, "no-stream", &PHASES).await;
    let arn = run.wait_for_traffic().await.stream.unwrap().arn;
    on.by_hand.kinesis.delete_stream().stream_arn(&arn).send().await.unwrap();
    run.wait_for_stage(SOON, Stage::Draining).await;
    let ended = run.wait_until_over(ENDS_WITHIN).await;
    ended.assert_failed(Reason::StreamDeleted);
    assert_eq!(condition(&ended.status, ConditionType::StreamReady).status, ConditionStatus::False);
    // A stream in DELETING still accepts records, so how many are missing depends on timing.
    let totals = ended.totals();
    let missing = totals.scheduled - totals.accepted;
    let delivered =
        if missing * 100 > totals.scheduled { ConditionStatus::False } else { ConditionStatus::True };
    assert_eq!(condition(&ended.status, ConditionType::TrafficDelivered).status, delivered, "{totals:?}");
    assert_eq!(on.proxy.count("CreateStream", &run.mark()), 1, "it was created again");
    run.assert_nothing_left().await;
}

pub async fn a_service_is_deleted(on: Arc<FaultyCluster>) {
    let run = Run::apply(&on, "no-service", &PHASES).await;
    run.wait_for_traffic().await;
    let service = run.base_name().await;
    on.by_hand.ecs.delete_service().cluster(CLUSTER).service(service).force(true).send().await.unwrap();
    run.wait_for_stage(SOON, Stage::Draining).await;
    let ended = run.wait_until_over(ENDS_WITHIN).await;
    ended.assert_failed(Reason::ServiceDeleted);
    assert_eq!(on.proxy.count("CreateService", &run.mark()), 1, "it was created again");
    run.assert_nothing_left().await;
}

/// Deletes the parameter this long after a renewal. The operator restores it with its tags.
pub async fn a_parameter_is_deleted(on: Arc<FaultyCluster>, name: &'static str, after_renewal: Duration) {
    let run = Run::apply(&on, name, &PHASES).await;
    run.wait_for_traffic().await;
    let parameter = run.parameter().await;
    let renewed = on.by_hand.renewed_document(&parameter).await;
    sleep_until(renewed.valid_until - Timings::local().valid_for + after_renewal).await;
    on.by_hand.delete_parameter(&parameter).await;
    on.by_hand.wait_until_tagged(&parameter, SOON).await;
    run.wait_for_event("ControlRestored").await;
    let ended = run.wait_until_over(ENDS_WITHIN).await;
    // The tasks continue with the last document they read, for longer than the restore takes.
    ended.assert_all_arrived(SCHEDULED);
    run.assert_nothing_left().await;
}

pub async fn a_scale_to_zero_is_deleted(on: Arc<FaultyCluster>) {
    let run = Run::apply(&on, "no-scale-to-zero", &PHASES).await;
    run.wait_for_traffic().await;
    let service = run.base_name().await;
    let before = on.by_hand.scale_to_zero(&service).await.unwrap();
    on.by_hand.delete_scale_to_zero(&service).await;
    let restored = wait_for(SOON, || async {
        (on.by_hand.scale_to_zero(&service).await.as_ref() == Some(&before)).then_some(())
    });
    restored.await.expect("the scale-to-zero was not restored for the same instant");
    run.wait_for_event("ScaleToZeroRestored").await;
    run.wait_until_over(ENDS_WITHIN).await.assert_all_arrived(SCHEDULED);
    run.assert_nothing_left().await;
}

pub async fn a_log_group_is_deleted(on: Arc<FaultyCluster>) {
    let run = Run::apply(&on, "no-log", &PHASES).await;
    run.wait_for_traffic().await;
    let log_group = format!("/kinesisdemo/{}", run.base_name().await);
    on.by_hand.logs.delete_log_group().log_group_name(log_group).send().await.unwrap();
    let ended = run.wait_until_over(ENDS_WITHIN).await;
    assert_eq!(
        (ended.status.stage, ended.stored),
        (Some(Stage::Succeeded), SCHEDULED),
        "{:#?}",
        ended.status.run
    );
    let delivered = condition(&ended.status, ConditionType::TrafficDelivered);
    assert_eq!((delivered.status, delivered.reason), (ConditionStatus::Unknown, Reason::LogUnreadable));
    run.assert_nothing_left().await;
}

/// A document with an epoch that no leader ever reaches, which requests ten times the rate.
pub async fn a_document_is_forged(on: Arc<FaultyCluster>) {
    const FORGED_EPOCH: u64 = 1_000_000_000;
    const RATE: u64 = 100;
    let run = Run::apply(&on, "forged", &[(30, 100)]).await;
    run.wait_for_traffic().await;
    let parameter = run.parameter().await;
    // The next renewal is seconds away, so the tasks read the forged document before that.
    let mut forged = ControlDocument { epoch: FORGED_EPOCH, ..on.by_hand.renewed_document(&parameter).await };
    for segment in &mut forged.segments {
        segment.span.rate = segment.span.rate.map(|rate| rate * 10);
        segment.cap_per_task *= 10;
    }
    on.by_hand.write_document(&parameter, &forged).await;
    let ended = run.wait_until_over(ENDS_WITHIN).await;
    ended.assert_failed(Reason::ControlOverwritten);
    assert!(ended.status.control.as_ref().unwrap().epoch < FORGED_EPOCH, "the forged epoch was outbid");
    assert!(ended.status.run.as_ref().unwrap().message.as_ref().unwrap().contains("1000000000"));
    let arn = &ended.status.stream.as_ref().unwrap().arn;
    let (_, ingest_statistics) = on.stack.sandbox.fetch_ingest_statistics(arn).await.unwrap().unwrap();
    for window in ingest_statistics.buckets.windows(10) {
        let within = window[9].at.duration_since(window[0].at).as_millis() < 1_000;
        let records: u64 = window.iter().map(|bucket| bucket.records).sum();
        assert!(!within || records <= RATE * 3 / 2, "{records} records within a second: {window:?}");
    }
    run.assert_nothing_left().await;
}

pub async fn warm_throughput_is_released(on: Arc<FaultyCluster>) {
    let warm = json!({ "warmThroughput": { "mode": "Fixed", "mibPerSecond": 10 } });
    let run = Run::apply_with(&on, "cooled", &PHASES, warm).await;
    let status = run.wait_for_traffic().await;
    assert_eq!(condition(&status, ConditionType::WarmThroughputReady).status, ConditionStatus::True);
    let arn = status.stream.unwrap().arn;
    let released =
        on.by_hand.kinesis.update_stream_warm_throughput().stream_arn(arn).warm_throughput_mibps(0);
    let released = released.send().await.unwrap();
    assert_eq!(released.warm_throughput().and_then(WarmThroughputObject::target_mibps), Some(0));
    let is_lost =
        |status: &_| condition(status, ConditionType::WarmThroughputReady).status == ConditionStatus::False;
    let status = run.wait(SOON, is_lost).await;
    assert_eq!(status.stage, Some(Stage::Running));
    assert_eq!(condition(&status, ConditionType::WarmThroughputReady).reason, Reason::Lost);
    run.wait_until_over(ENDS_WITHIN).await.assert_all_arrived(SCHEDULED);
    run.assert_nothing_left().await;
}

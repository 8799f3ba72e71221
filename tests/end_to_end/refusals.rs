//! AWS denies calls, is slow, or loses responses. Only the operator is affected, since the tasks
//! reach the sandbox directly. Calls that the traffic does not need must not delay it.

use std::sync::Arc;
use std::time::Duration;

use kinesis_demo_api::Stage;
use kinesis_demo_api::conditions::{ConditionStatus, ConditionType};
use kinesis_demo_api::status::{Outcome, ResourceState, ResourceType};

use crate::faults::{ENDS_WITHIN, FaultyCluster, Run, condition};
use crate::proxy::{DENIED, EXPIRED, FAILING, FaultKind, Limit, THROTTLED};

/// The reads that the operator makes while traffic runs.
const READS: &[&str] = &[
    "GetParameter",
    "DescribeStreamSummary",
    "DescribeServices",
    "ListTasks",
    "DescribeTasks",
    "FilterLogEvents",
];

/// Long enough to cover any fault of up to a minute after the first records.
const PHASES: [(u32, u32); 2] = [(40, 100), (40, 150)];
const SCHEDULED: u64 = 40 * 100 + 40 * 150;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Sets a fault during a run. It must affect at least `least` calls and lose no record.
async fn costs_nothing(
    on: Arc<FaultyCluster>,
    name: &'static str,
    operations: &'static [&'static str],
    kind: FaultKind,
    limit: Limit,
    least: u32,
) {
    let run = Run::apply(&on, name, &PHASES).await;
    let status = run.wait_for_traffic().await;
    let fault = on.proxy.fault(operations, run.texts(&status), kind, limit);
    let ended = run.wait_until_over(ENDS_WITHIN).await;
    assert!(fault.hits() >= least, "the fault affected {} calls", fault.hits());
    assert_eq!(ended.status.control.as_ref().unwrap().interruptions, [], "control lapsed");
    ended.assert_all_arrived(SCHEDULED);
    run.assert_nothing_left().await;
}

pub async fn two_denied_reads_of_the_parameter(on: Arc<FaultyCluster>) {
    costs_nothing(on, "denied-twice", &["GetParameter"], DENIED, Limit::Calls(2), 2).await;
}

pub async fn expired_credentials(on: Arc<FaultyCluster>) {
    costs_nothing(on, "expired", &[], EXPIRED, Limit::For(s(6)), 6).await;
}

pub async fn slow_reads(on: Arc<FaultyCluster>) {
    costs_nothing(on, "slow", READS, FaultKind::Delay(s(20)), Limit::For(s(40)), 12).await;
}

pub async fn throttled_reads(on: Arc<FaultyCluster>) {
    costs_nothing(on, "throttled", READS, THROTTLED, Limit::For(s(30)), 12).await;
}

pub async fn failing_reads(on: Arc<FaultyCluster>) {
    costs_nothing(on, "failing", READS, FAILING, Limit::For(s(60)), 12).await;
}

/// The SDK tries each renewal three times, so this loses the responses of three renewals.
pub async fn lost_responses(on: Arc<FaultyCluster>) {
    costs_nothing(on, "lost-answers", &["PutParameter"], FaultKind::LoseResponse, Limit::Calls(9), 9).await;
}

/// Denies a read permanently once the traffic is over. The resource is removed without it.
pub async fn removed_without_read(on: Arc<FaultyCluster>, name: &'static str, read: &'static [&'static str]) {
    let run = Run::apply(&on, name, &[(10, 100)]).await;
    run.wait_for_traffic().await;
    run.wait_for_stage(ENDS_WITHIN, Stage::Draining).await;
    let fault = on.proxy.fault(read, [run.mark()], DENIED, Limit::Lasting);
    let ended = run.wait_until_over(ENDS_WITHIN).await;
    assert!(fault.hits() > 0, "{read:?} was not called during the cleanup");
    ended.assert_all_arrived(1_000);
    run.assert_nothing_left().await;
}

/// The service is left, together with the scheduled scale-to-zero that stops its tasks. Everything
/// else is removed. The run finishes in bounded time, reports what is left, and removes it once
/// allowed.
pub async fn a_service_whose_deletion_is_denied(on: Arc<FaultyCluster>) {
    let run = Run::apply(&on, "held-service", &[(10, 100)]).await;
    run.wait_for_traffic().await;
    let fault = on.proxy.fault(&["DeleteService"], [run.mark()], DENIED, Limit::Lasting);
    let present = |status: &kinesis_demo_api::KinesisDemoStatus| {
        let resources = status.resources.iter().filter(|resource| resource.state == ResourceState::Present);
        resources.map(|resource| resource.type_).collect::<Vec<_>>()
    };
    run.wait_for_stage(ENDS_WITHIN, Stage::CleaningUp).await;
    let rest_is_deleted = |status: &_| present(status).len() <= 2;
    let status = run.wait(s(60), rest_is_deleted).await;
    assert_eq!(status.stage, Some(Stage::CleaningUp), "the cleanup must retry for a while");
    let ended = run.wait_until_over(s(180)).await;
    ended.assert_all_arrived(1_000);
    assert_eq!(ended.status.run.as_ref().unwrap().outcome, Some(Outcome::Succeeded));
    let mut left = present(&ended.status);
    left.sort_by_key(ToString::to_string);
    assert_eq!(left, [ResourceType::ScheduledScaleToZero, ResourceType::Service]);
    let cleaned = condition(&ended.status, ConditionType::CleanedUp);
    assert_eq!(cleaned.status, ConditionStatus::False);
    for fragment in ["DeleteService", "AccessDeniedException", "keeps trying"] {
        assert!(cleaned.message.contains(fragment), "{}", cleaned.message);
    }
    let service = run.base_name().await;
    assert!(
        on.by_hand.scale_to_zero(&service).await.is_some(),
        "the scheduled scale-to-zero was removed before the service"
    );
    let demo = on.stack.demos.fetch("held-service").await.unwrap();
    assert_eq!(demo.metadata.finalizers.unwrap_or_default().len(), 1);
    assert!(fault.hits() < 40, "{} calls in about two minutes", fault.hits());

    fault.clear();
    let is_clean = |status: &_| condition(status, ConditionType::CleanedUp).status == ConditionStatus::True;
    run.wait(s(150), is_clean).await;
    run.assert_nothing_left().await;
}

/// The tasks' lease lapses. The schedule pauses and continues once the lease can be renewed.
pub async fn an_outage_of_four_minutes(on: Arc<FaultyCluster>) {
    const OUTAGE: Duration = s(240);
    let run = Run::apply(&on, "outage", &[(30, 100), (40, 150)]).await;
    run.wait_for_traffic().await;
    let fault = on.proxy.fault(&["PutParameter"], [run.mark()], FAILING, Limit::For(OUTAGE));
    let ended = run.wait_until_over(OUTAGE + ENDS_WITHIN).await;
    assert!(fault.hits() > 20, "the fault affected {} calls", fault.hits());
    ended.assert_all_arrived(30 * 100 + 40 * 150);
    let interruptions = &ended.status.control.as_ref().unwrap().interruptions;
    assert_eq!(interruptions.len(), 1, "{interruptions:?}");
    let silent = interruptions[0].until.since(interruptions[0].from);
    // The outage, minus what the tasks' lease covered, plus the time until the next version took
    // effect.
    assert!((OUTAGE - s(40)..OUTAGE + s(30)).contains(&silent), "{silent:?}");
    run.assert_nothing_left().await;
}

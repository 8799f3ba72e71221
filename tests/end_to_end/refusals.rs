//! AWS refuses, is slow, or its answers are lost: to the operator alone, since the tasks reach the
//! sandbox directly. What the traffic does not need keeps nothing of it.

use std::sync::Arc;
use std::time::Duration;

use kinesis_demo_api::Stage;
use kinesis_demo_api::conditions::{ConditionStatus, ConditionType};
use kinesis_demo_api::status::{Outcome, ResourceState, ResourceType};

use crate::faults::{ENDS_WITHIN, FaultyCluster, Run, condition};
use crate::proxy::{DENIED, EXPIRED, FAILING, Kind, Limit, THROTTLED};

/// What the operator looks at while traffic runs.
const LOOKS: &[&str] = &[
    "GetParameter",
    "DescribeStreamSummary",
    "DescribeServices",
    "ListTasks",
    "DescribeTasks",
    "FilterLogEvents",
];

/// Longer than any fault of a minute, from the first records on.
const PHASES: [(u32, u32); 2] = [(40, 100), (40, 150)];
const SCHEDULED: u64 = 40 * 100 + 40 * 150;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Sets a fault in mid-run. It meets at least `least` calls, and costs no record.
async fn costs_nothing(
    on: Arc<FaultyCluster>,
    name: &'static str,
    operations: &'static [&'static str],
    kind: Kind,
    limit: Limit,
    least: u32,
) {
    let run = Run::apply(&on, name, &PHASES).await;
    let status = run.wait_for_traffic().await;
    let fault = on.proxy.fault(operations, run.texts(&status), kind, limit);
    let ended = run.wait_until_over(ENDS_WITHIN).await;
    assert!(fault.met() >= least, "the fault met {} calls", fault.met());
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

pub async fn slow_looks(on: Arc<FaultyCluster>) {
    costs_nothing(on, "slow", LOOKS, Kind::Delay(s(20)), Limit::For(s(40)), 12).await;
}

pub async fn throttled_looks(on: Arc<FaultyCluster>) {
    costs_nothing(on, "throttled", LOOKS, THROTTLED, Limit::For(s(30)), 12).await;
}

pub async fn failing_looks(on: Arc<FaultyCluster>) {
    costs_nothing(on, "failing", LOOKS, FAILING, Limit::For(s(60)), 12).await;
}

/// Each renewal is tried three times by the SDK: the answers to three renewals are lost.
pub async fn lost_answers(on: Arc<FaultyCluster>) {
    costs_nothing(on, "lost-answers", &["PutParameter"], Kind::LoseAnswer, Limit::Calls(9), 9).await;
}

/// Denies a look for good once the traffic is over: the thing is removed unseen.
pub async fn removed_unseen(on: Arc<FaultyCluster>, name: &'static str, look: &'static [&'static str]) {
    let run = Run::apply(&on, name, &[(10, 100)]).await;
    run.wait_for_traffic().await;
    run.wait_for_stage(ENDS_WITHIN, Stage::Draining).await;
    let fault = on.proxy.fault(look, [run.mark()], DENIED, Limit::Lasting);
    let ended = run.wait_until_over(ENDS_WITHIN).await;
    assert!(fault.met() > 0, "{look:?} was not asked for while things were removed");
    ended.assert_all_arrived(1_000);
    run.assert_nothing_left().await;
}

/// The service stays, and with it what stops its tasks; all else goes. The run is over in bounded
/// time, says what is left, and removes it as soon as it may.
pub async fn a_service_that_may_not_be_removed(on: Arc<FaultyCluster>) {
    let run = Run::apply(&on, "held-service", &[(10, 100)]).await;
    run.wait_for_traffic().await;
    let fault = on.proxy.fault(&["DeleteService"], [run.mark()], DENIED, Limit::Lasting);
    let present = |status: &kinesis_demo_api::KinesisDemoStatus| {
        let resources = status.resources.iter().filter(|held| held.state == ResourceState::Present);
        resources.map(|held| held.type_).collect::<Vec<_>>()
    };
    run.wait_for_stage(ENDS_WITHIN, Stage::CleaningUp).await;
    let all_else_gone = |status: &_| present(status).len() <= 2;
    let status = run.wait(s(60), all_else_gone).await;
    assert_eq!(status.stage, Some(Stage::CleaningUp), "it tries for a while");
    let ended = run.wait_until_over(s(180)).await;
    ended.assert_all_arrived(1_000);
    assert_eq!(ended.status.run.as_ref().unwrap().outcome, Some(Outcome::Succeeded));
    let mut left = present(&ended.status);
    left.sort_by_key(ToString::to_string);
    assert_eq!(left, [ResourceType::ScheduledScaleToZero, ResourceType::Service]);
    let cleaned = condition(&ended.status, ConditionType::CleanedUp);
    assert_eq!(cleaned.status, ConditionStatus::False);
    for words in ["DeleteService", "AccessDeniedException", "keeps trying"] {
        assert!(cleaned.message.contains(words), "{}", cleaned.message);
    }
    let service = run.base_name().await;
    assert!(on.by_hand.scale_to_zero(&service).await.is_some(), "nothing stops its tasks any more");
    let demo = on.stack.cluster.fetch("held-service").await.unwrap();
    assert_eq!(demo.metadata.finalizers.unwrap_or_default().len(), 1);
    assert!(fault.met() < 40, "{} calls in about two minutes", fault.met());

    fault.lift();
    let is_clean = |status: &_| condition(status, ConditionType::CleanedUp).status == ConditionStatus::True;
    run.wait(s(150), is_clean).await;
    run.assert_nothing_left().await;
}

/// The tasks' lease lapses, the schedule stands still, and goes on once it can be renewed.
pub async fn an_outage_of_four_minutes(on: Arc<FaultyCluster>) {
    const OUTAGE: Duration = s(240);
    let run = Run::apply(&on, "outage", &[(30, 100), (40, 150)]).await;
    run.wait_for_traffic().await;
    let fault = on.proxy.fault(&["PutParameter"], [run.mark()], FAILING, Limit::For(OUTAGE));
    let ended = run.wait_until_over(OUTAGE + ENDS_WITHIN).await;
    assert!(fault.met() > 20, "the fault met {} calls", fault.met());
    ended.assert_all_arrived(30 * 100 + 40 * 150);
    let interruptions = &ended.status.control.as_ref().unwrap().interruptions;
    assert_eq!(interruptions.len(), 1, "{interruptions:?}");
    let silent = interruptions[0].until.since(interruptions[0].from);
    // All of it but what the tasks' lease covered, and what the next version took to count.
    assert!((OUTAGE - s(40)..OUTAGE + s(30)).contains(&silent), "{silent:?}");
    run.assert_nothing_left().await;
}

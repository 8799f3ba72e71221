//! Application Auto Scaling: the scheduled scale-to-zero.

use kinesis_demo_api::MicroTime;
use kinesis_demo_operator::aws::{AwsErrorClass, AwsResult, ScheduledActionDescription};

use super::Arm;
use super::fixtures::{CLUSTER, SERVICE, assert_refused, aws, create_service, refusal, resize, service};
use super::waiting::{seconds, wait_until};

const RESOURCE: &str = "service/default/kd-service";

async fn put(arm: &dyn Arm, max_tasks: u32, at: MicroTime) -> AwsResult<()> {
    aws(arm).scaling.put_scheduled_scale_to_zero(CLUSTER, SERVICE, max_tasks, at).await
}

async fn fetch(arm: &dyn Arm) -> Option<ScheduledActionDescription> {
    aws(arm).scaling.fetch_scheduled_scale_to_zero(CLUSTER, SERVICE).await.unwrap()
}

/// A target whose action is due at the whole second before `at`.
fn scheduled(at: MicroTime) -> Option<ScheduledActionDescription> {
    Some(ScheduledActionDescription { target: true, action_at: Some(at.whole_second().into()) })
}

/// Creates the service, and waits until Application Auto Scaling sees it.
async fn create_visible_service(arm: &dyn Arm) {
    create_service(arm).await;
    arm.let_time_pass(seconds(2)).await;
}

pub(super) async fn a_service_is_seen_some_time_after_its_creation(arm: &dyn Arm) {
    assert_eq!(fetch(arm).await, None);
    let at = arm.now() + seconds(600);
    let (class, code) = (AwsErrorClass::Transient, "ValidationException");
    let message = "ECS service doesn't exist: service/default/kd-service";
    let not_seen = || refusal(class, "RegisterScalableTarget", RESOURCE, code, message);
    assert_refused(put(arm, 3, at).await, not_seen());
    create_service(arm).await;
    let error = put(arm, 3, at).await.unwrap_err();
    assert!(error.is_not_seen_yet(), "{error:?}");
    assert_eq!(error, not_seen());
    assert_eq!(fetch(arm).await, None);
    wait_until(arm, "the service is seen", async || put(arm, 3, at).await.is_ok()).await;
    assert_eq!(fetch(arm).await, scheduled(at));
}

pub(super) async fn the_latest_target_and_action_count(arm: &dyn Arm) {
    create_visible_service(arm).await;
    for after in [600, 300, 900] {
        let at = arm.now() + seconds(after);
        put(arm, 3, at).await.unwrap();
        assert_eq!(fetch(arm).await, scheduled(at));
    }
}

pub(super) async fn an_action_in_the_past_is_refused(arm: &dyn Arm) {
    create_visible_service(arm).await;
    // The second of `now` has begun.
    for past in [arm.now(), arm.now() - seconds(60)] {
        let schedule = past.whole_second().strftime("at(%Y-%m-%dT%H:%M:%S)").to_string();
        let message = format!("Schedule expression {schedule} is in the past");
        let (class, code) = (AwsErrorClass::Invalid, "ValidationException");
        let expected = refusal(class, "PutScheduledAction", RESOURCE, code, message);
        assert_refused(put(arm, 3, past).await, expected);
        // The target was registered before.
        let target = Some(ScheduledActionDescription { target: true, action_at: None });
        assert_eq!(fetch(arm).await, target);
    }
}

pub(super) async fn a_target_keeps_the_service_within_its_bounds(arm: &dyn Arm) {
    create_visible_service(arm).await;
    resize(arm, 3).await;
    put(arm, 2, arm.now() + seconds(600)).await.unwrap();
    assert_eq!(service(arm).await.desired, 2);
    // ECS itself accepts counts beyond the bounds.
    resize(arm, 4).await;
    assert_eq!(service(arm).await.desired, 4);
}

pub(super) async fn the_action_scales_the_service_to_zero(arm: &dyn Arm) {
    create_visible_service(arm).await;
    resize(arm, 2).await;
    put(arm, 3, arm.now() + seconds(30)).await.unwrap();
    arm.let_time_pass(seconds(20)).await;
    assert_eq!(service(arm).await.desired, 2);
    arm.let_time_pass(seconds(10)).await;
    wait_until(arm, "the action has run", async || service(arm).await.desired == 0).await;
    assert!(fetch(arm).await.is_some_and(|seen| seen.target));
    // It runs once.
    resize(arm, 1).await;
    arm.let_time_pass(seconds(60)).await;
    assert_eq!(service(arm).await.desired, 1);
}

pub(super) async fn a_deleted_action_can_be_deleted_again(arm: &dyn Arm) {
    let delete = async || aws(arm).scaling.delete_scheduled_scale_to_zero(CLUSTER, SERVICE).await;
    delete().await.unwrap();
    create_visible_service(arm).await;
    let at = arm.now() + seconds(30);
    put(arm, 3, at).await.unwrap();
    delete().await.unwrap();
    assert_eq!(fetch(arm).await, None);
    delete().await.unwrap();
    resize(arm, 1).await;
    arm.let_time_pass(seconds(60)).await;
    assert_eq!(service(arm).await.desired, 1, "the action was deleted");
}

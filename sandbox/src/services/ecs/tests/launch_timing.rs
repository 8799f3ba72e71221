//! Tasks whose runner needs time of its own, as Pods do: RUNNING requires both the modelled latency
//! and the runner's start.

use super::*;
use crate::task_runner::LaunchTiming;

/// A service whose tasks are passed to their runner when the image pull begins, at that moment.
/// Returns a task's ARN.
async fn launched_at_pull() -> (Harness, String) {
    let mut harness = Harness::with_service(1).await;
    harness.ecs.lock().launch_timing = LaunchTiming::AtPull;
    for _ in 0..40 {
        if let [Effect::Start { task, .. }] = step(&mut harness)[..].as_ref() {
            let arn = format!("arn:aws:ecs:{REGION}:000000000000:task/demo/{task}");
            assert_eq!(harness.task(&arn).await["lastStatus"], "PENDING");
            return (harness, arn);
        }
    }
    panic!("the task was never passed to the runner");
}

/// Advances half a second.
fn step(harness: &mut Harness) -> Vec<Effect> {
    harness.clock.advance(std::time::Duration::from_millis(500));
    let now = harness.clock.now();
    state::step(&mut harness.ecs.lock(), now)
}

fn advance_seconds(harness: &mut Harness, seconds: u32) -> Vec<Effect> {
    (0..seconds * 2).flat_map(|_| step(harness)).collect()
}

fn exited(harness: &Harness, arn: &str, code: Option<i32>) {
    let end = ContainerExit { code, reason: code.is_none().then(|| "the Pod was deleted".to_owned()) };
    harness.exited(id(arn), end);
}

#[tokio::test]
async fn an_early_runner_waits_for_the_modelled_latency() {
    let (mut harness, arn) = launched_at_pull().await;
    harness.started(id(&arn));
    step(&mut harness);
    assert_eq!(harness.task(&arn).await["lastStatus"], "PENDING");
    assert_eq!(advance_seconds(&mut harness, 35), [], "a task is launched only once");
    let task = harness.task(&arn).await;
    assert_eq!(task["lastStatus"], "RUNNING");
    let latency = task["startedAt"].as_f64().unwrap() - task["createdAt"].as_f64().unwrap();
    assert!((20.0..=41.0).contains(&latency), "{latency}");
}

#[tokio::test]
async fn a_task_stays_pending_until_a_late_runner_starts_it() {
    let (mut harness, arn) = launched_at_pull().await;
    advance_seconds(&mut harness, 300);
    assert_eq!(harness.task(&arn).await["lastStatus"], "PENDING");
    assert_eq!(harness.service().await["pendingCount"], 1);
    harness.started(id(&arn));
    step(&mut harness);
    assert_eq!(harness.task(&arn).await["lastStatus"], "RUNNING");
}

#[tokio::test]
async fn a_container_ending_during_the_latency_counts_as_run() {
    let (mut harness, arn) = launched_at_pull().await;
    harness.started(id(&arn));
    exited(&harness, &arn, Some(3));
    advance_seconds(&mut harness, 40);
    let task = harness.task(&arn).await;
    assert_eq!(
        (&task["stopCode"], &task["containers"][0]["exitCode"]),
        (&json!("EssentialContainerExited"), &json!(3))
    );
    assert!(task["startedAt"].is_number());
}

#[tokio::test]
async fn a_cancelled_launch_neither_runs_nor_counts_as_failed() {
    let (mut harness, arn) = launched_at_pull().await;
    harness.call("UpdateService", json!({"service": "s", "desiredCount": 0})).await.unwrap();
    assert_eq!(advance_seconds(&mut harness, 2), [Effect::Terminate { task: id(&arn).to_owned() }]);
    assert_eq!(harness.task(&arn).await["lastStatus"], "STOPPING");
    // A failure that the runner reports after the stop is not a failure of the service.
    harness.failed_to_start(id(&arn), StartFailure::of_task("CannotPullContainerError: no"));
    harness.cancelled(id(&arn));
    advance_seconds(&mut harness, 15);
    let task = harness.task(&arn).await;
    assert_eq!(
        (&task["lastStatus"], &task["stopCode"]),
        (&json!("STOPPED"), &json!("ServiceSchedulerInitiated"))
    );
    assert_eq!(task.get("startedAt"), None);
    assert_eq!(harness.service().await["deployments"][0]["failedTasks"], 0);
}

#[tokio::test]
async fn a_task_with_a_vanished_container_is_replaced() {
    let (mut harness, arn) = launched_at_pull().await;
    harness.started(id(&arn));
    advance_seconds(&mut harness, 35);
    exited(&harness, &arn, None);
    let effects = advance_seconds(&mut harness, 40);
    assert!(matches!(&effects[..], [Effect::Start { task, .. }] if task != id(&arn)), "{effects:?}");
    let task = harness.task(&arn).await;
    assert_eq!(task["containers"][0]["reason"], "the Pod was deleted");
    assert_eq!(task["containers"][0].get("exitCode"), None);
    assert_eq!(task["stoppedReason"], "Essential container in task exited");
}

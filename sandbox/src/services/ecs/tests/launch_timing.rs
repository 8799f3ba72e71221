//! Tasks whose runner takes its own time, as Pods do: the modelled latency and the runner have to agree.

use super::*;
use crate::task_runner::{End, LaunchTiming};

/// A service whose tasks are handed over when their image is pulled, at the moment that happens. Returns a task's ARN.
async fn handed_over() -> (Harness, String) {
    let mut harness = Harness::with_service(1).await;
    harness.ecs.lock().launch_timing = LaunchTiming::AtPull;
    for _ in 0..40 {
        if let [Effect::Start { task, .. }] = step(&mut harness)[..].as_ref() {
            let arn = format!("arn:aws:ecs:{REGION}:000000000000:task/demo/{task}");
            assert_eq!(harness.task(&arn).await["lastStatus"], "PENDING");
            return (harness, arn);
        }
    }
    panic!("the task was never handed over");
}

/// Half a second.
fn step(harness: &mut Harness) -> Vec<Effect> {
    harness.clock.advance(std::time::Duration::from_millis(500));
    let now = harness.clock.now();
    lifecycle::step(&mut harness.ecs.lock(), now)
}

fn pass(harness: &mut Harness, seconds: u32) -> Vec<Effect> {
    (0..seconds * 2).flat_map(|_| step(harness)).collect()
}

fn exited(harness: &Harness, arn: &str, code: Option<i32>) {
    let end = End { code, reason: code.is_none().then(|| "the Pod was deleted".to_owned()) };
    lifecycle::exited(&mut harness.ecs.lock(), REGION, id(arn), 0, end);
}

#[tokio::test]
async fn a_runner_that_is_early_waits_for_the_model() {
    let (mut harness, arn) = handed_over().await;
    lifecycle::started(&mut harness.ecs.lock(), REGION, id(&arn), harness.clock.now());
    step(&mut harness);
    assert_eq!(harness.task(&arn).await["lastStatus"], "PENDING");
    assert_eq!(pass(&mut harness, 35), [], "it is handed over once");
    let task = harness.task(&arn).await;
    assert_eq!(task["lastStatus"], "RUNNING");
    let latency = task["startedAt"].as_f64().unwrap() - task["createdAt"].as_f64().unwrap();
    assert!((20.0..=41.0).contains(&latency), "{latency}");
}

#[tokio::test]
async fn the_model_waits_for_a_runner_that_is_late() {
    let (mut harness, arn) = handed_over().await;
    pass(&mut harness, 300);
    assert_eq!(harness.task(&arn).await["lastStatus"], "PENDING");
    assert_eq!(harness.service().await["pendingCount"], 1);
    lifecycle::started(&mut harness.ecs.lock(), REGION, id(&arn), harness.clock.now());
    step(&mut harness);
    assert_eq!(harness.task(&arn).await["lastStatus"], "RUNNING");
}

#[tokio::test]
async fn a_container_that_ends_before_the_model_runs_has_run_all_the_same() {
    let (mut harness, arn) = handed_over().await;
    lifecycle::started(&mut harness.ecs.lock(), REGION, id(&arn), harness.clock.now());
    exited(&harness, &arn, Some(3));
    pass(&mut harness, 40);
    let task = harness.task(&arn).await;
    assert_eq!(
        (&task["stopCode"], &task["containers"][0]["exitCode"]),
        (&json!("EssentialContainerExited"), &json!(3))
    );
    assert!(task["startedAt"].is_number());
}

#[tokio::test]
async fn a_launch_that_is_called_off_ends_without_having_run_or_failed() {
    let (mut harness, arn) = handed_over().await;
    harness.call("UpdateService", json!({"service": "s", "desiredCount": 0})).await.unwrap();
    assert_eq!(pass(&mut harness, 2), [Effect::Terminate { task: id(&arn).to_owned() }]);
    assert_eq!(harness.task(&arn).await["lastStatus"], "STOPPING");
    // What the runner finds out too late is no failure of the service.
    lifecycle::failed_to_start(
        &mut harness.ecs.lock(),
        REGION,
        id(&arn),
        crate::task_runner::StartFailure::of_task("CannotPullContainerError: no"),
        harness.clock.now(),
    );
    lifecycle::withdrawn(&mut harness.ecs.lock(), REGION, id(&arn));
    pass(&mut harness, 15);
    let task = harness.task(&arn).await;
    assert_eq!(
        (&task["lastStatus"], &task["stopCode"]),
        (&json!("STOPPED"), &json!("ServiceSchedulerInitiated"))
    );
    assert_eq!(task.get("startedAt"), None);
    assert_eq!(harness.service().await["deployments"][0]["failedTasks"], 0);
}

#[tokio::test]
async fn a_container_that_vanished_has_a_reason_and_no_exit_code_and_its_task_is_replaced() {
    let (mut harness, arn) = handed_over().await;
    lifecycle::started(&mut harness.ecs.lock(), REGION, id(&arn), harness.clock.now());
    pass(&mut harness, 35);
    exited(&harness, &arn, None);
    let asked = pass(&mut harness, 40);
    assert!(matches!(&asked[..], [Effect::Start { task, .. }] if task != id(&arn)), "{asked:?}");
    let task = harness.task(&arn).await;
    assert_eq!(task["containers"][0]["reason"], "the Pod was deleted");
    assert_eq!(task["containers"][0].get("exitCode"), None);
    assert_eq!(task["stoppedReason"], "Essential container in task exited");
}

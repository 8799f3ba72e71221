//! Tasks that fail to start: the reasons of containers and the events of the service.

use super::*;
use crate::task_runner::StartFailure;

/// Runs a service whose tasks, with two containers, all fail to start. Returns one task and the
/// service.
async fn failed_task_and_service(failure: StartFailure) -> (Value, Value) {
    let harness = Harness::new(100);
    let containers = json!([{"name": "main", "image": "a"}, {"name": "side", "image": "b"}]);
    let definition = json!({
        "family": "f", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512",
        "containerDefinitions": containers,
    });
    harness.call("RegisterTaskDefinition", definition).await.unwrap();
    let mut creation = Harness::creation("s", 1);
    creation["deploymentConfiguration"] =
        json!({"deploymentCircuitBreaker": {"enable": true, "rollback": false}});
    harness.call("CreateService", creation).await.unwrap();
    for _ in 0..600 {
        harness.clock.advance(std::time::Duration::from_millis(500));
        let now = harness.clock.now();
        let effects = lifecycle::step(&mut harness.ecs.lock(), now);
        for effect in effects {
            let Effect::Start { task, .. } = effect else { panic!("{effect:?}") };
            lifecycle::failed_to_start(&mut harness.ecs.lock(), REGION, &task, failure.clone(), now);
        }
    }
    let stopped = harness.listed("STOPPED").await;
    (harness.task(&stopped[0]).await, harness.service().await)
}

fn reasons(task: &Value) -> Vec<Option<&str>> {
    task["containers"].as_array().unwrap().iter().map(|container| container["reason"].as_str()).collect()
}

#[tokio::test]
async fn only_the_failed_container_gets_the_reason() {
    let pull = "CannotPullContainerError: no";
    let (task, service) =
        failed_task_and_service(StartFailure { reason: pull.into(), container: Some(1) }).await;
    assert_eq!((&task["stopCode"], &task["stoppedReason"]), (&json!("TaskFailedToStart"), &json!(pull)));
    assert_eq!(reasons(&task), [None, Some(pull)]);
    let messages: Vec<&str> = service["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["message"].as_str().unwrap())
        .collect();
    let unplaced = format!("(service s) was unable to place a task. Reason: {pull}.");
    assert_eq!(messages.iter().filter(|message| **message == unplaced).count(), 3, "{messages:?}");
    let deployment = &service["deployments"][0];
    assert_eq!(
        (&deployment["rolloutState"], &deployment["rolloutStateReason"]),
        (&json!("FAILED"), &json!("ECS deployment circuit breaker: tasks failed to start."))
    );
}

#[tokio::test]
async fn a_failure_of_the_whole_task_is_no_containers_reason() {
    let (task, _) = failed_task_and_service(StartFailure::of_task("ResourceInitializationError: no")).await;
    assert_eq!(task["stoppedReason"], "ResourceInitializationError: no");
    assert_eq!(reasons(&task), [None, None]);
}

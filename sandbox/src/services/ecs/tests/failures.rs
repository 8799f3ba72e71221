//! Tasks that do not start: which container is told why, and what the service says.

use super::*;
use crate::task_runner::StartFailure;

/// A task of two containers that fails to start, and its service.
async fn failed(failure: StartFailure) -> (Value, Value) {
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
    task["containers"].as_array().unwrap().iter().map(|held| held["reason"].as_str()).collect()
}

#[tokio::test]
async fn the_container_that_it_is_about_is_told_why_and_no_other() {
    let pull = "CannotPullContainerError: no";
    let (task, service) = failed(StartFailure { reason: pull.into(), container: Some(1) }).await;
    assert_eq!((&task["stopCode"], &task["stoppedReason"]), (&json!("TaskFailedToStart"), &json!(pull)));
    assert_eq!(reasons(&task), [None, Some(pull)]);
    let told: Vec<&str> = service["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["message"].as_str().unwrap())
        .collect();
    let unplaced = format!("(service s) was unable to place a task. Reason: {pull}.");
    assert_eq!(told.iter().filter(|message| **message == unplaced).count(), 3, "{told:?}");
    let deployment = &service["deployments"][0];
    assert_eq!(
        (&deployment["rolloutState"], &deployment["rolloutStateReason"]),
        (&json!("FAILED"), &json!("ECS deployment circuit breaker: tasks failed to start."))
    );
}

#[tokio::test]
async fn what_concerns_the_whole_task_is_told_of_no_container() {
    let (task, _) = failed(StartFailure::of_task("ResourceInitializationError: no")).await;
    assert_eq!(task["stoppedReason"], "ResourceInitializationError: no");
    assert_eq!(reasons(&task), [None, None]);
}

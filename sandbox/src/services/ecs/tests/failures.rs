//! Tasks that fail to start: the reasons of containers and the events of the service.

use super::*;

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
        let effects = state::step(&mut harness.ecs.lock(), now);
        for effect in effects {
            let Effect::Start { task, .. } = effect else { panic!("{effect:?}") };
            harness.failed_to_start(&task, failure.clone());
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

#[tokio::test]
async fn failed_starts_back_off_and_trip_the_circuit_breaker() {
    let harness = Harness::new(100);
    harness.register("generator").await;
    let mut creation = Harness::creation("s", 1);
    creation["deploymentConfiguration"] =
        json!({"deploymentCircuitBreaker": {"enable": true, "rollback": false}});
    harness.call("CreateService", creation).await.unwrap();
    let mut failures = Vec::new();
    for _ in 0..600 {
        harness.clock.advance(std::time::Duration::from_millis(500));
        let now = harness.clock.now();
        let effects = state::step(&mut harness.ecs.lock(), now);
        for effect in effects {
            let Effect::Start { task, .. } = effect else { panic!("{effect:?}") };
            failures.push(now);
            harness.failed_to_start(
                &task,
                StartFailure { reason: "CannotPullContainerError: no".into(), container: Some(0) },
            );
        }
    }
    assert_eq!(failures.len(), 3, "the breaker allows three failed starts of one task");
    let gaps: Vec<i64> = failures.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs()).collect();
    assert!((30..=51).contains(&gaps[0]) && (40..=61).contains(&gaps[1]), "{gaps:?}");
    let service = harness.service().await;
    assert_eq!(service["deployments"][0]["rolloutState"], "FAILED");
    assert_eq!(service["deployments"][0]["failedTasks"], 3);
    let stopped = harness.listed("STOPPED").await;
    let task = harness.task(&stopped[0]).await;
    assert_eq!(
        (&task["stopCode"], &task["containers"][0]["reason"]),
        (&json!("TaskFailedToStart"), &json!("CannotPullContainerError: no"))
    );
    assert_eq!(task.get("startedAt"), None);
}

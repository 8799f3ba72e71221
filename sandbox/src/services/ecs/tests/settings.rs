//! Request members that filter lists or configure a service.

use super::*;

impl Harness {
    async fn arns(&self, operation: &str, member: &str, input: Value) -> usize {
        self.call(operation, input).await.unwrap()[member].as_array().unwrap().len()
    }
}

#[tokio::test]
async fn families_are_filtered_by_having_an_active_revision() {
    let harness = Harness::new(100);
    harness.register("a").await;
    let count = async |status: Option<&str>| {
        let input = json!({ "status": status });
        harness.arns("ListTaskDefinitionFamilies", "families", input).await
    };
    assert_eq!((count(None).await, count(Some("ACTIVE")).await, count(Some("INACTIVE")).await), (1, 1, 0));
    harness.call("DeregisterTaskDefinition", json!({"taskDefinition": "f:1"})).await.unwrap();
    assert_eq!(
        (count(Some("ALL")).await, count(Some("ACTIVE")).await, count(Some("INACTIVE")).await),
        (1, 0, 1)
    );
    let rejected = harness.call("ListTaskDefinitionFamilies", json!({"status": "GONE"})).await.unwrap_err();
    assert_eq!(rejected.code, "InvalidParameterException");
}

#[tokio::test]
async fn services_are_filtered_by_kind() {
    let harness = Harness::with_service(0).await;
    for (member, kind, other) in [
        ("launchType", "FARGATE", "EC2"),
        ("schedulingStrategy", "REPLICA", "DAEMON"),
        ("resourceManagementType", "CUSTOMER", "ECS"),
    ] {
        assert_eq!(harness.arns("ListServices", "serviceArns", json!({ member: kind })).await, 1);
        assert_eq!(
            harness.arns("ListServices", "serviceArns", json!({ member: other })).await,
            0,
            "{member}"
        );
    }
}

#[tokio::test]
async fn errors_name_settings_that_are_not_offered() {
    let harness = Harness::with_service(0).await;
    let nested = |outer: &str, inner: &str, value: &str| json!({ outer: { inner: value } });
    for (mut update, named) in [
        (json!({"platformVersion": "1.3.0"}), "platformVersion 1.3.0"),
        (nested("deploymentController", "type", "CODE_DEPLOY"), "type CODE_DEPLOY"),
        (nested("deploymentConfiguration", "strategy", "BLUE_GREEN"), "strategy BLUE_GREEN"),
    ] {
        update["service"] = json!("s");
        let rejected = harness.call("UpdateService", update).await.unwrap_err();
        let message =
            format!("{named} is not supported by this sandbox; docs/sandbox.md lists what is supported");
        assert_eq!(rejected, AwsError::client("UnsupportedFeatureException", message));
    }
}

#[tokio::test]
async fn a_new_platform_version_is_returned_and_redeploys() {
    let harness = Harness::with_service(0).await;
    let update =
        |version: &str| harness.call("UpdateService", json!({"service": "s", "platformVersion": version}));
    assert_eq!(update("LATEST").await.unwrap()["service"]["deployments"].as_array().unwrap().len(), 1);
    let updated = update("1.4.0").await.unwrap();
    assert_eq!(updated["service"]["platformVersion"], "1.4.0");
    assert_eq!(updated["service"]["deployments"].as_array().unwrap().len(), 2);
}

/// How many tasks of a service with two tasks fail to start before its deployment fails, if one
/// task reaches RUNNING after the second failure.
async fn failures_until_deployment_failed(breaker: Value) -> u32 {
    let harness = Harness::new(100);
    harness.register("generator").await;
    let mut creation = Harness::creation("s", 2);
    creation["deploymentConfiguration"] = json!({ "deploymentCircuitBreaker": breaker });
    harness.call("CreateService", creation).await.unwrap();
    let (mut failures, mut has_run) = (0, false);
    // Tasks fail half a second after they were passed to the runner.
    let mut failing: Vec<String> = Vec::new();
    for _ in 0..2_000 {
        harness.clock.advance(std::time::Duration::from_millis(500));
        let now = harness.clock.now();
        let effects = state::step(&mut harness.ecs.lock(), now);
        for task in failing.drain(..) {
            let failure = StartFailure::of_task("ResourceInitializationError: no");
            harness.failed_to_start(&task, failure);
            failures += 1;
        }
        for effect in effects {
            let Effect::Start { task, .. } = effect else { continue };
            if failures == 2 && !has_run {
                harness.started(&task);
                has_run = true;
            } else {
                failing.push(task);
            }
        }
        if harness.service().await["deployments"][0]["rolloutState"] == "FAILED" {
            assert!(has_run);
            return failures;
        }
    }
    panic!("the deployment never failed");
}

#[tokio::test]
async fn a_running_task_resets_the_breaker_unless_disabled() {
    let breaker = |reset: Value| json!({"enable": true, "rollback": false, "resetOnHealthyTask": reset});
    assert_eq!(failures_until_deployment_failed(breaker(json!(false))).await, 3);
    assert_eq!(failures_until_deployment_failed(breaker(json!(true))).await, 5);
    assert_eq!(failures_until_deployment_failed(breaker(Value::Null)).await, 5, "AWS resets by default");
}

//! Services: from creation to deletion, and their deployments.

use super::*;

#[tokio::test]
async fn a_new_service_starts_its_tasks_and_becomes_steady() {
    let mut harness = Harness::with_service(3).await;
    assert_eq!(harness.listed("RUNNING").await.len(), 0, "no task is listed before its read lag is over");
    harness.advance_seconds(2, false);
    let arns = harness.listed("RUNNING").await;
    assert_eq!(arns.len(), 3);
    assert_eq!(harness.task(&arns[0]).await["lastStatus"], "PROVISIONING");
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..40 {
        harness.advance_seconds(1, false);
        seen.insert(harness.task(&arns[0]).await["lastStatus"].as_str().unwrap().to_owned());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["PENDING", "PROVISIONING", "RUNNING"]);
    let service = harness.service().await;
    assert_eq!((&service["runningCount"], &service["pendingCount"]), (&json!(3), &json!(0)));
    assert_eq!(service["deployments"][0]["rolloutState"], "COMPLETED");
    assert_eq!(service["events"][0]["message"], "(service s) has reached a steady state.");
    let task = harness.task(&arns[0]).await;
    assert!(task["startedAt"].as_f64().unwrap() - task["createdAt"].as_f64().unwrap() >= 20.0);
    assert_eq!(task["group"], "service:s");
}

#[tokio::test]
async fn task_counts_lag_by_less_than_a_second() {
    let mut harness = Harness::with_service(1).await;
    let now = harness.clock.now();
    state::step(&mut harness.ecs.lock(), now);
    assert_eq!(harness.service().await["pendingCount"], 0);
    harness.advance_seconds(1, false);
    assert_eq!(harness.service().await["pendingCount"], 1);
}

#[tokio::test]
async fn a_new_task_definition_redeploys_and_a_new_count_does_not() {
    let mut harness = Harness::with_service(2).await;
    harness.advance_seconds(45, false);
    let first = harness.listed("RUNNING").await;
    let deployment = harness.service().await["deployments"][0]["id"].clone();
    harness.call("UpdateService", json!({"service": "s", "desiredCount": 3})).await.unwrap();
    assert_eq!(harness.service().await["deployments"][0]["id"], deployment);
    harness.advance_seconds(45, false);
    harness.register("generator").await;
    let updated =
        harness.call("UpdateService", json!({"service": "s", "taskDefinition": "f:2"})).await.unwrap();
    assert_eq!(updated["service"]["deployments"].as_array().unwrap().len(), 2);
    let running_counts = (0..90)
        .map(|_| {
            harness.advance_seconds(1, false);
            harness.running.len()
        })
        .collect::<Vec<_>>();
    assert!(
        running_counts.iter().all(|running| (3..=6).contains(running)),
        "never below the desired count: {running_counts:?}"
    );
    let service = harness.service().await;
    assert_eq!(service["deployments"].as_array().unwrap().len(), 1);
    assert_eq!(service["runningCount"], 3);
    assert!(service["taskDefinition"].as_str().unwrap().ends_with("f:2"));
    let after = harness.listed("RUNNING").await;
    assert!(first.iter().all(|arn| !after.contains(arn)));
}

#[tokio::test]
async fn a_deleted_service_drains_and_its_name_can_be_reused() {
    let mut harness = Harness::with_service(2).await;
    harness.advance_seconds(45, false);
    let early = harness.call("DeleteService", json!({"service": "s"})).await.unwrap_err();
    assert_eq!(early.message, "The service cannot be stopped while it is scaled above 0.");
    let protect = json!({"tasks": harness.listed("RUNNING").await, "protectionEnabled": true});
    harness.call("UpdateTaskProtection", protect).await.unwrap();
    let deleted = harness.call("DeleteService", json!({"service": "s", "force": true})).await.unwrap();
    assert_eq!(
        (&deleted["service"]["status"], &deleted["service"]["desiredCount"]),
        (&json!("DRAINING"), &json!(0))
    );
    let reuse = harness.create("s", 1).await.unwrap_err();
    assert_eq!(reuse.message, "Unable to Start a service that is still Draining.");
    let update = harness.call("UpdateService", json!({"service": "s", "desiredCount": 1})).await.unwrap_err();
    assert_eq!(update.code, "ServiceNotActiveException");
    harness.advance_seconds(15, false);
    assert!(harness.running.is_empty());
    assert_eq!(harness.service().await["status"], "INACTIVE");
    assert_eq!(harness.call("ListServices", json!({})).await.unwrap(), json!({"serviceArns": []}));
    harness.create("s", 0).await.unwrap();
    assert_eq!(harness.service().await["status"], "ACTIVE");
}

#[tokio::test]
async fn creation_is_idempotent_only_for_the_same_token_and_request() {
    let harness = Harness::new(100);
    harness.register("generator").await;
    let mut creation = Harness::creation("s", 1);
    creation["clientToken"] = json!("0b5a3c1e-7a51-4d2e-9d6e-3b1c2a4f5e6d");
    let first = harness.call("CreateService", creation.clone()).await.unwrap();
    let again = harness.call("CreateService", creation.clone()).await.unwrap();
    assert_eq!(first["service"]["serviceArn"], again["service"]["serviceArn"]);
    creation["desiredCount"] = json!(2);
    let error = harness.call("CreateService", creation).await.unwrap_err();
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("InvalidParameterException", "Creation of service was not idempotent.")
    );
}

#[tokio::test]
async fn services_are_validated_as_on_aws() {
    let harness = Harness::new(100);
    harness.register("generator").await;
    let changed_creation = |change: &dyn Fn(&mut Value)| {
        let mut creation = Harness::creation("s", 1);
        change(&mut creation);
        creation
    };
    let strategy = json!([{"capacityProvider": "FARGATE", "weight": 1}]);
    let cases: [(Value, &str, &str); 8] = [
        (
            changed_creation(&|c| c["taskDefinition"] = json!("none")),
            "ClientException",
            "TaskDefinition not found.",
        ),
        (
            changed_creation(&|c| c["cluster"] = json!("none")),
            "ClusterNotFoundException",
            "Cluster not found.",
        ),
        (
            changed_creation(&|c| c["networkConfiguration"] = Value::Null),
            "InvalidParameterException",
            "Network Configuration must be provided",
        ),
        (
            changed_creation(&|c| c["capacityProviderStrategy"] = strategy.clone()),
            "InvalidParameterException",
            "Specifying both a launch type",
        ),
        (changed_creation(&|c| c["desiredCount"] = json!(-1)), "InvalidParameterException", "negative"),
        (changed_creation(&|c| c["desiredCount"] = json!(5001)), "InvalidParameterException", "5000"),
        (changed_creation(&|c| c["clientToken"] = json!("x".repeat(37))), "InvalidParameterException", "36"),
        (
            changed_creation(&|c| {
                c["networkConfiguration"]["awsvpcConfiguration"]["subnets"] = json!(vec!["s"; 17])
            }),
            "InvalidParameterException",
            "16",
        ),
    ];
    for (creation, code, text) in cases {
        let error = harness.call("CreateService", creation).await.unwrap_err();
        assert_eq!(error.code, code);
        assert!(error.message.contains(text), "{}", error.message);
    }
}

//! Tasks: how they end, which of them a scale-in stops, and what they inherit.

use super::*;

#[tokio::test]
async fn an_exited_task_reports_its_reason_and_is_replaced() {
    let mut harness = Harness::with_service(2).await;
    harness.advance_seconds(45, false);
    let before = harness.listed("RUNNING").await;
    harness.exit(id(&before[0]), 1);
    harness.advance_seconds(2, false);
    let task = harness.task(&before[0]).await;
    assert_eq!(task["stopCode"], "EssentialContainerExited");
    assert_eq!(task["stoppedReason"], "Essential container in task exited");
    assert_eq!((&task["lastStatus"], &task["desiredStatus"]), (&json!("DEPROVISIONING"), &json!("STOPPED")));
    assert_eq!(task["containers"][0]["exitCode"], 1);
    assert_eq!(harness.listed("STOPPED").await, [before[0].clone()]);
    harness.advance_seconds(45, false);
    assert_eq!(harness.running.len(), 2);
    assert_eq!(harness.task(&before[0]).await["lastStatus"], "STOPPED");
    assert!(harness.task(&before[0]).await["stoppedAt"].is_number());
}

#[tokio::test]
async fn scale_in_skips_tasks_while_they_are_protected() {
    let mut harness = Harness::with_service(4).await;
    harness.advance_seconds(45, false);
    let arns = harness.listed("RUNNING").await;
    let protect = json!({"tasks": [arns[0], arns[2]], "protectionEnabled": true, "expiresInMinutes": 1});
    let response = harness.call("UpdateTaskProtection", protect).await.unwrap();
    assert_eq!(response["protectedTasks"].as_array().unwrap().len(), 2);
    assert!(response["protectedTasks"][0]["expirationDate"].is_number());
    harness.call("UpdateService", json!({"service": "s", "desiredCount": 1})).await.unwrap();
    harness.advance_seconds(20, false);
    assert_eq!(harness.listed("RUNNING").await, [arns[0].clone(), arns[2].clone()]);
    let stopped = harness.task(&arns[1]).await;
    assert_eq!(stopped["stopCode"], "ServiceSchedulerInitiated");
    assert!(
        stopped["stoppedReason"]
            .as_str()
            .unwrap()
            .starts_with("Scaling activity initiated by (deployment ecs-svc/")
    );
    harness.advance_seconds(45, false);
    assert_eq!(harness.listed("RUNNING").await.len(), 1);
}

#[tokio::test]
async fn a_task_ignoring_sigterm_is_killed_after_its_stop_timeout() {
    let mut harness = Harness::with_service(1).await;
    harness.advance_seconds(45, false);
    let arn = harness.listed("RUNNING").await.remove(0);
    harness.call("StopTask", json!({"task": arn, "reason": "enough"})).await.unwrap();
    let task = id(&arn).to_owned();
    let effects = harness.advance_seconds(29, true);
    assert_eq!(
        effects.iter().filter(|effect| **effect == Effect::Terminate { task: task.clone() }).count(),
        1
    );
    assert!(!effects.contains(&Effect::Kill { task: task.clone() }));
    assert_eq!(harness.task(&arn).await["lastStatus"], "STOPPING");
    assert!(harness.advance_seconds(3, true).contains(&Effect::Kill { task }));
    let stopped = harness.task(&arn).await;
    assert_eq!(
        (&stopped["stopCode"], &stopped["stoppedReason"]),
        (&json!("UserInitiated"), &json!("enough"))
    );
}

#[tokio::test]
async fn the_vcpu_quota_limits_the_number_of_tasks() {
    let mut harness = Harness::new(1);
    harness.register("generator").await;
    harness.create("s", 6).await.unwrap();
    harness.advance_seconds(45, false);
    assert_eq!(harness.running.len(), 4, "four tasks of a quarter vCPU fit into the quota");
    let events = harness.service().await["events"].clone();
    let quota_events = events
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["message"].as_str().unwrap().contains("limit on the number of vCPUs"));
    assert!((1..=3).contains(&quota_events.count()));
}

#[tokio::test]
async fn tags_propagate_to_tasks_as_configured() {
    let mut harness = Harness::new(100);
    harness.register("generator").await;
    let mut creation = Harness::creation("s", 1);
    creation["propagateTags"] = json!("SERVICE");
    creation["enableECSManagedTags"] = json!(true);
    creation["tags"] = json!([{"key": "kinesisdemo.io/owner", "value": "x"}]);
    harness.call("CreateService", creation).await.unwrap();
    harness.advance_seconds(2, false);
    let arns = harness.listed("RUNNING").await;
    let task =
        harness.call("DescribeTasks", json!({"tasks": arns, "include": ["TAGS"]})).await.unwrap()["tasks"][0]
            .clone();
    assert_eq!(
        task["tags"],
        json!([{"key": "aws:ecs:clusterName", "value": "demo"}, {"key": "aws:ecs:serviceName", "value": "s"},
            {"key": "kinesisdemo.io/owner", "value": "x"}])
    );
    let arn = json!({"resourceArn": "arn:aws:ecs:us-east-1:000000000000:service/demo/s"});
    assert_eq!(
        harness.call("ListTagsForResource", arn).await.unwrap()["tags"][0]["key"],
        "kinesisdemo.io/owner"
    );
}

#[tokio::test]
async fn stopped_tasks_are_removed_after_an_hour() {
    let mut harness = Harness::with_service(1).await;
    harness.advance_seconds(45, false);
    let arn = harness.listed("RUNNING").await.remove(0);
    harness.call("StopTask", json!({"task": arn})).await.unwrap();
    harness.advance_seconds(15, false);
    harness.clock.advance(std::time::Duration::from_secs(3590));
    assert_eq!(harness.task(&arn).await["lastStatus"], "STOPPED");
    harness.clock.advance(std::time::Duration::from_secs(60));
    harness.advance_seconds(1, false);
    let response = harness.call("DescribeTasks", json!({"tasks": [arn]})).await.unwrap();
    assert_eq!(response["failures"][0]["reason"], "MISSING");
}

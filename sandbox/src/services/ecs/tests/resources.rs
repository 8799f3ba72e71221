//! Clusters and task definitions.

use super::*;

#[tokio::test]
async fn only_empty_clusters_can_be_deleted() {
    let mut harness = Harness::with_service(1).await;
    harness.advance_seconds(45, false);
    let rejected = harness.call("DeleteCluster", json!({})).await.unwrap_err();
    assert_eq!(rejected.code, "ClusterContainsServicesException");
    harness.call("DeleteService", json!({"service": "s", "force": true})).await.unwrap();
    let rejected = harness.call("DeleteCluster", json!({})).await.unwrap_err();
    assert_eq!(rejected.code, "ClusterContainsTasksException");
    harness.advance_seconds(30, false);
    assert_eq!(harness.call("DeleteCluster", json!({})).await.unwrap()["cluster"]["status"], "INACTIVE");
    let described = harness.call("DescribeClusters", json!({"clusters": ["demo", "none"]})).await.unwrap();
    assert_eq!(described["clusters"][0]["status"], "INACTIVE");
    assert_eq!(described["failures"][0]["reason"], "MISSING");
}

#[tokio::test]
async fn task_definition_revisions_are_deregistered_then_deleted() {
    let harness = Harness::new(100);
    harness.register("a").await;
    harness.register("b").await;
    let newest = harness
        .call("DescribeTaskDefinition", json!({"taskDefinition": "f", "include": ["TAGS"]}))
        .await
        .unwrap();
    assert_eq!(newest["taskDefinition"]["revision"], 2);
    assert_eq!(newest["tags"], json!([{"key": "from", "value": "definition"}]));
    let active = harness.call("DeleteTaskDefinitions", json!({"taskDefinitions": ["f:2"]})).await.unwrap();
    assert!(active["failures"][0]["reason"].as_str().unwrap().contains("still in ACTIVE status"));
    let deregistered =
        harness.call("DeregisterTaskDefinition", json!({"taskDefinition": "f:2"})).await.unwrap();
    assert_eq!(deregistered["taskDefinition"]["status"], "INACTIVE");
    let inactive = harness.call("CreateService", {
        let mut creation = Harness::creation("s", 0);
        creation["taskDefinition"] = json!("f:2");
        creation
    });
    assert_eq!(inactive.await.unwrap_err().message, "TaskDefinition is inactive");
    let deleted = harness.call("DeleteTaskDefinitions", json!({"taskDefinitions": ["f:2"]})).await.unwrap();
    assert_eq!(deleted["taskDefinitions"][0]["status"], "DELETE_IN_PROGRESS");
    let now = harness.clock.now();
    state::step(&mut harness.ecs.lock(), now);
    let missing = harness.call("DescribeTaskDefinition", json!({"taskDefinition": "f:2"})).await.unwrap_err();
    assert_eq!(missing.message, "Unable to describe task definition.");
    harness.register("c").await;
    let newest = harness.call("DescribeTaskDefinition", json!({"taskDefinition": "f"})).await.unwrap();
    assert_eq!(newest["taskDefinition"]["revision"], 3, "revisions are never reused");
}

//! Resources by ARN: the caller's own are found; others are rejected.

use super::*;

const OWN: &str = "arn:aws:ecs:us-east-1:000000000000";

#[tokio::test]
async fn own_resources_are_found_by_arn() {
    let harness = Harness::with_service(1).await;
    let cluster = format!("{OWN}:cluster/demo");
    let described = harness.call("DescribeClusters", json!({"clusters": [cluster]})).await.unwrap();
    assert_eq!(described["clusters"][0]["clusterName"], "demo");
    for service in [format!("{OWN}:service/demo/s"), format!("{OWN}:service/s"), "s".to_owned()] {
        let input = json!({"cluster": cluster, "services": [service]});
        let described = harness.call("DescribeServices", input).await.unwrap();
        assert_eq!(described["services"][0]["serviceName"], "s", "{service}");
    }
    let definition = json!({"taskDefinition": format!("{OWN}:task-definition/f:1")});
    let described = harness.call("DescribeTaskDefinition", definition).await.unwrap();
    assert_eq!(described["taskDefinition"]["revision"], 1);
}

#[tokio::test]
async fn foreign_arns_are_rejected_in_every_operation() {
    let harness = Harness::with_service(1).await;
    let elsewhere = "Invalid Region in ARN";
    let other_account =
        "Invalid identifier: Identifier is for account 111111111111. Your account is 000000000000";
    let other_cluster = "Invalid identifier: Identifier is for cluster other. Your cluster is demo";
    let separators = "Invalid identifier: Unexpected number of separators";
    let of =
        |region: &str, account: &str, resource: &str| format!("arn:aws:ecs:{region}:{account}:{resource}");
    let own = |resource: &str| format!("{OWN}:{resource}");
    let cases = [
        (
            "DescribeClusters",
            json!({"clusters": [of("eu-west-1", "000000000000", "cluster/demo")]}),
            elsewhere,
        ),
        (
            "DescribeClusters",
            json!({"clusters": [of("us-east-1", "111111111111", "cluster/demo")]}),
            other_account,
        ),
        ("DescribeClusters", json!({"clusters": [own("service/demo/s")]}), separators),
        ("DeleteCluster", json!({"cluster": of("eu-west-1", "000000000000", "cluster/demo")}), elsewhere),
        (
            "DescribeServices",
            json!({"cluster": of("eu-west-1", "000000000000", "cluster/demo"), "services": ["s"]}),
            elsewhere,
        ),
        ("DescribeServices", json!({"cluster": own("service/demo/s"), "services": ["s"]}), separators),
        (
            "DescribeServices",
            json!({"cluster": own("service/demo"), "services": ["s"]}),
            "Invalid identifier: Identifier is for service, and a cluster is expected",
        ),
        ("DescribeServices", json!({"services": [own("service/other/s")]}), other_cluster),
        (
            "DescribeServices",
            json!({"services": ["arn:aws:ssm:us-east-1:000000000000:service/demo/s"]}),
            "Invalid identifier: Identifier is for service aws:ssm",
        ),
        ("UpdateService", json!({"service": own("service/other/s"), "desiredCount": 1}), other_cluster),
        ("DeleteService", json!({"service": own("service/other/s"), "force": true}), other_cluster),
        ("ListTasks", json!({"serviceName": own("service/other/s")}), other_cluster),
        ("DescribeTasks", json!({"tasks": [own("task/other/0123")]}), other_cluster),
        ("StopTask", json!({"task": own("task/other/0123")}), other_cluster),
        ("GetTaskProtection", json!({"tasks": [own("task/other/0123")]}), other_cluster),
        (
            "DescribeTaskDefinition",
            json!({"taskDefinition": of("eu-west-1", "000000000000", "task-definition/f:1")}),
            elsewhere,
        ),
        (
            "DeregisterTaskDefinition",
            json!({"taskDefinition": of("us-east-1", "111111111111", "task-definition/f:1")}),
            other_account,
        ),
        (
            "UpdateService",
            json!({"service": "s", "taskDefinition": of("eu-west-1", "000000000000", "task-definition/f:1")}),
            elsewhere,
        ),
    ];
    for (operation, input, message) in cases {
        let rejected = harness.call(operation, input.clone()).await.unwrap_err();
        assert_eq!(rejected, AwsError::client("InvalidParameterException", message), "{operation} {input}");
    }
}

//! The first run of an account. AWS creates its service-linked roles and sees recently created
//! resources only after a delay. Each call first fails with AWS's own error text, and the run
//! succeeds.

use std::time::Duration;

use kinesis_demo_api::{KinesisDemo, Stage};
use kinesis_demo_testing::totals::assert_balanced;
use serde_json::json;

use crate::local_stack::{LocalStack, shared_permit};

/// Service, operation, code and message of errors that soon disappear.
const TRANSIENT: [(&str, &str, &str, &str); 6] = [
    (
        "ecs",
        "CreateService",
        "InvalidParameterException",
        "Unable to assume the service linked role. Please verify that the ECS service linked role exists.",
    ),
    (
        "application-autoscaling",
        "RegisterScalableTarget",
        "ValidationException",
        "Unable to assume IAM role: arn:aws:iam::000000000000:role/aws-service-role/ecs.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_ECSService",
    ),
    (
        "application-autoscaling",
        "PutScheduledAction",
        "ObjectNotFoundException",
        "No scalable target registered for service namespace: ecs, resource ID: service/kinesis-demo/kd, scalable dimension: ecs:service:DesiredCount",
    ),
    (
        "logs",
        "PutRetentionPolicy",
        "OperationAbortedException",
        "A conflicting operation is currently in progress against this resource. Please try again.",
    ),
    (
        "sts",
        "GetCallerIdentity",
        "InvalidIdentityToken",
        "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements",
    ),
    ("kinesis", "CreateStream", "LimitExceededException", "Rate exceeded for account 000000000000."),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_run_of_an_account_succeeds() {
    let Some(_permit) = shared_permit().await else { return };
    let stack = LocalStack::start().await;
    for (service, operation, code, message) in TRANSIENT {
        let fault = json!({
            "service": service, "operation": operation, "kind": "Error", "times": 2, "status": 400,
            "code": code, "message": message,
        });
        stack.sandbox.add_fault(&fault).await.unwrap();
    }
    let manifest = json!({
        "apiVersion": "kinesisdemo.io/v1alpha1",
        "kind": "KinesisDemo",
        "metadata": { "name": "first" },
        "spec": { "phases": [{ "name": "only", "duration": "10s", "recordsPerSecond": 100 }] },
    });
    stack.demos.apply("first", &manifest).await.unwrap();
    let over = |demo: &KinesisDemo| {
        demo.status.as_ref().and_then(|status| status.stage).is_some_and(Stage::is_terminal)
    };
    let status = stack.wait("first", Duration::from_secs(180), over).await.status.unwrap();
    assert_eq!(status.stage, Some(Stage::Succeeded), "{:#?}", status.run);
    let totals = status.traffic.unwrap().totals;
    assert_balanced(&totals);
    assert_eq!((totals.scheduled, totals.accepted), (1_000, 1_000));
    assert_eq!(
        stack.sandbox.fetch_faults().await.unwrap(),
        json!({"faults": []}),
        "a fault was not hit twice"
    );
    assert_eq!(stack.leaked_resources().await, [] as [&str; 0]);
    stack.stop().await;
}

//! ECS: clusters and services without tasks.

use kinesis_demo_operator::aws::{
    AwsError, AwsErrorClass, NewService, ServiceDescription, ServiceState, TaskState,
};

use super::Arm;
use super::fixtures::{
    CLUSTER, SERVICE, a_definition, a_service, arn, assert_refused, aws, create_service, refusal, resize,
    service, tags,
};
use super::waiting::{seconds, wait_until};

fn cluster_not_found(operation: &'static str) -> AwsError {
    let (class, code) = (AwsErrorClass::NotFound, "ClusterNotFoundException");
    refusal(class, operation, SERVICE, code, "Cluster not found.")
}

fn service_not_found(operation: &'static str) -> AwsError {
    let (class, code) = (AwsErrorClass::NotFound, "ServiceNotFoundException");
    refusal(class, operation, SERVICE, code, "Service not found.")
}

fn service_not_active() -> AwsError {
    let (class, code) = (AwsErrorClass::NotFound, "ServiceNotActiveException");
    refusal(class, "UpdateService", SERVICE, code, "Service was not ACTIVE.")
}

pub(super) async fn clusters_are_active_or_missing(arm: &dyn Arm) {
    let services = aws(arm).services;
    assert!(services.fetch_cluster_is_active(CLUSTER).await.unwrap());
    assert!(!services.fetch_cluster_is_active("none").await.unwrap());
    assert_refused(services.fetch_service("none", SERVICE).await, cluster_not_found("DescribeServices"));
}

pub(super) async fn a_service_is_created_without_tasks(arm: &dyn Arm) {
    let aws = aws(arm);
    assert_eq!(aws.services.fetch_service(CLUSTER, SERVICE).await.unwrap(), None);
    create_service(arm).await;
    let steady = "(service kd-service) has reached a steady state.";
    let is_steady = async || service(arm).await.last_event.as_deref() == Some(steady);
    wait_until(arm, "the service is steady", is_steady).await;
    let expected = ServiceDescription {
        arn: arn("ecs", "service/default/kd-service"),
        state: ServiceState::Active,
        desired: 0,
        running: 0,
        pending: 0,
        tags: tags("ns/demo"),
        last_event: Some(steady.to_owned()),
    };
    assert_eq!(service(arm).await, expected);
    assert_eq!(aws.tasks.fetch_tasks(CLUSTER, SERVICE).await.unwrap(), []);
}

pub(super) async fn a_repeated_creation_needs_the_same_request_and_token(arm: &dyn Arm) {
    create_service(arm).await;
    let services = aws(arm).services;
    services.create_service(&a_service()).await.unwrap();
    for other in [
        NewService { client_token: "another".to_owned(), ..a_service() },
        NewService { subnets: vec!["subnet-3".to_owned()], ..a_service() },
        NewService { tags: tags("ns/other"), ..a_service() },
    ] {
        let (class, code) = (AwsErrorClass::AlreadyExists, "InvalidParameterException");
        let message = "Creation of service was not idempotent.";
        let expected = refusal(class, "CreateService", SERVICE, code, message);
        assert_refused(services.create_service(&other).await, expected);
    }
    // A request that was seen before needs its task definition still.
    let definition = arn("ecs", "task-definition/kd-family:1");
    aws(arm).task_definitions.deregister_task_definition(&definition).await.unwrap();
    assert_refused(services.create_service(&a_service()).await, definition_not_found());
}

fn definition_not_found() -> AwsError {
    let (class, code) = (AwsErrorClass::Transient, "ClientException");
    refusal(class, "CreateService", SERVICE, code, "TaskDefinition not found.")
}

pub(super) async fn a_creation_is_checked(arm: &dyn Arm) {
    let aws = aws(arm);
    let error = aws.services.create_service(&a_service()).await.unwrap_err();
    assert!(error.is_not_seen_yet(), "{error:?}");
    assert_eq!(error, definition_not_found());
    aws.task_definitions.register_task_definition(&a_definition(arm.now())).await.unwrap();
    let elsewhere = NewService { cluster: "none".to_owned(), ..a_service() };
    assert_refused(aws.services.create_service(&elsewhere).await, cluster_not_found("CreateService"));
    for (service, message) in [
        (
            NewService { client_token: "t".repeat(37), ..a_service() },
            "clientToken can have up to 36 ASCII characters.",
        ),
        (NewService { subnets: Vec::new(), ..a_service() }, "subnets can not be empty."),
        (
            NewService { name: "a b".to_owned(), ..a_service() },
            "Service name can only contain up to 255 letters, numbers, hyphens, and underscores.",
        ),
    ] {
        let (class, code) = (AwsErrorClass::Invalid, "InvalidParameterException");
        let expected = refusal(class, "CreateService", &service.name, code, message);
        assert_refused(aws.services.create_service(&service).await, expected);
    }
    assert_eq!(aws.services.fetch_service(CLUSTER, SERVICE).await.unwrap(), None);
}

pub(super) async fn only_an_active_service_can_be_resized(arm: &dyn Arm) {
    let services = aws(arm).services;
    let resized = services.resize_service(CLUSTER, SERVICE, 1).await;
    assert_refused(resized, service_not_found("UpdateService"));
    let resized = services.resize_service("none", SERVICE, 1).await;
    assert_refused(resized, cluster_not_found("UpdateService"));
    create_service(arm).await;
    let (class, code) = (AwsErrorClass::Invalid, "InvalidParameterException");
    let above = refusal(class, "UpdateService", SERVICE, code, "desiredCount cannot be above 5000.");
    assert_refused(services.resize_service(CLUSTER, SERVICE, 5_001).await, above);
    assert_eq!(service(arm).await.desired, 0);
    resize(arm, 2).await;
    assert_eq!(service(arm).await.desired, 2);
    services.delete_service(CLUSTER, SERVICE).await.unwrap();
    assert_refused(services.resize_service(CLUSTER, SERVICE, 1).await, service_not_active());
    let inactive = async || service(arm).await.state == ServiceState::Inactive;
    wait_until(arm, "the service is inactive", inactive).await;
    assert_refused(services.resize_service(CLUSTER, SERVICE, 1).await, service_not_active());
}

pub(super) async fn a_deleted_service_becomes_inactive_and_is_forgotten(arm: &dyn Arm) {
    let services = aws(arm).services;
    let delete = async |cluster: &str| services.delete_service(cluster, SERVICE).await;
    assert_refused(delete(CLUSTER).await, service_not_found("DeleteService"));
    assert_refused(delete("none").await, cluster_not_found("DeleteService"));
    create_service(arm).await;
    delete(CLUSTER).await.unwrap();
    let inactive = async || service(arm).await.state == ServiceState::Inactive;
    wait_until(arm, "the service is inactive", inactive).await;
    assert_refused(delete(CLUSTER).await, service_not_found("DeleteService"));
    let counts = |service: ServiceDescription| (service.desired, service.running, service.pending);
    assert_eq!(counts(service(arm).await), (0, 0, 0));

    // Its name and its token can be used again.
    services.create_service(&a_service()).await.unwrap();
    assert_eq!(service(arm).await.state, ServiceState::Active);
    delete(CLUSTER).await.unwrap();
    wait_until(arm, "the service is inactive", inactive).await;
    arm.let_time_pass(seconds(3_600)).await;
    wait_until(arm, "the service is forgotten", async || {
        services.fetch_service(CLUSTER, SERVICE).await.unwrap().is_none()
    })
    .await;
    let tasks = aws(arm).tasks.fetch_tasks(CLUSTER, SERVICE).await.unwrap();
    assert!(tasks.iter().all(|task| task.state == TaskState::Stopped), "{tasks:?}");
}

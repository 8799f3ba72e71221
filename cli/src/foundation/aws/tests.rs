//! Tests the translation of AWS responses in the shapes of the services.

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::operation::create_stack::CreateStackOutput;
use aws_sdk_cloudformation::operation::describe_events::DescribeEventsOutput;
use aws_sdk_cloudformation::operation::describe_stack_events::DescribeStackEventsOutput;
use aws_sdk_cloudformation::operation::describe_stacks::DescribeStacksOutput;
use aws_sdk_cloudformation::operation::list_stack_resources::ListStackResourcesOutput;
use aws_sdk_cloudformation::types::{OperationEvent, Output, StackResourceSummary, StackStatus};
use aws_sdk_ecs::operation::describe_services::DescribeServicesOutput;
use aws_sdk_ecs::operation::describe_tasks::DescribeTasksOutput;
use aws_sdk_ecs::operation::list_services::ListServicesOutput;
use aws_sdk_ecs::operation::list_tasks::ListTasksOutput;
use aws_sdk_ecs::types::{Service, Task};
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::*;

const ID: &str = "arn:aws:cloudformation:us-east-1:111122223333:stack/kinesis-demo/1";

/// An error response in the query protocol.
fn error_response(status: u16, code: &str, message: &str) -> HttpResponse {
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    );
    HttpResponse::new(status.try_into().unwrap(), body.into())
}

/// An error response in ECS's JSON protocol.
fn json_error_response(code: &str) -> HttpResponse {
    let body = format!(r#"{{"__type":"{code}","message":"no"}}"#);
    HttpResponse::new(400.try_into().unwrap(), body.into())
}

fn cloudformation(rules: &[&Rule]) -> CloudFormation {
    CloudFormation(mock_client!(aws_sdk_cloudformation, RuleMode::Sequential, rules))
}

#[tokio::test]
async fn fetch_reads_a_stack_and_returns_none_if_absent() {
    let present = mock!(Client::describe_stacks)
        .match_requests(|request| request.stack_name() == Some("kinesis-demo"))
        .then_output(|| {
            let output = Output::builder().output_key("HelmValues").output_value("image: {}\n").build();
            let stack = types::Stack::builder()
                .stack_name("kinesis-demo")
                .stack_id(ID)
                .stack_status(StackStatus::CreateComplete)
                .stack_status_reason("")
                .creation_time(DateTime::from_secs(1_763_892_000))
                .parameters(Parameter::builder().parameter_key("Network").parameter_value("Public").build())
                .outputs(output)
                .tags(Tag::builder().key("team").value("media").build())
                .build();
            DescribeStacksOutput::builder().stacks(stack).build()
        });
    let absent = mock!(Client::describe_stacks).then_http_response(|| {
        error_response(400, "ValidationError", "Stack with id kinesis-demo does not exist")
    });
    let stacks = cloudformation(&[&present, &absent]);
    let stack = stacks.fetch("kinesis-demo").await.unwrap().unwrap();
    assert_eq!(
        stack,
        Stack {
            name: "kinesis-demo".into(),
            id: ID.into(),
            status: "CREATE_COMPLETE".into(),
            changed_at: Some("2025-11-23T10:00:00Z".parse().unwrap()),
            parameters: [("Network".into(), "Public".into())].into(),
            outputs: [("HelmValues".into(), "image: {}\n".into())].into(),
            tags: [("team".into(), "media".into())].into(),
            ..Stack::default()
        }
    );
    assert_eq!(stacks.fetch("kinesis-demo").await.unwrap(), None);
}

#[tokio::test]
async fn fetch_events_stops_at_the_known_event() {
    let page = |ids: &[&str], next: Option<&str>| {
        let events = ids.iter().map(|id| types::StackEvent::builder().event_id(*id).build()).collect();
        DescribeStackEventsOutput::builder()
            .set_stack_events(Some(events))
            .set_next_token(next.map(Into::into))
            .build()
    };
    let newest = mock!(Client::describe_stack_events).then_output(move || page(&["5", "4"], Some("more")));
    let older = mock!(Client::describe_stack_events)
        .match_requests(|request| request.next_token() == Some("more"))
        .then_output(move || page(&["3", "2"], Some("even more")));
    let stacks = cloudformation(&[&newest, &older]);
    let events = stacks.fetch_events(ID, Some("2")).await.unwrap();
    let ids: Vec<&str> = events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids, ["3", "4", "5"]);
}

#[tokio::test]
async fn fetch_invalid_returns_the_last_operations_errors() {
    let found = |operation: &str, at: i64, name: &str| {
        OperationEvent::builder()
            .operation_id(operation)
            .event_type(EventType::ValidationError)
            .timestamp(DateTime::from_secs(at))
            .logical_resource_id(name)
            .resource_type("AWS::ECR::Repository")
            .validation_status_reason("it already exists")
            .build()
    };
    let rule = mock!(Client::describe_events)
        .match_requests(|request| request.filters().and_then(|filter| filter.failed_events()) == Some(true))
        .then_output(move || {
            let whole = OperationEvent::builder().operation_id("2").event_type(EventType::StackEvent).build();
            DescribeEventsOutput::builder()
                .operation_events(found("1", 10, "Old"))
                .operation_events(found("2", 20, "GeneratorRepository"))
                .operation_events(whole)
                .build()
        });
    assert_eq!(
        cloudformation(&[&rule]).fetch_invalid(ID).await.unwrap(),
        ["GeneratorRepository (AWS::ECR::Repository): it already exists"]
    );
}

#[tokio::test]
async fn create_sends_every_option() {
    let created = mock!(Client::create_stack).then_compute_output(|request| {
        assert_eq!(request.stack_name(), Some("kinesis-demo"));
        assert_eq!(request.template_body(), Some(template::BODY));
        assert_eq!(request.on_failure(), Some(&OnFailure::Delete));
        assert_eq!(request.capabilities(), [Capability::CapabilityIam]);
        assert!(request.client_request_token().unwrap().starts_with("kinesisdemo-"));
        let [parameter] = request.parameters() else { panic!("{:?}", request.parameters()) };
        assert_eq!(
            (parameter.parameter_key(), parameter.parameter_value()),
            (Some("Network"), Some("Public"))
        );
        assert_eq!(request.tags().len(), 1);
        CreateStackOutput::builder().stack_id(ID).build()
    });
    let desired = DesiredStack {
        parameters: vec![("Network".into(), Some("Public".into()))],
        tags: [("team".into(), "media".into())].into(),
    };
    assert_eq!(cloudformation(&[&created]).create("kinesis-demo", &desired).await.unwrap(), ID);
}

#[tokio::test]
async fn only_an_update_without_changes_is_not_an_error() {
    let nothing = mock!(Client::update_stack)
        .match_requests(|request| request.parameters()[0].use_previous_value() == Some(true))
        .then_http_response(|| error_response(400, "ValidationError", "No updates are to be performed."));
    let wrong = mock!(Client::update_stack).then_http_response(|| {
        error_response(400, "ValidationError", "OperatorTrust Irsa needs OidcProviderArn.")
    });
    let denied = mock!(Client::delete_stack)
        .then_http_response(|| error_response(403, "AccessDenied", "User: x is not authorized"));
    let expired =
        mock!(Client::delete_stack).then_http_response(|| error_response(403, "ExpiredToken", "expired"));
    let stacks = cloudformation(&[&nothing, &wrong, &denied, &expired]);
    let desired = DesiredStack { parameters: vec![("Network".into(), None)], ..DesiredStack::default() };
    assert_eq!(stacks.update(ID, &desired).await.unwrap(), Update::NothingToChange);
    let error = stacks.update(ID, &desired).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "could not update the stack: OperatorTrust Irsa needs OidcProviderArn. (ValidationError)"
    );
    assert_eq!(error.next_step(), None);
    assert!(stacks.delete(ID).await.unwrap_err().next_step().unwrap().contains("request this permission"));
    assert!(stacks.delete(ID).await.unwrap_err().next_step().unwrap().contains("export-credentials"));
}

#[tokio::test]
async fn fetch_cluster_returns_the_stacks_existing_cluster() {
    let listed = |status: ResourceStatus| {
        let resource = |type_: &str, status: ResourceStatus| {
            StackResourceSummary::builder()
                .logical_resource_id("x")
                .resource_type(type_)
                .physical_resource_id(format!("the {type_}"))
                .resource_status(status)
                .last_updated_timestamp(DateTime::from_secs(0))
                .build()
        };
        ListStackResourcesOutput::builder()
            .stack_resource_summaries(resource("AWS::EC2::VPC", ResourceStatus::CreateComplete))
            .stack_resource_summaries(resource("AWS::ECS::Cluster", status))
            .build()
    };
    for (status, expected) in [
        (ResourceStatus::CreateComplete, Some("the AWS::ECS::Cluster")),
        (ResourceStatus::DeleteFailed, Some("the AWS::ECS::Cluster")),
        (ResourceStatus::DeleteComplete, None),
        (ResourceStatus::CreateFailed, None),
    ] {
        let rule = mock!(Client::list_stack_resources).then_output(move || listed(status.clone()));
        let found = cloudformation(&[&rule]).fetch_cluster(ID).await.unwrap();
        assert_eq!(found.as_deref(), expected);
    }
}

#[tokio::test]
async fn fetch_live_names_services_and_tasks_not_stopped() {
    use aws_sdk_ecs::Client;

    let services = mock!(Client::list_services)
        .then_output(|| ListServicesOutput::builder().service_arns("arn:1").service_arns("arn:2").build());
    let described = mock!(Client::describe_services)
        .match_requests(|request| request.services() == ["arn:1", "arn:2"])
        .then_output(|| {
            let service =
                |name: &str, status: &str| Service::builder().service_name(name).status(status).build();
            DescribeServicesOutput::builder()
                .services(service("kd-viral", "ACTIVE"))
                .services(service("kd-inactive", "INACTIVE"))
                .build()
        });
    let running = mock!(Client::list_tasks)
        .match_requests(|request| request.desired_status() == Some(&DesiredStatus::Running))
        .then_output(|| ListTasksOutput::builder().build());
    let stopping = mock!(Client::list_tasks)
        .match_requests(|request| request.desired_status() == Some(&DesiredStatus::Stopped))
        .then_output(|| ListTasksOutput::builder().task_arns("a").task_arns("b").build());
    let tasks = mock!(Client::describe_tasks).then_output(|| {
        let task = |id: &str, status: &str| {
            Task::builder()
                .task_arn(format!("arn:aws:ecs:us-east-1:111122223333:task/kinesis-demo/{id}"))
                .group("service:kd-old")
                .last_status(status)
                .build()
        };
        DescribeTasksOutput::builder().tasks(task("a", "DEPROVISIONING")).tasks(task("b", "STOPPED")).build()
    });
    let rules = [&services, &described, &running, &stopping, &tasks];
    let services = Ecs(mock_client!(aws_sdk_ecs, RuleMode::Sequential, &rules));
    assert_eq!(
        services.fetch_live("kinesis-demo").await.unwrap(),
        ["service kd-viral (ACTIVE)", "task a of service:kd-old (DEPROVISIONING)"]
    );
}

#[tokio::test]
async fn fetch_live_is_empty_if_the_cluster_does_not_exist() {
    use aws_sdk_ecs::Client;

    let not_found = || json_error_response("ClusterNotFoundException");
    let services = mock!(Client::list_services).then_http_response(not_found);
    let running = mock!(Client::list_tasks).then_http_response(not_found);
    let stopping = mock!(Client::list_tasks).then_http_response(not_found);
    let rules = [&services, &running, &stopping];
    let services = Ecs(mock_client!(aws_sdk_ecs, RuleMode::Sequential, &rules));
    assert_eq!(services.fetch_live("kinesis-demo").await.unwrap(), Vec::<String>::new());
}

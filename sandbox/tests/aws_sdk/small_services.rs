//! Tests of Systems Manager parameters, logs, STS and Application Auto Scaling through the SDK:
//! shapes and error types. Unit tests in `src` cover their rules.

use aws_sdk_applicationautoscaling::types::{ScalableDimension, ScalableTargetAction, ServiceNamespace};
use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use aws_sdk_ecs::types::{AwsVpcConfiguration, LaunchType, NetworkConfiguration};
use aws_sdk_ssm::error::ProvideErrorMetadata as _;
use aws_sdk_ssm::types::{ParameterType, ResourceTypeForTagging, Tag};
use kinesis_demo_sandbox::Options;

use crate::ecs_harness::{EcsHarness, IMAGE};
use crate::test_sandbox::{TestSandbox, config};

#[tokio::test]
async fn the_caller_identity_is_the_sandboxs_account() {
    let sandbox = TestSandbox::start().await;
    let client = aws_sdk_sts::Client::new(&config(&sandbox.running, "us-east-1").await);
    let identity = client.get_caller_identity().send().await.unwrap();
    assert_eq!(identity.account(), Some("000000000000"));
    assert_eq!(identity.arn(), Some("arn:aws:iam::000000000000:user/sandbox"));
    sandbox.running.stop().await;
}

#[tokio::test]
async fn parameters_are_written_read_tagged_and_deleted() {
    let sandbox = TestSandbox::start().await;
    let client = aws_sdk_ssm::Client::new(&config(&sandbox.running, "us-east-1").await);
    let put = || client.put_parameter().name("/demo/control").value("{}").r#type(ParameterType::String);
    assert_eq!(put().send().await.unwrap().version(), 1);
    let again = put().send().await.unwrap_err().into_service_error();
    assert!(again.is_parameter_already_exists());
    assert_eq!(put().overwrite(true).send().await.unwrap().version(), 2);
    let got = client.get_parameter().name("/demo/control").send().await.unwrap();
    let modified = got.parameter().unwrap().last_modified_date().unwrap().to_millis().unwrap();
    assert!((modified - sandbox.clock.moment().wall.as_millisecond()).abs() < 1000);
    // AWS allows three puts per second.
    sandbox.advance(1);
    let large =
        client.put_parameter().name("/demo/large").value("x".repeat(4097)).r#type(ParameterType::String);
    assert_eq!(large.send().await.unwrap_err().into_service_error().code(), Some("ValidationException"));
    let tag = Tag::builder().key("run").value("7").build().unwrap();
    client
        .add_tags_to_resource()
        .resource_type(ResourceTypeForTagging::Parameter)
        .resource_id("/demo/control")
        .tags(tag.clone())
        .send()
        .await
        .unwrap();
    let tags = client
        .list_tags_for_resource()
        .resource_type(ResourceTypeForTagging::Parameter)
        .resource_id("/demo/control")
        .send()
        .await
        .unwrap();
    assert_eq!(tags.tag_list(), [tag]);
    client.delete_parameter().name("/demo/control").send().await.unwrap();
    let missing = client.get_parameter().name("/demo/control").send().await.unwrap_err().into_service_error();
    assert!(missing.is_parameter_not_found());
    sandbox.running.stop().await;
}

#[tokio::test]
async fn log_events_are_written_searched_and_followed() {
    let sandbox = TestSandbox::start().await;
    let client = aws_sdk_cloudwatchlogs::Client::new(&config(&sandbox.running, "us-east-1").await);
    let early = client.create_log_stream().log_group_name("/demo").log_stream_name("s").send().await;
    assert!(early.unwrap_err().into_service_error().is_resource_not_found_exception());
    client.create_log_group().log_group_name("/demo").tags("run", "7").send().await.unwrap();
    client.create_log_stream().log_group_name("/demo").log_stream_name("s").send().await.unwrap();
    let now = sandbox.clock.moment().wall.as_millisecond();
    let event = |message: &str| InputLogEvent::builder().timestamp(now).message(message).build().unwrap();
    let put = client.put_log_events().log_group_name("/demo").log_stream_name("s");
    put.log_events(event("ledger 1")).log_events(event("noise")).send().await.unwrap();
    let search =
        || client.filter_log_events().log_group_name("/demo").filter_pattern("ledger").start_time(now);
    assert!(search().send().await.unwrap().events().is_empty(), "events are searchable only after a delay");
    sandbox.advance(3);
    let found = search().send().await.unwrap();
    assert_eq!(found.events()[0].message(), Some("ledger 1"));
    assert_eq!(found.events()[0].log_stream_name(), Some("s"));
    let follow = client.get_log_events().log_group_name("/demo").log_stream_name("s").start_from_head(true);
    let first = follow.clone().send().await.unwrap();
    assert_eq!(first.events().len(), 2);
    let end = follow.next_token(first.next_forward_token().unwrap()).send().await.unwrap();
    assert_eq!(end.next_forward_token(), first.next_forward_token());
    sandbox.running.stop().await;
}

#[tokio::test]
async fn scaling_a_missing_service_is_an_error() {
    let sandbox = TestSandbox::start().await;
    let client = aws_sdk_applicationautoscaling::Client::new(&config(&sandbox.running, "us-east-1").await);
    let register = client
        .register_scalable_target()
        .service_namespace(ServiceNamespace::Ecs)
        .resource_id("service/demo/none")
        .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
        .min_capacity(0)
        .max_capacity(1);
    let error = register.send().await.unwrap_err().into_service_error();
    assert!(error.is_validation_exception(), "{error:?}");
    let deregister = client
        .deregister_scalable_target()
        .service_namespace(ServiceNamespace::Ecs)
        .resource_id("service/demo/none")
        .scalable_dimension(ScalableDimension::EcsServiceDesiredCount);
    let error = deregister.send().await.unwrap_err().into_service_error();
    assert!(error.is_object_not_found_exception(), "{error:?}");
    sandbox.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_retries_succeeds_in_a_fresh_account() {
    let harness = EcsHarness::start_with(Options {
        images: vec![(IMAGE.into(), "/bin/true".into())],
        is_fresh_account: true,
        ..Options::default()
    })
    .await;
    harness.register(IMAGE, "x").await;
    let vpc = AwsVpcConfiguration::builder().subnets("subnet-1").build().unwrap();
    let network = NetworkConfiguration::builder().awsvpc_configuration(vpc).build();
    let create = || {
        let service = harness.ecs.create_service().cluster("demo").service_name("generators");
        let service = service.task_definition("generator").desired_count(0).launch_type(LaunchType::Fargate);
        service.network_configuration(network.clone()).send()
    };
    let error = create().await.unwrap_err().into_service_error();
    assert!(error.is_invalid_parameter_exception(), "{error:?}");
    let expected =
        "Unable to assume the service linked role. Please verify that the ECS service linked role exists.";
    assert_eq!(error.message(), Some(expected));
    create().await.unwrap();

    let scaling = aws_sdk_applicationautoscaling::Client::new(&config(&harness.running, "eu-west-1").await);
    let (namespace, dimension) = (ServiceNamespace::Ecs, ScalableDimension::EcsServiceDesiredCount);
    let resource = "service/demo/generators";
    let mut errors = Vec::new();
    // One attempt every 50 ms of the clock, as if the client backed off.
    for _ in 0..40 {
        let register = scaling.register_scalable_target().min_capacity(0).max_capacity(1);
        let register = register.service_namespace(namespace.clone()).resource_id(resource);
        match register.scalable_dimension(dimension.clone()).send().await {
            Ok(_) => break,
            Err(error) => errors.push(error.into_service_error()),
        }
        harness.clock.advance(std::time::Duration::from_millis(50));
    }
    let messages: Vec<&str> = errors.iter().map(|error| error.message().unwrap()).collect();
    assert!(errors.iter().all(|error| error.is_validation_exception()), "{errors:?}");
    assert!(
        messages[0]
            .starts_with("Unable to assume IAM role: arn:aws:iam::000000000000:role/aws-service-role/")
    );
    assert!((1..=18).contains(&(messages.len() - 1)), "{messages:?}");
    assert!(
        messages[1..].iter().all(|text| *text == "ECS service doesn't exist: service/demo/generators"),
        "{messages:?}"
    );

    let at = harness.clock.moment().wall.saturating_add(jiff::SignedDuration::from_hours(1)).unwrap();
    let change = ScalableTargetAction::builder().max_capacity(0).build();
    let mut errors = 0;
    for _ in 0..40 {
        let put = scaling.put_scheduled_action().scheduled_action_name("scale-to-zero");
        let put = put.schedule(format!("at({})", at.strftime("%Y-%m-%dT%H:%M:%S")));
        let put = put.service_namespace(namespace.clone()).resource_id(resource);
        let put = put.scalable_dimension(dimension.clone()).scalable_target_action(change.clone());
        match put.send().await {
            Ok(_) => break,
            Err(error) => {
                let error = error.into_service_error();
                assert!(error.is_object_not_found_exception(), "{error:?}");
                errors += 1;
            }
        }
        harness.clock.advance(std::time::Duration::from_millis(50));
    }
    assert!((1..=18).contains(&errors), "{errors}");
    harness.running.stop().await;
}

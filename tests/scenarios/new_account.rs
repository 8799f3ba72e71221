//! The errors that AWS returns, word for word, when an account or a resource is new. The first run
//! of an account succeeds nevertheless.

use kinesis_demo_api::conditions::Reason;
use kinesis_demo_api::demo::CleanupPolicy;
use kinesis_demo_api::status::{Outcome, ResourceState, ResourceType};
use kinesis_demo_operator::aws::{AwsErrorClass, Regions};

use crate::harness::{Harness, s, warm_spec};

const NO_ROLE: &str =
    "Unable to assume the service linked role. Please verify that the ECS service linked role exists.";

/// Operation, code and message of errors that soon disappear.
const TRANSIENT: [(&str, &str, &str); 9] = [
    ("CreateService", "InvalidParameterException", NO_ROLE),
    ("CreateService", "ClientException", NO_ROLE),
    ("CreateService", "InvalidParameterException", "Unable to Start a service that is still Draining."),
    ("CreateService", "ClientException", "TaskDefinition not found."),
    (
        "RegisterScalableTarget",
        "ValidationException",
        "Unable to assume IAM role: arn:aws:iam::1:role/aws-service-role",
    ),
    ("RegisterScalableTarget", "ValidationException", "ECS service doesn't exist: service/default/kd"),
    ("PutScheduledAction", "ObjectNotFoundException", "No scalable target registered for namespace: ecs"),
    ("PutRetentionPolicy", "OperationAbortedException", "A conflicting operation is currently in progress"),
    (
        "GetCallerIdentity",
        "InvalidIdentityToken",
        "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements",
    ),
];

#[tokio::test]
async fn errors_of_a_new_account_are_retried() {
    for (operation, code, text) in TRANSIENT {
        for times in [1, 3] {
            let mut harness = Harness::new(warm_spec());
            harness.aws.refuse_with(operation, code, text, times);
            harness.run_to_end().await;
            let run = harness.status().run.unwrap();
            assert_eq!(
                run.outcome,
                Some(Outcome::Succeeded),
                "{operation} {text} {times}: {:?}",
                run.message
            );
            harness.assert_nothing_left();
        }
    }
}

#[tokio::test]
async fn a_first_run_that_meets_all_these_errors_succeeds() {
    let mut harness = Harness::new(warm_spec());
    for (operation, code, text) in TRANSIENT {
        harness.aws.refuse_with(operation, code, text, 2);
    }
    harness.run_to_end().await;
    let run = harness.status().run.unwrap();
    assert_eq!(run.outcome, Some(Outcome::Succeeded), "{:?}", run.message);
    harness.assert_nothing_left();
}

#[tokio::test]
async fn the_retention_of_the_log_group_is_set_before_the_traffic() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.fail("PutRetentionPolicy", AwsErrorClass::Denied, 1);
    harness.run_until_phase("baseline").await;
    let aws = harness.aws.in_region("us-east-1");
    let name = format!("/kinesisdemo/{}", harness.status().run.unwrap().effective.unwrap().base_name);
    assert!(aws.logs.fetch_log_group(&name).await.unwrap().unwrap().has_retention);
    harness.run_to_end().await;
    harness.assert_nothing_left();
}

#[tokio::test]
async fn the_final_message_names_the_missing_resource_and_the_call() {
    for (operation, missing) in [
        ("RegisterScalableTarget", "scheduled scale-to-zero kd-viral-event-5f3c2a1b-r1 is not there"),
        ("PutRetentionPolicy", "log group /kinesisdemo/kd-viral-event-5f3c2a1b-r1 has no retention yet"),
        ("RegisterTaskDefinition", "task definition kd-viral-event-5f3c2a1b-r1 is not there"),
    ] {
        let mut harness = Harness::new(warm_spec());
        harness.aws.fail(operation, AwsErrorClass::Denied, u32::MAX);
        harness.run_to_end().await;
        let run = harness.status().run.unwrap();
        assert_eq!((run.outcome, run.reason), (Some(Outcome::Failed), Some(Reason::ProvisioningTimeout)));
        let message = run.message.unwrap();
        assert!(message.contains(missing) && message.contains(operation), "{message}");
        assert!(!message.contains("stream kd-"), "{message}");
        harness.assert_nothing_left();
    }
}

/// AWS accepts the call, but the stream keeps its target. The operator does not check how AWS
/// carries the release out.
#[tokio::test]
async fn the_warm_throughput_of_a_retained_stream_is_released_once() {
    let mut spec = warm_spec();
    spec.cleanup.stream = CleanupPolicy::Retain;
    let mut harness = Harness::new(spec);
    harness.aws.keep_warm_targets();
    harness.run_to_end().await;
    let resources = harness.status().resources;
    let stream = resources.iter().find(|resource| resource.type_ == ResourceType::Stream).unwrap();
    assert_eq!((stream.state, stream.warm_released), (ResourceState::Retained, true));
    harness.clock.advance(s(3_600));
    harness.run_to_end().await;
    assert_eq!(harness.aws.call_counts().get("UpdateStreamWarmThroughput"), Some(&1));
}

//! What AWS answers where everything is new, or was made a moment ago, in its own words: the first run of an account
//! succeeds all the same.

use kinesis_demo_api::conditions::Reason;
use kinesis_demo_api::demo::CleanupPolicy;
use kinesis_demo_api::status::{Outcome, ResourceState, ResourceType};
use kinesis_demo_operator::aws::{AwsErrorClass, Regions};

use crate::harness::{Harness, s, warm_spec};

const NO_ROLE: &str =
    "Unable to assume the service linked role. Please verify that the ECS service linked role exists.";

/// Operation, code and words of refusals that are over soon.
const PASSING: [(&str, &str, &str); 9] = [
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
async fn what_is_refused_because_all_is_new_is_tried_again() {
    for (operation, code, words) in PASSING {
        for times in [1, 3] {
            let mut harness = Harness::new(warm_spec());
            harness.aws.refuse_with(operation, code, words, times);
            harness.play_out().await;
            let run = harness.status().run.unwrap();
            assert_eq!(
                run.outcome,
                Some(Outcome::Succeeded),
                "{operation} {words} {times}: {:?}",
                run.message
            );
            harness.assert_nothing_left();
        }
    }
}

#[tokio::test]
async fn the_first_run_of_an_account_meets_all_of_it() {
    let mut harness = Harness::new(warm_spec());
    for (operation, code, words) in PASSING {
        harness.aws.refuse_with(operation, code, words, 2);
    }
    harness.play_out().await;
    let run = harness.status().run.unwrap();
    assert_eq!(run.outcome, Some(Outcome::Succeeded), "{:?}", run.message);
    harness.assert_nothing_left();
}

#[tokio::test]
async fn a_log_group_without_retention_gets_one_before_the_run_goes_on() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.fail("PutRetentionPolicy", AwsErrorClass::Denied, 1);
    harness.play_until_phase("baseline").await;
    let aws = harness.aws.in_region("us-east-1");
    let name = format!("/kinesisdemo/{}", harness.status().run.unwrap().effective.unwrap().base_name);
    assert!(aws.logs.fetch_log_group(&name).await.unwrap().unwrap().has_retention);
    harness.play_out().await;
    harness.assert_nothing_left();
}

#[tokio::test]
async fn the_end_names_what_was_missing_and_what_refused_it() {
    for (operation, missing) in [
        ("RegisterScalableTarget", "scheduled scale-to-zero kd-viral-event-5f3c2a1b-r1 is not there"),
        ("PutRetentionPolicy", "log group /kinesisdemo/kd-viral-event-5f3c2a1b-r1 has no retention yet"),
        ("RegisterTaskDefinition", "task definition kd-viral-event-5f3c2a1b-r1 is not there"),
    ] {
        let mut harness = Harness::new(warm_spec());
        harness.aws.fail(operation, AwsErrorClass::Denied, u32::MAX);
        harness.play_out().await;
        let run = harness.status().run.unwrap();
        assert_eq!((run.outcome, run.reason), (Some(Outcome::Failed), Some(Reason::ProvisioningTimeout)));
        let message = run.message.unwrap();
        assert!(message.contains(missing) && message.contains(operation), "{message}");
        assert!(!message.contains("stream kd-"), "{message}");
        harness.assert_nothing_left();
    }
}

/// The stream keeps its target though AWS took the call: what AWS calls released is AWS's affair.
#[tokio::test]
async fn a_retained_stream_is_asked_once_to_give_its_warm_throughput_back() {
    let mut spec = warm_spec();
    spec.cleanup.stream = CleanupPolicy::Retain;
    let mut harness = Harness::new(spec);
    harness.aws.keep_warm_targets();
    harness.play_out().await;
    let resources = harness.status().resources;
    let stream = resources.iter().find(|held| held.type_ == ResourceType::Stream).unwrap();
    assert_eq!((stream.state, stream.warm_released), (ResourceState::Retained, true));
    harness.clock.advance(s(3_600));
    harness.play_out().await;
    assert_eq!(harness.aws.call_counts().get("UpdateStreamWarmThroughput"), Some(&1));
}

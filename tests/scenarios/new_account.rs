//! The errors that AWS returns, word for word, when an account or a resource is new. The first run
//! of an account succeeds nevertheless.

use kinesis_demo_api::conditions::Reason;
use kinesis_demo_api::demo::CleanupPolicy;
use kinesis_demo_api::status::{Outcome, ResourceState, ResourceType, Stage};
use kinesis_demo_operator::aws::{AwsErrorClass, Regions};
use kinesis_demo_operator::kubernetes::events::Severity;

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
            harness.aws.fail_with(operation, code, text, times);
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
        harness.aws.fail_with(operation, code, text, 2);
    }
    harness.run_to_end().await;
    let run = harness.status().run.unwrap();
    assert_eq!(run.outcome, Some(Outcome::Succeeded), "{:?}", run.message);
    harness.assert_nothing_left();
}

/// Operation, error code and message with which AWS responds while it does not see a resource yet
/// that was just created.
const NOT_SEEN_YET: [(&str, &str, &str); 7] = [
    ("CreateService", "InvalidParameterException", NO_ROLE),
    ("CreateService", "ClientException", "TaskDefinition not found."),
    ("CreateService", "InvalidParameterException", "TaskDefinition not found."),
    ("RegisterScalableTarget", "ValidationException", "Unable to assume IAM role: arn:aws:iam::1:role/x"),
    ("RegisterScalableTarget", "ValidationException", "ECS service doesn't exist: service/default/kd"),
    ("PutScheduledAction", "ObjectNotFoundException", "No scalable target registered for namespace: ecs"),
    ("PutRetentionPolicy", "OperationAbortedException", "A conflicting operation is currently in progress"),
];

/// The warning Events, and the AWS errors that a condition reported at some time.
async fn warnings_of(mut harness: Harness) -> (Vec<String>, Vec<String>) {
    let mut conditions: Vec<String> = Vec::new();
    harness
        .run_until(s(3_600), |status| {
            let refusals = status.conditions.iter().filter(|condition| condition.reason.is_refusal());
            conditions.extend(refusals.map(|refusal| format!("{}: {}", refusal.reason, refusal.message)));
            status.stage.is_some_and(Stage::is_terminal)
        })
        .await;
    conditions.dedup();
    harness.run_to_end().await;
    let run = harness.status().run.unwrap();
    assert_eq!(run.outcome, Some(Outcome::Succeeded), "{:?}", run.message);
    harness.assert_nothing_left();
    let warnings = harness.cluster.run_events();
    let warnings = warnings.iter().filter(|run_event| run_event.severity == Severity::Warning);
    (warnings.map(|run_event| format!("{}: {}", run_event.reason, run_event.note)).collect(), conditions)
}

#[tokio::test]
async fn nobody_is_warned_of_what_aws_sees_a_little_late() {
    for (operation, code, words) in NOT_SEEN_YET {
        for times in [1, 4] {
            let harness = Harness::new(warm_spec());
            harness.aws.fail_with(operation, code, words, times);
            assert_eq!(warnings_of(harness).await, (vec![], vec![]), "{operation} {words}, {times} times");
        }
    }
}

#[tokio::test]
async fn what_aws_does_not_see_for_minutes_is_reported_in_its_words() {
    for (operation, code, words) in NOT_SEEN_YET {
        let harness = Harness::new(warm_spec());
        // Pauses double to half a minute: some of these come more than a minute after the first.
        harness.aws.fail_with(operation, code, words, 8);
        let (events, conditions) = warnings_of(harness).await;
        let [event] = events.as_slice() else { panic!("{operation} {words}: {events:?}") };
        assert!(
            event.starts_with(&format!("RequestRefused: {operation} ")) && event.contains(words),
            "{event}"
        );
        assert_eq!(&conditions, std::slice::from_ref(event));
    }
}

#[tokio::test]
async fn two_revisions_of_a_task_definition_at_once_do_not_end_a_run() {
    let harness = Harness::new(warm_spec());
    let words = "Too many concurrent attempts to create a new revision of the specified family.";
    harness.aws.fail_with("RegisterTaskDefinition", "ClientException", words, 3);
    let (events, _) = warnings_of(harness).await;
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert!(event.starts_with("Throttled: RegisterTaskDefinition ") && event.ends_with(words), "{event}");
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
        ("RegisterScalableTarget", "scheduled scale-to-zero kd-viral-event-5f3c2a1b-r1 does not exist"),
        ("PutRetentionPolicy", "log group /kinesisdemo/kd-viral-event-5f3c2a1b-r1 has no retention yet"),
        ("RegisterTaskDefinition", "task definition kd-viral-event-5f3c2a1b-r1 does not exist"),
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

//! Runs that preflight blocks before any resource is created.

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::demo::AdvantagePolicy;
use kinesis_demo_api::status::Stage;
use kinesis_demo_operator::aws::Advantage;
use kinesis_demo_operator::registry::ImageLookup;

use crate::harness::{Harness, s, settings, warm_spec};

async fn assert_blocked(harness: &mut Harness, reason: Reason, fragment: &str) {
    for _ in 0..10 {
        harness.step().await;
    }
    let stalled = harness.condition(ConditionType::Stalled);
    assert_eq!((stalled.status, stalled.reason), (ConditionStatus::True, reason), "{}", stalled.message);
    assert!(stalled.message.contains(fragment), "{}", stalled.message);
    assert_eq!(harness.status().stage, Some(Stage::Pending));
    assert_eq!(harness.condition(ConditionType::Finished).status, ConditionStatus::False);
    let writes: Vec<_> = harness.aws.calls().into_iter().filter(|call| call.is_write).collect();
    assert!(writes.is_empty(), "{writes:?}");
    assert!(harness.cluster.object().unwrap().metadata.finalizers.unwrap_or_default().is_empty());
    let run_events = harness.cluster.run_events();
    assert_eq!(
        run_events.iter().filter(|run_event| run_event.reason == reason.to_string()).count(),
        1,
        "{run_events:?}"
    );
}

#[tokio::test]
async fn an_unlisted_account_is_refused_and_the_flag_named() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.set_account_id("123456789012");
    assert_blocked(&mut harness, Reason::AccountNotAllowed, "--account 123456789012").await;
}

#[tokio::test]
async fn warm_throughput_without_advantage_is_refused_with_its_price() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.set_advantage(Advantage::Disabled);
    assert_blocked(&mut harness, Reason::AdvantageRequired, "$101.25").await;
    harness.aws.set_advantage(Advantage::EnabledUntilEarliestAllowedEnd);
    harness.run_until_stage(Stage::Succeeded).await;
}

#[tokio::test]
async fn a_cold_run_may_require_advantage_too() {
    let mut spec = kinesis_demo_api::KinesisDemoSpec::default();
    spec.billing.advantage = AdvantagePolicy::Require;
    let mut harness = Harness::new(spec);
    harness.aws.set_advantage(Advantage::Disabled);
    assert_blocked(&mut harness, Reason::AdvantageRequired, "billing.advantage").await;
}

#[tokio::test]
async fn a_missing_cluster_is_reported_with_the_command_to_create_it() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.remove_cluster("default");
    assert_blocked(&mut harness, Reason::ClusterMissing, "aws ecs create-cluster --cluster-name default")
        .await;
}

#[tokio::test]
async fn an_operator_without_roles_names_the_missing_flag() {
    let mut settings = settings();
    settings.task_role_arn = None;
    let mut harness = Harness::with(warm_spec(), settings);
    assert_blocked(&mut harness, Reason::SettingsMissing, "--task-role-arn").await;
}

#[tokio::test]
async fn a_missing_image_or_architecture_is_refused() {
    let mut harness = Harness::new(warm_spec());
    harness.registry.says(ImageLookup::Missing);
    assert_blocked(&mut harness, Reason::ImageMissing, "no generator image generator:1; push it").await;
    harness.registry.says(ImageLookup::For(vec!["arm64".into()]));
    harness.clock.advance(s(60));
    assert_blocked(
        &mut harness,
        Reason::ArchitectureMissing,
        "X86_64 (amd64 in images), but generator image generator:1 is available only for arm64",
    )
    .await;
    harness.registry.says(ImageLookup::For(vec!["amd64".into(), "arm64".into()]));
    harness.run_until_stage(Stage::Succeeded).await;
}

#[tokio::test]
async fn a_blocked_object_polls_at_a_low_rate() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.set_advantage(Advantage::Disabled);
    assert_blocked(&mut harness, Reason::AdvantageRequired, "").await;
    let start = kinesis_demo_operator::clock::Clock::now(&harness.clock);
    while kinesis_demo_operator::clock::Clock::now(&harness.clock) < start + s(600) {
        harness.step().await;
    }
    assert!(harness.aws.reads_since(start) <= 60, "{} reads in ten minutes", harness.aws.reads_since(start));
}

#[tokio::test]
async fn a_plan_above_a_limit_calls_no_aws_api() {
    let mut spec = warm_spec();
    spec.stream.warm_throughput.mib_per_second = Some(5_000);
    let mut harness = Harness::new(spec);
    harness.run_to_end().await;
    let accepted = harness.condition(ConditionType::SpecAccepted);
    assert_eq!((accepted.status, accepted.reason), (ConditionStatus::False, Reason::Invalid));
    assert!(accepted.message.contains("--max-warm-mib-per-second"), "{}", accepted.message);
    assert_eq!(harness.condition(ConditionType::Stalled).status, ConditionStatus::True);
    assert_eq!(harness.aws.calls().len(), 0);
}

#[tokio::test]
async fn an_object_that_never_started_can_be_deleted_at_once() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.set_account_id("123456789012");
    harness.step().await;
    harness.step().await;
    harness.delete();
    harness.run_to_end().await;
    assert!(harness.cluster.object().is_none());
}

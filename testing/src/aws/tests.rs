//! Tests of the fake itself, so that a failing scenario points at the operator: resources, and how
//! calls fail. Tests of its tasks are in `tasks_tests`.

use super::*;
use kinesis_demo_api::demo::Architecture;
use kinesis_demo_operator::aws::{
    NewService, NewStream, NewTaskDefinition, RunMetric, ServiceState, StreamState, Tags, Warm,
};

pub(super) const T0: MicroTime = MicroTime::from_micros(1_800_000_000_000_000);

pub(super) fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A fake at T0, its clock, and its clients in one region.
pub(super) fn a_fake() -> (FakeAws, ManualClock, Aws) {
    let clock = ManualClock::new(T0);
    let fake = FakeAws::new(clock.clone());
    fake.set_delays(Delays { task_start_spread: Duration::ZERO, ..Delays::default() });
    let aws = fake.in_region("eu-west-1");
    (fake, clock, aws)
}

pub(super) fn owned() -> Tags {
    Tags::from([("kinesisdemo.io/owner".into(), "me".into())])
}

pub(super) fn a_stream(warm: Option<u32>) -> NewStream {
    NewStream { name: "posts".into(), warm_mib_per_second: warm, tags: owned() }
}

pub(super) fn a_definition() -> NewTaskDefinition {
    let environment = [
        ("AWS_REGION", "eu-west-1".to_owned()),
        ("KINESISDEMO_CONTROL_PARAMETER", "/kd/control".to_owned()),
        ("KINESISDEMO_STREAM", "posts".to_owned()),
        ("KINESISDEMO_RUN", "1".to_owned()),
        ("KINESISDEMO_RUN_NAME", "kd-run".to_owned()),
        ("KINESISDEMO_DEADLINE", (T0 + s(1_000)).to_string()),
        ("KINESISDEMO_MAX_RECORDS_PER_SECOND", "200000".to_owned()),
        ("KINESISDEMO_LEDGER_EVERY_SECONDS", "5".to_owned()),
    ];
    NewTaskDefinition {
        family: "kd-family".into(),
        image: "generator".into(),
        cpu: 256,
        memory_mib: 512,
        architecture: Architecture::X86_64,
        task_role_arn: "arn:aws:iam::000000000000:role/task".into(),
        execution_role_arn: "arn:aws:iam::000000000000:role/execution".into(),
        environment: environment.map(|(name, value)| (name.to_owned(), value)).into(),
        log_group: "/kd/log".into(),
        region: "eu-west-1".into(),
        stop_timeout: s(30),
        tags: owned(),
    }
}

pub(super) fn a_service() -> NewService {
    NewService {
        cluster: "default".into(),
        name: "kd-service".into(),
        task_definition: "kd-family".into(),
        client_token: "token".into(),
        subnets: vec!["subnet-1".into()],
        security_groups: vec![],
        assign_public_ip: false,
        tags: owned(),
    }
}

async fn state_of(aws: &Aws) -> Option<(StreamState, Option<Warm>)> {
    aws.streams.fetch_stream("posts").await.unwrap().map(|stream| (stream.state, stream.warm))
}

fn class<T: std::fmt::Debug>(result: AwsResult<T>) -> AwsErrorClass {
    result.unwrap_err().class
}

#[tokio::test]
async fn a_stream_goes_from_creating_to_deleted() {
    let (fake, clock, aws) = a_fake();
    assert_eq!(state_of(&aws).await, None);
    aws.streams.create_stream(&a_stream(None)).await.unwrap();
    assert_eq!(class(aws.streams.create_stream(&a_stream(None)).await), AwsErrorClass::AlreadyExists);
    let arn = aws.streams.fetch_stream("posts").await.unwrap().unwrap().arn;
    assert_eq!(arn, "arn:aws:kinesis:eu-west-1:000000000000:stream/posts");
    assert_eq!(aws.streams.fetch_stream_tags(&arn).await.unwrap(), owned());
    assert_eq!(state_of(&aws).await, Some((StreamState::Creating, None)));
    assert_eq!(class(aws.streams.delete_stream(&arn).await), AwsErrorClass::AlreadyExists);
    clock.advance(s(20));
    assert_eq!(state_of(&aws).await, Some((StreamState::Active, None)));
    aws.streams.delete_stream(&arn).await.unwrap();
    assert_eq!(state_of(&aws).await, Some((StreamState::Deleting, None)));
    assert_eq!(class(aws.streams.create_stream(&a_stream(None)).await), AwsErrorClass::AlreadyExists);
    assert_eq!(fake.snapshot().streams, ["eu-west-1/posts"]);
    clock.advance(s(20));
    assert_eq!(state_of(&aws).await, None);
    assert!(fake.snapshot().is_empty());
    assert_eq!(class(aws.streams.delete_stream(&arn).await), AwsErrorClass::NotFound);
}

#[tokio::test]
async fn warm_throughput_needs_advantage_and_rises_while_updating() {
    let (fake, clock, aws) = a_fake();
    assert_eq!(class(aws.streams.create_stream(&a_stream(Some(100))).await), AwsErrorClass::Invalid);
    fake.set_advantage(Advantage::EnabledUntilEarliestAllowedEnd);
    aws.streams.create_stream(&a_stream(None)).await.unwrap();
    clock.advance(s(20));
    let warm = |target, current| Some(Warm { target, current });
    assert_eq!(state_of(&aws).await, Some((StreamState::Active, warm(0, 4))));
    let arn = aws.streams.fetch_stream("posts").await.unwrap().unwrap().arn;
    aws.streams.update_warm_throughput(&arn, 100).await.unwrap();
    assert_eq!(class(aws.streams.update_warm_throughput(&arn, 50).await), AwsErrorClass::AlreadyExists);
    clock.advance(s(15));
    assert_eq!(state_of(&aws).await, Some((StreamState::Updating, warm(100, 52))));
    clock.advance(s(15));
    assert_eq!(state_of(&aws).await, Some((StreamState::Active, warm(100, 100))));
    aws.streams.update_warm_throughput(&arn, 0).await.unwrap();
    assert_eq!(state_of(&aws).await, Some((StreamState::Updating, warm(0, 100))));
    clock.advance(s(30));
    assert_eq!(state_of(&aws).await, Some((StreamState::Active, warm(0, 4))));
}

#[tokio::test]
async fn a_stream_created_warm_is_ready_after_both_delays() {
    let (fake, clock, aws) = a_fake();
    fake.set_advantage(Advantage::Enabled);
    aws.streams.create_stream(&a_stream(Some(50))).await.unwrap();
    clock.advance(s(21));
    assert!(matches!(
        state_of(&aws).await,
        Some((StreamState::Updating, Some(Warm { target: 50, current: 4..50 })))
    ));
    clock.advance(s(29));
    assert_eq!(state_of(&aws).await, Some((StreamState::Active, Some(Warm { target: 50, current: 50 }))));
}

#[tokio::test]
async fn regions_have_separate_resources() {
    let (fake, _, aws) = a_fake();
    aws.streams.create_stream(&a_stream(None)).await.unwrap();
    let elsewhere = fake.in_region("us-east-1");
    assert_eq!(state_of(&elsewhere).await, None);
    elsewhere.streams.create_stream(&a_stream(None)).await.unwrap();
    assert_eq!(fake.snapshot().streams, ["eu-west-1/posts", "us-east-1/posts"]);
}

#[tokio::test]
async fn parameters_are_created_once_then_overwritten() {
    let (fake, _, aws) = a_fake();
    aws.parameters.create_parameter("/kd/control", "one", &owned()).await.unwrap();
    let again = aws.parameters.create_parameter("/kd/control", "two", &owned()).await;
    assert_eq!(class(again), AwsErrorClass::AlreadyExists);
    aws.parameters.overwrite_parameter("/kd/control", "three").await.unwrap();
    assert_eq!(aws.parameters.fetch_parameter("/kd/control").await.unwrap().as_deref(), Some("three"));
    assert_eq!(aws.parameters.fetch_parameter_tags("/kd/control").await.unwrap(), owned());
    let too_long = aws.parameters.overwrite_parameter("/kd/control", &"x".repeat(4_097)).await;
    assert_eq!(class(too_long), AwsErrorClass::Invalid);
    aws.parameters.delete_parameter("/kd/control").await.unwrap();
    assert_eq!(class(aws.parameters.delete_parameter("/kd/control").await), AwsErrorClass::NotFound);
    assert_eq!(aws.parameters.fetch_parameter("/kd/control").await.unwrap(), None);
    let texts: Vec<_> = fake.parameter_writes("/kd/control").into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["one", "three"]);
}

#[tokio::test]
async fn log_groups_are_found_by_name_and_deleted_with_their_lines() {
    let (fake, _, aws) = a_fake();
    assert_eq!(class(aws.logs.fetch_ledger_page("/kd/log", T0, None).await), AwsErrorClass::NotFound);
    aws.logs.create_log_group("/kd/log", &owned()).await.unwrap();
    assert_eq!(class(aws.logs.create_log_group("/kd/log", &owned()).await), AwsErrorClass::AlreadyExists);
    assert_eq!(class(aws.logs.put_log_retention("/kd/log", 4).await), AwsErrorClass::Invalid);
    assert!(!aws.logs.fetch_log_group("/kd/log").await.unwrap().unwrap().has_retention);
    aws.logs.put_log_retention("/kd/log", 7).await.unwrap();
    let found = aws.logs.fetch_log_group("/kd/log").await.unwrap().unwrap();
    assert!(found.has_retention);
    assert_eq!(aws.logs.fetch_log_group_tags(&found.arn).await.unwrap(), owned());
    assert_eq!(aws.logs.fetch_log_group("/kd").await.unwrap(), None);
    aws.logs.delete_log_group("/kd/log").await.unwrap();
    assert!(fake.snapshot().is_empty());
}

#[tokio::test]
async fn task_definitions_are_deregistered_before_they_are_deleted() {
    let (fake, _, aws) = a_fake();
    let odd = NewTaskDefinition { memory_mib: 1_536, ..a_definition() };
    assert_eq!(class(aws.task_definitions.register_task_definition(&odd).await), AwsErrorClass::Invalid);
    aws.task_definitions.register_task_definition(&a_definition()).await.unwrap();
    aws.task_definitions.register_task_definition(&a_definition()).await.unwrap();
    let latest = aws.task_definitions.fetch_task_definition("kd-family").await.unwrap().unwrap();
    assert!(latest.arn.ends_with("task-definition/kd-family:2"), "{}", latest.arn);
    assert_eq!(class(aws.task_definitions.delete_task_definition(&latest.arn).await), AwsErrorClass::Invalid);
    aws.task_definitions.deregister_task_definition(&latest.arn).await.unwrap();
    assert_eq!(
        aws.task_definitions.fetch_inactive_task_definitions("kd-family").await.unwrap(),
        std::slice::from_ref(&latest.arn)
    );
    aws.task_definitions.delete_task_definition(&latest.arn).await.unwrap();
    assert_eq!(
        class(aws.task_definitions.delete_task_definition(&latest.arn).await),
        AwsErrorClass::NotFound
    );
    assert_eq!(fake.snapshot().task_definitions.len(), 1);
    assert_eq!(fake.most_at_once()["task definitions"], 2);
}

#[tokio::test]
async fn a_service_is_created_once_and_drains_before_inactive() {
    let (fake, clock, aws) = a_fake();
    let result = aws.services.create_service(&a_service()).await;
    assert_eq!(class(result), AwsErrorClass::Transient, "without its task definition");
    aws.logs.create_log_group("/kd/log", &owned()).await.unwrap();
    aws.task_definitions.register_task_definition(&a_definition()).await.unwrap();
    let nowhere = NewService { cluster: "elsewhere".into(), ..a_service() };
    assert_eq!(class(aws.services.create_service(&nowhere).await), AwsErrorClass::NotFound);
    aws.services.create_service(&a_service()).await.unwrap();
    aws.services.create_service(&a_service()).await.unwrap();
    let other = NewService { client_token: "other".into(), ..a_service() };
    assert_eq!(class(aws.services.create_service(&other).await), AwsErrorClass::AlreadyExists);
    assert_eq!(fake.most_at_once()["services"], 1);

    aws.services.resize_service("default", "kd-service", 2).await.unwrap();
    clock.advance(s(25));
    let seen = aws.services.fetch_service("default", "kd-service").await.unwrap().unwrap();
    assert_eq!((seen.state, seen.desired, seen.running, seen.pending), (ServiceState::Active, 2, 2, 0));
    aws.services.delete_service("default", "kd-service").await.unwrap();
    let seen = aws.services.fetch_service("default", "kd-service").await.unwrap().unwrap();
    assert_eq!((seen.state, seen.running), (ServiceState::Draining, 0), "both are stopping");
    assert_eq!(class(aws.services.create_service(&a_service()).await), AwsErrorClass::Transient);
    assert_eq!(class(aws.services.resize_service("default", "kd-service", 1).await), AwsErrorClass::NotFound);
    clock.advance(s(2));
    let seen = aws.services.fetch_service("default", "kd-service").await.unwrap().unwrap();
    assert_eq!((seen.state, seen.running), (ServiceState::Inactive, 0));
    assert_eq!(fake.snapshot().services, [""; 0]);
}

#[tokio::test]
async fn the_scheduled_action_scales_the_service_to_zero() {
    let (fake, clock, aws) = a_fake();
    assert_eq!(
        class(aws.scaling.put_scheduled_scale_to_zero("default", "kd-service", 9, T0 + s(60)).await),
        AwsErrorClass::Transient
    );
    aws.logs.create_log_group("/kd/log", &owned()).await.unwrap();
    aws.task_definitions.register_task_definition(&a_definition()).await.unwrap();
    aws.services.create_service(&a_service()).await.unwrap();
    aws.services.resize_service("default", "kd-service", 3).await.unwrap();
    let unseen = aws.scaling.put_scheduled_scale_to_zero("default", "kd-service", 9, T0 + s(60)).await;
    assert!(unseen.unwrap_err().is_not_seen_yet());
    clock.advance(s(1));
    aws.scaling
        .put_scheduled_scale_to_zero("default", "kd-service", 9, T0 + s(60) + Duration::from_millis(900))
        .await
        .unwrap();
    let seen = aws.scaling.fetch_scheduled_scale_to_zero("default", "kd-service").await.unwrap().unwrap();
    assert_eq!((seen.target, seen.action_at), (true, Some(T0 + s(60))));
    clock.advance(s(58));
    assert_eq!(fake.running_tasks().len(), 3);
    clock.advance(s(1));
    assert_eq!(fake.running_tasks().len(), 0);
    assert_eq!(aws.services.fetch_service("default", "kd-service").await.unwrap().unwrap().desired, 0);
    let seen = aws.scaling.fetch_scheduled_scale_to_zero("default", "kd-service").await.unwrap().unwrap();
    assert_eq!((seen.target, seen.action_at), (true, None));
    aws.scaling.delete_scheduled_scale_to_zero("default", "kd-service").await.unwrap();
    aws.scaling.delete_scheduled_scale_to_zero("default", "kd-service").await.unwrap();
    assert_eq!(aws.scaling.fetch_scheduled_scale_to_zero("default", "kd-service").await.unwrap(), None);
}

#[tokio::test]
async fn faults_apply_as_often_as_requested() {
    let (fake, _, aws) = a_fake();
    fake.fail("CreateStream", AwsErrorClass::Throttled, 2);
    fake.lose_response("CreateStream", 1);
    assert_eq!(class(aws.streams.create_stream(&a_stream(None)).await), AwsErrorClass::Throttled);
    assert_eq!(class(aws.streams.create_stream(&a_stream(None)).await), AwsErrorClass::Throttled);
    assert_eq!(state_of(&aws).await, None);
    assert_eq!(class(aws.streams.create_stream(&a_stream(None)).await), AwsErrorClass::Transient);
    assert!(state_of(&aws).await.is_some(), "performed, but the response was lost");
    assert_eq!(class(aws.streams.create_stream(&a_stream(None)).await), AwsErrorClass::AlreadyExists);
    fake.fail("*", AwsErrorClass::Denied, 1);
    assert_eq!(class(aws.identity.fetch_account_id().await), AwsErrorClass::Denied);
    assert_eq!(aws.identity.fetch_account_id().await.unwrap(), "000000000000");

    let outcomes: Vec<_> =
        fake.calls().iter().map(|call| (call.operation, call.performed, call.error)).collect();
    assert_eq!(outcomes[3], ("CreateStream", true, Some(AwsErrorClass::Transient)));
    assert_eq!(fake.call_counts()["CreateStream"], 4);
    assert_eq!((fake.writes_since(T0), fake.reads_since(T0)), (4, 4));
    assert_eq!(fake.writes_since(T0 + s(1)), 0);
}

#[tokio::test]
async fn after_a_crash_calls_do_nothing_until_the_revival() {
    let (fake, _, aws) = a_fake();
    fake.crash_after_call(2);
    assert!(state_of(&aws).await.is_none());
    let error = aws.logs.create_log_group("/kd/log", &owned()).await.unwrap_err();
    assert_eq!((error.class, error.message.as_str()), (AwsErrorClass::Transient, "crashed"));
    assert!(fake.crashed());
    assert_eq!(fake.snapshot().log_groups.len(), 1, "the last call was performed");
    assert_eq!(class(aws.streams.create_stream(&a_stream(None)).await), AwsErrorClass::Transient);
    assert!(fake.snapshot().streams.is_empty());
    assert_eq!(fake.calls().len(), 2);
    fake.revive();
    aws.streams.create_stream(&a_stream(None)).await.unwrap();
    assert!(!fake.crashed());
}

#[tokio::test]
async fn dashboards_belong_to_the_account_and_metrics_are_kept() {
    let (fake, _, aws) = a_fake();
    let elsewhere = fake.in_region("us-east-1");
    assert!(!aws.dashboards.fetch_dashboard_exists("kd").await.unwrap());
    for body in [r#"{"widgets": []}"#, r#"{"widgets": [], "start": "-PT1H"}"#] {
        aws.dashboards.put_dashboard("kd", body).await.unwrap();
        assert_eq!(fake.dashboard("kd").as_deref(), Some(body));
    }
    assert_eq!(fake.snapshot().dashboards, ["kd"]);
    assert!(elsewhere.dashboards.fetch_dashboard_exists("kd").await.unwrap());
    for (name, body) in [("kd", "{}"), ("kd", "no JSON"), ("k/d", r#"{"widgets": []}"#)] {
        let error = aws.dashboards.put_dashboard(name, body).await.unwrap_err();
        assert_eq!(error.class, AwsErrorClass::Invalid, "{name} {body}");
    }
    elsewhere.dashboards.delete_dashboard("kd").await.unwrap();
    let error = aws.dashboards.delete_dashboard("kd").await.unwrap_err();
    assert_eq!(error.class, AwsErrorClass::NotFound);
    assert!(fake.snapshot().is_empty());

    aws.metrics.put_run_metrics("kd-r1", T0, &[(RunMetric::OpenShards, 4)]).await.unwrap();
    let kept = PublishedMetric { run_name: "kd-r1".into(), at: T0, metric: RunMetric::OpenShards, value: 4 };
    assert_eq!(fake.published_metrics(), [kept]);
}

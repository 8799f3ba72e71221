//! What bodies create, and the errors that they expect.

use std::fmt::Debug;
use std::time::Duration;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::demo::Architecture;
use kinesis_demo_operator::aws::{
    Aws, AwsError, AwsErrorClass, AwsResult, NewService, NewStream, NewTaskDefinition, ServiceDescription,
    Tags, TaskDescription, TaskState,
};

use super::waiting::wait_until;
use super::{Arm, IMAGE, REGION};

pub(super) const CLUSTER: &str = "default";
pub(super) const SERVICE: &str = "kd-service";
pub(super) const FAMILY: &str = "kd-family";
pub(super) const LOG_GROUP: &str = "/kd/log";

/// AWS tells the time in milliseconds, as a floating-point number.
pub(super) const TIME_RESOLUTION: Duration = Duration::from_millis(2);

/// The clients of [`REGION`].
pub(super) fn aws(arm: &dyn Arm) -> Aws {
    arm.in_region(REGION)
}

/// The ARN of a resource in [`REGION`].
pub(super) fn arn(service: &str, resource: &str) -> String {
    format!("arn:aws:{service}:{REGION}:{}:{resource}", super::ACCOUNT)
}

pub(super) fn tags(owner: &str) -> Tags {
    Tags::from([("kinesisdemo.io/owner".to_owned(), owner.to_owned())])
}

/// An error response of AWS. The class and the code are AWS's; the table in `src/aws/error.rs` must
/// agree with both.
pub(super) fn refusal(
    class: AwsErrorClass,
    operation: &'static str,
    target: &str,
    code: &str,
    message: impl Into<String>,
) -> AwsError {
    let (target, code) = (target.to_owned(), Some(code.to_owned()));
    AwsError { class, operation, target, code, message: message.into() }
}

/// Asserts that a call failed with exactly this error.
pub(super) fn assert_refused<T: Debug>(result: AwsResult<T>, expected: AwsError) {
    assert_eq!(result.expect_err("the call succeeded"), expected);
}

pub(super) fn a_stream(name: &str, warm: Option<u32>) -> NewStream {
    NewStream { name: name.to_owned(), warm_mib_per_second: warm, tags: tags("ns/demo") }
}

/// A definition of a quarter vCPU whose tasks run for a day if nothing stops them.
pub(super) fn a_definition(now: MicroTime) -> NewTaskDefinition {
    let deadline = (now + Duration::from_secs(24 * 3_600)).to_string();
    let environment = [
        ("AWS_REGION", REGION),
        ("KINESISDEMO_CONTROL_PARAMETER", "/kd/control"),
        ("KINESISDEMO_STREAM", "kd-stream"),
        ("KINESISDEMO_RUN", "1"),
        ("KINESISDEMO_RUN_NAME", "kd-run"),
        ("KINESISDEMO_DEADLINE", &deadline),
        ("KINESISDEMO_MAX_RECORDS_PER_SECOND", "1000"),
        ("KINESISDEMO_LEDGER_EVERY_SECONDS", "5"),
    ];
    NewTaskDefinition {
        family: FAMILY.to_owned(),
        image: IMAGE.to_owned(),
        cpu: 256,
        memory_mib: 512,
        architecture: Architecture::X86_64,
        task_role_arn: "arn:aws:iam::000000000000:role/task".to_owned(),
        execution_role_arn: "arn:aws:iam::000000000000:role/execution".to_owned(),
        environment: environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        log_group: LOG_GROUP.to_owned(),
        region: REGION.to_owned(),
        stop_timeout: Duration::from_secs(30),
        tags: tags("ns/demo"),
    }
}

pub(super) fn a_service() -> NewService {
    NewService {
        cluster: CLUSTER.to_owned(),
        name: SERVICE.to_owned(),
        task_definition: FAMILY.to_owned(),
        client_token: "0f5b1c7e-3a6d-4d0c-9a39-5b8f6f0a1d2e".to_owned(),
        subnets: vec!["subnet-1".to_owned(), "subnet-2".to_owned()],
        security_groups: vec!["sg-1".to_owned()],
        assign_public_ip: true,
        tags: tags("ns/demo"),
    }
}

/// Creates the service [`SERVICE`] and its task definition.
pub(super) async fn create_service(arm: &dyn Arm) {
    let aws = aws(arm);
    aws.task_definitions.register_task_definition(&a_definition(arm.now())).await.unwrap();
    aws.services.create_service(&a_service()).await.unwrap();
}

/// Creates the service with its log group, and waits until it has this many running tasks.
pub(super) async fn run_service(arm: &dyn Arm, tasks: usize) -> Vec<TaskDescription> {
    aws(arm).logs.create_log_group(LOG_GROUP, &tags("ns/demo")).await.unwrap();
    create_service(arm).await;
    resize(arm, u32::try_from(tasks).unwrap()).await;
    wait_until(arm, "the tasks run", async || in_state(arm, TaskState::Running).await.len() == tasks).await;
    in_state(arm, TaskState::Running).await
}

pub(super) async fn resize(arm: &dyn Arm, desired: u32) {
    aws(arm).services.resize_service(CLUSTER, SERVICE, desired).await.unwrap();
}

/// The service, which exists.
pub(super) async fn service(arm: &dyn Arm) -> ServiceDescription {
    aws(arm).services.fetch_service(CLUSTER, SERVICE).await.unwrap().expect("the service exists")
}

/// The service's tasks, by ARN.
pub(super) async fn tasks(arm: &dyn Arm) -> Vec<TaskDescription> {
    let mut tasks = aws(arm).tasks.fetch_tasks(CLUSTER, SERVICE).await.unwrap();
    tasks.sort_by(|one, other| one.arn.cmp(&other.arn));
    tasks
}

/// Those of the service's tasks that are in this state.
pub(super) async fn in_state(arm: &dyn Arm, state: TaskState) -> Vec<TaskDescription> {
    tasks(arm).await.into_iter().filter(|task| task.state == state).collect()
}

/// The service's only task, once it is listed.
pub(super) async fn only_task(arm: &dyn Arm) -> Option<TaskDescription> {
    let mut tasks = tasks(arm).await;
    assert!(tasks.len() <= 1, "{tasks:?}");
    tasks.pop()
}

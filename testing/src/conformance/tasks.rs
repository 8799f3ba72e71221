//! ECS: tasks that start, run, stop and are replaced, and their protection.

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::TaskId;
use kinesis_demo_operator::aws::{
    AwsError, AwsErrorClass, ServiceState, TaskDescription, TaskState, TaskStop,
};

use super::fixtures::{
    CLUSTER, LOG_GROUP, SERVICE, TIME_RESOLUTION, a_definition, a_service, assert_refused, aws,
    create_service, in_state, only_task, refusal, resize, run_service, service, tags, tasks,
};
use super::waiting::{seconds, values_until, wait_until};
use super::{Arm, TASK_CAPACITY};

/// The service's counts: desired, running, pending.
async fn counts(arm: &dyn Arm) -> (u32, u32, u32) {
    let service = service(arm).await;
    (service.desired, service.running, service.pending)
}

async fn stopped(arm: &dyn Arm) -> Vec<TaskDescription> {
    in_state(arm, TaskState::Stopped).await
}

/// The same stop without its instant.
fn without_instant(stop: Option<TaskStop>) -> Option<TaskStop> {
    stop.map(|stop| TaskStop { at: None, ..stop })
}

/// Asserts that the service scheduler stopped the task, whose process exited with this code.
fn assert_scaled_in(task: &TaskDescription, exit_code: Option<i32>) {
    let stop = task.stop.clone().unwrap();
    let reason = stop.reason.clone();
    let deployment = reason
        .strip_prefix("Scaling activity initiated by (deployment ecs-svc/")
        .and_then(|rest| rest.strip_suffix(')'));
    assert!(deployment.is_some_and(|id| id.parse::<u64>().is_ok()), "{reason}");
    assert!(stop.is_requested());
    let code = "ServiceSchedulerInitiated".to_owned();
    let expected = TaskStop { at: stop.at, code, reason, container_reason: None, exit_code };
    assert_eq!(stop, expected);
}

pub(super) async fn a_missing_service_has_no_tasks(arm: &dyn Arm) {
    let aws = aws(arm);
    assert_eq!(aws.tasks.fetch_tasks(CLUSTER, SERVICE).await.unwrap(), []);
    assert_eq!(aws.tasks.fetch_tasks("none", SERVICE).await.unwrap(), []);
}

pub(super) async fn a_task_starts_and_is_counted(arm: &dyn Arm) {
    let before = arm.now() - TIME_RESOLUTION;
    let states = async || only_task(arm).await.map(|task| task.state);
    aws(arm).logs.create_log_group(LOG_GROUP, &tags("ns/demo")).await.unwrap();
    create_service(arm).await;
    resize(arm, 1).await;
    wait_until(arm, "the task is listed", async || only_task(arm).await.is_some()).await;
    let starting = only_task(arm).await.unwrap();
    let full_id = starting.arn.strip_prefix("arn:aws:ecs:eu-west-1:000000000000:task/default/").unwrap();
    assert!(full_id.len() == 32 && full_id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{full_id}");
    let created_at = starting.created_at;
    assert!(created_at.is_some_and(|at| before <= at && at <= arm.now()), "{created_at:?}");
    let expected = TaskDescription {
        id: TaskId::from_arn(&starting.arn),
        arn: starting.arn.clone(),
        state: TaskState::Starting,
        created_at,
        started_at: None,
        stop: None,
    };
    assert_eq!(starting, expected);
    wait_until(arm, "the task is pending", async || counts(arm).await == (1, 0, 1)).await;
    let has_started = format!("(service kd-service) has started 1 tasks: (task {full_id}).");
    assert_eq!(service(arm).await.last_event, Some(has_started));

    let seen = values_until(arm, Some(TaskState::Running), states).await;
    assert_eq!(seen, [Some(TaskState::Starting), Some(TaskState::Running)]);
    let running = only_task(arm).await.unwrap();
    let started_at = running.started_at;
    assert!(started_at.is_some_and(|at| created_at <= Some(at) && at <= arm.now()), "{started_at:?}");
    assert_eq!(running, TaskDescription { state: TaskState::Running, started_at, ..expected });
    wait_until(arm, "the task is counted", async || counts(arm).await == (1, 1, 0)).await;
    let steady = "(service kd-service) has reached a steady state.";
    assert_eq!(service(arm).await.last_event.as_deref(), Some(steady));
}

pub(super) async fn a_scaled_in_task_stops_and_is_forgotten(arm: &dyn Arm) {
    run_service(arm, 1).await;
    let running = only_task(arm).await.unwrap();
    resize(arm, 0).await;
    let state = async || only_task(arm).await.map(|task| task.state);
    wait_until(arm, "the task is stopping", async || state().await != Some(TaskState::Running)).await;
    let stopping = only_task(arm).await.unwrap();
    assert_eq!(
        stopping,
        TaskDescription { state: TaskState::Stopping, stop: stopping.stop.clone(), ..running }
    );
    // Its process may have exited already.
    assert_scaled_in(
        &stopping,
        stopping.stop.as_ref().and_then(|stop| stop.exit_code).filter(|code| *code == 0),
    );
    // A task that is stopping is not counted any more.
    wait_until(arm, "the task is not counted", async || counts(arm).await == (0, 0, 0)).await;
    let seen = values_until(arm, Some(TaskState::Stopped), state).await;
    assert!(seen.ends_with(&[Some(TaskState::Stopped)]) && seen.len() <= 2, "{seen:?}");
    let stopped = only_task(arm).await.unwrap();
    assert_scaled_in(&stopped, Some(0));
    let expected = TaskDescription { state: TaskState::Stopped, stop: stopped.stop.clone(), ..stopping };
    assert_eq!(stopped, expected);
    arm.let_time_pass(seconds(3_600)).await;
    wait_until(arm, "the task is forgotten", async || only_task(arm).await.is_none()).await;
}

pub(super) async fn a_task_stopped_before_its_start_has_no_exit_code(arm: &dyn Arm) {
    create_service(arm).await;
    resize(arm, 1).await;
    wait_until(arm, "the task is listed", async || only_task(arm).await.is_some()).await;
    resize(arm, 0).await;
    wait_until(arm, "the task has stopped", async || !stopped(arm).await.is_empty()).await;
    let task = only_task(arm).await.unwrap();
    assert_eq!(task.started_at, None);
    assert_scaled_in(&task, None);
}

pub(super) async fn a_killed_task_is_replaced(arm: &dyn Arm) {
    let [killed] = run_service(arm, 1).await.try_into().unwrap();
    arm.kill_process(&killed).await;
    wait_until(arm, "the task has stopped", async || !stopped(arm).await.is_empty()).await;
    let [stopped] = stopped(arm).await.try_into().unwrap();
    let expected = TaskStop {
        at: None,
        code: "EssentialContainerExited".to_owned(),
        reason: "Essential container in task exited".to_owned(),
        container_reason: None,
        exit_code: Some(137),
    };
    assert_eq!(without_instant(stopped.stop.clone()), Some(expected));
    assert!(!stopped.stop.clone().unwrap().is_requested());
    assert_eq!(stopped, TaskDescription { state: TaskState::Stopped, stop: stopped.stop.clone(), ..killed });
    let replaced = async || !in_state(arm, TaskState::Running).await.is_empty();
    wait_until(arm, "another task runs", replaced).await;
    assert_ne!(in_state(arm, TaskState::Running).await[0].arn, stopped.arn);
}

pub(super) async fn a_task_without_its_log_group_fails_to_start(arm: &dyn Arm) {
    create_service(arm).await;
    resize(arm, 1).await;
    wait_until(arm, "a task has stopped", async || !stopped(arm).await.is_empty()).await;
    let task = stopped(arm).await[0].clone();
    let reason = "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist. : exit status 1";
    let expected = TaskStop {
        at: None,
        code: "TaskFailedToStart".to_owned(),
        reason: reason.to_owned(),
        container_reason: None,
        exit_code: None,
    };
    assert_eq!(without_instant(task.stop), Some(expected));
    assert_eq!(task.started_at, None);
}

pub(super) async fn tasks_beyond_the_quota_are_not_placed(arm: &dyn Arm) {
    let capacity = usize::try_from(TASK_CAPACITY).unwrap();
    run_service(arm, capacity).await;
    resize(arm, TASK_CAPACITY + 1).await;
    let message = "(service kd-service) was unable to place a task. Reason: You've reached the limit on the number of vCPUs you can run concurrently.";
    let is_told = async || service(arm).await.last_event.as_deref() == Some(message);
    wait_until(arm, "the service tells that it cannot place a task", is_told).await;
    let counted = async || counts(arm).await == (TASK_CAPACITY + 1, TASK_CAPACITY, 0);
    wait_until(arm, "the tasks are counted", counted).await;
    assert_eq!(tasks(arm).await.len(), capacity);
}

pub(super) async fn a_protected_task_is_not_scaled_in(arm: &dyn Arm) {
    let aws = aws(arm);
    let running = run_service(arm, 3).await;
    let protected = running[1].arn.clone();
    aws.tasks.protect_tasks(CLUSTER, std::slice::from_ref(&protected), 60).await.unwrap();
    resize(arm, 0).await;
    wait_until(arm, "two tasks have stopped", async || stopped(arm).await.len() == 2).await;
    let left = in_state(arm, TaskState::Running).await;
    assert!(left.iter().map(|task| &task.arn).eq([&protected]), "{left:?}");
    aws.tasks.release_tasks(CLUSTER, &[protected]).await.unwrap();
    wait_until(arm, "the last task has stopped", async || stopped(arm).await.len() == 3).await;
}

pub(super) async fn protection_expires(arm: &dyn Arm) {
    let running = run_service(arm, 1).await;
    aws(arm).tasks.protect_tasks(CLUSTER, std::slice::from_ref(&running[0].arn), 1).await.unwrap();
    let protected_at = arm.now();
    resize(arm, 0).await;
    wait_until(arm, "the task has stopped", async || !stopped(arm).await.is_empty()).await;
    let stop_at: MicroTime = only_task(arm).await.unwrap().stop.unwrap().at.unwrap();
    // The sandbox's scheduler looks every second here.
    assert!((59..120).contains(&stop_at.since(protected_at).as_secs()), "{protected_at} {stop_at}");
}

pub(super) async fn protection_is_checked(arm: &dyn Arm) {
    let aws = aws(arm);
    let arn = |number: u32| format!("arn:aws:ecs:eu-west-1:000000000000:task/default/{number:032}");
    // The call succeeds. Its response lists the tasks that it could not protect.
    let missing: Vec<String> = (0..11).map(arn).collect();
    aws.tasks.protect_tasks(CLUSTER, &missing, 2_880).await.unwrap();
    aws.tasks.protect_tasks(CLUSTER, &[], 1).await.unwrap();
    let refused = |target: &str, class, code: &str, message: &str| -> AwsError {
        refusal(class, "UpdateTaskProtection", target, code, message)
    };
    for minutes in [0, 2_881] {
        let message = "expiresInMinutes must be between 1 and 2880.";
        let expected = refused(CLUSTER, AwsErrorClass::Invalid, "InvalidParameterException", message);
        assert_refused(aws.tasks.protect_tasks(CLUSTER, &missing, minutes).await, expected);
    }
    let (class, code) = (AwsErrorClass::NotFound, "ClusterNotFoundException");
    let expected = refused("none", class, code, "Cluster not found.");
    assert_refused(aws.tasks.release_tasks("none", &missing).await, expected);

    // Only a running task can be protected.
    create_service(arm).await;
    resize(arm, 1).await;
    wait_until(arm, "the task is listed", async || only_task(arm).await.is_some()).await;
    let starting = only_task(arm).await.unwrap();
    assert_eq!(starting.state, TaskState::Starting);
    aws.tasks.protect_tasks(CLUSTER, &[starting.arn], 60).await.unwrap();
    resize(arm, 0).await;
    wait_until(arm, "the task has stopped", async || !stopped(arm).await.is_empty()).await;
    assert_scaled_in(&only_task(arm).await.unwrap(), None);
}

pub(super) async fn a_service_drains_until_its_tasks_have_stopped(arm: &dyn Arm) {
    let aws = aws(arm);
    let running = run_service(arm, 1).await;
    // Protection does not keep tasks of a service that is deleted.
    aws.tasks.protect_tasks(CLUSTER, std::slice::from_ref(&running[0].arn), 60).await.unwrap();
    aws.services.delete_service(CLUSTER, SERVICE).await.unwrap();
    let draining = service(arm).await;
    assert_eq!((draining.state, draining.desired), (ServiceState::Draining, 0));

    let message = "Unable to Start a service that is still Draining.";
    let (class, code) = (AwsErrorClass::Transient, "InvalidParameterException");
    let expected = refusal(class, "CreateService", SERVICE, code, message);
    assert_refused(aws.services.create_service(&a_service()).await, expected);
    let (class, code) = (AwsErrorClass::NotFound, "ServiceNotActiveException");
    let expected = refusal(class, "UpdateService", SERVICE, code, "Service was not ACTIVE.");
    assert_refused(aws.services.resize_service(CLUSTER, SERVICE, 1).await, expected);
    let message = "ECS service doesn't exist: service/default/kd-service";
    let (class, target) = (AwsErrorClass::Transient, "service/default/kd-service");
    let expected = refusal(class, "RegisterScalableTarget", target, "ValidationException", message);
    let at = arm.now() + seconds(60);
    assert_refused(aws.scaling.put_scheduled_scale_to_zero(CLUSTER, SERVICE, 1, at).await, expected);
    aws.services.delete_service(CLUSTER, SERVICE).await.unwrap();

    let state = async || service(arm).await.state;
    let seen = values_until(arm, ServiceState::Inactive, state).await;
    assert_eq!(seen, [ServiceState::Draining, ServiceState::Inactive]);
    wait_until(arm, "the task has stopped", async || !stopped(arm).await.is_empty()).await;
    assert_scaled_in(&only_task(arm).await.unwrap(), Some(0));
    aws.task_definitions.register_task_definition(&a_definition(arm.now())).await.unwrap();
    aws.services.create_service(&a_service()).await.unwrap();
    assert_eq!(state().await, ServiceState::Active);
}

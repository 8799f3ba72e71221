//! ECS tasks. In: a service. Out: its tasks and their protection.

use async_trait::async_trait;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{DesiredStatus, Task};
use aws_smithy_types::DateTime;
use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::TaskId;

use super::client::Api;
use super::task_definitions::CONTAINER;
use super::{AwsErrorClass, AwsResult, TaskDescription, TaskState, TaskStop, Tasks};

/// ECS API reference, DescribeTasks: up to 100 tasks.
const TASKS_PER_DESCRIBE: usize = 100;

/// ECS API reference, UpdateTaskProtection: up to 10 tasks.
const TASKS_PER_PROTECTION: usize = 10;

/// The ECS API for tasks.
pub struct EcsTasks(Api<Client>);

impl EcsTasks {
    pub(super) fn new(api: Api<Client>) -> Self {
        Self(api)
    }

    async fn fetch_arns(
        &self,
        cluster: &str,
        service: &str,
        desired: DesiredStatus,
    ) -> AwsResult<Vec<String>> {
        let Self(api) = self;
        let mut arns = Vec::new();
        let mut token = None;
        loop {
            let request = api
                .client
                .list_tasks()
                .cluster(cluster)
                .service_name(service)
                .desired_status(desired.clone())
                .set_next_token(token.take())
                .send();
            let page = match api.call("ListTasks", service, request).await {
                Err(error) if error.class == AwsErrorClass::NotFound => return Ok(Vec::new()),
                page => page?,
            };
            arns.extend(page.task_arns.unwrap_or_default());
            match page.next_token {
                Some(next) => token = Some(next),
                None => return Ok(arns),
            }
        }
    }

    async fn set_protection(&self, cluster: &str, arns: &[String], minutes: Option<u32>) -> AwsResult<()> {
        let Self(api) = self;
        for batch in arns.chunks(TASKS_PER_PROTECTION) {
            let request = api
                .client
                .update_task_protection()
                .cluster(cluster)
                .set_tasks(Some(batch.to_vec()))
                .protection_enabled(minutes.is_some())
                .set_expires_in_minutes(minutes.map(|minutes| i32::try_from(minutes).unwrap_or(i32::MAX)))
                .send();
            // The response lists tasks that could not be changed. They have stopped or are
            // stopping, and need no protection.
            api.call("UpdateTaskProtection", cluster, request).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Tasks for EcsTasks {
    async fn fetch_tasks(&self, cluster: &str, service: &str) -> AwsResult<Vec<TaskDescription>> {
        let Self(api) = self;
        let mut arns = self.fetch_arns(cluster, service, DesiredStatus::Running).await?;
        arns.extend(self.fetch_arns(cluster, service, DesiredStatus::Stopped).await?);
        // A task that starts to stop between the two calls is in both lists.
        arns.sort();
        arns.dedup();
        let mut tasks = Vec::new();
        for batch in arns.chunks(TASKS_PER_DESCRIBE) {
            let request = api.client.describe_tasks().cluster(cluster).set_tasks(Some(batch.to_vec())).send();
            let response = api.call("DescribeTasks", service, request).await?;
            tasks.extend(response.tasks.unwrap_or_default().into_iter().filter_map(task_description));
        }
        Ok(tasks)
    }

    async fn protect_tasks(&self, cluster: &str, arns: &[String], minutes: u32) -> AwsResult<()> {
        self.set_protection(cluster, arns, Some(minutes)).await
    }

    async fn release_tasks(&self, cluster: &str, arns: &[String]) -> AwsResult<()> {
        self.set_protection(cluster, arns, None).await
    }
}

fn task_description(task: Task) -> Option<TaskDescription> {
    let state = state_of(task.last_status()?, task.desired_status());
    let stop = stop_of(&task);
    let arn = task.task_arn?;
    Some(TaskDescription {
        id: TaskId::from_arn(&arn),
        arn,
        state,
        created_at: task.created_at.map(instant),
        started_at: task.started_at.map(instant),
        stop,
    })
}

/// The stop code and reason of a task. They are set long before it is STOPPED. A task may have more
/// containers, as GuardDuty adds its agent on Fargate
/// (<https://github.com/aws/aws-cdk/issues/32877>), so our container is found by its name, wherever
/// it is in the list.
fn stop_of(task: &Task) -> Option<TaskStop> {
    let code = task.stop_code()?.as_str().to_owned();
    let containers = task.containers();
    let ours = containers.iter().find(|container| container.name() == Some(CONTAINER));
    let container = ours
        .or_else(|| containers.iter().find(|container| container.exit_code().is_some()))
        .or(containers.first());
    let at = task.execution_stopped_at().or(task.stopping_at()).or(task.stopped_at());
    Some(TaskStop {
        at: at.copied().map(instant),
        code,
        reason: task.stopped_reason().unwrap_or_default().to_owned(),
        container_reason: container.and_then(|container| container.reason()).map(str::to_owned),
        exit_code: container.and_then(|container| container.exit_code()),
    })
}

/// The life cycle is in the Amazon ECS developer guide, "Task lifecycle". An unknown status is
/// treated as stopping: nothing may rely on such a task.
fn state_of(last: &str, desired: Option<&str>) -> TaskState {
    match (last, desired) {
        ("STOPPED" | "DELETED", _) => TaskState::Stopped,
        (_, Some("STOPPED")) => TaskState::Stopping,
        ("PROVISIONING" | "PENDING" | "ACTIVATING", _) => TaskState::Starting,
        ("RUNNING", _) => TaskState::Running,
        _ => TaskState::Stopping,
    }
}

fn instant(at: DateTime) -> MicroTime {
    MicroTime::from_micros(i64::try_from(at.as_nanos().div_euclid(1_000)).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use aws_sdk_ecs::config::retry::RetryConfig;
    use aws_sdk_ecs::operation::describe_tasks::DescribeTasksOutput;
    use aws_sdk_ecs::operation::list_tasks::ListTasksOutput;
    use aws_sdk_ecs::operation::update_task_protection::UpdateTaskProtectionOutput;
    use aws_sdk_ecs::types::{Failure, TaskStopCode};
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};

    use super::*;
    use crate::aws::client::tests::{refused, unobserved};

    fn tasks(rules: &[&Rule]) -> EcsTasks {
        EcsTasks::new(unobserved(mock_client!(aws_sdk_ecs, RuleMode::Sequential, rules, |config| config
            .retry_config(RetryConfig::disabled()))))
    }

    fn arn(number: usize) -> String {
        format!("arn:aws:ecs:eu-west-1:000000000000:task/demo/{number:08x}{:024x}", 0)
    }

    fn listed(numbers: std::ops::Range<usize>, token: Option<&str>) -> ListTasksOutput {
        let arns = numbers.map(arn).collect();
        ListTasksOutput::builder().set_task_arns(Some(arns)).set_next_token(token.map(str::to_owned)).build()
    }

    #[test]
    fn a_task_with_desired_status_stopped_is_stopping() {
        let table = [
            ("PROVISIONING", "RUNNING", TaskState::Starting),
            ("PENDING", "RUNNING", TaskState::Starting),
            ("ACTIVATING", "RUNNING", TaskState::Starting),
            ("RUNNING", "RUNNING", TaskState::Running),
            ("RUNNING", "STOPPED", TaskState::Stopping),
            ("PENDING", "STOPPED", TaskState::Stopping),
            ("DEACTIVATING", "STOPPED", TaskState::Stopping),
            ("STOPPING", "STOPPED", TaskState::Stopping),
            ("DEPROVISIONING", "STOPPED", TaskState::Stopping),
            ("STOPPED", "STOPPED", TaskState::Stopped),
            ("DELETED", "STOPPED", TaskState::Stopped),
        ];
        for (last, desired, state) in table {
            assert_eq!(state_of(last, Some(desired)), state, "{last}, desired {desired}");
        }
    }

    #[test]
    fn a_stopped_task_has_the_reason_from_ecs() {
        let container = |name: &str| aws_sdk_ecs::types::Container::builder().name(name);
        let killed = Task::builder()
            .task_arn(arn(1))
            .last_status("STOPPED")
            .desired_status("STOPPED")
            .stop_code(TaskStopCode::EssentialContainerExited)
            .stopped_reason("Essential container in task exited")
            .stopping_at(DateTime::from_millis(1_800_000_000_250))
            .stopped_at(DateTime::from_millis(1_800_000_009_000))
            .containers(container("sidecar").build())
            .containers(
                container("generator")
                    .exit_code(137)
                    .reason("OutOfMemoryError: Container killed due to memory usage")
                    .build(),
            )
            .build();
        let stop = task_description(killed).unwrap().stop.unwrap();
        assert_eq!(
            stop.describe(),
            "Essential container in task exited (EssentialContainerExited, exit code 137, OutOfMemoryError: Container killed due to memory usage)"
        );
        assert_eq!(stop.at, Some(MicroTime::from_micros(1_800_000_000_250_000)));
        assert!(!stop.is_requested());

        let scaled_in = Task::builder()
            .task_arn(arn(2))
            .last_status("RUNNING")
            .desired_status("STOPPED")
            .stop_code(TaskStopCode::ServiceSchedulerInitiated)
            .stopped_reason("Scaling activity initiated by (deployment ecs-svc/1)")
            .build();
        assert!(task_description(scaled_in).unwrap().stop.unwrap().is_requested());
        let runs = Task::builder().task_arn(arn(3)).last_status("RUNNING").desired_status("RUNNING").build();
        assert_eq!(task_description(runs).unwrap().stop, None);
    }

    /// A container by name, exit code and reason.
    type Ended = (&'static str, Option<i32>, Option<&'static str>);

    #[test]
    fn the_stop_reason_is_that_of_the_generator_container() {
        let oom = "OutOfMemoryError: Container killed due to memory usage";
        let pull = "CannotPullContainerError: pull access denied";
        let agent = "aws-guardduty-agent-3f1c";
        let table: [(&[Ended], Option<i32>, Option<&str>); 6] = [
            (&[(agent, Some(0), None), ("generator", Some(137), Some(oom))], Some(137), Some(oom)),
            (&[("generator", Some(137), Some(oom)), (agent, Some(0), None)], Some(137), Some(oom)),
            (&[(agent, None, None), ("generator", None, Some(pull))], None, Some(pull)),
            (&[(agent, Some(1), Some("gone")), ("generator", None, Some(pull))], None, Some(pull)),
            (&[("other", None, None), (agent, Some(1), Some("gone"))], Some(1), Some("gone")),
            (&[], None, None),
        ];
        for (ended, exit_code, reason) in table {
            let containers = ended.iter().map(|(name, code, reason)| {
                aws_sdk_ecs::types::Container::builder()
                    .name(*name)
                    .set_exit_code(*code)
                    .set_reason(reason.map(str::to_owned))
                    .build()
            });
            let task = Task::builder()
                .stop_code(TaskStopCode::EssentialContainerExited)
                .set_containers(Some(containers.collect()))
                .build();
            let stop = stop_of(&task).unwrap();
            assert_eq!((stop.exit_code, stop.container_reason.as_deref()), (exit_code, reason), "{ended:?}");
        }
    }

    #[tokio::test]
    async fn all_pages_of_both_lists_are_described_a_hundred_at_a_time() {
        let first = mock!(Client::list_tasks).then_compute_output(|request| {
            assert_eq!((request.cluster(), request.service_name()), (Some("demo"), Some("kd-service")));
            assert_eq!(
                (request.desired_status(), request.next_token()),
                (Some(&DesiredStatus::Running), None)
            );
            listed(0..100, Some("more"))
        });
        let second = mock!(Client::list_tasks).then_compute_output(|request| {
            assert_eq!(request.next_token(), Some("more"));
            listed(100..120, None)
        });
        let stopped = mock!(Client::list_tasks).then_compute_output(|request| {
            assert_eq!(
                (request.desired_status(), request.next_token()),
                (Some(&DesiredStatus::Stopped), None)
            );
            listed(119..130, None)
        });
        let hundred = mock!(Client::describe_tasks).then_compute_output(describe);
        let rest = mock!(Client::describe_tasks).then_compute_output(describe);
        let rules = [&first, &second, &stopped, &hundred, &rest];
        let seen = tasks(&rules).fetch_tasks("demo", "kd-service").await.unwrap();
        let expected: Vec<_> = (0..130).filter(|number| *number != 7).map(arn).collect();
        assert_eq!(seen.iter().map(|task| task.arn.clone()).collect::<Vec<_>>(), expected);
        assert_eq!((seen[0].id.as_str(), seen[0].state), ("00000000", TaskState::Running));
        assert_eq!(seen[0].started_at, Some(MicroTime::from_micros(1_800_000_000_250_000)));
    }

    /// Describes the requested tasks. Task number 7 has vanished in the meantime.
    fn describe(request: &aws_sdk_ecs::operation::describe_tasks::DescribeTasksInput) -> DescribeTasksOutput {
        assert!(request.tasks().len() == 100 || request.tasks().len() == 30, "{}", request.tasks().len());
        let vanished = arn(7);
        let present = request.tasks().iter().filter(|arn| **arn != vanished);
        let described = present.map(|arn| {
            Task::builder()
                .task_arn(arn)
                .last_status("RUNNING")
                .desired_status("RUNNING")
                .started_at(DateTime::from_millis(1_800_000_000_250))
                .build()
        });
        let failure = Failure::builder().arn(&vanished).reason("MISSING").build();
        DescribeTasksOutput::builder().set_tasks(Some(described.collect())).failures(failure).build()
    }

    #[tokio::test]
    async fn a_deleted_service_and_one_without_tasks_have_no_tasks() {
        let none = mock!(Client::list_tasks).sequence().output(|| listed(0..0, None)).times(2).build();
        assert_eq!(tasks(&[&none]).fetch_tasks("demo", "kd-service").await.unwrap(), []);
        let deleted = mock!(Client::list_tasks)
            .sequence()
            .http_response(|| refused(400, "ServiceNotFoundException", "Service not found."))
            .times(2)
            .build();
        assert_eq!(tasks(&[&deleted]).fetch_tasks("demo", "kd-service").await.unwrap(), []);
        let denied =
            mock!(Client::list_tasks).then_http_response(|| refused(400, "AccessDeniedException", "no"));
        let error = tasks(&[&denied]).fetch_tasks("demo", "kd-service").await.unwrap_err();
        assert_eq!(error.class, AwsErrorClass::Denied);
    }

    #[tokio::test]
    async fn protection_takes_ten_tasks_a_call_and_ignores_stopped_ones() {
        let full = mock!(Client::update_task_protection).then_compute_output(|request| {
            assert_eq!((request.cluster(), request.tasks().len()), (Some("demo"), 10));
            assert_eq!((request.protection_enabled(), request.expires_in_minutes()), (Some(true), Some(5)));
            let failure = Failure::builder().arn(arn(3)).reason("TASK_NOT_VALID").build();
            UpdateTaskProtectionOutput::builder().failures(failure).build()
        });
        let rest = mock!(Client::update_task_protection).then_compute_output(|request| {
            assert_eq!(request.tasks(), [arn(10), arn(11)]);
            UpdateTaskProtectionOutput::builder().build()
        });
        let arns: Vec<_> = (0..12).map(arn).collect();
        tasks(&[&full, &rest]).protect_tasks("demo", &arns, 5).await.unwrap();
        assert_eq!((full.num_calls(), rest.num_calls()), (1, 1));

        let released = mock!(Client::update_task_protection).then_compute_output(|request| {
            assert_eq!((request.protection_enabled(), request.expires_in_minutes()), (Some(false), None));
            UpdateTaskProtectionOutput::builder().build()
        });
        tasks(&[&released]).release_tasks("demo", &arns[..1]).await.unwrap();
    }
}

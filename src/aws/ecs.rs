//! Amazon ECS: task definitions, services and tasks, with our own types.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::TaskId;
use kinesis_demo_api::demo::Architecture;

use super::error::AwsResult;
use super::tags::Tags;

/// A task definition to register: one Fargate container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTaskDefinition {
    pub family: String,
    pub image: String,
    pub cpu: u32,
    pub memory_mib: u32,
    pub architecture: Architecture,
    pub task_role_arn: String,
    pub execution_role_arn: String,
    pub environment: BTreeMap<String, String>,
    pub log_group: String,
    pub region: String,
    /// The time from SIGTERM to SIGKILL; at most 120 s on Fargate.
    pub stop_timeout: Duration,
    pub tags: Tags,
}

/// A task definition, as described by ECS: the latest active revision of a family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDefinitionDescription {
    pub arn: String,
    pub tags: Tags,
}

/// ECS task definitions.
#[async_trait]
pub trait TaskDefinitions: Send + Sync {
    /// DescribeTaskDefinition of a family's latest active revision, with tags.
    async fn fetch_task_definition(&self, family: &str) -> AwsResult<Option<TaskDefinitionDescription>>;
    /// RegisterTaskDefinition.
    async fn register_task_definition(&self, definition: &NewTaskDefinition) -> AwsResult<()>;
    /// DeregisterTaskDefinition.
    async fn deregister_task_definition(&self, arn: &str) -> AwsResult<()>;
    /// ListTaskDefinitions of the family that are INACTIVE (deregistered, not deleted yet).
    async fn fetch_inactive_task_definitions(&self, family: &str) -> AwsResult<Vec<String>>;
    /// DeleteTaskDefinitions.
    async fn delete_task_definition(&self, arn: &str) -> AwsResult<()>;
}

/// A service to create: Fargate, without tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewService {
    pub cluster: String,
    pub name: String,
    /// The family. ECS uses its latest active revision.
    pub task_definition: String,
    /// At most 36 characters. Requests with the same token create one service.
    pub client_token: String,
    pub subnets: Vec<String>,
    pub security_groups: Vec<String>,
    pub assign_public_ip: bool,
    pub tags: Tags,
}

/// A service's status in ECS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceState {
    Active,
    Draining,
    Inactive,
}

/// A service, as described by ECS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceDescription {
    pub arn: String,
    pub state: ServiceState,
    pub desired: u32,
    pub running: u32,
    pub pending: u32,
    pub tags: Tags,
    /// The message of the service's latest event.
    pub last_event: Option<String>,
}

/// ECS clusters and services.
#[async_trait]
pub trait Services: Send + Sync {
    /// DescribeClusters: whether the cluster exists and is ACTIVE.
    async fn fetch_cluster_is_active(&self, cluster: &str) -> AwsResult<bool>;
    /// DescribeServices, with tags.
    async fn fetch_service(&self, cluster: &str, name: &str) -> AwsResult<Option<ServiceDescription>>;
    /// CreateService with a desired count of zero.
    async fn create_service(&self, service: &NewService) -> AwsResult<()>;
    /// UpdateService: the desired count, nothing else.
    async fn resize_service(&self, cluster: &str, name: &str, desired: u32) -> AwsResult<()>;
    /// UpdateService of the desired count only.
    async fn delete_service(&self, cluster: &str, name: &str) -> AwsResult<()>;
}

/// The state of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// PROVISIONING, PENDING or ACTIVATING.
    Starting,
    /// RUNNING, and meant to keep running.
    Running,
    /// Stopping: its desired status is STOPPED, or it is DEACTIVATING, STOPPING or DEPROVISIONING.
    Stopping,
    /// STOPPED.
    Stopped,
}

/// A task, as described by ECS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDescription {
    pub id: TaskId,
    pub arn: String,
    pub state: TaskState,
    pub created_at: Option<MicroTime>,
    pub started_at: Option<MicroTime>,
    /// Why it stopped or is about to stop.
    pub stop: Option<TaskStop>,
}

/// Why a task stopped, as reported by ECS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStop {
    pub at: Option<MicroTime>,
    /// `stopCode`, as in `EssentialContainerExited`.
    pub code: String,
    /// `stoppedReason`, as in `CannotPullContainerError: …`.
    pub reason: String,
    /// The container's reason, as in `OutOfMemoryError: …`.
    pub container_reason: Option<String>,
    pub exit_code: Option<i32>,
}

impl TaskStop {
    /// Whether the service scheduler stopped it, because the service was scaled in or deleted.
    pub fn is_requested(&self) -> bool {
        self.code == "ServiceSchedulerInitiated"
    }

    /// A one-line summary for people.
    pub fn describe(&self) -> String {
        let Self { code, reason, container_reason, exit_code, .. } = self;
        let exit_code = exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
        let container_reason = container_reason.as_deref().map(|why| format!(", {why}")).unwrap_or_default();
        format!("{reason} ({code}{exit_code}{container_reason})")
    }
}

/// ECS tasks.
#[async_trait]
pub trait Tasks: Send + Sync {
    /// The tasks of a service: those meant to run, and those that stopped recently (ECS forgets
    /// them after an hour).
    async fn fetch_tasks(&self, cluster: &str, service: &str) -> AwsResult<Vec<TaskDescription>>;
    /// UpdateTaskProtection: excludes these tasks from scale-in for `minutes` (ECS takes ten ARNs
    /// per call).
    async fn protect_tasks(&self, cluster: &str, arns: &[String], minutes: u32) -> AwsResult<()>;
    /// UpdateTaskProtection: makes these tasks eligible for scale-in again.
    async fn release_tasks(&self, cluster: &str, arns: &[String]) -> AwsResult<()>;
}

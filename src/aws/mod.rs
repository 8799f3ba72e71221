//! AWS at arm's length: one narrow trait per topic, our types in and out. The SDK appears below this module and nowhere else.
//!
//! Reads answer what was seen, `None` where there is nothing. Writes are safe to repeat: creating what exists already and
//! deleting what is gone are answers of their own (`AlreadyExists`, `NotFound`), never surprises.

pub mod dashboards;
pub mod error;
pub mod fake;
pub mod identity;
pub mod logs;
pub mod metrics;
pub mod parameters;
pub mod scaling;
pub mod service;
pub mod session;
pub mod skew;
pub mod streams;
mod suspect_connection;
pub mod task_definitions;
pub mod tasks;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::TaskId;
use kinesis_demo_api::demo::Architecture;
use kinesis_demo_api::ledger::LedgerLine;

pub use error::{AwsError, AwsErrorClass};

/// The tag that says whose a resource is: the owner's value is made by `run::build::owner`.
pub const OWNER_TAG: &str = "kinesisdemo.io/owner";

/// The CloudWatch namespace of the generator's metrics and ours.
pub const METRICS_NAMESPACE: &str = "KinesisDemo";

/// The dimension of every metric that names the run.
pub const RUN_DIMENSION: &str = "RunName";

/// Tags of a resource.
pub type Tags = BTreeMap<String, String>;

/// Result of a call.
pub type AwsResult<T> = Result<T, AwsError>;

/// The AWS of one account in one region.
#[derive(Clone)]
pub struct Aws {
    pub identity: Arc<dyn Identity>,
    pub streams: Arc<dyn Streams>,
    pub task_definitions: Arc<dyn TaskDefinitions>,
    pub services: Arc<dyn Services>,
    pub tasks: Arc<dyn Tasks>,
    pub scaling: Arc<dyn Scaling>,
    pub parameters: Arc<dyn Parameters>,
    pub logs: Arc<dyn Logs>,
    pub dashboards: Arc<dyn Dashboards>,
    pub metrics: Arc<dyn Metrics>,
    pub clock: Arc<dyn AwsClock>,
}

/// How far our clock is ahead of AWS's, in microseconds: between these two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSkew {
    pub at_least: i64,
    pub at_most: i64,
}

impl ClockSkew {
    /// What clocks may differ by without any effect on a run.
    const TOLERATED: i64 = 500_000;

    /// Whether our clock is certainly right enough.
    pub fn agrees(self) -> bool {
        self.at_least >= -Self::TOLERATED && self.at_most <= Self::TOLERATED
    }

    /// In which direction our clock is off, and about how far, if it certainly is.
    pub fn differs(self) -> Option<String> {
        let middle = self.at_least.saturating_add((self.at_most - self.at_least) / 2);
        let amount = match middle.unsigned_abs() {
            micros if micros < 10_000_000 => {
                format!("{}.{} s", micros / 1_000_000, micros / 100_000 % 10)
            }
            micros => format!("{} s", micros.saturating_add(500_000) / 1_000_000),
        };
        if self.at_least > Self::TOLERATED {
            Some(format!("about {amount} ahead of"))
        } else if self.at_most < -Self::TOLERATED {
            Some(format!("about {amount} behind"))
        } else {
            None
        }
    }
}

/// AWS's clock, as its answers tell it.
pub trait AwsClock: Send + Sync {
    /// What recent answers say of the difference; `None` before there was one.
    fn skew(&self) -> Option<ClockSkew>;
}

/// Gives the AWS of a region.
pub trait Regions: Send + Sync {
    /// The clients of `region`.
    fn in_region(&self, region: &str) -> Aws;
}

/// Who we are (STS).
#[async_trait]
pub trait Identity: Send + Sync {
    /// The account that our credentials belong to.
    async fn fetch_account_id(&self) -> AwsResult<String>;
}

/// A stream's state, in AWS's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamState {
    Creating,
    Active,
    Updating,
    Deleting,
}

/// Warm throughput in MiB/s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warm {
    pub target: u32,
    pub current: u32,
}

/// A stream as seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamDescription {
    pub arn: String,
    pub state: StreamState,
    pub open_shards: u32,
    pub warm: Option<Warm>,
    /// When it was made: another stream of the same name was made at another time.
    pub created_at: Option<MicroTime>,
    /// Its queues, where Kinesis tells: a stream with queues cannot be deleted.
    pub queues: u32,
}

/// A log group as seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogGroupDescription {
    /// Without the trailing `:*`.
    pub arn: String,
    /// Whether its lines go after a time. Without that they are kept, and paid for, for ever.
    pub has_retention: bool,
}

/// A stream to make: on demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewStream {
    pub name: String,
    pub warm_mib_per_second: Option<u32>,
    pub tags: Tags,
}

/// The state of On-demand Advantage (the minimum throughput billing commitment).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advantage {
    Enabled,
    /// Switched off, but in force until the 24 hours are over. Warm throughput still works.
    EnabledUntilEarliestAllowedEnd,
    Disabled,
}

impl Advantage {
    /// Whether warm throughput may be asked for.
    pub fn is_on(self) -> bool {
        !matches!(self, Self::Disabled)
    }
}

/// Kinesis streams.
#[async_trait]
pub trait Streams: Send + Sync {
    /// DescribeStreamSummary.
    async fn fetch_stream(&self, name: &str) -> AwsResult<Option<StreamDescription>>;
    /// ListTagsForResource.
    async fn fetch_stream_tags(&self, arn: &str) -> AwsResult<Tags>;
    /// CreateStream.
    async fn create_stream(&self, stream: &NewStream) -> AwsResult<()>;
    /// UpdateStreamWarmThroughput; zero releases it.
    async fn update_warm_throughput(&self, arn: &str, mib_per_second: u32) -> AwsResult<()>;
    /// DeleteStream. The stream's consumers go with it.
    async fn delete_stream(&self, arn: &str) -> AwsResult<()>;
    /// DescribeAccountSettings.
    async fn fetch_advantage(&self) -> AwsResult<Advantage>;
}

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
    /// From SIGTERM to SIGKILL; at most 120 s on Fargate.
    pub stop_timeout: Duration,
    pub tags: Tags,
}

/// A task definition as seen: the latest active revision of a family.
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

/// A service to make: Fargate, no tasks yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewService {
    pub cluster: String,
    pub name: String,
    /// The family; ECS takes its latest active revision.
    pub task_definition: String,
    /// At most 36 characters; the same token twice makes one service.
    pub client_token: String,
    pub subnets: Vec<String>,
    pub security_groups: Vec<String>,
    pub assign_public_ip: bool,
    pub tags: Tags,
}

/// A service's state, in AWS's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceState {
    Active,
    Draining,
    Inactive,
}

/// A service as seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceDescription {
    pub arn: String,
    pub state: ServiceState,
    pub desired: u32,
    pub running: u32,
    pub pending: u32,
    pub tags: Tags,
    /// What ECS said last about this service, for people.
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
    /// DeleteService with force.
    async fn delete_service(&self, cluster: &str, name: &str) -> AwsResult<()>;
}

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// PROVISIONING, PENDING or ACTIVATING.
    Starting,
    /// RUNNING, and meant to run.
    Running,
    /// On its way out: told to stop, or DEACTIVATING, STOPPING, DEPROVISIONING.
    Stopping,
    /// STOPPED.
    Stopped,
}

/// A task as seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDescription {
    pub id: TaskId,
    pub arn: String,
    pub state: TaskState,
    pub created_at: Option<MicroTime>,
    pub started_at: Option<MicroTime>,
    /// Why it stopped, or is about to.
    pub stop: Option<TaskStop>,
}

/// Why a task stopped, in ECS's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStop {
    pub at: Option<MicroTime>,
    /// `stopCode`, as in `EssentialContainerExited`.
    pub code: String,
    /// `stoppedReason`, as in `CannotPullContainerError: …`.
    pub reason: String,
    /// The container's own reason, as in `OutOfMemoryError: …`.
    pub container_reason: Option<String>,
    pub exit_code: Option<i32>,
}

impl TaskStop {
    /// Whether the service was to stop it: it got smaller, or is removed.
    pub fn is_asked_for(&self) -> bool {
        self.code == "ServiceSchedulerInitiated"
    }

    /// For people, in one line.
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
    /// The tasks of a service: those that are meant to run, and those that stopped lately (ECS forgets them after an hour).
    async fn fetch_tasks(&self, cluster: &str, service: &str) -> AwsResult<Vec<TaskDescription>>;
    /// UpdateTaskProtection: scale-in spares these tasks for `minutes` (ECS takes ten ARNs per call).
    async fn protect_tasks(&self, cluster: &str, arns: &[String], minutes: u32) -> AwsResult<()>;
    /// UpdateTaskProtection: scale-in may take these tasks again.
    async fn release_tasks(&self, cluster: &str, arns: &[String]) -> AwsResult<()>;
}

/// The one-time scaling action that takes a service to zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledActionDescription {
    /// Whether the service is registered as a scalable target.
    pub target: bool,
    /// When the action fires, in whole seconds, if it is scheduled.
    pub action_at: Option<MicroTime>,
}

/// Application Auto Scaling: AWS itself stops paying tasks when everything of ours is dead.
#[async_trait]
pub trait Scaling: Send + Sync {
    /// DescribeScalableTargets and DescribeScheduledActions; `None` if there is neither.
    async fn fetch_ceiling(
        &self,
        cluster: &str,
        service: &str,
    ) -> AwsResult<Option<ScheduledActionDescription>>;
    /// RegisterScalableTarget (0 to `max_tasks`) and PutScheduledAction at `at` (min = max = 0). Repeating it replaces both.
    async fn put_scheduled_scale_to_zero(
        &self,
        cluster: &str,
        service: &str,
        max_tasks: u32,
        at: MicroTime,
    ) -> AwsResult<()>;
    /// DeleteScheduledAction and DeregisterScalableTarget.
    async fn delete_scheduled_scale_to_zero(&self, cluster: &str, service: &str) -> AwsResult<()>;
}

/// What an overwrite found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverwriteResult {
    /// The parameter was there.
    Replaced,
    /// It was not: somebody had removed it.
    Created,
}

/// Systems Manager parameters.
#[async_trait]
pub trait Parameters: Send + Sync {
    /// GetParameter.
    async fn fetch_parameter(&self, name: &str) -> AwsResult<Option<String>>;
    /// ListTagsForResource.
    async fn fetch_parameter_tags(&self, name: &str) -> AwsResult<Tags>;
    /// PutParameter of a new standard-tier String parameter.
    async fn create_parameter(&self, name: &str, text: &str, tags: &Tags) -> AwsResult<()>;
    /// PutParameter over an existing one. Where there is none, AWS makes one without tags.
    async fn overwrite_parameter(&self, name: &str, text: &str) -> AwsResult<OverwriteResult>;
    /// AddTagsToResource.
    async fn tag_parameter(&self, name: &str, tags: &Tags) -> AwsResult<()>;
    /// DeleteParameter.
    async fn delete_parameter(&self, name: &str) -> AwsResult<()>;
}

/// CloudWatch Logs.
#[async_trait]
pub trait Logs: Send + Sync {
    /// DescribeLogGroups: the group of exactly this name.
    async fn fetch_log_group(&self, name: &str) -> AwsResult<Option<LogGroupDescription>>;
    /// ListTagsForResource.
    async fn fetch_log_group_tags(&self, arn: &str) -> AwsResult<Tags>;
    /// CreateLogGroup.
    async fn create_log_group(&self, name: &str, tags: &Tags) -> AwsResult<()>;
    /// PutRetentionPolicy.
    async fn put_log_retention(&self, name: &str, days: u32) -> AwsResult<()>;
    /// DeleteLogGroup.
    async fn delete_log_group(&self, name: &str) -> AwsResult<()>;
    /// FilterLogEvents, one request: ledger lines logged since `since`, in any order; other lines are left out. The first
    /// page, or the one that the page before names.
    async fn fetch_ledger_page(
        &self,
        group: &str,
        since: MicroTime,
        page: Option<&str>,
    ) -> AwsResult<LedgerPage>;
    /// GetLogEvents: the newest lines of a task's log, oldest first, at most `count`; `None` if it
    /// has no log. `task` is the task's whole id.
    async fn fetch_last_lines(&self, group: &str, task: &str, count: u32) -> AwsResult<Option<Vec<String>>>;
}

/// Some of a log's ledger lines; perhaps none, though more pages follow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LedgerPage {
    pub lines: Vec<LedgerLine>,
    /// What the next page is asked for by; `None`: this was the last one.
    pub next: Option<String>,
}

/// CloudWatch dashboards. They belong to the account, not to a region.
#[async_trait]
pub trait Dashboards: Send + Sync {
    /// GetDashboard: whether there is one of this name.
    async fn fetch_dashboard_exists(&self, name: &str) -> AwsResult<bool>;
    /// PutDashboard: makes it, or replaces its whole body.
    async fn put_dashboard(&self, name: &str, body: &str) -> AwsResult<()>;
    /// DeleteDashboards.
    async fn delete_dashboard(&self, name: &str) -> AwsResult<()>;
}

/// What the operator measures of a run: what CloudWatch has no metric of its own for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RunMetric {
    /// MiB/s that were asked for.
    WarmThroughputTarget,
    /// MiB/s that the stream has.
    WarmThroughputCurrent,
    OpenShards,
    TargetRecordsPerSecond,
    DesiredTasks,
    RunningTasks,
}

impl RunMetric {
    /// Its name in CloudWatch.
    pub fn name(self) -> &'static str {
        match self {
            Self::WarmThroughputTarget => "WarmThroughputTarget",
            Self::WarmThroughputCurrent => "WarmThroughputCurrent",
            Self::OpenShards => "OpenShards",
            Self::TargetRecordsPerSecond => "TargetRecordsPerSecond",
            Self::DesiredTasks => "DesiredTasks",
            Self::RunningTasks => "RunningTasks",
        }
    }
}

/// CloudWatch metrics.
#[async_trait]
pub trait Metrics: Send + Sync {
    /// PutMetricData: what was measured of a run at `at`, in one request.
    async fn put_run_metrics(
        &self,
        run_name: &str,
        at: MicroTime,
        data: &[(RunMetric, u32)],
    ) -> AwsResult<()>;
}

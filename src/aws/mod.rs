//! The AWS APIs: one narrow trait per topic, with our own types. The SDK is used below this module
//! and nowhere else.
//!
//! Reads return the current state, or `None` if the resource does not exist. Writes can be
//! repeated: creating an existing resource fails with `AlreadyExists`, and deleting a missing one
//! with `NotFound`.

pub mod client;
pub mod dashboards;
pub mod ecs;
pub mod error;
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
pub mod tags;
pub mod task_definitions;
pub mod tasks;

use std::sync::Arc;

use async_trait::async_trait;
use kinesis_demo_api::MicroTime;
use kinesis_demo_api::ledger::LedgerLine;

pub use ecs::{
    NewService, NewTaskDefinition, ServiceDescription, ServiceState, Services, TaskDefinitionDescription,
    TaskDefinitions, TaskDescription, TaskState, TaskStop, Tasks,
};
pub use error::{AwsError, AwsResult};
pub use kinesis_demo_api::aws_error::AwsErrorClass;
pub use tags::{OWNER_TAG, Tags};

/// The CloudWatch namespace of the generator's metrics and the operator's.
pub const METRICS_NAMESPACE: &str = "KinesisDemo";

/// The dimension of every metric that names the run.
pub const RUN_DIMENSION: &str = "RunName";

/// The AWS clients of one account in one region.
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

/// The range of our clock's lead over AWS's clock, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSkew {
    pub at_least: i64,
    pub at_most: i64,
}

impl ClockSkew {
    /// A difference up to this has no effect on a run.
    const TOLERATED: i64 = 500_000;

    /// Whether the whole range is within the tolerance.
    pub fn agrees(self) -> bool {
        self.at_least >= -Self::TOLERATED && self.at_most <= Self::TOLERATED
    }

    /// Whether our clock is ahead or behind, and by about how much. `None` unless the whole range
    /// lies outside the tolerance.
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

/// AWS's clock, measured from its responses.
pub trait AwsClock: Send + Sync {
    /// The difference that recent responses show; `None` before the first one.
    fn skew(&self) -> Option<ClockSkew>;
}

/// Provides the AWS clients of a region.
pub trait Regions: Send + Sync {
    /// The clients of `region`.
    fn in_region(&self, region: &str) -> Aws;
}

/// The identity of the caller (STS).
#[async_trait]
pub trait Identity: Send + Sync {
    /// The account that our credentials belong to.
    async fn fetch_account_id(&self) -> AwsResult<String>;
}

/// A stream's status in Kinesis.
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

/// A stream, as described by Kinesis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamDescription {
    pub arn: String,
    pub state: StreamState,
    pub open_shards: u32,
    pub warm: Option<Warm>,
    /// The creation time. It tells apart streams of the same name.
    pub created_at: Option<MicroTime>,
    /// The number of its queues, as reported by Kinesis. A stream with queues cannot be deleted.
    pub queues: u32,
}

/// A log group, as described by CloudWatch Logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogGroupDescription {
    /// Without the trailing `:*`.
    pub arn: String,
    /// Whether its events expire. Without retention they are kept, and billed, forever.
    pub has_retention: bool,
}

/// An on-demand stream to create.
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
    /// Disabled, but in force until the 24 hours are over. Warm throughput still works.
    EnabledUntilEarliestAllowedEnd,
    Disabled,
}

impl Advantage {
    /// Whether warm throughput can be requested.
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
    /// DeleteStream. Also deletes the stream's consumers.
    async fn delete_stream(&self, arn: &str) -> AwsResult<()>;
    /// DescribeAccountSettings.
    async fn fetch_advantage(&self) -> AwsResult<Advantage>;
}

/// The one-time scheduled action that scales a service to zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledActionDescription {
    /// Whether the service is registered as a scalable target.
    pub target: bool,
    /// When the action runs, in whole seconds, if it is scheduled.
    pub action_at: Option<MicroTime>,
}

/// Application Auto Scaling. AWS itself stops tasks, and their cost, when the operator and the
/// generator no longer do.
#[async_trait]
pub trait Scaling: Send + Sync {
    /// DescribeScalableTargets and DescribeScheduledActions; `None` if neither exists.
    async fn fetch_scheduled_scale_to_zero(
        &self,
        cluster: &str,
        service: &str,
    ) -> AwsResult<Option<ScheduledActionDescription>>;
    /// RegisterScalableTarget (0 to `max_tasks`) and PutScheduledAction at `at` (min = max = 0).
    /// Repeating it replaces both.
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

/// The result of an overwrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverwriteResult {
    /// The parameter existed.
    Replaced,
    /// It did not: someone had deleted it.
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
    /// PutParameter over an existing parameter. If there is none, AWS creates one without tags.
    async fn overwrite_parameter(&self, name: &str, text: &str) -> AwsResult<OverwriteResult>;
    /// AddTagsToResource.
    async fn tag_parameter(&self, name: &str, tags: &Tags) -> AwsResult<()>;
    /// DeleteParameter.
    async fn delete_parameter(&self, name: &str) -> AwsResult<()>;
}

/// CloudWatch Logs.
#[async_trait]
pub trait Logs: Send + Sync {
    /// DescribeLogGroups: the log group with exactly this name.
    async fn fetch_log_group(&self, name: &str) -> AwsResult<Option<LogGroupDescription>>;
    /// ListTagsForResource.
    async fn fetch_log_group_tags(&self, arn: &str) -> AwsResult<Tags>;
    /// CreateLogGroup.
    async fn create_log_group(&self, name: &str, tags: &Tags) -> AwsResult<()>;
    /// PutRetentionPolicy.
    async fn put_log_retention(&self, name: &str, days: u32) -> AwsResult<()>;
    /// DeleteLogGroup.
    async fn delete_log_group(&self, name: &str) -> AwsResult<()>;
    /// One FilterLogEvents request: ledger lines logged since `since`, in any order, without other
    /// lines. `page` is the token from the previous page, or `None` for the first one.
    async fn fetch_ledger_page(
        &self,
        group: &str,
        since: MicroTime,
        page: Option<&str>,
    ) -> AwsResult<LedgerPage>;
    /// GetLogEvents: the latest lines of a task's log, at most `count`, oldest first. `None` if the
    /// task has no log. `task` is the full task id.
    async fn fetch_last_lines(&self, group: &str, task: &str, count: u32) -> AwsResult<Option<Vec<String>>>;
}

/// A page of a log's ledger lines. It may be empty although more pages follow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LedgerPage {
    pub lines: Vec<LedgerLine>,
    /// The token of the next page; `None` on the last page.
    pub next: Option<String>,
}

/// CloudWatch dashboards. They belong to the account, not to a region.
#[async_trait]
pub trait Dashboards: Send + Sync {
    /// GetDashboard: whether a dashboard with this name exists.
    async fn fetch_dashboard_exists(&self, name: &str) -> AwsResult<bool>;
    /// PutDashboard: creates it, or replaces its whole body.
    async fn put_dashboard(&self, name: &str, body: &str) -> AwsResult<()>;
    /// DeleteDashboards.
    async fn delete_dashboard(&self, name: &str) -> AwsResult<()>;
}

/// What the operator measures of a run because CloudWatch has no metric for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RunMetric {
    /// Requested MiB/s.
    WarmThroughputTarget,
    /// The stream's current MiB/s.
    WarmThroughputCurrent,
    OpenShards,
    TargetRecordsPerSecond,
    DesiredTasks,
    RunningTasks,
}

impl RunMetric {
    /// The metric's name in CloudWatch.
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
    /// PutMetricData: the values of a run at `at`, in one request.
    async fn put_run_metrics(
        &self,
        run_name: &str,
        at: MicroTime,
        data: &[(RunMetric, u32)],
    ) -> AwsResult<()>;
}

//! The state of ECS by region: clusters, task definitions, services and tasks. Data only. It is
//! changed by the modules named after the operations, by `lifecycle` and by `rollout`. No I/O.
//!
//! Every instant here is model time. Views convert it with `ModelClock::wall_at`. Durations in real
//! time (stop timeouts, protection, read lag) are converted with `Pace::real` when they are added
//! to an instant.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value};

use super::scheduler::{Backoff, Launches};
use crate::parameters::Tags;
use crate::task_runner::LaunchTiming;

/// The speed of model time, to convert real durations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub speed: u32,
}

impl Pace {
    /// The model time that passes during `duration` of real time.
    pub fn real(self, duration: SignedDuration) -> SignedDuration {
        duration * i32::try_from(self.speed).unwrap_or(i32::MAX)
    }
}

/// `at` plus `by`, limited to the largest timestamp.
pub(super) fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

#[derive(Debug)]
pub(super) struct EcsState {
    pub account: String,
    pub pace: Pace,
    /// When tasks are passed to their runner.
    pub launch_timing: LaunchTiming,
    /// The Fargate vCPU quota per region, in CPU units (1,024 per vCPU).
    pub cpu_quota: u64,
    pub initial_clusters: Vec<String>,
    /// Whether the account has the service-linked role of ECS. Without it, ECS creates no cluster
    /// or service.
    pub has_linked_role: bool,
    pub regions: BTreeMap<String, Region>,
    pub rng: ChaCha8Rng,
}

#[derive(Debug, Default)]
pub(super) struct Region {
    pub clusters: BTreeMap<String, Cluster>,
    pub families: BTreeMap<String, Family>,
    /// By cluster and service name.
    pub services: BTreeMap<(String, String), Service>,
    /// By task id.
    pub tasks: BTreeMap<String, Task>,
    pub launches: Launches,
}

#[derive(Clone, Debug)]
pub(super) struct Cluster {
    pub active: bool,
    pub tags: Tags,
    pub settings: Vec<Value>,
    pub capacity_providers: Vec<String>,
    pub default_strategy: Vec<Value>,
}

#[derive(Debug, Default)]
pub(super) struct Family {
    /// The highest revision ever used. Revisions are never reused, even after deletion.
    pub last_revision: u32,
    pub revisions: BTreeMap<u32, Definition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DefinitionStatus {
    Active,
    Inactive,
    DeleteInProgress,
}

/// One revision of a task definition.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    pub body: Arc<DefinitionBody>,
    pub status: DefinitionStatus,
    pub registered_at: Timestamp,
    pub deregistered_at: Option<Timestamp>,
    pub delete_requested_at: Option<Timestamp>,
    pub tags: Tags,
}

/// The parts of a task definition that never change once it is registered.
#[derive(Debug)]
pub(super) struct DefinitionBody {
    pub arn: String,
    pub family: String,
    pub revision: u32,
    /// The CPU units and MiB of the whole task.
    pub cpu: u32,
    pub memory: u32,
    pub containers: Vec<ContainerSpec>,
    /// The registered members as AWS returns them.
    pub echo: Map<String, Value>,
    pub tags: Tags,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ContainerSpec {
    pub name: String,
    pub image: String,
    pub essential: bool,
    pub entry_point: Vec<String>,
    pub command: Vec<String>,
    pub working_directory: Option<String>,
    pub user: Option<String>,
    /// The container's own hard limit in MiB.
    pub memory: Option<u32>,
    pub environment: Vec<(String, String)>,
    pub stop_timeout: SignedDuration,
    pub logs: Option<AwsLogs>,
}

/// The options of the awslogs driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AwsLogs {
    pub region: String,
    pub group: String,
    pub prefix: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServiceStatus {
    Active,
    Draining,
    Inactive,
}

impl ServiceStatus {
    pub fn text(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
            Self::Inactive => "INACTIVE",
        }
    }
}

#[derive(Debug)]
pub(super) struct Service {
    pub arn: String,
    pub name: String,
    pub cluster: String,
    pub status: ServiceStatus,
    pub desired: u32,
    /// The primary deployment comes first.
    pub deployments: Vec<Deployment>,
    /// Newest first.
    pub events: VecDeque<ServiceEvent>,
    pub created_at: Timestamp,
    /// When the service becomes visible to other AWS services.
    pub visible_to_services_at: Timestamp,
    pub inactive_at: Option<Timestamp>,
    pub tags: Tags,
    pub client_token: Option<String>,
    /// The CreateService request, to distinguish a retry from a conflict.
    pub request: Value,
    /// The settings that are returned as set and, if they apply to tasks, passed to them.
    pub settings: ServiceSettings,
    pub backoff: Backoff,
    /// The task counts that reads see, which lag behind the current ones.
    pub published: Published,
    /// Whether the steady state has been announced.
    pub steady: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct ServiceSettings {
    pub launch: LaunchKind,
    pub platform_version: String,
    pub network: Value,
    pub propagate_tags: String,
    pub managed_tags: bool,
    pub execute_command: bool,
    pub rebalancing: String,
    pub maximum_percent: u32,
    pub minimum_healthy_percent: u32,
    pub circuit_breaker: bool,
    pub rollback: bool,
    /// Whether a task that reaches RUNNING resets the circuit breaker's failure count. AWS's
    /// default is true.
    pub reset_on_healthy_task: Option<bool>,
    /// The deployment configuration as it is returned.
    pub deployment_configuration: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum LaunchKind {
    Fargate,
    Strategy(Vec<Value>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rollout {
    InProgress,
    Completed,
    Failed,
}

#[derive(Clone, Debug)]
pub(super) struct Deployment {
    pub id: String,
    pub definition: Arc<DefinitionBody>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub rollout: Rollout,
    pub failed_tasks: u32,
}

#[derive(Clone, Debug)]
pub(super) struct ServiceEvent {
    pub id: String,
    pub at: Timestamp,
    pub message: String,
}

/// Running and pending tasks of one deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub running: u32,
    pub pending: u32,
}

/// Counts by deployment as reads see them. Each value becomes visible some time after it became
/// true.
#[derive(Debug, Default)]
pub(super) struct Published {
    pub visible: BTreeMap<String, Counts>,
    pub upcoming: VecDeque<(Timestamp, BTreeMap<String, Counts>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TaskStatus {
    Provisioning,
    Pending,
    Running,
    Stopping,
    Deprovisioning,
    Stopped,
}

impl TaskStatus {
    pub fn text(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Stopping => "STOPPING",
            Self::Deprovisioning => "DEPROVISIONING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// Why a task stops or stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    pub code: &'static str,
    pub reason: String,
    /// When ListTasks starts to list the task as STOPPED.
    pub listed_at: Timestamp,
}

#[derive(Debug)]
pub(super) struct Task {
    pub id: String,
    pub arn: String,
    pub region: String,
    pub cluster: String,
    /// The service's name and the deployment's id.
    pub service: Option<(String, String)>,
    pub definition: Arc<DefinitionBody>,
    pub capacity_provider: Option<String>,
    pub network: Value,
    pub execute_command: bool,
    pub tags: Tags,
    pub status: TaskStatus,
    pub created_at: Timestamp,
    /// When ListTasks starts to list the task.
    pub listed_at: Timestamp,
    /// When provisioning ends and the image pull begins, and the earliest time at which the task
    /// runs.
    pub pending_at: Timestamp,
    pub start_at: Timestamp,
    pub pull_started_at: Option<Timestamp>,
    pub pull_stopped_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub stopping_at: Option<Timestamp>,
    pub execution_stopped_at: Option<Timestamp>,
    pub stopped_at: Option<Timestamp>,
    /// Set as soon as the task is to be stopped.
    pub stop: Option<Stop>,
    /// When the containers that still run are killed.
    pub kill_at: Option<Timestamp>,
    pub killed: bool,
    /// When deprovisioning ends.
    pub deprovisioned_at: Option<Timestamp>,
    /// Whether it has been passed to its runner.
    pub launched: bool,
    /// Whether its runner has not yet reported the outcome of the launch.
    pub starting: bool,
    pub protected_until: Option<Timestamp>,
    pub containers: Vec<Container>,
    /// The task's private IP address. Nothing listens there; it helps to tell tasks apart.
    pub address: String,
    /// The number of visible changes, returned as `version`.
    pub version: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Container {
    pub runtime_id: String,
    pub arn: String,
    pub exit_code: Option<i32>,
    pub reason: Option<String>,
    /// Whether it has been started and has not ended.
    pub alive: bool,
}

impl Task {
    /// Whether the desired status is RUNNING.
    pub fn should_run(&self) -> bool {
        self.stop.is_none()
    }

    pub fn protected(&self, now: Timestamp) -> bool {
        self.protected_until.is_some_and(|until| until > now)
    }

    pub fn group(&self) -> String {
        match &self.service {
            Some((service, _)) => format!("service:{service}"),
            None => format!("family:{}", self.definition.family),
        }
    }
}

impl Service {
    /// The deployment for which tasks are started.
    pub fn primary(&self) -> Option<&Deployment> {
        self.deployments.first()
    }

    /// The counts of one deployment that reads see at `now`.
    pub fn counts(&self, deployment: &str, now: Timestamp) -> Counts {
        let visible = self.published.upcoming.iter().rev().find(|(at, _)| *at <= now);
        visible
            .map_or(&self.published.visible, |(_, counts)| counts)
            .get(deployment)
            .copied()
            .unwrap_or_default()
    }
}

impl EcsState {
    pub fn new(
        account: String,
        speed: u32,
        seed: u64,
        vcpu_quota: u32,
        initial_clusters: Vec<String>,
    ) -> Self {
        Self {
            account,
            pace: Pace { speed },
            launch_timing: LaunchTiming::default(),
            cpu_quota: u64::from(vcpu_quota) * 1024,
            initial_clusters,
            has_linked_role: true,
            regions: BTreeMap::new(),
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// The region, created with the initial clusters if needed.
    pub fn region(&mut self, name: &str) -> &mut Region {
        let clusters = &self.initial_clusters;
        self.regions.entry(name.to_owned()).or_insert_with(|| Region {
            clusters: clusters.iter().map(|name| (name.clone(), Cluster::with_fargate())).collect(),
            ..Region::default()
        })
    }
}

impl Cluster {
    /// A cluster with both Fargate capacity providers, as the console creates it.
    pub fn with_fargate() -> Self {
        Self {
            active: true,
            tags: Tags::new(),
            settings: Vec::new(),
            capacity_providers: vec!["FARGATE".to_owned(), "FARGATE_SPOT".to_owned()],
            default_strategy: Vec::new(),
        }
    }
}

/// `digits` lower-case hexadecimal digits, as in task ids.
pub(super) fn hex(rng: &mut ChaCha8Rng, digits: usize) -> String {
    (0..digits).filter_map(|_| char::from_digit(rng.random_range(0..16), 16)).collect()
}

/// A random id in UUID format.
pub(super) fn uuid(rng: &mut ChaCha8Rng) -> String {
    uuid::Builder::from_random_bytes(rng.random()).into_uuid().to_string()
}

/// A deployment id: `ecs-svc/` and nineteen digits.
pub(super) fn deployment_id(rng: &mut ChaCha8Rng) -> String {
    format!("ecs-svc/{:019}", rng.random_range(1_000_000_000_000_000_000_u64..9_223_372_036_854_775_807))
}

/// A random duration between `from` and `to`, uniformly distributed.
pub(super) fn span(rng: &mut ChaCha8Rng, from: SignedDuration, to: SignedDuration) -> SignedDuration {
    let millis = rng.random_range(from.as_millis()..=to.as_millis());
    SignedDuration::from_millis(i64::try_from(millis).unwrap_or_default())
}

//! Elastic Container Service with Fargate tasks that really run, as processes of this machine or as
//! Pods of a cluster. In: API calls. Out: AWS's responses; containers, their output in CloudWatch
//! Logs, and their metadata endpoint.
//!
//! ```text
//! ops ──► state ◄── engine: ticks, reports, effects ──► launch ──► task runner: processes or Pods
//!           ▲                                                               └─► logs
//!       metadata
//! ```
//!
//! The state uses model time. Instants shown to callers and real durations are converted where they
//! leave or enter it (`state`).

mod engine;
mod errors;
mod launch;
pub mod metadata;
mod model;
mod ops;
mod request;
mod state;
mod view;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Context, ensure};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::access::Secret;
use crate::call::{AwsError, Call};
use crate::clock::ModelClock;
use crate::operations::Operation;
use crate::services::Service;
use crate::services::integrations::ScalableServices;
use crate::task_runner::pod::{PodRunner, PodSettings};
use crate::task_runner::process::ProcessRunner;
use crate::task_runner::{ContainerLogs, TaskReport, TaskRunner};
pub use engine::Engine;
pub use launch::TaskEnvironment;
use model::time::read_lag;
pub use ops::task_rules::TaskRules;
use ops::{clusters, services, tags, task_definitions, task_protection, tasks};
use request::Request;
use state::{EcsState, ServiceStatus};

/// The sandbox's initial Fargate vCPU quota. AWS gives new accounts 6 (L-3032A538, adjustable). An
/// account that runs demos of a hundred small tasks needs an increase such as this.
pub const DEFAULT_VCPU_QUOTA: u32 = 100;

/// The settings of the modelled ECS.
#[derive(Clone, Debug)]
pub struct EcsSettings {
    /// The AWS account number.
    pub account: String,
    /// Clusters that exist from the start, in every region.
    pub clusters: Vec<String>,
    /// The seed of random decisions and delays.
    pub seed: u64,
    /// The quota of Fargate On-Demand vCPUs per region.
    pub vcpu_quota: u32,
    /// Whether the service-linked role does not exist yet.
    pub is_fresh_account: bool,
    /// What a task definition may use, depending on what runs tasks.
    pub rules: TaskRules,
}

/// How tasks run.
#[derive(Clone, Debug)]
pub enum TaskSettings {
    /// Processes of this machine.
    Processes {
        /// The command to run for each image.
        images: Vec<(String, String)>,
        /// The directory of `tasks.json`.
        state_dir: Option<PathBuf>,
    },
    /// Pods of a cluster.
    Pods(Box<PodSettings>),
}

/// The modelled ECS.
pub struct Ecs {
    clock: ModelClock,
    account: String,
    logs: Arc<dyn ContainerLogs>,
    rules: TaskRules,
    /// Part of the metadata endpoint's address. Only tasks know it, so other clients are rejected.
    metadata_token: Secret,
    state: Mutex<EcsState>,
    /// Set by [`Ecs::start`].
    runner: OnceLock<Arc<dyn TaskRunner>>,
}

impl Ecs {
    /// An account without services.
    pub fn new(clock: ModelClock, settings: EcsSettings, logs: Arc<dyn ContainerLogs>) -> Arc<Self> {
        let EcsSettings { account, clusters, seed, vcpu_quota, is_fresh_account, rules } = settings;
        let mut state = EcsState::new(account.clone(), clock.speed(), seed, vcpu_quota, clusters);
        state.has_linked_role = !is_fresh_account;
        Arc::new(Self {
            clock,
            account,
            logs,
            rules,
            metadata_token: Secret::random(),
            state: Mutex::new(state),
            runner: OnceLock::new(),
        })
    }

    /// Starts the loop that advances time and runs tasks. May be called once. `environment` applies
    /// to every task.
    pub async fn start(
        self: &Arc<Self>,
        tasks: TaskSettings,
        environment: TaskEnvironment,
    ) -> anyhow::Result<Engine> {
        let (sender, reports) = mpsc::unbounded_channel();
        let logs = Arc::clone(&self.logs);
        let runner: Arc<dyn TaskRunner> = match tasks {
            TaskSettings::Processes { images, state_dir } => Arc::new(
                ProcessRunner::new(self.clock.clone(), &images, state_dir.as_deref(), logs, sender)
                    .context("could not start the thread that runs ECS tasks")?,
            ),
            TaskSettings::Pods(settings) => Arc::new(PodRunner::new(*settings, logs, sender)?),
        };
        runner.remove_orphans().await?;
        ensure!(self.runner.set(Arc::clone(&runner)).is_ok(), "the ECS loop has already been started");
        self.lock().launch_timing = runner.launch_timing();
        let stopping = CancellationToken::new();
        let task =
            tokio::spawn(engine::run(Arc::clone(self), runner, reports, environment, stopping.clone()));
        Ok(Engine { stopping, task })
    }

    fn lock(&self) -> MutexGuard<'_, EcsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, report: TaskReport) {
        state::record(&mut self.lock(), report, self.clock.now());
    }

    /// The processes or Pods that run tasks, for `GET /_sandbox/tasks`.
    pub fn running_tasks(&self) -> Value {
        self.runner.get().map_or_else(|| json!({"tasks": []}), |runner| runner.view())
    }
}

impl ScalableServices for Ecs {
    fn is_visible_to_services(&self, region: &str, cluster: &str, service: &str) -> bool {
        let now = self.clock.now();
        let mut state = self.lock();
        let service = state.region(region).services.get(&(cluster.to_owned(), service.to_owned()));
        service.is_some_and(|service| {
            service.status == ServiceStatus::Active && service.visible_to_services_at <= now
        })
    }

    fn desired_count(&self, region: &str, cluster: &str, service: &str) -> Option<u32> {
        let mut state = self.lock();
        let service = state.region(region).services.get(&(cluster.to_owned(), service.to_owned()))?;
        (service.status == ServiceStatus::Active).then_some(service.desired)
    }

    fn set_desired_count(&self, region: &str, cluster: &str, service: &str, desired: u32) -> bool {
        let mut state = self.lock();
        let key = (cluster.to_owned(), service.to_owned());
        match state.region(region).services.get_mut(&key) {
            Some(service) if service.status == ServiceStatus::Active => {
                service.desired = desired;
                service.steady = false;
                true
            }
            _ => false,
        }
    }

    fn draw_read_lag(&self) -> SignedDuration {
        read_lag(&mut self.lock().rng)
    }
}

#[async_trait]
impl Service for Ecs {
    fn operations(&self) -> Option<&'static [Operation]> {
        Some(ops::OPERATIONS)
    }

    async fn call(&self, call: Call<'_>) -> Result<Value, AwsError> {
        let mut state = self.lock();
        let state = &mut *state;
        let request = Request::new(&call, &self.clock);
        match call.operation {
            "CreateCluster" => clusters::create_cluster(state, request),
            "PutClusterCapacityProviders" => clusters::put_cluster_capacity_providers(state, request),
            "DescribeClusters" => clusters::describe_clusters(state, request),
            "ListClusters" => clusters::list_clusters(state, request),
            "DeleteCluster" => clusters::delete_cluster(state, request),
            "RegisterTaskDefinition" => {
                task_definitions::register_task_definition(state, request, &self.rules)
            }
            "DescribeTaskDefinition" => task_definitions::describe_task_definition(state, request),
            "ListTaskDefinitions" => task_definitions::list_task_definitions(state, request),
            "ListTaskDefinitionFamilies" => task_definitions::list_task_definition_families(state, request),
            "DeregisterTaskDefinition" => task_definitions::deregister_task_definition(state, request),
            "DeleteTaskDefinitions" => task_definitions::delete_task_definitions(state, request),
            "CreateService" => services::create_service(state, request),
            "UpdateService" => services::update_service(state, request),
            "DescribeServices" => services::describe_services(state, request),
            "ListServices" => services::list_services(state, request),
            "DeleteService" => services::delete_service(state, request),
            "ListTasks" => tasks::list_tasks(state, request),
            "DescribeTasks" => tasks::describe_tasks(state, request),
            "StopTask" => tasks::stop_task(state, request),
            "UpdateTaskProtection" => task_protection::update_task_protection(state, request),
            "GetTaskProtection" => task_protection::get_task_protection(state, request),
            "TagResource" => tags::tag_resource(state, request),
            "UntagResource" => tags::untag_resource(state, request),
            "ListTagsForResource" => tags::list_tags_for_resource(state, request),
            other => Err(crate::operations::unknown("ecs", other)),
        }
    }

    fn state(&self, _now: Timestamp) -> Value {
        view::all(&self.lock().regions)
    }
}

#[cfg(test)]
mod tests;

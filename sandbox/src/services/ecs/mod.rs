//! Elastic Container Service with Fargate tasks that run for real, as processes of this machine or as Pods of a cluster. In: API
//! calls. Out: AWS's answers; containers, their output in CloudWatch Logs, and a metadata endpoint for them.
//!
//! ```text
//! operations (clusters, task_definitions, services, tasks, protection, tagging) ─► world ◄─ lifecycle, rollout, upkeep (pure)
//!                                                                                   │
//!                          engine: ticks, effects ─► launch ─► runner: processes or pods ─► logs
//! ```
//!
//! The world keeps model time; what callers see and real durations are converted at its edges (`world`).

mod clusters;
mod engine;
mod fargate;
mod launch;
mod lifecycle;
pub mod metadata;
mod operations;
mod protection;
mod request;
mod rollout;
mod scheduler;
mod service_settings;
mod service_view;
mod services;
mod tagging;
mod task_definitions;
mod task_rules;
mod tasks;
mod visibility;
mod world;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Context, ensure};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::access::Secret;
use crate::clock::ModelClock;
use crate::operations::Operation;
use crate::parameters::Members;
use crate::services::logs::Logs;
use crate::services::{AwsError, Call, Service};
use crate::task_runner::pod::{PodRunner, PodSettings};
use crate::task_runner::process::ProcessRunner;
use crate::task_runner::{Report, TaskRunner};
pub use launch::TaskEnvironment;
use request::{REFUSAL, Request};
pub use task_rules::TaskRules;
use world::{EcsState, ServiceStatus, TaskStatus};

/// The Fargate vCPU quota the sandbox starts with. AWS gives new accounts 6 (L-3032A538, adjustable); this is what an account
/// that runs demos of a hundred small tasks will have asked for.
pub const DEFAULT_VCPU_QUOTA: u32 = 100;

/// What ECS is started with.
#[derive(Clone, Debug)]
pub struct EcsSettings {
    /// The account it claims to be.
    pub account: String,
    /// Clusters that exist from the start, in every region.
    pub clusters: Vec<String>,
    /// Seed of what AWS decides at random.
    pub seed: u64,
    /// Fargate On-LoadHistory vCPUs per region.
    pub vcpu_quota: u32,
    /// Whether the service-linked role is still to be made.
    pub is_fresh_account: bool,
    /// What a task definition may ask for here.
    pub rules: TaskRules,
}

/// What runs tasks.
#[derive(Clone, Debug)]
pub enum TaskSettings {
    /// Processes of this machine.
    Processes {
        /// What containers of an image run.
        images: Vec<(String, String)>,
        /// Where `tasks.json` is kept.
        state_dir: Option<PathBuf>,
    },
    /// Pods of a cluster.
    Pods(Box<PodSettings>),
}

/// The modelled ECS.
pub struct Ecs {
    clock: ModelClock,
    account: String,
    logs: Arc<Logs>,
    rules: TaskRules,
    /// Part of the metadata endpoint's address: only who was given the address is answered there.
    metadata_token: Secret,
    world: Mutex<EcsState>,
    /// Once started.
    runner: OnceLock<Arc<dyn TaskRunner>>,
}

/// The loop behind ECS. Dropped, it ends the tasks in the background; [`Engine::stop`] also waits for that.
pub struct Engine {
    stopping: CancellationToken,
    looping: JoinHandle<()>,
}

impl Engine {
    /// Ends all tasks: SIGTERM, then SIGKILL; returns when nothing of them is left.
    pub async fn stop(mut self) {
        self.stopping.cancel();
        if let Err(error) = (&mut self.looping).await {
            tracing::warn!(%error, "the ecs loop failed");
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

impl Ecs {
    /// An account without services.
    pub fn new(clock: ModelClock, settings: EcsSettings, logs: Arc<Logs>) -> Arc<Self> {
        let EcsSettings { account, clusters, seed, vcpu_quota, is_fresh_account, rules } = settings;
        let mut world = EcsState::new(account.clone(), clock.speed(), seed, vcpu_quota, clusters);
        world.has_linked_role = !is_fresh_account;
        Arc::new(Self {
            clock,
            account,
            logs,
            rules,
            metadata_token: Secret::random(),
            world: Mutex::new(world),
            runner: OnceLock::new(),
        })
    }

    /// Lets time pass: starts the loop that runs tasks, once. `environment` is what every task is
    /// given.
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
        runner.clear_leftovers().await?;
        ensure!(self.runner.set(Arc::clone(&runner)).is_ok(), "ECS is started already");
        self.lock().launch_timing = runner.launch_timing();
        let stopping = CancellationToken::new();
        let looping =
            tokio::spawn(engine::run(Arc::clone(self), runner, reports, environment, stopping.clone()));
        Ok(Engine { stopping, looping })
    }

    fn lock(&self) -> MutexGuard<'_, EcsState> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, report: Report) {
        let now = self.clock.now();
        let mut world = self.lock();
        let world = &mut *world;
        let (Report::Started { task }
        | Report::FailedToStart { task, .. }
        | Report::Withdrawn { task }
        | Report::Exited { task, .. }) = &report;
        let region = world.regions.iter().find(|(_, region)| region.tasks.contains_key(task));
        let Some(region) = region.map(|(name, _)| name.clone()) else { return };
        match report {
            Report::Started { task } => lifecycle::started(world, &region, &task, now),
            Report::FailedToStart { task, failure } => {
                lifecycle::failed_to_start(world, &region, &task, failure, now);
            }
            Report::Withdrawn { task } => lifecycle::withdrawn(world, &region, &task),
            Report::Exited { task, container, end } => {
                lifecycle::exited(world, &region, &task, container, end);
            }
        }
    }

    /// Whether another service of AWS finds the service already. What it reads of ECS trails what was written.
    pub fn is_seen_elsewhere(&self, region: &str, cluster: &str, service: &str) -> bool {
        let now = self.clock.now();
        let mut world = self.lock();
        let held = world.region(region).services.get(&(cluster.to_owned(), service.to_owned()));
        held.is_some_and(|held| held.status == ServiceStatus::Active && held.seen_elsewhere_at <= now)
    }

    /// How far a read trails a write this time, on the callers' clocks.
    pub fn draw_read_lag(&self) -> SignedDuration {
        lifecycle::read_lag(&mut self.lock().rng)
    }

    /// The desired count of an active service, for Application Auto Scaling.
    pub fn desired_count(&self, region: &str, cluster: &str, service: &str) -> Option<u32> {
        let mut world = self.lock();
        let held = world.region(region).services.get(&(cluster.to_owned(), service.to_owned()))?;
        (held.status == ServiceStatus::Active).then_some(held.desired)
    }

    /// Sets it, as Application Auto Scaling does through UpdateService. Returns whether there was such a service.
    pub fn set_desired_count(&self, region: &str, cluster: &str, service: &str, desired: u32) -> bool {
        let mut world = self.lock();
        let key = (cluster.to_owned(), service.to_owned());
        match world.region(region).services.get_mut(&key) {
            Some(held) if held.status == ServiceStatus::Active => {
                held.desired = desired;
                held.steady = false;
                true
            }
            _ => false,
        }
    }

    /// The processes or Pods that run tasks, for `GET /_sandbox/tasks`.
    pub fn running_tasks(&self) -> Value {
        self.runner.get().map_or_else(|| json!({"tasks": []}), |runner| runner.view())
    }
}

#[async_trait]
impl Service for Ecs {
    fn operations(&self) -> Option<&'static [Operation]> {
        Some(operations::OPERATIONS)
    }

    async fn call(&self, call: Call<'_>) -> Result<Value, AwsError> {
        let mut world = self.lock();
        let world = &mut *world;
        let request = Request {
            input: Members::new(call.input, REFUSAL),
            raw: call.input,
            caller: call.caller,
            clock: &self.clock,
            now: call.now,
        };
        match call.operation {
            "CreateCluster" => clusters::create_cluster(world, request),
            "PutClusterCapacityProviders" => clusters::put_cluster_capacity_providers(world, request),
            "DescribeClusters" => clusters::describe_clusters(world, request),
            "ListClusters" => clusters::list_clusters(world, request),
            "DeleteCluster" => clusters::delete_cluster(world, request),
            "RegisterTaskDefinition" => {
                task_definitions::register_task_definition(world, request, &self.rules)
            }
            "DescribeTaskDefinition" => task_definitions::describe_task_definition(world, request),
            "ListTaskDefinitions" => task_definitions::list_task_definitions(world, request),
            "ListTaskDefinitionFamilies" => task_definitions::list_task_definition_families(world, request),
            "DeregisterTaskDefinition" => task_definitions::deregister_task_definition(world, request),
            "DeleteTaskDefinitions" => task_definitions::delete_task_definitions(world, request),
            "CreateService" => services::create_service(world, request),
            "UpdateService" => services::update_service(world, request),
            "DescribeServices" => services::describe_services(world, request),
            "ListServices" => services::list_services(world, request),
            "DeleteService" => services::delete_service(world, request),
            "ListTasks" => tasks::list_tasks(world, request),
            "DescribeTasks" => tasks::describe_tasks(world, request),
            "StopTask" => tasks::stop_task(world, request),
            "UpdateTaskProtection" => protection::update_task_protection(world, request),
            "GetTaskProtection" => protection::get_task_protection(world, request),
            "TagResource" => tagging::tag_resource(world, request),
            "UntagResource" => tagging::untag_resource(world, request),
            "ListTagsForResource" => tagging::list_tags_for_resource(world, request),
            other => Err(crate::operations::unknown("ecs", other)),
        }
    }

    fn state(&self, _now: Timestamp) -> Value {
        let world = self.lock();
        let regions: BTreeMap<_, _> =
            world.regions.iter().map(|(name, region)| (name.clone(), region_state(region))).collect();
        json!({"regions": regions})
    }
}

fn region_state(region: &world::Region) -> Value {
    let clusters: Vec<&String> =
        region.clusters.iter().filter(|(_, cluster)| cluster.active).map(|(name, _)| name).collect();
    let definitions: Vec<Value> = region
        .families
        .values()
        .flat_map(|family| family.revisions.values())
        .map(|held| json!({"arn": held.body.arn, "active": held.status == world::DefinitionStatus::Active, "tags": held.tags}))
        .collect();
    let services: Vec<Value> = region
        .services
        .values()
        .map(|service| {
            json!({
                "name": service.name, "cluster": service.cluster, "status": service.status.text(),
                "desired": service.desired, "tags": service.tags,
            })
        })
        .collect();
    let tasks: Vec<Value> = region
        .tasks
        .values()
        .map(|task| {
            json!({
                "arn": task.arn, "service": task.service.as_ref().map(|(service, _)| service),
                "status": task.status.text(), "running": task.status == TaskStatus::Running,
                "stoppedReason": task.stop.as_ref().map(|stop| &stop.reason),
            })
        })
        .collect();
    json!({"clusters": clusters, "taskDefinitions": definitions, "services": services, "tasks": tasks})
}

#[cfg(test)]
mod tests;

//! Tasks as Pods of a cluster. In: launches. Out: Pods, reports and lines in CloudWatch Logs. Talks
//! to the API server.
//!
//! ```text
//! launch ─► manifest ─► PodTask (one per Pod) ─► API server ─► kubelet
//!                           ▲       └─► LogTailer (one per container) ─► logs
//!                      PodRegistry ◄── watch on all Pods of this sandbox
//! ```

mod calls;
mod log_cursor;
mod log_tailer;
mod manifest;
mod pod_status;
mod pod_task;
mod registry;
pub mod secret;
pub mod settings;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{ContainerLogs, Launch, LaunchTiming, StartFailure, TaskReport, TaskRunner};
use calls::call_with_retry;
use manifest::SANDBOX_LABEL;
use pod_task::PodTask;
use registry::{PodCommand, PodObservation, PodRegistry, RegisteredPod};
pub use settings::{PodOwner, PodSettings};

/// When Pods of an earlier sandbox are deleted without confirmation by their nodes, and when the
/// sandbox gives up on them.
const FORCE_AFTER: Duration = Duration::from_secs(20);
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);
/// The pause between two lists of these Pods.
const POLL_EVERY: Duration = Duration::from_millis(300);

/// Runs tasks as Pods.
pub(crate) struct PodRunner {
    settings: PodSettings,
    pods: Api<Pod>,
    logs: Arc<dyn ContainerLogs>,
    reports: mpsc::UnboundedSender<TaskReport>,
    registry: Arc<PodRegistry>,
    watching: JoinHandle<()>,
}

impl Drop for PodRunner {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

impl PodRunner {
    /// Creates a runner without tasks and starts the watch. Must be called within a Tokio runtime.
    pub fn new(
        settings: PodSettings,
        logs: Arc<dyn ContainerLogs>,
        reports: mpsc::UnboundedSender<TaskReport>,
    ) -> Result<Self> {
        let instance = settings::checked_instance(&settings.instance)?;
        let pods: Api<Pod> = Api::namespaced(settings.client.clone(), &settings.namespace);
        let registry = Arc::new(PodRegistry::default());
        let selector = watcher::Config::default().labels(&format!("{SANDBOX_LABEL}={instance}"));
        let events = watcher(pods.clone(), selector).default_backoff();
        let watched = Arc::clone(&registry);
        let watching = tokio::spawn(async move { watched.follow(events).await });
        Ok(Self { settings, pods, logs, reports, registry, watching })
    }

    async fn orphans(&self) -> Result<Vec<Pod>> {
        let selector = ListParams::default().labels(&format!("{SANDBOX_LABEL}={}", self.settings.instance));
        let listed = call_with_retry(|| self.pods.list(&selector)).await;
        let PodSettings { namespace, .. } = &self.settings;
        Ok(listed.with_context(|| format!("could not list the task Pods in namespace {namespace}"))?.items)
    }
}

#[async_trait]
impl TaskRunner for PodRunner {
    fn launch_timing(&self) -> LaunchTiming {
        LaunchTiming::AtPull
    }

    async fn remove_orphans(&self) -> Result<()> {
        let began = Instant::now();
        let mut graces = [(Duration::ZERO, 1), (FORCE_AFTER, 0)].into_iter().peekable();
        loop {
            let left = self.orphans().await?;
            if left.is_empty() {
                return Ok(());
            }
            let names: Vec<String> = left.iter().map(ResourceExt::name_any).collect();
            let waited = began.elapsed();
            ensure!(
                waited < GIVE_UP_AFTER,
                "could not remove the Pods of an earlier sandbox: {}",
                names.join(", ")
            );
            if let Some((_, grace)) = graces.next_if(|(after, _)| waited >= *after) {
                tracing::info!(pods = names.len(), "removing the task Pods of an earlier sandbox");
                let params = DeleteParams::default().grace_period(grace);
                for name in &names {
                    let deleted = call_with_retry(|| self.pods.delete(name, &params)).await;
                    if let Err(error) = deleted.map(drop)
                        && !error.is_missing()
                    {
                        return Err(error).with_context(|| format!("could not delete the Pod {name}"));
                    }
                }
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    async fn launch(&self, launch: Launch) {
        let manifest = match manifest::manifest(&launch, &self.settings) {
            Ok(manifest) => manifest,
            Err(reason) => {
                // Fails only if the sandbox is stopping.
                let failure = StartFailure::of_task(reason);
                let _ = self.reports.send(TaskReport::FailedToStart { task: launch.task, failure });
                return;
            }
        };
        let name = manifest::pod_name(&launch.task);
        let (commands, received_commands) = mpsc::unbounded_channel();
        let (observations, seen) = watch::channel(PodObservation::default());
        let exists = Arc::new(AtomicBool::new(false));
        let entry =
            RegisteredPod { task: launch.task.clone(), commands, observations, exists: Arc::clone(&exists) };
        self.registry.lock().insert(name.clone(), entry);
        let pod_task = PodTask {
            pods: self.pods.clone(),
            logs: Arc::clone(&self.logs),
            reports: self.reports.clone(),
            containers: manifest::container_names(&launch),
            launch,
            manifest,
            name: name.clone(),
            commands: received_commands,
            observations: seen,
            exists,
        };
        let registry = Arc::clone(&self.registry);
        tokio::spawn(async move {
            pod_task.run().await;
            registry.lock().remove(&name);
        });
    }

    fn terminate(&self, task: &str) {
        self.registry.send(task, PodCommand::Terminate);
    }

    fn kill(&self, task: &str) {
        self.registry.send(task, PodCommand::Kill);
    }

    fn remaining_tasks(&self) -> Vec<String> {
        self.registry.lock().values().map(|entry| entry.task.clone()).collect()
    }

    fn view(&self) -> Value {
        let namespace = &self.settings.namespace;
        let tasks: Vec<Value> = self
            .registry
            .lock()
            .iter()
            .map(|(name, entry)| {
                let phase = match &*entry.observations.borrow() {
                    PodObservation::Unknown | PodObservation::Deleted(None) => None,
                    PodObservation::Present(pod) | PodObservation::Deleted(Some(pod)) => {
                        pod.status.as_ref().and_then(|status| status.phase.clone())
                    }
                };
                json!({"taskId": entry.task, "pod": name, "namespace": namespace, "phase": phase})
            })
            .collect();
        json!({"tasks": tasks})
    }
}

//! Manages one task's Pod from its creation to its removal. In: a launch, the watch's observations
//! of the Pod, and commands. Out: the Pod, reports, and lines in CloudWatch Logs. Writes to the API
//! server.
//!
//! A running Pod is not stopped by deleting it: kubelet removes a deleted Pod as soon as its
//! containers have ended, together with the log that is still being read. Instead its
//! `activeDeadlineSeconds` is set, one of the few mutable fields of a Pod. Kubelet then ends the
//! containers with SIGTERM and the Pod's grace period, as for a deletion, and keeps the Pod and its
//! log. Unlike a finalizer, this blocks nobody who deletes the Pod or its namespace after the
//! sandbox has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::calls::{FIRST_PAUSE, LONGEST_PAUSE, call, call_with_retry};
use super::log_tailer::{LogTailer, error_chain};
use super::pod_status::{ContainerView, PodView, pod_view};
use super::registry::{PodCommand, PodObservation};
use crate::task_runner::{ContainerExit, ContainerLogs, Launch, StartFailure, TaskReport};

/// The time that kubelet gets after a grace period for its own SIGKILL and status, before the Pod
/// is deleted.
const KILL_MARGIN: Duration = Duration::from_secs(5);
/// How long a deletion may take before the Pod is deleted without confirmation by its node.
const DELETION: Duration = Duration::from_secs(15);
/// How often the deletion of a Pod is attempted. After that, Kubernetes removes it with its owner.
const DELETIONS: usize = 4;

/// Manages one Pod.
pub(super) struct PodTask {
    pub pods: Api<Pod>,
    pub logs: Arc<dyn ContainerLogs>,
    pub reports: mpsc::UnboundedSender<TaskReport>,
    pub launch: Launch,
    pub manifest: Pod,
    /// The Pod's name, and its containers' names in the order of the task definition.
    pub name: String,
    pub containers: Vec<String>,
    pub commands: mpsc::UnboundedReceiver<PodCommand>,
    pub observations: watch::Receiver<PodObservation>,
    pub exists: Arc<AtomicBool>,
}

enum Creation {
    Created,
    Rejected(String),
    Cancelled,
}

/// The progress of one Pod.
struct Progress {
    view: PodView,
    is_deleted: bool,
    started: bool,
    /// When its termination was requested.
    terminated_at: Option<Instant>,
    /// When it is deleted next, whatever its state, and with which grace period.
    deletion: Option<(Instant, u32)>,
    /// By container: the sender that signals its end to its log tailer, whether its log is
    /// completely read, and whether its end is reported.
    followed: Vec<Option<watch::Sender<bool>>>,
    drained: Vec<bool>,
    reported: Vec<bool>,
    warned: bool,
}

impl PodTask {
    /// Runs until nothing remains of the Pod.
    pub async fn run(mut self) {
        match self.create().await {
            Creation::Created => self.manage().await,
            Creation::Rejected(why) => {
                self.fail(StartFailure::of_task(format!(
                    "ResourceInitializationError: the cluster refused the task's Pod: {why}"
                )));
            }
            Creation::Cancelled => {
                // The last attempt may have succeeded although it failed here.
                self.remove().await;
                self.report(TaskReport::Cancelled { task: self.launch.task.clone() });
            }
        }
    }

    fn report(&self, report: TaskReport) {
        // Fails only if the sandbox is stopping.
        let _ = self.reports.send(report);
    }

    fn fail(&self, failure: StartFailure) {
        tracing::info!(pod = self.name, reason = failure.reason, "an ecs task failed to start");
        self.report(TaskReport::FailedToStart { task: self.launch.task.clone(), failure });
    }

    async fn create(&mut self) -> Creation {
        let mut pause = FIRST_PAUSE;
        let mut warned = false;
        loop {
            if self.commands.try_recv().is_ok() {
                return Creation::Cancelled;
            }
            let error = match call(self.pods.create(&PostParams::default(), &self.manifest)).await {
                Ok(_) => break,
                // No Pod of an earlier sandbox remains, so an earlier attempt succeeded and its
                // response was lost.
                Err(error) if error.code() == Some(409) => break,
                Err(error) => error,
            };
            if !error.is_transient() {
                return Creation::Rejected(error_chain(&error));
            }
            if !std::mem::replace(&mut warned, true) {
                tracing::warn!(
                    pod = self.name,
                    error = error_chain(&error),
                    "could not create a task's Pod; retrying"
                );
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = self.commands.recv() => return Creation::Cancelled,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.exists.store(true, Ordering::Release);
        Creation::Created
    }

    async fn manage(&mut self) {
        let count = self.containers.len();
        let mut progress = Progress {
            view: PodView { containers: vec![ContainerView::Waiting; count], ..PodView::default() },
            is_deleted: false,
            started: false,
            terminated_at: None,
            deletion: None,
            followed: (0..count).map(|_| None).collect(),
            drained: vec![false; count],
            reported: vec![false; count],
            warned: false,
        };
        let mut tailers: FuturesUnordered<BoxFuture<'static, usize>> = FuturesUnordered::new();
        loop {
            let observation = self.observations.borrow_and_update().clone();
            self.observe(observation, &mut progress);
            self.follow_logs(&mut progress, &mut tailers);
            if self.report_changes(&mut progress) {
                drop(tailers);
                if !progress.is_deleted {
                    self.remove().await;
                }
                return;
            }
            let deletion = progress.deletion;
            tokio::select! {
                changed = self.observations.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                Some(index) = tailers.next(), if !tailers.is_empty() => progress.drained[index] = true,
                Some(command) = self.commands.recv() => self.handle_command(command, &mut progress).await,
                () = until(deletion), if deletion.is_some() => {
                    if let Some((_, grace)) = deletion {
                        self.delete(Some(grace)).await;
                        progress.deletion = Some((Instant::now() + DELETION, 0));
                    }
                }
            }
        }
    }

    /// Applies an observation of the Pod.
    fn observe(&self, observation: PodObservation, progress: &mut Progress) {
        let (pod, is_deleted) = match observation {
            PodObservation::Unknown => return,
            PodObservation::Present(pod) => (Some(pod), false),
            PodObservation::Deleted(pod) => (pod, true),
        };
        if let Some(pod) = pod {
            progress.view = pod_view(&pod, &self.containers);
        }
        progress.is_deleted = is_deleted;
        if is_deleted && progress.view.started {
            // Its node never reported how they ended.
            for container in progress
                .view
                .containers
                .iter_mut()
                .filter(|container| !matches!(container, ContainerView::Ended(_)))
            {
                *container = ContainerView::Ended(ContainerExit {
                    code: None,
                    reason: Some("the Pod was deleted".to_owned()),
                });
            }
        }
        if let Some(why) = progress.view.unschedulable.as_deref().filter(|_| !progress.warned) {
            progress.warned = true;
            tracing::warn!(pod = self.name, why, "no node can run a task's Pod");
        }
    }

    /// Tails the log of every container that has started, and signals each container's end to its
    /// tailer.
    fn follow_logs(
        &self,
        progress: &mut Progress,
        tailers: &mut FuturesUnordered<BoxFuture<'static, usize>>,
    ) {
        let containers =
            progress.view.containers.iter().zip(&mut progress.followed).zip(&mut progress.drained);
        for (index, ((container, followed), drained)) in containers.enumerate() {
            let Some(stream) = &self.launch.containers[index].output else {
                *drained = true;
                continue;
            };
            if *container == ContainerView::Waiting {
                continue;
            }
            let ended = followed.get_or_insert_with(|| {
                let tailer = LogTailer {
                    pods: self.pods.clone(),
                    pod: self.name.clone(),
                    container: self.containers[index].clone(),
                    stream: stream.clone(),
                    logs: Arc::clone(&self.logs),
                };
                let (sender, receiver) = watch::channel(false);
                tailers.push(tailer.run(receiver).map(move |()| index).boxed());
                sender
            });
            ended.send_replace(matches!(container, ContainerView::Ended(_)));
        }
    }

    /// Reports all changes. Returns whether that was the last report.
    fn report_changes(&self, progress: &mut Progress) -> bool {
        let task = || self.launch.task.clone();
        if !progress.started {
            if let Some(failure) = progress.view.failure.take() {
                self.fail(failure);
                return true;
            }
            if progress.view.started {
                progress.started = true;
                self.report(TaskReport::Started { task: task() });
            } else if progress.is_deleted {
                if progress.terminated_at.is_some() {
                    self.report(TaskReport::Cancelled { task: task() });
                } else {
                    self.fail(StartFailure::of_task(
                        "ResourceInitializationError: the task's Pod was deleted before it ran",
                    ));
                }
                return true;
            }
        }
        if !progress.started {
            return false;
        }
        for (index, container) in progress.view.containers.iter().enumerate() {
            if let ContainerView::Ended(exit) = container
                && progress.drained[index]
                && !progress.reported[index]
            {
                progress.reported[index] = true;
                self.report(TaskReport::Exited { task: task(), container: index, exit: exit.clone() });
            }
        }
        progress.reported.iter().all(|reported| *reported)
    }

    async fn handle_command(&self, command: PodCommand, progress: &mut Progress) {
        let now = Instant::now();
        match command {
            PodCommand::Terminate if progress.terminated_at.is_none() => {
                progress.terminated_at = Some(now);
                if !(progress.view.is_running() && self.set_deadline().await) {
                    self.delete(None).await;
                }
            }
            PodCommand::Terminate => {}
            PodCommand::Kill => {
                let had_stop_timeout = progress
                    .terminated_at
                    .is_some_and(|at| now.duration_since(at) >= self.launch.stop_timeout);
                let wait = if had_stop_timeout { KILL_MARGIN } else { Duration::ZERO };
                progress.deletion = Some((now + wait, 1));
            }
        }
    }

    /// Makes kubelet end the Pod without deleting it. Returns false on failure.
    async fn set_deadline(&self) -> bool {
        let patch = Patch::Merge(json!({"spec": {"activeDeadlineSeconds": 1}}));
        let params = PatchParams::default();
        let result = call_with_retry(|| self.pods.patch(&self.name, &params, &patch)).await;
        match result {
            Ok(_) => true,
            Err(error) if error.is_missing() => true,
            Err(error) => {
                tracing::warn!(
                    pod = self.name,
                    error = error_chain(&error),
                    "could not end a task's Pod; deleting it"
                );
                false
            }
        }
    }

    /// Deletes the Pod, with its own grace period or the given one. Returns whether it did not
    /// exist.
    async fn delete(&self, grace: Option<u32>) -> bool {
        let params = DeleteParams { grace_period_seconds: grace, ..DeleteParams::default() };
        match call_with_retry(|| self.pods.delete(&self.name, &params)).await {
            Ok(_) => false,
            Err(error) if error.is_missing() => true,
            Err(error) => {
                tracing::warn!(pod = self.name, error = error_chain(&error), "could not delete a task's Pod");
                false
            }
        }
    }

    /// Deletes the Pod and waits until it no longer exists.
    async fn remove(&mut self) {
        let mut grace = None;
        for _ in 0..DELETIONS {
            if self.delete(grace).await {
                return;
            }
            let deleted =
                self.observations.wait_for(|observation| matches!(observation, PodObservation::Deleted(_)));
            if tokio::time::timeout(DELETION, deleted).await.is_ok() {
                return;
            }
            grace = Some(0);
        }
        tracing::warn!(pod = self.name, "could not remove a task's Pod");
    }
}

async fn until(deletion: Option<(Instant, u32)>) {
    match deletion {
        Some((at, _)) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

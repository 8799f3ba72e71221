//! Attends to one task's Pod from its creation to its removal. In: a launch, what the watch sees of the Pod, and commands. Out: the
//! Pod, reports, and lines in CloudWatch Logs. Writes to the API server.
//!
//! A running Pod is never asked to end by deleting it: kubelet removes a deleted Pod the moment its containers have ended, and
//! with it the log that is still being read. Instead its `activeDeadlineSeconds` is set, one of the few members of a Pod that may
//! change: kubelet then ends the containers with SIGTERM and the Pod's grace period, as for a deletion, and keeps Pod and log.
//! Unlike a finalizer this holds up nobody who deletes the Pod or its namespace after the sandbox is gone.

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

use super::calls::{FIRST_PAUSE, LONGEST_PAUSE, call, persist};
use super::log_tailer::{LogTailer, chain};
use super::pod_status::{ContainerView, PodView, sight};
use super::registry::{PodCommand, PodObservation};
use crate::services::logs::Logs;
use crate::task_runner::{End, Launch, Report, StartFailure};

/// What kubelet gets for its own SIGKILL and status after a grace period, before the Pod is deleted under it.
const KILL_MARGIN: Duration = Duration::from_secs(5);
/// How long a deletion may take before the Pod is removed without its node's consent.
const DELETION: Duration = Duration::from_secs(15);
/// How often a Pod that will not go is deleted. After that its owner's end has to do.
const DELETIONS: usize = 4;

/// Attends to one Pod.
pub(super) struct PodTask {
    pub pods: Api<Pod>,
    pub logs: Arc<Logs>,
    pub reports: mpsc::UnboundedSender<Report>,
    pub launch: Launch,
    pub manifest: Pod,
    /// The Pod's name, and its containers' in the order of the task definition.
    pub name: String,
    pub containers: Vec<String>,
    pub commands: mpsc::UnboundedReceiver<PodCommand>,
    pub sightings: watch::Receiver<PodObservation>,
    pub exists: Arc<AtomicBool>,
}

enum Creation {
    Done,
    Refused(String),
    CalledOff,
}

/// A Pod under way.
struct Progress {
    sight: PodView,
    is_gone: bool,
    started: bool,
    /// Since when it is asked to end.
    asked_at: Option<Instant>,
    /// When it is deleted next whatever it does, and with which grace.
    deletion: Option<(Instant, u32)>,
    /// By container: who is told that it ended, whether its log is read, whether its end is reported.
    followed: Vec<Option<watch::Sender<bool>>>,
    drained: Vec<bool>,
    reported: Vec<bool>,
    warned: bool,
}

impl PodTask {
    /// Returns when nothing of the Pod is left.
    pub async fn run(mut self) {
        match self.create().await {
            Creation::Done => self.attend().await,
            Creation::Refused(why) => {
                self.fail(StartFailure::of_task(format!(
                    "ResourceInitializationError: the cluster refused the task's Pod: {why}"
                )));
            }
            Creation::CalledOff => {
                // The last attempt may have been heard all the same.
                self.remove().await;
                self.report(Report::Withdrawn { task: self.launch.task.clone() });
            }
        }
    }

    fn report(&self, report: Report) {
        // Nobody listens any more only when the sandbox is gone.
        let _ = self.reports.send(report);
    }

    fn fail(&self, failure: StartFailure) {
        tracing::info!(pod = self.name, reason = failure.reason, "an ecs task failed to start");
        self.report(Report::FailedToStart { task: self.launch.task.clone(), failure });
    }

    async fn create(&mut self) -> Creation {
        let mut pause = FIRST_PAUSE;
        let mut complained = false;
        loop {
            if self.commands.try_recv().is_ok() {
                return Creation::CalledOff;
            }
            let error = match call(self.pods.create(&PostParams::default(), &self.manifest)).await {
                Ok(_) => break,
                // No earlier sandbox's Pod is left, so an attempt of ours was heard though its answer was lost.
                Err(error) if error.code() == Some(409) => break,
                Err(error) => error,
            };
            if !error.may_pass() {
                return Creation::Refused(chain(&error));
            }
            if !std::mem::replace(&mut complained, true) {
                tracing::warn!(
                    pod = self.name,
                    error = chain(&error),
                    "could not create a task's Pod; trying on"
                );
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = self.commands.recv() => return Creation::CalledOff,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.exists.store(true, Ordering::Release);
        Creation::Done
    }

    async fn attend(&mut self) {
        let count = self.containers.len();
        let mut progress = Progress {
            sight: PodView { containers: vec![ContainerView::Waiting; count], ..PodView::default() },
            is_gone: false,
            started: false,
            asked_at: None,
            deletion: None,
            followed: (0..count).map(|_| None).collect(),
            drained: vec![false; count],
            reported: vec![false; count],
            warned: false,
        };
        let mut followers: FuturesUnordered<BoxFuture<'static, usize>> = FuturesUnordered::new();
        loop {
            let sighting = self.sightings.borrow_and_update().clone();
            self.look(sighting, &mut progress);
            self.follow_logs(&mut progress, &mut followers);
            if self.tell(&mut progress) {
                drop(followers);
                if !progress.is_gone {
                    self.remove().await;
                }
                return;
            }
            let deletion = progress.deletion;
            tokio::select! {
                changed = self.sightings.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                Some(place) = followers.next(), if !followers.is_empty() => progress.drained[place] = true,
                Some(command) = self.commands.recv() => self.obey(command, &mut progress).await,
                () = until(deletion), if deletion.is_some() => {
                    if let Some((_, grace)) = deletion {
                        self.delete(Some(grace)).await;
                        progress.deletion = Some((Instant::now() + DELETION, 0));
                    }
                }
            }
        }
    }

    /// Takes in what was seen of the Pod.
    fn look(&self, sighting: PodObservation, progress: &mut Progress) {
        let (pod, is_gone) = match sighting {
            PodObservation::Unseen => return,
            PodObservation::ProcessState(pod) => (Some(pod), false),
            PodObservation::Gone(pod) => (pod, true),
        };
        if let Some(pod) = pod {
            progress.sight = sight(&pod, &self.containers);
        }
        progress.is_gone = is_gone;
        if is_gone && progress.sight.started {
            // Its node never said how they ended.
            for held in
                progress.sight.containers.iter_mut().filter(|held| !matches!(held, ContainerView::Ended(_)))
            {
                *held =
                    ContainerView::Ended(End { code: None, reason: Some("the Pod was deleted".to_owned()) });
            }
        }
        if let Some(why) = progress.sight.unschedulable.as_deref().filter(|_| !progress.warned) {
            progress.warned = true;
            tracing::warn!(pod = self.name, why, "no node takes a task's Pod");
        }
    }

    /// Reads the log of every container that runs or ran, and tells its reader when the container has ended.
    fn follow_logs(
        &self,
        progress: &mut Progress,
        followers: &mut FuturesUnordered<BoxFuture<'static, usize>>,
    ) {
        let places = progress.sight.containers.iter().zip(&mut progress.followed).zip(&mut progress.drained);
        for (place, ((held, followed), drained)) in places.enumerate() {
            let Some(stream) = &self.launch.containers[place].output else {
                *drained = true;
                continue;
            };
            if *held == ContainerView::Waiting {
                continue;
            }
            let ended = followed.get_or_insert_with(|| {
                let follower = LogTailer {
                    pods: self.pods.clone(),
                    pod: self.name.clone(),
                    container: self.containers[place].clone(),
                    stream: stream.clone(),
                    logs: Arc::clone(&self.logs),
                };
                let (sender, receiver) = watch::channel(false);
                followers.push(follower.run(receiver).map(move |()| place).boxed());
                sender
            });
            ended.send_replace(matches!(held, ContainerView::Ended(_)));
        }
    }

    /// Reports what has come true. Returns whether that was the last.
    fn tell(&self, progress: &mut Progress) -> bool {
        let task = || self.launch.task.clone();
        if !progress.started {
            if let Some(failure) = progress.sight.failure.take() {
                self.fail(failure);
                return true;
            }
            if progress.sight.started {
                progress.started = true;
                self.report(Report::Started { task: task() });
            } else if progress.is_gone {
                if progress.asked_at.is_some() {
                    self.report(Report::Withdrawn { task: task() });
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
        for (place, held) in progress.sight.containers.iter().enumerate() {
            if let ContainerView::Ended(end) = held
                && progress.drained[place]
                && !progress.reported[place]
            {
                progress.reported[place] = true;
                self.report(Report::Exited { task: task(), container: place, end: end.clone() });
            }
        }
        progress.reported.iter().all(|reported| *reported)
    }

    async fn obey(&self, command: PodCommand, progress: &mut Progress) {
        let now = Instant::now();
        match command {
            PodCommand::Terminate if progress.asked_at.is_none() => {
                progress.asked_at = Some(now);
                if !(progress.sight.is_running() && self.pass_deadline().await) {
                    self.delete(None).await;
                }
            }
            PodCommand::Terminate => {}
            PodCommand::Kill => {
                let had_its_time =
                    progress.asked_at.is_some_and(|at| now.duration_since(at) >= self.launch.stop_timeout);
                let wait = if had_its_time { KILL_MARGIN } else { Duration::ZERO };
                progress.deletion = Some((now + wait, 1));
            }
        }
    }

    /// Has kubelet end the Pod and keep it. Returns false if that cannot be had.
    async fn pass_deadline(&self) -> bool {
        let patch = Patch::Merge(json!({"spec": {"activeDeadlineSeconds": 1}}));
        let params = PatchParams::default();
        let answer = persist(|| self.pods.patch(&self.name, &params, &patch)).await;
        match answer {
            Ok(_) => true,
            Err(error) if error.is_missing() => true,
            Err(error) => {
                tracing::warn!(
                    pod = self.name,
                    error = chain(&error),
                    "could not end a task's Pod; deleting it"
                );
                false
            }
        }
    }

    /// Deletes the Pod, with its own grace period or another. Returns whether there was none.
    async fn delete(&self, grace: Option<u32>) -> bool {
        let params = DeleteParams { grace_period_seconds: grace, ..DeleteParams::default() };
        match persist(|| self.pods.delete(&self.name, &params)).await {
            Ok(_) => false,
            Err(error) if error.is_missing() => true,
            Err(error) => {
                tracing::warn!(pod = self.name, error = chain(&error), "could not delete a task's Pod");
                false
            }
        }
    }

    /// Removes the Pod and waits until it is gone.
    async fn remove(&mut self) {
        let mut grace = None;
        for _ in 0..DELETIONS {
            if self.delete(grace).await {
                return;
            }
            let gone = self.sightings.wait_for(|sighting| matches!(sighting, PodObservation::Gone(_)));
            if tokio::time::timeout(DELETION, gone).await.is_ok() {
                return;
            }
            grace = Some(0);
        }
        tracing::warn!(pod = self.name, "a task's Pod will not go");
    }
}

async fn until(deletion: Option<(Instant, u32)>) {
    match deletion {
        Some((at, _)) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

//! The Pods of this sandbox, and the watch's last observation of each. In: watch events. Out:
//! observations for the Pods' tasks. No I/O except reading the event stream.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::watcher;
use tokio::sync::{mpsc, watch};

/// The last observation of a Pod.
#[derive(Clone, Debug, Default)]
pub(super) enum PodObservation {
    #[default]
    Unknown,
    Present(Arc<Pod>),
    /// It was deleted. Contains its last state, if known.
    Deleted(Option<Arc<Pod>>),
}

/// A command for a Pod's task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PodCommand {
    Terminate,
    Kill,
}

/// One Pod.
#[derive(Debug)]
pub(super) struct RegisteredPod {
    pub task: String,
    pub commands: mpsc::UnboundedSender<PodCommand>,
    pub observations: watch::Sender<PodObservation>,
    /// Set once the API server has confirmed that the Pod exists. From then on, a list without the
    /// Pod means that it was deleted.
    pub exists: Arc<AtomicBool>,
}

/// The Pods, by name.
#[derive(Debug, Default)]
pub(super) struct PodRegistry(Mutex<BTreeMap<String, RegisteredPod>>);

impl PodRegistry {
    pub fn lock(&self) -> MutexGuard<'_, BTreeMap<String, RegisteredPod>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a command to the task of a Pod.
    pub fn send(&self, task: &str, command: PodCommand) {
        for entry in self.lock().values().filter(|entry| entry.task == task) {
            // Fails if the task has just finished.
            let _ = entry.commands.send(command);
        }
    }

    /// Processes watch events forever. The watcher recovers from errors itself.
    pub async fn follow(&self, events: impl Stream<Item = watcher::Result<watcher::Event<Pod>>>) {
        let mut events = std::pin::pin!(events);
        let mut missing = BTreeSet::new();
        let mut healthy = true;
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    if !healthy {
                        tracing::info!("the watch on task Pods has recovered");
                    }
                    healthy = true;
                    self.apply(event, &mut missing);
                }
                Err(error) => {
                    if healthy {
                        tracing::warn!(%error, "the watch on task Pods failed; it is retried");
                    }
                    healthy = false;
                }
            }
        }
    }

    /// Applies one event. `missing` has the Pods that the list in progress has not shown yet.
    fn apply(&self, event: watcher::Event<Pod>, missing: &mut BTreeSet<String>) {
        match event {
            watcher::Event::Init => {
                // Recorded before the list is requested: a Pod that is created in the meantime may
                // appear in the list or later.
                let entries = self.lock();
                let existing = entries.iter().filter(|(_, entry)| entry.exists.load(Ordering::Acquire));
                *missing = existing.map(|(name, _)| name.clone()).collect();
            }
            watcher::Event::InitApply(pod) => {
                missing.remove(&pod.name_any());
                self.observe(&pod.name_any(), PodObservation::Present(Arc::new(pod)));
            }
            watcher::Event::InitDone => {
                for name in std::mem::take(missing) {
                    self.observe(&name, PodObservation::Deleted(None));
                }
            }
            watcher::Event::Apply(pod) => {
                self.observe(&pod.name_any(), PodObservation::Present(Arc::new(pod)))
            }
            watcher::Event::Delete(pod) => {
                self.observe(&pod.name_any(), PodObservation::Deleted(Some(Arc::new(pod))))
            }
        }
    }

    fn observe(&self, name: &str, observation: PodObservation) {
        if let Some(entry) = self.lock().get(name) {
            entry.observations.send_replace(observation);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, stream};
    use k8s_openapi::api::core::v1::PodStatus;
    use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};

    use super::*;

    fn pod(name: &str, phase: &str) -> Pod {
        let mut pod = Pod {
            status: Some(PodStatus { phase: Some(phase.into()), ..PodStatus::default() }),
            ..Pod::default()
        };
        pod.metadata.name = Some(name.into());
        pod
    }

    fn registry(pods: &[(&str, bool)]) -> (PodRegistry, BTreeMap<String, watch::Receiver<PodObservation>>) {
        let registry = PodRegistry::default();
        let mut receivers = BTreeMap::new();
        for (name, exists) in pods {
            let (observations, receiver) = watch::channel(PodObservation::default());
            let (commands, _) = mpsc::unbounded_channel();
            let entry = RegisteredPod {
                task: (*name).into(),
                commands,
                observations,
                exists: Arc::new(AtomicBool::new(*exists)),
            };
            registry.lock().insert((*name).into(), entry);
            receivers.insert((*name).to_owned(), receiver);
        }
        (registry, receivers)
    }

    fn state_of(receiver: &watch::Receiver<PodObservation>) -> String {
        match &*receiver.borrow() {
            PodObservation::Unknown => "unseen".into(),
            PodObservation::Present(pod) => pod.status.clone().unwrap().phase.unwrap(),
            PodObservation::Deleted(pod) => format!("deleted {}", pod.is_some()),
        }
    }

    #[test]
    fn a_pod_that_existed_before_a_list_without_it_is_deleted() {
        let (registry, seen) = registry(&[("listed", true), ("lost", true), ("young", false)]);
        let events =
            [Init, InitApply(pod("listed", "Running")), InitApply(pod("unrelated", "Running")), InitDone]
                .map(Ok);
        registry.follow(stream::iter(events)).now_or_never().unwrap();
        assert_eq!(seen.values().map(state_of).collect::<Vec<_>>(), ["Running", "deleted false", "unseen"]);
    }

    #[test]
    fn changes_and_deletions_are_seen_across_watch_errors() {
        let (registry, seen) = registry(&[("a", true), ("b", true)]);
        let events = [
            Ok(Apply(pod("a", "Pending"))),
            Err(watcher::Error::NoResourceVersion),
            Ok(Apply(pod("a", "Running"))),
            Ok(Delete(pod("b", "Failed"))),
        ];
        registry.follow(stream::iter(events)).now_or_never().unwrap();
        assert_eq!(seen.values().map(state_of).collect::<Vec<_>>(), ["Running", "deleted true"]);
    }
}

//! Which Pods this sandbox looks after, and what the watch last saw of each. In: watch events. Out: sightings for those who attend
//! to the Pods. No I/O of its own but reading the stream of events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::watcher;
use tokio::sync::{mpsc, watch};

/// What was last seen of a Pod.
#[derive(Clone, Debug, Default)]
pub(super) enum PodObservation {
    #[default]
    Unseen,
    ProcessState(Arc<Pod>),
    /// It is deleted; as it was at the end, where that is known.
    Gone(Option<Arc<Pod>>),
}

/// What a Pod's attendant is told.
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
    pub sightings: watch::Sender<PodObservation>,
    /// The API server has said that the Pod exists: from then on a list without it means that it is gone.
    pub exists: Arc<AtomicBool>,
}

/// The Pods, by name.
#[derive(Debug, Default)]
pub(super) struct PodRegistry(Mutex<BTreeMap<String, RegisteredPod>>);

impl PodRegistry {
    pub fn lock(&self) -> MutexGuard<'_, BTreeMap<String, RegisteredPod>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a command to the attendant of a task's Pod.
    pub fn tell(&self, task: &str, command: PodCommand) {
        for entry in self.lock().values().filter(|entry| entry.task == task) {
            // One that has just finished no longer listens.
            let _ = entry.commands.send(command);
        }
    }

    /// Takes in what the watch sees, for ever. Errors are the watcher's to recover from.
    pub async fn follow(&self, events: impl Stream<Item = watcher::Result<watcher::Event<Pod>>>) {
        let mut events = std::pin::pin!(events);
        let mut missing = BTreeSet::new();
        let mut healthy = true;
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    if !healthy {
                        tracing::info!("the watch on task Pods works again");
                    }
                    healthy = true;
                    self.take(event, &mut missing);
                }
                Err(error) => {
                    if healthy {
                        tracing::warn!(%error, "the watch on task Pods is interrupted");
                    }
                    healthy = false;
                }
            }
        }
    }

    /// `missing` is what a list that is being read has not shown yet.
    fn take(&self, event: watcher::Event<Pod>, missing: &mut BTreeSet<String>) {
        match event {
            watcher::Event::Init => {
                // Taken before the list is asked for: a Pod made meanwhile may be on it or come later.
                let entries = self.lock();
                let existing = entries.iter().filter(|(_, entry)| entry.exists.load(Ordering::Acquire));
                *missing = existing.map(|(name, _)| name.clone()).collect();
            }
            watcher::Event::InitApply(pod) => {
                missing.remove(&pod.name_any());
                self.see(&pod.name_any(), PodObservation::ProcessState(Arc::new(pod)));
            }
            watcher::Event::InitDone => {
                for name in std::mem::take(missing) {
                    self.see(&name, PodObservation::Gone(None));
                }
            }
            watcher::Event::Apply(pod) => {
                self.see(&pod.name_any(), PodObservation::ProcessState(Arc::new(pod)))
            }
            watcher::Event::Delete(pod) => {
                self.see(&pod.name_any(), PodObservation::Gone(Some(Arc::new(pod))))
            }
        }
    }

    fn see(&self, name: &str, sighting: PodObservation) {
        if let Some(entry) = self.lock().get(name) {
            entry.sightings.send_replace(sighting);
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

    fn table(pods: &[(&str, bool)]) -> (PodRegistry, BTreeMap<String, watch::Receiver<PodObservation>>) {
        let table = PodRegistry::default();
        let mut receivers = BTreeMap::new();
        for (name, exists) in pods {
            let (sightings, receiver) = watch::channel(PodObservation::default());
            let (commands, _) = mpsc::unbounded_channel();
            let entry = RegisteredPod {
                task: (*name).into(),
                commands,
                sightings,
                exists: Arc::new(AtomicBool::new(*exists)),
            };
            table.lock().insert((*name).into(), entry);
            receivers.insert((*name).to_owned(), receiver);
        }
        (table, receivers)
    }

    fn told(receiver: &watch::Receiver<PodObservation>) -> String {
        match &*receiver.borrow() {
            PodObservation::Unseen => "unseen".into(),
            PodObservation::ProcessState(pod) => pod.status.clone().unwrap().phase.unwrap(),
            PodObservation::Gone(pod) => format!("gone {}", pod.is_some()),
        }
    }

    #[test]
    fn a_list_without_a_pod_that_existed_before_it_means_that_the_pod_is_gone() {
        let (table, seen) = table(&[("listed", true), ("lost", true), ("young", false)]);
        let events =
            [Init, InitApply(pod("listed", "Running")), InitApply(pod("stranger", "Running")), InitDone]
                .map(Ok);
        table.follow(stream::iter(events)).now_or_never().unwrap();
        assert_eq!(seen.values().map(told).collect::<Vec<_>>(), ["Running", "gone false", "unseen"]);
    }

    #[test]
    fn changes_and_ends_are_seen_through_interruptions() {
        let (table, seen) = table(&[("a", true), ("b", true)]);
        let events = [
            Ok(Apply(pod("a", "Pending"))),
            Err(watcher::Error::NoResourceVersion),
            Ok(Apply(pod("a", "Running"))),
            Ok(Delete(pod("b", "Failed"))),
        ];
        table.follow(stream::iter(events)).now_or_never().unwrap();
        assert_eq!(seen.values().map(told).collect::<Vec<_>>(), ["Running", "gone true"]);
    }
}

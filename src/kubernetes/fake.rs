//! A Kubernetes for scenarios: one object with a resource version, finalizers that hold it, and the events about it. Every
//! write can be lost or be the last thing the operator does.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use kinesis_demo_api::demo::FINALIZER;
use kinesis_demo_api::{KinesisDemo, KinesisDemoStatus};

use super::{Cluster, ClusterError};
use crate::reconcile::queue::{QueuedRun, RunLister};
use crate::reconcile::run_event::RunEvent;

/// The cluster, cheap to clone.
#[derive(Clone, Default)]
pub struct FakeCluster(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    object: Option<KinesisDemo>,
    beside: Vec<KinesisDemo>,
    run_events: Vec<RunEvent>,
    writes: u64,
    deny_writes: bool,
    another_leads: bool,
    unlisted: bool,
}

impl FakeCluster {
    /// A cluster that holds `object`.
    pub fn holding(object: KinesisDemo) -> Self {
        let cluster = Self::default();
        cluster.change(|state| {
            let mut object = object;
            object.metadata.resource_version = Some("1".into());
            state.object = Some(object);
        });
        cluster
    }

    /// The object as stored, if it is still there.
    pub fn object(&self) -> Option<KinesisDemo> {
        self.read(|state| state.object.clone())
    }

    /// What other objects there are: seen, and never written.
    pub fn set_beside(&self, objects: Vec<KinesisDemo>) {
        self.change(|state| state.beside = objects);
    }

    /// Every event so far.
    pub fn run_events(&self) -> Vec<RunEvent> {
        self.read(|state| state.run_events.clone())
    }

    /// How many writes were done.
    pub fn writes(&self) -> u64 {
        self.read(|state| state.writes)
    }

    /// Whether writes are refused with a conflict from now on.
    pub fn deny_writes(&self, deny: bool) {
        self.change(|state| state.deny_writes = deny);
    }

    /// Whether the Lease says from now on that another operator leads.
    pub fn set_another_leads(&self, another: bool) {
        self.change(|state| state.another_leads = another);
    }

    /// Whether not all objects were listed yet.
    pub fn set_unlisted(&self, unlisted: bool) {
        self.change(|state| state.unlisted = unlisted);
    }

    /// Somebody edits the object.
    pub fn edit(&self, edit: impl FnOnce(&mut KinesisDemo)) {
        self.change(|state| {
            if let Some(object) = &mut state.object {
                let spec_before = object.spec.clone();
                edit(object);
                if object.spec != spec_before {
                    object.metadata.generation = object.metadata.generation.map(|generation| generation + 1);
                }
                bump(object);
            }
        });
    }

    /// Somebody deletes the object: it stays while a finalizer holds it.
    pub fn delete(&self, at: jiff::Timestamp) {
        self.edit(|object| {
            object.metadata.deletion_timestamp =
                Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at));
        });
        self.change(collect);
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(
        &self,
        what: &'static str,
        seen: &KinesisDemo,
        write: impl FnOnce(&mut KinesisDemo),
    ) -> Result<(), ClusterError> {
        self.change(|state| {
            let name = seen.metadata.name.clone().unwrap_or_default();
            let deny = state.deny_writes;
            let Some(object) = &mut state.object else {
                return Err(ClusterError::Gone { what, object: name });
            };
            if deny || object.metadata.resource_version != seen.metadata.resource_version {
                return Err(ClusterError::Conflict { what, object: name });
            }
            write(object);
            bump(object);
            state.writes += 1;
            collect(state);
            Ok(())
        })
    }
}

impl RunLister for FakeCluster {
    fn entries(&self) -> Option<Vec<QueuedRun>> {
        self.read(|state| {
            let objects = state.object.iter().chain(&state.beside);
            (!state.unlisted).then(|| objects.filter_map(QueuedRun::of).collect())
        })
    }
}

fn bump(object: &mut KinesisDemo) {
    let version: u64 =
        object.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0);
    object.metadata.resource_version = Some((version + 1).to_string());
}

/// A deleted object that nothing holds is gone.
fn collect(state: &mut State) {
    let gone = state.object.as_ref().is_some_and(|object| {
        object.metadata.deletion_timestamp.is_some()
            && object.metadata.finalizers.as_ref().is_none_or(Vec::is_empty)
    });
    if gone {
        state.object = None;
    }
}

#[async_trait]
impl Cluster for FakeCluster {
    async fn replace_status(
        &self,
        object: &KinesisDemo,
        status: &KinesisDemoStatus,
    ) -> Result<(), ClusterError> {
        // Through JSON, as on the wire: what does not survive it would never compare equal.
        let stored: KinesisDemoStatus =
            serde_json::to_value(status).and_then(serde_json::from_value).map_err(|error| {
                ClusterError::Other { what: "status", object: String::new(), source: error.into() }
            })?;
        self.write("status", object, |held| held.status = Some(stored))
    }

    async fn put_finalizer(&self, object: &KinesisDemo, present: bool) -> Result<(), ClusterError> {
        self.write("finalizers", object, |held| {
            let finalizers = held.metadata.finalizers.get_or_insert_default();
            finalizers.retain(|name| name != FINALIZER);
            if present {
                finalizers.push(FINALIZER.into());
            }
        })
    }

    async fn still_leads(&self, _: u64) -> Result<bool, ClusterError> {
        Ok(self.read(|state| !state.another_leads))
    }

    async fn publish(&self, _: &KinesisDemo, run_event: &RunEvent) {
        self.change(|state| state.run_events.push(run_event.clone()));
    }
}

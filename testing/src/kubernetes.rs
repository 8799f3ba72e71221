//! A fake Kubernetes for scenarios: objects with resource versions, their finalizers, and their
//! Events. Most scenarios have one object, and others beside it that are only listed. Writes can be
//! denied.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use kinesis_demo_api::demo::FINALIZER;
use kinesis_demo_api::{KinesisDemo, KinesisDemoRun, KinesisDemoStatus, MicroTime};
use kube::ResourceExt;

use kinesis_demo_operator::kubernetes::events::RunEvent;
use kinesis_demo_operator::kubernetes::run_records::{ListedRecord, RunRecords};
use kinesis_demo_operator::kubernetes::{Cluster, ClusterError};
use kinesis_demo_operator::reconcile::cohort::Peer;
use kinesis_demo_operator::reconcile::queue::{QueuedRun, RunLister};

/// The cluster. Cheap to clone.
#[derive(Clone, Default)]
pub struct FakeCluster(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    object: Option<KinesisDemo>,
    beside: Vec<KinesisDemo>,
    run_events: Vec<RunEvent>,
    records: BTreeMap<(String, String), (MicroTime, KinesisDemoRun)>,
    record_writes: Vec<(MicroTime, usize)>,
    deny_records: bool,
    now: MicroTime,
    writes: u64,
    deny_writes: bool,
    another_leads: bool,
    unlisted: bool,
}

impl State {
    fn all(&self) -> impl Iterator<Item = &KinesisDemo> {
        self.object.iter().chain(&self.beside)
    }
}

impl FakeCluster {
    /// A cluster that contains `object`.
    pub fn holding(object: KinesisDemo) -> Self {
        let cluster = Self::default();
        cluster.change(|state| {
            let mut object = object;
            object.metadata.resource_version = Some("1".into());
            state.object = Some(object);
        });
        cluster
    }

    /// The stored object, if it still exists.
    pub fn object(&self) -> Option<KinesisDemo> {
        self.read(|state| state.object.clone())
    }

    /// The stored object of this name, if it still exists.
    pub fn named(&self, name: &str) -> Option<KinesisDemo> {
        self.read(|state| state.all().find(|object| object.metadata.name.as_deref() == Some(name)).cloned())
    }

    /// The names of all objects, in order of creation.
    pub fn names(&self) -> Vec<String> {
        self.read(|state| state.all().filter_map(|object| object.metadata.name.clone()).collect())
    }

    /// Creates another object.
    pub fn create(&self, mut object: KinesisDemo) {
        object.metadata.resource_version = Some("1".into());
        self.change(|state| state.beside.push(object));
    }

    /// Sets other objects, which are listed and never written.
    pub fn set_beside(&self, objects: Vec<KinesisDemo>) {
        self.change(|state| state.beside = objects);
    }

    /// All events so far.
    pub fn run_events(&self) -> Vec<RunEvent> {
        self.read(|state| state.run_events.clone())
    }

    /// The stored records of runs, in the order of their names.
    pub fn records(&self) -> Vec<KinesisDemoRun> {
        self.read(|state| state.records.values().map(|(_, record)| record.clone()).collect())
    }

    /// When each record was written, and its length in bytes, in order.
    pub fn record_writes(&self) -> Vec<(MicroTime, usize)> {
        self.read(|state| state.record_writes.clone())
    }

    /// Whether every call about records is denied from now on.
    pub fn deny_records(&self, deny: bool) {
        self.change(|state| state.deny_records = deny);
    }

    /// Sets the time with which records are created from now on.
    pub fn set_now(&self, now: MicroTime) {
        self.change(|state| state.now = now);
    }

    /// The number of writes.
    pub fn writes(&self) -> u64 {
        self.read(|state| state.writes)
    }

    /// Whether writes fail with a conflict from now on.
    pub fn deny_writes(&self, deny: bool) {
        self.change(|state| state.deny_writes = deny);
    }

    /// Whether the Lease names another operator as the holder from now on.
    pub fn set_another_leads(&self, another: bool) {
        self.change(|state| state.another_leads = another);
    }

    /// Whether the list of all objects is incomplete from now on.
    pub fn set_unlisted(&self, unlisted: bool) {
        self.change(|state| state.unlisted = unlisted);
    }

    /// Edits the object as a user.
    pub fn edit(&self, edit: impl FnOnce(&mut KinesisDemo)) {
        if let Some(name) = self.object().and_then(|object| object.metadata.name) {
            self.edit_named(&name, edit);
        }
    }

    /// Edits the object of this name as a user.
    pub fn edit_named(&self, name: &str, edit: impl FnOnce(&mut KinesisDemo)) {
        self.change(|state| {
            let mut all = state.object.iter_mut().chain(&mut state.beside);
            if let Some(object) = all.find(|object| object.metadata.name.as_deref() == Some(name)) {
                let spec_before = object.spec.clone();
                edit(object);
                if object.spec != spec_before {
                    object.metadata.generation = object.metadata.generation.map(|generation| generation + 1);
                }
                bump(object);
            }
        });
    }

    /// Deletes the object as a user. It remains while it has a finalizer.
    pub fn delete(&self, at: jiff::Timestamp) {
        if let Some(name) = self.object().and_then(|object| object.metadata.name) {
            self.delete_named(&name, at);
        }
    }

    /// Deletes the object of this name as a user.
    pub fn delete_named(&self, name: &str, at: jiff::Timestamp) {
        self.edit_named(name, |object| {
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
        read_object: &KinesisDemo,
        write: impl FnOnce(&mut KinesisDemo),
    ) -> Result<(), ClusterError> {
        self.change(|state| {
            let name = read_object.metadata.name.clone().unwrap_or_default();
            let deny = state.deny_writes;
            let mut all = state.object.iter_mut().chain(&mut state.beside);
            let Some(object) = all.find(|object| object.metadata.uid == read_object.metadata.uid) else {
                return Err(ClusterError::NotFound { what, object: name });
            };
            if deny || object.metadata.resource_version != read_object.metadata.resource_version {
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
        self.read(|state| (!state.unlisted).then(|| state.all().filter_map(QueuedRun::of).collect()))
    }

    fn peers(&self, namespace: &str) -> Option<Vec<Peer>> {
        self.read(|state| {
            let peers = state.all().filter_map(Peer::of).filter(|peer| peer.namespace == namespace);
            (!state.unlisted).then(|| peers.collect())
        })
    }
}

fn bump(object: &mut KinesisDemo) {
    let version: u64 =
        object.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0);
    object.metadata.resource_version = Some((version + 1).to_string());
}

/// Removes deleted objects without finalizers.
fn collect(state: &mut State) {
    let is_removable = |object: &KinesisDemo| {
        object.metadata.deletion_timestamp.is_some()
            && object.metadata.finalizers.as_ref().is_none_or(Vec::is_empty)
    };
    state.object = state.object.take().filter(|object| !is_removable(object));
    state.beside.retain(|object| !is_removable(object));
}

impl FakeCluster {
    fn about_record<T>(
        &self,
        name: &str,
        call: impl FnOnce(&mut State) -> Result<T, ClusterError>,
    ) -> Result<T, ClusterError> {
        self.change(|state| match state.deny_records {
            true => Err(ClusterError::Other {
                what: "record",
                object: name.to_owned(),
                source: "kinesisdemoruns is forbidden".into(),
            }),
            false => call(state),
        })
    }
}

#[async_trait]
impl RunRecords for FakeCluster {
    async fn fetch_record(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<KinesisDemoRun>, ClusterError> {
        let key = (namespace.to_owned(), name.to_owned());
        self.about_record(name, |state| Ok(state.records.get(&key).map(|(_, record)| record.clone())))
    }

    async fn create_record(&self, record: &KinesisDemoRun) -> Result<KinesisDemoRun, ClusterError> {
        let key = (record.namespace().unwrap_or_default(), record.name_any());
        self.about_record(&key.1.clone(), |state| {
            if state.records.contains_key(&key) {
                return Err(ClusterError::Conflict { what: "record", object: key.1 });
            }
            let mut created = record.clone();
            created.status = None;
            created.metadata.resource_version = Some("1".into());
            state.records.insert(key, (state.now, created.clone()));
            Ok(created)
        })
    }

    async fn replace_record_status(&self, record: &KinesisDemoRun) -> Result<KinesisDemoRun, ClusterError> {
        let key = (record.namespace().unwrap_or_default(), record.name_any());
        let length = serde_json::to_vec(record).map_or(usize::MAX, |text| text.len());
        self.about_record(&key.1.clone(), |state| {
            let Some((_, stored)) = state.records.get_mut(&key) else {
                return Err(ClusterError::NotFound { what: "record", object: key.1 });
            };
            if stored.metadata.resource_version != record.metadata.resource_version {
                return Err(ClusterError::Conflict { what: "record", object: key.1 });
            }
            // Through JSON, as on the wire.
            let status = serde_json::to_value(&record.status).and_then(serde_json::from_value);
            stored.status = status.map_err(|error| ClusterError::Other {
                what: "record",
                object: key.1,
                source: error.into(),
            })?;
            let version = stored.metadata.resource_version.as_deref().and_then(|text| text.parse().ok());
            stored.metadata.resource_version = Some((version.unwrap_or(0_u64) + 1).to_string());
            let stored = stored.clone();
            state.record_writes.push((state.now, length));
            Ok(stored)
        })
    }

    async fn list_records(
        &self,
        namespace: Option<&str>,
        demo: Option<&str>,
    ) -> Result<Vec<ListedRecord>, ClusterError> {
        self.about_record("all", |state| {
            let wanted = state.records.iter().filter(|((of, _), (_, record))| {
                namespace.is_none_or(|namespace| namespace == of)
                    && demo.is_none_or(|demo| record.spec.demo == demo)
            });
            let listed = wanted.map(|((namespace, name), (created_at, _))| ListedRecord {
                namespace: namespace.clone(),
                name: name.clone(),
                created_at: *created_at,
            });
            Ok(listed.collect())
        })
    }

    async fn delete_record(&self, namespace: &str, name: &str) -> Result<(), ClusterError> {
        let key = (namespace.to_owned(), name.to_owned());
        self.about_record(name, |state| {
            state.records.remove(&key);
            Ok(())
        })
    }
}

#[async_trait]
impl Cluster for FakeCluster {
    async fn replace_status(
        &self,
        object: &KinesisDemo,
        status: &KinesisDemoStatus,
    ) -> Result<(), ClusterError> {
        // Converts through JSON, as on the wire: a value that does not survive it would never
        // compare equal.
        let stored: KinesisDemoStatus =
            serde_json::to_value(status).and_then(serde_json::from_value).map_err(|error| {
                ClusterError::Other { what: "status", object: String::new(), source: error.into() }
            })?;
        self.write("status", object, |stored_object| stored_object.status = Some(stored))
    }

    async fn put_finalizer(&self, object: &KinesisDemo, present: bool) -> Result<(), ClusterError> {
        self.write("finalizers", object, |stored_object| {
            let finalizers = stored_object.metadata.finalizers.get_or_insert_default();
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

//! The controller loop. In: the watch. Out: reconciles with bounded concurrency, retries by error
//! class with a backoff per object, and one place where failures are logged and counted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::channel::mpsc::UnboundedSender;
use futures::{Stream, StreamExt, TryStreamExt};
use kinesis_demo_api::error_chain::error_chain;
use kinesis_demo_api::{KinesisDemo, KinesisDemoStatus, MicroTime, Stage};
use kube::api::{ApiResource, DynamicObject, ListParams, ObjectMeta};
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::watcher::Event;
use kube::runtime::{Controller, WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::kubernetes::{CALL_TIMEOUT, within};
use crate::metrics::OperatorMetrics;
use crate::metrics::runs::Objects;
use crate::reconcile::backoff::pause;
use crate::reconcile::cohort::Peer;
use crate::reconcile::error::{ReconcileError, Retry};
use crate::reconcile::queue::Next;
use crate::reconcile::stages::Wake;
use crate::reconcile::{Context, reconcile};

/// Bounds of the delay before the next reconcile. The lower one prevents a busy loop. The upper one
/// limits how long a fix takes to show.
const SOONEST: Duration = Duration::from_millis(500);
const LATEST: Duration = Duration::from_secs(300);

/// The longest pause after an error from the API server.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// The pause before an object that does not parse is read again after a failed read, and the
/// timeout of that read.
const SALVAGE_RETRY: Duration = Duration::from_secs(5);

/// How often the queue is checked for the next run to begin, and how often the state of deleted
/// objects is dropped.
const QUEUE_INTERVAL: Duration = Duration::from_secs(1);
const SWEEP: Duration = Duration::from_secs(30);

/// How often the controller looks for records of runs that are due.
const RECORD_INTERVAL: Duration = Duration::from_secs(1);

/// The state of the controller loop, in addition to the reconciles' own context.
pub struct ControllerContext {
    pub context: Context,
    pub metrics: Arc<OperatorMetrics>,
    client: Client,
    failures: Mutex<HashMap<String, u32>>,
    /// Active runs and other objects have separate permits, so that active runs never wait for the
    /// many others.
    run_permits: Semaphore,
    other_permits: Semaphore,
    stop: CancellationToken,
}

impl ControllerContext {
    /// A context in which no object has failed yet. At most `concurrency` active runs are
    /// reconciled at the same time, and half as many other objects.
    pub fn new(
        context: Context,
        metrics: Arc<OperatorMetrics>,
        client: Client,
        concurrency: u16,
        stop: CancellationToken,
    ) -> Self {
        Self {
            context,
            metrics,
            client,
            failures: Mutex::default(),
            run_permits: Semaphore::new(concurrency.into()),
            other_permits: Semaphore::new(concurrency.div_ceil(2).into()),
            stop,
        }
    }

    /// Waits for a permit to reconcile this object.
    ///
    /// Returns `None` if the operator stops first.
    async fn admit(&self, object: &DeserializeGuard<KinesisDemo>) -> Option<SemaphorePermit<'_>> {
        let is_active = match &object.0 {
            Ok(demo) => demo.status.as_ref().and_then(|status| status.stage).is_some_and(Stage::is_active),
            // The spec does not parse, but its run may be active.
            Err(_) => true,
        };
        let semaphore = if is_active { &self.run_permits } else { &self.other_permits };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            permit = semaphore.acquire() => permit.ok(),
        }
    }

    /// Writes the records of runs as they become due. Never returns.
    async fn record(&self, namespaces: &[String]) {
        loop {
            tokio::time::sleep(RECORD_INTERVAL).await;
            self.context.write_records(namespaces).await;
        }
    }

    /// Periodically drops the state of deleted objects. Never returns.
    async fn sweep(&self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let present = self.metrics.runs.uids();
            self.context.keep_only(&present);
            self.failures
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .retain(|uid, _| present.contains(uid));
        }
    }

    fn failed(&self, uid: &str) -> u32 {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(uid.to_owned()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    fn has_failed(&self, uid: &str) -> bool {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).contains_key(uid)
    }

    fn succeeded(&self, uid: &str) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// One API per namespace, or one for all. A stored object that no longer parses must not hide the
/// others.
fn apis(client: &Client, namespaces: &[String]) -> Vec<Api<DeserializeGuard<KinesisDemo>>> {
    if namespaces.is_empty() {
        return vec![Api::all(client.clone())];
    }
    namespaces.iter().map(|namespace| Api::namespaced(client.clone(), namespace)).collect()
}

/// Lists the objects of these namespaces, or of all namespaces.
pub async fn fetch_objects(
    client: &Client,
    namespaces: &[String],
) -> Result<Vec<DeserializeGuard<KinesisDemo>>, kube::Error> {
    let mut objects = Vec::new();
    for api in apis(client, namespaces) {
        match api.list(&ListParams::default()).await {
            Ok(list) => objects.extend(list.items),
            // The CustomResourceDefinition is not installed, so there are no objects.
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(objects)
}

/// The highest epoch that any of these objects was written with.
pub async fn highest_epoch(client: &Client, namespaces: &[String]) -> Result<u64, kube::Error> {
    let objects = fetch_objects(client, namespaces).await?;
    let parsed = objects.iter().filter_map(|object| object.0.as_ref().ok());
    let epochs = parsed.filter_map(|demo| Some(demo.status.as_ref()?.control.as_ref()?.epoch));
    Ok(epochs.max().unwrap_or(0))
}

/// Runs until `stop` is cancelled and the reconciles in progress have finished. Without
/// `namespaces`, one watch covers all. Otherwise each namespace has its own watch, so that a Role
/// in each suffices.
pub async fn run(client: &Client, namespaces: &[String], work: Arc<ControllerContext>) {
    let controllers = apis(client, namespaces).into_iter().map(|api| {
        let namespace = api.namespace().map(str::to_owned);
        let (store, writer) = reflector::store();
        work.metrics.runs.watch(store.clone());
        let seen = store.clone();
        let (changed, cohort_changes) = futures::channel::mpsc::unbounded();
        let watched = watcher(api, watcher::Config::default())
            .default_backoff()
            // Nothing reads managedFields, and they make up most of an object's size.
            .modify(|object| object.meta_mut().managed_fields = None)
            .reflect(writer)
            .inspect_ok(move |event| note_cohort_change(&seen, &changed, event))
            .applied_objects();
        Controller::for_stream(watched, store)
            .reconcile_on(next_in_turn(Arc::clone(&work), namespace))
            .reconcile_on(cohort_changes)
            // Concurrency is limited by `ControllerContext::admit`, per kind of object.
            .with_config(Config::default().concurrency(0))
            .graceful_shutdown_on(work.stop.clone().cancelled_owned())
            .run(reconcile_object, retry, Arc::clone(&work))
            .for_each(async |result| {
                if let Err(error) = result {
                    // `retry` logs failed reconciles. Only the watch's own errors remain here.
                    tracing::debug!(error = error_chain(&error), "the watch failed; it is retried");
                }
            })
    });
    tokio::select! {
        _ = futures::future::join_all(controllers) => {}
        () = work.sweep() => {}
        () = work.record(namespaces) => {}
    }
}

/// A stream of the queued objects whose turn it is, of one namespace or of all.
fn next_in_turn(
    work: Arc<ControllerContext>,
    namespace: Option<String>,
) -> impl Stream<Item = ObjectRef<DeserializeGuard<KinesisDemo>>> + Send + 'static {
    futures::stream::unfold(work, async |work| {
        tokio::time::sleep(QUEUE_INTERVAL).await;
        let mut next = work.context.next_in_turn();
        // An object whose last reconcile failed is retried after its own backoff.
        next.retain(|next| !work.has_failed(&next.uid));
        Some((next, work))
    })
    .flat_map(futures::stream::iter)
    .filter(move |next| {
        std::future::ready(namespace.as_ref().is_none_or(|namespace| *namespace == next.namespace))
    })
    .map(|Next { namespace, name, .. }| ObjectRef::new(&name).within(&namespace))
}

/// Sends the objects that may go on because another member of their cohort has changed. The changed
/// object itself is in `seen` already.
fn note_cohort_change(
    seen: &Objects,
    changed: &UnboundedSender<ObjectRef<DeserializeGuard<KinesisDemo>>>,
    event: &Event<DeserializeGuard<KinesisDemo>>,
) {
    let (Event::Apply(object) | Event::Delete(object)) = event else { return };
    let Some(other) = object.0.as_ref().ok().and_then(Peer::of) else { return };
    for object in seen.state() {
        if let Ok(demo) = &object.0
            && Peer::of(demo).is_some_and(|peer| peer.waits_for(&other))
        {
            // It fails only if the controller has stopped.
            let _ = changed.unbounded_send(ObjectRef::from_obj(object.as_ref()));
        }
    }
}

async fn reconcile_object(
    object: Arc<DeserializeGuard<KinesisDemo>>,
    work: Arc<ControllerContext>,
) -> Result<Action, ReconcileError> {
    let Some(_permit) = work.admit(&object).await else { return Ok(Action::await_change()) };
    let salvaged;
    let (demo, unreadable) = match &object.0 {
        Ok(demo) => (demo, None),
        Err(error) => {
            let meta = object.meta();
            let reason = error.to_string();
            tracing::error!(
                namespace = meta.namespace,
                name = meta.name,
                error = reason,
                "a stored object could not be parsed"
            );
            salvaged = match Box::pin(salvage(&work.client, meta)).await {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(Action::await_change()),
                Err(error) => {
                    tracing::warn!(
                        namespace = meta.namespace,
                        name = meta.name,
                        error,
                        "could not read the status of an object that does not parse; retrying"
                    );
                    return Ok(Action::requeue(SALVAGE_RETRY));
                }
            };
            (&salvaged, Some(reason))
        }
    };
    let started = Instant::now();
    // Boxed: hundreds of objects may wait above, and each would wait with the room that this needs.
    let wake = Box::pin(reconcile(demo, unreadable.as_deref(), &work.context)).await;
    let outcome = wake.as_ref().map_or_else(ReconcileError::category, |_| "ok");
    work.metrics.reconciled(outcome, started.elapsed());
    let wake = wake?;
    work.succeeded(&demo.uid().unwrap_or_default());
    Ok(action(wake, work.context.clock.now()))
}

/// Recovers an object whose spec does not parse: its status, and the settings that are pinned for
/// its run. With these the run can be ended and cleaned up. Returns `None` if the status does not
/// parse either, since the work to do is then unknown.
async fn salvage(client: &Client, meta: &ObjectMeta) -> Result<Option<KinesisDemo>, String> {
    let (Some(name), Some(namespace)) = (meta.name.as_deref(), meta.namespace.as_deref()) else {
        return Ok(None);
    };
    let resource = ApiResource::erase::<KinesisDemo>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    // Uses `list`, as the watch does: `get` would need another permission.
    let by_name = ListParams::default().fields(&format!("metadata.name={name}"));
    let found = within(CALL_TIMEOUT, api.list(&by_name)).await.map_err(|error| error_chain(&error))?;
    let Some(stored) = found.items.into_iter().next() else { return Ok(None) };
    let status = match stored.data.get("status") {
        None => None,
        Some(status) => match serde_json::from_value::<KinesisDemoStatus>(status.clone()) {
            Ok(status) => Some(status),
            Err(error) => {
                tracing::error!(
                    namespace,
                    name,
                    error = %error,
                    "the object's status could not be parsed either, so the operator does nothing with it. Its traffic stops by itself, but its AWS resources remain. Delete the resources with the tag kinesisdemo.io/owner, then remove the object's finalizer"
                );
                return Ok(None);
            }
        },
    };
    let effective = status.as_ref().and_then(|status| status.run.as_ref()?.effective.as_ref());
    let spec = effective.map(|effective| effective.spec.clone()).unwrap_or_default();
    Ok(Some(KinesisDemo { metadata: stored.metadata, spec, status }))
}

/// Converts a wake-up into a requeue.
fn action(wake: Wake, now: MicroTime) -> Action {
    match wake {
        Wake::OnChange => Action::await_change(),
        Wake::At(at) => Action::requeue(at.since(now).clamp(SOONEST, LATEST)),
    }
}

fn retry(
    object: Arc<DeserializeGuard<KinesisDemo>>,
    error: &ReconcileError,
    work: Arc<ControllerContext>,
) -> Action {
    let meta = object.meta();
    let uid = meta.uid.clone().unwrap_or_default();
    let failures = work.failed(&uid);
    let after = match error.retry() {
        Retry::After(after) => after,
        Retry::Backoff => pause(failures, LONGEST_BACKOFF, &uid),
    };
    let (namespace, name) = (&meta.namespace, &meta.name);
    match error {
        ReconcileError::Cluster(
            crate::kubernetes::ClusterError::Conflict { .. }
            | crate::kubernetes::ClusterError::NotFound { .. },
        ) => {
            tracing::debug!(
                namespace,
                name,
                error = error_chain(error),
                "the object changed during a reconcile; it is reconciled again"
            );
        }
        _ => tracing::warn!(
            namespace,
            name,
            failures,
            retry_seconds = after.as_secs(),
            error = error_chain(error),
            "a reconcile failed; it is retried"
        ),
    }
    Action::requeue(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wake_ups_are_bounded() {
        let now = MicroTime::from_micros(1_700_000_000_000_000);
        assert_eq!(action(Wake::At(now), now), Action::requeue(SOONEST));
        assert_eq!(action(Wake::At(now + Duration::from_secs(3600)), now), Action::requeue(LATEST));
        assert_eq!(action(Wake::OnChange, now), Action::await_change());
    }
}

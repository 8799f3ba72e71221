//! The loop around passes. In: the watch. Out: passes with bounded concurrency, retries by class with per-object backoff,
//! failures logged and counted in one place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use kinesis_demo_api::{KinesisDemo, KinesisDemoStatus, MicroTime, Stage};
use kube::api::{ApiResource, DynamicObject, ListParams, ObjectMeta};
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::{Controller, WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::reconcile::backoff::pause;
use crate::reconcile::error::{ReconcileError, Retry, chain};
use crate::reconcile::queue::Next;
use crate::reconcile::stages::Wake;
use crate::reconcile::{Context, reconcile};

/// The bounds of a wake-up: never a busy loop, never asleep for longer than anybody would wait for a fix to show.
const SOONEST: Duration = Duration::from_millis(500);
const LATEST: Duration = Duration::from_secs(300);

/// The longest pause after an API server's refusal.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// How soon an object that does not parse is read again if that failed, and how long that may take.
const SALVAGE_AGAIN: Duration = Duration::from_secs(5);
const SALVAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often it is looked whose turn it is to begin, and what is kept of objects that are gone.
const NEXT_TURN: Duration = Duration::from_secs(1);
const SWEEP: Duration = Duration::from_secs(30);

/// What the loop holds besides the passes' own context.
pub struct ControllerContext {
    pub context: Context,
    pub metrics: Arc<Metrics>,
    client: Client,
    failures: Mutex<HashMap<String, u32>>,
    /// Reconciles of runs that go on never wait for those of the many objects that do not.
    runs_in_hand: Semaphore,
    others_in_hand: Semaphore,
    stop: CancellationToken,
}

impl ControllerContext {
    /// A loop that has seen no failure yet. So many runs that go on are reconciled at the same time, and
    /// half as many other objects.
    pub fn new(
        context: Context,
        metrics: Arc<Metrics>,
        client: Client,
        concurrency: u16,
        stop: CancellationToken,
    ) -> Self {
        Self {
            context,
            metrics,
            client,
            failures: Mutex::default(),
            runs_in_hand: Semaphore::new(concurrency.into()),
            others_in_hand: Semaphore::new(concurrency.div_ceil(2).into()),
            stop,
        }
    }

    /// Waits until this object may be reconciled.
    ///
    /// `None` if the operator is to stop before.
    async fn admit(&self, object: &DeserializeGuard<KinesisDemo>) -> Option<SemaphorePermit<'_>> {
        let goes_on = match &object.0 {
            Ok(demo) => demo.status.as_ref().and_then(|status| status.stage).is_some_and(Stage::is_active),
            // Its run may go on though its spec does not parse any more.
            Err(_) => true,
        };
        let semaphore = if goes_on { &self.runs_in_hand } else { &self.others_in_hand };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            permit = semaphore.acquire() => permit.ok(),
        }
    }

    /// Forgets what is kept of objects that are gone, for as long as the loop runs.
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

/// The objects of these namespaces, or of all. A stored object that no longer parses must not hide the others.
fn apis(client: &Client, namespaces: &[String]) -> Vec<Api<DeserializeGuard<KinesisDemo>>> {
    if namespaces.is_empty() {
        return vec![Api::all(client.clone())];
    }
    namespaces.iter().map(|namespace| Api::namespaced(client.clone(), namespace)).collect()
}

/// The objects of these namespaces, or of all, as they are now.
pub async fn fetch_objects(
    client: &Client,
    namespaces: &[String],
) -> Result<Vec<DeserializeGuard<KinesisDemo>>, kube::Error> {
    let mut objects = Vec::new();
    for api in apis(client, namespaces) {
        match api.list(&ListParams::default()).await {
            Ok(list) => objects.extend(list.items),
            // Without the definition there are no objects.
            Err(kube::Error::Api(answer)) if answer.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(objects)
}

/// The highest epoch that any of these objects was written under.
pub async fn highest_epoch(client: &Client, namespaces: &[String]) -> Result<u64, kube::Error> {
    let objects = fetch_objects(client, namespaces).await?;
    let parsed = objects.iter().filter_map(|object| object.0.as_ref().ok());
    let epochs = parsed.filter_map(|demo| Some(demo.status.as_ref()?.control.as_ref()?.epoch));
    Ok(epochs.max().unwrap_or(0))
}

/// Runs until `stop` is cancelled and the passes in hand are finished. Without `namespaces`, all are watched; with them each has a
/// watch of its own, so that a Role in each is enough.
pub async fn run(client: &Client, namespaces: &[String], work: Arc<ControllerContext>) {
    let controllers = apis(client, namespaces).into_iter().map(|api| {
        let namespace = api.namespace().map(str::to_owned);
        let (store, writer) = reflector::store();
        work.metrics.runs.watch(store.clone());
        let watched = watcher(api, watcher::Config::default())
            .default_backoff()
            // Nobody reads it, and it is most of what an object weighs.
            .modify(|object| object.meta_mut().managed_fields = None)
            .reflect(writer)
            .applied_objects();
        Controller::for_stream(watched, store)
            .reconcile_on(next_in_turn(Arc::clone(&work), namespace))
            // `ControllerContext::admit` bounds it, by kind.
            .with_config(Config::default().concurrency(0))
            .graceful_shutdown_on(work.stop.clone().cancelled_owned())
            .run(pass, retry, Arc::clone(&work))
            .for_each(async |result| {
                if let Err(error) = result {
                    // Failures of passes are logged in `retry`; what is left are the watch's own.
                    tracing::debug!(error = chain(&error), "the controller reported an error");
                }
            })
    });
    tokio::select! {
        _ = futures::future::join_all(controllers) => {}
        () = work.sweep() => {}
    }
}

/// The objects that wait and whose turn it is, of one namespace or of all.
fn next_in_turn(
    work: Arc<ControllerContext>,
    namespace: Option<String>,
) -> impl Stream<Item = ObjectRef<DeserializeGuard<KinesisDemo>>> + Send + 'static {
    futures::stream::unfold(work, async |work| {
        tokio::time::sleep(NEXT_TURN).await;
        let mut next = work.context.next_in_turn();
        // What could not be written is tried again after its own pause.
        next.retain(|next| !work.has_failed(&next.uid));
        Some((next, work))
    })
    .flat_map(futures::stream::iter)
    .filter(move |next| {
        std::future::ready(namespace.as_ref().is_none_or(|namespace| *namespace == next.namespace))
    })
    .map(|Next { namespace, name, .. }| ObjectRef::new(&name).within(&namespace))
}

async fn pass(
    object: Arc<DeserializeGuard<KinesisDemo>>,
    work: Arc<ControllerContext>,
) -> Result<Action, ReconcileError> {
    let Some(_place) = work.admit(&object).await else { return Ok(Action::await_change()) };
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
                "a stored object does not parse"
            );
            salvaged = match salvage(&work.client, meta).await {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(Action::await_change()),
                Err(error) => {
                    tracing::warn!(
                        namespace = meta.namespace,
                        name = meta.name,
                        error,
                        "it could not be read again"
                    );
                    return Ok(Action::requeue(SALVAGE_AGAIN));
                }
            };
            (&salvaged, Some(reason))
        }
    };
    let started = Instant::now();
    let wake = reconcile(demo, unreadable.as_deref(), &work.context).await;
    let outcome = wake.as_ref().map_or_else(ReconcileError::category, |_| "ok");
    work.metrics.reconciled(outcome, started.elapsed());
    let wake = wake?;
    work.succeeded(&demo.uid().unwrap_or_default());
    Ok(action(wake, work.context.clock.now()))
}

/// What can be used of an object whose spec does not parse: its status, with the settings that its
/// run has pinned. What the run made is then brought to its end, and removed. `None` if the status
/// does not parse either: nothing is known then of what there is to do.
async fn salvage(client: &Client, meta: &ObjectMeta) -> Result<Option<KinesisDemo>, String> {
    let (Some(name), Some(namespace)) = (meta.name.as_deref(), meta.namespace.as_deref()) else {
        return Ok(None);
    };
    let resource = ApiResource::erase::<KinesisDemo>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    // Listed, as the watch does: to read a single one would be a permission of its own.
    let by_name = ListParams::default().fields(&format!("metadata.name={name}"));
    let found = tokio::time::timeout(SALVAGE_TIMEOUT, api.list(&by_name)).await;
    let found = found.map_err(|elapsed| elapsed.to_string())?.map_err(|error| chain(&error))?;
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
                    "its status does not parse either: it is left alone; what it made stops by itself and stays. Remove it by its tag kinesisdemo.io/owner, then the object's finalizer"
                );
                return Ok(None);
            }
        },
    };
    let effective = status.as_ref().and_then(|status| status.run.as_ref()?.effective.as_ref());
    let spec = effective.map(|effective| effective.spec.clone()).unwrap_or_default();
    Ok(Some(KinesisDemo { metadata: stored.metadata, spec, status }))
}

/// The one place where a wake-up becomes a requeue.
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
            crate::kubernetes::ClusterError::Conflict { .. } | crate::kubernetes::ClusterError::Gone { .. },
        ) => {
            tracing::debug!(namespace, name, error = chain(error), "a pass starts over");
        }
        _ => tracing::warn!(
            namespace,
            name,
            failures,
            retry_seconds = after.as_secs(),
            error = chain(error),
            "a pass could not finish"
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

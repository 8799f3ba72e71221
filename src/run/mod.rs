//! One pass over one object: plan → observe → decide → act → report.
//!
//! Effects carry out what the stored status says, so a pass acts first and then stores what it newly claims. A pass whose
//! view of the object is older than our own last write does nothing.

pub mod act;
pub mod build;
pub mod decide;
pub mod error;
pub mod ledgers;
pub mod notices;
pub mod observe;
pub mod queue;
pub mod report;
pub mod verdict;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kinesis_demo_api::demo::{ABANDON_ANNOTATION, FINALIZER, REQUEST_ANNOTATION};
use kinesis_demo_api::plan::Plan;
use kinesis_demo_api::{KinesisDemo, KinesisDemoStatus, MicroTime, Stage};
use kube::ResourceExt;

use crate::aws::{AwsError, AwsErrorClass, Regions};
use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::registry::Registry;
use crate::settings::Settings;
use build::names::Names;
use decide::{Case, Decision, Subject, Wake};
use error::RunError;
use ledgers::LedgerStore;
use notices::Notice;
use observe::Observed;
use queue::{Queue, Roll};

/// What every pass needs.
pub struct Context {
    pub settings: Settings,
    pub regions: Arc<dyn Regions>,
    pub cluster: Arc<dyn Cluster>,
    pub clock: Arc<dyn Clock>,
    /// The leadership under which we write.
    pub epoch: Arc<AtomicU64>,
    /// All objects, whose runs wait for each other.
    pub roll: Arc<dyn Roll>,
    /// Where the generator's image is.
    pub registry: Arc<dyn Registry>,
    pub ledgers: LedgerStore,
    queue: Queue,
    written: Written,
}

impl Context {
    /// A context in which nothing has been written yet.
    pub fn new(
        settings: Settings,
        regions: Arc<dyn Regions>,
        cluster: Arc<dyn Cluster>,
        clock: Arc<dyn Clock>,
        epoch: Arc<AtomicU64>,
        roll: Arc<dyn Roll>,
        registry: Arc<dyn Registry>,
    ) -> Self {
        Self {
            settings,
            regions,
            cluster,
            clock,
            epoch,
            roll,
            registry,
            ledgers: LedgerStore::default(),
            queue: Queue::default(),
            written: Written::default(),
        }
    }

    /// Forgets all objects but those with these uids: the others are gone.
    pub fn keep_only(&self, uids: &HashSet<String>) {
        self.ledgers.keep_only(uids);
        self.written.keep_only(uids);
    }
}

/// The resource versions that our own writes have replaced: whoever still shows one is behind.
#[derive(Default)]
struct Written(Mutex<HashMap<String, String>>);

impl Written {
    fn note(&self, object: &KinesisDemo) {
        if let (Some(uid), Some(version)) = (object.uid(), object.resource_version()) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(uid, version);
        }
    }

    fn has_replaced(&self, object: &KinesisDemo) -> bool {
        let (Some(uid), version) = (object.uid(), object.resource_version()) else { return false };
        let replaced = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        version.is_some() && replaced.get(&uid) == version.as_ref()
    }

    fn keep_only(&self, uids: &HashSet<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| uids.contains(uid));
    }
}

/// How soon to look again when the watch lags behind our own write.
const BEHIND: Duration = Duration::from_secs(1);

/// One pass. `Ok` says when to look again.
pub async fn reconcile(object: &KinesisDemo, context: &Context) -> Result<Wake, RunError> {
    let now = context.clock.now();
    if context.written.has_replaced(object) {
        return Ok(Wake::At(now + BEHIND));
    }
    let uid = object.uid().ok_or(RunError::Malformed("uid"))?;
    let namespace = object.namespace().ok_or(RunError::Malformed("namespace"))?;
    let name = object.name_any();
    let first_visit: KinesisDemoStatus;
    let (status, is_first_visit) = match &object.status {
        Some(status) if status.stage.is_some() => (status, false),
        _ => {
            first_visit = decide::first_visit(now);
            (&first_visit, true)
        }
    };
    let subject = Subject {
        namespace: &namespace,
        name: &name,
        uid: &uid,
        generation: object.metadata.generation,
        deleting: object.metadata.deletion_timestamp.is_some(),
        has_finalizer: object.finalizers().iter().any(|held| held == FINALIZER),
        request: object.annotations().get(REQUEST_ANNOTATION).map(String::as_str),
        abandon: object.annotations().get(ABANDON_ANNOTATION).is_some_and(|value| value == "true"),
        spec: &object.spec,
        status,
        epoch: context.epoch.load(Ordering::Relaxed),
        settings: &context.settings,
    };
    if is_first_visit {
        return conclude(object, context, &decide::decide_first_visit(&subject, now), None).await;
    }
    if let Some(decision) = decide::intake(&subject, now) {
        return conclude(object, context, &decision, None).await;
    }
    let stage = status.stage.unwrap_or_default();
    if stage != Stage::Pending {
        context.queue.leave(&uid);
    }
    match stage {
        Stage::Pending => reconcile_pending(object, &subject, context, now).await,
        Stage::Succeeded | Stage::Failed | Stage::Aborted => Ok(Wake::OnChange),
        _ => reconcile_run(object, &subject, context, now).await,
    }
}

async fn reconcile_pending(
    object: &KinesisDemo,
    subject: &Subject<'_>,
    context: &Context,
    now: MicroTime,
) -> Result<Wake, RunError> {
    let plan = match Plan::new(subject.spec, &context.settings.defaults) {
        Ok(plan) => plan,
        Err(error) => {
            return conclude(object, context, &decide::decide_refused(subject, &error, now), None).await;
        }
    };
    // Before AWS is asked anything: many may wait for long.
    if let Err(before) = context.queue.take_place(object, &context.roll.entries(), context.settings.max_runs)
    {
        return conclude(object, context, &decide::decide_queued(subject, before, now), None).await;
    }
    let (aws, registry) = (context.regions.in_region(&plan.region), context.registry.as_ref());
    let world = match observe::prerequisites(&aws, registry, &context.settings.ecs_cluster, &plan).await {
        Ok(world) => world,
        Err(error) => {
            context.queue.leave(subject.uid);
            return refused(object, subject.status, &[], context, "observe", error).await;
        }
    };
    let decision = decide::decide_pending(subject, &plan, &world, now);
    if decision.status.stage == Some(Stage::Pending) {
        context.queue.leave(subject.uid);
    }
    conclude(object, context, &decision, None).await
}

async fn reconcile_run(
    object: &KinesisDemo,
    subject: &Subject<'_>,
    context: &Context,
    now: MicroTime,
) -> Result<Wake, RunError> {
    let run = subject.status.run.as_ref().ok_or(RunError::Malformed("status.run"))?;
    let effective = run.effective.as_ref().ok_or(RunError::Malformed("status.run.effective"))?;
    let deadline_at = run.deadline_at.ok_or(RunError::Malformed("status.run.deadlineAt"))?;
    // What was accepted once stays accepted: the operator's ceilings may have been lowered since.
    let plan = Plan::new(&effective.spec, &decide::pinned_defaults(&context.settings.defaults, effective))
        .map_err(|_| RunError::Malformed("plan in status.run.effective.spec"))?;
    let names = Names::of(effective);
    let aws = context.regions.in_region(&effective.region);

    let world = match observe::resources(&aws, &names, subject.uid, subject.status, context, now).await {
        Ok(world) => world,
        Err(error) => return refused(object, subject.status, &[], context, "observe", error).await,
    };
    let case = Case { subject: *subject, run, effective, deadline_at, plan: &plan, names: &names, now };
    let observed = Observed { now, world };
    let decision = decide::decide(&case, &observed);
    let acted = act::act(&aws, &decision.effects).await;
    if let Some(error) = &acted.refused
        && error.class == AwsErrorClass::Invalid
        && let Some(failed) = decide::decide_invalid(&case, error)
    {
        return conclude(object, context, &failed, None).await;
    }
    let mut decision = decide::with_missed(decision, &acted.missed);
    if let Some(error) = observed.world.ledgers.refusal() {
        let (status, notice) = report::with_refusal(object, &decision.status, error, now);
        decision.status = status;
        decision.notices.extend(notice);
    }
    conclude(object, context, &decision, acted.refused).await
}

/// Stores what was decided; an AWS refusal goes into the conditions and decides when to look again.
async fn conclude(
    object: &KinesisDemo,
    context: &Context,
    decision: &Decision,
    error: Option<AwsError>,
) -> Result<Wake, RunError> {
    if let Some(error) = error {
        return refused(object, &decision.status, &decision.notices, context, "act", error).await;
    }
    if report::report(context.cluster.as_ref(), object, decision).await? {
        context.written.note(object);
    }
    Ok(decision.wake)
}

async fn refused(
    object: &KinesisDemo,
    status: &KinesisDemoStatus,
    notices: &[Notice],
    context: &Context,
    doing: &str,
    error: AwsError,
) -> Result<Wake, RunError> {
    let (status, notice) = report::with_refusal(object, status, &error, context.clock.now());
    if object.status.as_ref() != Some(&status) {
        context.cluster.replace_status(object, &status).await?;
        context.written.note(object);
    }
    for notice in notices.iter().chain(&notice) {
        context.cluster.publish(object, notice).await;
    }
    Err(RunError::Aws { doing: doing.to_owned(), source: error })
}

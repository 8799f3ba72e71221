//! One reconcile of one object: plan → observe → decide → act → report.
//!
//! Effects carry out what the stored status says. So a reconcile first applies effects and then
//! stores its new claims. A reconcile whose view of the object is older than our own last write
//! does nothing.

pub mod act;
pub mod backoff;
pub mod cohort;
pub mod context;
pub mod error;
pub mod ledgers;
pub mod memory;
mod next_step;
pub mod observe;
pub mod observed;
pub mod queue;
pub mod read_budget;
pub mod records;
pub mod resources;
pub mod run_event;
pub mod stages;
pub mod status;
pub mod write_budget;

use std::sync::atomic::Ordering;
use std::time::Duration;

use kinesis_demo_api::conditions::{self, ConditionType};
use kinesis_demo_api::control::ControlDocument;
use kinesis_demo_api::demo::{ABANDON_ANNOTATION, CohortSpec, FINALIZER, REQUEST_ANNOTATION};
use kinesis_demo_api::limits::accepted_plan;
use kinesis_demo_api::plan::{Defaults, Plan};
use kinesis_demo_api::status::{ResourceState, ResourceStatus};
use kinesis_demo_api::{KinesisDemo, KinesisDemoStatus, MicroTime, Stage};
use kube::ResourceExt;

use crate::aws::{Aws, AwsErrorClass};
use crate::settings::Settings;
use act::{Actor, EffectResult};
use cohort::Round;
pub use context::Context;
use error::ReconcileError;
use observe::{ObservedState, ResourceReader};
use resources::names::Names;
use stages::control::FirstStep;
use stages::gathering::{self, Incomplete};
use stages::parameter::SeenDocument;
use stages::{Decision, Effect, FinalizerChange, ObjectContext, Removal, RunContext, Wake};
use status::EffectResults;

/// The backoff key for the preflight.
const PREFLIGHT: &str = "preflight";

/// How long an object waits for its records before it is released.
const RECORDS_WAIT: Duration = Duration::from_secs(5);

/// How soon to reconcile again when the watch lags behind our own write.
const BEHIND: Duration = Duration::from_secs(1);

/// Reconciles one object. Returns when to reconcile again. `unreadable` is set if the stored spec
/// does not parse, and says why. In that case `object` has the spec that its run has pinned, and no
/// further run starts.
pub async fn reconcile(
    demo: &KinesisDemo,
    unreadable: Option<&str>,
    context: &Context,
) -> Result<Wake, ReconcileError> {
    let now = context.clock.now();
    if context.memory.is_stale(demo) {
        return Ok(Wake::At(now + BEHIND));
    }
    let uid = demo.uid().ok_or(ReconcileError::Malformed("uid"))?;
    let namespace = demo.namespace().ok_or(ReconcileError::Malformed("namespace"))?;
    let name = demo.name_any();
    let first_visit: KinesisDemoStatus;
    let (status, is_first_visit) = match &demo.status {
        Some(status) if status.stage.is_some() => (status, false),
        _ => {
            first_visit = stages::first_visit(now);
            (&first_visit, true)
        }
    };
    let belongs_to_cohort =
        demo.spec.cohort.is_some() || status.run.as_ref().is_some_and(|run| run.cohort.is_some());
    let peers = belongs_to_cohort.then(|| context.run_lister.peers(&namespace)).flatten();
    let object = ObjectContext {
        namespace: &namespace,
        name: &name,
        uid: &uid,
        generation: demo.metadata.generation,
        deleting: demo.metadata.deletion_timestamp.is_some(),
        has_finalizer: demo.finalizers().iter().any(|finalizer| finalizer == FINALIZER),
        request: demo.annotations().get(REQUEST_ANNOTATION).map(String::as_str),
        abandon: demo.annotations().get(ABANDON_ANNOTATION).is_some_and(|value| value == "true"),
        spec: &demo.spec,
        unreadable,
        status,
        peers: peers.as_deref(),
        epoch: context.epoch.load(Ordering::Relaxed),
        settings: &context.settings,
    };
    let mut decision = match is_first_visit {
        true => visit_first(demo, &object, context, now),
        false => match stages::decide_before_stage(&object, now) {
            Some(decision) => decision,
            None => next_decision(demo, &object, context, now).await?,
        },
    };
    decision.status.cost = stages::cost_of(&object, &decision.status, now);
    let decision = status::bounded(decision);
    if decision.finalizer == FinalizerChange::Remove {
        finish_records(&uid, context, now).await;
    }
    match status::store(context.cluster.as_ref(), demo, &decision).await {
        Ok(true) => context.memory.note_replaced(demo),
        Ok(false) => {}
        Err(error) => {
            if object.status.stage == Some(Stage::Pending) {
                // Frees its slot for the next object; this object requests admission again when it
                // retries.
                context.queue.fail_to_begin(&uid);
            }
            return Err(error.into());
        }
    }
    let cells = |uid: &str, run: u32| context.ledgers.cells(uid, run);
    context.recorder.observe(demo, decision.status, &decision.run_events, &cells, now);
    Ok(decision.wake)
}

/// Writes the records of an object that is about to be released: afterwards, no reconcile would
/// write them. The object does not wait long for it.
async fn finish_records(uid: &str, context: &Context, now: MicroTime) {
    let cells = |uid: &str, run: u32| context.ledgers.cells(uid, run);
    let finish = context.recorder.finish(uid, context.cluster.as_ref(), &cells, now);
    if tokio::time::timeout(RECORDS_WAIT, finish).await.is_err() {
        tracing::warn!(
            uid,
            "the record of a run (KinesisDemoRun) was not written before the object was released"
        );
    }
}

/// The first reconcile of an object. An object that has to wait is marked as queued in the same
/// write: with thousands of queued objects, each write counts.
fn visit_first(
    demo: &KinesisDemo,
    object: &ObjectContext<'_>,
    context: &Context,
    now: MicroTime,
) -> Decision {
    let visited = stages::decide_first_visit(object, now);
    let object = ObjectContext { status: &visited.status, ..*object };
    // A cohort waits for its turn as a whole, which the next reconcile looks into.
    let may_wait = object.unreadable.is_none() && !object.deleting && object.spec.cohort.is_none();
    let Settings { defaults, limits, .. } = &context.settings;
    match may_wait.then(|| accepted_plan(object.spec, defaults, limits)) {
        Some(Ok(plan)) => match admit(demo, &object, &plan, context, now) {
            Err(queued) => *queued,
            Ok(_) => visited,
        },
        _ => visited,
    }
}

/// Returns how often the tasks of this run may read their control parameter, or the decision to
/// wait.
fn admit(
    demo: &KinesisDemo,
    object: &ObjectContext<'_>,
    plan: &Plan,
    context: &Context,
    now: MicroTime,
) -> Result<u32, Box<Decision>> {
    let capacity = context.capacity();
    let Some(entries) = context.run_lister.entries() else {
        return Err(Box::new(stages::decide_later(object, now + BEHIND, now)));
    };
    let request = (plan.region.as_str(), plan.most_tasks);
    let interval = context.queue.admit(demo, request, &entries, capacity);
    interval.ok_or_else(|| Box::new(stages::decide_queued(object, plan, capacity, now)))
}

/// The decision of the current stage, with its effects applied.
async fn next_decision(
    demo: &KinesisDemo,
    object: &ObjectContext<'_>,
    context: &Context,
    now: MicroTime,
) -> Result<Decision, ReconcileError> {
    let stage = object.status.stage.unwrap_or_default();
    if stage != Stage::Pending {
        context.queue.release(object.uid);
    }
    match stage {
        Stage::Pending => Ok(reconcile_pending(demo, object, context, now).await),
        Stage::Succeeded | Stage::Failed | Stage::Aborted => {
            reconcile_leaked_resources(object, context, now).await
        }
        _ => reconcile_run(object, context, now).await,
    }
}

async fn reconcile_pending(
    demo: &KinesisDemo,
    object: &ObjectContext<'_>,
    context: &Context,
    now: MicroTime,
) -> Decision {
    if let Some(why) = object.unreadable {
        context.queue.give_up(object.uid);
        return stages::decide_unreadable(object, why, now);
    }
    let Settings { defaults, limits, .. } = &context.settings;
    let plan = match accepted_plan(object.spec, defaults, limits) {
        Ok(plan) => plan,
        Err(error) => {
            context.queue.give_up(object.uid);
            return stages::decide_refused(object, &error, now);
        }
    };
    // Admission comes before any AWS call: many objects may be queued for a long time.
    let admission = match &object.spec.cohort {
        None => admit(demo, object, &plan, context, now).map(|read_every| (read_every, None)),
        Some(cohort) => admit_cohort(object, cohort, &plan, context, now),
    };
    let (read_every, round) = match admission {
        Ok((read_every, round)) => (read_every, round),
        Err(waits) => return *waits,
    };
    let (aws, registry) = (context.regions.in_region(&plan.region), context.registry.as_ref());
    let seen = match context.backoffs.refusal(object.uid, PREFLIGHT, now) {
        Some(refusal) => Err(refusal),
        None => {
            let seen = observe::prerequisites(&aws, registry, &context.settings.ecs_cluster, &plan).await;
            context.backoffs.note(object.uid, PREFLIGHT, &seen, Duration::MAX, now);
            seen
        }
    };
    let decision = match seen {
        Ok(state) => stages::decide_pending(object, &plan, &state, read_every, round.as_ref(), now),
        Err(error) => {
            let retry_at = context.backoffs.retry_at(object.uid, PREFLIGHT).unwrap_or(now + BEHIND);
            stages::decide_preflight_refused(object, &error, retry_at, now)
        }
    };
    let is_pending = decision.status.stage == Some(Stage::Pending);
    let is_blocked = conditions::is_true(&decision.status.conditions, ConditionType::Stalled);
    match &round {
        None if is_pending => context.queue.release(object.uid),
        None => {}
        // The cohort keeps its slots while its members check what they need.
        Some(_) if is_blocked => context.queue.give_up(object.uid),
        Some(round) if !is_pending && !round.has_begun && !context.queue.begin(object.uid) => {
            // Another member cannot begin, and has given up the cohort's slots meanwhile.
            return stages::decide_later(object, now + BEHIND, now);
        }
        Some(_) => {}
    }
    decision
}

/// Returns how often the tasks of this run may read their control parameter, and the runs that
/// begin with it, or the decision to wait for the other members or for the queue, or to end.
fn admit_cohort(
    object: &ObjectContext<'_>,
    cohort: &CohortSpec,
    plan: &Plan,
    context: &Context,
    now: MicroTime,
) -> Result<(u32, Option<Round>), Box<Decision>> {
    let capacity = context.capacity();
    let (Some(entries), Some(peers)) = (context.run_lister.entries(), object.peers) else {
        return Err(Box::new(stages::decide_later(object, now + BEHIND, now)));
    };
    let round = match gathering::gather(object, cohort, plan, peers, capacity, now) {
        Ok(round) => round,
        Err(incomplete) => {
            context.queue.give_up(object.uid);
            return Err(Box::new(match incomplete {
                Incomplete::Waits(what) => gathering::decide_gathering(object, plan, what, capacity, now),
                Incomplete::Ended(reason, why) => gathering::decide_cohort_ended(object, reason, &why, now),
                Incomplete::Refused(why) => {
                    gathering::decide_cohort_refused(object, plan, why, capacity, now)
                }
            }));
        }
    };
    let interval = match round.has_begun {
        true => round.loads.first().map(|load| load.read_every_seconds),
        false => context.queue.admit_cohort(&round, &entries, capacity),
    };
    let Some(read_every) = interval else {
        return Err(Box::new(stages::decide_queued(object, plan, capacity, now)));
    };
    if gathering::is_checked(object.status, &round) && !round.others_are_checked {
        return Err(Box::new(gathering::decide_checked(object, now)));
    }
    Ok((read_every, Some(round)))
}

async fn reconcile_run(
    object: &ObjectContext<'_>,
    context: &Context,
    now: MicroTime,
) -> Result<Decision, ReconcileError> {
    let run = object.status.run.as_ref().ok_or(ReconcileError::Malformed("status.run"))?;
    let effective = run.effective.as_ref().ok_or(ReconcileError::Malformed("status.run.effective"))?;
    let deadline_at = run.deadline_at.ok_or(ReconcileError::Malformed("status.run.deadlineAt"))?;
    // The pinned spec was accepted and filled when the run started. So the operator's limits and
    // defaults of today do not count.
    let defaults = Defaults { region: effective.region.clone(), ..Defaults::default() };
    let plan = Plan::new(&effective.spec, &defaults)
        .map_err(|_| ReconcileError::Malformed("plan in status.run.effective.spec"))?;
    let names = Names::of(effective);
    let aws = context.regions.in_region(&effective.region);
    let known = context.memory.document(object.uid);
    let read_every = run.load.as_ref().map_or(0, |load| load.read_every_seconds);
    let timings = context.settings.timings.reading_every(read_every);
    let ctx = RunContext {
        object: *object,
        run,
        effective,
        deadline_at,
        plan: &plan,
        names: &names,
        timings: &timings,
        desired_read_every: desired_read_every(object, context, &effective.region),
        known: known.as_ref(),
        now,
    };
    let stage = object.status.stage.unwrap_or_default();
    let actor = actor(object, context, &aws, now);

    // Writes that the tasks wait for come before any read.
    let mut first = Vec::new();
    match stages::control::first_step(&ctx) {
        FirstStep::None => {}
        FirstStep::Claim(control) => return Ok(stages::decide_claim(&ctx, *control)),
        FirstStep::Apply(effects) => {
            let results = actor.apply(&effects).await;
            note_written(context, object.uid, &effects, &results);
            first.extend(effects.into_iter().zip(results));
        }
    }
    let written = first.iter().find_map(|(effect, result)| match (effect, result) {
        (Effect::WriteParameter { text, .. }, result) if result.is_done() => {
            ControlDocument::parse(text).ok()
        }
        _ => None,
    });

    // The document that was just written is the known one from here on.
    let known = context.memory.document(object.uid);
    let ctx = RunContext { known: known.as_ref(), ..ctx };
    let reader = ResourceReader { aws: &aws, names: &names, uid: object.uid, context, now };
    let mut state = match stage {
        Stage::CleaningUp => reader.read_leaked_resources(&object.status.resources).await,
        _ => reader.read_run(object.status, written).await,
    };
    if stages::parameter::outranked(&ctx, &state).is_some() {
        state.leads = context.cluster.still_leads(object.epoch).await.ok();
    }
    let decision = stages::decide(&ctx, &state);
    note_read(context, &ctx, &state);
    let results = actor.apply(&decision.effects).await;
    note_written(context, object.uid, &decision.effects, &results);
    let effect_results = EffectResults { first: &first, results: &results, refused_reads: state.refusals() };
    Ok(status::conclude(object, decision, &effect_results, now))
}

/// How often the tasks of this run should read, given all runs in the Region.
fn desired_read_every(object: &ObjectContext<'_>, context: &Context, region: &str) -> u32 {
    match object.status.stage {
        Some(Stage::Provisioning | Stage::Warming | Stage::Starting | Stage::Running) => {
            let entries = context.run_lister.entries().unwrap_or_default();
            context.queue.desired_interval(region, &entries, context.capacity())
        }
        _ => 0,
    }
}

/// A finished run still deletes what it or an earlier run could not delete.
async fn reconcile_leaked_resources(
    object: &ObjectContext<'_>,
    context: &Context,
    now: MicroTime,
) -> Result<Decision, ReconcileError> {
    let status = object.status;
    let run = status.run.as_ref().ok_or(ReconcileError::Malformed("status.run"))?;
    let is_present = |resource: &ResourceStatus| resource.state == ResourceState::Present;
    let of_this_run = status.resources.iter().any(is_present);
    // One run per reconcile, in turn by the minute, so that no run blocks another.
    let runs = status.leaked_resources.len() + usize::from(of_this_run);
    let minute = usize::try_from(now.as_micros() / 60_000_000).unwrap_or_default();
    let turn = minute.checked_rem(runs).unwrap_or_default();
    let leaked = status.leaked_resources.get(if of_this_run { turn.wrapping_sub(1) } else { turn });
    let (removal, resources, region) = match (&run.effective, leaked) {
        (Some(effective), None) if of_this_run => {
            let removal = Removal::of_run(object, run.number, effective);
            (removal, &status.resources, &effective.region)
        }
        (_, Some(leaked)) => (Removal::of_earlier_run(object, leaked), &leaked.resources, &leaked.region),
        _ => return Ok(stages::decide_nothing(object, now)),
    };
    let aws = context.regions.in_region(region);
    let reader = ResourceReader { aws: &aws, names: &removal.names, uid: object.uid, context, now };
    let state = reader.read_leaked_resources(resources).await;
    let decision = stages::decide_leaked_resources(object, &removal, &state, now);
    let results = actor(object, context, &aws, now).apply(&decision.effects).await;
    let effect_results = EffectResults { results: &results, ..EffectResults::default() };
    Ok(status::conclude(object, decision, &effect_results, now))
}

fn actor<'a>(object: &ObjectContext<'a>, context: &'a Context, aws: &'a Aws, now: MicroTime) -> Actor<'a> {
    let timings = &context.settings.timings;
    let (longest_wait, time_limit) = match object.status.stage {
        // The tasks' read lease or the next phase depends on the refused call.
        Some(Stage::Running | Stage::Draining) => (timings.renew_every / 2, timings.aws_time_limit()),
        _ => (Duration::MAX, timings.aws_time_limit()),
    };
    let (backoffs, clock) = (&context.backoffs, context.clock.as_ref());
    Actor { aws, uid: object.uid, backoffs, clock, longest_wait, time_limit, now }
}

/// Remembers the control document that was read from the parameter.
fn note_read(context: &Context, ctx: &RunContext<'_>, state: &ObservedState) {
    let uid = ctx.object.uid;
    match stages::parameter::seen_document(ctx, state) {
        SeenDocument::Unknown => {}
        SeenDocument::Trusted(document) => context.memory.note_document(uid, *document),
        SeenDocument::Other => context.memory.note_displaced(uid),
    }
}

/// Remembers the control document that this leader wrote into the parameter.
fn note_written(context: &Context, uid: &str, effects: &[Effect], results: &[EffectResult]) {
    for (effect, result) in effects.iter().zip(results) {
        let text = match effect {
            Effect::WriteParameter { text, .. } | Effect::CreateParameter { text, .. } => text,
            _ => continue,
        };
        let Ok(document) = ControlDocument::parse(text) else { continue };
        match result {
            EffectResult::Done | EffectResult::Recreated => context.memory.note_document(uid, document),
            // The parameter may contain another version now: only a read can say.
            EffectResult::Refused(error)
                if error.class == AwsErrorClass::Transient
                    && context
                        .memory
                        .document(uid)
                        .is_some_and(|known| known.document.version != document.version) =>
            {
                context.memory.note_displaced(uid);
            }
            _ => {}
        }
    }
}

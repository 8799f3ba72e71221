//! What comes before the stage: the first reconcile, a request, a deletion, the deadline, an edit.
//! In: the object. Out: a decision, if one of these completes the reconcile without reading from
//! AWS.

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::demo::CleanupPolicy;
use kinesis_demo_api::plan::filled;
use kinesis_demo_api::request::{LastRequest, RequestOutcome, RunRequest, Verb};
use kinesis_demo_api::status::{
    LeakedResources, Outcome, PastRun, ResourceState, ResourceStatus, RunStatus, Stage,
};
use kinesis_demo_api::{KinesisDemoStatus, MicroTime};

use super::pending::unreadable_message;
use super::{Decision, DecisionBuilder, FinalizerChange, ObjectContext, stored_refusal};
use crate::kubernetes::events::RunEvent;
use crate::reconcile::resources::names::base_name;

/// The number of runs in the history, and of runs whose leaked resources are kept.
const HISTORY: usize = 5;
const LEAKED_RUNS: usize = 5;

/// How many answered requests are remembered.
const ANSWERED_REQUESTS: usize = 50;

/// The status before anything has happened: every condition is set.
pub fn first_visit(now: MicroTime) -> KinesisDemoStatus {
    fresh(1, now, KinesisDemoStatus::default())
}

/// The first reconcile stores the initial status before any read. So tools that wait for a
/// condition see all conditions at once.
pub fn decide_first_visit(object: &ObjectContext<'_>, now: MicroTime) -> Decision {
    DecisionBuilder::new(object.status).wait_until(now).finish(object, now)
}

fn fresh(number: u32, now: MicroTime, previous: KinesisDemoStatus) -> KinesisDemoStatus {
    use ConditionStatus::{False, Unknown};
    use ConditionType::{
        CleanedUp, ClockSkew, Finished, GeneratorsReady, SpecAccepted, StreamReady, Succeeded,
        TrafficDelivered, WarmThroughputReady,
    };
    let findings = [
        (Finished, False),
        (Succeeded, Unknown),
        (SpecAccepted, Unknown),
        (StreamReady, Unknown),
        (WarmThroughputReady, Unknown),
        (GeneratorsReady, Unknown),
        (CleanedUp, Unknown),
        (TrafficDelivered, Unknown),
        (ClockSkew, Unknown),
    ]
    .map(|(type_, status)| kinesis_demo_api::conditions::Finding::new(type_, status, Reason::NotStarted, ""));
    KinesisDemoStatus {
        stage: Some(Stage::Pending),
        run: Some(RunStatus {
            number,
            stage_entered_at: now,
            started_at: None,
            ends_at: None,
            ends: None,
            deadline_at: None,
            tasks_stopped_at: None,
            finished_at: None,
            outcome: None,
            reason: None,
            message: None,
            load: None,
            cohort: None,
            effective: None,
        }),
        conditions: kinesis_demo_api::conditions::updated(
            &previous.conditions,
            &findings,
            previous.observed_generation,
            now,
        ),
        observed_generation: previous.observed_generation,
        last_request: previous.last_request,
        answered_requests: previous.answered_requests,
        history: previous.history,
        leaked_resources: previous.leaked_resources,
        ..KinesisDemoStatus::default()
    }
}

/// Returns a decision if something takes precedence over the stage's own work.
pub fn decide_before_stage(object: &ObjectContext<'_>, now: MicroTime) -> Option<Decision> {
    let stage = object.status.stage?;
    if let Some(builder) = restored(object, now) {
        return Some(builder.finish(object, now));
    }
    if object.deleting {
        if let Some(builder) = deletion(object, stage, now) {
            return Some(builder.finish(object, now));
        }
    } else if let Some(builder) = request(object, stage, now) {
        return Some(builder.finish(object, now));
    }
    let left = object.status.has_leaked_resources();
    if stage.is_terminal() && object.has_finalizer && !left {
        // Nothing of the run is left, so the finalizer is not needed. An uninstalled operator must
        // not block the deletion of a namespace.
        let mut builder = DecisionBuilder::new(object.status);
        builder.finalizer = FinalizerChange::Remove;
        return Some(builder.finish(object, now));
    }
    let needs_us = left || !(stage == Stage::Pending || stage.is_terminal());
    if needs_us && !object.has_finalizer && !object.deleting {
        // Someone removed the finalizer (for example by replacing the object). Without it the
        // object could be deleted before its resources.
        let mut builder = DecisionBuilder::new(object.status);
        builder.keep_summary();
        builder.finalizer = FinalizerChange::Add;
        return Some(builder.wait_until(now + std::time::Duration::from_secs(1)).finish(object, now));
    }
    deadline(object, stage, now)
        .or_else(|| edit(object, stage, now))
        .map(|builder| builder.finish(object, now))
}

/// A status that was written for another object, as in a restored backup. The resources that it
/// names belong to that object, so none of them is touched.
fn restored(object: &ObjectContext<'_>, now: MicroTime) -> Option<DecisionBuilder> {
    let run = object.status.run.as_ref()?;
    let derived = base_name(object.name, object.uid, run.number);
    let foreign_leak = object
        .status
        .leaked_resources
        .iter()
        .find(|leaked| leaked.base_name != base_name(object.name, object.uid, leaked.run));
    let is_ours = run.effective.as_ref().is_none_or(|effective| {
        effective.object_uid.as_deref().is_none_or(|uid| uid == object.uid) && effective.base_name == derived
    });
    if is_ours && foreign_leak.is_none() {
        return None;
    }
    let mut builder = DecisionBuilder::new(object.status);
    if object.deleting {
        if object.has_finalizer {
            builder.finalizer = FinalizerChange::Remove;
        }
        return Some(builder);
    }
    let rerun = object.request.and_then(|text| RunRequest::parse(text).ok()).filter(|request| {
        request.verb == Verb::Rerun && !object.status.answered_requests.contains(&request.id)
    });
    if let Some(request) = rerun {
        let message = format!("run {} begins", run.number + 1);
        let previous = KinesisDemoStatus { history: object.status.history.clone(), ..kept_status(object) };
        let mut builder = DecisionBuilder::new(&fresh(run.number + 1, now, previous));
        record_answer(&mut builder, &request.id, Some(request.verb), true, message, now);
        builder.wake_at(now + std::time::Duration::from_secs(1));
        return Some(builder);
    }
    let effective = run.effective.as_ref();
    let owner = effective
        .and_then(|effective| effective.object_uid.as_deref().or(Some(&effective.base_name)))
        .or(foreign_leak.map(|leaked| leaked.base_name.as_str()))
        .unwrap_or_default();
    let message = format!(
        "this status belongs to the object with uid {owner}, but this object has uid {} (was it restored from a backup?); the operator does not touch the resources that it names. Request rerun to start a run of this object, and search for the resources of the other object by the tag {} = {owner}",
        object.uid,
        crate::aws::OWNER_TAG,
    );
    Some(builder.block(Reason::StatusOfAnotherObject, message, None))
}

/// The parts that are kept of a status that belongs to another object.
fn kept_status(object: &ObjectContext<'_>) -> KinesisDemoStatus {
    KinesisDemoStatus {
        answered_requests: object.status.answered_requests.clone(),
        observed_generation: object.status.observed_generation,
        ..KinesisDemoStatus::default()
    }
}

/// Records the result of a request, and that it was answered.
fn record_answer(
    builder: &mut DecisionBuilder,
    id: &str,
    verb: Option<Verb>,
    accepted: bool,
    message: String,
    now: MicroTime,
) {
    builder.run_events.push(RunEvent::request_answered(id, accepted, &message));
    let outcome = if accepted { RequestOutcome::Accepted } else { RequestOutcome::Refused };
    builder.status.last_request = Some(LastRequest { id: id.to_owned(), verb, outcome, message, at: now });
    builder.status.answered_requests.retain(|answered| answered != id);
    builder.status.answered_requests.insert(0, id.to_owned());
    builder.status.answered_requests.truncate(ANSWERED_REQUESTS);
}

/// A deleted object ends like an aborted run. Its finalizer is removed once nothing is left.
fn deletion(object: &ObjectContext<'_>, stage: Stage, now: MicroTime) -> Option<DecisionBuilder> {
    let mut builder = DecisionBuilder::new(object.status);
    if object.abandon && object.has_finalizer {
        let left = object.status.present_resources();
        builder.run_events.push(RunEvent::abandoned(&left.join(", ")));
        builder.finalizer = FinalizerChange::Remove;
        return Some(builder);
    }
    if stage == Stage::Pending && object.status.has_leaked_resources() {
        // Resources of earlier runs still have to be removed. A finished run does that.
        let message = "the object was deleted".to_owned();
        let builder = builder.decided(Outcome::Aborted, Reason::ObjectDeleted, message);
        let left = object.status.present_resources().join("; ");
        return Some(builder.over_with_leaked_resources(format!("still there: {left}"), now));
    }
    if stage == Stage::Pending || stage.is_terminal() {
        if object.status.has_leaked_resources() {
            return None;
        }
        if object.has_finalizer {
            builder.finalizer = FinalizerChange::Remove;
        }
        return Some(builder);
    }
    let undecided = object.status.run.as_ref().is_some_and(|run| run.outcome.is_none());
    undecided.then(|| builder.end(Outcome::Aborted, Reason::ObjectDeleted, "the object was deleted", now))
}

fn request(object: &ObjectContext<'_>, stage: Stage, now: MicroTime) -> Option<DecisionBuilder> {
    let text = object.request?;
    let parsed = RunRequest::parse(text);
    let id: String = match &parsed {
        Ok(request) => request.id.clone(),
        // An unreadable request has no id. Its text serves as the id, so that it is answered once.
        Err(_) => text.chars().take(64).collect(),
    };
    let status = object.status;
    let was_last = status.last_request.as_ref().is_some_and(|last| last.id == id);
    if was_last || status.answered_requests.contains(&id) {
        return None;
    }
    let number = status.run.as_ref().map_or(1, |run| run.number);
    let refuse = |verb, message: String| {
        let mut builder = DecisionBuilder::new(status);
        builder.keep_summary();
        record_answer(&mut builder, &id, verb, false, message, now);
        builder.wake_at(now + std::time::Duration::from_secs(1));
        Some(builder)
    };
    let request = match parsed {
        Ok(request) => request,
        Err(problem) => return refuse(None, problem),
    };
    let verb = Some(request.verb);
    if request.run.is_some_and(|run| run != number) {
        return refuse(
            verb,
            format!("the request is for run {}, this is run {number}", request.run.unwrap_or_default()),
        );
    }
    let decided = status.run.as_ref().is_some_and(|run| run.outcome.is_some());
    match request.verb {
        Verb::Abort if stage.is_terminal() || decided => {
            refuse(verb, format!("run {number} is over or ending already ({stage})"))
        }
        Verb::Abort => {
            let message = format!("run {number} was aborted on request");
            let mut builder = DecisionBuilder::new(status);
            record_answer(&mut builder, &id, verb, true, message.clone(), now);
            let builder = match stage {
                // Nothing was created yet, so there is nothing to drain.
                Stage::Pending => {
                    let builder = builder.decided(Outcome::Aborted, Reason::AbortRequested, message);
                    match status.has_leaked_resources() {
                        false => builder.over(now),
                        true => {
                            let left = status.present_resources().join("; ");
                            builder.over_with_leaked_resources(format!("still there: {left}"), now)
                        }
                    }
                }
                _ => builder.end(Outcome::Aborted, Reason::AbortRequested, message, now),
            };
            Some(builder)
        }
        Verb::Rerun if !stage.is_terminal() => {
            refuse(verb, format!("run {number} is not over yet ({stage}); abort it first, or wait"))
        }
        Verb::Rerun => {
            let leaked_resources = leaked_resources(status);
            if leaked_resources.len() > LEAKED_RUNS {
                let left = status.present_resources().join("; ");
                return refuse(
                    verb,
                    format!(
                        "{LEAKED_RUNS} runs have left resources that could not be deleted; delete them first: {left}"
                    ),
                );
            }
            let message = format!("run {} begins", number + 1);
            let previous = KinesisDemoStatus { history: history(status), leaked_resources, ..status.clone() };
            let mut builder = DecisionBuilder::new(&fresh(number + 1, now, previous));
            record_answer(&mut builder, &id, verb, true, message, now);
            builder.wake_at(now + std::time::Duration::from_secs(1));
            Some(builder)
        }
    }
}

/// The leaked resources of this run and of earlier runs.
fn leaked_resources(status: &KinesisDemoStatus) -> Vec<LeakedResources> {
    let is_present = |resource: &&ResourceStatus| resource.state == ResourceState::Present;
    let resources: Vec<_> = status.resources.iter().filter(is_present).cloned().collect();
    let of_this_run = status.run.as_ref().and_then(|run| {
        let effective = run.effective.as_ref().filter(|_| !resources.is_empty())?;
        Some(LeakedResources {
            run: run.number,
            account_id: effective.account_id.clone(),
            region: effective.region.clone(),
            cluster: effective.cluster.clone(),
            stream_name: effective.stream_name.clone(),
            base_name: effective.base_name.clone(),
            retain_stream: effective.spec.cleanup.stream == CleanupPolicy::Retain,
            resources: resources.clone(),
        })
    });
    of_this_run.into_iter().chain(status.leaked_resources.iter().cloned()).collect()
}

/// The past runs. The run that has just ended comes first.
fn history(status: &KinesisDemoStatus) -> Vec<PastRun> {
    let past = status.run.as_ref().and_then(|run| {
        Some(PastRun {
            number: run.number,
            outcome: run.outcome?,
            reason: run.reason?,
            started_at: run.started_at,
            finished_at: run.finished_at?,
            totals: status.traffic.as_ref().map(|traffic| traffic.totals.clone()),
        })
    });
    past.into_iter().chain(status.history.iter().cloned()).take(HISTORY).collect()
}

fn deadline(object: &ObjectContext<'_>, stage: Stage, now: MicroTime) -> Option<DecisionBuilder> {
    let run = object.status.run.as_ref()?;
    let past = run.deadline_at.is_some_and(|deadline_at| now >= deadline_at);
    if !past || run.outcome.is_some() || stage.is_terminal() {
        return None;
    }
    let limit = run
        .effective
        .as_ref()
        .map(|effective| effective.spec.limits.max_duration.to_string())
        .unwrap_or_default();
    let refused = stored_refusal(object.status).map(|error| format!("; {error}")).unwrap_or_default();
    let message = format!("limits.maxDuration ({limit}) passed in stage {stage}{refused}");
    Some(DecisionBuilder::new(object.status).end(Outcome::Failed, Reason::DeadlineExceeded, message, now))
}

/// An edit during a run: allowed changes are applied, other changes wait for the next run, and a
/// condition says so.
fn edit(object: &ObjectContext<'_>, stage: Stage, now: MicroTime) -> Option<DecisionBuilder> {
    if stage == Stage::Pending || object.deleting || object.status.observed_generation == object.generation {
        return None;
    }
    let effective = object.status.run.as_ref()?.effective.as_ref()?;
    let mut accepted = effective.spec.clone();
    accepted.cleanup = object.spec.cleanup.clone();
    let requested = filled(object.spec, &object.settings.defaults);

    let mut builder = DecisionBuilder::new(object.status);
    builder.keep_summary();
    if let Some(effective) = builder.status.run.as_mut().and_then(|run| run.effective.as_mut()) {
        effective.spec = accepted.clone();
    }
    if let Some(why) = object.unreadable {
        let message = unreadable_message(why);
        builder.found(ConditionType::SpecAccepted, ConditionStatus::False, Reason::Invalid, message);
    } else if accepted == requested {
        builder.found(ConditionType::SpecAccepted, ConditionStatus::True, Reason::Accepted, "");
    } else {
        let message =
            "only cleanup may change during a run; the other changes apply to the next run (request rerun)";
        builder.found(ConditionType::SpecAccepted, ConditionStatus::False, Reason::ChangeDeferred, message);
    }
    Some(builder.wait_until(now))
}

//! The one status write. In: a decision, and the results of its effects. Out: the stored status,
//! then the finalizer, then the Events. `conclude` is pure; only `store` writes to Kubernetes.

use kinesis_demo_api::conditions::{self, ConditionStatus, ConditionType, Finding, Reason};
use kinesis_demo_api::status::{ResourceState, ResourceStatus, ResourceType, Stage};
use kinesis_demo_api::{KinesisDemo, KinesisDemoStatus, MicroTime};

use super::act::EffectResult;
use super::error::reason;
use super::stages::{self, Decision, Effect, FinalizerChange, ObjectContext};
use crate::aws::{AwsError, AwsErrorClass};
use crate::kubernetes::events::RunEvent;
use crate::kubernetes::{Cluster, ClusterError};

/// How many errors the summary lists.
const MAX_ERRORS_REPORTED: usize = 3;

/// The schema's limits for fields that contain text from others.
const LONGEST_MESSAGE: usize = 2048;
const LONGEST_PROBLEM: usize = 512;
const LONGEST_ARN: usize = 1024;

/// The results of the AWS calls of a reconcile.
#[derive(Debug, Default)]
pub struct EffectResults<'a> {
    /// Writes that came before the reads, with their results.
    pub first: &'a [(Effect, EffectResult)],
    /// The results of the decision's effects, in their order.
    pub results: &'a [EffectResult],
    /// The errors of refused reads.
    pub refused_reads: Vec<&'a AwsError>,
}

/// Completes the decision with the results of its effects: what was deleted, what could not be
/// deleted, what AWS refused.
pub fn conclude(
    object: &ObjectContext<'_>,
    decision: Decision,
    results: &EffectResults<'_>,
    now: MicroTime,
) -> Decision {
    let refused: Vec<&AwsError> = refusals_of_effects(&decision, results);
    let invalid = refused.iter().find(|error| error.class == AwsErrorClass::Invalid);
    if let Some(failed) = invalid.and_then(|error| stages::decide_invalid(object, error, now)) {
        return bounded(failed);
    }
    let mut decision = note_removals(decision, results.results);
    update_leaked_resources_message(&mut decision, object, now);
    drop_events_of_failed_effects(&mut decision, results.results);
    note_scaled_to_zero(&mut decision, results);
    report_restored_parameter(&mut decision, results);
    note_warm_request(&mut decision, results.results);
    let optional_failures: Vec<AwsError> = decision
        .effects
        .iter()
        .zip(results.results)
        .filter(|(effect, _)| effect.is_optional())
        .filter_map(|(_, result)| result.refusal().cloned())
        .collect();
    decision = stages::with_optional_failures(decision, &optional_failures);
    let all: Vec<&AwsError> = refused.into_iter().chain(results.refused_reads.iter().copied()).collect();
    bounded(with_refusals(object, decision, &all, now))
}

/// Errors of effects that the run needs. Failed removals are reported with their resource.
fn refusals_of_effects<'a>(decision: &Decision, results: &EffectResults<'a>) -> Vec<&'a AwsError> {
    let first = results.first.iter().filter_map(|(_, result)| result.refusal());
    let rest = decision.effects.iter().zip(results.results);
    let rest = rest.filter(|(effect, _)| !effect.is_optional());
    first.chain(rest.filter_map(|(_, result)| result.refusal())).collect()
}

/// Records the results of removals in the resources.
fn note_removals(mut decision: Decision, results: &[EffectResult]) -> Decision {
    let removals = decision.effects.iter().zip(results);
    let outcomes: Vec<(ResourceType, bool, bool, EffectResult)> = removals
        .filter_map(|(effect, result)| {
            let type_ = effect.removes()?;
            // A task definition no longer exists once it is deleted, not once it is deregistered.
            let ends = !matches!(effect, Effect::DeregisterTaskDefinition { .. });
            let releases = matches!(effect, Effect::UpdateWarmThroughput { .. });
            Some((type_, ends, releases, result.clone()))
        })
        .collect();
    for (type_, ends, releases, result) in outcomes {
        let unseen = decision.unseen.contains(&type_);
        let Some(resource) = removed_resource(&mut decision.status, decision.leaked_run, type_) else {
            continue;
        };
        match result {
            EffectResult::NotFound if unseen && ends => {
                decision.run_events.push(RunEvent::removed(type_, &resource.arn));
                resource.state = ResourceState::Deleted;
                resource.problem = None;
            }
            // AWS responds the same to these, whether or not there was anything to remove.
            EffectResult::Done
                if unseen
                    && ends
                    && matches!(type_, ResourceType::TaskDefinition | ResourceType::ScheduledScaleToZero) =>
            {
                decision.run_events.push(RunEvent::removed(type_, &resource.arn));
                resource.state = ResourceState::Deleted;
                resource.problem = None;
            }
            EffectResult::Done | EffectResult::Recreated | EffectResult::NotFound => {
                resource.problem = None;
                resource.warm_released |= releases && result.is_done();
            }
            EffectResult::Refused(error) => resource.problem = Some(error.to_string()),
            // A resource that is already being deleted is no problem; one that is in use by
            // something is.
            EffectResult::InUse(error) if !unseen => {
                let known = resource.problem.take().unwrap_or_default();
                resource.problem = Some(match known.as_str() {
                    "" => error.to_string(),
                    known if known.contains(&error.message) => known.to_owned(),
                    known => format!("{error}; {known}"),
                });
            }
            EffectResult::InUse(error) => {
                resource.problem.get_or_insert_with(|| error.to_string());
            }
            EffectResult::NotSeenYet | EffectResult::Skipped => {}
        }
    }
    decision
}

/// Sets the condition's message to what is left now, after the removals were tried.
fn update_leaked_resources_message(decision: &mut Decision, object: &ObjectContext<'_>, now: MicroTime) {
    let is_over = decision.status.stage.is_some_and(Stage::is_terminal);
    if is_over && !decision.status.has_leaked_resources() {
        let nothing = Finding::new(ConditionType::CleanedUp, ConditionStatus::True, Reason::NothingLeft, "");
        decision.status.conditions =
            conditions::updated(&decision.status.conditions, &[nothing], object.generation, now);
        return;
    }
    let message = stages::left_message(&decision.status);
    let condition = decision.status.conditions.iter_mut().find(|condition| {
        condition.type_ == ConditionType::CleanedUp
            && matches!(condition.reason, Reason::ResourcesPresent | Reason::RemovalFailed)
    });
    if let Some(condition) = condition.filter(|_| decision.effects.iter().any(Effect::is_removal)) {
        condition.message = message;
        cut(&mut condition.message, LONGEST_MESSAGE);
    }
}

/// Drops the Events of writes that AWS did not apply: otherwise each attempt would publish them.
fn drop_events_of_failed_effects(decision: &mut Decision, results: &[EffectResult]) {
    let was_done = |matches: fn(&Effect) -> bool| {
        let mut all = decision.effects.iter().zip(results);
        all.any(|(effect, result)| matches(effect) && result.is_done())
    };
    let published =
        was_done(|effect| matches!(effect, Effect::WriteParameter { .. } | Effect::CreateParameter { .. }));
    let resized = was_done(|effect| matches!(effect, Effect::ResizeService { .. }));
    let scheduled = was_done(|effect| matches!(effect, Effect::PutScheduledScaleToZero { .. }));
    decision.run_events.retain(|run_event| match run_event.reason.as_str() {
        "ServiceResized" => resized,
        "ScheduleMoved" => published,
        "ScaleToZeroRestored" => scheduled,
        _ => true,
    });
}

/// The resource of a removal: the run's own, or an earlier run's.
fn removed_resource(
    status: &mut KinesisDemoStatus,
    leaked_run: Option<u32>,
    type_: ResourceType,
) -> Option<&mut ResourceStatus> {
    let resources = match leaked_run {
        None => &mut status.resources,
        Some(run) => &mut status.leaked_resources.iter_mut().find(|leaked| leaked.run == run)?.resources,
    };
    resources.iter_mut().find(|resource| resource.type_ == type_ && resource.state == ResourceState::Present)
}

/// A service that was scaled to zero before any read is not scaled again.
fn note_scaled_to_zero(decision: &mut Decision, results: &EffectResults<'_>) {
    let zero = results.first.iter().any(|(effect, result)| {
        matches!(effect, Effect::ResizeService { desired: 0, .. }) && *result == EffectResult::Done
    });
    if let Some(generators) = decision.status.generators.as_mut().filter(|_| zero) {
        generators.desired = 0;
    }
}

/// Counts the accepted requests for warm throughput, because their number is limited.
fn note_warm_request(decision: &mut Decision, results: &[EffectResult]) {
    let requests_warm = |effect: &Effect| matches!(effect, Effect::UpdateWarmThroughput { mib_per_second, .. } if *mib_per_second > 0);
    let mut all = decision.effects.iter().zip(results);
    let accepted = all.any(|(effect, result)| requests_warm(effect) && result.is_done());
    if let Some(stream) = decision.status.stream.as_mut().filter(|_| accepted) {
        stream.warm_requests += 1;
    }
}

/// Reports a control parameter that was deleted after the last read and was created again.
fn report_restored_parameter(decision: &mut Decision, results: &EffectResults<'_>) {
    let version = decision.status.control.as_ref().map_or(0, |control| control.version);
    let first = results.first.iter().map(|(effect, result)| (effect, result));
    let rest = decision.effects.iter().zip(results.results);
    let restored: Vec<RunEvent> = first
        .chain(rest)
        .filter_map(|pair| match pair {
            (Effect::WriteParameter { name, .. }, EffectResult::Recreated) => {
                Some(RunEvent::control_restored(name, version))
            }
            _ => None,
        })
        .collect();
    decision.run_events.extend(restored);
}

/// Adds the errors to the summary, and an Event for each new one.
fn with_refusals(
    object: &ObjectContext<'_>,
    mut decision: Decision,
    refused: &[&AwsError],
    now: MicroTime,
) -> Decision {
    let type_ = match decision.status.stage {
        Some(stage) if stage.is_terminal() => return decision,
        Some(Stage::Running) => ConditionType::Ready,
        _ => ConditionType::Reconciling,
    };
    let stored = conditions::find(&object.status.conditions, type_);
    let mut texts: Vec<String> = Vec::new();
    for error in refused {
        let text = error.to_string();
        if texts.contains(&text) {
            continue;
        }
        let is_known = stored
            .is_some_and(|condition| condition.reason.is_refusal() && condition.message.contains(&text));
        if !is_known && texts.len() < MAX_ERRORS_REPORTED {
            decision.run_events.push(RunEvent::refused(reason(error), error));
        }
        texts.push(text);
    }
    let Some(first) = refused.first() else { return decision };
    texts.truncate(MAX_ERRORS_REPORTED);
    let is_blocked = conditions::is_true(&decision.status.conditions, ConditionType::Stalled);
    if is_blocked {
        return decision;
    }
    let finding = Finding::new(type_, ConditionStatus::True, reason(first), texts.join("; "));
    decision.status.conditions =
        conditions::updated(&decision.status.conditions, &[finding], object.generation, now);
    decision
}

/// Truncates text from others to the schema's limits, so that the API server rejects no write.
pub fn bounded(mut decision: Decision) -> Decision {
    let status = &mut decision.status;
    if let Some(message) = status.run.as_mut().and_then(|run| run.message.as_mut()) {
        cut(message, LONGEST_MESSAGE);
    }
    if let Some(last) = &mut status.last_request {
        cut(&mut last.message, LONGEST_MESSAGE);
    }
    if let Some(problem) = status.dashboard.as_mut().and_then(|dashboard| dashboard.problem.as_mut()) {
        cut(problem, LONGEST_PROBLEM);
    }
    let earlier = status.leaked_resources.iter_mut().flat_map(|leaked| &mut leaked.resources);
    for resource in status.resources.iter_mut().chain(earlier) {
        cut(&mut resource.arn, LONGEST_ARN);
        if let Some(problem) = &mut resource.problem {
            cut(problem, LONGEST_PROBLEM);
        }
    }
    decision
}

/// Truncates `text` to `longest` characters, as the schema counts them.
fn cut(text: &mut String, longest: usize) {
    if let Some((end, _)) = text.char_indices().nth(longest.saturating_sub(1))
        && text.chars().count() > longest
    {
        text.truncate(end);
        text.push('…');
    }
}

/// Stores the decision's status if it differs, or changes the finalizer, and then publishes its
/// Events. Returns whether anything was written.
pub async fn store(
    cluster: &dyn Cluster,
    demo: &KinesisDemo,
    decision: &Decision,
) -> Result<bool, ClusterError> {
    let differs = demo.status.as_ref() != Some(&decision.status);
    match decision.finalizer {
        // Without its finalizer the object is deleted, so there is no status to store afterwards.
        FinalizerChange::Remove => cluster.put_finalizer(demo, false).await?,
        FinalizerChange::Add => cluster.put_finalizer(demo, true).await?,
        FinalizerChange::Keep if differs => cluster.replace_status(demo, &decision.status).await?,
        FinalizerChange::Keep => {}
    }
    for run_event in &decision.run_events {
        cluster.publish(demo, run_event).await;
    }
    Ok(differs || decision.finalizer != FinalizerChange::Keep)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_truncated_by_characters_and_only_if_too_long() {
        let mut exact = "ü".repeat(LONGEST_PROBLEM);
        cut(&mut exact, LONGEST_PROBLEM);
        assert_eq!(exact, "ü".repeat(LONGEST_PROBLEM));
        let mut long = "ü".repeat(LONGEST_PROBLEM + 1);
        cut(&mut long, LONGEST_PROBLEM);
        assert_eq!(long.chars().count(), LONGEST_PROBLEM);
        assert!(long.ends_with('…'));
    }
}

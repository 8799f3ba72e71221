//! Makes what the run needs, in a stated order: log group, stream, parameter, task definition, service at zero, and the
//! ceiling by which AWS itself would end it. Nothing of that name that is not ours is touched.

use std::time::Duration;

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::status::{Outcome, ResourceState, ResourceType, Stage};

use super::{Case, Draft, Effect, refusal_clause};
use crate::aws::{ServiceState, StreamState, Tags};
use crate::run::build::parameter::idle_document;
use crate::run::build::service::new_service;
use crate::run::build::stream::new_stream;
use crate::run::build::task_definition::{Roles, new_task_definition};
use crate::run::decide::measure::note_stream;
use crate::run::observe::{Observed, ObservedState};

/// How often a foreign resource is looked at again: whoever owns the name may let it go.
const RECHECK: Duration = Duration::from_secs(60);

pub(super) fn decide_provisioning(case: &Case<'_>, state: &ObservedState, mut draft: Draft) -> Draft {
    let foreign = foreign(case, state);
    if !foreign.is_empty() {
        let message = format!(
            "{} exist without this object's tag and are not touched; remove them, or choose another name",
            foreign.join(", ")
        );
        return draft.block(Reason::NotOurs, message, Some(case.now + RECHECK));
    }
    // What may have been made is noted before it is made: a lost answer must not leave it unaccounted for.
    if case.subject.status.resources.is_empty() {
        for (type_, arn) in expected(case) {
            draft.resource(type_, &arn, ResourceState::Present);
        }
        return draft.wait_until(case.now + Duration::from_secs(1));
    }
    note_arns(case, state, &mut draft);
    note_owned(case, state, &mut draft);
    note_stream(case, state, &mut draft);

    let Some(effects) = missing(case, state) else {
        return draft.end(
            Outcome::Failed,
            Reason::SettingsMissing,
            "the operator lost its settings for task roles",
            case.now,
        );
    };
    if everything_is_there(case, state) {
        draft.enter(Stage::Warming, case.now, "");
        return draft;
    }
    let timings = &case.subject.settings.timings;
    let refused = refusal_clause(case, state);
    if case.now >= case.run.stage_entered_at + timings.stream_timeout {
        let message = format!(
            "not everything was made within {} s (stream {} is {}){refused}",
            timings.stream_timeout.as_secs(),
            case.names.stream,
            draft.status.stream.as_ref().map_or("not there", |held| held.status.as_str()),
        );
        return draft.end(Outcome::Failed, Reason::StreamTimeout, message, case.now);
    }
    draft.progress(format!("waiting for stream {}{refused}", case.names.stream));
    // Without knowing whose account it is nothing is made.
    if state.account_id.present().is_some() {
        draft.effects = effects;
    }
    draft.wait_until(case.now + timings.poll_every)
}

/// Whether everything was seen, and is this object's.
fn everything_is_there(case: &Case<'_>, state: &ObservedState) -> bool {
    let owner = case.owner();
    let is_owned = |tags: &Observed<Tags>| tags.present().is_some_and(|tags| owner.owns(tags));
    let stream_is_up = state
        .stream
        .present()
        .is_some_and(|seen| matches!(seen.state, StreamState::Active | StreamState::Updating));
    let service_is_up = state
        .service
        .present()
        .is_some_and(|seen| seen.state == ServiceState::Active && owner.owns(&seen.tags));
    stream_is_up
        && service_is_up
        && is_owned(&state.stream_tags)
        && is_owned(&state.log_group_tags)
        && is_owned(&state.parameter_tags)
        && state.task_definition.present().is_some_and(|seen| owner.owns(&seen.tags))
        && state.ceiling.present().is_some_and(|seen| seen.target && seen.action_at.is_some())
}

/// What the run will have made, by name, in the order in which it is made.
fn expected(case: &Case<'_>) -> [(ResourceType, String); 6] {
    let names = case.names;
    [
        (ResourceType::LogGroup, names.log_group.clone()),
        (ResourceType::Stream, names.stream.clone()),
        (ResourceType::ControlParameter, names.parameter.clone()),
        (ResourceType::TaskDefinition, names.family.clone()),
        (ResourceType::Service, names.service.clone()),
        (ResourceType::ScalingCeiling, format!("service/{}/{}", names.cluster, names.service)),
    ]
}

/// Resources of our names without our tag.
fn foreign(case: &Case<'_>, state: &ObservedState) -> Vec<String> {
    let owner = case.owner();
    let is_foreign = |tags: Option<&Tags>| tags.is_some_and(|tags| !owner.owns(tags));
    let names = case.names;
    let service = state.service.present().filter(|seen| seen.state != ServiceState::Inactive);
    [
        (is_foreign(state.log_group_tags.present()), ResourceType::LogGroup, &names.log_group),
        (is_foreign(state.stream_tags.present()), ResourceType::Stream, &names.stream),
        (is_foreign(state.parameter_tags.present()), ResourceType::ControlParameter, &names.parameter),
        (
            is_foreign(state.task_definition.present().map(|seen| &seen.tags)),
            ResourceType::TaskDefinition,
            &names.family,
        ),
        (is_foreign(service.map(|seen| &seen.tags)), ResourceType::Service, &names.service),
    ]
    .into_iter()
    .filter(|(foreign, ..)| *foreign)
    .map(|(_, type_, name)| format!("{type_} {name}"))
    .collect()
}

/// The creations that are still to be done, in order; `None` without roles to give to tasks.
fn missing(case: &Case<'_>, state: &ObservedState) -> Option<Vec<Effect>> {
    let (names, plan, settings, tags) = (case.names, case.plan, case.subject.settings, case.tags());
    let roles =
        Roles { task: settings.task_role_arn.clone()?, execution: settings.execution_role_arn.clone()? };
    let mut effects = Vec::new();
    if state.log_group.is_absent() {
        effects.push(Effect::CreateLogGroup { name: names.log_group.clone(), tags: tags.clone() });
    }
    if state.stream.is_absent() {
        effects.push(Effect::CreateStream(new_stream(names, plan, tags.clone())));
    }
    if state.parameter.is_absent() {
        let idle = idle_document(case.run.number, case.subject.epoch, case.now, &settings.timings);
        let text = idle.to_text().ok()?;
        effects.push(Effect::CreateParameter { name: names.parameter.clone(), text, tags: tags.clone() });
    }
    if state.task_definition.is_absent() {
        let definition = new_task_definition(
            names,
            plan,
            case.run.number,
            case.deadline_at,
            roles,
            &settings.timings,
            tags.clone(),
        );
        effects.push(Effect::RegisterTaskDefinition(Box::new(definition)));
    }
    match &state.service {
        Observed::Present(seen) if seen.state != ServiceState::Inactive => {
            let is_scheduled = match &state.ceiling {
                Observed::Present(seen) => seen.target && seen.action_at.is_some(),
                Observed::Absent => false,
                Observed::Unread | Observed::Refused(_) => true,
            };
            if !is_scheduled {
                effects.push(case.put_ceiling());
            }
        }
        Observed::Present(_) | Observed::Absent => {
            let service = new_service(names, plan, settings.assign_public_ip, tags);
            effects.push(Effect::CreateService(Box::new(service)));
        }
        Observed::Unread | Observed::Refused(_) => {}
    }
    Some(effects)
}

/// Replaces names by ARNs as these become known.
fn note_arns(case: &Case<'_>, state: &ObservedState, draft: &mut Draft) {
    let known = [
        (ResourceType::LogGroup, state.log_group.present()),
        (ResourceType::Stream, state.stream.present().map(|seen| &seen.arn)),
        (ResourceType::TaskDefinition, state.task_definition.present().map(|seen| &seen.arn)),
        (ResourceType::Service, state.service.present().map(|seen| &seen.arn)),
    ];
    for (type_, arn) in known {
        if let Some(arn) = arn {
            draft.resource(type_, arn, ResourceState::Present);
        }
    }
    if state.stream.is_absent() {
        let message = format!("stream {} is being created", case.names.stream);
        draft.found(ConditionType::StreamReady, ConditionStatus::False, Reason::Creating, message);
    }
}

/// Notes on which resources our tag was read.
fn note_owned(case: &Case<'_>, state: &ObservedState, draft: &mut Draft) {
    let owner = case.owner();
    let tags = [
        (ResourceType::LogGroup, state.log_group_tags.present()),
        (ResourceType::Stream, state.stream_tags.present()),
        (ResourceType::ControlParameter, state.parameter_tags.present()),
        (ResourceType::TaskDefinition, state.task_definition.present().map(|seen| &seen.tags)),
        (ResourceType::Service, state.service.present().map(|seen| &seen.tags)),
    ];
    for (type_, tags) in tags {
        if tags.is_some_and(|tags| owner.owns(tags)) {
            draft.owned(type_);
            // It has no tags of its own, and belongs to its service.
            if type_ == ResourceType::Service {
                draft.owned(ResourceType::ScalingCeiling);
            }
        }
    }
}

//! Makes what the run needs, in a stated order: log group, stream, parameter, task definition, service at zero, and the
//! ceiling by which AWS itself would end it. Nothing of that name that is not ours is touched.

use std::time::Duration;

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::status::{Outcome, ResourceState, ResourceType, Stage};

use super::{Case, Draft, Effect};
use crate::aws::{ServiceState, StreamState, Tags};
use crate::run::build::parameter::idle_document;
use crate::run::build::service::new_service;
use crate::run::build::stream::new_stream;
use crate::run::build::task_definition::{Roles, new_task_definition};
use crate::run::decide::measure::note_stream;
use crate::run::observe::{Seen, World};

/// How often a foreign resource is looked at again: whoever owns the name may let it go.
const RECHECK: Duration = Duration::from_secs(60);

pub(super) fn decide_provisioning(case: &Case<'_>, world: &World, mut draft: Draft) -> Draft {
    let foreign = foreign(case, world);
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
    note_arns(case, world, &mut draft);
    note_stream(case, world, &mut draft);

    let Some(effects) = missing(case, world) else {
        return draft.end(
            Outcome::Failed,
            Reason::SettingsMissing,
            "the operator lost its settings for task roles",
            case.now,
        );
    };
    let stream_is_up = matches!(world.stream.present(), Some(seen) if matches!(seen.state, StreamState::Active | StreamState::Updating));
    if effects.is_empty() && stream_is_up {
        draft.enter(Stage::Warming, case.now, "");
        return draft;
    }
    let timings = &case.subject.settings.timings;
    if case.now >= case.run.stage_entered_at + timings.stream_timeout {
        let message = format!(
            "stream {} is not ACTIVE after {} s",
            case.names.stream,
            timings.stream_timeout.as_secs()
        );
        return draft.end(Outcome::Failed, Reason::StreamTimeout, message, case.now);
    }
    draft.progress(format!("waiting for stream {}", case.names.stream));
    draft.effects = effects;
    draft.wait_until(case.now + timings.poll_every)
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
fn foreign(case: &Case<'_>, world: &World) -> Vec<String> {
    let owner = case.owner();
    let is_foreign = |tags: Option<&Tags>| tags.is_some_and(|tags| !owner.owns(tags));
    let names = case.names;
    let service = world.service.present().filter(|seen| seen.state != ServiceState::Inactive);
    [
        (
            is_foreign(world.log_group.present().map(|seen| &seen.tags)),
            ResourceType::LogGroup,
            &names.log_group,
        ),
        (is_foreign(world.stream_tags.as_ref()), ResourceType::Stream, &names.stream),
        (is_foreign(world.parameter_tags.as_ref()), ResourceType::ControlParameter, &names.parameter),
        (
            is_foreign(world.task_definition.present().map(|seen| &seen.tags)),
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
fn missing(case: &Case<'_>, world: &World) -> Option<Vec<Effect>> {
    let (names, plan, settings, tags) = (case.names, case.plan, case.subject.settings, case.tags());
    let roles =
        Roles { task: settings.task_role_arn.clone()?, execution: settings.execution_role_arn.clone()? };
    let mut effects = Vec::new();
    if world.log_group.is_absent() {
        effects.push(Effect::CreateLogGroup { name: names.log_group.clone(), tags: tags.clone() });
    }
    if world.stream.is_absent() {
        effects.push(Effect::CreateStream(new_stream(names, plan, tags.clone())));
    }
    if world.parameter.is_absent() {
        let idle = idle_document(case.run.number, case.subject.epoch, case.now, &settings.timings);
        let text = idle.to_text().ok()?;
        effects.push(Effect::CreateParameter { name: names.parameter.clone(), text, tags: tags.clone() });
    }
    if world.task_definition.is_absent() {
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
    match &world.service {
        Seen::Present(seen) if seen.state != ServiceState::Inactive => {
            if world.ceiling.present().is_none_or(|seen| !seen.target || seen.action_at.is_none()) {
                effects.push(Effect::PutCeiling {
                    cluster: names.cluster.clone(),
                    service: names.service.clone(),
                    max_tasks: plan.most_tasks,
                    at: case.deadline_at,
                });
            }
        }
        _ => effects.push(Effect::CreateService(Box::new(new_service(
            names,
            plan,
            settings.assign_public_ip,
            tags,
        )))),
    }
    Some(effects)
}

/// Replaces names by ARNs as these become known.
fn note_arns(case: &Case<'_>, world: &World, draft: &mut Draft) {
    let known = [
        (ResourceType::LogGroup, world.log_group.present().map(|seen| &seen.arn)),
        (ResourceType::Stream, world.stream.present().map(|seen| &seen.arn)),
        (ResourceType::TaskDefinition, world.task_definition.present().map(|seen| &seen.arn)),
        (ResourceType::Service, world.service.present().map(|seen| &seen.arn)),
    ];
    for (type_, arn) in known {
        if let Some(arn) = arn {
            draft.resource(type_, arn, ResourceState::Present);
        }
    }
    let ready = matches!(world.stream.present(), Some(seen) if seen.state == StreamState::Active);
    if !ready {
        let message = format!("stream {} is being created", case.names.stream);
        draft.found(ConditionType::StreamReady, ConditionStatus::False, Reason::Creating, message);
    }
}

//! Creates what the run needs, in this order: log group, stream, parameter, task definition,
//! service with size zero, and the scheduled scale-to-zero by which AWS itself would end the run.
//! Resources with our names that are not ours are not touched.

use std::time::Duration;

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::status::{Outcome, ResourceState, ResourceType, Stage};
use kinesis_demo_api::timeline::Timeline;

use super::task_scaling::tasks_needed;
use super::{DecisionBuilder, Effect, RunContext, refusal_clause};
use crate::aws::{ServiceState, StreamState, Tags};
use crate::kubernetes::events::RunEvent;
use crate::reconcile::observe::{Observed, ObservedState};
use crate::reconcile::resources::parameter::idle_document;
use crate::reconcile::resources::service::new_service;
use crate::reconcile::resources::stream::new_stream;
use crate::reconcile::resources::task_definition::{Roles, new_task_definition};
use crate::reconcile::stages::traffic_status::note_stream;

/// How often a foreign resource is checked again: its owner may delete it.
const RECHECK: Duration = Duration::from_secs(60);

pub(super) fn decide_provisioning(
    ctx: &RunContext<'_>,
    state: &ObservedState,
    mut builder: DecisionBuilder,
) -> DecisionBuilder {
    let foreign = foreign(ctx, state);
    if !foreign.is_empty() {
        let message = format!(
            "these names are taken by resources without this object's owner tag, which are not touched: {}; remove them, or choose another name",
            foreign.join(", ")
        );
        return builder.block(Reason::OwnershipConflict, message, Some(ctx.now + RECHECK));
    }
    // Expected resources are stored before they are created, so that a lost response leaves none
    // unaccounted for.
    if ctx.object.status.resources.is_empty() {
        for (type_, arn) in expected(ctx) {
            builder.resource(type_, &arn, ResourceState::Present);
        }
        return builder.wait_until(ctx.now + Duration::from_secs(1));
    }
    note_arns(ctx, state, &mut builder);
    note_owned(ctx, state, &mut builder);
    note_stream(ctx, state, &mut builder);

    let Some(effects) = missing(ctx, state) else {
        return builder.end(
            Outcome::Failed,
            Reason::SettingsMissing,
            "the operator no longer has roles for the tasks",
            ctx.now,
        );
    };
    let outstanding = not_ready(ctx, state);
    if outstanding.is_empty() {
        builder.enter(Stage::Warming, ctx.now, "");
        return builder;
    }
    let waits_for = outstanding.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(", ");
    let timings = ctx.timings;
    let refused = refusal_clause(ctx, state);
    if ctx.now >= ctx.run.stage_entered_at + timings.stream_timeout {
        let reason = match outstanding.as_slice() {
            [(ResourceType::Stream, _)] => Reason::StreamTimeout,
            _ => Reason::ProvisioningTimeout,
        };
        let seconds = timings.stream_timeout.as_secs();
        let message = format!("not all resources were ready within {seconds} s: {waits_for}{refused}");
        return builder.end(Outcome::Failed, reason, message, ctx.now);
    }
    builder.progress(format!("waiting: {waits_for}{refused}"));
    // Nothing is created while the account is unknown.
    if state.account_id.present().is_some() {
        builder.effects = effects;
    }
    if matches!(outstanding.as_slice(), [(ResourceType::Stream, _)]) {
        start_tasks_early(ctx, state, &mut builder);
    }
    builder.wait_until(ctx.now + timings.poll_every)
}

/// Starts the first tasks while only the stream is still being created: on Fargate a task takes as
/// long to start as a stream. They send nothing before the first version of the control document.
/// If the stream never becomes ACTIVE, they have run for `stream_timeout` at most. The members of a
/// cohort wait for each other's streams first, which may take long, so their tasks start later.
fn start_tasks_early(ctx: &RunContext<'_>, state: &ObservedState, builder: &mut DecisionBuilder) {
    let Some(service) = state.service.present().filter(|_| ctx.run.cohort.is_none()) else { return };
    let timeline = Timeline::new(&ctx.plan.phases, ctx.now, &[]);
    let needed = tasks_needed(ctx, &timeline, state);
    if service.desired < needed && state.account_id.present().is_some() {
        builder.effects.push(ctx.resize(needed));
        builder.run_events.push(RunEvent::resized(service.desired, needed));
    }
}

/// The resources that are not as the run needs them, with the reason: missing, not read, or not
/// ready.
fn not_ready(ctx: &RunContext<'_>, state: &ObservedState) -> Vec<(ResourceType, String)> {
    use ResourceType::{ControlParameter, LogGroup, ScheduledScaleToZero, Service, Stream, TaskDefinition};
    let (names, owner) = (ctx.names, ctx.owner());
    let readable = |tags: &Observed<Tags>| match tags.present().is_some_and(|tags| owner.owns(tags)) {
        true => Ok(()),
        false => Err("has tags that could not be read"),
    };
    let log_group = seen(&state.log_group).and_then(|group| match group.has_retention {
        true => readable(&state.log_group_tags),
        false => Err("has no retention yet"),
    });
    let stream = seen(&state.stream).and_then(|stream| match stream.state {
        StreamState::Active | StreamState::Updating => readable(&state.stream_tags),
        StreamState::Creating => Err("is CREATING"),
        StreamState::Deleting => Err("is DELETING"),
    });
    let parameter = seen(&state.parameter).and_then(|_| readable(&state.parameter_tags));
    let definition = seen(&state.task_definition).map(|_| ());
    let service = seen(&state.service).and_then(|service| match service.state {
        ServiceState::Active => Ok(()),
        ServiceState::Draining => Err("is DRAINING"),
        ServiceState::Inactive => Err("does not exist"),
    });
    let scale_to_zero = seen(&state.scale_to_zero).and_then(|scale_to_zero| {
        match scale_to_zero.target && scale_to_zero.action_at.is_some() {
            true => Ok(()),
            false => Err("does not exist"),
        }
    });
    [
        (LogGroup, &names.log_group, log_group),
        (Stream, &names.stream, stream),
        (ControlParameter, &names.parameter, parameter),
        (TaskDefinition, &names.family, definition),
        (Service, &names.service, service),
        (ScheduledScaleToZero, &names.service, scale_to_zero),
    ]
    .into_iter()
    .filter_map(|(type_, name, found)| Some((type_, format!("{type_} {name} {}", found.err()?))))
    .collect()
}

fn seen<T>(observed: &Observed<T>) -> Result<&T, &'static str> {
    match observed {
        Observed::Present(thing) => Ok(thing),
        Observed::Absent => Err("does not exist"),
        Observed::Unread | Observed::Refused(_) => Err("could not be read"),
    }
}

/// The resources that the run will create, by name, in the order of their creation.
fn expected(ctx: &RunContext<'_>) -> [(ResourceType, String); 6] {
    let names = ctx.names;
    [
        (ResourceType::LogGroup, names.log_group.clone()),
        (ResourceType::Stream, names.stream.clone()),
        (ResourceType::ControlParameter, names.parameter.clone()),
        (ResourceType::TaskDefinition, names.family.clone()),
        (ResourceType::Service, names.service.clone()),
        (ResourceType::ScheduledScaleToZero, format!("service/{}/{}", names.cluster, names.service)),
    ]
}

/// Resources with our names but without our tag.
fn foreign(ctx: &RunContext<'_>, state: &ObservedState) -> Vec<String> {
    let owner = ctx.owner();
    let is_foreign = |tags: Option<&Tags>| tags.is_some_and(|tags| !owner.owns(tags));
    let names = ctx.names;
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

/// The creations that are still due, in order; `None` without roles for the tasks.
fn missing(ctx: &RunContext<'_>, state: &ObservedState) -> Option<Vec<Effect>> {
    let (names, plan, settings, tags) = (ctx.names, ctx.plan, ctx.object.settings, ctx.tags());
    let roles =
        Roles { task: settings.task_role_arn.clone()?, execution: settings.execution_role_arn.clone()? };
    let mut effects = Vec::new();
    if state.log_group.is_absent() {
        effects.push(Effect::CreateLogGroup { name: names.log_group.clone(), tags: tags.clone() });
    }
    let lacks_retention = state.log_group.present().is_some_and(|seen| !seen.has_retention);
    if state.log_group.is_absent() || lacks_retention {
        effects.push(Effect::PutLogRetention { name: names.log_group.clone() });
    }
    if state.stream.is_absent() {
        effects.push(Effect::CreateStream(new_stream(names, plan, tags.clone())));
    }
    if state.parameter.is_absent() {
        let idle = idle_document(ctx.run.number, ctx.object.epoch, ctx.now, ctx.timings);
        let text = idle.to_text().ok()?;
        effects.push(Effect::CreateParameter { name: names.parameter.clone(), text, tags: tags.clone() });
    }
    if state.task_definition.is_absent() {
        let definition = new_task_definition(
            names,
            plan,
            ctx.run.number,
            ctx.deadline_at,
            roles,
            ctx.timings,
            tags.clone(),
        );
        effects.push(Effect::RegisterTaskDefinition(Box::new(definition)));
    }
    match &state.service {
        Observed::Present(seen) if seen.state != ServiceState::Inactive => {
            let is_scheduled = match &state.scale_to_zero {
                Observed::Present(seen) => seen.target && seen.action_at.is_some(),
                Observed::Absent => false,
                Observed::Unread | Observed::Refused(_) => true,
            };
            if !is_scheduled {
                effects.push(ctx.put_scheduled_scale_to_zero());
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
fn note_arns(ctx: &RunContext<'_>, state: &ObservedState, builder: &mut DecisionBuilder) {
    let known = [
        (ResourceType::LogGroup, state.log_group.present().map(|seen| &seen.arn)),
        (ResourceType::Stream, state.stream.present().map(|seen| &seen.arn)),
        (ResourceType::TaskDefinition, state.task_definition.present().map(|seen| &seen.arn)),
        (ResourceType::Service, state.service.present().map(|seen| &seen.arn)),
    ];
    for (type_, arn) in known {
        if let Some(arn) = arn {
            builder.resource(type_, arn, ResourceState::Present);
        }
    }
    if state.stream.is_absent() {
        let message = format!("stream {} is being created", ctx.names.stream);
        builder.found(ConditionType::StreamReady, ConditionStatus::False, Reason::Creating, message);
    }
}

/// Records on which resources our tag was read.
fn note_owned(ctx: &RunContext<'_>, state: &ObservedState, builder: &mut DecisionBuilder) {
    let owner = ctx.owner();
    let tags = [
        (ResourceType::LogGroup, state.log_group_tags.present()),
        (ResourceType::Stream, state.stream_tags.present()),
        (ResourceType::ControlParameter, state.parameter_tags.present()),
        (ResourceType::TaskDefinition, state.task_definition.present().map(|seen| &seen.tags)),
        (ResourceType::Service, state.service.present().map(|seen| &seen.tags)),
    ];
    for (type_, tags) in tags {
        if tags.is_some_and(|tags| owner.owns(tags)) {
            builder.owned(type_);
            // It has no tags of its own, and belongs to its service.
            if type_ == ResourceType::Service {
                builder.owned(ResourceType::ScheduledScaleToZero);
            }
        }
    }
}

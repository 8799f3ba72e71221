//! Removes what the run made, in an order in which nothing is left running or paying behind: the service and its ceiling,
//! the task definition, the parameter, the log group, the stream, the dashboard. Every step may be repeated; nothing foreign is
//! touched.

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::demo::CleanupPolicy;
use kinesis_demo_api::status::{ResourceState, ResourceType};

use super::measure::note_stream;
use super::{Case, Draft, Effect};
use crate::aws::{ServiceState, StreamSeen, StreamState, Tags};
use crate::run::notices::Notice;
use crate::run::observe::{Seen, World};

pub(super) fn decide_cleaning_up(case: &Case<'_>, world: &World, mut draft: Draft) -> Draft {
    note_stream(case, world, &mut draft);
    let service_is_gone = remove_service(case, world, &mut draft);
    if service_is_gone {
        remove_task_definition(case, world, &mut draft);
        remove_parameter(case, world, &mut draft);
        remove_log_group(case, world, &mut draft);
        remove_stream(case, world, &mut draft);
    }
    remove_dashboard(case, world, &mut draft);
    let left = draft.status.present_resources();
    if left.is_empty() {
        return finished(case, draft);
    }
    let message = format!("still there: {}", left.join(", "));
    draft.found(ConditionType::CleanedUp, ConditionStatus::False, Reason::ResourcesPresent, message.clone());
    draft.progress(message);
    draft.wait_until(case.now + case.subject.settings.timings.poll_every)
}

fn finished(case: &Case<'_>, mut draft: Draft) -> Draft {
    draft.found(ConditionType::StreamReady, ConditionStatus::False, Reason::Released, "the run is over");
    draft.found(
        ConditionType::WarmThroughputReady,
        ConditionStatus::False,
        Reason::Released,
        "the run is over",
    );
    draft.over(case.now)
}

/// Whether the run ever came as far as making things of this type.
fn was_made(draft: &Draft, type_: ResourceType) -> bool {
    draft.status.resources.iter().any(|resource| resource.type_ == type_)
}

/// Whether a thing with these tags is ours to remove; if not, it is noted and left alone.
fn is_ours(case: &Case<'_>, draft: &mut Draft, type_: ResourceType, arn: &str, tags: Option<&Tags>) -> bool {
    if tags.is_some_and(|tags| case.owner().owns(tags)) {
        return true;
    }
    draft.notices.push(Notice::left_alone(type_, arn));
    draft.status.resources.retain(|resource| resource.type_ != type_);
    false
}

/// Removes the service and its ceiling; true when the service and its tasks are gone.
fn remove_service(case: &Case<'_>, world: &World, draft: &mut Draft) -> bool {
    let (cluster, service) = (&case.names.cluster, &case.names.service);
    if !was_made(draft, ResourceType::Service) {
        return true;
    }
    let seen = world.service.present().filter(|seen| seen.state != ServiceState::Inactive);
    if let Some(seen) = seen
        && !is_ours(case, draft, ResourceType::Service, &seen.arn, Some(&seen.tags))
    {
        // The ceiling has no tags of its own: it is as foreign as its service.
        draft.status.resources.retain(|resource| resource.type_ != ResourceType::ScalingCeiling);
        return true;
    }
    match &world.ceiling {
        Seen::Present(_) => {
            draft.effects.push(Effect::DeleteCeiling { cluster: cluster.clone(), service: service.clone() })
        }
        Seen::Absent => draft.resource(ResourceType::ScalingCeiling, service, ResourceState::Deleted),
        Seen::Unread => {}
    }
    match seen.map(|seen| seen.state) {
        Some(ServiceState::Active) => {
            draft.effects.push(Effect::DeleteService { cluster: cluster.clone(), service: service.clone() });
            false
        }
        Some(ServiceState::Draining | ServiceState::Inactive) => false,
        None => {
            draft.resource(ResourceType::Service, service, ResourceState::Deleted);
            true
        }
    }
}

fn remove_task_definition(case: &Case<'_>, world: &World, draft: &mut Draft) {
    if !was_made(draft, ResourceType::TaskDefinition) {
        return;
    }
    if let Some(seen) = world.task_definition.present() {
        if is_ours(case, draft, ResourceType::TaskDefinition, &seen.arn, Some(&seen.tags)) {
            draft.effects.push(Effect::DeregisterTaskDefinition { arn: seen.arn.clone() });
        }
        return;
    }
    for arn in &world.inactive_task_definitions {
        draft.effects.push(Effect::DeleteTaskDefinition { arn: arn.clone() });
    }
    if world.inactive_task_definitions.is_empty() {
        draft.resource(ResourceType::TaskDefinition, &case.names.family, ResourceState::Deleted);
    }
}

fn remove_parameter(case: &Case<'_>, world: &World, draft: &mut Draft) {
    let name = &case.names.parameter;
    if !was_made(draft, ResourceType::ControlParameter) {
        return;
    }
    match &world.parameter {
        Seen::Present(_) => {
            if is_ours(case, draft, ResourceType::ControlParameter, name, world.parameter_tags.as_ref()) {
                draft.effects.push(Effect::DeleteParameter { name: name.clone() });
            }
        }
        Seen::Absent => draft.resource(ResourceType::ControlParameter, name, ResourceState::Deleted),
        Seen::Unread => {}
    }
}

fn remove_log_group(case: &Case<'_>, world: &World, draft: &mut Draft) {
    let name = &case.names.log_group;
    if !was_made(draft, ResourceType::LogGroup) {
        return;
    }
    match &world.log_group {
        Seen::Present(seen) => {
            if is_ours(case, draft, ResourceType::LogGroup, &seen.arn, Some(&seen.tags)) {
                draft.effects.push(Effect::DeleteLogGroup { name: name.clone() });
            }
        }
        Seen::Absent => draft.resource(ResourceType::LogGroup, name, ResourceState::Deleted),
        Seen::Unread => {}
    }
}

fn remove_stream(case: &Case<'_>, world: &World, draft: &mut Draft) {
    let name = &case.names.stream;
    if !was_made(draft, ResourceType::Stream) {
        return;
    }
    match &world.stream {
        Seen::Present(seen) => {
            if !is_ours(case, draft, ResourceType::Stream, &seen.arn, world.stream_tags.as_ref()) {
                return;
            }
            match case.effective.spec.cleanup.stream {
                CleanupPolicy::Delete => delete_stream(seen, draft),
                CleanupPolicy::Retain => retain_stream(seen, draft),
            }
        }
        Seen::Absent => draft.resource(ResourceType::Stream, name, ResourceState::Deleted),
        Seen::Unread => {}
    }
}

/// Its name holds the object's uid, so it is ours.
fn remove_dashboard(case: &Case<'_>, world: &World, draft: &mut Draft) {
    let name = &case.names.dashboard;
    match &world.dashboard {
        Seen::Present(()) => draft.effects.push(Effect::DeleteDashboard { name: name.clone() }),
        Seen::Absent => {
            draft.resource(ResourceType::Dashboard, name, ResourceState::Deleted);
            draft.status.dashboard = None;
        }
        Seen::Unread => {}
    }
}

/// A stream can be deleted once it is ACTIVE; until then there is nothing to do but wait.
fn delete_stream(seen: &StreamSeen, draft: &mut Draft) {
    if seen.state == StreamState::Active {
        draft.effects.push(Effect::DeleteStream { arn: seen.arn.clone() });
    }
}

/// A stream that stays gives its warm throughput back: with On-demand Advantage it costs nothing by itself, but it keeps the
/// account from leaving Advantage.
fn retain_stream(seen: &StreamSeen, draft: &mut Draft) {
    let released = seen.warm.is_none_or(|warm| warm.target == 0);
    match (seen.state, released) {
        (StreamState::Active, true) => {
            draft.resource(ResourceType::Stream, &seen.arn, ResourceState::Retained)
        }
        (StreamState::Active, false) => {
            draft.effects.push(Effect::UpdateWarmThroughput { arn: seen.arn.clone(), mib_per_second: 0 });
        }
        _ => {}
    }
}

//! Removes what a run created. Each resource is removed independently: one that cannot be read or
//! removed blocks no other. Only the scheduled scale-to-zero waits, because it stops the tasks if
//! the service stays. Resources without this object's tag are not touched.

use std::collections::BTreeSet;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::ControlDocument;
use kinesis_demo_api::demo::CleanupPolicy;
use kinesis_demo_api::status::{Effective, LeakedResources, ResourceState, ResourceStatus, ResourceType};

use super::super::context::is_later;
use super::super::{Effect, ObjectContext, foreign_account};
use crate::aws::{AwsError, ServiceState, StreamDescription, StreamState, Tags};
use crate::kubernetes::events::RunEvent;
use crate::reconcile::observe::{Observed, ObservedState};
use crate::reconcile::resources::names::{Names, base_name};
use crate::reconcile::resources::tags::Owner;

/// The owner of the resources to remove, and what may be removed.
#[derive(Debug)]
pub struct Removal {
    pub names: Names,
    owner: Owner,
    account_id: String,
    retain_stream: bool,
    /// Whether the names follow from the object and the run number. Then the resources need no tag
    /// check.
    names_are_derived: bool,
    stream_is_named_by_user: bool,
    /// When the run's stream was created, if known.
    stream_created_at: Option<MicroTime>,
    /// The document that this run wrote last into its parameter.
    last_document: Option<ControlDocument>,
}

/// What a removal does next.
#[derive(Debug, Default)]
pub(super) struct RemovalStep {
    pub(super) effects: Vec<Effect>,
    pub(super) unseen: BTreeSet<ResourceType>,
    pub(super) run_events: Vec<RunEvent>,
}

/// What may be done with one resource.
enum RemovalPermission {
    Remove,
    RemoveUnseen,
    Leave,
}

impl Removal {
    /// The removal of what the run with these settings created.
    pub fn of_run(object: &ObjectContext<'_>, run: u32, effective: &Effective) -> Self {
        let derived = base_name(object.name, object.uid, run);
        Self {
            names: Names::of(effective),
            owner: object.owner(run),
            account_id: effective.account_id.clone(),
            retain_stream: effective.spec.cleanup.stream == CleanupPolicy::Retain,
            names_are_derived: effective.base_name == derived,
            stream_is_named_by_user: effective.stream_name != derived,
            stream_created_at: object.status.stream.as_ref().and_then(|stream| stream.created_at),
            last_document: None,
        }
    }

    /// The same removal, given the document that the run wrote last.
    pub(super) fn with_last_document(self, last_document: Option<ControlDocument>) -> Self {
        Self { last_document, ..self }
    }

    /// The removal of what an earlier run left.
    pub fn of_earlier_run(object: &ObjectContext<'_>, leaked: &LeakedResources) -> Self {
        let derived = base_name(object.name, object.uid, leaked.run);
        Self {
            names: Names::new(&leaked.cluster, &leaked.stream_name, &leaked.base_name),
            owner: object.owner(leaked.run),
            account_id: leaked.account_id.clone(),
            retain_stream: leaked.retain_stream,
            names_are_derived: leaked.base_name == derived,
            stream_is_named_by_user: leaked.stream_name != derived,
            stream_created_at: None,
            last_document: None,
        }
    }

    /// The number of the run.
    pub(super) fn run(&self) -> u32 {
        self.owner.run
    }

    /// Whether the run wrote this document last, or was about to overwrite it.
    fn wrote(&self, found: Option<&ControlDocument>) -> bool {
        found.zip(self.last_document.as_ref()).is_some_and(|(found, last)| {
            (found.run, found.epoch) == (last.run, last.epoch) && found.version <= last.version
        })
    }

    /// Checks every resource that may still exist, and returns what to do.
    pub(super) fn step(&self, state: &ObservedState, resources: &mut Vec<ResourceStatus>) -> RemovalStep {
        let mut step = RemovalStep::default();
        match &state.account_id {
            Observed::Present(found) if *found == self.account_id => {}
            // If the account is unknown, a missing resource is not known to be deleted.
            account => {
                let problem = foreign_account(&self.account_id, state)
                    .or_else(|| account.refusal().map(ToString::to_string))
                    .unwrap_or_else(|| "the AWS account is not known yet".into());
                note_problem_of_all(resources, &problem);
                return step;
            }
        }
        self.remove_service(state, resources, &mut step);
        self.remove_scale_to_zero(state, resources, &mut step);
        self.remove_task_definition(state, resources, &mut step);
        self.remove_parameter(state, resources, &mut step);
        self.remove_log_group(state, resources, &mut step);
        self.remove_stream(state, resources, &mut step);
        self.remove_dashboard(state, resources, &mut step);
        step
    }

    fn remove_service(
        &self,
        state: &ObservedState,
        resources: &mut Vec<ResourceStatus>,
        step: &mut RemovalStep,
    ) {
        let Names { cluster, service, .. } = &self.names;
        let type_ = ResourceType::Service;
        let Some(index) = present(resources, type_) else { return };
        let delete = || Effect::DeleteService { cluster: cluster.clone(), service: service.clone() };
        let permission = match &state.service {
            Observed::Absent => return note_deleted(resources, index, step),
            Observed::Present(seen) if seen.state == ServiceState::Inactive => {
                return note_deleted(resources, index, step);
            }
            Observed::Present(seen) => {
                let tags = Observed::Present(seen.tags.clone());
                let permission = self.check_tags(&tags, resources, index, step);
                if seen.state == ServiceState::Draining {
                    return;
                }
                permission
            }
            Observed::Unread => return,
            Observed::Refused(error) => self.check_unread(error, resources, index),
        };
        carry_out(permission, type_, [delete()], step);
    }

    /// The scheduled scale-to-zero is removed after the service.
    fn remove_scale_to_zero(
        &self,
        state: &ObservedState,
        resources: &mut Vec<ResourceStatus>,
        step: &mut RemovalStep,
    ) {
        let Names { cluster, service, .. } = &self.names;
        let type_ = ResourceType::ScheduledScaleToZero;
        let Some(index) = present(resources, type_) else { return };
        let service_left = resources.iter().find(|resource| resource.type_ == ResourceType::Service);
        match service_left {
            // It has no tags of its own. If the service belongs to someone else, so does this.
            None => {
                resources.remove(index);
                return;
            }
            Some(service) if service.state == ResourceState::Present => {
                return note_problem(resources, index, "it stays until the service is deleted");
            }
            Some(_) => {}
        }
        let delete =
            Effect::DeleteScheduledScaleToZero { cluster: cluster.clone(), service: service.clone() };
        let permission = match &state.scale_to_zero {
            Observed::Absent => return note_deleted(resources, index, step),
            Observed::Present(_) => RemovalPermission::Remove,
            Observed::Unread => return,
            Observed::Refused(error) => self.check_unread(error, resources, index),
        };
        carry_out(permission, type_, [delete], step);
    }

    fn remove_task_definition(
        &self,
        state: &ObservedState,
        resources: &mut Vec<ResourceStatus>,
        step: &mut RemovalStep,
    ) {
        let type_ = ResourceType::TaskDefinition;
        let Some(index) = present(resources, type_) else { return };
        let known =
            resources.get(index).map(|resource| resource.arn.clone()).filter(|arn| arn.starts_with("arn:"));
        let both = |arn: String| {
            [Effect::DeregisterTaskDefinition { arn: arn.clone() }, Effect::DeleteTaskDefinition { arn }]
        };
        match (&state.task_definition, &state.inactive_task_definitions) {
            (Observed::Present(seen), _) => {
                let tags = Observed::Present(seen.tags.clone());
                let permission = self.check_tags(&tags, resources, index, step);
                let deregister = Effect::DeregisterTaskDefinition { arn: seen.arn.clone() };
                carry_out(permission, type_, [deregister], step);
            }
            (Observed::Absent, Observed::Present(inactive)) if inactive.is_empty() => {
                note_deleted(resources, index, step);
            }
            (Observed::Absent, Observed::Present(inactive)) => {
                // Deregistered revisions keep their tags, and the family name is derived from this
                // object.
                let delete = inactive.iter().map(|arn| Effect::DeleteTaskDefinition { arn: arn.clone() });
                carry_out(RemovalPermission::Remove, type_, delete, step);
            }
            (Observed::Refused(error), _) | (_, Observed::Refused(error)) => {
                match (self.check_unread(error, resources, index), known) {
                    (permission @ RemovalPermission::RemoveUnseen, Some(arn)) => {
                        carry_out(permission, type_, both(arn), step);
                    }
                    _ => note_problem(resources, index, &error.to_string()),
                }
            }
            _ => {}
        }
    }

    fn remove_parameter(
        &self,
        state: &ObservedState,
        resources: &mut Vec<ResourceStatus>,
        step: &mut RemovalStep,
    ) {
        let type_ = ResourceType::ControlParameter;
        let Some(index) = present(resources, type_) else { return };
        let permission = match &state.parameter {
            Observed::Absent => return note_deleted(resources, index, step),
            // A renewal of a parameter that was just deleted by hand creates it again without tags
            // (PutParameter accepts none when it overwrites). The document that we wrote proves
            // that it is ours.
            Observed::Present(found) if self.names_are_derived && self.wrote(found.as_ref()) => {
                RemovalPermission::Remove
            }
            Observed::Present(_) => self.check_tags(&state.parameter_tags, resources, index, step),
            Observed::Unread => return,
            Observed::Refused(error) => self.check_unread(error, resources, index),
        };
        carry_out(permission, type_, [Effect::DeleteParameter { name: self.names.parameter.clone() }], step);
    }

    fn remove_log_group(
        &self,
        state: &ObservedState,
        resources: &mut Vec<ResourceStatus>,
        step: &mut RemovalStep,
    ) {
        let type_ = ResourceType::LogGroup;
        let Some(index) = present(resources, type_) else { return };
        let permission = match &state.log_group {
            Observed::Absent => return note_deleted(resources, index, step),
            Observed::Present(_) => self.check_tags(&state.log_group_tags, resources, index, step),
            Observed::Unread => return,
            Observed::Refused(error) => self.check_unread(error, resources, index),
        };
        carry_out(permission, type_, [Effect::DeleteLogGroup { name: self.names.log_group.clone() }], step);
    }

    fn remove_stream(
        &self,
        state: &ObservedState,
        resources: &mut Vec<ResourceStatus>,
        step: &mut RemovalStep,
    ) {
        let type_ = ResourceType::Stream;
        let Some(index) = present(resources, type_) else { return };
        match &state.stream {
            Observed::Absent => note_deleted(resources, index, step),
            // Someone deleted the run's own stream. This one belongs to them, whatever tags it has.
            Observed::Present(seen) if is_later(self.stream_created_at, seen.created_at) => {
                step.run_events.push(RunEvent::left_alone(type_, &seen.arn));
                note_deleted(resources, index, step);
            }
            Observed::Present(seen) => {
                let permission = self.check_tags(&state.stream_tags, resources, index, step);
                match (permission, self.retain_stream) {
                    (RemovalPermission::Leave, _) => {}
                    (permission, false) => {
                        let is_reported = |resource: &ResourceStatus| {
                            resource.problem.as_ref().is_some_and(|problem| problem.contains("queues:"))
                        };
                        if seen.queues > 0 && !resources.get(index).is_some_and(is_reported) {
                            let problem = format!("it has {} queues: delete them first", seen.queues);
                            note_problem(resources, index, &problem);
                        }
                        delete_stream(permission, seen, step);
                    }
                    (_, true) => retain_stream(seen, resources, index, step),
                }
            }
            Observed::Unread => {}
            Observed::Refused(error) => {
                let known = resources
                    .get(index)
                    .map(|resource| resource.arn.clone())
                    .filter(|arn| arn.starts_with("arn:"));
                match (self.check_unread(error, resources, index), known) {
                    (permission @ RemovalPermission::RemoveUnseen, Some(arn)) if !self.retain_stream => {
                        carry_out(permission, type_, [Effect::DeleteStream { arn }], step);
                    }
                    _ => note_problem(resources, index, &error.to_string()),
                }
            }
        }
    }

    /// A dashboard has no tags. Its name contains the object's uid, which proves that it is ours.
    fn remove_dashboard(
        &self,
        state: &ObservedState,
        resources: &mut [ResourceStatus],
        step: &mut RemovalStep,
    ) {
        let type_ = ResourceType::Dashboard;
        let Some(index) = present(resources, type_) else { return };
        let permission = match &state.dashboard {
            Observed::Absent => return note_deleted(resources, index, step),
            Observed::Present(()) if self.names_are_derived => RemovalPermission::Remove,
            Observed::Present(()) => {
                return note_problem(resources, index, "its name does not belong to this object");
            }
            Observed::Unread => return,
            Observed::Refused(_) if self.names_are_derived => RemovalPermission::RemoveUnseen,
            Observed::Refused(error) => return note_problem(resources, index, &error.to_string()),
        };
        carry_out(permission, type_, [Effect::DeleteDashboard { name: self.names.dashboard.clone() }], step);
    }

    /// Whether a resource with these tags may be removed. A foreign resource is dropped from the
    /// list. One that was ours and has lost its tag stays on it, so that someone can check it.
    fn check_tags(
        &self,
        tags: &Observed<Tags>,
        resources: &mut Vec<ResourceStatus>,
        index: usize,
        step: &mut RemovalStep,
    ) -> RemovalPermission {
        let Some(resource) = resources.get_mut(index) else { return RemovalPermission::Leave };
        match tags {
            Observed::Present(tags) if self.owner.owns(tags) => {
                resource.owned = true;
                RemovalPermission::Remove
            }
            Observed::Present(_) if resource.owned => {
                resource.problem = Some(format!(
                    "it no longer carries the tag {} of this object; tag it again, or remove it by hand",
                    crate::aws::OWNER_TAG
                ));
                RemovalPermission::Leave
            }
            Observed::Present(_) => {
                step.run_events.push(RunEvent::left_alone(resource.type_, &resource.arn));
                resources.remove(index);
                RemovalPermission::Leave
            }
            Observed::Refused(error) => self.check_unread(error, resources, index),
            Observed::Absent | Observed::Unread => RemovalPermission::Leave,
        }
    }

    /// Whether a resource that could not be read may be removed. The caller has checked the
    /// account.
    fn check_unread(
        &self,
        error: &AwsError,
        resources: &mut [ResourceStatus],
        index: usize,
    ) -> RemovalPermission {
        let Some(resource) = resources.get_mut(index) else { return RemovalPermission::Leave };
        let is_users_stream = resource.type_ == ResourceType::Stream && self.stream_is_named_by_user;
        if self.names_are_derived && resource.owned && !is_users_stream {
            return RemovalPermission::RemoveUnseen;
        }
        resource.problem = Some(error.to_string());
        RemovalPermission::Leave
    }
}

fn present(resources: &[ResourceStatus], type_: ResourceType) -> Option<usize> {
    resources.iter().position(|resource| resource.type_ == type_ && resource.state == ResourceState::Present)
}

fn note_deleted(resources: &mut [ResourceStatus], index: usize, step: &mut RemovalStep) {
    if let Some(resource) = resources.get_mut(index) {
        step.run_events.push(RunEvent::removed(resource.type_, &resource.arn));
        resource.state = ResourceState::Deleted;
        resource.problem = None;
    }
}

fn note_problem(resources: &mut [ResourceStatus], index: usize, problem: &str) {
    if let Some(resource) = resources.get_mut(index) {
        resource.problem = Some(problem.to_owned());
    }
}

fn note_problem_of_all(resources: &mut [ResourceStatus], problem: &str) {
    for resource in resources.iter_mut().filter(|resource| resource.state == ResourceState::Present) {
        resource.problem = Some(problem.to_owned());
    }
}

fn carry_out(
    permission: RemovalPermission,
    type_: ResourceType,
    effects: impl IntoIterator<Item = Effect>,
    step: &mut RemovalStep,
) {
    match permission {
        RemovalPermission::Leave => return,
        RemovalPermission::Remove => {}
        RemovalPermission::RemoveUnseen => {
            step.unseen.insert(type_);
        }
    }
    step.effects.extend(effects);
}

/// A stream can be deleted only while it is ACTIVE. Until then the operator waits.
fn delete_stream(permission: RemovalPermission, seen: &StreamDescription, step: &mut RemovalStep) {
    if seen.state == StreamState::Active {
        let delete = Effect::DeleteStream { arn: seen.arn.clone() };
        carry_out(permission, ResourceType::Stream, [delete], step);
    }
}

/// Releases the warm throughput of a stream that is retained. With On-demand Advantage it costs
/// nothing by itself, but it keeps the account from leaving Advantage.
fn retain_stream(
    seen: &StreamDescription,
    resources: &mut [ResourceStatus],
    index: usize,
    step: &mut RemovalStep,
) {
    let Some(resource) = resources.get_mut(index) else { return };
    // AWS may still show the old target after it accepted the call, so the call is made only once.
    let released = resource.warm_released || seen.warm.is_none_or(|warm| warm.target == 0);
    match (seen.state, released) {
        (StreamState::Active, true) => {
            seen.arn.clone_into(&mut resource.arn);
            resource.state = ResourceState::Retained;
            resource.problem = None;
        }
        (StreamState::Active, false) => {
            let arn = seen.arn.clone();
            step.effects.push(Effect::UpdateWarmThroughput { arn, mib_per_second: 0 });
        }
        _ => {}
    }
}

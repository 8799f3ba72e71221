//! Removes what a run made. Each thing goes by itself: what cannot be seen or removed keeps nothing
//! else. Only the scheduled scale-to-zero waits: it is what stops the tasks if the service stays.
//! Every step may be repeated. Nothing that does not carry this object's tag is touched.

use std::collections::BTreeSet;
use std::time::Duration;

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::control::ControlDocument;
use kinesis_demo_api::demo::CleanupPolicy;
use kinesis_demo_api::status::{Effective, Leftover, ResourceState, ResourceStatus, ResourceType};
use kinesis_demo_api::{KinesisDemoStatus, MicroTime};

use super::traffic_status::note_stream;
use super::{Decision, DecisionBuilder, Effect, ObjectContext, RunContext, foreign_account, is_later};
use crate::aws::{AwsError, ServiceState, StreamDescription, StreamState, Tags};
use crate::reconcile::observe::{Observed, ObservedState};
use crate::reconcile::resources::names::{Names, base_name};
use crate::reconcile::resources::tags::Owner;
use crate::reconcile::run_event::RunEvent;

/// How often a run that is over looks at what it could not remove: soon at first, then seldom.
const RETRY_SOON: Duration = Duration::from_secs(60);
const RETRY_LATER: Duration = Duration::from_secs(300);
const SOON: Duration = Duration::from_secs(3600);

/// Whose resources are removed, and what of the removal is allowed.
#[derive(Debug)]
pub struct Removal {
    pub names: Names,
    owner: Owner,
    account_id: String,
    retain_stream: bool,
    /// The names follow from the object and the run number. What they name needs no second look.
    names_are_derived: bool,
    stream_is_named_by_user: bool,
    /// When the run's stream was made, if that is known.
    stream_created_at: Option<MicroTime>,
    /// What this run wrote last into its parameter.
    last_document: Option<ControlDocument>,
}

/// What is to be done for a removal now.
#[derive(Debug, Default)]
struct Step {
    effects: Vec<Effect>,
    unseen: BTreeSet<ResourceType>,
    run_events: Vec<RunEvent>,
}

/// What may be done with one resource.
enum RemovalPermission {
    Remove,
    RemoveUnseen,
    Leave,
}

impl Removal {
    /// The removal of what the run under `effective` made.
    pub fn of_run(object: &ObjectContext<'_>, run: u32, effective: &Effective) -> Self {
        let derived = base_name(object.name, object.uid, run);
        Self {
            names: Names::of(effective),
            owner: object.owner(run),
            account_id: effective.account_id.clone(),
            retain_stream: effective.spec.cleanup.stream == CleanupPolicy::Retain,
            names_are_derived: effective.base_name == derived,
            stream_is_named_by_user: effective.stream_name != derived,
            stream_created_at: object.status.stream.as_ref().and_then(|held| held.created_at),
            last_document: None,
        }
    }

    /// The removal of what an earlier run left.
    pub fn of_leftover(object: &ObjectContext<'_>, leftover: &Leftover) -> Self {
        let derived = base_name(object.name, object.uid, leftover.run);
        Self {
            names: Names::new(&leftover.cluster, &leftover.stream_name, &leftover.base_name),
            owner: object.owner(leftover.run),
            account_id: leftover.account_id.clone(),
            retain_stream: leftover.retain_stream,
            names_are_derived: leftover.base_name == derived,
            stream_is_named_by_user: leftover.stream_name != derived,
            stream_created_at: None,
            last_document: None,
        }
    }

    /// Whether this is what the run wrote last, or was about to overwrite.
    fn wrote(&self, held: Option<&ControlDocument>) -> bool {
        held.zip(self.last_document.as_ref()).is_some_and(|(held, last)| {
            (held.run, held.epoch) == (last.run, last.epoch) && held.version <= last.version
        })
    }

    /// Judges every resource that may still be there, and says what to do.
    fn step(&self, state: &ObservedState, resources: &mut Vec<ResourceStatus>) -> Step {
        let mut step = Step::default();
        match &state.account_id {
            Observed::Present(found) if *found == self.account_id => {}
            // Without knowing the account, what is not there is not known to be gone.
            account => {
                let problem = foreign_account(&self.account_id, state)
                    .or_else(|| account.refusal().map(ToString::to_string))
                    .unwrap_or_else(|| "the account is not known yet".into());
                note_problem_of_all(resources, &problem);
                return step;
            }
        }
        self.remove_service(state, resources, &mut step);
        self.remove_ceiling(state, resources, &mut step);
        self.remove_task_definition(state, resources, &mut step);
        self.remove_parameter(state, resources, &mut step);
        self.remove_log_group(state, resources, &mut step);
        self.remove_stream(state, resources, &mut step);
        self.remove_dashboard(state, resources, &mut step);
        step
    }

    fn remove_service(&self, state: &ObservedState, resources: &mut Vec<ResourceStatus>, step: &mut Step) {
        let Names { cluster, service, .. } = &self.names;
        let type_ = ResourceType::Service;
        let Some(index) = present(resources, type_) else { return };
        let delete = || Effect::DeleteService { cluster: cluster.clone(), service: service.clone() };
        let permission = match &state.service {
            Observed::Absent => return note_gone(resources, index, step),
            Observed::Present(seen) if seen.state == ServiceState::Inactive => {
                return note_gone(resources, index, step);
            }
            Observed::Present(seen) => {
                let tags = Observed::Present(seen.tags.clone());
                let permission = self.judge(&tags, resources, index, step);
                if seen.state == ServiceState::Draining {
                    return;
                }
                permission
            }
            Observed::Unread => return,
            Observed::Refused(error) => self.judge_unseen(error, resources, index),
        };
        carry_out(permission, type_, [delete()], step);
    }

    /// It goes last of what the service has, when the service is gone.
    fn remove_ceiling(&self, state: &ObservedState, resources: &mut Vec<ResourceStatus>, step: &mut Step) {
        let Names { cluster, service, .. } = &self.names;
        let type_ = ResourceType::ScheduledScaleToZero;
        let Some(index) = present(resources, type_) else { return };
        let service_left = resources.iter().find(|held| held.type_ == ResourceType::Service);
        match service_left {
            // It has no tags of its own: it is as foreign as its service.
            None => {
                resources.remove(index);
                return;
            }
            Some(held) if held.state == ResourceState::Present => {
                return note_problem(resources, index, "it stays until the service is gone");
            }
            Some(_) => {}
        }
        let delete =
            Effect::DeleteScheduledScaleToZero { cluster: cluster.clone(), service: service.clone() };
        let permission = match &state.scale_to_zero {
            Observed::Absent => return note_gone(resources, index, step),
            Observed::Present(_) => RemovalPermission::Remove,
            Observed::Unread => return,
            Observed::Refused(error) => self.judge_unseen(error, resources, index),
        };
        carry_out(permission, type_, [delete], step);
    }

    fn remove_task_definition(
        &self,
        state: &ObservedState,
        resources: &mut Vec<ResourceStatus>,
        step: &mut Step,
    ) {
        let type_ = ResourceType::TaskDefinition;
        let Some(index) = present(resources, type_) else { return };
        let known = resources.get(index).map(|held| held.arn.clone()).filter(|arn| arn.starts_with("arn:"));
        let both = |arn: String| {
            [Effect::DeregisterTaskDefinition { arn: arn.clone() }, Effect::DeleteTaskDefinition { arn }]
        };
        match (&state.task_definition, &state.inactive_task_definitions) {
            (Observed::Present(seen), _) => {
                let tags = Observed::Present(seen.tags.clone());
                let permission = self.judge(&tags, resources, index, step);
                let deregister = Effect::DeregisterTaskDefinition { arn: seen.arn.clone() };
                carry_out(permission, type_, [deregister], step);
            }
            (Observed::Absent, Observed::Present(inactive)) if inactive.is_empty() => {
                note_gone(resources, index, step);
            }
            (Observed::Absent, Observed::Present(inactive)) => {
                // A family's deregistered revisions have the tags that they had; its name is ours alone.
                let delete = inactive.iter().map(|arn| Effect::DeleteTaskDefinition { arn: arn.clone() });
                carry_out(RemovalPermission::Remove, type_, delete, step);
            }
            (Observed::Refused(error), _) | (_, Observed::Refused(error)) => {
                match (self.judge_unseen(error, resources, index), known) {
                    (permission @ RemovalPermission::RemoveUnseen, Some(arn)) => {
                        carry_out(permission, type_, both(arn), step);
                    }
                    _ => note_problem(resources, index, &error.to_string()),
                }
            }
            _ => {}
        }
    }

    fn remove_parameter(&self, state: &ObservedState, resources: &mut Vec<ResourceStatus>, step: &mut Step) {
        let type_ = ResourceType::ControlParameter;
        let Some(index) = present(resources, type_) else { return };
        let permission = match &state.parameter {
            Observed::Absent => return note_gone(resources, index, step),
            // A renewal that meets a parameter just deleted by hand makes it anew, without tags
            // (PutParameter takes none when it overwrites): what we wrote says whose it is.
            Observed::Present(held) if self.names_are_derived && self.wrote(held.as_ref()) => {
                RemovalPermission::Remove
            }
            Observed::Present(_) => self.judge(&state.parameter_tags, resources, index, step),
            Observed::Unread => return,
            Observed::Refused(error) => self.judge_unseen(error, resources, index),
        };
        carry_out(permission, type_, [Effect::DeleteParameter { name: self.names.parameter.clone() }], step);
    }

    fn remove_log_group(&self, state: &ObservedState, resources: &mut Vec<ResourceStatus>, step: &mut Step) {
        let type_ = ResourceType::LogGroup;
        let Some(index) = present(resources, type_) else { return };
        let permission = match &state.log_group {
            Observed::Absent => return note_gone(resources, index, step),
            Observed::Present(_) => self.judge(&state.log_group_tags, resources, index, step),
            Observed::Unread => return,
            Observed::Refused(error) => self.judge_unseen(error, resources, index),
        };
        carry_out(permission, type_, [Effect::DeleteLogGroup { name: self.names.log_group.clone() }], step);
    }

    fn remove_stream(&self, state: &ObservedState, resources: &mut Vec<ResourceStatus>, step: &mut Step) {
        let type_ = ResourceType::Stream;
        let Some(index) = present(resources, type_) else { return };
        match &state.stream {
            Observed::Absent => note_gone(resources, index, step),
            // The run's own was deleted by somebody: this one is theirs, whatever tags it has.
            Observed::Present(seen) if is_later(self.stream_created_at, seen.created_at) => {
                step.run_events.push(RunEvent::left_alone(type_, &seen.arn));
                note_gone(resources, index, step);
            }
            Observed::Present(seen) => {
                let permission = self.judge(&state.stream_tags, resources, index, step);
                match (permission, self.retain_stream) {
                    (RemovalPermission::Leave, _) => {}
                    (permission, false) => {
                        let is_told = |held: &ResourceStatus| {
                            held.problem.as_ref().is_some_and(|problem| problem.contains("queues:"))
                        };
                        if seen.queues > 0 && !resources.get(index).is_some_and(is_told) {
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
                let known =
                    resources.get(index).map(|held| held.arn.clone()).filter(|arn| arn.starts_with("arn:"));
                match (self.judge_unseen(error, resources, index), known) {
                    (permission @ RemovalPermission::RemoveUnseen, Some(arn)) if !self.retain_stream => {
                        carry_out(permission, type_, [Effect::DeleteStream { arn }], step);
                    }
                    _ => note_problem(resources, index, &error.to_string()),
                }
            }
        }
    }

    /// Its name holds the object's uid, so it is ours, and it has no tags.
    fn remove_dashboard(&self, state: &ObservedState, resources: &mut [ResourceStatus], step: &mut Step) {
        let type_ = ResourceType::Dashboard;
        let Some(index) = present(resources, type_) else { return };
        let permission = match &state.dashboard {
            Observed::Absent => return note_gone(resources, index, step),
            Observed::Present(()) if self.names_are_derived => RemovalPermission::Remove,
            Observed::Present(()) => {
                return note_problem(resources, index, "its name is not this object's");
            }
            Observed::Unread => return,
            Observed::Refused(_) if self.names_are_derived => RemovalPermission::RemoveUnseen,
            Observed::Refused(error) => return note_problem(resources, index, &error.to_string()),
        };
        carry_out(permission, type_, [Effect::DeleteDashboard { name: self.names.dashboard.clone() }], step);
    }

    /// Whether a thing with these tags may be removed. A foreign one is struck from the list; one that
    /// was ours and has lost its tag stays on it, for somebody to look at.
    fn judge(
        &self,
        tags: &Observed<Tags>,
        resources: &mut Vec<ResourceStatus>,
        index: usize,
        step: &mut Step,
    ) -> RemovalPermission {
        let Some(held) = resources.get_mut(index) else { return RemovalPermission::Leave };
        match tags {
            Observed::Present(tags) if self.owner.owns(tags) => {
                held.owned = true;
                RemovalPermission::Remove
            }
            Observed::Present(_) if held.owned => {
                held.problem = Some(format!(
                    "it no longer carries the tag {} of this object; tag it again, or remove it by hand",
                    crate::aws::OWNER_TAG
                ));
                RemovalPermission::Leave
            }
            Observed::Present(_) => {
                step.run_events.push(RunEvent::left_alone(held.type_, &held.arn));
                resources.remove(index);
                RemovalPermission::Leave
            }
            Observed::Refused(error) => self.judge_unseen(error, resources, index),
            Observed::Absent | Observed::Unread => RemovalPermission::Leave,
        }
    }

    /// Whether a thing may be removed that could not be looked at. The caller has checked the account.
    fn judge_unseen(
        &self,
        error: &AwsError,
        resources: &mut [ResourceStatus],
        index: usize,
    ) -> RemovalPermission {
        let Some(held) = resources.get_mut(index) else { return RemovalPermission::Leave };
        let is_users_stream = held.type_ == ResourceType::Stream && self.stream_is_named_by_user;
        if self.names_are_derived && held.owned && !is_users_stream {
            return RemovalPermission::RemoveUnseen;
        }
        held.problem = Some(error.to_string());
        RemovalPermission::Leave
    }
}

/// The removals of a stage in which the run ends.
pub(super) fn decide_cleaning_up(
    ctx: &RunContext<'_>,
    state: &ObservedState,
    mut builder: DecisionBuilder,
) -> DecisionBuilder {
    let timings = ctx.timings;
    note_stream(ctx, state, &mut builder);
    let removal = Removal {
        last_document: ctx.object.status.control.as_ref().map(|control| ctx.document(control)),
        ..Removal::of_run(&ctx.object, ctx.run.number, ctx.effective)
    };
    let step = removal.step(state, &mut builder.status.resources);
    note_step(step, &mut builder);
    if builder
        .status
        .resources
        .iter()
        .all(|held| held.type_ != ResourceType::Dashboard || held.state != ResourceState::Present)
    {
        builder.status.dashboard = None;
    }
    if !builder.status.resources.iter().any(|held| held.state == ResourceState::Present) {
        note_released(&mut builder);
        return match builder.status.has_leftovers() {
            false => builder.over(ctx.now),
            true => {
                let message = left_message(&builder.status);
                builder.over_with_leftovers(message, ctx.now)
            }
        };
    }
    let message = left_message(&builder.status);
    if ctx.now >= ctx.run.stage_entered_at + timings.cleanup_timeout {
        return builder.over_with_leftovers(message, ctx.now).wait_until(ctx.now + Duration::from_secs(1));
    }
    if let Some(message) = foreign_account(&ctx.effective.account_id, state) {
        return builder.block(Reason::AccountNotAllowed, message, Some(ctx.now + timings.renew_every));
    }
    builder.found(
        ConditionType::CleanedUp,
        ConditionStatus::False,
        Reason::ResourcesPresent,
        message.clone(),
    );
    builder.progress(message);
    builder.wait_until(ctx.now + timings.poll_every)
}

/// What a run that is over still removes: its own resources, then those of runs before it, one run at
/// a time. `state` is what was seen of the run that `removal` is about.
pub fn decide_leftovers(
    object: &ObjectContext<'_>,
    removal: &Removal,
    state: &ObservedState,
    now: MicroTime,
) -> Decision {
    let mut builder = DecisionBuilder::new(object.status);
    let step = match builder.status.leftovers.iter_mut().find(|held| held.run == removal.owner.run) {
        Some(leftover) => {
            builder.leftover_run = Some(leftover.run);
            removal.step(state, &mut leftover.resources)
        }
        None => removal.step(state, &mut builder.status.resources),
    };
    note_step(step, &mut builder);
    builder
        .status
        .leftovers
        .retain(|leftover| leftover.resources.iter().any(|held| held.state == ResourceState::Present));
    if !builder.status.has_leftovers() {
        builder.found(ConditionType::CleanedUp, ConditionStatus::True, Reason::NothingLeft, "");
        note_released(&mut builder);
        return builder.wait_until(now + Duration::from_secs(1)).finish(object, now);
    }
    let message = left_message(&builder.status);
    builder.found(ConditionType::CleanedUp, ConditionStatus::False, Reason::RemovalFailed, message);
    let finished_at = object.status.run.as_ref().and_then(|run| run.finished_at).unwrap_or(now);
    let pause = if now.since(finished_at) < SOON { RETRY_SOON } else { RETRY_LATER };
    builder.wait_until(now + pause).finish(object, now)
}

fn note_step(step: Step, builder: &mut DecisionBuilder) {
    let Step { effects, unseen, run_events } = step;
    builder.effects.extend(effects);
    builder.unseen.extend(unseen);
    builder.run_events.extend(run_events);
}

fn note_released(builder: &mut DecisionBuilder) {
    for type_ in [ConditionType::StreamReady, ConditionType::WarmThroughputReady] {
        builder.found(type_, ConditionStatus::False, Reason::Released, "the run is over");
    }
}

/// What is left, why, and what to do about it.
pub fn left_message(status: &KinesisDemoStatus) -> String {
    let left = status.present_resources().join("; ");
    format!("still there: {left}. The operator keeps trying; allow what is refused, or remove it by hand")
}

fn present(resources: &[ResourceStatus], type_: ResourceType) -> Option<usize> {
    resources.iter().position(|held| held.type_ == type_ && held.state == ResourceState::Present)
}

fn note_gone(resources: &mut [ResourceStatus], index: usize, step: &mut Step) {
    if let Some(held) = resources.get_mut(index) {
        step.run_events.push(RunEvent::removed(held.type_, &held.arn));
        held.state = ResourceState::Deleted;
        held.problem = None;
    }
}

fn note_problem(resources: &mut [ResourceStatus], index: usize, problem: &str) {
    if let Some(held) = resources.get_mut(index) {
        held.problem = Some(problem.to_owned());
    }
}

fn note_problem_of_all(resources: &mut [ResourceStatus], problem: &str) {
    for held in resources.iter_mut().filter(|held| held.state == ResourceState::Present) {
        held.problem = Some(problem.to_owned());
    }
}

fn carry_out(
    permission: RemovalPermission,
    type_: ResourceType,
    effects: impl IntoIterator<Item = Effect>,
    step: &mut Step,
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

/// A stream can be deleted once it is ACTIVE; until then there is nothing to do but wait.
fn delete_stream(permission: RemovalPermission, seen: &StreamDescription, step: &mut Step) {
    if seen.state == StreamState::Active {
        let delete = Effect::DeleteStream { arn: seen.arn.clone() };
        carry_out(permission, ResourceType::Stream, [delete], step);
    }
}

/// A stream that stays gives its warm throughput back: with On-demand Advantage it costs nothing by
/// itself, but it keeps the account from leaving Advantage.
fn retain_stream(seen: &StreamDescription, resources: &mut [ResourceStatus], index: usize, step: &mut Step) {
    let Some(held) = resources.get_mut(index) else { return };
    // AWS may go on showing the old target after it took the call: the call is made once.
    let released = held.warm_released || seen.warm.is_none_or(|warm| warm.target == 0);
    match (seen.state, released) {
        (StreamState::Active, true) => {
            seen.arn.clone_into(&mut held.arn);
            held.state = ResourceState::Retained;
            held.problem = None;
        }
        (StreamState::Active, false) => {
            let arn = seen.arn.clone();
            step.effects.push(Effect::UpdateWarmThroughput { arn, mib_per_second: 0 });
        }
        _ => {}
    }
}

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
use super::{Case, Decision, Draft, Effect, Subject, foreign_account, is_later};
use crate::aws::{AwsError, ServiceState, StreamSeen, StreamState, Tags};
use crate::reconcile::observe::{Observed, ObservedState};
use crate::reconcile::resources::names::{Names, base_name};
use crate::reconcile::resources::tags::Owner;
use crate::reconcile::run_event::Notice;

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
    notices: Vec<Notice>,
}

/// What may be done with one resource.
enum Verdict {
    Remove,
    RemoveUnseen,
    Leave,
}

impl Removal {
    /// The removal of what the run under `effective` made.
    pub fn of_run(subject: &Subject<'_>, run: u32, effective: &Effective) -> Self {
        let derived = base_name(subject.name, subject.uid, run);
        Self {
            names: Names::of(effective),
            owner: subject.owner(run),
            account_id: effective.account_id.clone(),
            retain_stream: effective.spec.cleanup.stream == CleanupPolicy::Retain,
            names_are_derived: effective.base_name == derived,
            stream_is_named_by_user: effective.stream_name != derived,
            stream_created_at: subject.status.stream.as_ref().and_then(|held| held.created_at),
            last_document: None,
        }
    }

    /// The removal of what an earlier run left.
    pub fn of_leftover(subject: &Subject<'_>, leftover: &Leftover) -> Self {
        let derived = base_name(subject.name, subject.uid, leftover.run);
        Self {
            names: Names::new(&leftover.cluster, &leftover.stream_name, &leftover.base_name),
            owner: subject.owner(leftover.run),
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
        let verdict = match &state.service {
            Observed::Absent => return note_gone(resources, index, step),
            Observed::Present(seen) if seen.state == ServiceState::Inactive => {
                return note_gone(resources, index, step);
            }
            Observed::Present(seen) => {
                let tags = Observed::Present(seen.tags.clone());
                let verdict = self.judge(&tags, resources, index, step);
                if seen.state == ServiceState::Draining {
                    return;
                }
                verdict
            }
            Observed::Unread => return,
            Observed::Refused(error) => self.judge_unseen(error, resources, index),
        };
        carry_out(verdict, type_, [delete()], step);
    }

    /// It goes last of what the service has, when the service is gone.
    fn remove_ceiling(&self, state: &ObservedState, resources: &mut Vec<ResourceStatus>, step: &mut Step) {
        let Names { cluster, service, .. } = &self.names;
        let type_ = ResourceType::ScalingCeiling;
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
        let delete = Effect::DeleteCeiling { cluster: cluster.clone(), service: service.clone() };
        let verdict = match &state.ceiling {
            Observed::Absent => return note_gone(resources, index, step),
            Observed::Present(_) => Verdict::Remove,
            Observed::Unread => return,
            Observed::Refused(error) => self.judge_unseen(error, resources, index),
        };
        carry_out(verdict, type_, [delete], step);
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
                let verdict = self.judge(&tags, resources, index, step);
                let deregister = Effect::DeregisterTaskDefinition { arn: seen.arn.clone() };
                carry_out(verdict, type_, [deregister], step);
            }
            (Observed::Absent, Observed::Present(inactive)) if inactive.is_empty() => {
                note_gone(resources, index, step);
            }
            (Observed::Absent, Observed::Present(inactive)) => {
                // A family's deregistered revisions have the tags that they had; its name is ours alone.
                let delete = inactive.iter().map(|arn| Effect::DeleteTaskDefinition { arn: arn.clone() });
                carry_out(Verdict::Remove, type_, delete, step);
            }
            (Observed::Refused(error), _) | (_, Observed::Refused(error)) => {
                match (self.judge_unseen(error, resources, index), known) {
                    (verdict @ Verdict::RemoveUnseen, Some(arn)) => {
                        carry_out(verdict, type_, both(arn), step);
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
        let verdict = match &state.parameter {
            Observed::Absent => return note_gone(resources, index, step),
            // A renewal that meets a parameter just deleted by hand makes it anew, without tags
            // (PutParameter takes none when it overwrites): what we wrote says whose it is.
            Observed::Present(held) if self.names_are_derived && self.wrote(held.as_ref()) => Verdict::Remove,
            Observed::Present(_) => self.judge(&state.parameter_tags, resources, index, step),
            Observed::Unread => return,
            Observed::Refused(error) => self.judge_unseen(error, resources, index),
        };
        carry_out(verdict, type_, [Effect::DeleteParameter { name: self.names.parameter.clone() }], step);
    }

    fn remove_log_group(&self, state: &ObservedState, resources: &mut Vec<ResourceStatus>, step: &mut Step) {
        let type_ = ResourceType::LogGroup;
        let Some(index) = present(resources, type_) else { return };
        let verdict = match &state.log_group {
            Observed::Absent => return note_gone(resources, index, step),
            Observed::Present(_) => self.judge(&state.log_group_tags, resources, index, step),
            Observed::Unread => return,
            Observed::Refused(error) => self.judge_unseen(error, resources, index),
        };
        carry_out(verdict, type_, [Effect::DeleteLogGroup { name: self.names.log_group.clone() }], step);
    }

    fn remove_stream(&self, state: &ObservedState, resources: &mut Vec<ResourceStatus>, step: &mut Step) {
        let type_ = ResourceType::Stream;
        let Some(index) = present(resources, type_) else { return };
        match &state.stream {
            Observed::Absent => note_gone(resources, index, step),
            // The run's own was deleted by somebody: this one is theirs, whatever tags it has.
            Observed::Present(seen) if is_later(self.stream_created_at, seen.created_at) => {
                step.notices.push(Notice::left_alone(type_, &seen.arn));
                note_gone(resources, index, step);
            }
            Observed::Present(seen) => {
                let verdict = self.judge(&state.stream_tags, resources, index, step);
                match (verdict, self.retain_stream) {
                    (Verdict::Leave, _) => {}
                    (verdict, false) => {
                        let is_told = |held: &ResourceStatus| {
                            held.problem.as_ref().is_some_and(|problem| problem.contains("queues:"))
                        };
                        if seen.queues > 0 && !resources.get(index).is_some_and(is_told) {
                            let problem = format!("it has {} queues: delete them first", seen.queues);
                            note_problem(resources, index, &problem);
                        }
                        delete_stream(verdict, seen, step);
                    }
                    (_, true) => retain_stream(seen, resources, index, step),
                }
            }
            Observed::Unread => {}
            Observed::Refused(error) => {
                let known =
                    resources.get(index).map(|held| held.arn.clone()).filter(|arn| arn.starts_with("arn:"));
                match (self.judge_unseen(error, resources, index), known) {
                    (verdict @ Verdict::RemoveUnseen, Some(arn)) if !self.retain_stream => {
                        carry_out(verdict, type_, [Effect::DeleteStream { arn }], step);
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
        let verdict = match &state.dashboard {
            Observed::Absent => return note_gone(resources, index, step),
            Observed::Present(()) if self.names_are_derived => Verdict::Remove,
            Observed::Present(()) => {
                return note_problem(resources, index, "its name is not this object's");
            }
            Observed::Unread => return,
            Observed::Refused(_) if self.names_are_derived => Verdict::RemoveUnseen,
            Observed::Refused(error) => return note_problem(resources, index, &error.to_string()),
        };
        carry_out(verdict, type_, [Effect::DeleteDashboard { name: self.names.dashboard.clone() }], step);
    }

    /// Whether a thing with these tags may be removed. A foreign one is struck from the list; one that
    /// was ours and has lost its tag stays on it, for somebody to look at.
    fn judge(
        &self,
        tags: &Observed<Tags>,
        resources: &mut Vec<ResourceStatus>,
        index: usize,
        step: &mut Step,
    ) -> Verdict {
        let Some(held) = resources.get_mut(index) else { return Verdict::Leave };
        match tags {
            Observed::Present(tags) if self.owner.owns(tags) => {
                held.owned = true;
                Verdict::Remove
            }
            Observed::Present(_) if held.owned => {
                held.problem = Some(format!(
                    "it no longer carries the tag {} of this object; tag it again, or remove it by hand",
                    crate::aws::OWNER_TAG
                ));
                Verdict::Leave
            }
            Observed::Present(_) => {
                step.notices.push(Notice::left_alone(held.type_, &held.arn));
                resources.remove(index);
                Verdict::Leave
            }
            Observed::Refused(error) => self.judge_unseen(error, resources, index),
            Observed::Absent | Observed::Unread => Verdict::Leave,
        }
    }

    /// Whether a thing may be removed that could not be looked at. The caller has checked the account.
    fn judge_unseen(&self, error: &AwsError, resources: &mut [ResourceStatus], index: usize) -> Verdict {
        let Some(held) = resources.get_mut(index) else { return Verdict::Leave };
        let is_users_stream = held.type_ == ResourceType::Stream && self.stream_is_named_by_user;
        if self.names_are_derived && held.owned && !is_users_stream {
            return Verdict::RemoveUnseen;
        }
        held.problem = Some(error.to_string());
        Verdict::Leave
    }
}

/// The removals of a stage in which the run ends.
pub(super) fn decide_cleaning_up(case: &Case<'_>, state: &ObservedState, mut draft: Draft) -> Draft {
    let timings = case.timings;
    note_stream(case, state, &mut draft);
    let removal = Removal {
        last_document: case.subject.status.control.as_ref().map(|control| case.document(control)),
        ..Removal::of_run(&case.subject, case.run.number, case.effective)
    };
    let step = removal.step(state, &mut draft.status.resources);
    note_step(step, &mut draft);
    if draft
        .status
        .resources
        .iter()
        .all(|held| held.type_ != ResourceType::Dashboard || held.state != ResourceState::Present)
    {
        draft.status.dashboard = None;
    }
    if !draft.status.resources.iter().any(|held| held.state == ResourceState::Present) {
        note_released(&mut draft);
        return match draft.status.has_leftovers() {
            false => draft.over(case.now),
            true => {
                let message = left_message(&draft.status);
                draft.over_with_leftovers(message, case.now)
            }
        };
    }
    let message = left_message(&draft.status);
    if case.now >= case.run.stage_entered_at + timings.cleanup_timeout {
        return draft.over_with_leftovers(message, case.now).wait_until(case.now + Duration::from_secs(1));
    }
    if let Some(message) = foreign_account(&case.effective.account_id, state) {
        return draft.block(Reason::AccountNotAllowed, message, Some(case.now + timings.renew_every));
    }
    draft.found(ConditionType::CleanedUp, ConditionStatus::False, Reason::ResourcesPresent, message.clone());
    draft.progress(message);
    draft.wait_until(case.now + timings.poll_every)
}

/// What a run that is over still removes: its own resources, then those of runs before it, one run at
/// a time. `state` is what was seen of the run that `removal` is about.
pub fn decide_leftovers(
    subject: &Subject<'_>,
    removal: &Removal,
    state: &ObservedState,
    now: MicroTime,
) -> Decision {
    let mut draft = Draft::new(subject.status);
    let step = match draft.status.leftovers.iter_mut().find(|held| held.run == removal.owner.run) {
        Some(leftover) => {
            draft.leftover_run = Some(leftover.run);
            removal.step(state, &mut leftover.resources)
        }
        None => removal.step(state, &mut draft.status.resources),
    };
    note_step(step, &mut draft);
    draft
        .status
        .leftovers
        .retain(|leftover| leftover.resources.iter().any(|held| held.state == ResourceState::Present));
    if !draft.status.has_leftovers() {
        draft.found(ConditionType::CleanedUp, ConditionStatus::True, Reason::NothingLeft, "");
        note_released(&mut draft);
        return draft.wait_until(now + Duration::from_secs(1)).finish(subject, now);
    }
    let message = left_message(&draft.status);
    draft.found(ConditionType::CleanedUp, ConditionStatus::False, Reason::RemovalFailed, message);
    let finished_at = subject.status.run.as_ref().and_then(|run| run.finished_at).unwrap_or(now);
    let pause = if now.since(finished_at) < SOON { RETRY_SOON } else { RETRY_LATER };
    draft.wait_until(now + pause).finish(subject, now)
}

fn note_step(step: Step, draft: &mut Draft) {
    let Step { effects, unseen, notices } = step;
    draft.effects.extend(effects);
    draft.unseen.extend(unseen);
    draft.notices.extend(notices);
}

fn note_released(draft: &mut Draft) {
    for type_ in [ConditionType::StreamReady, ConditionType::WarmThroughputReady] {
        draft.found(type_, ConditionStatus::False, Reason::Released, "the run is over");
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
        step.notices.push(Notice::removed(held.type_, &held.arn));
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
    verdict: Verdict,
    type_: ResourceType,
    effects: impl IntoIterator<Item = Effect>,
    step: &mut Step,
) {
    match verdict {
        Verdict::Leave => return,
        Verdict::Remove => {}
        Verdict::RemoveUnseen => {
            step.unseen.insert(type_);
        }
    }
    step.effects.extend(effects);
}

/// A stream can be deleted once it is ACTIVE; until then there is nothing to do but wait.
fn delete_stream(verdict: Verdict, seen: &StreamSeen, step: &mut Step) {
    if seen.state == StreamState::Active {
        let delete = Effect::DeleteStream { arn: seen.arn.clone() };
        carry_out(verdict, ResourceType::Stream, [delete], step);
    }
}

/// A stream that stays gives its warm throughput back: with On-demand Advantage it costs nothing by
/// itself, but it keeps the account from leaving Advantage.
fn retain_stream(seen: &StreamSeen, resources: &mut [ResourceStatus], index: usize, step: &mut Step) {
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

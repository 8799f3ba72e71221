//! Builds a decision. In: the findings, effects and Events of a stage. Out: a decision whose
//! conditions agree with its stage.

use std::collections::BTreeSet;
use std::time::Duration;

use kinesis_demo_api::conditions::{self, ConditionStatus, ConditionType, Finding, Reason};
use kinesis_demo_api::status::{Outcome, ResourceState, ResourceStatus, ResourceType, RunStatus, Stage};
use kinesis_demo_api::{KinesisDemoStatus, MicroTime};

use super::{Decision, Effect, FinalizerChange, ObjectContext, Wake};
use crate::aws::AwsError;
use crate::kubernetes::events::RunEvent;
use crate::reconcile::next_step::with_next_step;

/// A decision that is being built.
pub struct DecisionBuilder {
    pub status: KinesisDemoStatus,
    pub effects: Vec<Effect>,
    pub run_events: Vec<RunEvent>,
    pub finalizer: FinalizerChange,
    pub unseen: BTreeSet<ResourceType>,
    pub leaked_run: Option<u32>,
    findings: Vec<Finding>,
    blocked: Option<(Reason, String)>,
    progress: String,
    /// Why the run waits, if the stage does not say it.
    reason: Option<Reason>,
    keeps_summary: bool,
    wake: Option<MicroTime>,
}

impl DecisionBuilder {
    /// A decision that changes nothing yet.
    pub fn new(status: &KinesisDemoStatus) -> Self {
        Self {
            status: status.clone(),
            effects: Vec::new(),
            run_events: Vec::new(),
            finalizer: FinalizerChange::Keep,
            unseen: BTreeSet::new(),
            leaked_run: None,
            findings: Vec::new(),
            blocked: None,
            progress: String::new(),
            reason: None,
            keeps_summary: false,
            wake: None,
        }
    }

    /// Adds a condition.
    pub fn found(
        &mut self,
        type_: ConditionType,
        status: ConditionStatus,
        reason: Reason,
        message: impl Into<String>,
    ) {
        self.findings.push(Finding::new(type_, status, reason, message));
    }

    /// Sets the message that says what the run waits for.
    pub fn progress(&mut self, message: impl Into<String>) {
        self.progress = message.into();
    }

    /// Keeps the summarising conditions as they are: this decision is not about them.
    pub fn keep_summary(&mut self) {
        self.keeps_summary = true;
    }

    /// AWS refused a call. Adds an Event if the error is new.
    pub fn refused(&mut self, reason: Reason, error: &AwsError) {
        let message = error.to_string();
        let known = conditions::find(&self.status.conditions, ConditionType::Reconciling)
            .is_some_and(|condition| condition.reason == reason && condition.message == message);
        if !known {
            self.run_events.push(RunEvent::refused(reason, error));
        }
        self.progress = message;
        self.reason = Some(reason);
    }

    /// The run waits for other members of its cohort.
    pub fn wait_for_cohort(&mut self, message: String) {
        self.reason = Some(Reason::WaitingForCohort);
        self.progress = message;
    }

    /// Other runs come first. Adds no Event: with a thousand queued objects, each would cost a
    /// write.
    pub fn queue(&mut self, message: String) {
        self.reason = Some(Reason::Queued);
        self.progress = message;
    }

    /// Nothing happens until someone acts. Reconciles again at `recheck_at`.
    pub fn block(mut self, reason: Reason, message: String, recheck_at: Option<MicroTime>) -> Self {
        let known =
            conditions::find(&self.status.conditions, ConditionType::Stalled).is_some_and(|condition| {
                condition.status == ConditionStatus::True
                    && condition.reason == reason
                    && condition.message == message
            });
        if !known {
            self.run_events.push(RunEvent::blocked(reason, &message));
        }
        self.blocked = Some((reason, message));
        self.wake = recheck_at;
        self
    }

    /// Reconciles again at `at` at the latest.
    pub fn wake_at(&mut self, at: MicroTime) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    /// Reconciles again at `at` at the latest, and returns the builder, for a stage that waits.
    pub fn wait_until(mut self, at: MicroTime) -> Self {
        self.wake_at(at);
        self
    }

    /// Moves the run to `stage`. The next reconcile does the work of the stage, once this is
    /// stored.
    pub fn enter(&mut self, stage: Stage, now: MicroTime, detail: &str) {
        if self.status.stage == Some(stage) {
            return;
        }
        self.status.stage = Some(stage);
        if let Some(run) = &mut self.status.run {
            run.stage_entered_at = now;
            self.run_events.push(RunEvent::entered(run.number, stage, detail));
        }
        self.progress = detail.to_owned();
        self.wake_at(now + Duration::from_secs(1));
    }

    /// Decides the outcome of the run, and starts to end it: traffic first.
    pub fn end(self, outcome: Outcome, reason: Reason, message: impl Into<String>, now: MicroTime) -> Self {
        let message = match outcome {
            Outcome::Failed => with_next_step(reason, &message.into()),
            Outcome::Succeeded | Outcome::Aborted => message.into(),
        };
        let mut builder = self.decided(outcome, reason, message.clone());
        builder.enter(Stage::Draining, now, &message);
        builder
    }

    /// Decides the outcome of the run, if it is not decided yet.
    pub fn decided(mut self, outcome: Outcome, reason: Reason, message: String) -> Self {
        if let Some(run) = &mut self.status.run
            && run.outcome.is_none()
        {
            run.outcome = Some(outcome);
            run.reason = Some(reason);
            run.message = Some(message.clone());
            self.run_events.push(RunEvent::decided(run.number, outcome, reason, &message));
        }
        self
    }

    /// The run has ended with the decided outcome, and nothing of it is left or was ever created.
    pub fn over(mut self, now: MicroTime) -> Self {
        self.found(ConditionType::CleanedUp, ConditionStatus::True, Reason::NothingLeft, "");
        self.finish_run(now);
        self
    }

    /// The run has ended, but some resources could not be removed. The object keeps its finalizer.
    pub fn over_with_leaked_resources(mut self, message: String, now: MicroTime) -> Self {
        self.run_events.push(RunEvent::removal_failed(self.status.run_number(), &message));
        self.found(ConditionType::CleanedUp, ConditionStatus::False, Reason::RemovalFailed, message);
        self.finish_run(now);
        self
    }

    fn finish_run(&mut self, now: MicroTime) {
        let run = self.status.run.as_ref();
        let outcome = run.and_then(|run| run.outcome).unwrap_or(Outcome::Aborted);
        let detail = run.and_then(|run| run.message.clone()).unwrap_or_default();
        self.enter(outcome.stage(), now, &detail);
        if let Some(run) = &mut self.status.run {
            run.finished_at = Some(now);
        }
    }

    /// Records the state of one of the run's resources.
    pub fn resource(&mut self, type_: ResourceType, arn: &str, state: ResourceState) {
        if let (ResourceType::Stream, ResourceState::Deleted, Some(stream)) =
            (type_, state, &mut self.status.stream)
        {
            stream.set_deleted();
        }
        match self.status.resources.iter_mut().find(|resource| resource.type_ == type_) {
            Some(resource) => {
                if resource.state != state && state == ResourceState::Deleted {
                    self.run_events.push(RunEvent::removed(type_, &resource.arn));
                }
                // For a deleted resource the known ARN is kept: it says more than the name.
                if state != ResourceState::Deleted {
                    arn.clone_into(&mut resource.arn);
                }
                resource.state = state;
                if state != ResourceState::Present {
                    resource.problem = None;
                }
            }
            None => {
                let new = ResourceStatus {
                    type_,
                    arn: arn.to_owned(),
                    state,
                    owned: false,
                    warm_released: false,
                    problem: None,
                };
                self.status.resources.push(new);
                self.status.resources.sort_by_key(|resource| resource.type_);
            }
        }
    }

    /// Records that our owner tag was read on one of the run's resources.
    pub fn owned(&mut self, type_: ResourceType) {
        for resource in self.status.resources.iter_mut().filter(|resource| resource.type_ == type_) {
            resource.owned = true;
        }
    }

    /// Completes the decision.
    pub fn finish(mut self, object: &ObjectContext<'_>, now: MicroTime) -> Decision {
        if !self.keeps_summary {
            self.findings.extend(summary(&self.status, self.blocked.as_ref(), self.reason, &self.progress));
        }
        self.status.observed_generation = object.generation;
        self.status.conditions =
            conditions::updated(&self.status.conditions, &self.findings, object.generation, now);
        Decision {
            status: self.status,
            effects: self.effects,
            run_events: self.run_events,
            finalizer: self.finalizer,
            wake: self.wake.map_or(Wake::OnChange, Wake::At),
            unseen: self.unseen,
            leaked_run: self.leaked_run,
        }
    }
}

/// The five conditions that summarise the stage.
fn summary(
    status: &KinesisDemoStatus,
    blocked: Option<&(Reason, String)>,
    reason: Option<Reason>,
    progress: &str,
) -> Vec<Finding> {
    use ConditionStatus::{False, True, Unknown};
    use ConditionType::{Finished, Ready, Reconciling, Stalled, Succeeded};

    let stage = status.stage.unwrap_or_default();
    let reason = reason.unwrap_or_else(|| stage_reason(stage));
    let message = match (stage.is_terminal(), &status.run) {
        (true, Some(RunStatus { message: Some(message), .. })) => message.clone(),
        _ => progress.to_owned(),
    };
    let all = |ready, reconciling, stalled, finished, succeeded| {
        [
            (Ready, ready),
            (Reconciling, reconciling),
            (Stalled, stalled),
            (Finished, finished),
            (Succeeded, succeeded),
        ]
        .map(|(type_, status)| Finding::new(type_, status, reason, message.clone()))
        .to_vec()
    };
    if let Some((why, text)) = blocked {
        return [
            (Ready, False),
            (Reconciling, False),
            (Stalled, True),
            (Finished, False),
            (Succeeded, Unknown),
        ]
        .map(|(type_, status)| Finding::new(type_, status, *why, text.clone()))
        .to_vec();
    }
    match stage {
        Stage::Pending | Stage::Provisioning | Stage::Warming | Stage::Starting => {
            all(False, True, False, False, Unknown)
        }
        Stage::Running => all(True, False, False, False, Unknown),
        Stage::Draining | Stage::CleaningUp => all(False, True, False, False, Unknown),
        Stage::Succeeded => all(True, False, False, True, True),
        Stage::Failed => all(False, False, True, True, False),
        Stage::Aborted => all(True, False, False, True, False),
    }
}

fn stage_reason(stage: Stage) -> Reason {
    match stage {
        Stage::Pending => Reason::Pending,
        Stage::Provisioning => Reason::Provisioning,
        Stage::Warming => Reason::Warming,
        Stage::Starting => Reason::Starting,
        Stage::Running => Reason::Running,
        Stage::Draining => Reason::Draining,
        Stage::CleaningUp => Reason::CleaningUp,
        Stage::Succeeded => Reason::Succeeded,
        Stage::Failed => Reason::Failed,
        Stage::Aborted => Reason::Aborted,
    }
}

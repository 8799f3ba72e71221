//! A decision in the making. In: findings, effects and notices as a stage comes upon them. Out: a decision whose conditions
//! agree with its stage.

use std::time::Duration;

use kinesis_demo_api::conditions::{self, ConditionStatus, ConditionType, Finding, Reason};
use kinesis_demo_api::status::{Outcome, ResourceState, ResourceStatus, ResourceType, RunStatus, Stage};
use kinesis_demo_api::{KinesisDemoStatus, MicroTime};

use super::{Decision, Effect, FinalizerChange, Subject, Wake};
use crate::run::notices::Notice;

/// A decision in the making.
pub struct Draft {
    pub status: KinesisDemoStatus,
    pub effects: Vec<Effect>,
    pub notices: Vec<Notice>,
    pub finalizer: FinalizerChange,
    findings: Vec<Finding>,
    blocked: Option<(Reason, String)>,
    progress: String,
    /// Waits for its turn.
    queued: bool,
    wake: Option<MicroTime>,
}

impl Draft {
    /// Nothing decided yet.
    pub fn new(status: &KinesisDemoStatus) -> Self {
        Self {
            status: status.clone(),
            effects: Vec::new(),
            notices: Vec::new(),
            finalizer: FinalizerChange::Keep,
            findings: Vec::new(),
            blocked: None,
            progress: String::new(),
            queued: false,
            wake: None,
        }
    }

    /// Notes what holds.
    pub fn found(
        &mut self,
        type_: ConditionType,
        status: ConditionStatus,
        reason: Reason,
        message: impl Into<String>,
    ) {
        self.findings.push(Finding::new(type_, status, reason, message));
    }

    /// Says what is being waited for.
    pub fn progress(&mut self, message: impl Into<String>) {
        self.progress = message.into();
    }

    /// Says that other runs come first.
    pub fn queue(&mut self, message: String) {
        let known = conditions::find(&self.status.conditions, ConditionType::Reconciling)
            .is_some_and(|held| held.reason == Reason::Queued);
        if !known {
            self.notices.push(Notice::queued(&message));
        }
        self.queued = true;
        self.progress = message;
    }

    /// Nothing will happen until somebody acts; looks again at `recheck_at`.
    pub fn block(mut self, reason: Reason, message: String, recheck_at: Option<MicroTime>) -> Self {
        let known = conditions::find(&self.status.conditions, ConditionType::Stalled).is_some_and(|held| {
            held.status == ConditionStatus::True && held.reason == reason && held.message == message
        });
        if !known {
            self.notices.push(Notice::blocked(reason, &message));
        }
        self.blocked = Some((reason, message));
        self.wake = recheck_at;
        self
    }

    /// Looks again at `at` at the latest.
    pub fn wake_at(&mut self, at: MicroTime) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    /// Looks again at `at` at the latest, and returns the draft: for a stage that waits.
    pub fn wait_until(mut self, at: MicroTime) -> Self {
        self.wake_at(at);
        self
    }

    /// Moves the run to `stage`. The next pass does the stage's work, once this is stored.
    pub fn enter(&mut self, stage: Stage, now: MicroTime, detail: &str) {
        if self.status.stage == Some(stage) {
            return;
        }
        self.status.stage = Some(stage);
        if let Some(run) = &mut self.status.run {
            run.stage_entered_at = now;
            self.notices.push(Notice::entered(run.number, stage, detail));
        }
        self.progress = detail.to_owned();
        self.wake_at(now + Duration::from_secs(1));
    }

    /// Decides how the run ends, and begins to end it: traffic first.
    pub fn end(self, outcome: Outcome, reason: Reason, message: impl Into<String>, now: MicroTime) -> Self {
        let message = message.into();
        let mut draft = self.decided(outcome, reason, message.clone());
        draft.enter(Stage::Draining, now, &message);
        draft
    }

    /// Decides how the run ends, if that is still open.
    pub fn decided(mut self, outcome: Outcome, reason: Reason, message: String) -> Self {
        if let Some(run) = &mut self.status.run
            && run.outcome.is_none()
        {
            run.outcome = Some(outcome);
            run.reason = Some(reason);
            run.message = Some(message.clone());
            self.notices.push(Notice::decided(run.number, outcome, reason, &message));
        }
        self
    }

    /// Nothing of the run is left, or nothing was ever made: it is over, as was decided.
    pub fn over(mut self, now: MicroTime) -> Self {
        self.found(ConditionType::CleanedUp, ConditionStatus::True, Reason::NothingLeft, "");
        let run = self.status.run.as_ref();
        let outcome = run.and_then(|run| run.outcome).unwrap_or(Outcome::Aborted);
        let detail = run.and_then(|run| run.message.clone()).unwrap_or_default();
        self.enter(outcome.stage(), now, &detail);
        if let Some(run) = &mut self.status.run {
            run.finished_at = Some(now);
        }
        self
    }

    /// Notes whether one of the run's resources is there.
    pub fn resource(&mut self, type_: ResourceType, arn: &str, state: ResourceState) {
        match self.status.resources.iter_mut().find(|resource| resource.type_ == type_) {
            Some(resource) => {
                if resource.state != state && state == ResourceState::Deleted {
                    self.notices.push(Notice::removed(type_, &resource.arn));
                }
                // Once gone, the ARN that was known says more than the name.
                if state != ResourceState::Deleted {
                    arn.clone_into(&mut resource.arn);
                }
                resource.state = state;
            }
            None => {
                self.status.resources.push(ResourceStatus { type_, arn: arn.to_owned(), state });
                self.status.resources.sort_by_key(|resource| resource.type_);
            }
        }
    }

    /// The decision.
    pub fn finish(mut self, subject: &Subject<'_>, now: MicroTime) -> Decision {
        self.findings.extend(summary(&self.status, self.blocked.as_ref(), self.queued, &self.progress));
        self.status.observed_generation = subject.generation;
        self.status.conditions =
            conditions::updated(&self.status.conditions, &self.findings, subject.generation, now);
        Decision {
            status: self.status,
            effects: self.effects,
            notices: self.notices,
            finalizer: self.finalizer,
            wake: self.wake.map_or(Wake::OnChange, Wake::At),
        }
    }
}

/// The five conditions that sum the stage up.
fn summary(
    status: &KinesisDemoStatus,
    blocked: Option<&(Reason, String)>,
    queued: bool,
    progress: &str,
) -> Vec<Finding> {
    use ConditionStatus::{False, True, Unknown};
    use ConditionType::{Finished, Ready, Reconciling, Stalled, Succeeded};

    let stage = status.stage.unwrap_or_default();
    let reason = if queued { Reason::Queued } else { stage_reason(stage) };
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

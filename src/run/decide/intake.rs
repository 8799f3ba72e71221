//! What comes before any stage: the first visit, a request, a deletion, the deadline, an edit. In: the object. Out: a
//! decision if one of these settles the pass, without a look at AWS.

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::plan::filled;
use kinesis_demo_api::request::{LastRequest, Request, RequestOutcome, Verb};
use kinesis_demo_api::status::{Outcome, PastRun, RunStatus, Stage};
use kinesis_demo_api::{KinesisDemoStatus, MicroTime};

use super::{Decision, Draft, FinalizerChange, Subject};
use crate::run::notices::Notice;

/// How many runs the history keeps.
const HISTORY: usize = 5;

/// The status before anything has happened: every condition is set.
pub fn first_visit(now: MicroTime) -> KinesisDemoStatus {
    fresh(1, now, KinesisDemoStatus::default())
}

/// The first pass stores what is known before anything is looked at: every tool that waits sees all conditions at once.
pub fn decide_first_visit(subject: &Subject<'_>, now: MicroTime) -> Decision {
    Draft::new(subject.status).wait_until(now).finish(subject, now)
}

fn fresh(number: u32, now: MicroTime, held: KinesisDemoStatus) -> KinesisDemoStatus {
    use ConditionStatus::{False, Unknown};
    use ConditionType::{
        CleanedUp, Finished, GeneratorsReady, SpecAccepted, StreamReady, Succeeded, WarmThroughputReady,
    };
    let findings = [
        (Finished, False),
        (Succeeded, Unknown),
        (SpecAccepted, Unknown),
        (StreamReady, Unknown),
        (WarmThroughputReady, Unknown),
        (GeneratorsReady, Unknown),
        (CleanedUp, Unknown),
    ]
    .map(|(type_, status)| kinesis_demo_api::conditions::Finding::new(type_, status, Reason::NotStarted, ""));
    KinesisDemoStatus {
        stage: Some(Stage::Pending),
        run: Some(RunStatus {
            number,
            stage_entered_at: now,
            started_at: None,
            ends_at: None,
            deadline_at: None,
            quiet_at: None,
            finished_at: None,
            outcome: None,
            reason: None,
            message: None,
            effective: None,
        }),
        conditions: kinesis_demo_api::conditions::updated(
            &held.conditions,
            &findings,
            held.observed_generation,
            now,
        ),
        observed_generation: held.observed_generation,
        last_request: held.last_request,
        history: held.history,
        ..KinesisDemoStatus::default()
    }
}

/// Settles the pass if something other than the stage's work comes first.
pub fn intake(subject: &Subject<'_>, now: MicroTime) -> Option<Decision> {
    let stage = subject.status.stage?;
    if subject.deleting {
        if let Some(draft) = deletion(subject, stage, now) {
            return Some(draft.finish(subject, now));
        }
    } else if let Some(draft) = request(subject, stage, now) {
        return Some(draft.finish(subject, now));
    }
    if stage.is_terminal() && subject.has_finalizer {
        // Nothing of the run is left, so nothing needs us any more: an operator that goes must not keep a namespace from going.
        let mut draft = Draft::new(subject.status);
        draft.finalizer = FinalizerChange::Remove;
        return Some(draft.finish(subject, now));
    }
    deadline(subject, stage, now)
        .or_else(|| edit(subject, stage, now))
        .map(|draft| draft.finish(subject, now))
}

/// A deleted object ends like an aborted one, and goes when nothing is left.
fn deletion(subject: &Subject<'_>, stage: Stage, now: MicroTime) -> Option<Draft> {
    let mut draft = Draft::new(subject.status);
    if subject.abandon && subject.has_finalizer {
        let left = subject.status.present_resources();
        draft.notices.push(Notice::abandoned(&left.join(", ")));
        draft.finalizer = FinalizerChange::Remove;
        return Some(draft);
    }
    if stage == Stage::Pending || stage.is_terminal() {
        if subject.has_finalizer {
            draft.finalizer = FinalizerChange::Remove;
        }
        return Some(draft);
    }
    let undecided = subject.status.run.as_ref().is_some_and(|run| run.outcome.is_none());
    undecided.then(|| draft.end(Outcome::Aborted, Reason::ObjectDeleted, "the object was deleted", now))
}

fn request(subject: &Subject<'_>, stage: Stage, now: MicroTime) -> Option<Draft> {
    let text = subject.request?;
    let last = subject.status.last_request.as_ref();
    let parsed = Request::parse(text);
    let id = match &parsed {
        Ok(request) => request.id.clone(),
        // An unreadable request has no id; its text names it, so that it is answered once.
        Err(_) => text.chars().take(64).collect(),
    };
    if last.is_some_and(|last| last.id == id) {
        return None;
    }
    let number = subject.status.run.as_ref().map_or(1, |run| run.number);
    let answer = |accepted: bool, verb, message: String| LastRequest {
        id: id.clone(),
        verb,
        outcome: if accepted { RequestOutcome::Accepted } else { RequestOutcome::Refused },
        message,
        at: now,
    };
    let refuse = |verb, message: String| {
        let mut draft = Draft::new(subject.status);
        draft.notices.push(Notice::request_answered(false, &message));
        draft.status.last_request = Some(answer(false, verb, message));
        draft.wake_at(now + std::time::Duration::from_secs(1));
        Some(draft)
    };
    let request = match parsed {
        Ok(request) => request,
        Err(problem) => return refuse(None, problem),
    };
    let verb = Some(request.verb);
    if request.run.is_some_and(|run| run != number) {
        return refuse(
            verb,
            format!("the request is for run {}, this is run {number}", request.run.unwrap_or_default()),
        );
    }
    let decided = subject.status.run.as_ref().is_some_and(|run| run.outcome.is_some());
    match request.verb {
        Verb::Abort if stage.is_terminal() || decided => {
            refuse(verb, format!("run {number} is over or ending already ({stage})"))
        }
        Verb::Abort => {
            let message = format!("run {number} was aborted on request");
            let mut draft = Draft::new(subject.status);
            draft.notices.push(Notice::request_answered(true, &message));
            draft.status.last_request = Some(answer(true, verb, message.clone()));
            Some(match stage {
                // Nothing was made yet, so there is nothing to drain.
                Stage::Pending => draft.decided(Outcome::Aborted, Reason::AbortRequested, message).over(now),
                _ => draft.end(Outcome::Aborted, Reason::AbortRequested, message, now),
            })
        }
        Verb::Rerun if !stage.is_terminal() => {
            refuse(verb, format!("run {number} is not over yet ({stage}); abort it first, or wait"))
        }
        Verb::Rerun => {
            let message = format!("run {} begins", number + 1);
            let mut held = subject.status.clone();
            held.history = history(subject.status);
            let mut draft = Draft::new(&fresh(number + 1, now, held));
            draft.notices.push(Notice::request_answered(true, &message));
            draft.status.last_request = Some(answer(true, verb, message));
            draft.wake_at(now + std::time::Duration::from_secs(1));
            Some(draft)
        }
    }
}

/// The runs so far, the one that is over now first.
fn history(status: &KinesisDemoStatus) -> Vec<PastRun> {
    let past = status.run.as_ref().and_then(|run| {
        Some(PastRun {
            number: run.number,
            outcome: run.outcome?,
            reason: run.reason?,
            started_at: run.started_at,
            finished_at: run.finished_at?,
            books: status.traffic.as_ref().map(|traffic| traffic.books.clone()),
        })
    });
    past.into_iter().chain(status.history.iter().cloned()).take(HISTORY).collect()
}

fn deadline(subject: &Subject<'_>, stage: Stage, now: MicroTime) -> Option<Draft> {
    let run = subject.status.run.as_ref()?;
    let past = run.deadline_at.is_some_and(|deadline_at| now >= deadline_at);
    if !past || run.outcome.is_some() || stage.is_terminal() {
        return None;
    }
    let limit = run
        .effective
        .as_ref()
        .map(|effective| effective.spec.limits.max_duration.to_string())
        .unwrap_or_default();
    let message = format!("limits.maxDuration ({limit}) passed in stage {stage}");
    Some(Draft::new(subject.status).end(Outcome::Failed, Reason::DeadlineExceeded, message, now))
}

/// An edit during a run: what may change is taken over, the rest waits for the next run and says so.
fn edit(subject: &Subject<'_>, stage: Stage, now: MicroTime) -> Option<Draft> {
    if stage == Stage::Pending || subject.deleting || subject.status.observed_generation == subject.generation
    {
        return None;
    }
    let effective = subject.status.run.as_ref()?.effective.as_ref()?;
    let mut accepted = effective.spec.clone();
    accepted.cleanup = subject.spec.cleanup.clone();
    let asked = filled(subject.spec, &subject.settings.defaults);

    let mut draft = Draft::new(subject.status);
    if let Some(held) = draft.status.run.as_mut().and_then(|run| run.effective.as_mut()) {
        held.spec = accepted.clone();
    }
    if accepted == asked {
        draft.found(ConditionType::SpecAccepted, ConditionStatus::True, Reason::Accepted, "");
    } else {
        let message = "only cleanup may change during a run; the other changes are kept for the next one (request rerun)";
        draft.found(ConditionType::SpecAccepted, ConditionStatus::False, Reason::ChangeDeferred, message);
    }
    Some(draft.wait_until(now))
}

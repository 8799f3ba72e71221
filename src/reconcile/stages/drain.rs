//! The end of the traffic: nobody sends any more, everybody finishes what is in flight and says a last word, then the tasks
//! go. Only then is anything removed.

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::status::{ControlStatus, Stage};

use super::control::{publication, stop_is_late};
use super::parameter::outranked;
use super::task_failures::is_being_read;
use super::task_scaling::running;
use super::traffic_status::{note_generators, note_phase, note_traffic};
use super::{Case, Draft, Effect};
use crate::aws::{AwsErrorClass, ServiceState, TaskState};
use crate::reconcile::observe::{Observed, ObservedState};
use crate::reconcile::outcome;

pub(super) fn decide_draining(case: &Case<'_>, state: &ObservedState, mut draft: Draft) -> Draft {
    let timings = case.timings;
    let control = case.subject.status.control.as_ref();
    draft.status.phase = None;
    note_generators(case, state, control, 0, &mut draft);
    draft.wake_at(case.now + timings.poll_every);

    if let Some(control) = control {
        note_phase(case, &case.timeline(control), &mut draft);
        draft.status.phase = None;
        // A parameter that is not there tells nobody to send: it is not made anew.
        if state.parameter.present().is_some() {
            draft.effects.extend(publication(case, control, state));
        }
        // Tasks that obey another document, or that cannot read of the stop, do not stop by ours: the
        // service goes to zero at once.
        let stop_is_not_obeyed = outranked(case, state).is_some() || stop_is_late(case);
        if !stop_is_not_obeyed && !everybody_is_silent(case, state, control) {
            note_traffic(case, state, control, false, &mut draft);
            draft.progress("waiting for what is in flight");
            return draft;
        }
    }

    let out_of_time =
        case.now >= case.run.stage_entered_at + timings.read_lease + timings.drain + timings.stop_timeout();
    if !tasks_are_gone(state) && !out_of_time {
        if state.service.present().is_some_and(|seen| seen.state == ServiceState::Active && seen.desired > 0)
        {
            let arns: Vec<String> = running(state).into_iter().map(|seen| seen.arn.clone()).collect();
            if !arns.is_empty() {
                draft.effects.push(Effect::ReleaseTasks { cluster: case.names.cluster.clone(), arns });
            }
            draft.effects.push(case.resize(0));
        }
        if let Some(control) = control {
            note_traffic(case, state, control, false, &mut draft);
        }
        draft.progress("waiting for the tasks to stop");
        return draft;
    }
    draft.found(
        ConditionType::GeneratorsReady,
        ConditionStatus::False,
        Reason::Released,
        "all tasks have stopped",
    );
    let quiet_at = case.run.quiet_at.unwrap_or(case.now);
    if let Some(run) = &mut draft.status.run {
        run.quiet_at = Some(quiet_at);
    }
    match control {
        Some(control) => settle(case, state, control, quiet_at, draft),
        None => enter_cleanup(case, draft),
    }
}

/// Whether neither the service nor any task is left that could run; a refused look does not say so.
fn tasks_are_gone(state: &ObservedState) -> bool {
    let service_is_empty = match &state.service {
        Observed::Absent => true,
        Observed::Present(seen) => {
            seen.state != ServiceState::Active
                || (seen.desired == 0 && seen.running == 0 && seen.pending == 0)
        }
        Observed::Unread | Observed::Refused(_) => false,
    };
    let all_stopped =
        state.tasks.present().is_some_and(|tasks| tasks.iter().all(|task| task.state == TaskState::Stopped));
    service_is_empty && all_stopped
}

/// Whether every running task has said its last word since the traffic stopped, or has had the time to.
fn everybody_is_silent(case: &Case<'_>, state: &ObservedState, control: &ControlStatus) -> bool {
    let timings = case.timings;
    if case.now >= control.effective_at + timings.read_lease + timings.drain {
        return true;
    }
    let (Some(ledgers), Some(_)) = (state.ledgers.present(), state.tasks.present()) else { return false };
    let stopped_at = case.traffic_ends_at(control).min(control.effective_at);
    control.assignments.iter().filter(|held| running(state).iter().any(|seen| seen.id == held.task)).all(
        |held| {
            // A tenure that ended earlier was followed by a last word of its own.
            let spoke_after = held.until.map_or(stopped_at, |until| until.min(stopped_at));
            ledgers.of(&held.task).is_some_and(|line| line.is_final && line.at >= spoke_after)
        },
    )
}

/// Closes the totals once every task's last word is in, or cannot come any more.
fn settle(
    case: &Case<'_>,
    state: &ObservedState,
    control: &ControlStatus,
    quiet_at: MicroTime,
    mut draft: Draft,
) -> Draft {
    let timings = case.timings;
    let give_up_at = quiet_at + timings.log_delay + timings.log_patience;
    let (ledgers, log_is_lost) = match &state.ledgers {
        Observed::Present(ledgers) => (ledgers, false),
        // What is still there costs money. A log that is gone does not come back.
        Observed::Refused(why) if why.class == AwsErrorClass::NotFound => (&state.known_ledgers, true),
        _ if case.now >= give_up_at => (&state.known_ledgers, true),
        _ => {
            draft.progress("reading the tasks' log");
            return draft;
        }
    };
    let everybody_spoke = control.assignments.iter().all(|held| {
        // Of a slot that was called off before it counted, the last word came before it, too.
        let spoke_after = held.from.min(control.effective_at);
        ledgers.of(&held.task).is_some_and(|line| line.is_final && line.at >= spoke_after)
    });
    let in_time = case.now < quiet_at + timings.log_delay;
    let settled = log_is_lost || !in_time || everybody_spoke;
    note_traffic(case, state, control, settled, &mut draft);
    if !settled {
        draft.progress("waiting for the last words of the tasks");
        return draft;
    }
    if let Some(traffic) = &draft.status.traffic {
        let totals = traffic.books.clone();
        outcome::note_delivery(&totals, log_is_lost && !everybody_spoke, &mut draft);
    }
    enter_cleanup(case, draft)
}

fn enter_cleanup(case: &Case<'_>, mut draft: Draft) -> Draft {
    // The log group goes next: `note_failures` waits for the end of the log no longer than some of its delays.
    if is_being_read(&draft.status) {
        draft.progress("reading the log of a task that failed");
        return draft;
    }
    if let Some(traffic) = &mut draft.status.traffic {
        traffic.set_rate(None);
    }
    draft.enter(Stage::CleaningUp, case.now, "");
    draft
}

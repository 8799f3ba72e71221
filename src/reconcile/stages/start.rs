//! Sizes the service for the beginning of the schedule. When its tasks run, the first version of the control document is
//! claimed: the phase clock starts with ready capacity, never with an API call.

use kinesis_demo_api::conditions::Reason;
use kinesis_demo_api::control::TaskId;
use kinesis_demo_api::status::{Outcome, Stage};
use kinesis_demo_api::timeline::Timeline;

use super::control::first_claim;
use super::task_failures::failure_clause;
use super::task_scaling::{running, tasks_needed};
use super::traffic_status::{note_generators, note_phase, note_stream};
use super::{Case, Draft, refusal_clause};
use crate::aws::ServiceState;
use crate::reconcile::observe::{Observed, ObservedState};
use crate::reconcile::run_event::Notice;

pub(super) fn decide_starting(case: &Case<'_>, state: &ObservedState, mut draft: Draft) -> Draft {
    let timings = case.timings;
    let needed = tasks_needed(case, &Timeline::new(&case.plan.phases, case.now, &[]), state);
    note_stream(case, state, &mut draft);
    note_generators(case, state, None, needed, &mut draft);

    let service = match &state.service {
        Observed::Present(seen) if seen.state == ServiceState::Active => Some(seen),
        Observed::Present(_) | Observed::Absent => {
            let message = format!("service {} has disappeared", case.names.service);
            return draft.end(Outcome::Failed, Reason::ServiceGone, message, case.now);
        }
        Observed::Unread | Observed::Refused(_) => None,
    };
    let ready: Vec<TaskId> =
        running(state).into_iter().take(needed as usize).map(|seen| seen.id.clone()).collect();
    let out_of_time = case.now >= case.run.stage_entered_at + timings.start_timeout;
    if ready.len() >= needed as usize || (out_of_time && !ready.is_empty()) {
        let control = first_claim(case, &ready);
        note_phase(case, &case.timeline(&control), &mut draft);
        draft.status.phase = None;
        draft.notices.push(Notice::slots_changed(ready.len(), control.version));
        draft.status.control = Some(control);
        draft.enter(Stage::Running, case.now, "");
        return draft;
    }
    let event = service.and_then(|seen| seen.last_event.as_deref());
    let said = event.map(|event| format!("; ECS says: {event}")).unwrap_or_default();
    let (failure, refused) = (failure_clause(&draft.status), refusal_clause(case, state));
    let message = format!("{} of {needed} tasks run{failure}{said}{refused}", ready.len());
    if out_of_time {
        let message = format!("no task ran within {} s: {message}", timings.start_timeout.as_secs());
        return draft.end(Outcome::Failed, Reason::StartTimeout, message, case.now);
    }
    if let Some(service) = service
        && service.desired != needed
    {
        draft.effects.push(case.resize(needed));
        draft.notices.push(Notice::resized(service.desired, needed));
    }
    draft.progress(message);
    draft.wait_until(case.now + timings.poll_every)
}

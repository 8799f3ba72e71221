//! Traffic flows. Keeps control alive, the fleet ahead of the schedule, the totals up to date; ends
//! the traffic when the schedule does, or when what it needs is gone.

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::accounting::{Folding, MAX_ASSIGNMENTS};
use kinesis_demo_api::conditions::{self, ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::control::ControlState;
use kinesis_demo_api::status::{ControlStatus, Outcome};
use kinesis_demo_api::timeline::Timeline;

use super::control::{ControlUpdate, change_slots, control_update, longer_interval, may_change, publication};
use super::parameter::{Outranked, ParameterState, outranked, parameter_state, was_displaced};
use super::task_scaling::{holders, resize, silent_tasks, tasks_needed, wanted_holders, wanted_size};
use super::traffic_status::{
    clock_message, note_generators, note_phase, note_short_fleet, note_stream, note_traffic,
};
use super::{Case, Draft};
use crate::aws::{ClockSkew, ServiceState, StreamState};
use crate::reconcile::observe::{Observed, ObservedState};
use crate::reconcile::run_event::Notice;

pub(super) fn decide_running(case: &Case<'_>, state: &ObservedState, mut draft: Draft) -> Draft {
    let timings = case.timings;
    let Some(control) = &case.subject.status.control else {
        return draft.end(
            Outcome::Failed,
            Reason::StartTimeout,
            "the claims on the control document are lost",
            case.now,
        );
    };
    let timeline = case.timeline(control);
    let needed = tasks_needed(case, &timeline, state);
    note_stream(case, state, &mut draft);
    note_generators(case, state, Some(control), needed, &mut draft);
    note_phase(case, &timeline, &mut draft);
    note_short_fleet(case, &timeline, &mut draft);
    note_traffic(case, state, control, false, &mut draft);

    let ends_at = timeline.ends_at().unwrap_or(case.now);
    let parameter = parameter_state(case, control, state);
    // What was not sent because nobody led comes later, also if that was until after the schedule's end.
    if case.now >= ends_at && !lapsed_before(case, control, &parameter, ends_at) {
        // A clock that was set ends the schedule for us, not for the tasks: their totals judge it.
        let skew = state.clock_skew.and_then(ClockSkew::differs);
        let doubt = skew.map(|differs| format!(", though {}", clock_message(&differs))).unwrap_or_default();
        let message = format!("the schedule is complete{doubt}");
        return draft.end(Outcome::Succeeded, Reason::Completed, message, case.now);
    }
    if let Some((reason, message)) = lost(case, state, &mut draft) {
        return draft.end(Outcome::Failed, reason, message, case.now);
    }
    if let (Some(outranked), Some(true)) = (outranked(case, state), state.leads) {
        let message = overwritten_message(case, outranked);
        return draft.end(Outcome::Failed, Reason::ControlOverwritten, message, case.now);
    }
    if was_displaced(case, state) && !matches!(parameter, ParameterState::Foreign(_)) {
        draft.notices.push(Notice::control_put_back(&case.names.parameter, control.version));
    }
    let update = control_update(case, control, &parameter);
    if let ControlUpdate::GiveUp(too_many) = update {
        return draft.end(Outcome::Failed, Reason::TooManyInterruptions, too_many.to_string(), case.now);
    }
    let fleet = Fleet { control, timeline: &timeline, parameter: &parameter, needed };
    put_back_ceiling(case, state, &mut draft);
    control_and_fleet(case, state, &fleet, update, &mut draft);
    if draft.status.control.as_ref().is_some_and(|claim| claim.assignments.len() > MAX_ASSIGNMENTS) {
        draft.status.control = Some(control.clone());
        let message = format!(
            "tasks changed so often that more than {MAX_ASSIGNMENTS} changes of slots are to be accounted for"
        );
        return draft.end(Outcome::Failed, Reason::TooManyInterruptions, message, case.now);
    }
    draft.wake_at(timeline.next_boundary(case.now).unwrap_or(ends_at));
    draft.wait_until(case.now + timings.poll_every)
}

/// Whether the tasks stopped before the schedule's end because no document was valid any longer.
fn lapsed_before(
    case: &Case<'_>,
    control: &ControlStatus,
    parameter: &ParameterState,
    ends_at: MicroTime,
) -> bool {
    let known = case.known.map(|known| &known.document).filter(|known| known.state == ControlState::Run);
    let held = match parameter {
        ParameterState::Published(held) | ParameterState::Ahead(held) => Some(held),
        ParameterState::Unpublished(held) => held.as_ref(),
        ParameterState::Unknown | ParameterState::Foreign(_) => None,
    };
    let published = held.into_iter().chain(known).map(|document| document.valid_until).max();
    published.unwrap_or(control.valid_until) < ends_at
}

/// What is said of a document that outranks ours though we lead.
fn overwritten_message(case: &Case<'_>, outranked: Outranked) -> String {
    let parameter = &case.names.parameter;
    let (found, held) = match outranked {
        Outranked::ByParameter(held) => {
            (format!("somebody wrote parameter {parameter}: it holds version"), held)
        }
        Outranked::ByTask(held) => {
            (format!("somebody wrote parameter {parameter}: tasks obey version"), held)
        }
    };
    format!(
        "{found} {} of epoch {}, and the Lease says that this operator leads under epoch {}",
        held.version, held.epoch, case.subject.epoch
    )
}

/// What the fleet is made to agree with.
struct Fleet<'a> {
    control: &'a ControlStatus,
    timeline: &'a Timeline,
    parameter: &'a ParameterState,
    needed: u32,
}

/// When the record of slots is folded: well before its bound, since a change of slots may add two
/// entries for each task.
const FOLD_ABOVE: usize = MAX_ASSIGNMENTS / 2;

/// The claims with a shorter record of slots, if it has become long and the log is read to its end.
fn folded(
    case: &Case<'_>,
    state: &ObservedState,
    control: &ControlStatus,
    timeline: &Timeline,
) -> Option<ControlStatus> {
    let timings = case.timings;
    let ledgers = state.ledgers.present().filter(|_| control.assignments.len() > FOLD_ABOVE)?;
    let evidence = case.evidence(control, timeline, ledgers, timings.ledger_every, case.now);
    let settled_before = case.now - (timings.log_delay + timings.ledger_every * 5);
    let Folding { assignments, folded } = evidence.fold(settled_before);
    Some(ControlStatus { assignments, folded, ..control.clone() })
}

fn control_and_fleet(
    case: &Case<'_>,
    state: &ObservedState,
    fleet: &Fleet<'_>,
    update: ControlUpdate,
    draft: &mut Draft,
) {
    let Fleet { control, timeline, parameter, needed } = *fleet;
    if let Some((index, window)) = timeline.phase_at(case.now) {
        draft.progress(format!("phase {} ({} of {})", window.name, index + 1, timeline.phases.len()));
    }
    let mut claimed = false;
    if let (ControlUpdate::Stand, Some(seconds)) = (&update, longer_interval(case, control, parameter))
        && let Some(load) = draft.status.run.as_mut().and_then(|run| run.load.as_mut())
    {
        load.read_every_seconds = seconds;
        claimed = true;
    }
    match update {
        ControlUpdate::GiveUp(_) => {}
        ControlUpdate::Wait => {
            if let ParameterState::Foreign(held) = parameter {
                draft.progress(format!(
                "parameter {} holds a document of epoch {}, this operator writes under epoch {}: another may lead, so nothing is written",
                case.names.parameter, held.epoch, case.subject.epoch
            ));
            }
        }
        ControlUpdate::Claim(claim, moved) => {
            // Told once: while nothing can be written, each further claim prolongs the same stop.
            let begins = claim.stops.last().filter(|_| claim.stops.len() > control.stops.len());
            if let Some(stop) = begins.filter(|_| !moved.is_zero()) {
                draft.notices.push(Notice::control_lapsed(stop.from));
            }
            draft.status.control = Some(*claim);
            claimed = true;
        }
        ControlUpdate::Stand => {
            let publication = publication(case, control, state);
            // The version that ends a stop: now its whole length is known.
            let ended = control.stops.last().filter(|stop| {
                stop.until == control.effective_at
                    && publication.is_some()
                    && !matches!(parameter, ParameterState::Published(_))
            });
            draft.notices.extend(ended.copied().map(Notice::schedule_moved));
            draft.effects.extend(publication);
        }
    }
    let silent = silent_tasks(case, control, timeline, state);
    if !claimed
        && may_change(case, control, parameter)
        && let Some(wanted) = wanted_holders(case, control, timeline, state, needed, &silent)
    {
        let shorter = folded(case, state, control, timeline);
        let claim = change_slots(case, shorter.as_ref().unwrap_or(control), &wanted);
        let replaced = silent.iter().filter(|task| !wanted.iter().any(|(_, held)| held == *task)).count();
        if replaced > 0 {
            draft.notices.push(Notice::silent_tasks_replaced(&silent, claim.version));
            if let Some(generators) = &mut draft.status.generators {
                generators.replaced =
                    generators.replaced.saturating_add(u32::try_from(replaced).unwrap_or(u32::MAX));
            }
        }
        draft.notices.push(Notice::slots_changed(wanted.len(), claim.version));
        draft.status.control = Some(claim);
    }
    // A silent task goes only once another has its slot.
    let still_silent = holders(control).iter().filter(|(_, task)| silent.contains(task)).count();
    let wanted_tasks = needed.saturating_add(u32::try_from(still_silent).unwrap_or(0));
    if let Some(size) = wanted_size(case, control, parameter, state, wanted_tasks, needed) {
        draft.notices.push(Notice::resized(state.service.present().map_or(0, |seen| seen.desired), size));
        draft.effects.extend(resize(case, control, state, size));
    }
}

/// What the traffic cannot go on without, and that is gone. One look may err: the second one decides.
fn lost(case: &Case<'_>, state: &ObservedState, draft: &mut Draft) -> Option<(Reason, String)> {
    let names = case.names;
    let stream = match &state.stream {
        Observed::Absent => Some(format!("stream {} was deleted while the traffic ran", names.stream)),
        Observed::Present(seen) if case.is_another_stream(seen) => Some(format!(
            "stream {} was deleted while the traffic ran, and somebody made another of that name",
            names.stream
        )),
        Observed::Present(seen) if seen.state == StreamState::Deleting => {
            Some(format!("stream {} is being deleted while the traffic runs", names.stream))
        }
        _ => None,
    };
    let service = match &state.service {
        Observed::Absent => Some(format!("service {} was deleted while the traffic ran", names.service)),
        Observed::Present(seen) if seen.state != ServiceState::Active => {
            Some(format!("service {} is being deleted while the traffic runs", names.service))
        }
        _ => None,
    };
    let losses = [
        (stream, ConditionType::StreamReady, Reason::StreamGone),
        (service, ConditionType::GeneratorsReady, Reason::ServiceGone),
    ];
    let mut decided = None;
    for (message, type_, reason) in losses {
        let Some(message) = message else { continue };
        let seen_before = conditions::find(&case.subject.status.conditions, type_)
            .is_some_and(|held| held.reason == Reason::Lost);
        draft.found(type_, ConditionStatus::False, Reason::Lost, message.clone());
        if seen_before && decided.is_none() {
            decided = Some((reason, message));
        }
    }
    decided
}

/// The scheduled scale-to-zero is what stops paying tasks if everything of ours dies.
fn put_back_ceiling(case: &Case<'_>, state: &ObservedState, draft: &mut Draft) {
    let at = MicroTime::from(case.deadline_at.whole_second());
    let is_there = match &state.ceiling {
        Observed::Unread | Observed::Refused(_) => return,
        Observed::Absent => false,
        Observed::Present(seen) => seen.target && seen.action_at == Some(at),
    };
    if is_there {
        return;
    }
    draft.notices.push(Notice::ceiling_put_back(&case.names.service));
    draft.effects.push(case.put_ceiling());
}

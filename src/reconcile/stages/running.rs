//! While traffic runs: keeps the control document valid, scales the service ahead of the schedule
//! and updates the totals. Ends the traffic with the schedule, or when a resource that it needs was
//! deleted.

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::accounting::{Folding, MAX_ASSIGNMENTS};
use kinesis_demo_api::conditions::{self, ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::control::ControlState;
use kinesis_demo_api::status::{ControlStatus, Outcome};
use kinesis_demo_api::timeline::Timeline;

use super::control::{ControlUpdate, change_slots, control_update, longer_interval, may_change, publication};
use super::parameter::{Outranked, ParameterState, outranked, parameter_state, was_displaced};
use super::task_scaling::{desired_holders, desired_size, holders, resize, silent_tasks, tasks_needed};
use super::traffic_status::{
    clock_message, note_generators, note_phase, note_stream, note_task_shortage, note_traffic,
};
use super::{DecisionBuilder, RunContext};
use crate::aws::{ClockSkew, ServiceState, StreamState};
use crate::kubernetes::events::RunEvent;
use crate::reconcile::observe::{Observed, ObservedState};

pub(super) fn decide_running(
    ctx: &RunContext<'_>,
    state: &ObservedState,
    mut builder: DecisionBuilder,
) -> DecisionBuilder {
    let timings = ctx.timings;
    let Some(control) = &ctx.object.status.control else {
        return builder.end(
            Outcome::Failed,
            Reason::StartTimeout,
            "the claims on the control document (status.control) are missing",
            ctx.now,
        );
    };
    let timeline = ctx.timeline(control);
    let needed = tasks_needed(ctx, &timeline, state);
    note_stream(ctx, state, &mut builder);
    note_generators(ctx, state, Some(control), needed, &mut builder);
    note_phase(ctx, control, &timeline, &mut builder);
    note_task_shortage(ctx, &timeline, &mut builder);
    note_traffic(ctx, state, control, false, &mut builder);

    let ends_at = timeline.ends_at().unwrap_or(ctx.now);
    let parameter = parameter_state(ctx, control, state);
    // Records that were not sent for lack of a leader are sent later, even if that time lasted
    // beyond the end of the schedule.
    if ctx.now >= ends_at && !lapsed_before(ctx, control, &parameter, ends_at) {
        // A clock that was set ends the schedule for the operator, but not for the tasks. Their
        // totals decide the outcome.
        let skew = state.clock_skew.and_then(ClockSkew::differs);
        let doubt = skew.map(|differs| format!(", though {}", clock_message(&differs))).unwrap_or_default();
        let message = format!("the schedule is complete{doubt}");
        return builder.end(Outcome::Succeeded, Reason::Completed, message, ctx.now);
    }
    if let Some((reason, message)) = lost(ctx, state, &mut builder) {
        return builder.end(Outcome::Failed, reason, message, ctx.now);
    }
    if let (Some(outranked), Some(true)) = (outranked(ctx, state), state.leads) {
        let message = overwritten_message(ctx, outranked);
        return builder.end(Outcome::Failed, Reason::ControlOverwritten, message, ctx.now);
    }
    if was_displaced(ctx, state) && !matches!(parameter, ParameterState::Foreign(_)) {
        builder.run_events.push(RunEvent::control_restored(&ctx.names.parameter, control.version));
    }
    let update = control_update(ctx, control, &parameter);
    if let ControlUpdate::GiveUp(too_many) = update {
        return builder.end(Outcome::Failed, Reason::TooManyInterruptions, too_many.to_string(), ctx.now);
    }
    if let Some(message) = misses_start(ctx, control, &update) {
        return builder.end(Outcome::Failed, Reason::CohortStartMissed, message, ctx.now);
    }
    let scaling = TaskScaling { control, timeline: &timeline, parameter: &parameter, needed };
    restore_scale_to_zero(ctx, state, &mut builder);
    publish_and_scale(ctx, state, &scaling, update, &mut builder);
    if builder.status.control.as_ref().is_some_and(|claim| claim.assignments.len() > MAX_ASSIGNMENTS) {
        builder.status.control = Some(control.clone());
        let message = format!(
            "tasks changed so often that status cannot record all slot changes (at most {MAX_ASSIGNMENTS})"
        );
        return builder.end(Outcome::Failed, Reason::TooManyInterruptions, message, ctx.now);
    }
    builder.wake_at(timeline.next_boundary(ctx.now).unwrap_or(ends_at));
    builder.wait_until(ctx.now + timings.poll_every)
}

/// Why a run cannot start with its cohort, if its first version could not be published in time. A
/// run without a cohort starts later instead.
fn misses_start(ctx: &RunContext<'_>, control: &ControlStatus, update: &ControlUpdate) -> Option<String> {
    let cohort = ctx.run.cohort.as_ref()?;
    let ControlUpdate::Claim(claim, _) = update else { return None };
    (claim.traffic_starts_at != control.traffic_starts_at).then(|| {
        format!(
            "cohort {}: the control document could not be published in time to start with the other members at {}",
            cohort.name, control.traffic_starts_at
        )
    })
}

/// Whether the tasks stopped before the end of the schedule because their document had expired.
fn lapsed_before(
    ctx: &RunContext<'_>,
    control: &ControlStatus,
    parameter: &ParameterState,
    ends_at: MicroTime,
) -> bool {
    let known = ctx.known.map(|known| &known.document).filter(|known| known.state == ControlState::Run);
    let document = match parameter {
        ParameterState::Published(document) | ParameterState::Ahead(document) => Some(document),
        ParameterState::Unpublished(document) => document.as_ref(),
        ParameterState::Unknown | ParameterState::Foreign(_) => None,
    };
    let published = document.into_iter().chain(known).map(|document| document.valid_until).max();
    published.unwrap_or(control.valid_until) < ends_at
}

/// The message for a document that outranks ours although we lead.
fn overwritten_message(ctx: &RunContext<'_>, outranked: Outranked) -> String {
    let parameter = &ctx.names.parameter;
    let (found, version) = match outranked {
        Outranked::ByParameter(version) => {
            (format!("someone else wrote parameter {parameter}: it contains version"), version)
        }
        Outranked::ByTask(version) => {
            (format!("someone else wrote parameter {parameter}: tasks follow version"), version)
        }
    };
    format!(
        "{found} {} of epoch {}, but the Lease says that this operator leads under epoch {}",
        version.version, version.epoch, ctx.object.epoch
    )
}

/// The inputs for publishing and scaling.
struct TaskScaling<'a> {
    control: &'a ControlStatus,
    timeline: &'a Timeline,
    parameter: &'a ParameterState,
    needed: u32,
}

/// The number of slot assignments above which they are folded: well below the maximum, because a
/// slot change may add two entries per task.
const FOLD_ABOVE: usize = MAX_ASSIGNMENTS / 2;

/// The claims with folded slot assignments, if there are many of them and the log was read
/// completely.
fn folded(
    ctx: &RunContext<'_>,
    state: &ObservedState,
    control: &ControlStatus,
    timeline: &Timeline,
) -> Option<ControlStatus> {
    let timings = ctx.timings;
    let ledgers = state.ledgers.present().filter(|_| control.assignments.len() > FOLD_ABOVE)?;
    let accounting_inputs = ctx.accounting_inputs(control, timeline, ledgers, timings.ledger_every, ctx.now);
    let settled_before = ctx.now - (timings.log_delay + timings.ledger_every * 5);
    let Folding { assignments, folded } = accounting_inputs.fold(settled_before);
    Some(ControlStatus { assignments, folded, ..control.clone() })
}

fn publish_and_scale(
    ctx: &RunContext<'_>,
    state: &ObservedState,
    scaling: &TaskScaling<'_>,
    update: ControlUpdate,
    builder: &mut DecisionBuilder,
) {
    let TaskScaling { control, timeline, parameter, needed } = *scaling;
    if let Some((index, window)) = timeline.phase_at(ctx.now) {
        builder.progress(format!("phase {} ({} of {})", window.name, index + 1, timeline.phases.len()));
    }
    let mut claimed = false;
    if let (ControlUpdate::Stand, Some(seconds)) = (&update, longer_interval(ctx, control, parameter))
        && let Some(load) = builder.status.run.as_mut().and_then(|run| run.load.as_mut())
    {
        load.read_every_seconds = seconds;
        claimed = true;
    }
    match update {
        ControlUpdate::GiveUp(_) => {}
        ControlUpdate::Wait => {
            if let ParameterState::Foreign(document) = parameter {
                builder.progress(format!(
                "parameter {} contains a document of epoch {}, but this operator writes under epoch {}: another operator may lead, so nothing is written",
                ctx.names.parameter, document.epoch, ctx.object.epoch
            ));
            }
        }
        ControlUpdate::Claim(claim, moved) => {
            // Reported once: while nothing can be written, each further claim extends the same
            // interruption.
            let new_interruption = claim
                .interruptions
                .last()
                .filter(|_| claim.interruptions.len() > control.interruptions.len());
            if let Some(interruption) = new_interruption.filter(|_| !moved.is_zero()) {
                builder.run_events.push(RunEvent::control_lapsed(interruption.from));
            }
            builder.status.control = Some(*claim);
            claimed = true;
        }
        ControlUpdate::Stand => {
            let publication = publication(ctx, control, state);
            // The version that ends an interruption: now its whole length is known.
            let ended = control.interruptions.last().filter(|interruption| {
                interruption.until == control.effective_at
                    && publication.is_some()
                    && !matches!(parameter, ParameterState::Published(_))
            });
            builder.run_events.extend(ended.copied().map(RunEvent::schedule_moved));
            builder.effects.extend(publication);
        }
    }
    let silent = silent_tasks(ctx, control, timeline, state);
    if !claimed
        && may_change(ctx, control, parameter)
        && let Some(desired) = desired_holders(ctx, control, timeline, state, needed, &silent)
    {
        let shorter = folded(ctx, state, control, timeline);
        let claim = change_slots(ctx, shorter.as_ref().unwrap_or(control), &desired);
        let replaced =
            silent.iter().filter(|task| !desired.iter().any(|(_, holder)| holder == *task)).count();
        if replaced > 0 {
            builder.run_events.push(RunEvent::silent_tasks_replaced(&silent, claim.version));
            if let Some(generators) = &mut builder.status.generators {
                generators.replaced =
                    generators.replaced.saturating_add(u32::try_from(replaced).unwrap_or(u32::MAX));
            }
        }
        builder.run_events.push(RunEvent::slots_changed(desired.len(), claim.version));
        builder.status.control = Some(claim);
    }
    // A silent task is stopped only after another task has its slot.
    let still_silent = holders(control).iter().filter(|(_, task)| silent.contains(task)).count();
    let tasks = needed.saturating_add(u32::try_from(still_silent).unwrap_or(0));
    if let Some(size) = desired_size(ctx, control, parameter, state, tasks, needed) {
        builder
            .run_events
            .push(RunEvent::resized(state.service.present().map_or(0, |seen| seen.desired), size));
        builder.effects.extend(resize(ctx, control, state, size));
    }
}

/// A resource that the traffic needs and that no longer exists. One read may be wrong, so a second
/// read decides.
fn lost(
    ctx: &RunContext<'_>,
    state: &ObservedState,
    builder: &mut DecisionBuilder,
) -> Option<(Reason, String)> {
    let names = ctx.names;
    let stream = match &state.stream {
        Observed::Absent => Some(format!("stream {} was deleted while the traffic ran", names.stream)),
        Observed::Present(seen) if ctx.is_another_stream(seen) => Some(format!(
            "stream {} was deleted while the traffic ran, and someone created another one with that name",
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
        (stream, ConditionType::StreamReady, Reason::StreamDeleted),
        (service, ConditionType::GeneratorsReady, Reason::ServiceDeleted),
    ];
    let mut decided = None;
    for (message, type_, reason) in losses {
        let Some(message) = message else { continue };
        let seen_before = conditions::find(&ctx.object.status.conditions, type_)
            .is_some_and(|condition| condition.reason == Reason::Lost);
        builder.found(type_, ConditionStatus::False, Reason::Lost, message.clone());
        if seen_before && decided.is_none() {
            decided = Some((reason, message));
        }
    }
    decided
}

/// Restores the scheduled scale-to-zero: it stops the tasks, and their cost, if everything of ours
/// fails.
fn restore_scale_to_zero(ctx: &RunContext<'_>, state: &ObservedState, builder: &mut DecisionBuilder) {
    let at = MicroTime::from(ctx.deadline_at.whole_second());
    let is_there = match &state.scale_to_zero {
        Observed::Unread | Observed::Refused(_) => return,
        Observed::Absent => false,
        Observed::Present(seen) => seen.target && seen.action_at == Some(at),
    };
    if is_there {
        return;
    }
    builder.run_events.push(RunEvent::scale_to_zero_restored(&ctx.names.service));
    builder.effects.push(ctx.put_scheduled_scale_to_zero());
}

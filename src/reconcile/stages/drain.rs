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
use super::{DecisionBuilder, Effect, RunContext};
use crate::aws::{AwsErrorClass, ServiceState, TaskState};
use crate::reconcile::observe::{Observed, ObservedState};
use crate::reconcile::outcome;

pub(super) fn decide_draining(
    ctx: &RunContext<'_>,
    state: &ObservedState,
    mut builder: DecisionBuilder,
) -> DecisionBuilder {
    let timings = ctx.timings;
    let control = ctx.object.status.control.as_ref();
    builder.status.phase = None;
    note_generators(ctx, state, control, 0, &mut builder);
    builder.wake_at(ctx.now + timings.poll_every);

    if let Some(control) = control {
        note_phase(ctx, &ctx.timeline(control), &mut builder);
        builder.status.phase = None;
        // A parameter that is not there tells nobody to send: it is not made anew.
        if state.parameter.present().is_some() {
            builder.effects.extend(publication(ctx, control, state));
        }
        // Tasks that obey another document, or that cannot read of the stop, do not stop by ours: the
        // service goes to zero at once.
        let stop_is_not_obeyed = outranked(ctx, state).is_some() || stop_is_late(ctx);
        if !stop_is_not_obeyed && !everybody_is_silent(ctx, state, control) {
            note_traffic(ctx, state, control, false, &mut builder);
            builder.progress("waiting for what is in flight");
            return builder;
        }
    }

    let out_of_time =
        ctx.now >= ctx.run.stage_entered_at + timings.read_lease + timings.drain + timings.stop_timeout();
    if !tasks_are_gone(state) && !out_of_time {
        if state.service.present().is_some_and(|seen| seen.state == ServiceState::Active && seen.desired > 0)
        {
            let arns: Vec<String> = running(state).into_iter().map(|seen| seen.arn.clone()).collect();
            if !arns.is_empty() {
                builder.effects.push(Effect::ReleaseTasks { cluster: ctx.names.cluster.clone(), arns });
            }
            builder.effects.push(ctx.resize(0));
        }
        if let Some(control) = control {
            note_traffic(ctx, state, control, false, &mut builder);
        }
        builder.progress("waiting for the tasks to stop");
        return builder;
    }
    builder.found(
        ConditionType::GeneratorsReady,
        ConditionStatus::False,
        Reason::Released,
        "all tasks have stopped",
    );
    let tasks_stopped_at = ctx.run.tasks_stopped_at.unwrap_or(ctx.now);
    if let Some(run) = &mut builder.status.run {
        run.tasks_stopped_at = Some(tasks_stopped_at);
    }
    match control {
        Some(control) => settle(ctx, state, control, tasks_stopped_at, builder),
        None => enter_cleanup(ctx, builder),
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
fn everybody_is_silent(ctx: &RunContext<'_>, state: &ObservedState, control: &ControlStatus) -> bool {
    let timings = ctx.timings;
    if ctx.now >= control.effective_at + timings.read_lease + timings.drain {
        return true;
    }
    let (Some(ledgers), Some(_)) = (state.ledgers.present(), state.tasks.present()) else { return false };
    let stopped_at = ctx.traffic_ends_at(control).min(control.effective_at);
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
    ctx: &RunContext<'_>,
    state: &ObservedState,
    control: &ControlStatus,
    tasks_stopped_at: MicroTime,
    mut builder: DecisionBuilder,
) -> DecisionBuilder {
    let timings = ctx.timings;
    let give_up_at = tasks_stopped_at + timings.log_delay + timings.log_patience;
    let (ledgers, log_is_lost) = match &state.ledgers {
        Observed::Present(ledgers) => (ledgers, false),
        // What is still there costs money. A log that is gone does not come back.
        Observed::Refused(why) if why.class == AwsErrorClass::NotFound => (&state.known_ledgers, true),
        _ if ctx.now >= give_up_at => (&state.known_ledgers, true),
        _ => {
            builder.progress("reading the tasks' log");
            return builder;
        }
    };
    let everybody_spoke = control.assignments.iter().all(|held| {
        // Of a slot that was called off before it counted, the last word came before it, too.
        let spoke_after = held.from.min(control.effective_at);
        ledgers.of(&held.task).is_some_and(|line| line.is_final && line.at >= spoke_after)
    });
    let in_time = ctx.now < tasks_stopped_at + timings.log_delay;
    let settled = log_is_lost || !in_time || everybody_spoke;
    note_traffic(ctx, state, control, settled, &mut builder);
    if !settled {
        builder.progress("waiting for the last words of the tasks");
        return builder;
    }
    if let Some(traffic) = &builder.status.traffic {
        let totals = traffic.totals.clone();
        outcome::note_delivery(&totals, log_is_lost && !everybody_spoke, &mut builder);
    }
    enter_cleanup(ctx, builder)
}

fn enter_cleanup(ctx: &RunContext<'_>, mut builder: DecisionBuilder) -> DecisionBuilder {
    // The log group goes next: `note_failures` waits for the end of the log no longer than some of its delays.
    if is_being_read(&builder.status) {
        builder.progress("reading the log of a task that failed");
        return builder;
    }
    if let Some(traffic) = &mut builder.status.traffic {
        traffic.set_rate(None);
    }
    builder.enter(Stage::CleaningUp, ctx.now, "");
    builder
}

//! The end of the traffic: no task sends any more, every task finishes its requests in flight and
//! writes its final ledger line, and then the tasks stop. Only after that is anything removed.

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::status::{ControlStatus, Stage};

use super::control::{publication, stop_is_late};
use super::outcome;
use super::parameter::outranked;
use super::task_failures::failure_log_is_pending;
use super::task_scaling::running;
use super::traffic_status::{note_generators, note_phase, note_traffic};
use super::{DecisionBuilder, Effect, RunContext};
use crate::aws::{AwsErrorClass, ServiceState, TaskState};
use crate::reconcile::observe::{Observed, ObservedState};

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
        note_phase(ctx, control, &ctx.timeline(control), &mut builder);
        builder.status.phase = None;
        // A missing parameter lets no task send, so it is not created again.
        if state.parameter.present().is_some() {
            builder.effects.extend(publication(ctx, control, state));
        }
        // Tasks that follow another document, or that cannot read the stop, do not stop because of
        // ours. Then the service is scaled to zero at once.
        let stop_is_not_obeyed = outranked(ctx, state).is_some() || stop_is_late(ctx);
        if !stop_is_not_obeyed && !all_tasks_are_done(ctx, state, control) {
            note_traffic(ctx, state, control, false, &mut builder);
            builder.progress("waiting for requests in flight");
            return builder;
        }
    }

    let out_of_time =
        ctx.now >= ctx.run.stage_entered_at + timings.read_lease + timings.drain + timings.stop_timeout();
    if !tasks_have_stopped(state) && !out_of_time {
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

/// Whether neither the service nor any task is left that could run. A refused read proves nothing.
fn tasks_have_stopped(state: &ObservedState) -> bool {
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

/// Whether every running task has written its final ledger line since the traffic stopped, or has
/// had time to.
fn all_tasks_are_done(ctx: &RunContext<'_>, state: &ObservedState, control: &ControlStatus) -> bool {
    let timings = ctx.timings;
    if ctx.now >= control.effective_at + timings.read_lease + timings.drain {
        return true;
    }
    let (Some(ledgers), Some(_)) = (state.ledgers.present(), state.tasks.present()) else { return false };
    let stopped_at = ctx.traffic_ends_at(control).min(control.effective_at);
    control
        .assignments
        .iter()
        .filter(|assignment| running(state).iter().any(|seen| seen.id == assignment.task))
        .all(|assignment| {
            // An assignment that ended earlier was followed by a final ledger line of its own.
            let final_after = assignment.until.map_or(stopped_at, |until| until.min(stopped_at));
            ledgers.of(&assignment.task).is_some_and(|line| line.is_final && line.at >= final_after)
        })
}

/// Settles the totals once every task's final ledger line was read, or none can arrive any more.
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
        // The remaining resources cost money. A deleted log does not come back.
        Observed::Refused(why) if why.class == AwsErrorClass::NotFound => (&state.known_ledgers, true),
        _ if ctx.now >= give_up_at => (&state.known_ledgers, true),
        _ => {
            builder.progress("reading the tasks' log");
            return builder;
        }
    };
    let all_are_final = control.assignments.iter().all(|assignment| {
        // If a slot was cancelled before it took effect, the final ledger line came before that,
        // too.
        let final_after = assignment.from.min(control.effective_at);
        ledgers.of(&assignment.task).is_some_and(|line| line.is_final && line.at >= final_after)
    });
    let in_time = ctx.now < tasks_stopped_at + timings.log_delay;
    let settled = log_is_lost || !in_time || all_are_final;
    note_traffic(ctx, state, control, settled, &mut builder);
    if !settled {
        builder.progress("waiting for the tasks' final ledger lines");
        return builder;
    }
    if let Some(traffic) = &builder.status.traffic {
        let totals = traffic.totals.clone();
        outcome::note_delivery(&totals, log_is_lost && !all_are_final, &mut builder);
    }
    enter_cleanup(ctx, builder)
}

fn enter_cleanup(ctx: &RunContext<'_>, mut builder: DecisionBuilder) -> DecisionBuilder {
    // The log group is deleted next. `note_failures` waits only a few log delays for the end of the
    // log.
    if failure_log_is_pending(&builder.status) {
        builder.progress("reading the log of a task that failed");
        return builder;
    }
    if let Some(traffic) = &mut builder.status.traffic {
        traffic.set_rate(None);
    }
    builder.enter(Stage::CleaningUp, ctx.now, "");
    builder
}

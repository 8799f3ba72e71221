//! Scales the service for the start of the schedule. When its tasks run, the first version of the
//! control document is claimed. So the schedule starts when the capacity is ready, not with an API
//! call.

use kinesis_demo_api::conditions::Reason;
use kinesis_demo_api::control::TaskId;
use kinesis_demo_api::status::{Outcome, Stage};
use kinesis_demo_api::timeline::Timeline;

use super::cohort::{Start, note_not_ready, note_start, start};
use super::control::first_claim;
use super::task_failures::failure_clause;
use super::task_scaling::{running, tasks_needed};
use super::traffic_status::{note_generators, note_phase, note_stream};
use super::{DecisionBuilder, RunContext, refusal_clause};
use crate::aws::ServiceState;
use crate::kubernetes::events::RunEvent;
use crate::reconcile::observe::{Observed, ObservedState};

pub(super) fn decide_starting(
    ctx: &RunContext<'_>,
    state: &ObservedState,
    mut builder: DecisionBuilder,
) -> DecisionBuilder {
    let timings = ctx.timings;
    let needed = tasks_needed(ctx, &Timeline::new(&ctx.plan.phases, ctx.now, &[]), state);
    note_stream(ctx, state, &mut builder);
    note_generators(ctx, state, None, needed, &mut builder);

    let service = match &state.service {
        Observed::Present(seen) if seen.state == ServiceState::Active => Some(seen),
        Observed::Present(_) | Observed::Absent => {
            let message = format!("service {} has disappeared", ctx.names.service);
            return builder.end(Outcome::Failed, Reason::ServiceDeleted, message, ctx.now);
        }
        Observed::Unread | Observed::Refused(_) => None,
    };
    let ready: Vec<TaskId> =
        running(state).into_iter().take(needed as usize).map(|seen| seen.id.clone()).collect();
    let out_of_time = ctx.now >= ctx.run.stage_entered_at + timings.start_timeout;
    if ready.len() >= needed as usize || (out_of_time && !ready.is_empty()) {
        let (starts_at, mut builder) = match start(ctx, builder) {
            Start::At(starts_at, builder) => (starts_at, *builder),
            Start::Not(builder) => return *builder,
        };
        note_start(&mut builder, starts_at, ctx.now);
        let control = first_claim(ctx, &ready, starts_at);
        note_phase(ctx, &control, &ctx.timeline(&control), &mut builder);
        builder.status.phase = None;
        builder.run_events.push(RunEvent::slots_changed(ready.len(), control.version));
        builder.status.control = Some(control);
        builder.enter(Stage::Running, ctx.now, "");
        return builder;
    }
    note_not_ready(&mut builder, ctx.now);
    let event = service.and_then(|seen| seen.last_event.as_deref());
    let ecs_event = event.map(|event| format!("; ECS says: {event}")).unwrap_or_default();
    let (failure, refused) = (failure_clause(&builder.status), refusal_clause(ctx, state));
    let message = format!("{} of {needed} tasks run{failure}{ecs_event}{refused}", ready.len());
    if out_of_time {
        let message = format!("no task ran within {} s: {message}", timings.start_timeout.as_secs());
        return builder.end(Outcome::Failed, Reason::StartTimeout, message, ctx.now);
    }
    if let Some(service) = service
        && service.desired != needed
    {
        builder.effects.push(ctx.resize(needed));
        builder.run_events.push(RunEvent::resized(service.desired, needed));
    }
    builder.progress(message);
    builder.wait_until(ctx.now + timings.poll_every)
}

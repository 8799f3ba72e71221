//! The end of a run. In: what is left of it, as read. Out: what to remove next, and when to stop
//! trying. Every step may be repeated.

mod removal;

use std::time::Duration;

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::status::{ResourceState, ResourceType};
use kinesis_demo_api::{KinesisDemoStatus, MicroTime};

pub use removal::Removal;
use removal::RemovalStep;

use super::traffic_status::note_stream;
use super::{Decision, DecisionBuilder, ObjectContext, RunContext, foreign_account};
use crate::reconcile::observed::ObservedState;

/// How often a finished run retries what it could not remove: soon at first, later less often.
const RETRY_SOON: Duration = Duration::from_secs(60);
const RETRY_LATER: Duration = Duration::from_secs(300);
const SOON_FOR: Duration = Duration::from_secs(3600);

/// The removals of the stage in which the run ends.
pub(super) fn decide_cleaning_up(
    ctx: &RunContext<'_>,
    state: &ObservedState,
    mut builder: DecisionBuilder,
) -> DecisionBuilder {
    let timings = ctx.timings;
    note_stream(ctx, state, &mut builder);
    let last_document = ctx.object.status.control.as_ref().map(|control| ctx.document(control));
    let removal =
        Removal::of_run(&ctx.object, ctx.run.number, ctx.effective).with_last_document(last_document);
    let step = removal.step(state, &mut builder.status.resources);
    note_step(step, &mut builder);
    if builder
        .status
        .resources
        .iter()
        .all(|resource| resource.type_ != ResourceType::Dashboard || resource.state != ResourceState::Present)
    {
        builder.status.dashboard = None;
    }
    if !builder.status.resources.iter().any(|resource| resource.state == ResourceState::Present) {
        note_released(&mut builder);
        return match builder.status.has_leaked_resources() {
            false => builder.over(ctx.now),
            true => {
                let message = left_message(&builder.status);
                builder.over_with_leaked_resources(message, ctx.now)
            }
        };
    }
    let message = left_message(&builder.status);
    if ctx.now >= ctx.run.stage_entered_at + timings.cleanup_timeout {
        return builder
            .over_with_leaked_resources(message, ctx.now)
            .wait_until(ctx.now + Duration::from_secs(1));
    }
    if let Some(message) = foreign_account(&ctx.effective.account_id, state) {
        return builder.block(Reason::AccountNotAllowed, message, Some(ctx.now + timings.renew_every));
    }
    builder.found(
        ConditionType::CleanedUp,
        ConditionStatus::False,
        Reason::ResourcesPresent,
        message.clone(),
    );
    builder.progress(message);
    builder.wait_until(ctx.now + timings.poll_every)
}

/// What a finished run still removes: its own resources, and those of earlier runs, one run at a
/// time. `state` is what was read for the run of `removal`.
pub fn decide_leaked_resources(
    object: &ObjectContext<'_>,
    removal: &Removal,
    state: &ObservedState,
    now: MicroTime,
) -> Decision {
    let mut builder = DecisionBuilder::new(object.status);
    let step = match builder.status.leaked_resources.iter_mut().find(|leaked| leaked.run == removal.run()) {
        Some(leaked) => {
            builder.leaked_run = Some(leaked.run);
            removal.step(state, &mut leaked.resources)
        }
        None => removal.step(state, &mut builder.status.resources),
    };
    note_step(step, &mut builder);
    builder
        .status
        .leaked_resources
        .retain(|leaked| leaked.resources.iter().any(|resource| resource.state == ResourceState::Present));
    if !builder.status.has_leaked_resources() {
        builder.found(ConditionType::CleanedUp, ConditionStatus::True, Reason::NothingLeft, "");
        note_released(&mut builder);
        return builder.wait_until(now + Duration::from_secs(1)).finish(object, now);
    }
    let message = left_message(&builder.status);
    builder.found(ConditionType::CleanedUp, ConditionStatus::False, Reason::RemovalFailed, message);
    let finished_at = object.status.run.as_ref().and_then(|run| run.finished_at).unwrap_or(now);
    let pause = if now.since(finished_at) < SOON_FOR { RETRY_SOON } else { RETRY_LATER };
    builder.wait_until(now + pause).finish(object, now)
}

fn note_step(step: RemovalStep, builder: &mut DecisionBuilder) {
    let RemovalStep { effects, unseen, run_events } = step;
    builder.effects.extend(effects);
    builder.unseen.extend(unseen);
    builder.run_events.extend(run_events);
}

fn note_released(builder: &mut DecisionBuilder) {
    for type_ in [ConditionType::StreamReady, ConditionType::WarmThroughputReady] {
        builder.found(type_, ConditionStatus::False, Reason::Released, "the run is over");
    }
}

/// What is left, why, and what to do about it.
pub fn left_message(status: &KinesisDemoStatus) -> String {
    let left = status.present_resources().join("; ");
    format!("still there: {left}. The operator keeps trying; allow what is refused, or remove it by hand")
}

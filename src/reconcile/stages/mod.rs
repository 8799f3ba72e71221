//! What to do next. In: the object, its plan, the observed state. Out: a decision. Pure: no client,
//! no clock, no randomness.
//!
//! Effects carry out what the stored status already says. New claims are stored first, and a later
//! reconcile carries them out. So a crash between any two lines is harmless.

mod cleanup;
mod cohort;
mod context;
pub mod control;
mod cost;
mod dashboard;
mod decision;
mod decision_builder;
mod drain;
mod effect;
pub mod gathering;
mod outcome;
pub mod parameter;
mod pending;
mod provision;
mod refusals;
mod requests;
mod running;
mod start;
pub mod task_failures;
mod task_scaling;
mod traffic_status;
mod warm;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::conditions::Reason;
use kinesis_demo_api::status::{ControlStatus, Outcome, Stage};

pub use cleanup::{Removal, decide_leaked_resources, left_message};
pub use context::{ObjectContext, RunContext};
pub use cost::cost_of;
pub use dashboard::with_optional_failures;
pub use decision::{Decision, FinalizerChange, Wake};
pub use decision_builder::DecisionBuilder;
pub use effect::Effect;
pub use pending::{
    decide_pending, decide_preflight_refused, decide_queued, decide_refused, decide_unreadable,
};
pub use requests::{decide_before_stage, decide_first_visit, first_visit};

use super::observed::ObservedState;
use crate::aws::AwsError;
use refusals::{foreign_account, refusal_clause, stored_refusal};

/// The next step of a run whose settings are pinned.
pub fn decide(ctx: &RunContext<'_>, state: &ObservedState) -> Decision {
    let mut builder = DecisionBuilder::new(ctx.object.status);
    let stage = ctx.object.status.stage.unwrap_or_default();
    if stage == Stage::Provisioning
        && let Some(message) = foreign_account(&ctx.effective.account_id, state)
    {
        let recheck_at = ctx.now + ctx.timings.renew_every;
        return builder
            .block(Reason::AccountNotAllowed, message, Some(recheck_at))
            .finish(&ctx.object, ctx.now);
    }
    if matches!(stage, Stage::Provisioning | Stage::Warming | Stage::Starting | Stage::Running)
        && let Some((reason, message)) = cohort::broken(ctx)
    {
        return builder.end(Outcome::Failed, reason, message, ctx.now).finish(&ctx.object, ctx.now);
    }
    if matches!(stage, Stage::Provisioning | Stage::Warming | Stage::Starting) {
        read_less_often(ctx, &mut builder);
    }
    let mut builder = match stage {
        Stage::Provisioning => provision::decide_provisioning(ctx, state, builder),
        Stage::Warming => warm::decide_warming(ctx, state, builder),
        Stage::Starting => start::decide_starting(ctx, state, builder),
        Stage::Running => running::decide_running(ctx, state, builder),
        Stage::Draining => drain::decide_draining(ctx, state, builder),
        Stage::CleaningUp => cleanup::decide_cleaning_up(ctx, state, builder),
        Stage::Pending | Stage::Succeeded | Stage::Failed | Stage::Aborted => builder,
    };
    traffic_status::note_clock(state, &mut builder);
    dashboard::show(ctx, &mut builder);
    builder.finish(&ctx.object, ctx.now)
}

/// Before its first version is in effect, a run may switch to a longer interval at any time: its
/// tasks do not send yet.
fn read_less_often(ctx: &RunContext<'_>, builder: &mut DecisionBuilder) {
    if let Some(load) = builder.status.run.as_mut().and_then(|run| run.load.as_mut()) {
        load.read_every_seconds = load.read_every_seconds.max(ctx.desired_read_every);
    }
}

/// A decision that only stores these claims.
pub fn decide_claim(ctx: &RunContext<'_>, control: ControlStatus) -> Decision {
    let mut builder = DecisionBuilder::new(ctx.object.status);
    builder.keep_summary();
    builder.status.control = Some(control);
    builder.wait_until(ctx.now).finish(&ctx.object, ctx.now)
}

/// Nothing is known yet: reconcile again, and write nothing that a first reconcile does not write.
pub fn decide_later(object: &ObjectContext<'_>, at: MicroTime, now: MicroTime) -> Decision {
    let mut builder = DecisionBuilder::new(object.status);
    builder.keep_summary();
    builder.wait_until(at).finish(object, now)
}

/// Nothing to do until something changes.
pub fn decide_nothing(object: &ObjectContext<'_>, now: MicroTime) -> Decision {
    let mut builder = DecisionBuilder::new(object.status);
    builder.keep_summary();
    builder.finish(object, now)
}

/// An invalid request stays invalid. Until the traffic starts, it ends the run. `None` in later
/// stages: there the effect is retried.
pub fn decide_invalid(object: &ObjectContext<'_>, error: &AwsError, now: MicroTime) -> Option<Decision> {
    let stage = object.status.stage.unwrap_or_default();
    matches!(stage, Stage::Provisioning | Stage::Warming | Stage::Starting).then(|| {
        let builder = DecisionBuilder::new(object.status).end(
            Outcome::Failed,
            Reason::RequestRefused,
            error.to_string(),
            now,
        );
        builder.finish(object, now)
    })
}

//! Waits for the stream's warm throughput. Ready is ACTIVE with a target and a current throughput of at least what was asked for.

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::status::{Outcome, Stage};

use super::traffic_status::note_stream;
use super::{DecisionBuilder, Effect, RunContext};
use crate::aws::{StreamState, Warm};
use crate::reconcile::observe::{Observed, ObservedState};

/// How many requests that AWS took may leave the stream's target too low.
const MOST_REQUESTS: u32 = 3;

pub(super) fn decide_warming(
    ctx: &RunContext<'_>,
    state: &ObservedState,
    mut builder: DecisionBuilder,
) -> DecisionBuilder {
    note_stream(ctx, state, &mut builder);
    let timings = ctx.timings;
    let stream = match &state.stream {
        Observed::Present(stream) if !ctx.is_another_stream(stream) => stream,
        Observed::Absent | Observed::Present(_) => {
            let message = format!("stream {} has disappeared", ctx.names.stream);
            return builder.end(Outcome::Failed, Reason::StreamGone, message, ctx.now);
        }
        Observed::Unread | Observed::Refused(_) => {
            if ctx.now >= ctx.run.stage_entered_at + timings.warm_timeout {
                let why = state.stream.refusal().map(ToString::to_string).unwrap_or_default();
                let message = format!(
                    "the stream could not be seen to be warm within {} s: {why}",
                    timings.warm_timeout.as_secs()
                );
                return builder.end(Outcome::Failed, Reason::WarmThroughputTimeout, message, ctx.now);
            }
            return builder.wait_until(ctx.now + timings.poll_every);
        }
    };
    let wanted = ctx.plan.warm_mib_per_second.unwrap_or(0);
    let Warm { target, current } = stream.warm.unwrap_or(Warm { target: 0, current: 0 });
    if stream.state == StreamState::Active && target >= wanted && current >= wanted {
        builder.enter(Stage::Starting, ctx.now, "");
        return builder;
    }
    if ctx.now >= ctx.run.stage_entered_at + timings.warm_timeout {
        let message = format!(
            "warm throughput is at {current} of {wanted} MiB/s after {} s",
            timings.warm_timeout.as_secs()
        );
        return builder.end(Outcome::Failed, Reason::WarmThroughputTimeout, message, ctx.now);
    }
    let requests = builder.status.stream.as_ref().map_or(0, |held| held.warm_requests);
    if stream.state == StreamState::Active && target < wanted && requests >= MOST_REQUESTS {
        let message = format!(
            "AWS took {requests} requests for {wanted} MiB/s of warm throughput, and the stream's target is {target} MiB/s: somebody lowers it, or the account may not have more"
        );
        return builder.end(Outcome::Failed, Reason::WarmThroughputTimeout, message, ctx.now);
    }
    // One mutation of a stream at a time: AWS refuses a second one until the stream is ACTIVE again.
    if stream.state == StreamState::Active && target < wanted {
        builder
            .effects
            .push(Effect::UpdateWarmThroughput { arn: stream.arn.clone(), mib_per_second: wanted });
    }
    let message = format!("warm throughput {current} of {wanted} MiB/s");
    builder.found(
        ConditionType::WarmThroughputReady,
        ConditionStatus::False,
        Reason::Rising,
        message.clone(),
    );
    builder.progress(message);
    builder.wait_until(ctx.now + timings.poll_every)
}

//! Waits for the stream's warm throughput. The stream is ready if it is ACTIVE and its target and
//! current throughput reach the requested value.

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::status::{Outcome, Stage};

use super::cohort::wait_for_streams;
use super::traffic_status::note_stream;
use super::{DecisionBuilder, Effect, RunContext};
use crate::aws::{StreamState, Warm};
use crate::reconcile::observe::{Observed, ObservedState};

/// After this many accepted requests with a target that is still too low, the run fails.
const MAX_REQUESTS: u32 = 3;

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
            return builder.end(Outcome::Failed, Reason::StreamDeleted, message, ctx.now);
        }
        Observed::Unread | Observed::Refused(_) => {
            if ctx.now >= ctx.run.stage_entered_at + timings.warm_timeout {
                let why = state.stream.refusal().map(ToString::to_string).unwrap_or_default();
                let message = format!(
                    "the stream's warm throughput could not be read within {} s: {why}",
                    timings.warm_timeout.as_secs()
                );
                return builder.end(Outcome::Failed, Reason::WarmThroughputTimeout, message, ctx.now);
            }
            return builder.wait_until(ctx.now + timings.poll_every);
        }
    };
    let requested = ctx.plan.warm_mib_per_second.unwrap_or(0);
    let Warm { target, current } = stream.warm.unwrap_or(Warm { target: 0, current: 0 });
    if stream.state == StreamState::Active && target >= requested && current >= requested {
        return match wait_for_streams(ctx, builder) {
            Ok(mut builder) => {
                builder.enter(Stage::Starting, ctx.now, "");
                builder
            }
            Err(waiting) => *waiting,
        };
    }
    if ctx.now >= ctx.run.stage_entered_at + timings.warm_timeout {
        let message = format!(
            "warm throughput is at {current} of {requested} MiB/s after {} s",
            timings.warm_timeout.as_secs()
        );
        return builder.end(Outcome::Failed, Reason::WarmThroughputTimeout, message, ctx.now);
    }
    let requests = builder.status.stream.as_ref().map_or(0, |stream| stream.warm_requests);
    if stream.state == StreamState::Active && target < requested && requests >= MAX_REQUESTS {
        let message = format!(
            "AWS accepted {requests} requests for {requested} MiB/s of warm throughput, but the stream's target is {target} MiB/s: someone lowers it, or the account may not have more"
        );
        return builder.end(Outcome::Failed, Reason::WarmThroughputTimeout, message, ctx.now);
    }
    // One change of a stream at a time: AWS refuses a second one until the stream is ACTIVE again.
    if stream.state == StreamState::Active && target < requested {
        builder
            .effects
            .push(Effect::UpdateWarmThroughput { arn: stream.arn.clone(), mib_per_second: requested });
    }
    let message = format!("warm throughput {current} of {requested} MiB/s");
    builder.found(
        ConditionType::WarmThroughputReady,
        ConditionStatus::False,
        Reason::Rising,
        message.clone(),
    );
    builder.progress(message);
    builder.wait_until(ctx.now + timings.poll_every)
}

//! Waits for the stream's warm throughput. Ready is ACTIVE with a target and a current throughput of at least what was asked for.

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::status::{Outcome, Stage};

use super::traffic_status::note_stream;
use super::{Case, Draft, Effect};
use crate::aws::{StreamState, Warm};
use crate::reconcile::observe::{Observed, ObservedState};

/// How many requests that AWS took may leave the stream's target too low.
const MOST_REQUESTS: u32 = 3;

pub(super) fn decide_warming(case: &Case<'_>, state: &ObservedState, mut draft: Draft) -> Draft {
    note_stream(case, state, &mut draft);
    let timings = case.timings;
    let stream = match &state.stream {
        Observed::Present(stream) if !case.is_another_stream(stream) => stream,
        Observed::Absent | Observed::Present(_) => {
            let message = format!("stream {} has disappeared", case.names.stream);
            return draft.end(Outcome::Failed, Reason::StreamGone, message, case.now);
        }
        Observed::Unread | Observed::Refused(_) => {
            if case.now >= case.run.stage_entered_at + timings.warm_timeout {
                let why = state.stream.refusal().map(ToString::to_string).unwrap_or_default();
                let message = format!(
                    "the stream could not be seen to be warm within {} s: {why}",
                    timings.warm_timeout.as_secs()
                );
                return draft.end(Outcome::Failed, Reason::WarmThroughputTimeout, message, case.now);
            }
            return draft.wait_until(case.now + timings.poll_every);
        }
    };
    let wanted = case.plan.warm_mib_per_second.unwrap_or(0);
    let Warm { target, current } = stream.warm.unwrap_or(Warm { target: 0, current: 0 });
    if stream.state == StreamState::Active && target >= wanted && current >= wanted {
        draft.enter(Stage::Starting, case.now, "");
        return draft;
    }
    if case.now >= case.run.stage_entered_at + timings.warm_timeout {
        let message = format!(
            "warm throughput is at {current} of {wanted} MiB/s after {} s",
            timings.warm_timeout.as_secs()
        );
        return draft.end(Outcome::Failed, Reason::WarmThroughputTimeout, message, case.now);
    }
    let requests = draft.status.stream.as_ref().map_or(0, |held| held.warm_requests);
    if stream.state == StreamState::Active && target < wanted && requests >= MOST_REQUESTS {
        let message = format!(
            "AWS took {requests} requests for {wanted} MiB/s of warm throughput, and the stream's target is {target} MiB/s: somebody lowers it, or the account may not have more"
        );
        return draft.end(Outcome::Failed, Reason::WarmThroughputTimeout, message, case.now);
    }
    // One mutation of a stream at a time: AWS refuses a second one until the stream is ACTIVE again.
    if stream.state == StreamState::Active && target < wanted {
        draft.effects.push(Effect::UpdateWarmThroughput { arn: stream.arn.clone(), mib_per_second: wanted });
    }
    let message = format!("warm throughput {current} of {wanted} MiB/s");
    draft.found(ConditionType::WarmThroughputReady, ConditionStatus::False, Reason::Rising, message.clone());
    draft.progress(message);
    draft.wait_until(case.now + timings.poll_every)
}

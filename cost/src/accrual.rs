//! What a run has cost so far. In: its plan, what its status says of it, the meter of the look
//! before. Out: the meter, and a bill. Pure.
//!
//! Task time is counted from look to look, with the larger number of tasks of both: it is never too
//! little, and too much by a task that started or stopped in between. Records are those that the
//! tasks' ledgers report as accepted, as sent without a response, or as possibly sent.

use std::time::Duration;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::plan::Plan;
use kinesis_demo_api::status::{KinesisDemoStatus, Meter, ResourceState, ResourceType};

use crate::bill::Bill;
use crate::course::{Course, most_log_bytes, record_bytes};
use crate::prices::Prices;
use crate::usage::hours_begun;

/// The meter at `now`. `before` is the status of the look before, `after` that of this one.
#[must_use]
pub fn metered(before: &KinesisDemoStatus, after: &KinesisDemoStatus, now: MicroTime) -> Meter {
    let earlier = before.cost.as_ref().and_then(|cost| cost.meter);
    let until = earlier.map_or(now, |meter| meter.until.max(now));
    let since = earlier.map_or(Duration::ZERO, |meter| until.since(meter.until));
    let tasks = tasks(before).max(tasks(after));
    let task_millis = millis(since).saturating_mul(tasks.into());
    let stream_millis = match after.stream.as_ref().and_then(|stream| stream.created_at) {
        Some(created_at) if exists(after, ResourceType::Stream) => millis(until.since(created_at)),
        _ => 0,
    };
    Meter {
        until,
        task_millis: earlier.map_or(0, |meter| meter.task_millis).saturating_add(task_millis),
        // It stays what it was when the stream was last seen.
        stream_millis: earlier.map_or(0, |meter| meter.stream_millis).max(stream_millis),
    }
}

/// The bill of a run so far, without the rest of Advantage's minimum.
#[must_use]
pub fn so_far(
    plan: &Plan,
    status: &KinesisDemoStatus,
    meter: Meter,
    public_addresses: bool,
    prices: &Prices,
) -> Bill {
    let totals = status.traffic.as_ref().map(|traffic| traffic.totals.clone()).unwrap_or_default();
    let started_at = status.run.as_ref().and_then(|run| run.started_at);
    let run_seconds = started_at.map_or(0, |at| meter.until.since(at).as_secs());
    let begun = status.phases.iter().filter(|phase| phase.begun);
    let task_seconds = meter.task_millis.div_ceil(1_000);
    let has_dashboard = status.dashboard.as_ref().is_some_and(|dashboard| dashboard.metrics_at.is_some());
    let course = Course {
        records: totals.accepted.saturating_add(totals.unknown).saturating_add(totals.unreported),
        record_bytes: record_bytes(plan),
        stream_hours: hours_begun(meter.stream_millis.div_ceil(1_000)),
        task_seconds,
        run_seconds,
        phase_hours: begun
            .map(|phase| hours_begun(meter.until.min(phase.ends_at).since(phase.starts_at).as_secs()).max(1))
            .sum(),
        run_hours: if has_dashboard { hours_begun(run_seconds) } else { 0 },
        dashboard_hours: 0,
        log_bytes: most_log_bytes(plan, task_seconds) / 2,
    };
    Bill::of_run(plan, &course.usage(plan, public_addresses), prices)
}

/// The tasks for which AWS charges: from the download of their image on.
fn tasks(status: &KinesisDemoStatus) -> u32 {
    let counted = status.generators.as_ref().map_or(0, |seen| seen.desired.max(seen.running));
    if exists(status, ResourceType::Service) { counted } else { 0 }
}

fn exists(status: &KinesisDemoStatus, type_: ResourceType) -> bool {
    let resource = status.resources.iter().find(|resource| resource.type_ == type_);
    resource.is_some_and(|resource| resource.state == ResourceState::Present)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bill::Component;
    use crate::fixture::plan;
    use crate::prices::built_in::price_list;
    use serde_json::json;

    const T0: MicroTime = MicroTime::from_micros(1_700_000_000_000_000);

    /// A status with tasks, whose stream was created at T0.
    fn status(desired: u32, running: u32, stream: &str) -> KinesisDemoStatus {
        serde_json::from_value(json!({
            "stage": "Running",
            "run": {"number": 1, "stageEnteredAt": T0, "startedAt": T0},
            "stream": {"name": "s", "arn": "arn:s", "createdAt": T0, "status": "ACTIVE", "shards": 4},
            "generators": {"desired": desired, "running": running, "admitted": running},
            "resources": [
                {"type": "Stream", "arn": "arn:s", "state": stream},
                {"type": "Service", "arn": "arn:service", "state": "Present"},
            ],
        }))
        .unwrap()
    }

    fn with(mut status: KinesisDemoStatus, meter: Meter) -> KinesisDemoStatus {
        status.cost.get_or_insert_default().meter = Some(meter);
        status
    }

    #[test]
    fn task_time_is_counted_from_look_to_look() {
        let at = |seconds| T0 + Duration::from_secs(seconds);
        let first = metered(&status(0, 0, "Present"), &status(1, 0, "Present"), at(10));
        assert_eq!(first, Meter { until: at(10), task_millis: 0, stream_millis: 10_000 });
        // Nine tasks were added in these ten seconds.
        let before = with(status(1, 1, "Present"), first);
        let second = metered(&before, &status(10, 1, "Present"), at(20));
        assert_eq!(second, Meter { until: at(20), task_millis: 100_000, stream_millis: 20_000 });
        let before = with(status(10, 10, "Present"), second);
        let third = metered(&before, &status(0, 0, "Deleted"), at(30));
        assert_eq!(third, Meter { until: at(30), task_millis: 200_000, stream_millis: 20_000 });
        // A clock that goes back takes nothing back.
        let back = metered(&with(status(0, 0, "Deleted"), third), &status(0, 0, "Deleted"), at(5));
        assert_eq!(back, third);
    }

    #[test]
    fn a_bill_so_far_has_what_the_ledgers_report() {
        let mut status = status(10, 10, "Present");
        status.traffic = serde_json::from_value(json!({
            "scheduled": 1_048_576, "offered": 1_048_576, "accepted": 1_000_000, "throttled": 5, "failed": 0,
            "dropped": 0, "unknown": 48_000, "unoffered": 0, "unreported": 576, "rate": 0, "sampledAt": T0,
            "settled": true,
        }))
        .unwrap();
        let meter = Meter {
            until: T0 + Duration::from_secs(3_601),
            task_millis: 3_600_000,
            stream_millis: 3_601_000,
        };
        let list = price_list();
        let bill = so_far(&plan(|_| {}), &status, meter, true, list.of("us-east-1").unwrap());
        // A GiB of records, two hours of a stream, an hour of a task.
        assert_eq!(bill.cost_of(Component::Ingestion), "0.08".parse().unwrap());
        assert_eq!(bill.cost_of(Component::StreamHours), "0.08".parse().unwrap());
        assert_eq!(bill.cost_of(Component::Tasks), "0.0123425".parse().unwrap());
        assert_eq!(bill.cost_of(Component::PublicAddresses), "0.005".parse().unwrap());
    }
}

//! What a run will cost. In: its plan, how the tasks reach the internet, prices. Out: a low, an
//! expected and a high bill, and other ways of paying for the same event. Pure.
//!
//! The range covers what a run cannot know before: how long AWS takes to create a stream and to
//! start a task, how much a stream without sufficient capacity accepts, whether the account's free
//! dashboards are used up. It does not cover tasks that fail and are replaced, what a run retains,
//! and what belongs to nobody's run: a NAT gateway, VPC endpoints, images, taxes.

use std::time::Duration;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::plan::Plan;
use kinesis_demo_api::record_size::RecordSize;
use kinesis_demo_api::status::{EstimateStatus, UsdText};
use kinesis_demo_api::timeline::Timeline;

use crate::bill::{ADVANTAGE_HOURS, Bill, Payment, advantage_minimum};
use crate::course::{Course, most_log_bytes, record_bytes};
use crate::prices::Prices;
use crate::usage::{SHORTEST_TASK_SECONDS, Usage, hours_begun};
use crate::usd::Usd;

/// The write capacity with which a new on-demand stream begins: 4 MiB/s and 4,000 records per
/// second (developer guide, "On-demand mode").
const NEW_STREAM_MIB: u64 = 4;
/// Records per second that one MiB/s of capacity accepts (the same page: 4 MB/s or 4,000 records).
const RECORDS_OF_MIB: u64 = 1_000;
/// More shards than the peak needs, in percent, for a provisioned stream: keys spread unevenly.
const SHARD_HEADROOM_PERCENT: u64 = 125;
/// A value in three cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range<T> {
    /// If all goes as cheaply as it can.
    pub low: T,
    /// As a run usually goes.
    pub expected: T,
    /// If AWS takes as long as the operator waits.
    pub high: T,
}

impl<T> Range<T> {
    /// The same function of each case.
    pub fn map<U>(&self, of: impl Fn(&T) -> U) -> Range<U> {
        Range { low: of(&self.low), expected: of(&self.expected), high: of(&self.high) }
    }
}

/// What a run will cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// The way of paying that the plan asks for.
    pub payment: Payment,
    /// The bills, without the rest of Advantage's minimum.
    pub bill: Range<Bill>,
    /// The minimum of On-demand Advantage for its shortest commitment, if the plan needs that. It
    /// is charged once per account and Region, however many runs use it.
    pub advantage_minimum: Option<Usd>,
    /// The expected cost of the same event in each way of paying, the plan's first.
    pub ways: Vec<(Payment, Usd)>,
}

impl Estimate {
    /// The estimate as a status has it.
    #[must_use]
    pub fn status(&self, prices: &Prices) -> EstimateStatus {
        let text = |amount: Usd| UsdText(amount.cents_text());
        EstimateStatus {
            low_usd: text(self.bill.low.total().down_to_cents()),
            expected_usd: text(self.bill.expected.total()),
            high_usd: text(self.bill.high.total().up_to_cents()),
            advantage_minimum_usd: self.advantage_minimum.map(text),
            prices_as_of: prices.as_of.clone(),
        }
    }

    /// The way of paying with the lowest expected cost.
    #[must_use]
    pub fn cheapest(&self) -> Option<(Payment, Usd)> {
        self.ways.iter().copied().min_by_key(|(_, cost)| *cost)
    }
}

/// How long things take, in seconds.
struct Pace {
    /// How long before its phase a task starts: Fargate's start, and the operator's lead.
    ahead: u64,
    /// How long the first tasks wait for the stream.
    creation: u64,
    /// How long after its phase a task runs: the change, its last requests, its stop.
    after: u64,
    /// From the end of the traffic until the stream is deleted.
    removal: u64,
}

/// The longest waits are the operator's own limits (`Timings::aws` in its settings).
const PACE: Range<Pace> = Range {
    low: Pace { ahead: 0, creation: 0, after: 0, removal: 0 },
    expected: Pace { ahead: 120, creation: 60, after: 60, removal: 120 },
    high: Pace { ahead: 600, creation: 2_400, after: 300, removal: 2_000 },
};

/// Estimates what `plan` costs.
#[must_use]
pub fn estimate(plan: &Plan, public_addresses: bool, prices: &Prices) -> Estimate {
    let payment = Payment::of(plan);
    let records = accepted_records(plan);
    let usages = Range {
        low: usage(plan, &PACE.low, records.low, public_addresses, Case::Low),
        expected: usage(plan, &PACE.expected, records.expected, public_addresses, Case::Expected),
        high: usage(plan, &PACE.high, records.high, public_addresses, Case::High),
    };
    let bill = usages.map(|usage| Bill::of_run(plan, usage, prices));
    let shards = shards_for_peak(plan);
    let mut ways = vec![Payment::Standard, Payment::Advantage, Payment::Provisioned { shards }];
    ways.sort_by_key(|way| *way != payment);
    let ways = ways.into_iter().map(|way| (way, Bill::of(&usages.expected, prices, way).total())).collect();
    Estimate {
        payment,
        bill,
        advantage_minimum: plan.needs_advantage.then(|| advantage_minimum(prices, ADVANTAGE_HOURS)),
        ways,
    }
}

/// The shards of a provisioned stream that accepts the plan's highest rate.
#[must_use]
pub fn shards_for_peak(plan: &Plan) -> u64 {
    let rate = u64::from(plan.highest_rate());
    let mib = rate.saturating_mul(record_bytes(plan)).div_ceil(1_024 * 1_024);
    let needed = rate.div_ceil(RECORDS_OF_MIB).max(mib);
    (needed * SHARD_HEADROOM_PERCENT).div_ceil(100).max(1)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Low,
    Expected,
    High,
}

fn timeline(plan: &Plan) -> Timeline {
    Timeline::new(&plan.phases, MicroTime::default(), &[])
}

/// The records that the stream accepts: all that are scheduled, or at the least what it accepts
/// with the capacity it begins with.
fn accepted_records(plan: &Plan) -> Range<u64> {
    let mib = u64::from(plan.warm_mib_per_second.unwrap_or(0)).max(NEW_STREAM_MIB);
    let by_bytes = (mib * 1_024 * 1_024) / record_bytes(plan).max(1);
    let capacity = (mib * RECORDS_OF_MIB).min(by_bytes);
    let timeline = timeline(plan);
    let phases = timeline.phases.iter().enumerate();
    let scheduled: Vec<(u64, u64)> = phases
        .map(|(index, phase)| {
            let seconds = seconds_up(phase.ends_at.since(phase.starts_at));
            (timeline.scheduled(index, phase.ends_at), capacity.saturating_mul(seconds))
        })
        .collect();
    let all = scheduled.iter().map(|(records, _)| records).sum();
    let least = scheduled.iter().map(|(records, capacity)| records.min(capacity)).sum();
    Range { low: least, expected: all, high: all }
}

fn usage(plan: &Plan, pace: &Pace, records: u64, public_addresses: bool, case: Case) -> Usage {
    let traffic: Duration = plan.phases.iter().map(|phase| phase.duration).sum();
    let run_seconds = seconds_up(traffic) + pace.creation + pace.ahead + pace.removal;
    let task_seconds = task_seconds(plan, pace);
    // A phase that begins just before an hour ends has data in one more.
    let straddling = u64::from(case == Case::High);
    let of_phase = |seconds: u64| hours_begun(seconds) + straddling;
    let most_log_bytes = most_log_bytes(plan, task_seconds);
    let course = Course {
        records,
        record_bytes: match (plan.record_size, case) {
            // AWS does not say that the key is charged.
            (RecordSize::Fixed(bytes), Case::Low) => u64::from(bytes),
            _ => record_bytes(plan),
        },
        stream_hours: hours_begun(run_seconds).max(1),
        task_seconds,
        run_seconds,
        phase_hours: plan.phases.iter().map(|phase| of_phase(seconds_up(phase.duration))).sum(),
        run_hours: if plan.dashboard { of_phase(run_seconds) } else { 0 },
        // Three dashboards of an account are free.
        dashboard_hours: if plan.dashboard && case == Case::High { hours_begun(run_seconds) } else { 0 },
        log_bytes: match case {
            Case::Low => most_log_bytes / 4,
            Case::Expected => most_log_bytes / 2,
            Case::High => most_log_bytes * 2,
        },
    };
    course.usage(plan, public_addresses)
}

/// The seconds of all tasks: the n-th runs from before the first phase that needs n tasks until
/// after the last, and stops in between if there is time.
fn task_seconds(plan: &Plan, pace: &Pace) -> u64 {
    let timeline = timeline(plan);
    let origin = timeline.starts_at().unwrap_or_default();
    let at = |instant: MicroTime| seconds_up(instant.since(origin)) + pace.ahead + pace.creation;
    let mut total = 0;
    for nth in 1..=plan.most_tasks {
        let mut running: Option<(u64, u64)> = None;
        for phase in timeline.phases.iter().filter(|phase| phase.tasks >= nth) {
            let is_first = phase.starts_at == origin;
            let early = pace.ahead + if is_first { pace.creation } else { 0 };
            let from = at(phase.starts_at).saturating_sub(early);
            let until = at(phase.ends_at) + pace.after;
            running = match running {
                Some((begun, end)) if from <= end => Some((begun, until)),
                Some((begun, end)) => {
                    total += (end - begun).max(SHORTEST_TASK_SECONDS);
                    Some((from, until))
                }
                None => Some((from, until)),
            };
        }
        total += running.map_or(0, |(begun, end)| (end - begun).max(SHORTEST_TASK_SECONDS));
    }
    total
}

fn seconds_up(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinesis_demo_api::demo::{KinesisDemoSpec, WarmThroughputMode, WarmThroughputSpec};
    use proptest::prelude::*;

    use crate::bill::Component;
    use crate::fixture::plan;
    use crate::prices::built_in::price_list;

    fn estimated(plan: &Plan) -> Estimate {
        estimate(plan, true, price_list().of("us-east-1").unwrap())
    }

    fn warm(spec: &mut KinesisDemoSpec) {
        spec.stream.warm_throughput =
            WarmThroughputSpec { mode: WarmThroughputMode::Fixed, mib_per_second: Some(100) };
    }

    #[test]
    fn the_default_event_costs_what_the_tutorial_says() {
        let estimate = estimated(&plan(|_| {}));
        let expected = &estimate.bill.expected;
        // 7,224,000 records of at most 1 KiB: 6.889 GiB at $0.08.
        assert_eq!(expected.cost_of(Component::Ingestion).to_string(), "$0.55");
        assert_eq!(expected.cost_of(Component::StreamHours).to_string(), "$0.04");
        assert_eq!(expected.cost_of(Component::Tasks).to_string(), "$0.01");
        assert_eq!(expected.cost_of(Component::PublicAddresses).to_string(), "<$0.01");
        assert_eq!(expected.total().to_string(), "$0.63");
        let list = price_list();
        assert_eq!(
            serde_json::to_value(estimate.status(list.of("us-east-1").unwrap())).unwrap(),
            serde_json::json!({
                "lowUsd": "0.13", "expectedUsd": "0.63", "highUsd": "0.76", "pricesAsOf": "2026-11-22",
            })
        );
        assert_eq!(estimate.advantage_minimum, None);
    }

    #[test]
    fn the_minimum_of_advantage_is_apart() {
        let estimate = estimated(&plan(warm));
        assert_eq!(estimate.payment, Payment::Advantage);
        assert_eq!(estimate.advantage_minimum.map(|cost| cost.to_string()).as_deref(), Some("$101.25"));
        assert_eq!(estimate.bill.expected.cost_of(Component::AdvantageMinimum), Usd::ZERO);
        assert_eq!(estimate.bill.expected.cost_of(Component::Ingestion).to_string(), "$0.22");
        let ways: Vec<_> = estimate.ways.iter().map(|(way, cost)| (*way, cost.to_string())).collect();
        let shards = 63;
        assert_eq!(
            ways,
            [
                (Payment::Advantage, "$101.28".to_owned()),
                (Payment::Standard, "$0.63".to_owned()),
                (Payment::Provisioned { shards }, "$1.08".to_owned()),
            ]
        );
        assert_eq!(estimate.cheapest().map(|(way, _)| way), Some(Payment::Standard));
    }

    #[test]
    fn a_cold_stream_accepts_at_least_its_first_capacity() {
        let records = accepted_records(&plan(|_| {}));
        // 2 minutes each of 100, 4,000 of 10,000, 4,000 of 50,000, 100.
        assert_eq!(records, Range { low: 984_000, expected: 7_224_000, high: 7_224_000 });
        assert_eq!(accepted_records(&plan(warm)).low, 7_224_000);
    }

    proptest! {
        #[test]
        fn the_three_cases_are_in_order(
            rates in proptest::collection::vec((1_u64..40_000, 0_i64..100_000), 1..8),
            size in proptest::option::of(1_i32..100_000),
            is_warm in any::<bool>(),
        ) {
            let plan = plan(|spec| {
                let like = spec.phases.first().cloned().unwrap();
                spec.phases = rates.iter().enumerate().map(|(index, (seconds, rate))| {
                    let mut phase = like.clone();
                    phase.name = format!("p{index}");
                    phase.duration = format!("{seconds}s").parse().unwrap();
                    phase.records_per_second = i32::try_from(*rate).unwrap();
                    phase
                }).collect();
                spec.limits.max_duration = "100h".parse().unwrap();
                if let Some(bytes) = size {
                    spec.generator.records.size.mode = kinesis_demo_api::demo::RecordSizeMode::Fixed;
                    spec.generator.records.size.bytes = Some(bytes);
                }
                if is_warm { warm(spec) }
            });
            let estimate = estimated(&plan);
            let Range { low, expected, high } = estimate.bill.map(Bill::total);
            prop_assert!(low <= expected && expected <= high, "{low:?} {expected:?} {high:?}");
            for component in [Component::Tasks, Component::Ingestion, Component::Metrics, Component::Log] {
                let of = estimate.bill.map(|bill| bill.cost_of(component));
                prop_assert!(of.low <= of.expected && of.expected <= of.high, "{component:?} {of:?}");
            }
        }
    }
}

//! From a draft to a KinesisDemoRun. In: the draft, the traffic, the time. Out: the record, small
//! while the run is not over. Pure.

use std::collections::BTreeMap;

use kinesis_demo_api::plan::{Defaults, Plan};
use kinesis_demo_api::run_record::{
    DEMO_LABEL, Horizon, MOST_POINTS, MOST_STEPS, TrafficCells, TrafficColumns, record_name,
};
use kinesis_demo_api::status::{Effective, PhaseReport, Stage};
use kinesis_demo_api::timeline::Timeline;
use kinesis_demo_api::{KinesisDemoRun, KinesisDemoRunSpec, KinesisDemoRunStatus, MicroTime};

use super::draft::Draft;

/// The longest record while its run is not over, in bytes of JSON. etcd stores it anew with each
/// write, with about 1.5 KB of managedFields; together they stay below 8 KiB.
pub const LONGEST_LIVE: usize = 6_500;

/// The longest record of a finished run.
pub const LONGEST_FINAL: usize = 200 * 1024;

/// How much of a record is written.
#[derive(Clone, Copy, Debug)]
struct Amount {
    points: usize,
    steps: usize,
    marks: usize,
    phases: usize,
}

/// The largest amount, and what is tried next if the record is too long.
const AMOUNTS: [Amount; 7] = [
    Amount { points: MOST_POINTS - MOST_STEPS, steps: MOST_STEPS, marks: usize::MAX, phases: usize::MAX },
    Amount { points: 200, steps: 50, marks: 100, phases: usize::MAX },
    Amount { points: 60, steps: 20, marks: 20, phases: usize::MAX },
    Amount { points: 40, steps: 12, marks: 12, phases: 8 },
    Amount { points: 24, steps: 8, marks: 8, phases: 4 },
    Amount { points: 12, steps: 4, marks: 4, phases: 0 },
    Amount { points: 0, steps: 1, marks: 0, phases: 0 },
];

/// The record with as much detail as fits. `None` for a run whose settings are not pinned yet.
pub fn build(draft: &Draft, cells: &TrafficCells, now: MicroTime) -> Option<KinesisDemoRun> {
    let longest = if draft.is_final() { LONGEST_FINAL } else { LONGEST_LIVE };
    let effective = draft.status.run.as_ref()?.effective.as_ref()?;
    let mut last = None;
    for amount in AMOUNTS {
        let record = with(draft, effective, cells, now, amount);
        let length = serde_json::to_vec(&record).map_or(usize::MAX, |text| text.len());
        last = Some(record);
        if length <= longest {
            break;
        }
    }
    last
}

fn with(
    draft: &Draft,
    effective: &Effective,
    cells: &TrafficCells,
    now: MicroTime,
    amount: Amount,
) -> KinesisDemoRun {
    let mut record =
        KinesisDemoRun::new(&record_name(&draft.demo, &draft.uid, draft.run), spec(draft, effective));
    record.metadata.namespace = Some(draft.namespace.clone());
    record.metadata.labels = Some(BTreeMap::from([(DEMO_LABEL.to_owned(), draft.demo.clone())]));
    record.status = Some(status(draft, effective, cells, now, amount));
    record
}

fn spec(draft: &Draft, effective: &Effective) -> KinesisDemoRunSpec {
    let settings = serde_json::to_value(&effective.spec).ok().and_then(|settings| match settings {
        serde_json::Value::Object(members) => Some(members.into_iter().collect()),
        _ => None,
    });
    KinesisDemoRunSpec {
        demo: draft.demo.clone(),
        demo_uid: draft.uid.clone(),
        run: draft.run,
        account_id: effective.account_id.clone(),
        region: effective.region.clone(),
        stream_name: effective.stream_name.clone(),
        settings: settings.unwrap_or_default(),
        operator_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn status(
    draft: &Draft,
    effective: &Effective,
    cells: &TrafficCells,
    now: MicroTime,
    amount: Amount,
) -> KinesisDemoRunStatus {
    let status = &draft.status;
    let run = status.run.as_ref();
    let is_final = draft.is_final();
    let left = if is_final { status.present_resources() } else { Vec::new() };
    let begun = |phase: &&PhaseReport| is_final || phase.begun;
    let phases: Vec<PhaseReport> = match amount.phases {
        usize::MAX => status.phases.clone(),
        most => {
            let mut latest: Vec<_> = status.phases.iter().filter(begun).rev().take(most).cloned().collect();
            latest.reverse();
            latest
        }
    };
    let omitted = draft.marks.len().saturating_sub(amount.marks);
    KinesisDemoRunStatus {
        stage: status.stage,
        outcome: run.and_then(|run| run.outcome),
        reason: run.and_then(|run| run.reason),
        message: run.and_then(|run| run.message.clone()),
        started_at: run.and_then(|run| run.started_at),
        traffic_starts_at: status.control.as_ref().map(|control| control.traffic_starts_at),
        traffic_ends_at: run.and_then(|run| run.ends_at),
        finished_at: run.and_then(|run| run.finished_at),
        recorded_at: Some(now),
        phases,
        totals: status.traffic.as_ref().map(|traffic| traffic.totals.clone()),
        left_count: is_final.then(|| u32::try_from(left.len()).unwrap_or(u32::MAX)),
        left,
        traffic: traffic(draft, effective, cells, amount.points),
        capacity: latest(&draft.steps, amount.steps),
        marks: latest(&draft.marks, amount.marks),
        marks_omitted: draft.marks_omitted.saturating_add(u32::try_from(omitted).unwrap_or(u32::MAX)),
        gaps: draft.gaps.clone(),
    }
}

/// The last `most` items.
fn latest<T: Clone>(items: &[T], most: usize) -> Vec<T> {
    items.get(items.len().saturating_sub(most)..).unwrap_or_default().to_vec()
}

fn traffic(
    draft: &Draft,
    effective: &Effective,
    cells: &TrafficCells,
    most: usize,
) -> Option<TrafficColumns> {
    let status = &draft.status;
    let (control, traffic) = (status.control.as_ref()?, status.traffic.as_ref()?);
    let ends_at = status.run.as_ref()?.ends_at;
    let horizon = match traffic.settled || status.stage.is_some_and(Stage::is_terminal) {
        true => Horizon::Settled(ends_at?),
        false => Horizon::ReportedUntil(traffic.rate_until?),
    };
    let defaults = Defaults { region: effective.region.clone(), ..Defaults::default() };
    let plan = Plan::new(&effective.spec, &defaults).ok()?;
    let timeline = Timeline::new(&plan.phases, control.traffic_starts_at, &control.interruptions);
    let points = cells.points(&timeline, horizon, most);
    (most > 0).then(|| TrafficColumns::of(&points, control.traffic_starts_at))
}

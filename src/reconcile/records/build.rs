//! From the history of a run to its KinesisDemoRun. In: the history, the traffic, the time. Out:
//! the record, small while the run is not over. Pure.

use std::collections::BTreeMap;

use kinesis_demo_api::plan::{Defaults, Plan};
use kinesis_demo_api::run_record::{
    DEMO_LABEL, Horizon, MOST_POINTS, MOST_STEPS, Mark, MarkKind, TrafficCells, TrafficColumns, TrafficPoint,
    record_name,
};
use kinesis_demo_api::status::{Effective, PhaseReport, Stage};
use kinesis_demo_api::timeline::Timeline;
use kinesis_demo_api::{KinesisDemoRun, KinesisDemoRunSpec, KinesisDemoRunStatus, MicroTime};

use super::history::{RunHistory, THROTTLED_IN};

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
pub fn build(history: &RunHistory, cells: &TrafficCells, now: MicroTime) -> Option<KinesisDemoRun> {
    let longest = if history.is_final() { LONGEST_FINAL } else { LONGEST_LIVE };
    let effective = history.status.run.as_ref()?.effective.as_ref()?;
    let mut last = None;
    for amount in AMOUNTS {
        let record = with(history, effective, cells, now, amount);
        let length = serde_json::to_vec(&record).map_or(usize::MAX, |text| text.len());
        last = Some(record);
        if length <= longest {
            break;
        }
    }
    last
}

fn with(
    history: &RunHistory,
    effective: &Effective,
    cells: &TrafficCells,
    now: MicroTime,
    amount: Amount,
) -> KinesisDemoRun {
    let mut record =
        KinesisDemoRun::new(&record_name(&history.demo, &history.uid, history.run), spec(history, effective));
    record.metadata.namespace = Some(history.namespace.clone());
    record.metadata.labels = Some(BTreeMap::from([(DEMO_LABEL.to_owned(), history.demo.clone())]));
    record.status = Some(status(history, effective, cells, now, amount));
    record
}

fn spec(history: &RunHistory, effective: &Effective) -> KinesisDemoRunSpec {
    let settings = serde_json::to_value(&effective.spec).ok().and_then(|settings| match settings {
        serde_json::Value::Object(members) => Some(members.into_iter().collect()),
        _ => None,
    });
    KinesisDemoRunSpec {
        demo: history.demo.clone(),
        demo_uid: history.uid.clone(),
        run: history.run,
        account_id: effective.account_id.clone(),
        region: effective.region.clone(),
        stream_name: effective.stream_name.clone(),
        settings: settings.unwrap_or_default(),
        operator_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn status(
    history: &RunHistory,
    effective: &Effective,
    cells: &TrafficCells,
    now: MicroTime,
    amount: Amount,
) -> KinesisDemoRunStatus {
    let status = &history.status;
    let run = status.run.as_ref();
    let is_final = history.is_final();
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
    let omitted = history.marks.len().saturating_sub(amount.marks);
    let points = points(history, effective, cells, amount.points).unwrap_or_default();
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
        traffic: (status.control.as_ref().filter(|_| !points.is_empty()))
            .map(|control| TrafficColumns::of(&points, control.traffic_starts_at)),
        capacity: latest(&history.steps, amount.steps),
        marks: dated(latest(&history.marks, amount.marks), &status.phases, &points),
        marks_omitted: history.marks_omitted.saturating_add(u32::try_from(omitted).unwrap_or(u32::MAX)),
        gaps: history.gaps.clone(),
    }
}

/// The last `most` items.
fn latest<T: Clone>(items: &[T], most: usize) -> Vec<T> {
    items.get(items.len().saturating_sub(most)..).unwrap_or_default().to_vec()
}

/// The marks, with throttles at the instants at which they began: the operator reads of them only
/// when it reads the ledgers.
fn dated(mut marks: Vec<Mark>, phases: &[PhaseReport], points: &[TrafficPoint]) -> Vec<Mark> {
    for mark in marks.iter_mut().filter(|mark| mark.kind == MarkKind::Throttle) {
        let name = mark.text.strip_prefix(THROTTLED_IN);
        let phase = phases.iter().position(|phase| Some(phase.name.as_str()) == name);
        let first = points.iter().find(|point| Some(point.phase) == phase && point.throttled > 0);
        mark.at = first.map_or(mark.at, |point| point.from.min(mark.at));
    }
    marks.sort_by_key(|mark| mark.at);
    marks
}

fn points(
    history: &RunHistory,
    effective: &Effective,
    cells: &TrafficCells,
    most: usize,
) -> Option<Vec<TrafficPoint>> {
    let status = &history.status;
    let (control, traffic) = (status.control.as_ref()?, status.traffic.as_ref()?);
    let ends_at = status.run.as_ref()?.ends_at;
    let horizon = match traffic.settled || status.stage.is_some_and(Stage::is_terminal) {
        true => Horizon::Settled(ends_at?),
        false => Horizon::ReportedUntil(traffic.rate_until?),
    };
    let defaults = Defaults { region: effective.region.clone(), ..Defaults::default() };
    let plan = Plan::new(&effective.spec, &defaults).ok()?;
    let timeline = Timeline::new(&plan.phases, control.traffic_starts_at, &control.interruptions);
    (most > 0).then(|| cells.points(&timeline, horizon, most))
}

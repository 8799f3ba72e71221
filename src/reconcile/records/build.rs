//! From the history of a run to its KinesisDemoRun. In: the history, the traffic, the time. Out:
//! the record, small while the run is not over. Pure.

use std::collections::BTreeMap;

use kinesis_demo_api::plan::{Defaults, Plan};
use kinesis_demo_api::run_record::{
    DEMO_LABEL, Horizon, MOST_POINTS, MOST_STEPS, TrafficCells, TrafficColumns, TrafficPoint, date_throttles,
    record_name, settings,
};
use kinesis_demo_api::status::{Effective, Stage};
use kinesis_demo_api::timeline::Timeline;
use kinesis_demo_api::{KinesisDemoRun, KinesisDemoRunSpec, KinesisDemoRunStatus, MicroTime};

use super::history::RunHistory;

/// The longest record while its run is not over, in bytes of JSON. etcd stores it anew with each
/// write, with about 1.5 KB of managedFields; together they stay below 8 KiB.
pub const LONGEST_LIVE: usize = 6_500;

/// The longest record of a finished run.
pub const LONGEST_FINAL: usize = 200 * 1024;

/// Which phases a record has. A point names its phase by its index, so the first ones stay.
#[derive(Clone, Copy, Debug)]
enum Phases {
    All,
    /// Those up to the last that has begun.
    Begun,
    None,
}

/// How much of a record is written.
#[derive(Clone, Copy, Debug)]
struct Amount {
    points: usize,
    steps: usize,
    marks: usize,
    phases: Phases,
}

/// The largest amount, and what is tried next if the record is too long.
const AMOUNTS: [Amount; 7] = [
    Amount { points: MOST_POINTS - MOST_STEPS, steps: MOST_STEPS, marks: usize::MAX, phases: Phases::All },
    Amount { points: 200, steps: 50, marks: 100, phases: Phases::All },
    Amount { points: 60, steps: 20, marks: 20, phases: Phases::All },
    Amount { points: 40, steps: 12, marks: 12, phases: Phases::Begun },
    Amount { points: 24, steps: 8, marks: 8, phases: Phases::Begun },
    Amount { points: 12, steps: 4, marks: 4, phases: Phases::None },
    Amount { points: 0, steps: 1, marks: 0, phases: Phases::None },
];

/// The record with as much detail as fits. `None` for a run whose settings are not pinned yet.
pub fn build(history: &RunHistory, cells: &TrafficCells, now: MicroTime) -> Option<KinesisDemoRun> {
    let longest = if history.is_final() { LONGEST_FINAL } else { LONGEST_LIVE };
    let effective = history.status.run.as_ref()?.effective.as_ref()?;
    let mut record =
        KinesisDemoRun::new(&record_name(&history.demo, &history.uid, history.run), spec(history, effective));
    record.metadata.namespace = Some(history.namespace.clone());
    record.metadata.labels = Some(BTreeMap::from([(DEMO_LABEL.to_owned(), history.demo.clone())]));
    for amount in AMOUNTS {
        record.status = Some(status(history, effective, cells, now, amount));
        let length = serde_json::to_vec(&record).map_or(usize::MAX, |text| text.len());
        if length <= longest {
            break;
        }
    }
    Some(record)
}

fn spec(history: &RunHistory, effective: &Effective) -> KinesisDemoRunSpec {
    KinesisDemoRunSpec {
        demo: history.demo.clone(),
        demo_uid: history.uid.clone(),
        run: history.run,
        account_id: effective.account_id.clone(),
        region: effective.region.clone(),
        stream_name: effective.stream_name.clone(),
        settings: settings(&effective.spec),
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
    let mut recorded = KinesisDemoRunStatus::default();
    recorded.describe(&history.status);
    let points = points(history, effective, cells, amount.points).unwrap_or_default();
    recorded.marks = latest(&history.marks, amount.marks);
    date_throttles(&mut recorded.marks, &recorded.phases, &points);
    match amount.phases {
        Phases::All => {}
        Phases::Begun => {
            let begun = recorded.phases.iter().rposition(|phase| phase.begun);
            recorded.phases.truncate(begun.map_or(0, |last| last + 1));
        }
        Phases::None => recorded.phases.clear(),
    }
    let omitted = history.marks.len().saturating_sub(amount.marks);
    recorded.marks_omitted = history.marks_omitted.saturating_add(u32::try_from(omitted).unwrap_or(u32::MAX));
    recorded.recorded_at = Some(now);
    recorded.traffic = (history.status.control.as_ref().filter(|_| !points.is_empty()))
        .map(|control| TrafficColumns::of(&points, control.traffic_starts_at));
    recorded.capacity = latest(&history.steps, amount.steps);
    recorded.gaps.clone_from(&history.gaps);
    recorded
}

/// The last `most` items.
fn latest<T: Clone>(items: &[T], most: usize) -> Vec<T> {
    items.get(items.len().saturating_sub(most)..).unwrap_or_default().to_vec()
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

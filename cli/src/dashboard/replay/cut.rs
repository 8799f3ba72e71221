//! A stored run as it was at an instant. In: the run as it ended. Out: the run with nothing later
//! than the instant. Pure.

use kinesis_demo_api::run_record::{KinesisDemoRunStatus, MarkKind, TrafficColumns, TrafficPoint};
use kinesis_demo_api::status::TotalsStatus;
use kinesis_demo_api::{KinesisDemoRun, MicroTime, Stage};

/// When the traffic began.
pub(super) fn starts_at(run: &KinesisDemoRun) -> Option<MicroTime> {
    let status = run.status.as_ref()?;
    status.traffic_starts_at.or_else(|| status.phases.first().map(|phase| phase.starts_at))
}

/// From the first to the last instant that a run tells of.
pub(super) fn span(run: &KinesisDemoRun) -> (MicroTime, MicroTime) {
    let Some(status) = &run.status else { return Default::default() };
    let points: Vec<_> = status.traffic.iter().flat_map(TrafficColumns::points).collect();
    let instants = [status.started_at, starts_at(run), status.traffic_ends_at, status.finished_at];
    let all = instants
        .into_iter()
        .flatten()
        .chain(points.iter().flat_map(|point| [point.from, point.until]))
        .chain(status.marks.iter().map(|mark| mark.at));
    let (first, last) = (all.clone().min(), all.max());
    (first.unwrap_or_default(), last.unwrap_or_default())
}

/// The runs, each moved in time so that the traffic of all begins when that of the first does.
pub(super) fn together(mut runs: Vec<KinesisDemoRun>) -> Vec<KinesisDemoRun> {
    let Some(first) = runs.first().and_then(starts_at) else { return runs };
    for run in &mut runs {
        let Some(own) = starts_at(run) else { continue };
        let (later, earlier) = (first.since(own), own.since(first));
        let moved = |at: MicroTime| at + later - earlier;
        if let Some(status) = &mut run.status {
            move_all(status, moved);
        }
    }
    runs
}

fn move_all(status: &mut KinesisDemoRunStatus, moved: impl Fn(MicroTime) -> MicroTime) {
    // Without `..`: an instant that stays where it is would be wrong.
    let KinesisDemoRunStatus {
        started_at,
        traffic_starts_at,
        traffic_ends_at,
        finished_at,
        recorded_at,
        phases,
        traffic,
        capacity,
        marks,
        gaps,
        stage: _,
        outcome: _,
        reason: _,
        message: _,
        totals: _,
        left: _,
        left_count: _,
        marks_omitted: _,
        cost,
    } = status;
    let mut instants: Vec<&mut MicroTime> =
        [started_at, traffic_starts_at, traffic_ends_at, finished_at, recorded_at]
            .into_iter()
            .flatten()
            .collect();
    instants.extend(cost.iter_mut().flat_map(|cost| &mut cost.meter).map(|meter| &mut meter.until));
    instants.extend(phases.iter_mut().flat_map(|phase| [&mut phase.starts_at, &mut phase.ends_at]));
    instants.extend(traffic.iter_mut().map(|columns| &mut columns.origin));
    instants.extend(capacity.iter_mut().map(|step| &mut step.at));
    instants.extend(marks.iter_mut().map(|mark| &mut mark.at));
    instants.extend(gaps.iter_mut().flat_map(|gap| [&mut gap.from, &mut gap.until]));
    for at in instants {
        *at = moved(*at);
    }
}

/// The run as it was at `now`.
pub(super) fn cut(run: &KinesisDemoRun, now: MicroTime) -> KinesisDemoRun {
    let Some(whole) = &run.status else { return run.clone() };
    if span(run).1 <= now {
        return run.clone();
    }
    let mut run = run.clone();
    let mut status = whole.clone();
    let points: Vec<TrafficPoint> =
        whole.traffic.iter().flat_map(TrafficColumns::points).filter(|point| point.until <= now).collect();
    status.traffic = whole.traffic.as_ref().map(|columns| TrafficColumns::of(&points, columns.origin));
    status.capacity.retain(|step| step.at <= now);
    status.marks.retain(|mark| mark.at <= now);
    status.gaps.retain(|gap| gap.until <= now);
    // What it had cost by then was not recorded.
    if let Some(cost) = &mut status.cost {
        (cost.so_far_usd, cost.meter) = (None, None);
    }
    let mut all = TotalsStatus::default();
    for (index, phase) in status.phases.iter_mut().enumerate() {
        phase.begun = phase.begun && phase.starts_at <= now;
        let is_over = phase.ends_at <= now;
        if !is_over {
            phase.totals = TotalsStatus::default();
            points
                .iter()
                .filter(|point| point.phase == index)
                .for_each(|point| phase.totals.add(&point.totals()));
            phase.latency_ms = phase.latency_ms.filter(|_| phase.begun);
            phase.tasks_were_missing &= phase.begun;
        }
        all.add(&phase.totals);
    }
    status.totals = status.totals.filter(|_| all.scheduled > 0).map(|_| all);
    status.stage = stage_at(whole, now);
    if whole.finished_at.is_none_or(|finished_at| finished_at > now) {
        (status.outcome, status.reason, status.message, status.finished_at) = (None, None, None, None);
        (status.left, status.left_count) = (Vec::new(), None);
    }
    run.status = Some(status);
    run
}

/// The stage at an instant: of the last mark of a stage, or as the instants of the run tell.
fn stage_at(whole: &KinesisDemoRunStatus, now: MicroTime) -> Option<Stage> {
    if whole.finished_at.is_some_and(|finished_at| finished_at <= now) {
        return whole.stage;
    }
    let is_after = |at: Option<MicroTime>| at.is_some_and(|at| at <= now);
    let by_instants = match () {
        () if is_after(whole.traffic_ends_at) => Stage::Draining,
        () if is_after(whole.traffic_starts_at) => Stage::Running,
        () => Stage::Starting,
    };
    let entered = whole.marks.iter().rfind(|mark| mark.kind == MarkKind::Stage && mark.at <= now);
    let told = entered.and_then(|mark| {
        let word = mark.text.split(|letter: char| !letter.is_ascii_alphanumeric()).next()?;
        serde_json::from_value::<Stage>(word.into()).ok()
    });
    Some(told.filter(|stage| !stage.is_terminal() && *stage >= by_instants).unwrap_or(by_instants))
}

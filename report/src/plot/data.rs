//! What a plot draws of a record. In: a record, untrusted. Out: points, steps, marks and gaps in
//! seconds from the beginning of the traffic, in order, and never more than the record's bounds
//! allow. Pure.

use std::sync::Arc;

use kinesis_demo_api::run_record::{CapacityStep, MOST_GAPS, MOST_MARKS, MOST_POINTS, MOST_STEPS, MarkKind};
use kinesis_demo_api::{KinesisDemoRun, MicroTime};

use super::heat::Heat;
use crate::shards::ShardLoads;
use crate::text::clean;

/// A record has at most [`MOST_POINTS`]. Phases are at most a hundred.
const MOST_PHASES: usize = 100;

/// One run in seconds from the beginning of its traffic.
#[derive(Debug, Default)]
pub struct Data {
    /// The instant from which all times count.
    pub zero: MicroTime,
    pub points: Vec<Point>,
    pub phases: Vec<Band>,
    /// Shards, warm target, warm current, tasks desired, tasks running: intervals with a value.
    pub shards: Vec<Level>,
    pub warm_target: Vec<Level>,
    pub warm_current: Vec<Level>,
    pub tasks_desired: Vec<Level>,
    pub tasks_running: Vec<Level>,
    pub marks: Vec<Event>,
    pub gaps: Vec<(f64, f64)>,
    /// Where the traffic ends, or will end.
    pub traffic_until: f64,
    /// The earliest and the latest instant of anything.
    pub first: f64,
    pub last: f64,
    pub now: Option<f64>,
    /// The load of each shard, where it is known.
    pub heat: Option<Heat>,
}

/// The traffic of one interval, per second.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    pub from: f64,
    pub until: f64,
    pub phase: usize,
    pub target: f64,
    pub offered: f64,
    pub accepted: f64,
    pub throttled: f64,
    pub failed: f64,
    pub dropped: f64,
    pub p50: Option<f64>,
    pub p99: Option<f64>,
}

/// A phase.
#[derive(Clone, Debug)]
pub struct Band {
    pub name: String,
    pub from: f64,
    pub until: f64,
    pub rate: u32,
}

/// A value from an instant until another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    pub from: f64,
    pub until: f64,
    pub value: f64,
}

/// A mark, numbered in the order of time.
#[derive(Clone, Debug)]
pub struct Event {
    pub number: usize,
    pub at: f64,
    pub kind: MarkKind,
    pub text: String,
}

/// The instant from which the times of a run count: the beginning of its traffic, or the first
/// thing known of it.
#[must_use]
pub fn zero(run: &KinesisDemoRun) -> MicroTime {
    let Some(status) = &run.status else { return MicroTime::default() };
    let first_phase = status.phases.iter().map(|phase| phase.starts_at).min();
    let origin = status.traffic.as_ref().map(|traffic| traffic.origin);
    let first_mark = status.marks.iter().map(|mark| mark.at).min();
    let known = [status.traffic_starts_at, first_phase, origin, status.started_at, first_mark];
    known.into_iter().flatten().next().unwrap_or_default()
}

/// Seconds from `zero` to `at`; negative before it.
#[must_use]
pub fn seconds(at: MicroTime, zero: MicroTime) -> f64 {
    let micros = i128::from(at.as_micros()) - i128::from(zero.as_micros());
    micros as f64 / 1e6
}

impl Data {
    /// What is to be drawn of the record at `now`, while it runs.
    #[must_use]
    pub fn of(run: &KinesisDemoRun, loads: Option<&Arc<ShardLoads>>, now: Option<MicroTime>) -> Self {
        let Some(status) = &run.status else { return Self::default() };
        let zero = zero(run);
        let at = |instant: MicroTime| seconds(instant, zero);
        let mut data = Self {
            zero,
            points: status.traffic.iter().flat_map(|traffic| points(traffic, zero)).collect(),
            now: now.filter(|_| status.finished_at.is_none()).map(at),
            ..Self::default()
        };
        for phase in status.phases.iter().take(MOST_PHASES) {
            let (from, until) = (at(phase.starts_at), at(phase.ends_at));
            if until > from {
                let name = clean(&phase.name, 40);
                data.phases.push(Band { name, from, until, rate: phase.records_per_second });
            }
        }
        data.phases.sort_by(|a, b| a.from.total_cmp(&b.from));
        let gaps = status.gaps.iter().take(MOST_GAPS).map(|gap| (at(gap.from), at(gap.until)));
        data.gaps = gaps.filter(|(from, until)| until > from).collect();
        data.gaps.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut marks: Vec<_> = status.marks.iter().take(MOST_MARKS).collect();
        marks.sort_by_key(|mark| mark.at);
        let numbered = marks.into_iter().zip(1..);
        data.marks = numbered
            .map(|(mark, number)| Event {
                number,
                at: at(mark.at),
                kind: mark.kind,
                text: clean(&mark.text, 160),
            })
            .collect();

        let points_until = data.points.iter().map(|point| point.until).fold(0.0, f64::max);
        let planned = data.phases.iter().map(|phase| phase.until).fold(0.0, f64::max);
        let ends_at = status.traffic_ends_at.map(at).filter(|until| *until > 0.0);
        // A run that ended early has phases that never were.
        let ended =
            ends_at.filter(|_| status.outcome.is_some()).unwrap_or(planned.max(ends_at.unwrap_or(0.0)));
        data.traffic_until = points_until.max(ended);
        data.phases.retain(|phase| phase.from < data.traffic_until);
        if let Some(last) = data.phases.last_mut() {
            last.until = last.until.min(data.traffic_until).max(last.from);
        }
        let finished = status.finished_at.or(status.recorded_at).map(at);
        let observed_until =
            data.now.into_iter().chain(finished).fold(data.traffic_until.min(points_until), f64::max);
        data.levels(&status.capacity, zero, observed_until);

        let starts = data.marks.iter().map(|mark| mark.at).chain(data.shards.iter().map(|level| level.from));
        let starts = starts.chain(data.points.iter().map(|point| point.from));
        let starts = starts.chain(status.started_at.map(at)).chain(data.now);
        data.first = starts.fold(0.0, f64::min);
        let ends = data.marks.iter().map(|mark| mark.at).chain(finished).chain(data.now);
        data.last = ends.fold(data.traffic_until, f64::max);
        let heat = loads.and_then(|loads| Heat::of(loads, zero));
        data.heat = heat.filter(|heat| heat.is_of(data.first, data.last));
        data
    }

    fn levels(&mut self, steps: &[CapacityStep], zero: MicroTime, until: f64) {
        let mut steps: Vec<&CapacityStep> = steps.iter().take(MOST_STEPS).collect();
        steps.sort_by_key(|step| step.at);
        let level = |of: fn(&CapacityStep) -> Option<u32>| {
            let ends = steps.iter().skip(1).map(|step| seconds(step.at, zero)).chain([until]);
            let held = steps.iter().zip(ends).filter_map(|(step, until)| {
                let from = seconds(step.at, zero);
                let value = f64::from(of(step)?);
                (until > from).then_some(Level { from, until, value })
            });
            held.flat_map(|level| outside(level, &self.gaps)).collect::<Vec<_>>()
        };
        let shards = level(|step| step.shards);
        let warm_target = level(|step| step.warm_target);
        let warm_current = level(|step| step.warm_current);
        let tasks_desired = level(|step| step.tasks_desired);
        let tasks_running = level(|step| step.tasks_running);
        *self =
            Self { shards, warm_target, warm_current, tasks_desired, tasks_running, ..std::mem::take(self) };
        // A cold stream has no warm throughput to show.
        if self.warm_target.iter().all(|level| level.value <= 0.0) {
            self.warm_target.clear();
            self.warm_current.clear();
        }
    }

    /// The greatest of a value over all points.
    #[must_use]
    pub fn greatest(&self, of: fn(&Point) -> f64) -> f64 {
        self.points.iter().map(of).fold(0.0, f64::max)
    }
}

/// The greatest value of some levels.
#[must_use]
pub fn highest(levels: &[Level]) -> f64 {
    levels.iter().map(|level| level.value).fold(0.0, f64::max)
}

/// The parts of a level that are outside of the gaps, which are in order.
fn outside(level: Level, gaps: &[(f64, f64)]) -> Vec<Level> {
    let mut parts = Vec::new();
    let mut from = level.from;
    for (gap_from, gap_until) in
        gaps.iter().filter(|(from, until)| *from < level.until && *until > level.from)
    {
        if *gap_from > from {
            parts.push(Level { from, until: *gap_from, ..level });
        }
        from = from.max(*gap_until);
    }
    if level.until > from {
        parts.push(Level { from, ..level });
    }
    parts
}

fn points(
    traffic: &kinesis_demo_api::run_record::TrafficColumns,
    zero: MicroTime,
) -> impl Iterator<Item = Point> + '_ {
    let rates = traffic.points().take(MOST_POINTS).filter_map(move |point| {
        let (from, until) = (seconds(point.from, zero), seconds(point.until, zero));
        let long = until - from;
        let rate = move |count: u64| count as f64 / long;
        (long > 0.0).then(|| Point {
            from,
            until,
            phase: point.phase,
            target: rate(point.scheduled),
            offered: rate(point.offered),
            accepted: rate(point.accepted),
            throttled: rate(point.throttled),
            failed: rate(point.failed),
            dropped: rate(point.dropped),
            p50: point.p50_ms.map(f64::from),
            p99: point.p99_ms.map(f64::from),
        })
    });
    let mut sorted: Vec<Point> = rates.collect();
    sorted.sort_by(|a, b| a.from.total_cmp(&b.from));
    sorted.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_cut_at_gaps() {
        let level = |from: f64, until: f64| Level { from, until, value: 4.0 };
        let gaps = [(-5.0, -1.0), (2.0, 3.0), (8.0, 20.0)];
        assert_eq!(outside(level(0.0, 10.0), &gaps), [level(0.0, 2.0), level(3.0, 8.0)]);
        assert_eq!(outside(level(2.0, 3.0), &gaps), []);
        assert_eq!(outside(level(4.0, 5.0), &gaps), [level(4.0, 5.0)]);
    }
}

//! Totals over time become traffic points. In: the points that are stored, and readings of the
//! totals. Out: the stored points, then those of the readings. Pure.
//!
//! A reading has the totals of every phase since the run began. What a reading has more than the
//! stored points and the readings before it is the next point. So nothing is counted twice.

use std::time::Duration;

use kinesis_demo_api::run_record::{KinesisDemoRunStatus, TrafficPoint};
use kinesis_demo_api::status::{LatencyStatus, PhaseReport};
use kinesis_demo_api::{KinesisDemoStatus, MicroTime, Stage};

use super::{counts, end_of};

/// No point is narrower: a few records in a few microseconds would be a rate of many thousands.
const NARROWEST: Duration = Duration::from_millis(200);

/// Scheduled, offered, accepted, throttled, failed, dropped, unknown.
pub(super) type Counts = [u64; 7];

/// How long a point is that nothing else gives a length.
const SHORTEST: Duration = Duration::from_secs(1);

/// The totals of every phase at one instant.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reading {
    /// When the operator read the tasks' ledgers. The scheduled records are those until then.
    pub(super) sampled_at: MicroTime,
    /// Until when the tasks had reported. The outcomes are those until then.
    reported_until: MicroTime,
    phases: Vec<(Counts, Option<LatencyStatus>)>,
}

impl Reading {
    /// The totals in a status; None before any.
    pub(super) fn of(status: &KinesisDemoStatus) -> Option<Self> {
        let traffic = status.traffic.as_ref()?;
        let sampled_at = traffic.sampled_at;
        let phases = status.phases.iter().map(|phase| (counts(&phase.totals), phase.latency_ms)).collect();
        let reported_until = traffic.rate_until.map_or(sampled_at, |until| until.min(sampled_at));
        Some(Self { sampled_at, reported_until, phases })
    }

    fn phase(&self, index: usize) -> Option<(Counts, Option<LatencyStatus>)> {
        self.phases.get(index).copied()
    }
}

/// The stored points and those of the readings. Per phase, the outcomes add up to the totals of
/// `status`; so do the scheduled records once the tasks have reported the whole phase, and until
/// then up to where they have reported.
pub(super) fn continued(
    stored: Vec<TrafficPoint>,
    readings: &[Reading],
    status: &KinesisDemoRunStatus,
) -> Vec<TrafficPoint> {
    let mut all = Vec::with_capacity(stored.len() + readings.len());
    for (index, phase) in status.phases.iter().enumerate() {
        let phase = Phase::of(phase, index, readings, status.traffic_ends_at);
        let mut points: Vec<_> = stored.iter().copied().filter(|point| point.phase == index).collect();
        phase.append(&mut points, readings);
        let mut wanted = phase.totals;
        let reported = readings.last().map(|last| phase.reported_until(last));
        let is_complete = status.stage.is_none_or(|stage| stage > Stage::Running)
            || reported.is_none_or(|reported| reported >= phase.ends_at);
        if let (false, Some(reported)) = (is_complete, reported) {
            let [stored, ..] = sum(&points);
            let [scheduled, ..] = &mut wanted;
            *scheduled = phase.scheduled_until(reported).max(stored);
        }
        phase.fit(&mut points, wanted);
        all.extend(points);
    }
    all
}

/// A phase, and how many of its records were scheduled until when.
struct Phase {
    index: usize,
    starts_at: MicroTime,
    ends_at: MicroTime,
    totals: Counts,
    /// Instants and counts, both never falling: the phase's course as a broken line.
    scheduled: Vec<(MicroTime, u64)>,
}

impl Phase {
    fn of(
        report: &PhaseReport,
        index: usize,
        readings: &[Reading],
        traffic_ends_at: Option<MicroTime>,
    ) -> Self {
        let (starts_at, ends_at) = (report.starts_at, end_of(report, traffic_ends_at));
        let mut scheduled = vec![(starts_at, 0)];
        let (mut at, mut most) = (starts_at, 0);
        for reading in readings {
            let Some(([count, ..], _)) = reading.phase(index) else { continue };
            (at, most) = (reading.sampled_at.min(ends_at).max(at), count.max(most));
            scheduled.push((at, most));
        }
        Self { index, starts_at, ends_at, totals: counts(&report.totals), scheduled }
    }

    /// The scheduled records of the phase until `at`.
    fn scheduled_until(&self, at: MicroTime) -> u64 {
        let within = self.scheduled.windows(2).find_map(|pair| match pair {
            [(from, few), (until, many)] if *until >= at => {
                Some(few + share(many - few, at.since(*from), until.since(*from)))
            }
            _ => None,
        });
        within.or_else(|| self.scheduled.last().map(|(_, count)| *count)).unwrap_or(0)
    }

    /// When that many records of the phase were scheduled, as far as is known.
    fn scheduled_at(&self, wanted: u64) -> MicroTime {
        let within = self.scheduled.windows(2).find_map(|pair| match pair {
            [(from, few), (until, many)] if *many >= wanted && *many > *few => {
                let micros = u64::try_from(until.since(*from).as_micros()).unwrap_or(u64::MAX);
                let part =
                    u128::from(micros) * u128::from(wanted.saturating_sub(*few)) / u128::from(many - few);
                Some(*from + Duration::from_micros(u64::try_from(part).unwrap_or(u64::MAX)))
            }
            _ => None,
        });
        within.unwrap_or(self.starts_at)
    }

    /// Until when the outcomes of a reading are those of the phase: some tasks have reported more
    /// than all have, so until the offered records were due.
    fn reported_until(&self, reading: &Reading) -> MicroTime {
        let offered = reading.phase(self.index).map_or(0, |([_, offered, ..], _)| offered);
        let due = self.scheduled_at(offered).min(reading.sampled_at);
        reading.reported_until.max(due).min(self.ends_at)
    }

    /// Appends what the readings have more than the points.
    fn append(&self, points: &mut Vec<TrafficPoint>, readings: &[Reading]) {
        let mut before = sum(points);
        let mut from = points.iter().map(|point| point.until).max().unwrap_or(self.starts_at);
        for reading in readings {
            let Some((mut counts, latency)) = reading.phase(self.index) else { continue };
            let until = self.reported_until(reading);
            let [scheduled, outcomes @ ..] = &mut counts;
            *scheduled = self.scheduled_until(until);
            // A reading from before the stored points, or by an operator that has not read
            // everything.
            if outcomes.iter().zip(before.iter().skip(1)).any(|(count, before)| count < before) {
                continue;
            }
            let more = each(counts, before, u64::saturating_sub);
            let length = until.since(from);
            let is_at_end = until >= self.ends_at;
            let has_point = points.last().is_some_and(|last| last.phase == self.index);
            if length >= NARROWEST || (is_at_end && !length.is_zero() && !has_point) {
                let mut point = empty(self.index, from, until);
                add(&mut point, more);
                (point.p50_ms, point.p99_ms) = (latency.map(|of| of.p50), latency.map(|of| of.p99));
                points.push(point);
                from = until;
            } else if let Some(last) = points.last_mut().filter(|_| is_at_end) {
                // The end of the phase, or what was reported after it.
                last.until = last.until.max(until);
                from = from.max(until);
                add(last, more);
            } else {
                // The next reading has it, too.
                continue;
            }
            before = each(before, counts, u64::max);
        }
    }

    /// Makes the points of a phase add up to `wanted`: what is missing belongs to the last point,
    /// and what is too much is taken from the last ones.
    fn fit(&self, points: &mut Vec<TrafficPoint>, wanted: Counts) {
        let found = sum(points);
        if points.is_empty() && wanted.iter().any(|count| *count > 0) {
            let until =
                (self.starts_at + SHORTEST).min(self.ends_at.max(self.starts_at + Duration::from_millis(1)));
            points.push(empty(self.index, self.starts_at, until));
        }
        if let Some(last) = points.last_mut() {
            add(last, each(wanted, found, u64::saturating_sub));
        }
        let mut surplus = each(found, wanted, u64::saturating_sub);
        for point in points.iter_mut().rev() {
            for (count, surplus) in fields(point).into_iter().zip(&mut surplus) {
                let taken = (*count).min(*surplus);
                *count -= taken;
                *surplus -= taken;
            }
        }
    }
}

/// That part of a count, for a part of a time.
fn share(count: u64, part: Duration, whole: Duration) -> u64 {
    let shared = u128::from(count).saturating_mul(part.as_micros()) / whole.as_micros().max(1);
    u64::try_from(shared).unwrap_or(u64::MAX)
}

fn empty(phase: usize, from: MicroTime, until: MicroTime) -> TrafficPoint {
    TrafficPoint {
        from,
        until,
        phase,
        scheduled: 0,
        offered: 0,
        accepted: 0,
        throttled: 0,
        failed: 0,
        dropped: 0,
        unknown: 0,
        p50_ms: None,
        p99_ms: None,
    }
}

/// The counts of a point, in the order of [`Counts`].
fn fields(point: &mut TrafficPoint) -> [&mut u64; 7] {
    let TrafficPoint { scheduled, offered, accepted, throttled, failed, dropped, unknown, .. } = point;
    [scheduled, offered, accepted, throttled, failed, dropped, unknown]
}

fn each(left: Counts, right: Counts, combine: impl Fn(u64, u64) -> u64) -> Counts {
    let mut combined = left;
    for (count, right) in combined.iter_mut().zip(right) {
        *count = combine(*count, right);
    }
    combined
}

fn add(point: &mut TrafficPoint, more: Counts) {
    for (count, more) in fields(point).into_iter().zip(more) {
        *count = count.saturating_add(more);
    }
}

pub(super) fn sum(points: &[TrafficPoint]) -> Counts {
    points.iter().fold([0; 7], |mut sum, point| {
        let mut point = *point;
        for (total, count) in sum.iter_mut().zip(fields(&mut point)) {
            *total = total.saturating_add(*count);
        }
        sum
    })
}

//! The traffic of a run over time. In: points. Out: the same as columns, which are a quarter of the
//! size in JSON; and back. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::MOST_POINTS;
use crate::MicroTime;
use crate::demo::status::TotalsStatus;

/// The records of one phase that were due in an interval, and what became of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrafficPoint {
    /// The interval's first instant.
    pub from: MicroTime,
    /// The first instant after the interval.
    pub until: MicroTime,
    /// The phase's index, from zero. Every interval is within its phase, so the points of a phase
    /// add up to the phase's totals.
    pub phase: usize,
    /// Records that the plan scheduled.
    pub scheduled: u64,
    /// Records that were due at a task with a slot.
    pub offered: u64,
    /// Records that Kinesis confirmed.
    pub accepted: u64,
    /// Throttled records, counted once per record and attempt.
    pub throttled: u64,
    /// Records that tasks gave up after Kinesis rejected them.
    pub failed: u64,
    /// Records that were never sent because the task had fallen behind.
    pub dropped: u64,
    /// Records sent in a request whose response was lost.
    pub unknown: u64,
    /// 50 of 100 confirmed records took no longer, in milliseconds. Of merged intervals: that of
    /// the one with the most confirmed records.
    pub p50_ms: Option<u32>,
    /// 99 of 100 confirmed records took no longer. Of merged intervals: the longest.
    pub p99_ms: Option<u32>,
}

impl TrafficPoint {
    /// Its counts as totals. Of those, a point does not have unoffered, unreported and excess
    /// records.
    pub fn totals(&self) -> TotalsStatus {
        let Self { scheduled, offered, accepted, throttled, failed, dropped, unknown, .. } = *self;
        TotalsStatus {
            scheduled,
            offered,
            accepted,
            throttled,
            failed,
            dropped,
            unknown,
            ..TotalsStatus::default()
        }
    }
}

/// Points of traffic, one list per value. All lists have the same length; lists of counts that are
/// all zero are absent.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrafficColumns {
    /// The instant from which `fromMs` and `untilMs` count.
    pub origin: MicroTime,
    /// The first millisecond of each interval.
    #[schemars(length(max = MOST_POINTS))]
    pub from_ms: Vec<u64>,
    /// The first millisecond after each interval.
    #[schemars(length(max = MOST_POINTS))]
    pub until_ms: Vec<u64>,
    /// The index of the phase, from zero.
    #[schemars(length(max = MOST_POINTS))]
    pub phase: Vec<u32>,
    /// Records that the plan scheduled.
    #[schemars(length(max = MOST_POINTS))]
    pub scheduled: Vec<u64>,
    /// Records that were due at a task with a slot.
    #[schemars(length(max = MOST_POINTS))]
    pub offered: Vec<u64>,
    /// Records that Kinesis confirmed.
    #[schemars(length(max = MOST_POINTS))]
    pub accepted: Vec<u64>,
    /// Throttled records, counted once per record and attempt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MOST_POINTS))]
    pub throttled: Vec<u64>,
    /// Records that tasks gave up after Kinesis rejected them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MOST_POINTS))]
    pub failed: Vec<u64>,
    /// Records that were never sent because the task had fallen behind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MOST_POINTS))]
    pub dropped: Vec<u64>,
    /// Records sent in a request whose response was lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MOST_POINTS))]
    pub unknown: Vec<u64>,
    /// The median time from when a record was due until Kinesis confirmed it, in milliseconds; zero
    /// if none was confirmed.
    #[schemars(length(max = MOST_POINTS))]
    pub p50_ms: Vec<u32>,
    /// The time that 99 of 100 confirmed records did not exceed.
    #[schemars(length(max = MOST_POINTS))]
    pub p99_ms: Vec<u32>,
}

impl TrafficColumns {
    /// The columns of `points`, which are in order and begin at or after `origin`.
    pub fn of(points: &[TrafficPoint], origin: MicroTime) -> Self {
        let millis = |at: MicroTime| u64::try_from(at.since(origin).as_millis()).unwrap_or(u64::MAX);
        let mut columns = Self { origin, ..Self::default() };
        for point in points {
            columns.from_ms.push(millis(point.from));
            columns.until_ms.push(millis(point.until));
            columns.phase.push(u32::try_from(point.phase).unwrap_or(u32::MAX));
            columns.scheduled.push(point.scheduled);
            columns.offered.push(point.offered);
            columns.accepted.push(point.accepted);
            columns.throttled.push(point.throttled);
            columns.failed.push(point.failed);
            columns.dropped.push(point.dropped);
            columns.unknown.push(point.unknown);
            columns.p50_ms.push(point.p50_ms.unwrap_or(0));
            columns.p99_ms.push(point.p99_ms.unwrap_or(0));
        }
        let Self { throttled, failed, dropped, unknown, .. } = &mut columns;
        for counts in [throttled, failed, dropped, unknown] {
            if counts.iter().all(|count| *count == 0) {
                counts.clear();
            }
        }
        columns
    }

    /// The points, as far as every list has them.
    pub fn points(&self) -> impl Iterator<Item = TrafficPoint> + '_ {
        (0..self.from_ms.len()).map_while(|index| self.point(index))
    }

    fn point(&self, index: usize) -> Option<TrafficPoint> {
        let at = |millis: u64| self.origin + std::time::Duration::from_millis(millis);
        let count = |counts: &[u64]| match counts.is_empty() {
            true => Some(0),
            false => counts.get(index).copied(),
        };
        let latency = |column: &[u32]| column.get(index).map(|millis| Some(*millis).filter(|ms| *ms > 0));
        Some(TrafficPoint {
            from: at(*self.from_ms.get(index)?),
            until: at(*self.until_ms.get(index)?),
            phase: usize::try_from(*self.phase.get(index)?).ok()?,
            scheduled: *self.scheduled.get(index)?,
            offered: *self.offered.get(index)?,
            accepted: *self.accepted.get(index)?,
            throttled: count(&self.throttled)?,
            failed: count(&self.failed)?,
            dropped: count(&self.dropped)?,
            unknown: count(&self.unknown)?,
            p50_ms: latency(&self.p50_ms)?,
            p99_ms: latency(&self.p99_ms)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const T0: MicroTime = MicroTime::from_micros(1_800_000_000_000_000);

    fn point(second: u64, throttled: u64) -> TrafficPoint {
        TrafficPoint {
            from: T0 + Duration::from_secs(second),
            until: T0 + Duration::from_secs(second + 1),
            phase: 1,
            scheduled: 100,
            offered: 99,
            accepted: 90,
            throttled,
            failed: 0,
            dropped: 9,
            unknown: 0,
            p50_ms: Some(4),
            p99_ms: None,
        }
    }

    #[test]
    fn points_round_trip_through_columns() {
        let points = [point(0, 0), point(1, 7), point(5, 0)];
        let columns = TrafficColumns::of(&points, T0);
        assert_eq!(columns.points().collect::<Vec<_>>(), points);
        assert!(columns.failed.is_empty() && columns.throttled == [0, 7, 0]);
        let json = serde_json::to_string(&columns).unwrap();
        assert_eq!(serde_json::from_str::<TrafficColumns>(&json).unwrap(), columns);
    }

    #[test]
    fn points_end_where_a_list_is_too_short() {
        let mut columns = TrafficColumns::of(&[point(0, 1), point(1, 1)], T0);
        columns.throttled.pop();
        assert_eq!(columns.points().collect::<Vec<_>>(), [point(0, 1)]);
    }
}

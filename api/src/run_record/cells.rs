//! The traffic of a run, collected from the ledger lines as they are read. In: ledger lines. Out:
//! points that add up to the ledgers, as few as wanted. Pure.
//!
//! A line's increment since the task's line before it is spread evenly over the time between them,
//! as far as it belongs to the phase, in cells of equal width. The cells are the same whatever the
//! order in which tasks' lines are read, so a new leader that reads the log again gets the same
//! points. If there are too many cells, each two neighbours become one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::latency::LatencyCounts;
use super::traffic::TrafficPoint;
use crate::MicroTime;
use crate::demo::status::PhaseReport;
use crate::ledger::{Counters, LedgerLine};
use crate::timeline::{PhaseWindow, Timeline};

/// The most cells of a run in memory.
const MOST_CELLS: usize = 1024;

/// The narrowest cell. No ledger has more than one line per second.
const NARROWEST: i64 = 1_000_000;

/// The widest cell, in microseconds: 12 days.
const WIDEST: i64 = NARROWEST << 20;

/// The traffic of a run by phase and time.
#[derive(Clone, Debug, PartialEq)]
pub struct TrafficCells {
    /// The width of a cell in microseconds.
    width: i64,
    /// By phase name, and by the cell's number since 1970.
    cells: BTreeMap<String, BTreeMap<i64, Cell>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Cell {
    counters: Counters,
    latency: LatencyCounts,
}

impl Cell {
    fn add(&mut self, other: &Self) {
        self.counters.add(&other.counters);
        self.latency.add(&other.latency);
    }
}

impl Default for TrafficCells {
    fn default() -> Self {
        Self { width: NARROWEST, cells: BTreeMap::new() }
    }
}

/// Up to when the points go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Horizon {
    /// Some tasks have not reported beyond this instant. Only whole intervals before it count.
    ReportedUntil(MicroTime),
    /// Every ledger is final: all counts are included.
    Settled(MicroTime),
}

impl TrafficCells {
    /// Adds what `line` reports since `before`, the task's latest line so far. A line that is not
    /// newer adds nothing. `phases` are the phases as they are scheduled now.
    pub fn take(&mut self, before: Option<&LedgerLine>, line: &LedgerLine, phases: &[PhaseReport]) {
        if before.is_some_and(|before| before.sequence >= line.sequence) {
            return;
        }
        let until = line.at;
        let from = before.map_or(until - Duration::from_secs(1), |before| before.at.min(until));
        self.widen_for(from, until);
        for (phase, ledger) in &line.phases {
            let earlier = before.and_then(|before| before.phases.get(phase));
            let counters = match earlier {
                Some(earlier) if earlier.counters == ledger.counters => continue,
                Some(earlier) => since(&ledger.counters, &earlier.counters),
                None => ledger.counters.clone(),
            };
            if counters == Counters::default() {
                continue;
            }
            let latency = match earlier {
                Some(earlier) => LatencyCounts::of(&ledger.latency.since(&earlier.latency)),
                None => LatencyCounts::of(&ledger.latency),
            };
            let window = phases.iter().find(|window| window.name == *phase);
            let (from, until) = window.map_or((from, until), |window| within(window, from, until));
            self.spread(phase, from, until, &counters, latency);
        }
        while self.cells.values().map(BTreeMap::len).sum::<usize>() > MOST_CELLS && self.width < WIDEST {
            self.double();
        }
    }

    /// Widens the cells until an interval has at most half of the cells.
    fn widen_for(&mut self, from: MicroTime, until: MicroTime) {
        let length = until.as_micros().saturating_sub(from.as_micros());
        let most = i64::try_from(MOST_CELLS / 2).unwrap_or(i64::MAX);
        while length / self.width > most && self.width < WIDEST {
            self.double();
        }
    }

    fn double(&mut self) {
        self.width = self.width.saturating_mul(2);
        for cells in self.cells.values_mut() {
            for (number, cell) in std::mem::take(cells) {
                cells.entry(number.div_euclid(2)).or_default().add(&cell);
            }
        }
    }

    /// Spreads counts evenly over the cells between `from` and `until`. The latencies go to the
    /// cell in the middle.
    fn spread(
        &mut self,
        phase: &str,
        from: MicroTime,
        until: MicroTime,
        counters: &Counters,
        latency: LatencyCounts,
    ) {
        let width = self.width;
        let (start, end) = (from.as_micros(), until.as_micros().max(from.as_micros() + 1));
        let (first, last) = (start.div_euclid(width), (end - 1).div_euclid(width));
        if !self.cells.contains_key(phase) {
            self.cells.insert(phase.to_owned(), BTreeMap::new());
        }
        let Some(cells) = self.cells.get_mut(phase) else { return };
        for number in first..=last {
            let part = |at: i64| part(counters, at.clamp(start, end) - start, end - start);
            let counts = since(&part((number + 1) * width), &part(number * width));
            if counts != Counters::default() {
                cells.entry(number).or_default().counters.add(&counts);
            }
        }
        let middle = (start + (end - 1 - start) / 2).div_euclid(width);
        if latency != LatencyCounts::default() {
            cells.entry(middle).or_default().latency.add(&latency);
        }
    }

    /// At most `most` points for the phases of `timeline`, in order; but at least one for each
    /// phase that has begun. With a settled horizon they add up to the ledgers' counts, per phase.
    pub fn points(&self, timeline: &Timeline, horizon: Horizon, most: usize) -> Vec<TrafficPoint> {
        let (until, settled) = match horizon {
            Horizon::ReportedUntil(until) => (until, false),
            Horizon::Settled(until) => (until, true),
        };
        let begun: Vec<(usize, &PhaseWindow)> = (timeline.phases.iter().enumerate())
            .filter(|(_, phase)| phase.starts_at < until || (settled && self.cells.contains_key(&phase.name)))
            .collect();
        let mut width = self.width;
        let count = |width: i64| -> i64 {
            begun.iter().map(|(_, phase)| Grid::of(phase, until, width, settled).len()).sum()
        };
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        while count(width) > most && width < WIDEST {
            width *= 2;
        }
        let ratio = width / self.width;
        let mut points = Vec::new();
        for (index, phase) in begun {
            let grid = Grid::of(phase, until, width, settled);
            if grid.len() == 0 {
                continue;
            }
            let mut sums: BTreeMap<i64, Cell> = BTreeMap::new();
            for (number, cell) in self.cells.get(&phase.name).into_iter().flatten() {
                let number = number.div_euclid(ratio);
                if settled || number.saturating_mul(width) < grid.ends_at {
                    sums.entry(number.clamp(grid.first, grid.last)).or_default().add(cell);
                }
            }
            points.extend((grid.first..=grid.last).map(|number| {
                let (from, until) = grid.interval(number);
                let cell = sums.remove(&number).unwrap_or_default();
                let Counters { offered, accepted, failed, dropped, unknown, throttled, retried: _ } =
                    cell.counters;
                TrafficPoint {
                    from,
                    until,
                    phase: index,
                    scheduled: timeline.scheduled(index, until) - timeline.scheduled(index, from),
                    offered,
                    accepted,
                    throttled,
                    failed,
                    dropped,
                    unknown,
                    p50_ms: cell.latency.percentile_ms(50),
                    p99_ms: cell.latency.percentile_ms(99),
                }
            }));
        }
        points
    }
}

/// The cells of one phase.
struct Grid {
    starts_at: i64,
    ends_at: i64,
    width: i64,
    first: i64,
    last: i64,
}

impl Grid {
    /// The cells of `phase` up to `until`. Unless all is settled, the last is the last whole cell.
    /// What a phase has of its first and last cell may be narrow: less than half of a cell belongs
    /// to the neighbour. Otherwise the few records that became known just after a phase would count
    /// as a rate of many.
    fn of(phase: &PhaseWindow, until: MicroTime, width: i64, settled: bool) -> Self {
        let starts_at = phase.starts_at.as_micros();
        let whole = phase.ends_at.as_micros().max(starts_at + 1);
        let until = until.as_micros();
        let ends_at = match (settled, until < whole) {
            (true, true) => until.max(starts_at + 1),
            (false, true) => until.div_euclid(width) * width,
            (_, false) => whole,
        };
        let (mut first, mut last) = (starts_at.div_euclid(width), (ends_at - 1).div_euclid(width));
        if first < last && (first + 1) * width - starts_at < width / 2 {
            first += 1;
        }
        if first < last && ends_at - last * width < width / 2 {
            last -= 1;
        }
        Self { starts_at, ends_at, width, first, last }
    }

    fn len(&self) -> i64 {
        (self.last - self.first + 1).max(0)
    }

    /// A cell, as far as it belongs to the phase; the first and the last with their narrow
    /// neighbours.
    fn interval(&self, number: i64) -> (MicroTime, MicroTime) {
        let from = if number == self.first { self.starts_at } else { number * self.width };
        let until = if number == self.last { self.ends_at } else { (number + 1).saturating_mul(self.width) };
        (MicroTime::from_micros(from), MicroTime::from_micros(until))
    }
}

/// The part of an interval in which the phase was due; an instant at its edge if there is none:
/// outcomes may be known only after the phase.
fn within(phase: &PhaseReport, from: MicroTime, until: MicroTime) -> (MicroTime, MicroTime) {
    let last = (phase.ends_at - Duration::from_micros(1)).max(phase.starts_at);
    (from.clamp(phase.starts_at, last), until.clamp(phase.starts_at, phase.ends_at.max(phase.starts_at)))
}

/// What was counted since `earlier`.
fn since(counters: &Counters, earlier: &Counters) -> Counters {
    // Built without `..`, so that a new counter cannot be forgotten.
    Counters {
        offered: counters.offered.saturating_sub(earlier.offered),
        accepted: counters.accepted.saturating_sub(earlier.accepted),
        failed: counters.failed.saturating_sub(earlier.failed),
        dropped: counters.dropped.saturating_sub(earlier.dropped),
        unknown: counters.unknown.saturating_sub(earlier.unknown),
        throttled: counters.throttled.saturating_sub(earlier.throttled),
        retried: counters.retried.saturating_sub(earlier.retried),
    }
}

/// `part` of `whole` of every count, rounded down.
fn part(counters: &Counters, part: i64, whole: i64) -> Counters {
    let (part, whole) = (part.unsigned_abs(), whole.unsigned_abs());
    let of = |count: u64| {
        let share = (u128::from(count) * u128::from(part)).checked_div(u128::from(whole)).unwrap_or(0);
        u64::try_from(share).unwrap_or(u64::MAX)
    };
    Counters {
        offered: of(counters.offered),
        accepted: of(counters.accepted),
        failed: of(counters.failed),
        dropped: of(counters.dropped),
        unknown: of(counters.unknown),
        throttled: of(counters.throttled),
        retried: of(counters.retried),
    }
}

#[cfg(test)]
#[path = "cells_tests.rs"]
mod tests;

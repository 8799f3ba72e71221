//! The load of each shard as a heat map: time to the right, hash keys downwards, so that a split is
//! a row that divides. In: the loads, the extents of the figure. Out: one path for each colour,
//! which keeps a hundred shards small. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use kinesis_demo_api::MicroTime;
use maud::{Markup, html};

use super::data::seconds;
use super::panels::Extents;
use super::path::{pixels, text_width};
use super::scale::Scale;
use crate::shards::{ShardLoad, ShardLoads, WindowCounts};
use crate::text::clean;

/// More columns or rows than this are no longer seen, and make the page large.
const MOST_COLUMNS: i64 = 120;
const MOST_ROWS: usize = 128;
/// Shards beyond this many are not drawn.
const MOST_SHARDS: usize = 20_000;
/// Rows that are at least so high have a line between them.
const LEAST_RULED: f64 = 7.0;

/// The classes of the colours: open, then from so many percent of the limit on, then throttled.
/// Each is painted over the one before.
const LEVELS: [(&str, u32); 4] = [("kd-heat-1", 0), ("kd-heat-2", 25), ("kd-heat-3", 50), ("kd-heat-4", 75)];
const THROTTLED: u8 = 5;
const THROTTLED_CLASS: &str = "kd-heat-5";

/// The shards of one run, by their hash keys.
#[derive(Debug)]
pub struct Heat {
    zero: MicroTime,
    loads: Arc<ShardLoads>,
}

/// Levels of columns and rows: zero where no shard was open, or nothing is known.
struct Grid {
    /// When each column begins and ends, in seconds of the figure.
    columns: Vec<(f64, f64)>,
    /// The edges of the rows as shares of the hash keys.
    edges: Vec<f64>,
    /// Row by row.
    levels: Vec<Vec<u8>>,
}

/// A part of the hash keys as shares of all.
fn part(shard: &ShardLoad) -> (f64, f64) {
    let (start, end) = shard.hash_keys;
    let share = |key: u128| key as f64 / u128::MAX as f64;
    (share(start), share(end))
}

impl Heat {
    /// None if there is nothing to draw.
    #[must_use]
    pub fn of(loads: &Arc<ShardLoads>, zero: MicroTime) -> Option<Self> {
        let heat = Self { zero, loads: Arc::clone(loads) };
        (loads.until > loads.from && heat.shards().next().is_some()).then_some(heat)
    }

    /// Whether anything is known of that time, in seconds of the figure.
    #[must_use]
    pub fn is_of(&self, from: f64, until: f64) -> bool {
        seconds(self.loads.from, self.zero) < until && seconds(self.loads.until, self.zero) > from
    }

    fn shards(&self) -> impl Iterator<Item = &ShardLoad> {
        self.loads.shards.iter().take(MOST_SHARDS).filter(|shard| shard.hash_keys.0 <= shard.hash_keys.1)
    }

    /// The most shards that were open at once.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.edges().len().saturating_sub(1)
    }

    fn edges(&self) -> Vec<f64> {
        let mut edges: Vec<f64> = self.shards().map(part).flat_map(|(from, to)| [from, to]).collect();
        edges.extend([0.0, 1.0]);
        edges.sort_by(f64::total_cmp);
        // The end of a part and the start of the next are the same share, but for rounding.
        edges.dedup_by(|one, other| (*one - *other).abs() < 1e-9);
        if edges.len() > MOST_ROWS + 1 {
            edges = (0..=MOST_ROWS).map(|row| row as f64 / MOST_ROWS as f64).collect();
        }
        edges
    }

    fn grid(&self, extents: &Extents) -> Grid {
        let window = i64::from(self.loads.window_seconds.clamp(1, 86_400));
        let long = (extents.until - extents.from).clamp(1.0, 1e10) as i64;
        let merged = (long / window + 1).div_euclid(MOST_COLUMNS).max(0) + 1;
        let wide = window.saturating_mul(merged);
        let zero = self.zero.as_micros();
        // The columns are where the windows are, whatever the extents.
        let absolute = |at: f64| zero.saturating_add((at * 1e6) as i64).div_euclid(1_000_000);
        let known = |at: MicroTime| at.as_micros().div_euclid(1_000_000);
        let first = absolute(extents.from).max(known(self.loads.from)).div_euclid(wide);
        let end =
            absolute(extents.until).min(known(self.loads.until)).saturating_add(wide - 1).div_euclid(wide);
        let count = usize::try_from(end.saturating_sub(first).clamp(0, MOST_COLUMNS + 1)).unwrap_or(0);
        let starts: Vec<i64> = (0..count as i64).map(|index| (first + index).saturating_mul(wide)).collect();
        let at = |second: i64| seconds(MicroTime::from_micros(second.saturating_mul(1_000_000)), self.zero);
        let until = seconds(self.loads.until, self.zero);
        let from = seconds(self.loads.from, self.zero);
        let columns: Vec<(f64, f64)> = starts
            .iter()
            .map(|start| (at(*start).max(from), at(start.saturating_add(wide)).min(until)))
            .collect();
        let edges = self.edges();
        let rows = edges.len().saturating_sub(1);
        let mut levels = vec![vec![0; columns.len()]; rows];
        for shard in self.shards() {
            let mut counts: BTreeMap<i64, WindowCounts> = BTreeMap::new();
            for (second, window) in &shard.windows {
                counts.entry(second.div_euclid(wide)).or_default().add(*window);
            }
            let opened = seconds(shard.opened_at, self.zero);
            let closed = shard.closed_at.map_or(f64::MAX, |closed_at| seconds(closed_at, self.zero));
            let (top, bottom) = part(shard);
            let within = |row: &usize| {
                let middle = edges.get(*row).zip(edges.get(row + 1)).map(|(from, to)| (from + to) / 2.0);
                let is_thin = rows == MOST_ROWS && bottom - top < 1.0 / MOST_ROWS as f64;
                middle.is_some_and(|middle| match is_thin {
                    // Its middle may be in none of its own: it belongs to the row of its start.
                    true => {
                        edges.get(*row).is_some_and(|from| *from <= top)
                            && edges.get(row + 1).is_some_and(|to| top < *to)
                    }
                    false => top <= middle && middle <= bottom,
                })
            };
            let lines: Vec<usize> = (0..rows).filter(within).collect();
            for (index, ((start, end), second)) in columns.iter().zip(&starts).enumerate() {
                if *end <= opened || *start >= closed {
                    continue;
                }
                let found = counts.get(&second.div_euclid(wide)).copied().unwrap_or_default();
                let level = level(found, ((end - start) * 1e3) as u64);
                for row in &lines {
                    if let Some(place) = levels.get_mut(*row).and_then(|row| row.get_mut(index)) {
                        *place = level.max(*place);
                    }
                }
            }
        }
        Grid { columns, edges, levels }
    }

    /// Draws it between the heights of `y`, which has the shares of the hash keys.
    #[must_use]
    pub fn draw(&self, extents: &Extents, x: &Scale, y: &Scale) -> Markup {
        let grid = self.grid(extents);
        let classes = LEVELS.iter().map(|(class, _)| *class).chain([THROTTLED_CLASS]).zip(1u8..);
        html! {
            g class="kd-heat" {
                @for (class, level) in classes {
                    @let path = grid.path(level, x, y);
                    @if !path.is_empty() { path class={ "kd-area " (class) } d=(path) {} }
                }
                @let rules = self.rules(x, y);
                @if !rules.is_empty() { path class="kd-heat-rule" d=(rules) {} }
            }
        }
    }

    /// Lines between rows that are high enough.
    fn rules(&self, x: &Scale, y: &Scale) -> String {
        let until = seconds(self.loads.until, self.zero);
        let mut path = String::new();
        for shard in self.shards() {
            let (top, bottom) = part(shard);
            if y.at(bottom) - y.at(top) < LEAST_RULED || top <= 0.0 {
                continue;
            }
            let closed = shard.closed_at.map_or(until, |closed_at| seconds(closed_at, self.zero));
            let (from, to) = (x.at(seconds(shard.opened_at, self.zero)), x.at(closed));
            if to > from {
                path.push_str(&format!("M{} {}H{}", pixels(from), pixels(y.at(top)), pixels(to)));
            }
        }
        path
    }

    /// The names of the open shards, if each has room, with their heights.
    #[must_use]
    pub fn labels(&self, y: &Scale, font: f64, room: f64) -> Vec<(f64, String)> {
        let open = self.shards().filter(|shard| shard.closed_at.is_none());
        let labels: Vec<(f64, f64, String)> = open
            .map(|shard| {
                let (top, bottom) = part(shard);
                let (top, bottom) = (y.at(top), y.at(bottom));
                ((top + bottom) / 2.0, bottom - top, short(&shard.id))
            })
            .collect();
        let fits = labels.iter().all(|(_, high, name)| *high >= font * 1.1 && text_width(name, font) <= room);
        if fits { labels.into_iter().map(|(middle, _, name)| (middle, name)).collect() } else { Vec::new() }
    }
}

/// `shardId-000000000012` as `12`.
fn short(id: &str) -> String {
    let number = id.rsplit('-').next().unwrap_or(id).trim_start_matches('0');
    clean(if number.is_empty() { "0" } else { number }, 12)
}

fn level(counts: WindowCounts, millis: u64) -> u8 {
    if counts.throttled > 0 {
        return THROTTLED;
    }
    let load = counts.load_percent(millis);
    let reached = LEVELS.iter().filter(|(_, least)| load >= *least).count();
    u8::try_from(reached).unwrap_or(1)
}

/// Neighbouring columns of a row, from the first on and before the last.
type Run = (usize, usize);

impl Grid {
    /// The parts of at least that level, as rectangles over as many columns and rows as possible.
    fn path(&self, least: u8, x: &Scale, y: &Scale) -> String {
        let mut path = String::new();
        // Those that go on in the next row, and where they began.
        let mut open: BTreeMap<Run, usize> = BTreeMap::new();
        for (row, levels) in self.levels.iter().map(Vec::as_slice).chain([&[][..]]).enumerate() {
            let runs = runs(levels, least);
            open.retain(|run, first| {
                let goes_on = runs.contains(run);
                if !goes_on {
                    self.push(&mut path, *run, (*first, row), x, y);
                }
                goes_on
            });
            for run in runs {
                open.entry(run).or_insert(row);
            }
        }
        path
    }

    fn push(&self, path: &mut String, (first, end): Run, (top, bottom): Run, x: &Scale, y: &Scale) {
        let column = |index: usize| self.columns.get(index).copied();
        let (Some((from, _)), Some((_, until))) = (column(first), end.checked_sub(1).and_then(column)) else {
            return;
        };
        let (Some(top), Some(bottom)) = (self.edges.get(top), self.edges.get(bottom)) else { return };
        let whole = |at: f64| x.at(at).round() as i64;
        let (left, right) = (whole(from), whole(until));
        let (top, bottom) = (pixels(y.at(*top)), pixels(y.at(*bottom)));
        if right > left {
            path.push_str(&format!("M{left} {top}H{right}V{bottom}H{left}"));
        }
    }
}

fn runs(levels: &[u8], least: u8) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut first = None;
    for (index, level) in levels.iter().chain([&0]).enumerate() {
        match (*level >= least, first) {
            (true, None) => first = Some(index),
            (false, Some(from)) => {
                runs.push((from, index));
                first = None;
            }
            _ => {}
        }
    }
    runs
}

#[cfg(test)]
#[path = "heat_tests.rs"]
mod tests;

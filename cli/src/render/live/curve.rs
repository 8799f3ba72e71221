//! Draws scheduled and accepted records per second over the time of a run. In: the schedule and the
//! history. Out: cells. What was not measured stays empty. Pure.

use kinesis_demo_api::MicroTime;
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::Style;
use ratatui_core::text::{Line, Span};

use super::history::{History, Rates};
use super::palette::Palette;
use super::schedule::Schedule;
use crate::render::number::{compact, span};

/// The fewest rows of a curve: two of it and the phases.
pub const FEWEST_ROWS: u16 = 3;
/// From this many rows on, throttled records have one of their own.
const ROWS_WITH_THROTTLED: u16 = 4;
/// From this many rows on, there are also a legend and the time.
const ROWS_WITH_LEGEND: u16 = 7;
/// From this many rows on, half of the highest rate has a label.
const ROWS_WITH_MIDDLE: u16 = 6;
/// The columns left of the curve: `throttled` and a space.
const GUTTER: u16 = 10;
/// From empty to full, in eighths of a cell.
const BLOCKS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// One run's curve.
pub struct Curve<'a> {
    pub schedule: &'a Schedule,
    pub history: &'a History,
    pub now: MicroTime,
    pub palette: Palette,
}

/// What one column of the curve shows.
struct Column {
    target: Option<u64>,
    rates: Option<Rates>,
    is_now: bool,
}

/// How high the parts of a column are, from its lowest row.
struct Heights {
    /// Accepted records, in eighths of a row.
    accepted: usize,
    target_row: Option<usize>,
    is_throttled: bool,
    is_now: bool,
}

impl Column {
    fn heights(&self, rows: u16, top: u64) -> Heights {
        let target = self.target.map_or(0, |target| eighths(target, rows, top));
        Heights {
            accepted: self.rates.map_or(0, |rates| eighths(rates.accepted, rows, top)),
            target_row: target.checked_sub(1).map(|eighths| eighths / 8),
            is_throttled: self.rates.is_some_and(|rates| rates.throttled > 0),
            is_now: self.is_now,
        }
    }
}

impl Curve<'_> {
    /// Draws the curve into the area, with its labels.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect) {
        let Some(((from, until), width)) = self.schedule.span().zip(area.width.checked_sub(GUTTER)) else {
            return;
        };
        if width == 0 || area.height < FEWEST_ROWS {
            return;
        }
        let mut rows = Rows { next: area.y, end: area.bottom() };
        let has_legend = area.height >= ROWS_WITH_LEGEND;
        if has_legend && let Some(y) = rows.first() {
            buffer.set_line(area.x, y, &self.legend(), area.width);
        }
        let mut last = |label: &str| {
            let y = rows.last()?;
            self.label(buffer, area.x, y, label);
            Some(y)
        };
        let time = has_legend.then(|| last("time")).flatten();
        let phases = last("");
        let throttled = (area.height >= ROWS_WITH_THROTTLED).then(|| last("throttled")).flatten();
        let x = area.x + GUTTER;
        let plot = Rect { x, y: rows.next, width, height: rows.end - rows.next };
        let columns = self.columns(from, until, width);
        self.plot(buffer, plot, &columns);
        if let Some(y) = throttled {
            self.throttled(buffer, Rect { x, y, width, height: 1 }, &columns);
        }
        if let Some(y) = phases {
            self.phases(buffer, Rect { x, y, width, height: 1 }, (from, until));
        }
        if let Some(y) = time {
            self.time(buffer, Rect { x, y, width, height: 1 }, (from, until));
        }
    }

    fn legend(&self) -> Line<'static> {
        Line::from(vec![
            Span::styled("█", self.palette.accepted()),
            Span::raw(" accepted/s  "),
            Span::styled("─", self.palette.target()),
            Span::raw(" target/s  "),
            Span::styled("░", self.palette.throttled()),
            Span::raw(" short of it and throttled"),
        ])
    }

    fn label(&self, buffer: &mut Buffer, x: u16, y: u16, text: &str) {
        let width = usize::from(GUTTER) - 1;
        buffer.set_stringn(x, y, format!("{text:>width$}"), width, self.palette.dim());
    }

    fn columns(&self, from: MicroTime, until: MicroTime, width: u16) -> Vec<Column> {
        let edge = |column: u16| instant(from, until, column, width);
        let column = |column| {
            let (begin, end) = (edge(column), edge(column + 1));
            Column {
                target: self.schedule.peak_in(begin, end),
                rates: self.history.rates_in(begin, end),
                is_now: self.schedule.is_timed && (begin..end).contains(&self.now),
            }
        };
        (0..width).map(column).collect()
    }

    fn plot(&self, buffer: &mut Buffer, plot: Rect, columns: &[Column]) {
        let top = self.schedule.peak().max(self.history.peak().accepted).max(1);
        let last = plot.height - 1;
        self.label(buffer, plot.x - GUTTER, plot.y, &format!("{}/s", compact(top)));
        self.label(buffer, plot.x - GUTTER, plot.y + last, "0");
        if plot.height >= ROWS_WITH_MIDDLE {
            // The row in which half of the top rate ends.
            let middle = plot.height - plot.height.div_ceil(2);
            self.label(buffer, plot.x - GUTTER, plot.y + middle, &compact(top / 2));
        }
        for (x, column) in (plot.x..plot.right()).zip(columns) {
            let heights = column.heights(plot.height, top);
            for (row, y) in (plot.y..plot.bottom()).rev().enumerate() {
                if let Some((symbol, style)) = self.cell(&heights, row)
                    && let Some(cell) = buffer.cell_mut((x, y))
                {
                    cell.set_symbol(symbol).set_style(style);
                }
            }
        }
    }

    /// What is in one row of a column, if anything.
    fn cell(&self, column: &Heights, row: usize) -> Option<(&'static str, Style)> {
        let filled = column.accepted.saturating_sub(row * 8).min(8);
        if filled > 0 {
            return Some((BLOCKS.get(filled).copied()?, self.palette.accepted()));
        }
        if column.target_row == Some(row) {
            return Some(("─", self.palette.target()));
        }
        if column.is_throttled && column.target_row.is_some_and(|target| row < target) {
            return Some(("░", self.palette.throttled()));
        }
        column.is_now.then(|| ("┊", self.palette.dim()))
    }

    /// Throttled records per second, on a scale of their own.
    fn throttled(&self, buffer: &mut Buffer, row: Rect, columns: &[Column]) {
        let top = self.history.peak().throttled.max(1);
        for (x, column) in (row.x..row.right()).zip(columns) {
            let throttled = column.rates.map_or(0, |rates| eighths(rates.throttled, 1, top));
            if let Some(symbol) = BLOCKS.get(throttled).filter(|_| throttled > 0) {
                buffer.set_string(x, row.y, symbol, self.palette.throttled());
            }
        }
    }

    /// The phases' names where the phases begin.
    fn phases(&self, buffer: &mut Buffer, row: Rect, (from, until): (MicroTime, MicroTime)) {
        for phase in &self.schedule.phases {
            let begin = column_of(phase.from, from, until, row.width);
            let end = column_of(phase.until, from, until, row.width);
            let Some(width) = end.checked_sub(begin).filter(|width| *width > 0) else { continue };
            let is_current = self.schedule.is_timed && (phase.from..phase.until).contains(&self.now);
            let is_over = self.schedule.is_timed && phase.until <= self.now;
            let style = match (is_current, is_over) {
                (true, _) => self.palette.current(),
                (false, true) => self.palette.dim(),
                (false, false) => Style::new(),
            };
            let letters = usize::from(width);
            let name: String = phase.name.chars().take(letters - 1).collect();
            buffer.set_stringn(row.x + begin, row.y, format!("╷{name:<letters$}"), letters, style);
        }
    }

    /// The length of the schedule, and how much of it is over.
    fn time(&self, buffer: &mut Buffer, row: Rect, (from, until): (MicroTime, MicroTime)) {
        let dim = self.palette.dim();
        buffer.set_stringn(row.x, row.y, "0s", row.width.into(), dim);
        let end = span(until.since(from));
        let width = u16::try_from(end.len()).unwrap_or(0);
        let end_at = row.width.saturating_sub(width);
        buffer.set_stringn(row.x + end_at, row.y, end, width.into(), dim);
        if !self.schedule.is_timed || !(from..until).contains(&self.now) {
            return;
        }
        let now = format!("▲ {}", span(self.now.since(from)));
        let at = column_of(self.now, from, until, row.width);
        if at > 2 && usize::from(at) + now.chars().count() < usize::from(end_at) {
            buffer.set_string(row.x + at, row.y, now, dim);
        }
    }
}

/// Rows that are taken from both ends.
struct Rows {
    next: u16,
    end: u16,
}

impl Rows {
    fn first(&mut self) -> Option<u16> {
        (self.next < self.end).then(|| {
            self.next += 1;
            self.next - 1
        })
    }

    fn last(&mut self) -> Option<u16> {
        (self.next < self.end).then(|| {
            self.end -= 1;
            self.end
        })
    }
}

/// How many eighths of a cell are filled; at least one for any rate.
fn eighths(rate: u64, height: u16, top: u64) -> usize {
    let all = u128::from(height) * 8;
    let filled = (u128::from(rate) * all).checked_div(top.into()).unwrap_or(0).min(all);
    usize::try_from(filled).unwrap_or(0).max(usize::from(rate > 0))
}

/// Where a column begins.
fn instant(from: MicroTime, until: MicroTime, column: u16, width: u16) -> MicroTime {
    let span = i128::from(until.as_micros()) - i128::from(from.as_micros());
    let offset = span * i128::from(column) / i128::from(width.max(1));
    MicroTime::from_micros(from.as_micros().saturating_add(i64::try_from(offset).unwrap_or(i64::MAX)))
}

/// The column in which an instant is.
fn column_of(at: MicroTime, from: MicroTime, until: MicroTime, width: u16) -> u16 {
    let (since, span) = (at.since(from).as_micros(), until.since(from).as_micros().max(1));
    u16::try_from(since * u128::from(width) / span).unwrap_or(width).min(width)
}

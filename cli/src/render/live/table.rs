//! The phases of a run as a table that fits any width. In: the status and the time. Out: styled
//! lines. Columns that do not fit are left out, the least important first. Pure.

use kinesis_demo_api::status::PhaseReport;
use kinesis_demo_api::{KinesisDemo, KinesisDemoStatus, MicroTime};
use ratatui_core::style::Style;
use ratatui_core::text::{Line, Span};

use super::facts::shortened;
use super::palette::Palette;
use crate::render::number::{compact, grouped};
use crate::render::phases::{achieved, measured, phase_at};
use crate::render::printable::printable;

/// The longest name of a phase, where a table is narrow and where it is not.
const NAME: [usize; 2] = [10, 40];

/// Writes a number, in full or shortened.
type Number = fn(u64) -> String;

/// A column of the table. They are shown in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Phase,
    Target,
    Achieved,
    Scheduled,
    Accepted,
    Throttled,
    Failed,
    Dropped,
    P50,
    P99,
    Max,
}

use Column::{Accepted, Achieved, Dropped, Failed, Max, P50, P99, Phase, Scheduled, Target, Throttled};

const ORDER: [Column; 11] =
    [Phase, Target, Achieved, Scheduled, Accepted, Throttled, Failed, Dropped, P50, P99, Max];
/// Which columns are shown, from the widest table to the narrowest.
const VARIANTS: [&[Column]; 5] = [
    &ORDER,
    &[Phase, Target, Achieved, Accepted, Throttled, Failed, Dropped, P50, P99, Max],
    &[Phase, Target, Achieved, Throttled, Failed, Dropped, P50, P99, Max],
    &[Phase, Target, Achieved, Throttled, Failed, P50, P99, Max],
    &[Phase, Target, Achieved, Throttled, Failed, P99],
];

impl Column {
    fn title(self) -> &'static str {
        match self {
            Phase => "PHASE",
            Target => "TARGET",
            Achieved => "RATE",
            Scheduled => "SCHEDULED",
            Accepted => "ACCEPTED",
            Throttled => "THROTTLED",
            Failed => "FAILED",
            Dropped => "DROPPED",
            P50 => "P50",
            P99 => "P99",
            Max => "MAX",
        }
    }

    fn style(self, count: u64, palette: Palette) -> Style {
        match self {
            Throttled | Failed | Dropped => palette.count(count),
            _ => Style::new(),
        }
    }
}

/// A phase's figures.
struct Row<'a> {
    report: &'a PhaseReport,
    achieved: Option<u64>,
    has_begun: bool,
    is_current: bool,
}

impl Row<'_> {
    fn figure(&self, column: Column) -> Option<u64> {
        let totals = &self.report.totals;
        let latency = self.report.latency_ms;
        let figure = match column {
            Phase => None,
            Target => return Some(self.report.records_per_second.into()),
            Achieved => self.achieved,
            Scheduled => Some(totals.scheduled),
            Accepted => Some(totals.accepted),
            Throttled => Some(totals.throttled),
            Failed => Some(totals.failed),
            Dropped => Some(totals.dropped),
            P50 => latency.map(|latency| latency.p50.into()),
            P99 => latency.map(|latency| latency.p99.into()),
            Max => latency.map(|latency| latency.max.into()),
        };
        figure.filter(|_| self.has_begun)
    }

    fn cell(&self, column: Column, number: Number, name: usize) -> String {
        match column {
            Phase => shortened(&printable(&self.report.name), name),
            _ => self.figure(column).map(number).unwrap_or_default(),
        }
    }
}

/// The header and the rows, in at most `most` lines. If there are more phases, those around the
/// current one.
#[must_use]
pub fn table(
    demo: &KinesisDemo,
    now: MicroTime,
    palette: Palette,
    width: usize,
    most: usize,
) -> Vec<Line<'static>> {
    let status = demo.status.as_ref().filter(|status| !status.phases.is_empty() && most > 1);
    let Some(status) = status else {
        return Vec::new();
    };
    let rows = rows(status, now);
    let Layout { columns, number, gap, name } = layout(&rows, width);
    let widths: Vec<usize> =
        columns.iter().map(|column| column_width(&rows, *column, number, name)).collect();
    let padded = |column: Column, width: usize, text: &str| match column {
        Phase => format!("{text:<width$}"),
        _ => format!("{text:>width$}"),
    };
    let cells = |cell: &dyn Fn(Column) -> (String, Style), style: Style| {
        let mut line = Line::default();
        for (column, width) in columns.iter().zip(&widths) {
            if !line.spans.is_empty() {
                line.push_span(Span::raw(" ".repeat(gap)));
            }
            let (text, own) = cell(*column);
            line.push_span(Span::styled(padded(*column, *width, &text), own));
        }
        line.style(style)
    };
    let header = cells(&|column| (column.title().to_owned(), Style::new()), palette.dim());
    let line = |row: &Row| {
        let cell = |column: Column| {
            let text = row.cell(column, number, name);
            let style = column.style(row.figure(column).unwrap_or(0), palette);
            (text, style)
        };
        let style = match (row.is_current, row.has_begun) {
            (true, _) => palette.bold(),
            (false, true) => Style::new(),
            (false, false) => palette.dim(),
        };
        cells(&cell, style)
    };
    let shown = window(&rows, most.saturating_sub(1));
    std::iter::once(header).chain(shown.iter().map(line)).collect()
}

fn rows(status: &KinesisDemoStatus, now: MicroTime) -> Vec<Row<'_>> {
    let current = phase_at(&status.phases, now).map(|(index, _)| index);
    let (traffic, now) = measured(status, now);
    let rows = status.phases.iter().enumerate().map(|(index, report)| {
        let has_begun = report.starts_at < now;
        let achieved = achieved(report, traffic, now).filter(|_| has_begun);
        Row { report, achieved, has_begun, is_current: current == Some(index) && traffic.is_some() }
    });
    rows.collect()
}

/// At most so many rows: those up to and after the current one, or the last ones.
fn window<'a, 'b>(rows: &'a [Row<'b>], most: usize) -> &'a [Row<'b>] {
    let Some(over) = rows.len().checked_sub(most) else { return rows };
    let begun = rows.iter().filter(|row| row.has_begun).count();
    let from = begun.saturating_sub(most.div_ceil(2)).min(over);
    rows.get(from..from + most).unwrap_or(rows)
}

/// How a table is written so that it fits.
struct Layout {
    columns: &'static [Column],
    number: Number,
    gap: usize,
    name: usize,
}

fn layout(rows: &[Row<'_>], width: usize) -> Layout {
    let [narrow, wide] = NAME;
    // Columns matter more than digits, and digits more than gaps.
    let styles: [(Number, usize, usize); 4] =
        [(grouped, 2, wide), (grouped, 2, narrow), (compact, 2, narrow), (compact, 1, narrow)];
    let mut layouts = VARIANTS.into_iter().flat_map(|columns| {
        styles.into_iter().map(move |(number, gap, name)| Layout { columns, number, gap, name })
    });
    let narrowest = Layout { columns: &[Phase, Throttled], number: compact, gap: 1, name: narrow };
    layouts.find(|layout| taken(rows, layout) <= width).unwrap_or(narrowest)
}

fn taken(rows: &[Row<'_>], layout: &Layout) -> usize {
    let cells: usize =
        layout.columns.iter().map(|column| column_width(rows, *column, layout.number, layout.name)).sum();
    cells + layout.gap * layout.columns.len().saturating_sub(1)
}

fn column_width(rows: &[Row<'_>], column: Column, number: Number, name: usize) -> usize {
    let cells = rows.iter().map(|row| row.cell(column, number, name).chars().count());
    cells.chain([column.title().len()]).max().unwrap_or(0)
}

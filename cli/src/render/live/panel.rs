//! One object in an area of any size: what matters most comes first, and the curve gets what is
//! left. Pure.

use kinesis_demo_api::KinesisDemo;
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::Style;
use ratatui_core::text::Line;

use super::curve::{Curve, FEWEST_ROWS};
use super::facts::Facts;
use super::schedule::Schedule;
use super::table::table;
use super::{Shown, View};
use crate::render::frame::{ended, resources};
use crate::render::line::blocking_condition;
use crate::render::phases::measured;
use crate::render::printable::printable;
use crate::render::wrap::wrap;

/// How many rows what blocks the run may take.
const BLOCKING_ROWS: usize = 4;
/// A curve of this height has room for everything it can show.
const GOOD_CURVE: u16 = 10;
/// So many rows more than the fewest make a curve legible.
const LEGIBLE_CURVE: u16 = 3;
/// The fewest rows of a table: its header and two phases.
const FEWEST_TABLE_ROWS: u16 = 3;

/// The parts of a panel, from its top.
struct Parts {
    /// Stage, countdowns and rate.
    head: Vec<Line<'static>>,
    accepted: Option<Line<'static>>,
    /// Losses, capacity and tasks.
    counts: Vec<Line<'static>>,
    latency: Option<Line<'static>>,
    schedule: Schedule,
    phases: u16,
    /// What blocks the run, or how it ended.
    notable: Vec<Line<'static>>,
    /// What is shown if there is room.
    more: Vec<Line<'static>>,
}

pub fn draw(buffer: &mut Buffer, area: Rect, shown: Shown<'_>, view: &View<'_>) {
    let mut parts = parts(shown, view, area.width);
    let has_curve = parts.schedule.span().is_some();
    let [fewest, good] = if has_curve { [FEWEST_ROWS, GOOD_CURVE] } else { [0, 0] };
    let fixed = count(&parts.head) + count(&parts.counts) + count(&parts.notable);
    let mut free = area.height.saturating_sub(fixed);
    // The table includes the latencies. Without it, they have a line.
    let whole = if parts.phases > 0 { parts.phases + 1 } else { 0 };
    let rows = match free.saturating_sub(fewest + count(parts.accepted.as_slice())) {
        rows if rows >= whole => whole,
        // A part of the table is worth less than a legible curve.
        rows if rows >= FEWEST_TABLE_ROWS + LEGIBLE_CURVE => rows - LEGIBLE_CURVE,
        _ => 0,
    };
    let phases = table(shown.demo, view.now, view.palette, area.width.into(), usize::from(rows));
    if phases.is_empty() {
        free = free.saturating_sub(count(parts.latency.as_slice()));
    } else {
        parts.latency = None;
        free = free.saturating_sub(count(&phases));
    }
    // One row more makes a small curve much better.
    if free <= fewest + 1 && has_curve {
        parts.accepted = None;
    }
    free = free.saturating_sub(count(parts.accepted.as_slice()));
    let mut below = parts.notable;
    if free >= good + count(&parts.more) {
        free -= count(&parts.more);
        below.extend(parts.more);
    }
    let curve = if has_curve && free >= FEWEST_ROWS { free } else { 0 };

    let mut y = area.y;
    put(buffer, area, &mut y, &parts.head);
    put(buffer, area, &mut y, parts.accepted.as_slice());
    put(buffer, area, &mut y, &parts.counts);
    put(buffer, area, &mut y, parts.latency.as_slice());
    let rect = Rect { y, height: curve.min(area.bottom().saturating_sub(y)), ..area };
    // The curve of a stopped run goes on no more.
    let now = shown.demo.status.as_ref().map_or(view.now, |status| measured(status, view.now).1);
    Curve { schedule: &parts.schedule, history: shown.history, now, palette: view.palette }
        .draw(buffer, rect);
    y = rect.bottom();
    put(buffer, area, &mut y, &phases);
    put(buffer, area, &mut y, &below);
}

fn count(lines: &[Line<'_>]) -> u16 {
    u16::try_from(lines.len()).unwrap_or(0)
}

/// Draws lines from a row on, as far as there is room.
fn put(buffer: &mut Buffer, area: Rect, y: &mut u16, lines: &[Line<'_>]) {
    for line in lines {
        if *y < area.bottom() {
            buffer.set_line(area.x, *y, line, area.width);
            *y += 1;
        }
    }
}

/// The height at which nothing of the object is left out.
pub fn comfortable_height(shown: Shown<'_>, view: &View<'_>, width: u16) -> u16 {
    let parts = parts(shown, view, width);
    let lines = [&parts.head[..], parts.accepted.as_slice(), &parts.counts, &parts.notable, &parts.more];
    let table = if parts.phases > 0 { parts.phases + 1 } else { 0 };
    let curve = if parts.schedule.span().is_some() { GOOD_CURVE } else { 0 };
    lines.into_iter().map(count).sum::<u16>() + table + curve
}

fn parts(shown: Shown<'_>, view: &View<'_>, width: u16) -> Parts {
    let Shown { demo, history } = shown;
    let facts = Facts { demo, history, now: view.now, palette: view.palette, width: width.into() };
    let schedule = Schedule::of(demo);
    let mut head = vec![facts.head(&schedule)];
    head.extend(facts.progress());
    head.extend(facts.rate());
    let counts = [facts.losses(), facts.capacity()].concat();
    let phases = demo.status.as_ref().map_or(0, |status| status.phases.len());
    Parts {
        head,
        accepted: facts.accepted(),
        counts,
        latency: facts.latency(),
        schedule,
        phases: u16::try_from(phases).unwrap_or(0),
        notable: notable(demo, view, width.into()),
        more: more(demo, view, width.into()),
    }
}

fn notable(demo: &KinesisDemo, view: &View<'_>, width: usize) -> Vec<Line<'static>> {
    let Some(status) = &demo.status else { return Vec::new() };
    let (text, style) = match (blocking_condition(status), ended(status)) {
        (Some(condition), _) => (format!("! {condition}"), view.palette.bad()),
        (None, Some(ended)) => (ended.trim().to_owned(), Style::new()),
        (None, None) => return Vec::new(),
    };
    let most = if view.is_last { usize::MAX } else { BLOCKING_ROWS };
    let lines = wrap(&printable(&text), width).into_iter().take(most);
    lines.map(|line| Line::styled(line, style)).collect()
}

fn more(demo: &KinesisDemo, view: &View<'_>, width: usize) -> Vec<Line<'static>> {
    let Some(status) = &demo.status else { return Vec::new() };
    let mut texts: Vec<String> = resources(status);
    let dashboard = status.dashboard.as_ref().filter(|dashboard| dashboard.published);
    texts.extend(dashboard.and_then(|dashboard| Some(format!("dashboard {}", dashboard.url.as_ref()?))));
    if let Some(request) = &status.last_request {
        texts.push(format!("last request: {:?} ({})", request.outcome, request.message));
    }
    let lines = texts.iter().flat_map(|text| wrap(&printable(text.trim()), width));
    lines.map(|line| Line::styled(line, view.palette.dim())).collect()
}

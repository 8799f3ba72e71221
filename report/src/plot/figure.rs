//! One run as SVG. In: its data, what it shares with the other runs of the figure, and the size.
//! Out: an `svg` element that is well-formed XML, without scripts, styles or addresses. Pure.

use kinesis_demo_api::run_record::MarkKind;
use maud::{Markup, html};

use super::data::Data;
use super::marks::{Pill, Room, place};
use super::panels::{Extents, Legend, Panel};
use super::path::{fitting, pixels, text_width, thousandths};
use super::scale::{Scale, clock, short, time_ticks};
use super::{Kind, Size};
use crate::text::grouped;

/// The measures of a figure, in pixels.
#[derive(Clone, Copy, Debug)]
pub struct Measures {
    kind: Kind,
    width: f64,
    /// The height of the whole figure; as high as it needs if None.
    height: Option<f64>,
    font: f64,
    left: f64,
    right: f64,
    /// The height of a panel of weight 1.
    unit: f64,
    rows: usize,
    labels: bool,
    hover: bool,
    ticks: usize,
}

impl Measures {
    /// For a figure of that size with that many columns.
    #[must_use]
    pub fn of(size: Size, columns: usize) -> Self {
        let whole = f64::from(size.width.clamp(260, 4_000));
        let width = match columns {
            0 | 1 => whole,
            more => ((whole - GUTTER * (more - 1) as f64) / more as f64).max(260.0),
        };
        let (font, unit, rows) = match size.kind {
            Kind::Normal => (13.0, 82.0, 3),
            Kind::Presenter => (f64::from(size.font.clamp(10, 60)), 78.0, 1),
            Kind::Phone => (12.0, 62.0, 2),
        };
        let (left, right) = (font * 3.6, width - font);
        let height = size.height.map(|height| f64::from(height.clamp(200, 4_000)));
        let hover = size.kind == Kind::Normal;
        Self {
            kind: size.kind,
            width,
            height,
            font,
            left,
            right,
            unit,
            rows,
            labels: width >= 420.0,
            hover,
            ticks: 6,
        }
    }
}

/// The space between columns; the style has the same.
pub const GUTTER: f64 = 28.0;

/// With more marks than this, not all have a line through all panels.
const MANY_MARKS: usize = 24;

/// Where everything is, from top to bottom.
struct Layout {
    ribbon: f64,
    marks: f64,
    panels: Vec<Placed>,
    bottom: f64,
    height: f64,
}

/// A panel, its title and its plot.
struct Placed {
    panel: Panel,
    legend: Legend,
    head: f64,
    top: f64,
    bottom: f64,
}

/// The pills of a run, and how many rows all runs of the figure need for theirs.
#[must_use]
pub fn pills(data: &Data, extents: &Extents, measures: &Measures) -> Vec<Pill> {
    let Measures { left, right, rows, font, labels, .. } = *measures;
    place(&data.marks, &horizontal(extents, measures), &Room { left, right, rows, font, labels })
}

fn horizontal(extents: &Extents, measures: &Measures) -> Scale {
    Scale::new((extents.from, extents.until), (measures.left, measures.right))
}

/// The spaces in a figure, in heights of a letter: above the title of a panel, below it (one line),
/// between the lines of its legend, below the last panel.
const ABOVE: f64 = 1.1;
const BELOW: f64 = 2.2;
const LINE: f64 = 1.45;
const FOOT: f64 = 2.2;
/// In a room a panel is at least that high, or one with less to say goes.
const LEAST: f64 = 1.5;

fn layout(extents: &Extents, measures: &Measures, rows: usize) -> Layout {
    let Measures { kind, font, left, right, .. } = *measures;
    let ribbon = 1.0;
    let marks = ribbon + font * 3.1;
    let mut at = marks + font * 1.65 * rows as f64;
    let above = if kind == Kind::Presenter { ABOVE / 2.0 } else { ABOVE };
    let head = |legend: &Legend| font * (above + BELOW + LINE * (legend.lines - 1) as f64);
    let mut shown: Vec<(Panel, Legend)> = Panel::shown(extents, kind)
        .into_iter()
        .map(|panel| (panel, Legend::new(panel, extents, (left, right), kind, font)))
        .collect();
    // What is left for the plots of the whole height, for each of their weight.
    let unit_of = |shown: &[(Panel, Legend)], height: f64| {
        let heads: f64 = shown.iter().map(|(_, legend)| head(legend)).sum();
        let weight: f64 = shown.iter().map(|(panel, _)| panel.weight(extents, kind)).sum();
        (height - at - heads - font * FOOT) / weight.max(1.0)
    };
    let unit = match measures.height {
        None => measures.unit,
        Some(height) => {
            while shown.len() > 2 && unit_of(&shown, height) < font * LEAST {
                shown.pop();
            }
            unit_of(&shown, height).max(font)
        }
    };
    let mut panels = Vec::new();
    for (panel, legend) in shown {
        let top = at + head(&legend);
        let bottom = top + unit * panel.weight(extents, kind);
        panels.push(Placed { panel, head: at + font * above, legend, top, bottom });
        at = bottom;
    }
    Layout { ribbon, marks, panels, bottom: at, height: at + font * FOOT }
}

/// Draws a run. `rows` is for how many rows of pills there must be room.
#[must_use]
pub fn draw(
    data: &Data,
    extents: &Extents,
    measures: &Measures,
    (pills, rows): (&[Pill], usize),
    (title, description): (&str, &str),
) -> Markup {
    let Measures { width, font, left, right, .. } = *measures;
    let x = horizontal(extents, measures);
    let layout = layout(extents, measures, rows);
    let top = layout.panels.first().map_or(layout.marks, |placed| placed.top);
    let height = pixels(layout.height);
    let width = pixels(width);
    html! {
        svg class="kd-plot" xmlns="http://www.w3.org/2000/svg" role="img" aria-label={ (title) ". " (description) }
            width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) } font-size=(pixels(font))
            data-zero=(data.zero) data-from=(extents.from) data-until=(extents.until) data-left=(thousandths(left)) data-right=(thousandths(right)) {
            title { (title) }
            desc { (description) }
            (ribbon(data, &x, &layout, measures))
            (gaps(data, &x, top, &layout, measures))
            @for placed in &layout.panels {
                @if let (Panel::Shards, Some(heat)) = (placed.panel, &data.heat) {
                    (heat.draw(extents, &x, &axis(placed, extents, measures).0))
                }
                (placed.panel.areas(data, &x, &axis(placed, extents, measures).0, placed.bottom))
            }
            (mark_lines(data, pills, &x, &layout, font))
            @for placed in &layout.panels {
                (panel(placed, data, extents, &x, measures))
            }
            (time_axis(extents, &x, &layout, measures))
            @if let Some(now) = data.now.filter(|now| x.contains(*now)) {
                @let at = pixels(x.at(now));
                @let near_end = x.at(now) > right - font * 3.0;
                path class="kd-now" d={ "M" (at) " " (pixels(top)) "V" (pixels(layout.bottom)) } {}
                text class="kd-now-text" x=(pixels(x.at(now) + if near_end { -font * 0.4 } else { font * 0.4 })) y=(pixels(top + font))
                    text-anchor=(if near_end { "end" } else { "start" }) { "now" }
            }
            @if measures.hover { (hover(data, &x, &layout, left)) }
            (pill_row(pills, &layout, font))
        }
    }
}

/// The phases as a ribbon, and faintly behind all panels.
fn ribbon(data: &Data, x: &Scale, layout: &Layout, measures: &Measures) -> Markup {
    let font = measures.font;
    html! {
        g class="kd-phases" {
            @for (index, phase) in data.phases.iter().enumerate() {
                @let (start, end) = (x.at(phase.from), x.at(phase.until));
                @let room = end - start - font * 0.5;
                @let rate = format!("{}/s", grouped(phase.rate.into()));
                @let rate = if text_width(&rate, font * 0.85) <= room { rate } else { format!("{}/s", short(f64::from(phase.rate))) };
                @let middle = pixels((start + end) / 2.0);
                @if end > start {
                    @if index % 2 == 1 {
                        rect class="kd-band" x=(pixels(start)) y=(pixels(layout.marks - font * 0.3)) width=(pixels(end - start)) height=(pixels(layout.bottom - layout.marks + font * 0.3)) {}
                    }
                    rect class=(if index % 2 == 1 { "kd-ribbon kd-ribbon-odd" } else { "kd-ribbon" }) x=(pixels(start)) y=(pixels(layout.ribbon))
                        width=(pixels(end - start)) height=(pixels(font * 2.7)) {
                        title { (phase.name) ": " (grouped(phase.rate.into())) " records per second" }
                    }
                    @let name = phase_name(&phase.name, font, room);
                    @if !name.is_empty() {
                        text class="kd-phase-name" x=(middle) y=(pixels(layout.ribbon + font * 1.15)) text-anchor="middle" { (name) }
                    }
                    @if text_width(&rate, font * 0.85) <= room {
                        text class="kd-muted" x=(middle) y=(pixels(layout.ribbon + font * 2.25)) text-anchor="middle" font-size=(pixels(font * 0.85)) { (rate) }
                    }
                }
            }
        }
    }
}

/// A name in bold letters, or most of it, or nothing: of similar names the same few letters would
/// remain.
fn phase_name(name: &str, font: f64, room: f64) -> String {
    let shown = fitting(name, font * 1.1, room);
    let most = name.chars().count() * 3 / 5;
    if shown == name || shown.chars().count() > most { shown } else { String::new() }
}

fn gaps(data: &Data, x: &Scale, top: f64, layout: &Layout, measures: &Measures) -> Markup {
    let font = measures.font;
    html! {
        @for (from, until) in &data.gaps {
            @let (start, end) = (x.at(*from), x.at(*until));
            @if end > start {
                rect class="kd-gap" x=(pixels(start)) y=(pixels(top)) width=(pixels(end - start)) height=(pixels(layout.bottom - top)) {
                    title { "not observed: " (clock(*from)) " to " (clock(*until)) }
                }
                @let text = fitting("not observed", font * 0.85, end - start - font * 0.4);
                @if !text.is_empty() {
                    text class="kd-muted" x=(pixels((start + end) / 2.0)) y=(pixels(layout.bottom - font * 0.5)) text-anchor="middle" font-size=(pixels(font * 0.85)) { (text) }
                }
            }
        }
    }
}

/// The vertical axis of a panel, with as many ticks as there is room for.
fn axis(placed: &Placed, extents: &Extents, measures: &Measures) -> (Scale, Vec<(f64, String)>) {
    let Placed { panel, top, bottom, .. } = placed;
    let room = ((bottom - top) / (measures.font * 1.6)).clamp(1.0, measures.ticks as f64);
    panel.axis(extents, *top, *bottom, room as usize)
}

fn panel(placed: &Placed, data: &Data, extents: &Extents, x: &Scale, measures: &Measures) -> Markup {
    let Measures { font, left, right, .. } = *measures;
    let Placed { panel, legend, head, top, bottom } = placed;
    let (y, ticks) = axis(placed, extents, measures);
    html! {
        g class="kd-panel" data-most=(y.until()) data-top=(thousandths(*top)) data-bottom=(thousandths(*bottom)) {
            (legend.draw(left, *head, font))
            @for (height, label) in &ticks {
                path class=(if *height >= *bottom { "kd-base" } else { "kd-grid" }) d={ "M" (pixels(left)) " " (pixels(*height)) "H" (pixels(right)) } {}
                text class="kd-muted" x=(pixels(left - font * 0.45)) y=(pixels(height + font * 0.32)) text-anchor="end" font-size=(pixels(font * 0.85)) { (label) }
            }
            @if let (Panel::Shards, Some(heat)) = (panel, &data.heat) {
                @for (height, label) in heat.labels(&y, font * 0.85, left - font * 0.6) {
                    text class="kd-muted" x=(pixels(left - font * 0.45)) y=(pixels(height + font * 0.32)) text-anchor="end" font-size=(pixels(font * 0.85)) { (label) }
                }
            }
            (panel.lines(data, x, &y))
            @if let Some(remark) = panel.remark(data) {
                text class="kd-muted" x=(pixels(left + font * 0.6)) y=(pixels((top + bottom) / 2.0 + font * 0.3)) { (remark) }
            }
        }
    }
}

fn time_axis(extents: &Extents, x: &Scale, layout: &Layout, measures: &Measures) -> Markup {
    let Measures { font, left, right, .. } = *measures;
    let most = ((right - left) / (font * 4.8)) as usize;
    let y = layout.bottom + font * 1.45;
    html! {
        @for at in time_ticks(extents.from, extents.until, most) {
            @let place = x.at(at);
            path class="kd-base" d={ "M" (pixels(place)) " " (pixels(layout.bottom)) "v" (pixels(font * 0.35)) } {}
            @if place + font < right {
                text class="kd-muted" x=(pixels(place)) y=(pixels(y)) text-anchor="middle" font-size=(pixels(font * 0.9)) { (clock(at)) }
            }
        }
    }
}

/// Where the marks are, in all panels. Of very many marks, those that share a pill only have a
/// short line.
fn mark_lines(data: &Data, pills: &[Pill], x: &Scale, layout: &Layout, font: f64) -> Markup {
    let singles: Vec<&str> =
        pills.iter().filter(|pill| pill.is_single()).map(|pill| pill.text.as_str()).collect();
    let first = layout.panels.first().map_or(layout.marks, |placed| placed.top);
    // Many marks may share a pixel.
    let mut drawn: Vec<(i64, MarkKind, String, String)> = Vec::new();
    for mark in data.marks.iter().filter(|mark| x.contains(mark.at)) {
        let place = x.at(mark.at).round() as i64;
        if let Some((.., numbers)) = drawn.last_mut().filter(|(last, ..)| *last == place) {
            numbers.push_str(&format!(" {}", mark.number));
        } else {
            let is_long =
                data.marks.len() <= MANY_MARKS || singles.contains(&mark.number.to_string().as_str());
            let (from, until) =
                if is_long { (layout.marks, layout.bottom) } else { (first - font * 0.5, first) };
            let line = format!("M{place} {}V{}", pixels(from), pixels(until));
            drawn.push((place, mark.kind, line, mark.number.to_string()));
        }
    }
    html! {
        @for (_, kind, line, numbers) in drawn {
            path class={ "kd-mark-line " (class_of(kind)) } data-marks=(numbers) d=(line) {}
        }
    }
}

fn pill_row(pills: &[Pill], layout: &Layout, font: f64) -> Markup {
    let high = font * 1.3;
    html! {
        @for pill in pills {
            @let top = layout.marks + font * 1.65 * pill.row as f64;
            @let base = top + high * 0.72;
            g class={ "kd-pill " (class_of(pill.kind)) } {
                rect x=(pixels(pill.left)) y=(pixels(top)) width=(pixels(pill.width)) height=(pixels(high)) rx=(pixels(high / 2.0)) {}
                text class="kd-pill-text" x=(pixels(pill.left + pill.width / 2.0)) y=(pixels(base)) text-anchor="middle" font-size=(pixels(font * 0.85)) { (pill.text) }
                @if let Some(label) = &pill.label {
                    text class="kd-label" x=(pixels(pill.left + pill.width + font * 0.3)) y=(pixels(base)) font-size=(pixels(font * 0.9)) { (label) }
                }
            }
        }
    }
}

/// The class of a kind of mark, which decides its colour.
#[must_use]
pub fn class_of(kind: MarkKind) -> &'static str {
    match kind {
        MarkKind::Stage => "kd-kind-stage",
        MarkKind::Request => "kd-kind-request",
        MarkKind::Lapse => "kd-kind-lapse",
        MarkKind::Throttle => "kd-kind-throttle",
        MarkKind::Warm => "kd-kind-warm",
        MarkKind::Split => "kd-kind-split",
        MarkKind::Refusal => "kd-kind-refusal",
        MarkKind::Tasks => "kd-kind-tasks",
        MarkKind::Other => "kd-kind-other",
    }
}

/// What the pointer shows: the figures of each interval.
fn hover(data: &Data, x: &Scale, layout: &Layout, left: f64) -> Markup {
    let top = layout.panels.first().map_or(layout.marks, |placed| placed.top);
    let (top, high) = (pixels(top), pixels(layout.bottom - top));
    let whole = |rate: f64| grouped(rate.round() as u64);
    html! {
        g class="kd-hover" {
            @for point in &data.points {
                @let (start, end) = (x.at(point.from).max(left), x.at(point.until));
                @if end - start > 0.05 {
                    rect x=(pixels(start)) y=(top) width=(pixels(end - start)) height=(high) {
                        title {
                            (clock(point.from)) " to " (clock(point.until))
                            @if let Some(phase) = data.phases.get(point.phase) { ", " (phase.name) }
                            "\ntarget " (whole(point.target)) "/s\naccepted " (whole(point.accepted)) "/s"
                            @for (rate, what) in [(point.throttled, "throttled"), (point.failed, "failed"), (point.dropped, "dropped")] {
                                @if rate > 0.0 { "\n" (what) " " (whole(rate)) "/s" }
                            }
                            @if let (Some(p50), Some(p99)) = (point.p50, point.p99) { "\np50 " (p50) " ms, p99 " (p99) " ms" }
                        }
                    }
                }
            }
        }
    }
}

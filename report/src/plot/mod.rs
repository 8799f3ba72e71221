//! Runs over time as SVG. In: records of runs, the current time, a size. Out: figures: the phases,
//! the target against what was accepted, what was lost, the stream, the tasks, latency, and marks
//! where they happened. Several runs have the same axes and count from the beginning of their
//! traffic. Every figure also says in words what it shows. Pure.
//!
//! ```text
//! record ─► data (seconds, rates) ─► panels (series, axes, legends) ─► figure (svg)
//!                └────────────────► marks (pills that do not overlap) ──┘
//! ```

mod data;
mod figure;
mod heat;
mod marks;
mod panels;
mod path;
mod scale;

use std::sync::Arc;

use kinesis_demo_api::{KinesisDemoRun, MicroTime};
use maud::{Markup, html};

use crate::phases;
use crate::shards::ShardLoads;
use crate::text::{clean, offset, percent};
use crate::verdict::{due, names, verdict};
use data::Data;
use figure::Measures;
use panels::Extents;

pub use data::zero;
pub(crate) use scale::short;

/// The style of the figures: custom properties for light and dark, by the reader's preference or by
/// a `data-theme` attribute of the root element.
pub const STYLE: &str = include_str!("style.css");

/// How large a figure is, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The width of the whole figure in pixels.
    pub width: u32,
    pub kind: Kind,
    /// The height of the whole figure, for a room: as much as one screen has. Else as it needs.
    pub height: Option<u32>,
    /// The size of letters in pixels, for a room.
    pub font: u32,
}

/// For whom a figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A reader at a desk.
    Normal,
    /// A room: large type.
    Presenter,
    /// A phone: narrow.
    Phone,
}

impl Size {
    #[must_use]
    pub const fn normal(width: u32) -> Self {
        Self { width, kind: Kind::Normal, height: None, font: 13 }
    }

    #[must_use]
    pub const fn presenter(width: u32) -> Self {
        Self { width, kind: Kind::Presenter, height: None, font: 20 }
    }

    /// For what is left of a screen that a room looks at.
    #[must_use]
    pub const fn room(width: u32, height: u32, font: u32) -> Self {
        Self { width, kind: Kind::Presenter, height: Some(height), font }
    }

    /// For a screen of 390 pixels, margins excluded.
    #[must_use]
    pub const fn phone() -> Self {
        Self { width: 358, kind: Kind::Phone, height: None, font: 12 }
    }
}

/// Runs beside each other need this width each; else they are below each other.
const COLUMN: u32 = 420;
/// More runs than this are below each other, and more than [`MOST_RUNS`] are not drawn.
const MOST_COLUMNS: usize = 4;
const MOST_RUNS: usize = 12;
/// Lists of more marks are closed at first.
const OPEN_LIST: usize = 12;

/// The timeline of a run, or of several on the same axes. `now` is drawn in runs that are not over.
#[must_use]
pub fn timeline(runs: &[&KinesisDemoRun], now: Option<MicroTime>, size: Size) -> Markup {
    timeline_with(runs, &[], now, size)
}

/// The same, with the load of the shards of each run where it is known.
#[must_use]
pub fn timeline_with(
    runs: &[&KinesisDemoRun],
    loads: &[Option<Arc<ShardLoads>>],
    now: Option<MicroTime>,
    size: Size,
) -> Markup {
    let runs = runs.get(..MOST_RUNS).unwrap_or(runs);
    let loads: Vec<Option<&Arc<ShardLoads>>> =
        loads.iter().map(Option::as_ref).chain(std::iter::repeat(None)).take(runs.len()).collect();
    let several = runs.len() > 1;
    let columns = match u32::try_from(runs.len()) {
        Ok(count) if several && runs.len() <= MOST_COLUMNS && size.width / count >= COLUMN => runs.len(),
        _ => 1,
    };
    // Below each other they share the height.
    let stacked = u32::try_from(runs.len().div_ceil(columns.max(1))).unwrap_or(1).max(1);
    let size = Size { height: size.height.map(|height| height / stacked), ..size };
    let measures = Measures::of(size, columns);
    let data: Vec<Data> = runs.iter().zip(&loads).map(|(run, loads)| Data::of(run, *loads, now)).collect();
    let extents = Extents::of(&data);
    let pills: Vec<_> = data.iter().map(|data| figure::pills(data, &extents, &measures)).collect();
    let rows = pills.iter().flatten().map(|pill| pill.row + 1).max().unwrap_or(0);
    let kind = match size.kind {
        Kind::Normal => "kd-normal",
        Kind::Presenter => "kd-presenter",
        Kind::Phone => "kd-phone",
    };
    html! {
        div class={ "kd-timeline " (kind) " kd-columns-" (columns) } {
            @for ((((run, loads), data), pills), name) in runs.iter().zip(&loads).zip(&data).zip(&pills).zip(labels(runs)) {
                figure class="kd-figure" {
                    @if several { (heading(run, &name)) }
                    (figure::draw(data, &extents, &measures, (pills, rows), (&title(run), &says(run))))
                    figcaption {
                        (marks_list(run, size.kind))
                        div class="kd-spoken" { (phases::spoken(run)) }
                        @if let Some(shards) = data.heat.as_ref().and(*loads).and_then(|loads| loads.spoken(zero(run))) {
                            p class="kd-spoken" { (shards) }
                        }
                    }
                }
            }
        }
    }
}

/// What the runs of a figure are called: of two, by their difference.
#[must_use]
pub fn labels(runs: &[&KinesisDemoRun]) -> Vec<String> {
    match runs {
        [a, b] => names(a, b).into(),
        runs => runs.iter().map(|run| title(run)).collect(),
    }
}

/// `viral-event, run 3`.
#[must_use]
pub fn title(run: &KinesisDemoRun) -> String {
    format!("{}, run {}", clean(&run.spec.demo, 63), run.spec.run)
}

/// The verdict on a record.
#[must_use]
pub fn says(run: &KinesisDemoRun) -> String {
    let Some(status) = &run.status else { return "nothing recorded yet".to_owned() };
    verdict(status.outcome, &status.totals.clone().unwrap_or_default(), &status.phases)
}

fn heading(run: &KinesisDemoRun, name: &str) -> Markup {
    let totals = run.status.as_ref().and_then(|status| status.totals.as_ref());
    let outcome = run.status.as_ref().and_then(|status| status.outcome);
    let share = totals.and_then(|totals| percent(totals.accepted, due(outcome, totals)));
    let throttled = totals.is_some_and(|totals| totals.throttled > 0);
    let title = match name == clean(&run.spec.demo, 63) {
        true => format!("run {}", run.spec.run),
        false => title(run),
    };
    html! {
        div class="kd-heading" {
            span class="kd-heading-name" { (name) }
            @if let Some(share) = share { span class="kd-heading-share" { (share) " delivered" } }
            @if totals.is_some() {
                span class=(if throttled { "kd-chip kd-chip-bad" } else { "kd-chip kd-chip-good" }) { (if throttled { "throttled" } else { "not throttled" }) }
            }
            @if name != title { span class="kd-heading-run" { (title) } }
        }
    }
}

/// The marks as a list: when, and what.
fn marks_list(run: &KinesisDemoRun, kind: Kind) -> Markup {
    let Some(status) = run.status.as_ref().filter(|status| !status.marks.is_empty()) else { return html! {} };
    let zero = zero(run);
    let mut marks: Vec<_> = status.marks.iter().take(kinesis_demo_api::run_record::MOST_MARKS).collect();
    marks.sort_by_key(|mark| mark.at);
    let list = html! {
        ol class="kd-marks" {
            @for (mark, number) in marks.iter().zip(1..) {
                li class=(figure::class_of(mark.kind)) {
                    span class="kd-mark-number" { (number) }
                    span class="kd-mark-at" { (offset(mark.at, zero)) }
                    span class="kd-mark-text" { (clean(&mark.text, 160)) }
                }
            }
        }
        @if status.marks_omitted > 0 { p class="kd-muted" { "and " (status.marks_omitted) " further marks, not recorded" } }
    };
    html! {
        @if kind == Kind::Presenter {
            div class="kd-spoken" { (list) }
        } @else {
            details class="kd-marks-list" open=[(marks.len() <= OPEN_LIST).then_some("")] {
                summary { "Marks (" (marks.len()) ")" }
                (list)
            }
        }
    }
}

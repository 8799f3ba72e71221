//! The phases of a run as a table. In: a record. Out: rows, which HTML, Markdown and the comparison
//! show; the same as an HTML table, for eyes and for screen readers. Pure.

use kinesis_demo_api::KinesisDemoRun;
use kinesis_demo_api::status::{PhaseReport, TotalsStatus};
use maud::{Markup, html};

use crate::text::{clean, grouped, per_second, percent, span};

/// A table of more rows would not be read. (A KinesisDemo has at most 20 phases.)
const MOST_PHASES: usize = 100;

/// The titles of the columns. The first is the phase's name; the others are numbers.
pub const HEADER: [&str; 13] = [
    "Phase",
    "Lasts",
    "Target/s",
    "Accepted/s",
    "Scheduled",
    "Accepted",
    "Delivered",
    "Throttled",
    "Failed",
    "Dropped",
    "Not sent",
    "p50 ms",
    "p99 ms",
];

/// A row of the table, and the counts of its bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub cells: [String; 13],
    pub totals: TotalsStatus,
}

/// A row for each phase of the record, and one for all.
#[must_use]
pub fn rows(run: &KinesisDemoRun) -> Vec<Row> {
    let Some(status) = &run.status else { return Vec::new() };
    let mut rows: Vec<Row> = status.phases.iter().take(MOST_PHASES).map(row).collect();
    if let Some(totals) = &status.totals {
        let mut cells: [String; 13] = Default::default();
        fill(&mut cells, "All", totals);
        rows.push(Row { cells, totals: totals.clone() });
    }
    rows
}

fn row(phase: &PhaseReport) -> Row {
    let mut cells: [String; 13] = Default::default();
    let name = clean(&phase.name, 40);
    let name = if phase.begun { name } else { format!("{name} (not begun)") };
    fill(&mut cells, &name, &phase.totals);
    let long = phase.ends_at.since(phase.starts_at);
    let latency = |of: Option<u32>| of.map_or_else(String::new, |millis| grouped(millis.into()));
    let timed = [
        (1, span(long)),
        (2, grouped(phase.records_per_second.into())),
        (3, grouped(per_second(phase.totals.accepted, long))),
        (11, latency(phase.latency_ms.map(|latency| latency.p50))),
        (12, latency(phase.latency_ms.map(|latency| latency.p99))),
    ];
    for (column, text) in timed {
        if let Some(cell) = cells.get_mut(column) {
            *cell = text;
        }
    }
    Row { cells, totals: phase.totals.clone() }
}

fn fill(cells: &mut [String; 13], name: &str, totals: &TotalsStatus) {
    let TotalsStatus {
        scheduled, accepted, throttled, failed, dropped, unknown, unoffered, unreported, ..
    } = *totals;
    let [first, _, _, _, whole, accepted_cell, share, throttles, fails, drops, unsent, _, _] = cells;
    *first = name.to_owned();
    *whole = grouped(scheduled);
    *accepted_cell = grouped(accepted);
    *share = percent(accepted, scheduled).unwrap_or_default();
    *throttles = grouped(throttled);
    *fails = grouped(failed);
    *drops = grouped(dropped);
    // What nobody knows to have been sent.
    *unsent = grouped(unknown.saturating_add(unoffered).saturating_add(unreported));
}

/// The table, each row with a bar of what came of its records.
#[must_use]
pub fn table(run: &KinesisDemoRun) -> Markup {
    let rows = rows(run);
    html! {
        div class="kd-scroll" tabindex="0" role="region" aria-label="Phases, in numbers" {
        table class="kd-table" {
            caption class="kd-spoken" { "Phases of " (clean(&run.spec.demo, 63)) ", run " (run.spec.run) }
            thead {
                tr {
                    @for (index, title) in HEADER.iter().enumerate() {
                        th scope="col" class=[(index > 0).then_some("kd-number")] { (title) }
                    }
                }
            }
            tbody {
                @for (index, row) in rows.iter().enumerate() {
                    tr class=[(index + 1 == rows.len()).then_some("kd-total")] {
                        @for ((column, cell), title) in row.cells.iter().enumerate().zip(HEADER) {
                            @if column == 0 {
                                th scope="row" { (cell) (bar(&row.totals)) }
                            } @else {
                                td class=(class_of(column, &row.totals)) data-label=(title) { (cell) }
                            }
                        }
                    }
                }
            }
        }
        }
    }
}

fn class_of(column: usize, totals: &TotalsStatus) -> &'static str {
    let bad = match column {
        7 => totals.throttled > 0,
        8 => totals.failed > 0,
        9 => totals.dropped > 0,
        _ => false,
    };
    if bad { "kd-number kd-bad" } else { "kd-number" }
}

/// What came of the scheduled records, as a bar.
fn bar(totals: &TotalsStatus) -> Markup {
    let TotalsStatus { scheduled, accepted, failed, dropped, .. } = *totals;
    let whole = accepted.max(scheduled).max(1) as f64;
    let mut at = 0.0;
    let parts = [(accepted, "kd-bar-accepted"), (failed, "kd-bar-failed"), (dropped, "kd-bar-dropped")].map(
        |(count, class)| {
            let start: f64 = at;
            let width = (count as f64 / whole * 100.0).min(100.0 - start).max(0.0);
            at = start + width;
            (class, start, width)
        },
    );
    html! {
        svg class="kd-bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" width="100" height="4" {
            rect class="kd-bar-rest" x="0" y="0" width="100" height="4" {}
            @for (class, start, width) in parts {
                @if width > 0.0 { rect class=(class) x=(format!("{start:.2}")) y="0" width=(format!("{width:.2}")) height="4" {} }
            }
        }
    }
}

/// What a figure shows, for those who listen: one sentence for each phase.
#[must_use]
pub fn spoken(run: &KinesisDemoRun) -> Markup {
    let rows = rows(run);
    html! {
        table {
            caption { "The figure in numbers: " (clean(&run.spec.demo, 63)) ", run " (run.spec.run) }
            thead { tr { @for title in HEADER { th scope="col" { (title) } } } }
            tbody {
                @for row in rows {
                    tr {
                        @for (column, cell) in row.cells.iter().enumerate() {
                            @if column == 0 { th scope="row" { (cell) } } @else { td { (cell) } }
                        }
                    }
                }
            }
        }
    }
}

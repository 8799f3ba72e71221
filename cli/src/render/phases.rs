//! The phases of a run as a table. Pure.

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::status::PhaseReport;

use super::number::{grouped, per_second};
use super::table::{Align, table};

/// Target and achieved rate, refusals and latency of every phase; of those that have not begun, the target only.
#[must_use]
pub fn phases(reports: &[PhaseReport], now: MicroTime) -> Vec<String> {
    let header = [
        ("PHASE", Align::Left),
        ("TARGET/s", Align::Right),
        ("ACHIEVED/s", Align::Right),
        ("SCHEDULED", Align::Right),
        ("ACCEPTED", Align::Right),
        ("THROTTLED", Align::Right),
        ("P50 ms", Align::Right),
        ("P99 ms", Align::Right),
        ("MAX ms", Align::Right),
    ];
    let rows: Vec<Vec<String>> = reports.iter().map(|report| row(report, now)).collect();
    table(&header, &rows)
}

fn row(report: &PhaseReport, now: MicroTime) -> Vec<String> {
    let mut cells = vec![report.name.clone(), grouped(report.records_per_second.into())];
    if report.starts_at > now {
        return cells;
    }
    let books = &report.books;
    let lasted = report.ends_at.min(now).since(report.starts_at);
    cells.extend([
        grouped(per_second(books.accepted, lasted)),
        grouped(books.scheduled),
        grouped(books.accepted),
        grouped(books.throttled),
    ]);
    if let Some(latency) = report.latency_ms {
        cells.extend([latency.p50, latency.p99, latency.max].map(|millis| grouped(millis.into())));
    }
    cells
}

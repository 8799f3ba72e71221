//! The summary at the end of a demo. In: the report and the object. Out: lines. Pure.

use kinesis_demo_api::{KinesisDemo, MicroTime};
use kinesis_demo_report::facts::cost;
use kinesis_demo_report::text::sentence;
use kinesis_demo_report::verdict::verdict;

use super::report::{PhaseRow, Report};
use crate::render::number::{grouped, per_second};
use crate::render::printable::printable;
use crate::render::table::{Align, table_within};
use crate::render::wrap::wrap;

/// How many points of a series are shown.
const POINTS: usize = 8;

/// What the run delivered, in a sentence; phases with target and achieved rate, throttled, failed
/// and dropped records, and latency; tasks, shards and warm throughput over time; what was left
/// behind.
#[must_use]
pub fn summary(report: &Report, demo: Option<&KinesisDemo>, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = demo.map(|demo| wrap(&delivered(demo), width)).unwrap_or_default();
    lines.push(format!("Outcome: {}", report.outcome));
    if !report.phases.is_empty() {
        lines.push(String::new());
        lines.extend(phases(&report.phases, width));
        let sum = |count: fn(&PhaseRow) -> u64| grouped(report.phases.iter().map(count).sum());
        lines.push(String::new());
        lines.push(format!(
            "Records: {} accepted, {} stored by the stream; {} failed, {} dropped",
            sum(|phase| phase.accepted),
            grouped(report.stored),
            sum(|phase| phase.failed),
            sum(|phase| phase.dropped)
        ));
        if report.unreported > 0 {
            lines.push(format!(
                "         {} unreported (tasks that exited without a final ledger line)",
                grouped(report.unreported)
            ));
        }
    }
    let zero = report
        .tasks
        .first()
        .map(|sample| sample.at)
        .into_iter()
        .chain(report.stream.first().map(|sample| sample.at))
        .min();
    if let Some(zero) = zero {
        let tasks: Vec<_> =
            report.tasks.iter().map(|sample| (sample.at, u64::from(sample.running))).collect();
        let shards: Vec<_> =
            report.stream.iter().map(|sample| (sample.at, u64::from(sample.shards))).collect();
        let warm: Vec<_> =
            report.stream.iter().map(|sample| (sample.at, u64::from(sample.warm_current))).collect();
        // A cold stream has no warm throughput to show.
        let is_warm = report.stream.iter().any(|sample| sample.warm_target > 0);
        let warm = if is_warm { warm } else { Vec::new() };
        for (name, points) in [("Tasks", tasks), ("Shards", shards), ("Warm MiB/s", warm)]
            .into_iter()
            .filter(|(_, points)| !points.is_empty())
        {
            lines.push(format!("{name}: {}", series(&points, zero)));
        }
    }
    if let Some(cost) = demo.and_then(|demo| cost(demo.status.as_ref()?.cost.as_ref()?)) {
        lines.extend(wrap(&format!("Cost: nothing. On AWS {cost}"), width));
    }
    match report.leaked.as_slice() {
        [] => lines.push("Left behind: nothing".into()),
        left => {
            lines.push("Left behind:".into());
            lines.extend(left.iter().map(|line| format!("  {line}")));
        }
    }
    lines.iter().map(|line| printable(line)).collect()
}

/// The run in one sentence.
fn delivered(demo: &KinesisDemo) -> String {
    let status = demo.status.as_ref();
    let outcome = status.and_then(|status| status.run.as_ref()?.outcome);
    let totals = status.and_then(|status| status.traffic.as_ref()).map(|traffic| traffic.totals.clone());
    let phases = status.map(|status| status.phases.as_slice()).unwrap_or_default();
    sentence(&verdict(outcome, &totals.unwrap_or_default(), phases))
}

fn phases(rows: &[PhaseRow], width: usize) -> Vec<String> {
    let header = [
        ("PHASE", Align::Left),
        ("TARGET/s", Align::Right),
        ("ACHIEVED/s", Align::Right),
        ("ACCEPTED", Align::Right),
        ("OF SCHEDULED", Align::Right),
        ("THROTTLED", Align::Right),
        ("FAILED", Align::Right),
        ("DROPPED", Align::Right),
        ("CHANGED IN ms", Align::Right),
        ("P50 ms", Align::Right),
        ("P99 ms", Align::Right),
        ("MAX ms", Align::Right),
    ];
    let rows: Vec<Vec<String>> = rows.iter().map(phase).collect();
    table_within(&header, &rows, 1, width)
}

fn phase(row: &PhaseRow) -> Vec<String> {
    let mut cells = vec![row.name.clone(), grouped(row.target.into())];
    cells.push(match (row.started_at, row.ended_at) {
        (Some(started_at), Some(ended_at)) => grouped(per_second(row.accepted, ended_at.since(started_at))),
        (Some(_), None) => "cut short".to_owned(),
        (None, _) => {
            cells.push("not started".to_owned());
            return cells;
        }
    });
    cells.extend([
        grouped(row.accepted),
        percent(row.accepted, row.scheduled),
        grouped(row.throttled),
        grouped(row.failed),
        grouped(row.dropped),
        row.changed_within_ms.map_or_else(|| "-".to_owned(), |millis| grouped(millis.into())),
    ]);
    if let Some(latency) = row.latency_ms {
        cells.extend([latency.p50, latency.p99, latency.max].map(|millis| grouped(millis.into())));
    }
    cells
}

/// A percentage with two decimals, rounded down: 100.00 % means all.
fn percent(part: u64, whole: u64) -> String {
    match (u128::from(part) * 10_000).checked_div(u128::from(whole)) {
        Some(hundredths) => format!("{}.{:02} %", hundredths / 100, hundredths % 100),
        None => String::new(),
    }
}

/// The changes of a value since the first sample, such as `0s 4, 12s 8`. A long series is reduced
/// to the first, the last, and evenly spaced changes between.
fn series(points: &[(MicroTime, u64)], zero: MicroTime) -> String {
    let mut changes: Vec<(MicroTime, u64)> = Vec::new();
    for point in points {
        if changes.last().is_none_or(|last| last.1 != point.1) {
            changes.push(*point);
        }
    }
    let step = changes.len().div_ceil(POINTS).max(1);
    let last = changes.len().saturating_sub(1);
    let shown: Vec<_> = changes
        .iter()
        .enumerate()
        .filter(|(index, _)| index % step == 0 || *index == last)
        .map(|(_, (at, value))| format!("{}s {}", at.since(zero).as_secs(), grouped(*value)))
        .collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::samples::{StreamSample, TaskSample};
    use kinesis_demo_api::status::LatencyStatus;

    const WIDE: usize = 200;

    fn at(second: i64) -> MicroTime {
        MicroTime::from_micros(second * 1_000_000)
    }

    fn report() -> Report {
        let phase = |name: &str, target: u32, started_at, ended_at, accepted| PhaseRow {
            name: name.into(),
            target,
            started_at,
            ended_at,
            scheduled: u64::from(target) * 10,
            offered: accepted,
            accepted,
            throttled: 3,
            failed: 7,
            dropped: 0,
            unknown: 0,
            unoffered: 0,
            unreported: 0,
            excess: 0,
            changed_within_ms: (name == "peak").then_some(170),
            latency_ms: Some(LatencyStatus { p50: 2, p99: 12, max: 80 }),
        };
        Report {
            outcome: "Aborted".into(),
            phases: vec![
                phase("baseline", 100, Some(at(0)), Some(at(10)), 1000),
                phase("peak", 50_000, Some(at(10)), Some(at(20)), 499_999),
                phase("decline", 100, Some(at(20)), None, 5),
                phase("coda", 100, None, None, 0),
            ],
            unreported: 0,
            stored: 501_004,
            tasks: vec![
                TaskSample { at: at(0), desired: 10, running: 1 },
                TaskSample { at: at(5), desired: 10, running: 10 },
            ],
            stream: vec![StreamSample { at: at(0), shards: 4, warm_target: 100, warm_current: 100 }],
            leaked: vec![],
        }
    }

    #[test]
    fn the_table_shows_rates_and_rounds_percentages_down() {
        let lines = summary(&report(), None, WIDE);
        let row = |name: &str| {
            lines.iter().find(|line| line.starts_with(name)).unwrap().split_whitespace().collect::<Vec<_>>()
        };
        assert_eq!(
            row("baseline")[1..],
            ["100", "100", "1,000", "100.00", "%", "3", "7", "0", "-", "2", "12", "80"]
        );
        assert_eq!(row("peak")[1..10], ["50,000", "50,000", "499,999", "99.99", "%", "3", "7", "0", "170"]);
        assert_eq!(row("decline")[1..5], ["100", "cut", "short", "5"]);
        assert_eq!(row("coda")[1..], ["100", "not", "started"]);
    }

    #[test]
    fn the_first_line_says_what_was_delivered() {
        let mut demo = crate::render::fixture::peak();
        demo.status.as_mut().unwrap().traffic.as_mut().unwrap().totals.accepted = 30_100;
        let lines = summary(&report(), Some(&demo), WIDE);
        assert_eq!(lines[..2], ["So far delivered 10 % of 301,000 records: 12 dropped.", "Outcome: Aborted"]);
        let records = "Records: 501,004 accepted, 501,004 stored by the stream; 28 failed, 0 dropped";
        assert!(lines.contains(&records.to_owned()), "{lines:#?}");
    }

    #[test]
    fn the_cost_on_aws_is_before_what_was_left() {
        let mut demo = crate::render::fixture::peak();
        let status = demo.status.as_mut().unwrap();
        status.cost = serde_json::from_value(serde_json::json!({"estimate": {
            "lowUsd": "0.04", "expectedUsd": "0.05", "highUsd": "0.11", "advantageMinimumUsd": "101.25",
            "pricesAsOf": "2026-11-22",
        }, "soFarUsd": "0.06", "meter": {"until": "2026-11-22T10:01:00Z", "taskMillis": 1, "streamMillis": 1}}))
        .unwrap();
        let lines = summary(&report(), Some(&demo), WIDE);
        assert_eq!(
            lines[lines.len() - 2],
            "Cost: nothing. On AWS $0.06, expected about $0.05 ($0.04 to $0.11), and at least $101.25 for 24 hours of On-demand \
             Advantage, used or not"
        );
        demo.status.as_mut().unwrap().cost =
            serde_json::from_value(serde_json::json!({"unknown": "no prices"})).unwrap();
        let lines = summary(&report(), Some(&demo), WIDE);
        assert_eq!(lines[lines.len() - 2], "Cost: nothing. On AWS unknown: no prices");
    }

    #[test]
    fn series_show_changes_and_the_end_shows_leaked_resources() {
        let mut report = report();
        let lines = summary(&report, None, WIDE);
        assert!(lines.contains(&"Tasks: 0s 1, 5s 10".to_owned()), "{lines:#?}");
        assert!(lines.contains(&"Shards: 0s 4".to_owned()));
        assert_eq!(lines.last().unwrap(), "Left behind: nothing");
        assert!(lines.contains(&"Warm MiB/s: 0s 100".to_owned()));
        // With Advantage a cold stream has warm throughput that was not requested.
        report.stream[0].warm_target = 0;
        assert!(!summary(&report, None, WIDE).iter().any(|line| line.starts_with("Warm")));
        report.leaked = vec!["process etcd (pid 7)".into()];
        assert_eq!(summary(&report, None, WIDE).last().unwrap(), "  process etcd (pid 7)");
    }

    #[test]
    fn a_long_series_is_thinned_but_keeps_first_and_last() {
        let points: Vec<_> = (0..100).map(|second| (at(second), u64::try_from(second).unwrap())).collect();
        let text = series(&points, at(0));
        assert!(text.starts_with("0s 0, ") && text.ends_with("99s 99"));
        assert!(text.split(", ").count() <= POINTS + 1);
    }
}

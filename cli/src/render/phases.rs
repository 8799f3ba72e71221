//! Renders the phases of a run as a table. Pure.

use kinesis_demo_api::status::{PhaseReport, TrafficStatus};
use kinesis_demo_api::{KinesisDemoStatus, MicroTime, Stage};

use super::number::{grouped, per_second};
use super::table::{Align, table_within};

/// Target and achieved rate, rejections and latency of every phase. A phase that has not begun has
/// only its target.
#[must_use]
pub fn phases(status: &KinesisDemoStatus, now: MicroTime, width: usize) -> Vec<String> {
    let header = [
        ("PHASE", Align::Left),
        ("TARGET/s", Align::Right),
        ("ACHIEVED/s", Align::Right),
        ("SCHEDULED", Align::Right),
        ("ACCEPTED", Align::Right),
        ("THROTTLED", Align::Right),
        ("FAILED", Align::Right),
        ("P50 ms", Align::Right),
        ("P99 ms", Align::Right),
        ("MAX ms", Align::Right),
    ];
    let (traffic, now) = measured(status, now);
    let rows: Vec<Vec<String>> = status.phases.iter().map(|report| row(report, traffic, now)).collect();
    table_within(&header, &rows, 1, width)
}

/// The traffic of the current phase, if there is one, and the instant up to which phases have
/// lasted.
pub(super) fn measured(status: &KinesisDemoStatus, now: MicroTime) -> (Option<&TrafficStatus>, MicroTime) {
    // After the end of the traffic, no phase continues or begins.
    let now = status.run.as_ref().and_then(|run| run.ends_at).map_or(now, |ends_at| now.min(ends_at));
    // Once the traffic is over, there is no current phase.
    (status.traffic.as_ref().filter(|_| status.stage == Some(Stage::Running)), now)
}

/// The phase at an instant, by the schedule. It does not depend on when the operator updates the
/// status.
#[must_use]
pub fn phase_at(reports: &[PhaseReport], now: MicroTime) -> Option<(usize, &PhaseReport)> {
    reports.iter().enumerate().find(|(_, report)| (report.starts_at..report.ends_at).contains(&now))
}

fn row(report: &PhaseReport, traffic: Option<&TrafficStatus>, now: MicroTime) -> Vec<String> {
    let mut cells = vec![report.name.clone(), grouped(report.records_per_second.into())];
    if report.starts_at >= now {
        return cells;
    }
    let totals = &report.totals;
    cells.extend([
        achieved(report, traffic, now).map(grouped).unwrap_or_default(),
        grouped(totals.scheduled),
        grouped(totals.accepted),
        grouped(totals.throttled),
        grouped(totals.failed),
    ]);
    if let Some(latency) = report.latency_ms {
        cells.extend([latency.p50, latency.p99, latency.max].map(|millis| grouped(millis.into())));
    }
    cells
}

/// The achieved rate. For the current phase, the latest rate. For a phase that is over or was cut
/// short, the accepted records divided by its length. The totals only cover the time up to the last
/// read, so the length ends there too. `None` until records of the phase were reported.
pub(super) fn achieved(report: &PhaseReport, traffic: Option<&TrafficStatus>, now: MicroTime) -> Option<u64> {
    let is_current = now < report.ends_at;
    let Some(traffic) = traffic else {
        let until = report.ends_at.min(now);
        return Some(per_second(report.totals.accepted, until.since(report.starts_at)));
    };
    let is_of_this_phase = traffic.rate_from.is_none_or(|from| from >= report.starts_at);
    if is_current && is_of_this_phase && traffic.sampled_at > report.starts_at {
        return Some(traffic.rate);
    }
    let seen_until = report.ends_at.min(now).min(traffic.rate_until.unwrap_or(traffic.sampled_at));
    (seen_until > report.starts_at)
        .then(|| per_second(report.totals.accepted, seen_until.since(report.starts_at)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::fixture::demo;
    use serde_json::{Value, json};

    const WIDE: usize = 200;

    fn at(text: &str) -> MicroTime {
        format!("2026-11-22T10:00:{text}Z").parse::<jiff::Timestamp>().unwrap().into()
    }

    /// ACHIEVED of the peak, which lasts from second 22 to 37 and has 180,000 accepted.
    fn achieved_of_the_peak(now: &str, stage: &str, traffic: Value) -> String {
        let totals = json!({"scheduled": 0, "offered": 0, "accepted": 0, "throttled": 0, "failed": 0, "dropped": 0,
            "unknown": 0, "unoffered": 0, "unreported": 0, "rate": 48_000, "settled": false});
        let mut whole = totals;
        for (member, value) in traffic.as_object().unwrap() {
            whole[member] = value.clone();
        }
        let demo = demo(json!({"stage": stage, "traffic": whole}));
        let lines = phases(&demo.status.unwrap(), at(now), WIDE);
        lines[3].split_whitespace().nth(2).unwrap_or_default().to_owned()
    }

    #[test]
    fn current_phase_shows_the_latest_rate() {
        let sampled = |from: &str, until: &str| json!({"sampledAt": at(until), "rateFrom": at(from), "rateUntil": at(until)});
        assert_eq!(achieved_of_the_peak("30", "Running", sampled("24", "26")), "48,000");
        assert_eq!(achieved_of_the_peak("30", "Running", json!({"sampledAt": at("26")})), "48,000");
        // The rate belongs to the previous phase, so the accepted records up to the last read
        // count.
        assert_eq!(achieved_of_the_peak("30", "Running", sampled("20", "26")), "45,000");
        // Nothing was reported yet, so ACHIEVED is empty, not zero: the next cell is SCHEDULED.
        assert_eq!(achieved_of_the_peak("23", "Running", sampled("19", "21")), "180,000");
    }

    #[test]
    fn finished_phase_shows_accepted_records_per_second() {
        let late = json!({"sampledAt": at("38"), "rateFrom": at("36"), "rateUntil": at("38")});
        assert_eq!(achieved_of_the_peak("40", "Running", late.clone()), "12,000");
        assert_eq!(achieved_of_the_peak("50", "Succeeded", late), "12,000");
    }

    #[test]
    fn stopped_run_is_measured_over_the_time_in_which_it_sent() {
        for stage in ["Draining", "CleaningUp", "Aborted", "Failed"] {
            let run = json!({"number": 1, "stageEnteredAt": at("40"), "endsAt": at("26")});
            let status = demo(json!({"stage": stage, "run": run})).status.unwrap();
            let rows: Vec<String> = phases(&status, at("50"), WIDE);
            let cells = |row: &String| row.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>();
            let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
            let begins = |row: &[String]| row[..3.min(row.len())].join(" ");
            let shown: Vec<String> = rows[1..].iter().map(|row| begins(row)).collect();
            let expected = ["baseline 100 100", "spike 10,000 10,000", "peak 50,000 45,000", "decline 100"];
            assert_eq!(shown, expected, "{stage}: the peak has 180,000 in 4 s; the decline never began");
        }
    }

    #[test]
    fn throttled_and_failed_have_their_own_columns() {
        let mut status = demo(json!({})).status.unwrap();
        status.phases[2].totals.throttled = 1_234;
        status.phases[2].totals.failed = 56;
        let lines = phases(&status, at("26"), WIDE);
        let cells = |line: &str| line.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>();
        let header = cells(&lines[0]);
        let peak = cells(&lines[3]);
        let of = |title: &str| peak[header.iter().position(|cell| cell == title).unwrap()].clone();
        assert_eq!((of("THROTTLED"), of("FAILED")), ("1,234".into(), "56".into()));
    }

    #[test]
    fn current_phase_is_found_by_time() {
        let status = demo(json!({})).status.unwrap();
        let name =
            |now: &str| phase_at(&status.phases, at(now)).map(|(index, report)| (index, report.name.clone()));
        assert_eq!(name("21.9"), Some((1, "spike".into())));
        assert_eq!(name("22"), Some((2, "peak".into())));
        assert_eq!(name("47"), None);
    }
}

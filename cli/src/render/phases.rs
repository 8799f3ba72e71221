//! The phases of a run as a table. Pure.

use kinesis_demo_api::status::{PhaseReport, TrafficStatus};
use kinesis_demo_api::{KinesisDemoStatus, MicroTime, Stage};

use super::number::{grouped, per_second};
use super::table::{Align, table_within};

/// Target and achieved rate, refusals and latency of every phase; of those that have not begun, the target only.
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
    // Once the traffic is over, no instant is one of a phase that goes on.
    let traffic = status.traffic.as_ref().filter(|_| status.stage == Some(Stage::Running));
    let rows: Vec<Vec<String>> = status.phases.iter().map(|report| row(report, traffic, now)).collect();
    table_within(&header, &rows, 1, width)
}

/// The phase that goes on at an instant, by the schedule. Who watches need not wait until the operator says so.
#[must_use]
pub fn phase_at(reports: &[PhaseReport], now: MicroTime) -> Option<(usize, &PhaseReport)> {
    reports.iter().enumerate().find(|(_, report)| (report.starts_at..report.ends_at).contains(&now))
}

fn row(report: &PhaseReport, traffic: Option<&TrafficStatus>, now: MicroTime) -> Vec<String> {
    let mut cells = vec![report.name.clone(), grouped(report.records_per_second.into())];
    if report.starts_at > now {
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

/// Of the phase that goes on, the newest rate; of one that is over, what it took over its length. The books are as old as the last
/// look: what was sent since then is no shortfall. None until something of the phase has been seen.
fn achieved(report: &PhaseReport, traffic: Option<&TrafficStatus>, now: MicroTime) -> Option<u64> {
    let goes_on = now < report.ends_at;
    let Some(traffic) = traffic else {
        let until = report.ends_at.min(now);
        return Some(per_second(report.totals.accepted, until.since(report.starts_at)));
    };
    let is_of_this_phase = traffic.rate_from.is_none_or(|from| from >= report.starts_at);
    if goes_on && is_of_this_phase && traffic.sampled_at > report.starts_at {
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

    /// ACHIEVED of the peak, which goes on from second 22 until 37 and has 180,000 accepted.
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
    fn the_phase_that_goes_on_achieves_the_newest_rate() {
        let sampled = |from: &str, until: &str| json!({"sampledAt": at(until), "rateFrom": at(from), "rateUntil": at(until)});
        assert_eq!(achieved_of_the_peak("30", "Running", sampled("24", "26")), "48,000");
        assert_eq!(achieved_of_the_peak("30", "Running", json!({"sampledAt": at("26")})), "48,000");
        // A rate of the phase before says nothing of this one: what was accepted up to the last look does.
        assert_eq!(achieved_of_the_peak("30", "Running", sampled("20", "26")), "45,000");
        // Nothing of it has been seen yet: that is no zero, and what comes next in the row is what was scheduled.
        assert_eq!(achieved_of_the_peak("23", "Running", sampled("19", "21")), "180,000");
    }

    #[test]
    fn a_phase_that_is_over_achieves_what_it_took_over_its_length() {
        let late = json!({"sampledAt": at("38"), "rateFrom": at("36"), "rateUntil": at("38")});
        assert_eq!(achieved_of_the_peak("40", "Running", late.clone()), "12,000");
        assert_eq!(achieved_of_the_peak("50", "Succeeded", late), "12,000");
    }

    #[test]
    fn refusals_and_losses_have_a_column_each() {
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
    fn the_clock_says_which_phase_it_is() {
        let status = demo(json!({})).status.unwrap();
        let name =
            |now: &str| phase_at(&status.phases, at(now)).map(|(index, report)| (index, report.name.clone()));
        assert_eq!(name("21.9"), Some((1, "spike".into())));
        assert_eq!(name("22"), Some((2, "peak".into())));
        assert_eq!(name("47"), None);
    }
}

//! A live run: sums per phase, statuses that come twice or late, another run, another object.

use kinesis_demo_api::run_record::{CapacityStep, MarkKind, TrafficPoint};
use serde_json::{Value, json};

use super::*;
use crate::render::fixture;

const SCHEDULED: usize = 0;
const ACCEPTED: usize = 2;
const THROTTLED: usize = 3;

fn at(text: &str) -> MicroTime {
    MicroTime::from(format!("2026-11-22T{text}Z").parse::<jiff::Timestamp>().unwrap())
}

/// The status `second` seconds into a run of 100/s for 10 s, then 1,000/s for 10 s, half throttled;
/// the tasks report two seconds late.
fn demo_at(second: u64, version: u64) -> KinesisDemo {
    let in_phase = |elapsed: u64, rate: u64| elapsed.min(10) * rate;
    let phase = |index: u64, name: &str, rate: u64, throttles: bool| {
        let scheduled = in_phase(second.saturating_sub(10 * index), rate);
        let offered = in_phase(second.saturating_sub(10 * index + 2), rate);
        let throttled = if throttles { offered / 2 } else { 0 };
        json!({"name": name, "recordsPerSecond": rate, "tasks": 1,
            "startsAt": at(&format!("10:00:{:02}", 10 * index)), "endsAt": at(&format!("10:00:{:02}", 10 * index + 10)),
            "begun": second >= 10 * index, "scheduled": scheduled, "offered": offered, "accepted": offered - throttled,
            "throttled": throttled, "failed": throttled, "dropped": 0, "unknown": 0, "unoffered": 0, "unreported": 0,
            "latencyMs": {"p50": 3, "p99": 30, "max": 50}})
    };
    let phases = [phase(0, "calm", 100, false), phase(1, "peak", 1_000, true)];
    let total = |field: &str| phases.iter().map(|phase| phase[field].as_u64().unwrap()).sum::<u64>();
    let mut traffic = json!({"rate": 0, "sampledAt": at(&format!("10:00:{second:02}")), "settled": false,
        "rateUntil": at(&format!("10:00:{:02}", second.saturating_sub(2)))});
    for field in [
        "scheduled",
        "offered",
        "accepted",
        "throttled",
        "failed",
        "dropped",
        "unknown",
        "unoffered",
        "unreported",
    ] {
        traffic[field] = json!(total(field));
    }
    let changes = json!({"phases": phases, "traffic": traffic, "phase": null,
        "run": {"number": 1, "stageEnteredAt": at("10:00:00"), "startedAt": at("09:59:00"), "endsAt": at("10:00:20")}});
    versioned(fixture::demo(changes), version)
}

fn versioned(mut demo: KinesisDemo, version: u64) -> KinesisDemo {
    demo.metadata.resource_version = Some(version.to_string());
    demo.metadata.uid = Some("3f2a9c1e-0000".into());
    demo
}

fn with_status(demo: &KinesisDemo, version: u64, changes: Value) -> KinesisDemo {
    let mut value = serde_json::to_value(demo).unwrap();
    for (member, change) in changes.as_object().unwrap() {
        value["status"][member] = change.clone();
    }
    versioned(serde_json::from_value(value).unwrap(), version)
}

fn observed(seconds: impl IntoIterator<Item = u64>) -> LiveRun {
    let mut live = LiveRun::default();
    for second in seconds {
        live.observe(&demo_at(second, second + 1), at(&format!("10:00:{second:02}")));
    }
    live
}

fn points_of(run: &KinesisDemoRun, phase: usize) -> Vec<TrafficPoint> {
    let columns = run.status.as_ref().unwrap().traffic.as_ref();
    columns.into_iter().flat_map(TrafficColumns::points).filter(|point| point.phase == phase).collect()
}

/// The sums of the points of each phase, and the totals of each phase.
fn sums_and_totals(run: &KinesisDemoRun) -> (Vec<points::Counts>, Vec<points::Counts>) {
    let phases = &run.status.as_ref().unwrap().phases;
    let sums = (0..phases.len()).map(|index| points::sum(&points_of(run, index))).collect();
    (sums, phases.iter().map(|phase| counts(&phase.totals)).collect())
}

#[test]
fn points_add_up_to_the_totals_of_each_phase() {
    let merged = observed(0..=25).merged(None).unwrap();
    let (sums, totals) = sums_and_totals(&merged);
    assert_eq!(sums, totals);
    assert_eq!(totals[1][ACCEPTED..=THROTTLED], [5_000, 5_000]);
    // Each point lies within its phase, and the rate in it is the phase's.
    for (index, (rate, starts_at)) in [(100, at("10:00:00")), (1_000, at("10:00:10"))].into_iter().enumerate()
    {
        let points = points_of(&merged, index);
        assert_eq!(points.len(), 10, "{points:#?}");
        for (second, point) in points.iter().enumerate() {
            assert_eq!(point.from, starts_at + std::time::Duration::from_secs(second as u64), "{points:#?}");
            assert_eq!((point.scheduled, point.offered), (rate, rate), "{points:#?}");
        }
    }
    assert_eq!(merged.metadata.name.as_deref(), Some("quick-1-3f2a9"));
}

#[test]
fn scheduled_records_are_counted_up_to_where_tasks_have_reported() {
    let merged = observed(0..=15).merged(None).unwrap();
    let (sums, totals) = sums_and_totals(&merged);
    assert_eq!((sums[1][SCHEDULED], totals[1][SCHEDULED]), (3_000, 5_000));
    assert_eq!(sums[1][1..], totals[1][1..]);
    assert_eq!(points_of(&merged, 1).last().unwrap().until, at("10:00:13"));
}

#[test]
fn tasks_that_report_unevenly_do_not_bend_the_rate() {
    let mut live = LiveRun::default();
    for second in 0..=25 {
        // Some tasks have reported a second more than all have.
        let mut demo = demo_at(second, second + 1);
        let until = at("10:00:00") + std::time::Duration::from_secs(second.saturating_sub(3));
        demo.status.as_mut().unwrap().traffic.as_mut().unwrap().rate_until = Some(until);
        live.observe(&demo, at(&format!("10:00:{second:02}")));
        let points = live.merged(None).map(|run| points_of(&run, 1)).unwrap_or_default();
        assert!(points.iter().all(|point| (point.scheduled, point.offered) == (1_000, 1_000)), "{points:#?}");
    }
    let (sums, totals) = sums_and_totals(&live.merged(None).unwrap());
    assert_eq!(sums, totals);
}

#[test]
fn missed_repeated_and_late_statuses_change_no_sum() {
    let whole = observed(0..=25).merged(None).unwrap();
    let expected = sums_and_totals(&whole);
    for seconds in [vec![25], vec![0, 5, 5, 5, 14, 25, 25], vec![3, 9, 4, 12, 11, 25, 24, 1], vec![19, 25]] {
        let merged = observed(seconds.clone()).merged(None).unwrap();
        assert_eq!(sums_and_totals(&merged), expected, "{seconds:?}");
    }
}

#[test]
fn a_record_is_continued_without_counting_anything_twice() {
    let whole = observed(0..=25).merged(None).unwrap();
    for recorded in [1, 5, 12, 14, 22] {
        let mut record = observed(0..=recorded).merged(None).unwrap();
        let status = record.status.as_mut().unwrap();
        status.recorded_at = Some(at(&format!("10:00:{recorded:02}")));
        status.capacity = vec![CapacityStep {
            at: at("09:59:30"),
            shards: Some(4),
            warm_target: None,
            warm_current: None,
            tasks_desired: None,
            tasks_running: None,
        }];
        for live in [observed(0..=25), observed(15..=25)] {
            let merged = live.merged(Some(&record)).unwrap();
            assert_eq!(sums_and_totals(&merged), sums_and_totals(&whole), "{recorded}");
            assert_eq!(merged.status.unwrap().capacity[0].at, at("09:59:30"));
        }
    }
}

#[test]
fn the_newer_of_record_and_status_gives_the_totals() {
    let mut record = observed(0..=18).merged(None).unwrap();
    record.status.as_mut().unwrap().recorded_at = Some(at("10:00:18"));
    let merged = observed(0..=12).merged(Some(&record)).unwrap();
    assert_eq!(merged.status.as_ref().unwrap().phases, record.status.as_ref().unwrap().phases);
    let (sums, totals) = sums_and_totals(&merged);
    assert_eq!(sums[1][1..], totals[1][1..]);
}

#[test]
fn a_finished_record_is_shown_as_it_is() {
    let mut record = observed(0..=25).merged(None).unwrap();
    record.status.as_mut().unwrap().finished_at = Some(at("10:00:40"));
    record.status.as_mut().unwrap().marks.clear();
    assert_eq!(observed(0..=12).merged(Some(&record)), Some(record));
}

#[test]
fn totals_that_fall_take_records_from_the_last_points() {
    let mut live = observed(0..=15);
    // A new leader that has not read the whole log yet.
    let behind = demo_at(13, 1);
    let fallen = with_status(
        &demo_at(15, 1),
        99,
        json!({
            "phases": behind.status.as_ref().unwrap().phases,
            "traffic": {"sampledAt": at("10:00:16"), "rateUntil": at("10:00:13"), "rate": 0, "settled": false, "scheduled": 0,
                "offered": 0, "accepted": 0, "throttled": 0, "failed": 0, "dropped": 0, "unknown": 0, "unoffered": 0, "unreported": 0},
        }),
    );
    live.observe(&fallen, at("10:00:16"));
    let (sums, totals) = sums_and_totals(&live.merged(None).unwrap());
    assert_eq!(sums[1][1..], totals[1][1..]);
}

#[test]
fn the_next_run_and_a_recreated_object_start_anew() {
    let mut live = observed(0..=25);
    let run = json!({"number": 2, "stageEnteredAt": at("10:05:00")});
    let next = with_status(
        &demo_at(0, 1),
        50,
        json!({"run": run, "traffic": null, "phases": [], "stage": "Provisioning"}),
    );
    live.observe(&next, at("10:05:01"));
    let merged = live.merged(None).unwrap();
    assert_eq!(merged.spec.run, 2);
    let status = merged.status.unwrap();
    assert_eq!(status.traffic, None);
    let marks: Vec<_> = status.marks.iter().map(|mark| (mark.at, mark.text.as_str())).collect();
    assert_eq!(marks, [(at("10:05:00"), "Provisioning")]);

    let mut recreated = demo_at(3, 1);
    recreated.metadata.uid = Some("ffffffff-0000".into());
    recreated.metadata.creation_timestamp = serde_json::from_value(json!("2026-11-22T11:00:00Z")).unwrap();
    live.observe(&recreated, at("11:00:03"));
    assert_eq!(live.record_name().as_deref(), Some("quick-1-fffff"));
    // What the watch delivers late of the former object is ignored.
    live.observe(&demo_at(25, 60), at("11:00:04"));
    assert_eq!(live.record_name().as_deref(), Some("quick-1-fffff"));
}

#[test]
fn changes_between_statuses_become_marks_and_steps() {
    let mut live = observed(0..=9);
    live.observe(&demo_at(13, 20), at("10:00:13"));
    let stream = |shards: u32| json!({"name": "s", "arn": "arn", "status": "ACTIVE", "shards": shards});
    live.observe(&with_status(&demo_at(14, 21), 21, json!({"stream": stream(4)})), at("10:00:14"));
    let split = json!({"stream": stream(8), "stage": "Draining",
        "run": {"number": 1, "stageEnteredAt": at("10:00:15.5"), "startedAt": at("09:59:00"), "endsAt": at("10:00:20")}});
    live.observe(&with_status(&demo_at(15, 22), 22, split), at("10:00:16"));
    let status = live.merged(None).unwrap().status.unwrap();
    let marks: Vec<_> = status.marks.iter().map(|mark| (mark.at, mark.kind, mark.text.as_str())).collect();
    assert_eq!(
        marks,
        [
            (at("10:00:00"), MarkKind::Stage, "Running"),
            // Observed at 10:00:13; the first point that has throttled records begins here.
            (at("10:00:10"), MarkKind::Throttle, "first records throttled in peak"),
            (at("10:00:14"), MarkKind::Split, "100 → 4 shards"),
            (at("10:00:15.5"), MarkKind::Stage, "Draining"),
            (at("10:00:16"), MarkKind::Split, "4 → 8 shards"),
        ]
    );
    let steps: Vec<_> = status.capacity.iter().map(|step| (step.at, step.shards)).collect();
    assert_eq!(steps, [(at("10:00:00"), Some(100)), (at("10:00:14"), Some(4)), (at("10:00:16"), Some(8))]);
}

#[test]
fn a_long_run_keeps_few_readings_and_all_records() {
    let mut live = LiveRun::default();
    for second in 0..5_000_u64 {
        let mut demo = demo_at((second / 200).min(25), second + 1);
        let now = at("10:00:00") + std::time::Duration::from_millis(second * 5);
        let traffic = demo.status.as_mut().unwrap().traffic.as_mut().unwrap();
        (traffic.sampled_at, traffic.rate_until) = (now, Some(now - std::time::Duration::from_secs(2)));
        live.observe(&demo, now);
    }
    assert!(live.readings.len() <= MOST_READINGS);
    let (sums, totals) = sums_and_totals(&live.merged(None).unwrap());
    assert_eq!(sums, totals);
}

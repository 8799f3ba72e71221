//! The records of runs: KinesisDemoRuns.

use kinesis_demo_api::demo::PhaseSpec;
use kinesis_demo_api::duration::DurationText;
use kinesis_demo_api::run_record::{MOST_POINTS, MarkKind, TrafficPoint};
use kinesis_demo_api::status::{Outcome, Stage, TotalsStatus};
use kinesis_demo_api::{KinesisDemoRun, KinesisDemoRunStatus};
use kinesis_demo_operator::settings::{Retention, Settings};

use crate::harness::{Harness, s, settings, warm_spec};

/// The longest record while its run is not over, in bytes, without what the API server adds.
const LONGEST_LIVE: usize = 6_600;

fn only_record(harness: &Harness) -> KinesisDemoRun {
    let mut records = harness.cluster.records();
    assert_eq!(records.len(), 1, "{records:#?}");
    records.remove(0)
}

fn points(status: &KinesisDemoRunStatus) -> Vec<TrafficPoint> {
    status.traffic.as_ref().expect("traffic is recorded").points().collect()
}

/// The points of each phase add up to its totals.
fn assert_adds_up(status: &KinesisDemoRunStatus) {
    let points = points(status);
    assert!(points.len() <= MOST_POINTS);
    assert!(points.windows(2).all(|pair| pair[0].until <= pair[1].from), "{points:#?}");
    for (index, phase) in status.phases.iter().enumerate() {
        let sum = |of: fn(&TrafficPoint) -> u64| -> u64 {
            points.iter().filter(|point| point.phase == index).map(of).sum()
        };
        let TotalsStatus { scheduled, offered, accepted, throttled, failed, dropped, unknown, .. } =
            phase.totals;
        assert_eq!(
            [
                sum(|point| point.scheduled),
                sum(|point| point.offered),
                sum(|point| point.accepted),
                sum(|point| point.throttled),
                sum(|point| point.failed),
                sum(|point| point.dropped),
                sum(|point| point.unknown),
            ],
            [scheduled, offered, accepted, throttled, failed, dropped, unknown],
            "phase {}",
            phase.name
        );
    }
}

#[tokio::test]
async fn a_run_leaves_a_record_that_adds_up() {
    let mut harness = Harness::new(warm_spec());
    harness.run_to_end().await;
    let record = only_record(&harness);
    assert_eq!((record.spec.demo.as_str(), record.spec.run), ("viral-event", 1));
    assert!(record.metadata.owner_references.is_none());
    let (status, recorded) = (harness.status(), record.status.unwrap());
    assert_eq!(recorded.phases, status.phases);
    assert_eq!(recorded.totals, status.traffic.map(|traffic| traffic.totals));
    assert_eq!((recorded.outcome, recorded.left_count), (Some(Outcome::Succeeded), Some(0)));
    assert_eq!(recorded.finished_at, status.run.unwrap().finished_at);
    assert_adds_up(&recorded);
    let stages: Vec<_> = recorded.marks.iter().filter(|mark| mark.kind == MarkKind::Stage).collect();
    let stages: Vec<_> = stages.iter().map(|mark| mark.text.as_str()).collect();
    assert_eq!(
        stages,
        [
            "Provisioning",
            "Warming",
            "Starting",
            "Running",
            "Draining: the schedule is complete",
            "CleaningUp",
            "Succeeded: the schedule is complete"
        ]
    );
    assert!(recorded.marks.iter().any(|mark| mark.kind == MarkKind::Warm), "{:#?}", recorded.marks);
    assert_eq!(recorded.gaps, []);
    let most_tasks = recorded.capacity.iter().filter_map(|step| step.tasks_running).max();
    assert_eq!(most_tasks, Some(10));
    let settings = serde_json::to_value(&record.spec.settings).unwrap();
    assert_eq!(settings["phases"].as_array().map(Vec::len), Some(4));
}

#[tokio::test]
async fn the_rate_of_a_phase_is_its_points() {
    let mut harness = Harness::new(warm_spec());
    harness.run_to_end().await;
    let recorded = only_record(&harness).status.unwrap();
    let peak: Vec<_> = points(&recorded).into_iter().filter(|point| point.phase == 2).collect();
    assert!(peak.len() >= 24, "{} points in two minutes", peak.len());
    // The first and last seconds of a phase share ledger lines with its neighbours.
    for point in &peak[2..peak.len() - 2] {
        let length = point.until.since(point.from).as_millis() as u64;
        let rate = point.accepted * 1_000 / length;
        assert!((49_000..=51_000).contains(&rate), "{rate}/s in {point:?}");
    }
}

#[tokio::test]
async fn a_live_record_is_small_and_written_every_ten_seconds() {
    let mut harness = Harness::new(warm_spec());
    harness.run_to_end().await;
    let writes = harness.cluster.record_writes();
    assert!(writes.len() > 40, "{} writes in nine minutes", writes.len());
    let (last, live) = writes.split_last().unwrap();
    assert!(live.iter().all(|(_, length)| *length <= LONGEST_LIVE), "{live:?}");
    assert!(last.1 <= 200 * 1024, "{last:?}");
    for pair in live.windows(2) {
        assert!(pair[1].0.since(pair[0].0) >= s(10), "{pair:?}");
    }
}

#[tokio::test]
async fn a_record_survives_three_kills_and_the_objects_deletion() {
    let mut harness = Harness::new(warm_spec());
    for phase in ["spike", "peak", "decline"] {
        harness.run_until_phase(phase).await;
        harness.run_for(s(30)).await;
        harness.restart();
        // Another operator takes over when the Lease has expired.
        harness.clock.advance(s(20));
    }
    harness.run_until_stage(Stage::Succeeded).await;
    let phases = harness.status().phases;
    harness.delete();
    harness.run_to_end().await;
    assert!(harness.cluster.object().is_none());
    let recorded = only_record(&harness).status.unwrap();
    assert_eq!(recorded.phases, phases);
    assert_adds_up(&recorded);
    assert!(!recorded.gaps.is_empty() && recorded.gaps.len() <= 3, "{:#?}", recorded.gaps);
    let stages = recorded.marks.iter().filter(|mark| mark.kind == MarkKind::Stage).count();
    assert!(stages >= 6, "{:#?}", recorded.marks);
}

#[tokio::test]
async fn a_run_that_is_deleted_in_its_peak_is_recorded() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("peak").await;
    harness.run_for(s(20)).await;
    harness.delete();
    harness.run_to_end().await;
    assert!(harness.cluster.object().is_none());
    let recorded = only_record(&harness).status.unwrap();
    assert_eq!(recorded.outcome, Some(Outcome::Aborted));
    assert!(recorded.finished_at.is_some());
    assert_adds_up(&recorded);
    assert!(recorded.totals.unwrap().accepted > 1_000_000);
}

#[tokio::test]
async fn refused_records_do_not_touch_the_run() {
    let mut harness = Harness::new(warm_spec());
    harness.cluster.deny_records(true);
    harness.run_until_stage(Stage::Succeeded).await;
    assert_eq!(harness.cluster.records(), []);
    let totals = harness.totals();
    assert_eq!(totals.scheduled, totals.accepted);
    // The role is corrected soon after.
    harness.cluster.deny_records(false);
    harness.clock.advance(s(120));
    harness.write_records().await;
    let recorded = only_record(&harness).status.unwrap();
    assert_eq!(recorded.totals, Some(totals));
    assert_adds_up(&recorded);
}

fn keeping(last: usize) -> Settings {
    Settings { retention: Retention { last, ..Retention::default() }, ..settings() }
}

#[tokio::test]
async fn the_latest_records_are_kept() {
    let mut spec = warm_spec();
    spec.phases.truncate(1);
    let mut harness = Harness::with(spec, keeping(5));
    harness.run_to_end().await;
    for run in 2..=20 {
        harness.request(&format!(r#"{{"verb":"rerun","id":"r{run}"}}"#));
        harness.run_until(s(7200), |status| status.run_number() == run).await;
        harness.run_to_end().await;
    }
    let runs: Vec<u32> = {
        let mut runs: Vec<u32> = harness.cluster.records().iter().map(|record| record.spec.run).collect();
        runs.sort_unstable();
        runs
    };
    assert_eq!(runs, [16, 17, 18, 19, 20]);
}

#[tokio::test]
async fn a_record_is_deleted_after_seven_days() {
    let mut harness = Harness::new(warm_spec());
    harness.run_to_end().await;
    harness.write_records().await;
    harness.clock.advance(s(7 * 24 * 3_600 - 3_600));
    harness.write_records().await;
    assert_eq!(harness.cluster.records().len(), 1);
    harness.clock.advance(s(7_200));
    harness.write_records().await;
    assert_eq!(harness.cluster.records(), []);
}

#[tokio::test]
async fn no_run_is_recorded_with_zero_kept() {
    let mut harness = Harness::with(warm_spec(), keeping(0));
    harness.run_to_end().await;
    assert_eq!(harness.cluster.records(), []);
    assert_eq!(harness.outcome(), Some(Outcome::Succeeded));
}

#[tokio::test]
async fn a_throttle_is_marked_when_it_began() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.set_stream_capacity(Some(4_000));
    harness.run_to_end().await;
    let recorded = only_record(&harness).status.unwrap();
    let throttles: Vec<_> = recorded.marks.iter().filter(|mark| mark.kind == MarkKind::Throttle).collect();
    assert!(!throttles.is_empty(), "{:#?}", recorded.marks);
    for mark in throttles {
        let phase =
            recorded.phases.iter().position(|phase| mark.text.ends_with(&format!(" in {}", phase.name)));
        let first =
            points(&recorded).into_iter().find(|point| Some(point.phase) == phase && point.throttled > 0);
        assert_eq!(Some(mark.at), first.map(|point| point.from), "{mark:?}");
    }
    assert!(recorded.marks.is_sorted_by_key(|mark| mark.at), "{:#?}", recorded.marks);
}

#[tokio::test]
async fn a_short_record_still_names_the_phase_of_each_point() {
    let mut spec = warm_spec();
    let phase = spec.phases[0].clone();
    spec.phases = (0..20)
        .map(|index| PhaseSpec { name: format!("a-phase-with-a-long-name-{index:02}"), ..phase.clone() })
        .collect();
    spec.limits.max_duration = DurationText::seconds(3_600);
    let mut harness = Harness::new(spec);
    let mut shortened = 0;
    while harness.step().await {
        let Some(recorded) = harness.cluster.records().pop().and_then(|record| record.status) else {
            continue;
        };
        let Some(traffic) = &recorded.traffic else { continue };
        shortened += usize::from(recorded.phases.len() < 20);
        for point in traffic.points().filter(|_| !recorded.phases.is_empty()) {
            let phase = &recorded.phases[point.phase];
            assert!(point.from >= phase.starts_at && point.until <= phase.ends_at, "{point:?} in {phase:?}");
        }
    }
    assert!(shortened > 0, "no record was too long");
    assert_eq!(only_record(&harness).status.unwrap().phases.len(), 20);
}

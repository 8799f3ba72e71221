//! Records of runs for tests: a cold and a warm quick event, as the sandbox shows them, and any
//! record that could come from a file. The totals of a phase are the sums of its points.

// Not every test uses every run.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kinesis_demo_api::conditions::Reason;
use kinesis_demo_api::run_record::{
    CapacityStep, DEMO_LABEL, Gap, Mark, MarkKind, TrafficColumns, TrafficPoint, record_name,
};
use kinesis_demo_api::status::{LatencyStatus, Outcome, PhaseReport, Stage, TotalsStatus};
use kinesis_demo_api::{KinesisDemoRun, KinesisDemoRunSpec, KinesisDemoRunStatus, MicroTime};
use kinesis_demo_report::shards::{ShardLoad, ShardLoads, WindowCounts};
use serde_json::json;

/// 2026-11-28T10:00:00Z, when the traffic begins.
pub const T0: MicroTime = MicroTime::from_micros(1_795_860_000_000_000);
const UID: &str = "3f2a9c1e-0000-4000-8000-000000000000";

/// The phases of `examples/quick.yaml`: name, seconds, records per second.
const PHASES: [(&str, u64, u64); 4] =
    [("baseline", 10, 100), ("spike", 12, 10_000), ("peak", 15, 50_000), ("decline", 10, 100)];

fn at(seconds: f64) -> MicroTime {
    MicroTime::from_micros(T0.as_micros() + (seconds * 1e6) as i64)
}

/// The records per second that the stream takes at that second.
fn capacity(warm: bool, second: u64) -> u64 {
    match (warm, second) {
        (true, _) => 100_000,
        (false, 0..28) => 4_000,
        (false, _) => 8_000 + (second - 28) * 1_800,
    }
}

fn points(warm: bool, slices: u64) -> Vec<TrafficPoint> {
    let mut points = Vec::new();
    let mut second = 0;
    for (phase, (_, long, rate)) in PHASES.into_iter().enumerate() {
        for _ in 0..long {
            for slice in 0..slices {
                let from = T0 + Duration::from_millis(1000 * second + 1000 * slice / slices);
                let until = T0 + Duration::from_millis(1000 * second + 1000 * (slice + 1) / slices);
                let due = rate / slices;
                let accepted = due.min(capacity(warm, second) / slices);
                let rejected = due - accepted;
                let dropped = rejected / 9;
                let load = if rejected > 0 { 900 } else { rate / 5_000 };
                points.push(TrafficPoint {
                    from,
                    until,
                    phase,
                    scheduled: due,
                    offered: due,
                    accepted,
                    throttled: rejected * 3 / 2,
                    failed: rejected - dropped,
                    dropped,
                    unknown: 0,
                    p50_ms: Some(u32::try_from(2 + load / 9 + second % 2).unwrap()),
                    p99_ms: Some(u32::try_from(9 + load * 5 + second * 7 % 5).unwrap()),
                });
            }
            second += 1;
        }
    }
    points
}

fn sum<'a>(points: impl Iterator<Item = &'a TrafficPoint>) -> TotalsStatus {
    let mut totals = TotalsStatus::default();
    points.for_each(|point| totals.add(&point.totals()));
    totals
}

fn mark(seconds: f64, kind: MarkKind, text: &str) -> Mark {
    Mark { at: at(seconds), kind, text: text.into() }
}

fn step(seconds: f64, shards: u32, warm: Option<(u32, u32)>, tasks: (u32, u32)) -> CapacityStep {
    CapacityStep {
        at: at(seconds),
        shards: Some(shards),
        warm_target: warm.map(|warm| warm.0),
        warm_current: warm.map(|warm| warm.1),
        tasks_desired: Some(tasks.0),
        tasks_running: Some(tasks.1),
    }
}

/// A quick run of a cold or a warm stream, in points of a fraction of a second.
pub fn quick_in(warm: bool, slices: u64) -> KinesisDemoRun {
    let points = points(warm, slices);
    let mut second = 0.0;
    let mut phases = Vec::new();
    for (index, (name, long, rate)) in PHASES.into_iter().enumerate() {
        let totals = sum(points.iter().filter(|point| point.phase == index));
        let latency = |of: fn(&TrafficPoint) -> Option<u32>| {
            points.iter().filter(|point| point.phase == index).filter_map(of).max().unwrap_or(0)
        };
        let p99 = latency(|point| point.p99_ms);
        phases.push(PhaseReport {
            name: name.into(),
            records_per_second: u32::try_from(rate).unwrap(),
            tasks: if rate > 10_000 { 5 } else { 1 },
            starts_at: at(second),
            ends_at: at(second + long as f64),
            begun: true,
            tasks_were_missing: false,
            totals,
            latency_ms: Some(LatencyStatus { p50: latency(|point| point.p50_ms), p99, max: p99 * 2 }),
        });
        second += long as f64;
    }
    let mut marks = vec![
        mark(-11.8, MarkKind::Stage, "Provisioning"),
        mark(-8.9, MarkKind::Stage, if warm { "Warming" } else { "Starting" }),
        mark(0.0, MarkKind::Stage, "Running"),
        mark(47.0, MarkKind::Stage, "Draining"),
        mark(49.2, MarkKind::Stage, "CleaningUp"),
    ];
    let mut capacity = vec![step(-9.0, 4, warm.then_some((100, 4)), (0, 0))];
    if warm {
        marks.insert(2, mark(-5.0, MarkKind::Warm, "Warm throughput reached 100 MiB/s"));
        capacity.push(step(-5.0, 100, Some((100, 100)), (1, 0)));
        capacity.push(step(-4.2, 100, Some((100, 100)), (5, 1)));
    } else {
        marks.insert(3, mark(10.4, MarkKind::Throttle, "First records throttled in spike"));
        marks.insert(4, mark(22.2, MarkKind::Throttle, "First records throttled in peak"));
        marks.insert(5, mark(28.0, MarkKind::Split, "4 shards became 8"));
        marks.insert(6, mark(36.0, MarkKind::Split, "8 shards became 16"));
        capacity.push(step(-4.0, 4, None, (5, 1)));
    }
    let (shards, target) = if warm { (100, Some((100, 100))) } else { (4, None) };
    capacity.push(step(9.0, shards, target, (5, 3)));
    capacity.push(step(14.0, shards, target, (5, 5)));
    if !warm {
        capacity.push(step(28.0, 8, None, (5, 5)));
        capacity.push(step(36.0, 16, None, (5, 5)));
    }
    capacity.push(step(48.0, if warm { 100 } else { 16 }, target, (0, 2)));
    let totals = sum(points.iter());
    let mode = if warm { json!({"mode": "Fixed", "mibPerSecond": 100}) } else { json!({"mode": "None"}) };
    let advantage = if warm { "Require" } else { "Ignore" };
    let settings = json!({
        "stream": {"warmThroughput": mode, "retentionHours": 24},
        "billing": {"advantage": advantage},
        "phases": PHASES.map(|(name, long, rate)| json!({"name": name, "duration": format!("{long}s"), "recordsPerSecond": rate})),
        "generator": {"ratePerTask": 10_000},
        "limits": {"maxDuration": "10m"},
    });
    let demo = if warm { "quick" } else { "cold" };
    let mut run = KinesisDemoRun::new(
        &record_name(demo, UID, 1),
        KinesisDemoRunSpec {
            demo: demo.into(),
            demo_uid: UID.into(),
            run: 1,
            account_id: "000000000000".into(),
            region: "us-east-1".into(),
            stream_name: format!("kinesis-demo-{demo}"),
            settings: serde_json::from_value(settings).unwrap(),
            operator_version: "0.1.0".into(),
        },
    );
    run.metadata.namespace = Some("demos".into());
    run.metadata.labels = Some([(DEMO_LABEL.to_owned(), demo.to_owned())].into());
    run.status = Some(KinesisDemoRunStatus {
        cost: None,
        stage: Some(Stage::Succeeded),
        outcome: Some(Outcome::Succeeded),
        reason: Some(Reason::Completed),
        message: Some("all phases were played".into()),
        started_at: Some(at(-12.0)),
        traffic_starts_at: Some(T0),
        traffic_ends_at: Some(at(47.0)),
        finished_at: Some(at(52.0)),
        recorded_at: Some(at(52.0)),
        phases,
        totals: Some(totals),
        left: Vec::new(),
        left_count: Some(0),
        traffic: Some(TrafficColumns::of(&points, T0)),
        capacity,
        marks,
        marks_omitted: 0,
        gaps: Vec::new(),
    });
    run
}

/// A quick run of a cold or a warm stream, in points of a second.
pub fn quick(warm: bool) -> KinesisDemoRun {
    quick_in(warm, 1)
}

/// Eight hours with twenty phases, as full as a record can be: the rate swings, the stream is split
/// often, and the operator was away twice.
pub fn long() -> KinesisDemoRun {
    let mut run = quick(false);
    let status = run.status.as_mut().unwrap();
    let (count, each) = (400_u64, 72_u64);
    let point = |index: u64| {
        let wave = (index as f64 / 23.0).sin() * (index as f64 / 7.0).cos();
        let due = (each as f64 * 30_000.0 * (1.2 + wave)) as u64;
        let accepted = due.min(each * (4_000 + index * 120));
        TrafficPoint {
            from: T0 + Duration::from_secs(index * each),
            until: T0 + Duration::from_secs((index + 1) * each),
            phase: usize::try_from(index / 20).unwrap(),
            scheduled: due,
            offered: due,
            accepted,
            throttled: due - accepted,
            failed: (due - accepted) / 2,
            dropped: due - accepted - (due - accepted) / 2,
            unknown: 0,
            p50_ms: Some(u32::try_from(3 + (due - accepted) / 20_000).unwrap()),
            p99_ms: Some(u32::try_from(20 + (due - accepted) / 500).unwrap()),
        }
    };
    let points: Vec<TrafficPoint> = (0..count).map(point).collect();
    let template = status.phases.first().unwrap().clone();
    let phase = |index: u64| PhaseReport {
        name: format!("phase-with-a-name-{index}"),
        records_per_second: 30_000,
        starts_at: T0 + Duration::from_secs(index * each * 20),
        ends_at: T0 + Duration::from_secs((index + 1) * each * 20),
        totals: sum(points.iter().filter(|point| point.phase as u64 == index)),
        ..template.clone()
    };
    status.phases = (0..20).map(phase).collect();
    status.totals = Some(sum(points.iter()));
    let end = (count * each) as f64;
    let splits = (0..90).map(|index| end * f64::from(index * index) / 8_100.0);
    status.marks =
        splits.clone().map(|at| mark(at, MarkKind::Split, "Some shards became more shards")).collect();
    status.marks.extend((0..20).map(|index| {
        mark(end * f64::from(index) / 20.0 + 40.0, MarkKind::Throttle, "First records throttled")
    }));
    status.marks.sort_by_key(|mark| mark.at);
    status.capacity =
        splits.zip(4..).map(|(at, shards)| step(at, shards, None, (50, 48 + shards % 3))).collect();
    status.gaps =
        vec![Gap { from: at(3_000.0), until: at(3_900.0) }, Gap { from: at(20_000.0), until: at(20_050.0) }];
    status.traffic = Some(TrafficColumns::of(&points, T0));
    (status.started_at, status.traffic_ends_at) = (Some(at(-1_800.0)), Some(at(end)));
    (status.finished_at, status.recorded_at) = (Some(at(end + 90.0)), Some(at(end + 90.0)));
    run
}

/// The cold run as it is recorded while its peak lasts, by a second operator.
pub fn running() -> KinesisDemoRun {
    let mut run = quick(false);
    let status = run.status.as_mut().unwrap();
    let known: Vec<TrafficPoint> = points(false, 1).into_iter().take(30).collect();
    status.traffic = Some(TrafficColumns::of(&known, T0));
    status.totals = Some(sum(known.iter()));
    for (index, phase) in status.phases.iter_mut().enumerate() {
        phase.totals = sum(known.iter().filter(|point| point.phase == index));
        phase.begun = index < 3;
    }
    (status.stage, status.outcome, status.reason, status.message) = (Some(Stage::Running), None, None, None);
    (status.finished_at, status.left_count, status.recorded_at) = (None, None, Some(at(30.0)));
    status.marks.truncate(6);
    status.capacity.retain(|step| step.at < at(30.0));
    status.gaps = vec![Gap { from: at(15.0), until: at(19.5) }];
    run
}

/// Fifty shards, half of which split in second 20: loads that differ, and hot keys.
pub fn shards() -> Arc<ShardLoads> {
    const COUNT: u128 = 100;
    let wide = u128::MAX / COUNT;
    let shard = |index: u128, parts: u128, from: f64, until: Option<f64>| {
        let (from_second, until_second) = (from as i64, until.map_or(31, |until| until as i64));
        let counts = |second: i64| {
            let noise = (index as u64 * 7_919 + second.unsigned_abs() * 104_729) % 97;
            let phase = match second {
                i64::MIN..0 => 0,
                0..10 => 20,
                10..22 => 350,
                _ => 600,
            };
            let hot = if (40..46).contains(&index) { phase } else { 0 };
            let wanted = (phase + hot) * parts as u64 / 2 + noise * phase / 400;
            WindowCounts {
                records: wanted.min(1_000),
                bytes: 300 * wanted.min(1_000),
                throttled: wanted.saturating_sub(1_000),
            }
        };
        let zero = T0.as_micros() / 1_000_000;
        let windows: BTreeMap<i64, WindowCounts> =
            (from_second..until_second).map(|second| (zero + second, counts(second))).collect();
        let end = if index + parts == COUNT { u128::MAX } else { (index + parts) * wide - 1 };
        ShardLoad {
            id: format!("shardId-{index:012}"),
            hash_keys: (index * wide, end),
            opened_at: at(from),
            closed_at: until.map(at),
            windows,
        }
    };
    let before = (0..COUNT).step_by(2).map(|index| {
        let splits = index < COUNT / 2;
        shard(index, 2, -8.0, splits.then_some(20.0))
    });
    let after = (0..COUNT / 2).map(|index| shard(index, 1, 20.0, None));
    Arc::new(ShardLoads {
        window_seconds: 1,
        from: at(-8.0),
        until: at(31.0),
        shards: before.chain(after).collect(),
    })
}

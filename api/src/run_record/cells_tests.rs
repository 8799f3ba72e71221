use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::control::{Content, TaskId};
use crate::demo::status::TotalsStatus;
use crate::ledger::{Latencies, MARKER, PhaseLedger};
use crate::plan::PlannedPhase;

const T0: MicroTime = MicroTime::from_micros(1_700_000_000_000_000);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn timeline(phases: &[(u64, u32)], starts_at: MicroTime) -> Timeline {
    let planned: Vec<PlannedPhase> = (phases.iter().enumerate())
        .map(|(index, (millis, rate))| PlannedPhase {
            name: format!("p{index}"),
            duration: ms(*millis),
            rate: *rate,
            ramp: Duration::ZERO,
            content: Content::Viral,
            tasks: 1,
        })
        .collect();
    Timeline::new(&planned, starts_at, &[])
}

/// A line with these accepted and throttled records by phase.
fn line(task: &str, sequence: u64, at: MicroTime, counts: &[(usize, u64, u64)]) -> LedgerLine {
    let ledger = |accepted, throttled| {
        let mut latency = Latencies::default();
        latency.record(ms(5), accepted);
        PhaseLedger {
            counters: Counters { offered: accepted, accepted, throttled, ..Counters::default() },
            latency,
        }
    };
    LedgerLine {
        kinesisdemo: MARKER.into(),
        run: 1,
        task: TaskId::from_arn(task),
        sequence,
        at,
        is_final: false,
        control: None,
        phases: counts
            .iter()
            .map(|(phase, accepted, throttled)| (format!("p{phase}"), ledger(*accepted, *throttled)))
            .collect(),
    }
}

/// The phases as they are in a status.
fn reports(timeline: &Timeline) -> Vec<PhaseReport> {
    let report = |phase: &PhaseWindow| PhaseReport {
        name: phase.name.clone(),
        records_per_second: phase.rate,
        tasks: phase.tasks,
        starts_at: phase.starts_at,
        ends_at: phase.ends_at,
        begun: true,
        tasks_were_missing: false,
        totals: TotalsStatus::default(),
        latency_ms: None,
    };
    timeline.phases.iter().map(report).collect()
}

fn cells(lines: &[LedgerLine], timeline: &Timeline) -> TrafficCells {
    let phases = reports(timeline);
    let mut cells = TrafficCells::default();
    let mut latest: BTreeMap<TaskId, LedgerLine> = BTreeMap::new();
    for line in lines {
        cells.take(latest.get(&line.task), line, &phases);
        if latest.get(&line.task).is_none_or(|known| known.sequence < line.sequence) {
            latest.insert(line.task.clone(), line.clone());
        }
    }
    cells
}

#[test]
fn increments_are_spread_over_the_time_between_two_lines() {
    let lines = [
        line("a", 1, T0, &[(0, 0, 0)]),
        line("a", 2, T0 + ms(1_000), &[(0, 100, 0)]),
        line("a", 3, T0 + ms(3_000), &[(0, 500, 7)]),
    ];
    let timeline = timeline(&[(3_000, 200)], T0);
    let points = cells(&lines, &timeline).points(&timeline, Horizon::Settled(T0 + ms(3_000)), 100);
    let seen: Vec<_> =
        points.iter().map(|point| (point.scheduled, point.accepted, point.throttled)).collect();
    assert_eq!(seen, [(200, 100, 0), (200, 200, 3), (200, 200, 4)]);
    assert_eq!((points[0].from, points[2].until), (T0, T0 + ms(3_000)));
    assert_eq!((points[0].p50_ms, points[0].p99_ms), (Some(6), Some(6)));
}

#[test]
fn counts_stay_within_their_phase() {
    // One line covers the end of the first phase and the beginning of the second.
    let lines = [
        line("a", 1, T0 + ms(500), &[(0, 50, 0)]),
        line("a", 2, T0 + ms(2_500), &[(0, 150, 0), (1, 1_000, 0)]),
    ];
    let timeline = timeline(&[(1_500, 100), (1_000, 1_000)], T0);
    let points = cells(&lines, &timeline).points(&timeline, Horizon::Settled(T0 + ms(2_500)), 100);
    let of =
        |phase| points.iter().filter(|point| point.phase == phase).map(|point| point.accepted).sum::<u64>();
    assert_eq!((of(0), of(1)), (150, 1_000));
    for point in &points {
        let window = &timeline.phases[point.phase];
        assert!(point.from >= window.starts_at && point.until <= window.ends_at, "{point:?}");
    }
}

#[test]
fn narrow_edges_of_a_phase_belong_to_their_neighbours() {
    // 30 records become known only after the phase, whose last cell has 20 ms.
    let lines = [
        line("a", 1, T0 + ms(980), &[(0, 0, 0)]),
        line("a", 2, T0 + ms(4_000), &[(0, 274, 0)]),
        line("a", 3, T0 + ms(5_000), &[(0, 304, 0)]),
    ];
    let timeline = timeline(&[(3_040, 100)], T0 + ms(980));
    let cells = cells(&lines, &timeline);
    for horizon in [Horizon::Settled(T0 + ms(6_000)), Horizon::ReportedUntil(T0 + ms(4_500))] {
        let points = cells.points(&timeline, horizon, 100);
        let seen: Vec<_> = points
            .iter()
            .map(|point| (point.until.as_micros() - point.from.as_micros(), point.scheduled, point.accepted))
            .collect();
        assert_eq!(seen, [(1_020_000, 102, 92), (1_000_000, 100, 91), (1_020_000, 102, 121)]);
    }
}

#[test]
fn only_whole_reported_intervals_count_while_it_runs() {
    let lines = [line("a", 1, T0, &[]), line("a", 2, T0 + ms(2_500), &[(0, 250, 0)])];
    let timeline = timeline(&[(10_000, 100)], T0);
    let points = cells(&lines, &timeline).points(&timeline, Horizon::ReportedUntil(T0 + ms(2_500)), 100);
    assert_eq!(points.iter().map(|point| point.accepted).collect::<Vec<_>>(), [100, 100]);
    assert_eq!(points[1].until, T0 + ms(2_000));
}

#[test]
fn an_older_line_or_the_same_adds_nothing() {
    let newest = line("a", 7, T0 + ms(2_000), &[(0, 200, 0)]);
    let older = line("a", 6, T0 + ms(1_000), &[(0, 100, 0)]);
    let lines = [older.clone(), newest.clone(), older, newest];
    let timeline = timeline(&[(2_000, 100)], T0);
    let points = cells(&lines, &timeline).points(&timeline, Horizon::Settled(T0 + ms(2_000)), 100);
    assert_eq!(points.iter().map(|point| point.accepted).sum::<u64>(), 200);
}

#[test]
fn lines_of_different_tasks_may_be_read_in_any_order() {
    let of = |task: &str, step: u64| -> Vec<LedgerLine> {
        (1..=20).map(|n| line(task, n, T0 + ms(n * 1_000 + step), &[(0, n * 50, n)])).collect()
    };
    let (a, b) = (of("aaaa", 0), of("bbbb", 300));
    let one: Vec<_> = a.iter().chain(&b).cloned().collect();
    let other: Vec<_> = b.iter().chain(&a).cloned().collect();
    let timeline = timeline(&[(20_000, 100)], T0);
    assert_eq!(cells(&one, &timeline), cells(&other, &timeline));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// For runs of 10 s to 24 h with up to 100 phases: few points, in order, and every record once.
    #[test]
    fn points_are_few_and_add_up_to_the_ledgers(
        lengths in prop::collection::vec(1..900_u64, 1..100),
        every in 1..60_u64,
        seed in 0..1_000_u64,
        most in 100..400_usize,
    ) {
        let all: u64 = lengths.iter().sum::<u64>().max(10);
        let phases: Vec<(u64, u32)> =
            lengths.iter().enumerate().map(|(index, seconds)| (seconds * 1_000, 10 + index as u32)).collect();
        let timeline = timeline(&phases, T0 + ms(seed));
        let mut lines = Vec::new();
        for (task, offset) in [("aaaa", 0), ("bbbb", seed % (every * 1_000))] {
            let (mut at, mut sequence) = (T0 + ms(offset), 1);
            while at < T0 + ms((all + 90) * 1_000) {
                let counts: Vec<(usize, u64, u64)> = (0..phases.len())
                    .filter_map(|phase| {
                        let due = timeline.scheduled(phase, at) / 2;
                        (due > 0).then_some((phase, due, due / 7))
                    })
                    .collect();
                lines.push(line(task, sequence, at, &counts));
                sequence += 1;
                at = at + Duration::from_secs(every.max(all / 40));
            }
        }
        let points = cells(&lines, &timeline).points(&timeline, Horizon::Settled(timeline.ends_at().unwrap()), most);
        prop_assert!(points.len() <= most.max(phases.len()), "{} points", points.len());
        for pair in points.windows(2) {
            prop_assert!(pair[0].until <= pair[1].from, "{:?}", pair);
        }
        for phase in 0..phases.len() {
            let own = || points.iter().filter(|point| point.phase == phase);
            let latest = |task: &str| lines.iter().rfind(|line| line.task == TaskId::from_arn(task));
            let reported = |task: &str| latest(task)?.phases.get(&format!("p{phase}"));
            let counts = ["aaaa", "bbbb"].map(|task| reported(task).map_or(0, |ledger| ledger.counters.accepted));
            let expected: u64 = counts.iter().sum();
            prop_assert_eq!(own().map(|point| point.accepted).sum::<u64>(), expected);
            prop_assert_eq!(own().map(|point| point.scheduled).sum::<u64>(), timeline.scheduled(phase, timeline.ends_at().unwrap()));
        }
    }
}

use kinesis_demo_api::run_record::LONGEST_MARK;
use kinesis_demo_api::status::{GeneratorsStatus, StreamStatus, WarmStatus};

use super::*;
use crate::kubernetes::events::RunEvent;
use kinesis_demo_api::control::TaskId;

const T0: MicroTime = MicroTime::from_micros(1_800_000_000_000_000);

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn status(stage: Stage, shards: u32, warm: Option<(u32, u32)>, running: u32) -> KinesisDemoStatus {
    let stream = StreamStatus {
        name: "posts".into(),
        arn: "arn".into(),
        created_at: None,
        status: "ACTIVE".into(),
        shards,
        warm: warm.map(|(target, current)| WarmStatus { target, current }),
        warm_requests: 0,
    };
    let generators = GeneratorsStatus { desired: running, running, ..GeneratorsStatus::default() };
    KinesisDemoStatus {
        stage: Some(stage),
        stream: Some(stream),
        generators: Some(generators),
        ..KinesisDemoStatus::default()
    }
}

fn history(first: KinesisDemoStatus) -> RunHistory {
    RunHistory::new("demos", "viral-event", "3f2a9c1e", 1, first, T0)
}

fn marks(history: &RunHistory) -> Vec<(MarkKind, &str)> {
    history.marks.iter().map(|mark| (mark.kind, mark.text.as_str())).collect()
}

#[test]
fn steps_and_marks_follow_the_observed_changes() {
    let mut history = history(status(Stage::Warming, 4, Some((100, 0)), 0));
    history.observe(status(Stage::Warming, 4, Some((100, 0)), 0), &[], T0 + s(1));
    history.observe(status(Stage::Running, 4, Some((100, 100)), 2), &[], T0 + s(2));
    history.observe(status(Stage::Running, 6, Some((100, 100)), 2), &[], T0 + s(3));
    let throttled = [RunEvent::throttling_began(1, "peak")];
    history.observe(status(Stage::Running, 8, Some((100, 100)), 2), &throttled, T0 + s(5));
    history.observe(status(Stage::Running, 16, Some((100, 100)), 2), &[], T0 + s(25));
    assert_eq!(
        marks(&history),
        [
            (MarkKind::Warm, "warm throughput is 100 MiB/s"),
            (MarkKind::Split, "4 → 6 shards"),
            (MarkKind::Throttle, "first records throttled in peak"),
            (MarkKind::Split, "6 → 8 shards"),
            (MarkKind::Split, "8 → 16 shards"),
        ]
    );
    let steps: Vec<_> = history.steps.iter().map(|step| (step.at.since(T0).as_secs(), step.shards)).collect();
    assert_eq!(steps, [(0, Some(4)), (2, Some(4)), (3, Some(6)), (5, Some(8)), (25, Some(16))]);
    assert_eq!(history.gaps, []);
}

#[test]
fn shards_added_within_seconds_are_one_mark() {
    let mut history = history(status(Stage::Running, 4, None, 1));
    for (second, shards) in [(1, 5), (2, 6), (3, 8)] {
        history.observe(status(Stage::Running, shards, None, 1), &[], T0 + s(second));
    }
    assert_eq!(marks(&history), [(MarkKind::Split, "4 → 8 shards")]);
}

#[test]
fn the_first_shards_of_a_new_stream_are_no_split() {
    let mut history = history(status(Stage::Provisioning, 0, None, 0));
    history.observe(status(Stage::Warming, 100, None, 0), &[], T0 + s(9));
    assert_eq!(marks(&history), []);
    assert_eq!(history.steps.iter().map(|step| step.shards).collect::<Vec<_>>(), [None, Some(100)]);
}

#[test]
fn a_time_without_observations_is_a_gap_while_traffic_runs() {
    let mut history = history(status(Stage::Warming, 4, None, 1));
    history.observe(status(Stage::Running, 4, None, 1), &[], T0 + s(300));
    history.observe(status(Stage::Running, 4, None, 1), &[], T0 + s(320));
    history.observe(status(Stage::Running, 4, None, 1), &[], T0 + s(400));
    assert_eq!(history.gaps, [Gap { from: T0 + s(320), until: T0 + s(400) }]);
}

#[test]
fn a_new_leader_continues_where_the_earlier_one_stopped() {
    let mut earlier = history(status(Stage::Running, 4, None, 2));
    earlier.observe(status(Stage::Running, 8, None, 2), &[], T0 + s(10));
    let recorded = KinesisDemoRunStatus {
        stage: Some(Stage::Running),
        recorded_at: Some(T0 + s(15)),
        capacity: earlier.steps.clone(),
        marks: earlier.marks.clone(),
        marks_omitted: 2,
        ..KinesisDemoRunStatus::default()
    };
    let first = status(Stage::Running, 8, None, 2);
    let mut next = RunHistory::new("demos", "viral-event", "3f2a9c1e", 1, first, T0 + s(40));
    next.observe(status(Stage::Running, 16, None, 2), &[], T0 + s(50));
    next.continue_from(&recorded);
    assert_eq!(marks(&next), [(MarkKind::Split, "4 → 8 shards"), (MarkKind::Split, "8 → 16 shards")]);
    let steps: Vec<_> = next.steps.iter().map(|step| (step.at.since(T0).as_secs(), step.shards)).collect();
    assert_eq!(steps, [(0, Some(4)), (10, Some(8)), (50, Some(16))]);
    assert_eq!(next.gaps, [Gap { from: T0 + s(15), until: T0 + s(40) }]);
    assert_eq!(next.marks_omitted, 2);
}

#[test]
fn a_stage_that_the_earlier_leader_did_not_record_is_a_gap_and_a_mark() {
    let recorded = KinesisDemoRunStatus {
        stage: Some(Stage::Provisioning),
        recorded_at: Some(T0 + s(15)),
        ..KinesisDemoRunStatus::default()
    };
    let mut first = status(Stage::Running, 8, None, 2);
    first.run =
        serde_json::from_value(serde_json::json!({"number": 1, "stageEnteredAt": T0 + s(18)})).unwrap();
    let mut next = RunHistory::new("demos", "viral-event", "3f2a9c1e", 1, first, T0 + s(20));
    next.continue_from(&recorded);
    assert_eq!(next.marks, [Mark::new(T0 + s(18), MarkKind::Stage, "Running")]);
    assert_eq!(next.gaps, [Gap { from: T0 + s(15), until: T0 + s(20) }]);
}

#[test]
fn a_thousand_marks_and_steps_are_bounded_and_the_important_stay() {
    let mut history = history(status(Stage::Running, 1, None, 1));
    for step in 1..=1_000_u32 {
        let run_events = match step % 10 {
            0 => vec![RunEvent::request_answered("id", true, &format!("the answer after step {step}"))],
            _ => vec![RunEvent::silent_tasks_replaced(&[TaskId::from_arn(&format!("{step:08}"))], 1)],
        };
        history.observe(status(Stage::Running, 1, None, step), &run_events, T0 + s(u64::from(step)));
    }
    assert_eq!((history.marks.len(), history.marks_omitted), (MOST_MARKS, 500));
    assert_eq!(history.marks.iter().filter(|mark| mark.kind == MarkKind::Request).count(), 100);
    assert_eq!(history.steps.len(), MOST_STEPS);
    assert_eq!((history.steps[0].at, history.steps[MOST_STEPS - 1].at), (T0, T0 + s(1_000)));
}

#[test]
fn a_repeated_mark_is_kept_once_and_its_text_is_cut() {
    let mut history = history(status(Stage::Running, 1, None, 1));
    let lapsed = [RunEvent::clocks_differ(&"ü".repeat(400))];
    for second in 1..5 {
        history.observe(status(Stage::Running, 1, None, 1), &lapsed, T0 + s(second));
    }
    assert_eq!(marks(&history), [(MarkKind::Other, "ü".repeat(LONGEST_MARK).as_str())]);
}

#[test]
fn marks_tell_what_the_status_tells_at_its_instants() {
    let mut history = history(status(Stage::Running, 4, None, 1));
    let mut ended = status(Stage::Draining, 4, None, 1);
    ended.run = serde_json::from_value(serde_json::json!({
        "number": 1, "stageEnteredAt": T0 + s(3), "message": "run 1 was aborted on request",
    }))
    .unwrap();
    ended.last_request = serde_json::from_value(serde_json::json!({
        "id": "a/b", "verb": "abort", "outcome": "Accepted", "message": "run 1 was aborted on request", "at": T0 + s(2),
    }))
    .unwrap();
    let aborted = [
        RunEvent::request_answered("a/b", true, "run 1 was aborted on request"),
        RunEvent::entered(1, Stage::Draining, "run 1 was aborted on request"),
    ];
    history.observe(ended, &aborted, T0 + s(4));
    let marks: Vec<_> = history.marks.iter().map(|mark| (mark.at, mark.kind, mark.text.as_str())).collect();
    assert_eq!(
        marks,
        [
            (T0 + s(2), MarkKind::Request, "run 1 was aborted on request"),
            (T0 + s(3), MarkKind::Stage, "Draining: run 1 was aborted on request"),
        ]
    );
}

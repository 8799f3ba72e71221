//! A replay: what a file may have, and runs as of an instant.

use kinesis_demo_api::Stage;
use kinesis_demo_api::run_record::TrafficColumns;
use serde_json::{Value, json};

use super::*;

fn at(text: &str) -> MicroTime {
    MicroTime::from(format!("2026-11-22T{text}Z").parse::<Timestamp>().unwrap())
}

/// A run of 20 s in two phases, 100 records a second, half throttled in the second phase; its
/// traffic begins at `begins` minutes past ten.
fn stored(name: &str, begins: u64) -> Value {
    let on = |second: u64| at("10:00:00") + Duration::from_secs(60 * begins + second);
    let phase = |index: u64, name: &str, throttled: u64| {
        json!({"name": name, "recordsPerSecond": 100, "tasks": 1, "startsAt": on(10 * index), "endsAt": on(10 * index + 10),
            "begun": true, "scheduled": 1_000, "offered": 1_000, "accepted": 1_000 - throttled, "throttled": throttled, "failed": throttled,
            "dropped": 0, "unknown": 0, "unoffered": 0, "unreported": 0, "latencyMs": {"p50": 3, "p99": 30, "max": 50}})
    };
    let seconds: Vec<u64> = (0..20).collect();
    let of = |count: &dyn Fn(u64) -> u64| seconds.iter().map(|second| count(*second)).collect::<Vec<_>>();
    let late = |second: u64| u64::from(second >= 10) * 50;
    json!({
        "apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemoRun",
        "metadata": {"name": format!("{name}-1-00000"), "namespace": "demos"},
        "spec": {"demo": name, "demoUid": "0", "run": 1, "accountId": "000000000000", "region": "us-east-1", "streamName": "s",
            "settings": {}, "operatorVersion": "0.1.0"},
        "status": {
            "stage": "Succeeded", "outcome": "Succeeded", "reason": "Completed", "message": "the schedule is complete",
            "startedAt": on(0) - Duration::from_secs(30), "trafficStartsAt": on(0), "trafficEndsAt": on(20), "finishedAt": on(25),
            "phases": [phase(0, "calm", 0), phase(1, "peak", 500)],
            "totals": {"scheduled": 2_000, "offered": 2_000, "accepted": 1_500, "throttled": 500, "failed": 500, "dropped": 0,
                "unknown": 0, "unoffered": 0, "unreported": 0},
            "leftCount": 0,
            "traffic": {"origin": on(0), "fromMs": of(&|s| 1_000 * s), "untilMs": of(&|s| 1_000 * s + 1_000), "phase": of(&|s| s / 10),
                "scheduled": of(&|_| 100), "offered": of(&|_| 100), "accepted": of(&|s| 100 - late(s)), "throttled": of(&late),
                "failed": of(&late), "p50Ms": of(&|_| 3), "p99Ms": of(&|_| 30)},
            "capacity": [{"at": on(0) - Duration::from_secs(20), "shards": 4}, {"at": on(12), "shards": 8}],
            "marks": [{"at": on(0) - Duration::from_secs(30), "kind": "Stage", "text": "Provisioning"},
                {"at": on(0) - Duration::from_secs(10), "kind": "Stage", "text": "Starting"},
                {"at": on(0), "kind": "Stage", "text": "Running"}, {"at": on(11), "kind": "Throttle", "text": "<script>"},
                {"at": on(20), "kind": "Stage", "text": "Draining"}, {"at": on(25), "kind": "Stage", "text": "Succeeded"}],
        },
    })
}

fn run(name: &str, begins: u64) -> KinesisDemoRun {
    serde_json::from_value(stored(name, begins)).unwrap()
}

fn points(run: &KinesisDemoRun) -> usize {
    run.status.as_ref().unwrap().traffic.iter().flat_map(TrafficColumns::points).count()
}

#[test]
fn a_run_is_cut_at_an_instant() {
    let whole = run("cold", 0);
    let cut_at = |text: &str| cut(&whole, at(text));
    let within = cut_at("10:00:15");
    let status = within.status.as_ref().unwrap();
    assert_eq!((points(&within), status.stage, status.outcome), (15, Some(Stage::Running), None));
    let totals = status.totals.as_ref().unwrap();
    assert_eq!((totals.scheduled, totals.accepted, totals.throttled), (1_500, 1_250, 250));
    assert_eq!(status.phases[1].totals.accepted, 250);
    assert_eq!(status.phases[0].totals, whole.status.as_ref().unwrap().phases[0].totals);
    assert_eq!((status.capacity.len(), status.marks.len(), status.left_count), (2, 4, None));

    let before = cut_at("09:59:45").status.unwrap();
    assert_eq!((before.stage, before.totals, before.capacity.len()), (Some(Stage::Starting), None, 1));
    assert!(!before.phases[0].begun && before.phases[0].latency_ms.is_none());
    assert_eq!(cut_at("10:00:22").status.unwrap().stage, Some(Stage::Draining));
    assert_eq!(cut_at("10:00:25"), whole);
    assert_eq!(cut_at("23:00:00"), whole);
}

#[test]
fn runs_of_different_days_begin_their_traffic_together() {
    let moved = cut::together(vec![run("cold", 0), run("warm", 7)]);
    assert_eq!(moved[0], run("cold", 0));
    let mut expected = run("warm", 0);
    expected.metadata = moved[1].metadata.clone();
    assert_eq!(moved[1], expected);
}

#[test]
fn a_replay_begins_before_the_traffic_and_stays_at_its_end() {
    let began: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
    let replay = Replay::of(vec![run("cold", 0), run("warm", 7)], 2, began).unwrap();
    let after = |seconds: u64| began + Duration::from_secs(seconds);
    let choices = replay.choices();
    let view = replay.view(&choices, began);
    assert_eq!((view.now, view.speed, view.runs.len()), (at("09:59:57"), 2, 2));
    let view = replay.view(&choices, after(9));
    assert_eq!(view.now, at("10:00:15"));
    assert_eq!(view.runs.iter().map(|run| points(run.run.as_ref().unwrap())).collect::<Vec<_>>(), [15, 15]);
    let end = replay.view(&choices, after(3_600));
    assert_eq!((end.now, end.speed), (at("10:00:25"), 0));
    assert_eq!(end.runs[1].run.as_ref().unwrap().status.as_ref().unwrap().stage, Some(Stage::Succeeded));
    assert!(end.runs.iter().all(|run| run.actions.is_empty()));
    assert_eq!(replay.list(after(3_600)).runs.len(), 2);
    let missing = replay.view(&[Choice::Run("9".into())], began);
    assert_eq!(missing.runs[0].message.as_deref(), Some("The file has no such run."));
}

#[test]
fn a_file_has_one_run_or_a_list_or_several_documents() {
    let (cold, warm) = (stored("cold", 0), stored("warm", 0));
    let yaml = |value: &Value| serde_saphyr::to_string(value).unwrap();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [cold, warm]});
    for (text, count) in [
        (cold.to_string(), 1),
        (yaml(&cold), 1),
        (list.to_string(), 2),
        (yaml(&list), 2),
        (json!([cold, warm]).to_string(), 2),
        (format!("---\n{}---\n{}", yaml(&cold), yaml(&warm)), 2),
    ] {
        assert_eq!(runs_in(&text).map(|runs| runs.len()), Ok(count), "{text}");
    }
}

#[test]
fn a_file_that_is_no_replay_is_refused_with_the_reason() {
    let demo = json!({"apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemo", "metadata": {"name": "a"}, "spec": {}});
    let mut broken = stored("cold", 0);
    broken["status"]["traffic"]["fromMs"] = json!("x");
    for (text, part) in [
        (String::new(), "the file has no KinesisDemoRun"),
        ("{}".into(), "expected objects of kind KinesisDemoRun"),
        ("7".into(), "expected objects of kind KinesisDemoRun"),
        ("{\"a\": [".into(), "neither JSON nor YAML"),
        (demo.to_string(), "expected objects of kind KinesisDemoRun"),
        (broken.to_string(), "not a KinesisDemoRun"),
        (json!(vec![stored("a", 0); MOST_RUNS + 1]).to_string(), "a replay has at most 50"),
    ] {
        let error = runs_in(&text).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    let mut large = run("cold", 0);
    let mark = large.status.as_ref().unwrap().marks[0].clone();
    large.status.as_mut().unwrap().marks = vec![mark; MOST_MARKS + 1];
    assert!(Replay::of(vec![large], 1, Timestamp::UNIX_EPOCH).is_err());
}

#[test]
fn extreme_instants_and_counts_are_replayed_without_overflow() {
    let mut odd = run("odd", 0);
    let status = odd.status.as_mut().unwrap();
    status.traffic_starts_at = Some(MicroTime::from_micros(i64::MIN));
    status.finished_at = Some(MicroTime::from_micros(i64::MAX));
    status.phases[0].ends_at = MicroTime::from_micros(i64::MAX);
    let columns = status.traffic.as_mut().unwrap();
    columns.accepted = vec![u64::MAX; 20];
    columns.until_ms = vec![u64::MAX; 20];
    let replay = Replay::of(vec![run("cold", 0), odd], 10_000, Timestamp::UNIX_EPOCH).unwrap();
    for now in [Timestamp::UNIX_EPOCH, Timestamp::MIN, Timestamp::MAX] {
        let view = replay.view(&replay.choices(), now);
        let parts = crate::dashboard::page::parts(&view, Default::default());
        assert!(parts.iter().any(|(id, _)| id == "run-1-head"));
    }
}

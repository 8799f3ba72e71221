//! A status for the tests of this folder: a run in its peak. Pure.

use kinesis_demo_api::KinesisDemo;
use serde_json::{Value, json};

/// A run in its third phase of four, four seconds after the phase's beginning.
pub fn peak() -> KinesisDemo {
    demo(json!({}))
}

/// The same run with a rate measured between two seconds, and accepted and throttled records in
/// all.
pub fn sampled(from: u32, until: u32, [rate, accepted, throttled]: [u64; 3]) -> KinesisDemo {
    let at = |second: u32| format!("2026-11-22T10:00:{second:02}Z");
    demo(
        json!({"traffic": {"scheduled": 301_000, "offered": 301_000, "accepted": accepted, "throttled": throttled,
        "failed": 0, "dropped": 0, "unknown": 0, "unoffered": 0, "unreported": 0, "rate": rate, "target": 50_000,
        "rateFrom": at(from), "rateUntil": at(until), "sampledAt": at(until), "settled": false}}),
    )
}

/// The same run with some fields of the status replaced.
pub fn demo(changes: Value) -> KinesisDemo {
    let phase = |name: &str, rate: u32, starts_at: &str, ends_at: &str, accepted: u64| {
        json!({
            "name": name, "recordsPerSecond": rate, "tasks": 5, "startsAt": starts_at, "endsAt": ends_at,
            "scheduled": accepted, "offered": accepted, "accepted": accepted, "throttled": 0, "failed": 0, "dropped": 0,
            "unknown": 0, "unoffered": 0, "unreported": 0, "latencyMs": {"p50": 2, "p99": 15, "max": 120},
        })
    };
    let mut status = json!({
        "observedGeneration": 1,
        "stage": "Running",
        "run": {"number": 1, "stageEnteredAt": "2026-11-22T10:00:00Z", "endsAt": "2026-11-22T10:00:47Z"},
        "phase": {"name": "peak", "index": 3, "of": 4, "startsAt": "2026-11-22T10:00:22Z",
            "endsAt": "2026-11-22T10:00:37Z", "recordsPerSecond": 50000},
        "phases": [
            phase("baseline", 100, "2026-11-22T10:00:00Z", "2026-11-22T10:00:10Z", 1_000),
            phase("spike", 10_000, "2026-11-22T10:00:10Z", "2026-11-22T10:00:22Z", 120_000),
            phase("peak", 50_000, "2026-11-22T10:00:22Z", "2026-11-22T10:00:37Z", 180_000),
            phase("decline", 100, "2026-11-22T10:00:37Z", "2026-11-22T10:00:47Z", 0),
        ],
        "stream": {"name": "kd-quick-1", "arn": "arn:aws:kinesis:us-east-1:000000000000:stream/kd-quick-1",
            "status": "ACTIVE", "shards": 100, "warm": {"target": 100, "current": 100}},
        "generators": {"desired": 5, "running": 5, "admitted": 5},
        "traffic": {"scheduled": 301_000, "offered": 301_000, "accepted": 301_000, "throttled": 0, "failed": 0,
            "dropped": 12, "unknown": 0, "unoffered": 0, "unreported": 0, "rate": 45_000,
            "sampledAt": "2026-11-22T10:00:26Z", "settled": false},
        "resources": [{"type": "Stream", "arn": "arn:stream", "state": "Present"}],
    });
    for (member, value) in changes.as_object().into_iter().flatten() {
        status[member] = value.clone();
    }
    serde_json::from_value(json!({
        "apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemo",
        "metadata": {"name": "quick", "namespace": "demos", "generation": 1}, "spec": {}, "status": status,
    }))
    .unwrap()
}

/// A condition with this type and status.
pub fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": type_, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-11-22T10:00:00Z"})
}

//! The report of one demo, written to `report.json`. In: the object at its end, the samples, the
//! sandbox's counts. Out: the report. Pure.

use jiff::Timestamp;
use kinesis_demo_api::control::ControlState;
use kinesis_demo_api::status::{LatencyStatus, PhaseReport};
use kinesis_demo_api::{KinesisDemo, MicroTime, Stage};
use kinesis_demo_local_cluster::sandbox::boundaries::{IngestStatistics, boundaries};
use serde::Serialize;

use super::samples::{Samples, StreamSample, TaskSample};

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Succeeded, Failed or Aborted.
    pub outcome: String,
    pub phases: Vec<PhaseRow>,
    pub unreported: u64,
    /// Records that the sandbox stored for this run.
    pub stored: u64,
    pub tasks: Vec<TaskSample>,
    pub stream: Vec<StreamSample>,
    /// What was left behind; empty after a clean run.
    pub leaked: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PhaseRow {
    pub name: String,
    /// Records per second.
    pub target: u32,
    /// Null for a phase that never started.
    pub started_at: Option<MicroTime>,
    /// Null for a phase that ended early.
    pub ended_at: Option<MicroTime>,
    pub scheduled: u64,
    pub offered: u64,
    pub accepted: u64,
    pub throttled: u64,
    pub failed: u64,
    pub dropped: u64,
    pub unknown: u64,
    /// Records that were due while no task had the slot.
    pub unoffered: u64,
    /// Records that a task may have offered after its last ledger line.
    pub unreported: u64,
    /// Records offered beyond the schedule. Zero unless someone else wrote the control parameter
    /// that the tasks follow.
    pub excess: u64,
    /// Within how many milliseconds of the phase's planned start the arrivals changed from the
    /// previous rate to this phase's rate. Null for the first phase, for a ramp, and if they did
    /// not change within a second.
    pub changed_within_ms: Option<u32>,
    pub latency_ms: Option<LatencyStatus>,
}

/// What the demo observed of the run besides the object itself.
#[derive(Default)]
pub struct DemoObservation {
    pub samples: Samples,
    /// Records that the stream accepted.
    pub stored: u64,
    /// When the stream accepted them.
    pub ingest_statistics: IngestStatistics,
    pub leaked: Vec<String>,
}

/// The report of the run that `demo` shows at the end of the demo. Without a run, the outcome is
/// Aborted.
#[must_use]
pub fn report(demo: Option<&KinesisDemo>, observation: DemoObservation, now: Timestamp) -> Report {
    let DemoObservation { samples, stored, ingest_statistics, leaked } = observation;
    let status = demo.and_then(|demo| demo.status.as_ref());
    let outcome = match status.and_then(|status| status.stage) {
        Some(Stage::Succeeded) => "Succeeded",
        Some(Stage::Failed) => "Failed",
        // A run that the demo ended early counts as aborted.
        _ => "Aborted",
    };
    let phases = status.map(|status| status.phases.as_slice()).unwrap_or_default();
    // The traffic of a run that ended early stopped before the schedule's end.
    let tasks_stopped_at =
        status.and_then(|status| status.run.as_ref()?.tasks_stopped_at).filter(|_| outcome != "Succeeded");
    let control = status.and_then(|status| status.control.as_ref());
    let stopped_at = control.filter(|control| control.state == ControlState::Stop && outcome != "Succeeded");
    let over_at = stopped_at.map(|control| control.effective_at).or(tasks_stopped_at).unwrap_or(now.into());
    let boundaries = demo.map(boundaries).unwrap_or_default();
    let unreported = phases.iter().map(|phase| phase.totals.unreported).sum();
    Report {
        outcome: outcome.to_owned(),
        phases: phases
            .iter()
            .zip(boundaries)
            .map(|(phase, boundary)| {
                row(
                    phase,
                    over_at,
                    boundary.and_then(|boundary| ingest_statistics.changed_within_millis(boundary)),
                )
            })
            .collect(),
        unreported,
        stored,
        tasks: samples.tasks,
        stream: samples.stream,
        leaked,
    }
}

fn row(phase: &PhaseReport, over_at: MicroTime, changed_within_ms: Option<u32>) -> PhaseRow {
    let totals = &phase.totals;
    PhaseRow {
        name: phase.name.clone(),
        target: phase.records_per_second,
        started_at: Some(phase.starts_at).filter(|at| *at <= over_at),
        ended_at: Some(phase.ends_at).filter(|at| *at <= over_at),
        scheduled: totals.scheduled,
        offered: totals.offered,
        accepted: totals.accepted,
        throttled: totals.throttled,
        failed: totals.failed,
        dropped: totals.dropped,
        unknown: totals.unknown,
        unoffered: totals.unoffered,
        unreported: totals.unreported,
        excess: totals.excess,
        changed_within_ms,
        latency_ms: phase.latency_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn demo() -> KinesisDemo {
        let phase = |name: &str, starts_at: &str, ends_at: &str, unreported: u64| {
            json!({
                "name": name, "recordsPerSecond": 100, "tasks": 1, "startsAt": starts_at, "endsAt": ends_at,
                "scheduled": 1000, "offered": 990, "accepted": 980, "throttled": 7, "failed": 5, "dropped": 3, "unknown": 2,
                "unoffered": 4, "unreported": unreported, "latencyMs": {"p50": 2, "p99": 9, "max": 30},
            })
        };
        serde_json::from_value(json!({
            "apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemo", "metadata": {"name": "a"}, "spec": {},
            "status": {"stage": "Aborted", "phases": [
                phase("baseline", "2026-11-22T10:00:00Z", "2026-11-22T10:00:10Z", 6),
                phase("spike", "2026-11-22T10:00:10Z", "2026-11-22T10:00:20Z", 1),
                phase("peak", "2026-11-22T10:00:20Z", "2026-11-22T10:00:30Z", 0),
            ]},
        }))
        .unwrap()
    }

    #[test]
    fn the_file_has_exactly_the_documented_fields() {
        let now = "2026-11-22T10:00:15Z".parse().unwrap();
        let report =
            report(Some(&demo()), DemoObservation { stored: 980, ..DemoObservation::default() }, now);
        let written = json!(report);
        let keys = |value: &serde_json::Value| -> Vec<String> {
            let mut keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
            keys.sort();
            keys
        };
        assert_eq!(
            keys(&written),
            ["leaked", "outcome", "phases", "stored", "stream", "tasks", "unreported"]
        );
        assert_eq!(
            keys(&written["phases"][0]),
            [
                "accepted",
                "changedWithinMs",
                "dropped",
                "endedAt",
                "excess",
                "failed",
                "latencyMs",
                "name",
                "offered",
                "scheduled",
                "startedAt",
                "target",
                "throttled",
                "unknown",
                "unoffered",
                "unreported"
            ]
        );
        assert_eq!(written["phases"][0]["latencyMs"], json!({"p50": 2, "p99": 9, "max": 30}));
        assert_eq!(written["unreported"], 7);
        assert_eq!(written["phases"][0]["throttled"], 7);
    }

    #[test]
    fn unfinished_phases_have_no_end_and_unstarted_no_start() {
        let now = "2026-11-22T10:00:15Z".parse().unwrap();
        let phases = report(Some(&demo()), DemoObservation::default(), now).phases;
        let times: Vec<_> =
            phases.iter().map(|phase| (phase.started_at.is_some(), phase.ended_at.is_some())).collect();
        assert_eq!(times, [(true, true), (true, false), (false, false)]);
    }

    #[test]
    fn an_aborted_run_ends_when_its_traffic_did() {
        let mut aborted = demo();
        let run = json!({"number": 1, "stageEnteredAt": "2026-11-22T10:00:40Z", "tasksStoppedAt": "2026-11-22T10:00:15Z"});
        aborted.status.as_mut().unwrap().run = serde_json::from_value(run).unwrap();
        let late = "2026-11-22T11:00:00Z".parse().unwrap();
        let ended = |demo: &KinesisDemo| -> Vec<bool> {
            let report = report(Some(demo), DemoObservation::default(), late);
            report.phases.iter().map(|phase| phase.ended_at.is_some()).collect()
        };
        assert_eq!(ended(&aborted), [true, false, false]);
        aborted.status.as_mut().unwrap().stage = Some(Stage::Succeeded);
        assert_eq!(
            ended(&aborted),
            [true, true, true],
            "the traffic of a run that succeeded ended with its schedule"
        );
    }

    #[test]
    fn without_a_run_the_outcome_is_aborted() {
        let none = report(
            None,
            DemoObservation { leaked: vec!["x".into()], ..DemoObservation::default() },
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!((none.outcome.as_str(), none.phases.len()), ("Aborted", 0));
        assert_eq!(none.leaked, ["x"]);
    }
}

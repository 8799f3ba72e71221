//! Renders one KinesisDemo as one line, for logs and pipes: one line per change. Pure.

use jiff::Timestamp;
use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason, find};
use kinesis_demo_api::status::TrafficStatus;
use kinesis_demo_api::{KinesisDemo, KinesisDemoStatus, Stage};

use super::number::grouped;
use super::printable::printable;

/// The line without the time. A new line is printed when this text changes.
#[must_use]
pub fn change(demo: &KinesisDemo) -> String {
    let name = demo.metadata.name.as_deref().unwrap_or_default();
    let Some(status) = &demo.status else {
        return format!("{name} waiting for the operator");
    };
    let mut parts = vec![name.to_owned(), stage(demo, status)];
    if let Some(phase) = &status.phase {
        parts.push(format!("{} {}/{}", phase.name, phase.index, phase.of));
        // A rate measured before the phase began belongs to the previous phase and is not shown.
        let is_of_this_phase =
            |traffic: &&TrafficStatus| traffic.rate_from.is_none_or(|from| from >= phase.starts_at);
        if let Some(traffic) = status.traffic.as_ref().filter(is_of_this_phase) {
            let target = status.target().unwrap_or_default();
            parts.push(format!("rate {}/{}", grouped(traffic.rate), grouped(target)));
        }
    }
    if let Some(generators) = &status.generators {
        parts.push(format!("tasks {}/{}", generators.running, generators.desired));
    }
    if let Some(stream) = status.stream.as_ref().filter(|_| !status.is_stream_deleted()) {
        parts.push(format!("shards {}", stream.shards));
        // With Advantage, every on-demand stream has warm throughput; it is shown only if
        // requested.
        if let Some(warm) = stream.warm.filter(|warm| warm.target > 0) {
            parts.push(format!("warm {}/{}", warm.current, warm.target));
        }
    }
    if let Some(traffic) = &status.traffic {
        let totals = &traffic.totals;
        parts.push(format!("accepted {}", grouped(totals.accepted)));
        for (count, word) in [
            (totals.throttled, "throttled"),
            (totals.failed, "failed"),
            (totals.dropped, "dropped"),
            (totals.unknown, "unknown"),
        ] {
            if count > 0 {
                parts.push(format!("{word} {}", grouped(count)));
            }
        }
    }
    if let Some(condition) = blocking_condition(status) {
        parts.push(format!("! {condition}"));
    }
    parts.join("  ")
}

/// The line with the time in front.
#[must_use]
pub fn line(demo: &KinesisDemo, now: Timestamp) -> String {
    format!("{}  {}", now.strftime("%H:%M:%SZ"), printable(&change(demo)))
}

/// The stage, with a note if the object is being deleted, for which there is no stage.
#[must_use]
pub fn stage(demo: &KinesisDemo, status: &KinesisDemoStatus) -> String {
    let stage = status.stage.unwrap_or(Stage::Pending);
    match demo.metadata.deletion_timestamp {
        Some(_) => format!("{stage} (being deleted)"),
        None => stage.to_string(),
    }
}

/// The reason why the run is stalled until somebody makes a change, if it is. A failed run is over,
/// so it is not stalled.
#[must_use]
pub fn stall(status: &KinesisDemoStatus) -> Option<Reason> {
    find(&status.conditions, ConditionType::Stalled)
        .filter(|found| {
            found.status == ConditionStatus::True && !status.stage.is_some_and(Stage::is_terminal)
        })
        .map(|found| found.reason)
}

/// What blocks the run, as reason and message of a condition: a stall, a spec that is not accepted,
/// or a failure. A requested abort blocks nothing.
#[must_use]
pub fn blocking_condition(status: &KinesisDemoStatus) -> Option<String> {
    let condition = |type_, value| {
        find(&status.conditions, type_)
            .filter(|condition| condition.status == value)
            .map(|condition| format!("{}: {}", condition.reason, condition.message))
    };
    condition(ConditionType::Stalled, ConditionStatus::True)
        .or_else(|| condition(ConditionType::SpecAccepted, ConditionStatus::False))
        .or_else(|| {
            condition(ConditionType::Succeeded, ConditionStatus::False)
                .filter(|_| status.stage == Some(Stage::Failed))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::fixture::{condition, demo, peak};
    use serde_json::json;

    #[test]
    fn line_shows_stage_phase_rate_tasks_capacity_and_losses() {
        let now = "2026-11-22T10:00:26.9Z".parse().unwrap();
        assert_eq!(
            line(&peak(), now),
            "10:00:26Z  quick  Running  peak 3/4  rate 45,000/50,000  tasks 5/5  shards 100  warm 100/100  \
             accepted 301,000  dropped 12"
        );
    }

    #[test]
    fn rate_is_hidden_until_it_was_measured_in_the_phase() {
        let since = |from: &str| {
            let mut traffic = json!({"scheduled": 0, "offered": 0, "accepted": 0, "throttled": 0, "failed": 0,
                "dropped": 0, "unknown": 0, "unoffered": 0, "unreported": 0, "settled": false});
            for (member, value) in [
                ("rate", json!(9_966)),
                ("target", json!(10_000)),
                ("sampledAt", json!("2026-11-22T10:00:26Z")),
                ("rateFrom", json!(from)),
                ("rateUntil", json!("2026-11-22T10:00:25Z")),
            ] {
                traffic[member] = value;
            }
            change(&demo(json!({"traffic": traffic})))
        };
        let before = since("2026-11-22T10:00:21Z");
        assert!(before.starts_with("quick  Running  peak 3/4  tasks 5/5"), "{before}");
        let within = since("2026-11-22T10:00:22Z");
        assert!(within.starts_with("quick  Running  peak 3/4  rate 9,966/10,000  tasks 5/5"), "{within}");
        let unknown = change(&demo(json!({"traffic": null})));
        assert!(unknown.starts_with("quick  Running  peak 3/4  tasks 5/5"), "{unknown}");
    }

    #[test]
    fn deleted_stream_shows_no_shards() {
        let removed = json!({"resources": [{"type": "Stream", "arn": "a", "state": "Deleted"}]});
        let mut deleted = json!({"name": "s", "arn": "a", "status": "DELETED", "shards": 0});
        for changes in [removed, json!({"stream": deleted})] {
            let text = change(&demo(changes));
            assert!(!text.contains("shards") && !text.contains("warm"), "{text}");
        }
        // A stream that is being deleted still shows its shards.
        deleted["status"] = json!("DELETING");
        assert!(change(&demo(json!({"stream": deleted}))).contains("shards 0"));
    }

    #[test]
    fn time_alone_is_not_a_change() {
        assert_eq!(change(&peak()), change(&peak()));
        let slower = demo(json!({"generators": {"desired": 5, "running": 4, "admitted": 4}}));
        assert_ne!(change(&peak()), change(&slower));
    }

    #[test]
    fn a_blocking_condition_shows_its_reason_and_message() {
        let stalled = condition("Stalled", "True", "AccountNotAllowed", "account 1 is not on --account");
        let text = change(&demo(json!({"stage": "Pending", "conditions": [stalled]})));
        assert!(text.ends_with("! AccountNotAllowed: account 1 is not on --account"), "{text}");
        let failed = condition("Succeeded", "False", "StreamTimeout", "not ACTIVE after 300 s");
        let calm = condition("Stalled", "False", "Running", "");
        let text = change(&demo(json!({"stage": "Failed", "conditions": [calm, failed]})));
        assert!(text.ends_with("! StreamTimeout: not ACTIVE after 300 s"), "{text}");
        let aborted = condition("Succeeded", "False", "Aborted", "on request");
        for calm in [peak(), demo(json!({"stage": "Aborted", "conditions": [aborted]}))] {
            assert_eq!(blocking_condition(calm.status.as_ref().unwrap()), None);
        }
    }

    #[test]
    fn missing_status_and_deletion_are_shown() {
        let mut fresh = peak();
        fresh.status = None;
        assert_eq!(change(&fresh), "quick waiting for the operator");
        let mut going = peak();
        going.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH));
        assert!(change(&going).contains("Running (being deleted)"));
    }
}

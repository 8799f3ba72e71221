//! One KinesisDemo as one line: for logs and pipes, a line per change. Pure.

use jiff::Timestamp;
use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason, find};
use kinesis_demo_api::status::{ResourceState, ResourceStatus, ResourceType, StreamStatus};
use kinesis_demo_api::{KinesisDemo, KinesisDemoStatus, Stage};

use super::number::grouped;

/// What is worth a new line when it changes: everything shown but the clock.
#[must_use]
pub fn change(demo: &KinesisDemo) -> String {
    let name = demo.metadata.name.as_deref().unwrap_or_default();
    let Some(status) = &demo.status else {
        return format!("{name} waits for the operator");
    };
    let mut parts = vec![name.to_owned(), stage(demo, status)];
    if let Some(phase) = &status.phase {
        parts.push(format!("{} {}/{}", phase.name, phase.index, phase.of));
        let rate = status.traffic.as_ref().map_or(0, |traffic| traffic.rate);
        parts.push(format!("rate {}/{}", grouped(rate), grouped(status.target().unwrap_or_default())));
    }
    if let Some(generators) = &status.generators {
        parts.push(format!("tasks {}/{}", generators.running, generators.desired));
    }
    if let Some(stream) = status.stream.as_ref().filter(|_| !is_gone(status)) {
        parts.push(format!("shards {}", stream.shards));
        // Every on-demand stream under Advantage has some; it is told where some was asked for.
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
    if let Some(obstacle) = obstacle(status) {
        parts.push(format!("! {obstacle}"));
    }
    parts.join("  ")
}

/// The same with the time in front.
#[must_use]
pub fn line(demo: &KinesisDemo, now: Timestamp) -> String {
    format!("{}  {}", now.strftime("%H:%M:%SZ"), change(demo))
}

/// The stage, and that the object is being deleted, which no stage says.
#[must_use]
pub fn stage(demo: &KinesisDemo, status: &KinesisDemoStatus) -> String {
    let stage = status.stage.unwrap_or(Stage::Pending);
    match demo.metadata.deletion_timestamp {
        Some(_) => format!("{stage} (being deleted)"),
        None => stage.to_string(),
    }
}

/// Whether the run's stream is no more: what it could take then says nothing.
#[must_use]
pub fn is_gone(status: &KinesisDemoStatus) -> bool {
    let of_run = |resource: &&ResourceStatus| resource.type_ == ResourceType::Stream;
    let removed =
        status.resources.iter().find(of_run).is_some_and(|held| held.state == ResourceState::Deleted);
    removed || status.stream.as_ref().is_some_and(|stream| stream.status == StreamStatus::DELETED)
}

/// Whether nothing goes on until somebody changes something, and why in one word. A failed run is over and waits for nobody.
#[must_use]
pub fn stall(status: &KinesisDemoStatus) -> Option<Reason> {
    find(&status.conditions, ConditionType::Stalled)
        .filter(|found| {
            found.status == ConditionStatus::True && !status.stage.is_some_and(Stage::is_terminal)
        })
        .map(|found| found.reason)
}

/// What keeps the run from going on, in the operator's words: a stall, a spec that is not accepted, or a failure's reason. An abort that
/// was asked for is no obstacle.
#[must_use]
pub fn obstacle(status: &KinesisDemoStatus) -> Option<String> {
    let said = |type_, value| {
        find(&status.conditions, type_)
            .filter(|condition| condition.status == value)
            .map(|condition| format!("{}: {}", condition.reason, condition.message))
    };
    said(ConditionType::Stalled, ConditionStatus::True)
        .or_else(|| said(ConditionType::SpecAccepted, ConditionStatus::False))
        .or_else(|| {
            said(ConditionType::Succeeded, ConditionStatus::False)
                .filter(|_| status.stage == Some(Stage::Failed))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::fixture::{condition, demo, peak};
    use serde_json::json;

    #[test]
    fn a_line_tells_stage_phase_rate_tasks_capacity_and_losses() {
        let now = "2026-11-22T10:00:26.9Z".parse().unwrap();
        assert_eq!(
            line(&peak(), now),
            "10:00:26Z  quick  Running  peak 3/4  rate 45,000/50,000  tasks 5/5  shards 100  warm 100/100  \
             accepted 301,000  dropped 12"
        );
    }

    #[test]
    fn a_stream_that_is_gone_has_no_shards() {
        let removed = json!({"resources": [{"type": "Stream", "arn": "a", "state": "Deleted"}]});
        let mut gone = json!({"name": "s", "arn": "a", "status": "DELETED", "shards": 0});
        for changes in [removed, json!({"stream": gone})] {
            let text = change(&demo(changes));
            assert!(!text.contains("shards") && !text.contains("warm"), "{text}");
        }
        // Until then it may still be seen.
        gone["status"] = json!("DELETING");
        assert!(change(&demo(json!({"stream": gone}))).contains("shards 0"));
    }

    #[test]
    fn the_clock_alone_is_no_change() {
        assert_eq!(change(&peak()), change(&peak()));
        let slower = demo(json!({"generators": {"desired": 5, "running": 4, "admitted": 4}}));
        assert_ne!(change(&peak()), change(&slower));
    }

    #[test]
    fn what_stands_in_the_way_is_told_in_the_operators_words() {
        let stalled = condition("Stalled", "True", "AccountNotAllowed", "account 1 is not on --account");
        let text = change(&demo(json!({"stage": "Pending", "conditions": [stalled]})));
        assert!(text.ends_with("! AccountNotAllowed: account 1 is not on --account"), "{text}");
        let failed = condition("Succeeded", "False", "StreamTimeout", "not ACTIVE after 300 s");
        let calm = condition("Stalled", "False", "Running", "");
        let text = change(&demo(json!({"stage": "Failed", "conditions": [calm, failed]})));
        assert!(text.ends_with("! StreamTimeout: not ACTIVE after 300 s"), "{text}");
        let aborted = condition("Succeeded", "False", "Aborted", "on request");
        for calm in [peak(), demo(json!({"stage": "Aborted", "conditions": [aborted]}))] {
            assert_eq!(obstacle(calm.status.as_ref().unwrap()), None);
        }
    }

    #[test]
    fn an_object_without_status_waits_for_the_operator_and_a_deletion_shows() {
        let mut fresh = peak();
        fresh.status = None;
        assert_eq!(change(&fresh), "quick waits for the operator");
        let mut going = peak();
        going.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH));
        assert!(change(&going).contains("Running (being deleted)"));
    }
}

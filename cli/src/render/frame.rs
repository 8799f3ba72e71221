//! One KinesisDemo as a block of lines: what `status` prints, and what `watch` draws in place. Pure.

use jiff::Timestamp;
use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, find};
use kinesis_demo_api::status::{ResourceState, TrafficStatus};
use kinesis_demo_api::{KinesisDemo, KinesisDemoStatus, MicroTime, Stage};

use super::line::{obstacle, stage};
use super::number::{grouped, span};
use super::phases::phases;

/// Width of the bar that shows the rate against the target.
const BAR: u64 = 30;

/// Head, stream, tasks, traffic, phases, and what stands in the way.
#[must_use]
pub fn frame(demo: &KinesisDemo, now: Timestamp) -> Vec<String> {
    let now = MicroTime::from(now);
    let mut lines = vec![head(demo, now)];
    let Some(status) = &demo.status else {
        lines.push("  waits for the operator (if this stays: does one run?)".into());
        return lines;
    };
    lines.extend(stream(status));
    if let Some(generators) = &status.generators {
        lines.push(format!(
            "  tasks     {} of {} running, {} sending",
            generators.running, generators.desired, generators.admitted
        ));
    }
    if let Some(url) =
        status.dashboard.as_ref().filter(|held| held.published).and_then(|held| held.url.as_ref())
    {
        lines.push(format!("  dashboard {url}"));
    }
    if let Some(traffic) = &status.traffic {
        lines.extend(books(status, traffic));
    }
    if !status.phases.is_empty() {
        lines.push(String::new());
        lines.extend(phases(&status.phases, now).into_iter().map(|line| format!("  {line}")));
    }
    if let Some(request) = &status.last_request {
        lines.push(format!("  last request: {:?} ({})", request.outcome, request.message));
    }
    lines.extend(resources(status));
    match obstacle(status) {
        Some(obstacle) => lines.push(format!("  ! {obstacle}")),
        None => lines.extend(ended(status)),
    }
    lines
}

/// Why the run ended, once it has.
fn ended(status: &KinesisDemoStatus) -> Option<String> {
    let run = status.run.as_ref().filter(|_| status.stage.is_some_and(Stage::is_terminal))?;
    Some(format!("  ended: {}", run.message.as_ref()?))
}

fn head(demo: &KinesisDemo, now: MicroTime) -> String {
    let name = demo.metadata.name.as_deref().unwrap_or_default();
    let namespace = demo.metadata.namespace.as_deref().unwrap_or_default();
    let mut parts = vec![format!("{namespace}/{name}")];
    if let Some(status) = &demo.status {
        if let Some(run) = &status.run {
            parts.push(format!("run {}", run.number));
        }
        parts.push(stage(demo, status));
        if status.stage == Some(Stage::Running) {
            if let Some(phase) = &status.phase {
                let left = span(phase.ends_at.since(now));
                parts.push(format!("phase {} ({} of {}), {left} left", phase.name, phase.index, phase.of));
            }
            if let Some(ends_at) = status.run.as_ref().and_then(|run| run.ends_at) {
                parts.push(format!("traffic ends in {}", span(ends_at.since(now))));
            }
        }
    }
    parts.join(" · ")
}

fn stream(status: &KinesisDemoStatus) -> Option<String> {
    let stream = status.stream.as_ref()?;
    let warm = match stream.warm.filter(|warm| warm.target > 0) {
        Some(warm) => format!(", warm throughput {} of {} MiB/s", warm.current, warm.target),
        None => ", cold".into(),
    };
    Some(format!("  stream    {} {}, {} shards{warm}", stream.name, stream.status, stream.shards))
}

fn books(status: &KinesisDemoStatus, traffic: &TrafficStatus) -> Vec<String> {
    let rate = match status.target().filter(|_| status.stage == Some(Stage::Running)) {
        Some(target) => format!(
            "{:>7}/s of {:>7}/s  {}",
            grouped(traffic.rate),
            grouped(target),
            bar(traffic.rate, target)
        ),
        None => format!("{:>7}/s", grouped(traffic.rate)),
    };
    let books = &traffic.books;
    let mut counts = format!("{} scheduled, {} accepted", grouped(books.scheduled), grouped(books.accepted));
    for (count, word) in [
        (books.throttled, "throttled"),
        (books.failed, "failed"),
        (books.dropped, "dropped"),
        (books.unknown, "unknown"),
        (books.unoffered, "unoffered"),
        (books.unreported, "unreported"),
    ] {
        if count > 0 {
            counts.push_str(&format!(", {} {word}", grouped(count)));
        }
    }
    vec![format!("  rate      {rate}"), format!("  records   {counts}")]
}

fn bar(rate: u64, target: u64) -> String {
    let filled = rate.saturating_mul(BAR).checked_div(target).unwrap_or(0).min(BAR);
    (0..BAR).map(|cell| if cell < filled { '█' } else { '░' }).collect()
}

/// What is left in AWS: always answered once the run has made anything.
fn resources(status: &KinesisDemoStatus) -> Vec<String> {
    let of = |state| {
        let held: Vec<_> = status
            .resources
            .iter()
            .filter(|resource| resource.state == state)
            .map(|resource| format!("{} {}", resource.type_, resource.arn))
            .collect();
        held.join(", ")
    };
    let (present, retained) = (of(ResourceState::Present), of(ResourceState::Retained));
    let cleaned = find(&status.conditions, ConditionType::CleanedUp)
        .is_some_and(|condition| condition.status == ConditionStatus::True);
    let mut lines = Vec::new();
    if !present.is_empty() && status.stage.is_some_and(|stage| stage >= Stage::Draining) {
        lines.push(format!("  still there: {present}"));
    }
    if !retained.is_empty() {
        lines.push(format!("  retained as asked: {retained}"));
    }
    if cleaned && retained.is_empty() && !status.resources.is_empty() {
        lines.push("  nothing is left of it in AWS".into());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::fixture::{condition, demo, peak};
    use serde_json::json;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_running_frame_tells_what_is_left_and_every_phase_that_has_begun() {
        let lines = frame(&peak(), at("2026-11-22T10:00:26Z"));
        assert_eq!(
            lines,
            [
                "demos/quick · run 1 · Running · phase peak (3 of 4), 11s left · traffic ends in 21s",
                "  stream    kd-quick-1 ACTIVE, 100 shards, warm throughput 100 of 100 MiB/s",
                "  tasks     5 of 5 running, 5 sending",
                "  rate       45,000/s of  50,000/s  ███████████████████████████░░░",
                "  records   301,000 scheduled, 301,000 accepted, 12 dropped",
                "",
                "  PHASE      TARGET/s   ACHIEVED/s   SCHEDULED   ACCEPTED   THROTTLED   P50 ms   P99 ms   MAX ms",
                "  baseline        100          100       1,000      1,000           0        2       15      120",
                "  spike        10,000       10,000     120,000    120,000           0        2       15      120",
                "  peak         50,000       45,000     180,000    180,000           0        2       15      120",
                "  decline         100",
            ]
        );
    }

    #[test]
    fn a_ramp_is_shown_against_what_was_asked_for_when_the_rate_was_measured() {
        let mut ramp = peak();
        ramp.status.as_mut().unwrap().traffic.as_mut().unwrap().target = Some(45_000);
        let lines = frame(&ramp, at("2026-11-22T10:00:26Z"));
        assert_eq!(lines[3], format!("  rate       45,000/s of  45,000/s  {}", "█".repeat(30)));
    }

    #[test]
    fn the_dashboard_is_named_while_there_is_one() {
        let lines = |published: bool, url: Option<&str>| {
            let held = json!({"name": "KinesisDemo-quick", "published": published, "url": url});
            frame(&demo(json!({"dashboard": held})), at("2026-11-22T10:00:26Z")).join("\n")
        };
        let url = "https://console.example.com/d";
        assert!(lines(true, Some(url)).contains("\n  dashboard https://console.example.com/d\n"));
        for without in [lines(false, Some(url)), lines(true, None)] {
            assert!(!without.contains("dashboard"), "{without}");
        }
    }

    #[test]
    fn at_the_end_it_is_said_what_is_left_in_aws() {
        let resource = |state: &str| json!([{"type": "Stream", "arn": "arn:stream", "state": state}]);
        let cleaned = condition("CleanedUp", "True", "NothingLeft", "");
        let lines = |changes| frame(&demo(changes), at("2026-11-22T10:01:00Z")).join("\n");
        let gone = json!({"stage": "Succeeded", "resources": resource("Deleted"), "conditions": [cleaned]});
        assert!(lines(gone).ends_with("  nothing is left of it in AWS"));
        let kept = json!({"stage": "Succeeded", "resources": resource("Retained"), "conditions": [cleaned]});
        assert!(lines(kept).ends_with("  retained as asked: stream arn:stream"));
        let stuck = json!({"stage": "CleaningUp", "resources": resource("Present")});
        assert!(lines(stuck).ends_with("  still there: stream arn:stream"));
        // While it runs, it is no news that there is a stream.
        assert!(!lines(json!({})).contains("still there"));
    }

    #[test]
    fn a_run_that_is_over_says_why_and_one_that_runs_does_not() {
        let run =
            json!({"number": 2, "stageEnteredAt": "2026-11-22T10:00:00Z", "message": "aborted on request"});
        let last = |stage: &str| {
            let changes = json!({"stage": stage, "run": run, "resources": []});
            frame(&demo(changes), at("2026-11-22T10:01:00Z")).pop().unwrap()
        };
        assert_eq!(last("Aborted"), "  ended: aborted on request");
        assert!(!last("CleaningUp").contains("ended"));
    }

    #[test]
    fn without_a_status_the_operator_is_asked_for() {
        let mut fresh = peak();
        fresh.status = None;
        assert_eq!(
            frame(&fresh, Timestamp::UNIX_EPOCH),
            ["demos/quick", "  waits for the operator (if this stays: does one run?)"]
        );
    }

    #[test]
    fn the_bar_is_full_at_the_target_and_beyond() {
        assert_eq!(bar(0, 100).matches('█').count(), 0);
        assert_eq!(bar(50, 100).matches('█').count(), 15);
        assert_eq!(bar(200, 100).matches('█').count(), 30);
        assert_eq!(bar(200, 0).matches('█').count(), 0);
    }
}

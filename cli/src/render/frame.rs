//! Renders one KinesisDemo as a block of lines, for `status`. Pure.

use jiff::Timestamp;
use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, find};
use kinesis_demo_api::status::{ResourceState, TrafficStatus};
use kinesis_demo_api::{KinesisDemo, KinesisDemoStatus, MicroTime, Stage};
use kinesis_demo_report::facts::cost;

use super::line::{blocking_condition, stage};
use super::number::{countdown, grouped};
use super::phases::{phase_at, phases};
use super::printable::printable;
use super::wrap::wrap;

/// The indentation of all lines except the first.
const INDENT: &str = "  ";
/// Width of the bar that shows the rate against the target.
const BAR: u64 = 30;

/// Renders head, stream, tasks, traffic, phases, and what blocks the run. No line exceeds `width`.
#[must_use]
pub fn frame(demo: &KinesisDemo, now: Timestamp, width: usize) -> Vec<String> {
    let lines = lines(demo, MicroTime::from(now), width);
    lines.iter().flat_map(|line| wrap(&printable(line), width)).collect()
}

fn lines(demo: &KinesisDemo, now: MicroTime, width: usize) -> Vec<String> {
    let mut lines = vec![head(demo, now)];
    let Some(status) = &demo.status else {
        lines.push("  waiting for the operator (if this persists, check that it is running)".into());
        return lines;
    };
    lines.extend(stream(status));
    if let Some(generators) = &status.generators {
        lines.push(format!(
            "  tasks     {} of {} running, {} sending",
            generators.running, generators.desired, generators.admitted
        ));
    }
    if let Some(url) = status
        .dashboard
        .as_ref()
        .filter(|dashboard| dashboard.published)
        .and_then(|dashboard| dashboard.url.as_ref())
    {
        lines.push(format!("  dashboard {url}"));
    }
    if let Some(cost) = status.cost.as_ref().and_then(cost) {
        lines.push(format!("  cost      on AWS {cost}"));
    }
    if let Some(traffic) = &status.traffic {
        lines.extend(totals(status, traffic));
    }
    if !status.phases.is_empty() {
        lines.push(String::new());
        let table = phases(status, now, width.saturating_sub(INDENT.len()));
        lines.extend(table.into_iter().map(|line| format!("{INDENT}{line}").trim_end().to_owned()));
    }
    if let Some(request) = &status.last_request {
        lines.push(format!("  last request: {:?} ({})", request.outcome, request.message));
    }
    lines.extend(resources(status));
    match blocking_condition(status) {
        Some(condition) => lines.push(format!("  ! {condition}")),
        None => lines.extend(ended(status)),
    }
    lines
}

/// Why the run ended, once it has.
pub(super) fn ended(status: &KinesisDemoStatus) -> Option<String> {
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
            parts.extend(clocks(status, now));
        }
    }
    parts.join(" · ")
}

/// The current phase, or the time until the first one, and the time until the traffic ends.
fn clocks(status: &KinesisDemoStatus, now: MicroTime) -> Vec<String> {
    let mut parts = Vec::new();
    match (phase_at(&status.phases, now), status.phases.first(), &status.phase) {
        (Some((index, phase)), ..) => {
            let left = countdown(phase.ends_at.since(now));
            parts.push(format!(
                "phase {} ({} of {}), {left} left",
                phase.name,
                index + 1,
                status.phases.len()
            ));
        }
        (None, Some(first), _) if first.starts_at > now => {
            parts.push(format!("first phase {} in {}", first.name, countdown(first.starts_at.since(now))));
        }
        (None, _, Some(phase)) if phase.ends_at > now => {
            let left = countdown(phase.ends_at.since(now));
            parts.push(format!("phase {} ({} of {}), {left} left", phase.name, phase.index, phase.of));
        }
        _ => {}
    }
    match status.run.as_ref().and_then(|run| run.ends_at) {
        Some(ends_at) if ends_at > now => {
            parts.push(format!("traffic ends in {}", countdown(ends_at.since(now))));
        }
        Some(_) => parts.push("traffic has ended".into()),
        None => {}
    }
    parts
}

fn stream(status: &KinesisDemoStatus) -> Option<String> {
    let stream = status.stream.as_ref()?;
    if status.is_stream_deleted() {
        return Some(format!("  stream    {}, deleted", stream.name));
    }
    let warm = match stream.warm.filter(|warm| warm.target > 0) {
        Some(warm) => format!(", warm throughput {} of {} MiB/s", warm.current, warm.target),
        None => ", cold".into(),
    };
    Some(format!("  stream    {} {}, {} shards{warm}", stream.name, stream.status, stream.shards))
}

fn totals(status: &KinesisDemoStatus, traffic: &TrafficStatus) -> Vec<String> {
    let rate = match status.target().filter(|_| status.stage == Some(Stage::Running)) {
        Some(target) => format!(
            "{:>7}/s of {:>7}/s  {}",
            grouped(traffic.rate),
            grouped(target),
            bar(traffic.rate, target)
        ),
        None => format!("{:>7}/s", grouped(traffic.rate)),
    };
    let totals = &traffic.totals;
    let mut counts =
        format!("{} scheduled, {} accepted", grouped(totals.scheduled), grouped(totals.accepted));
    for (count, word) in [
        (totals.throttled, "throttled"),
        (totals.failed, "failed"),
        (totals.dropped, "dropped"),
        (totals.unknown, "unknown"),
        (totals.unoffered, "unoffered"),
        (totals.unreported, "unreported"),
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

/// The resources that remain in AWS, from the stage Draining on, or that none remain.
pub(super) fn resources(status: &KinesisDemoStatus) -> Vec<String> {
    let of = |state| {
        let names: Vec<_> = status
            .resources
            .iter()
            .filter(|resource| resource.state == state)
            .map(|resource| format!("{} {}", resource.type_, resource.arn))
            .collect();
        names.join(", ")
    };
    let (present, retained) = (of(ResourceState::Present), of(ResourceState::Retained));
    let cleaned = find(&status.conditions, ConditionType::CleanedUp)
        .is_some_and(|condition| condition.status == ConditionStatus::True);
    let mut lines = Vec::new();
    if !present.is_empty() && status.stage.is_some_and(|stage| stage >= Stage::Draining) {
        lines.push(format!("  remaining: {present}"));
    }
    if !retained.is_empty() {
        lines.push(format!("  retained: {retained}"));
    }
    if cleaned && retained.is_empty() && !status.resources.is_empty() {
        lines.push("  no resources of it remain in AWS".into());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::fixture::{condition, demo, peak};
    use serde_json::json;

    const WIDE: usize = 200;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn running_frame_shows_countdowns_and_all_phases() {
        let lines = frame(&peak(), at("2026-11-22T10:00:26Z"), WIDE);
        assert_eq!(
            lines,
            [
                "demos/quick · run 1 · Running · phase peak (3 of 4), 11s left · traffic ends in 21s",
                "  stream    kd-quick-1 ACTIVE, 100 shards, warm throughput 100 of 100 MiB/s",
                "  tasks     5 of 5 running, 5 sending",
                "  rate       45,000/s of  50,000/s  ███████████████████████████░░░",
                "  records   301,000 scheduled, 301,000 accepted, 12 dropped",
                "",
                "  PHASE      TARGET/s   ACHIEVED/s   SCHEDULED   ACCEPTED   THROTTLED   FAILED   P50 ms   P99 ms   MAX ms",
                "  baseline        100          100       1,000      1,000           0        0        2       15      120",
                "  spike        10,000       10,000     120,000    120,000           0        0        2       15      120",
                "  peak         50,000       45,000     180,000    180,000           0        0        2       15      120",
                "  decline         100",
            ]
        );
    }

    #[test]
    fn narrow_frames_show_everything() {
        let stalled = condition("Stalled", "True", "AccessDenied", &"a long story ".repeat(20));
        let crowded = demo(json!({"conditions": [stalled]}));
        let letters = |lines: Vec<String>| {
            let mut words: Vec<String> =
                lines.iter().flat_map(|line| line.split_whitespace().map(ToOwned::to_owned)).collect();
            words.sort();
            words.dedup();
            words
        };
        let now = at("2026-11-22T10:00:26Z");
        for width in [80, 60, 40] {
            let narrow = frame(&crowded, now, width);
            assert!(narrow.iter().all(|line| line.chars().count() <= width), "{narrow:#?}");
            assert_eq!(letters(narrow), letters(frame(&crowded, now, WIDE)), "{width}");
        }
        let part = frame(&peak(), now, 60);
        assert!(part.iter().all(|line| line.trim_end() == line), "{part:#?}");
        // The most important columns stay in one part.
        let narrow = frame(&peak(), now, 80);
        assert!(
            narrow.contains(
                &"  PHASE     TARGET/s  ACHIEVED/s  SCHEDULED  ACCEPTED  THROTTLED  FAILED  P50 ms"
                    .to_owned()
            ),
            "{narrow:#?}"
        );
    }

    #[test]
    fn countdowns_and_phases_follow_the_clock() {
        let head = |now: &str, changes| frame(&demo(changes), at(now), WIDE).remove(0);
        let before = head("2026-11-22T09:59:55.300Z", json!({"phase": null}));
        assert!(before.contains("Running · first phase baseline in 5s · traffic ends in 52s"), "{before}");
        let almost = head("2026-11-22T09:59:59.999Z", json!({"phase": null}));
        assert!(almost.contains("first phase baseline in 1s"), "{almost}");
        // The status does not show the phase yet.
        let begun = head("2026-11-22T10:00:00Z", json!({"phase": null}));
        assert!(begun.contains("phase baseline (1 of 4), 10s left · traffic ends in 47s"), "{begun}");
        let next = head("2026-11-22T10:00:37.5Z", json!({}));
        assert!(next.contains("phase decline (4 of 4), 10s left"), "{next}");
        let over = head("2026-11-22T10:00:48Z", json!({}));
        assert!(over.ends_with("Running · traffic has ended"), "{over}");
    }

    #[test]
    fn removed_stream_is_shown_as_deleted() {
        let stream = json!({"name": "kd-quick-1", "arn": "arn", "status": "DELETING", "shards": 8});
        let deleted = json!({"stage": "Succeeded", "stream": stream,
            "resources": [{"type": "Stream", "arn": "arn:stream", "state": "Deleted"}]});
        let lines = frame(&demo(deleted), at("2026-11-22T10:01:00Z"), WIDE);
        assert!(lines.contains(&"  stream    kd-quick-1, deleted".to_owned()), "{lines:#?}");
        assert!(!lines.join("\n").contains("8 shards"), "{lines:#?}");
    }

    #[test]
    fn ramp_rate_is_compared_with_the_target_of_the_same_window() {
        let mut ramp = peak();
        ramp.status.as_mut().unwrap().traffic.as_mut().unwrap().target = Some(45_000);
        let lines = frame(&ramp, at("2026-11-22T10:00:26Z"), WIDE);
        assert_eq!(lines[3], format!("  rate       45,000/s of  45,000/s  {}", "█".repeat(30)));
    }

    #[test]
    fn dashboard_url_is_shown_while_it_is_published() {
        let lines = |published: bool, url: Option<&str>| {
            let dashboard = json!({"name": "KinesisDemo-quick", "published": published, "url": url});
            frame(&demo(json!({"dashboard": dashboard})), at("2026-11-22T10:00:26Z"), WIDE).join("\n")
        };
        let url = "https://console.example.com/d";
        assert!(lines(true, Some(url)).contains("\n  dashboard https://console.example.com/d\n"));
        for without in [lines(false, Some(url)), lines(true, None)] {
            assert!(!without.contains("dashboard"), "{without}");
        }
    }

    #[test]
    fn finished_run_lists_remaining_and_retained_resources() {
        let resource = |state: &str| json!([{"type": "Stream", "arn": "arn:stream", "state": state}]);
        let cleaned = condition("CleanedUp", "True", "NothingLeft", "");
        let lines = |changes| frame(&demo(changes), at("2026-11-22T10:01:00Z"), WIDE).join("\n");
        let deleted =
            json!({"stage": "Succeeded", "resources": resource("Deleted"), "conditions": [cleaned]});
        assert!(lines(deleted).ends_with("  no resources of it remain in AWS"));
        let retained =
            json!({"stage": "Succeeded", "resources": resource("Retained"), "conditions": [cleaned]});
        assert!(lines(retained).ends_with("  retained: stream arn:stream"));
        let stuck = json!({"stage": "CleaningUp", "resources": resource("Present")});
        assert!(lines(stuck).ends_with("  remaining: stream arn:stream"));
        // During the run, its stream is not listed as remaining.
        assert!(!lines(json!({})).contains("remaining"));
    }

    #[test]
    fn only_a_finished_run_shows_why_it_ended() {
        let run =
            json!({"number": 2, "stageEnteredAt": "2026-11-22T10:00:00Z", "message": "aborted on request"});
        let last = |stage: &str| {
            let changes = json!({"stage": stage, "run": run, "resources": []});
            frame(&demo(changes), at("2026-11-22T10:01:00Z"), WIDE).pop().unwrap()
        };
        assert_eq!(last("Aborted"), "  ended: aborted on request");
        assert!(!last("CleaningUp").contains("ended"));
    }

    #[test]
    fn object_without_status_waits_for_the_operator() {
        let mut fresh = peak();
        fresh.status = None;
        assert_eq!(
            frame(&fresh, Timestamp::UNIX_EPOCH, WIDE),
            ["demos/quick", "  waiting for the operator (if this persists, check that it is running)"]
        );
    }

    #[test]
    fn bar_is_full_at_the_target_and_above() {
        assert_eq!(bar(0, 100).matches('█').count(), 0);
        assert_eq!(bar(50, 100).matches('█').count(), 15);
        assert_eq!(bar(200, 100).matches('█').count(), 30);
        assert_eq!(bar(200, 0).matches('█').count(), 0);
    }
}

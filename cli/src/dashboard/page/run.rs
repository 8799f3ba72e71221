//! One run: its head, its clocks, its figures, what stands in the way, its buttons. In: the run.
//! Out: parts of the page. Pure.

use kinesis_demo_api::request::{RequestOutcome, Verb};
use kinesis_demo_api::run_record::{KinesisDemoRunStatus, TrafficColumns, TrafficPoint};
use kinesis_demo_api::status::{Outcome, TotalsStatus};
use kinesis_demo_api::{KinesisDemo, MicroTime, Stage};
use kinesis_demo_report::facts::cost;
use kinesis_demo_report::text::{percent, sentence};
use kinesis_demo_report::verdict::{due, verdict};
use maud::{Markup, html};

use super::blocking::{blocking, shown};
use super::clock::{clocks, ribbon, stages};
use super::{Part, text};
use crate::dashboard::view::{Action, RunView, word};
use crate::render::number::{brief, grouped, per_second};

/// How many resources that were left are listed. A run has fewer; a stored one may have more.
const MOST_LEFT: usize = 16;

/// The parts of the run at that place.
#[must_use]
pub fn parts(view: &RunView, index: usize, now: MicroTime) -> Vec<Part> {
    let status = view.run.as_ref().and_then(|run| run.status.as_ref());
    let part = |name: &str, markup: Markup| (format!("run-{index}-{name}"), markup);
    vec![
        part("head", head(view, status)),
        part("blocking", shown(view.demo.as_ref().and_then(blocking).as_ref())),
        part("clocks", html! { @if let Some(status) = status { (clocks(status, now)) } }),
        part("ribbon", html! { @if let Some(status) = status { (ribbon(status, now)) } }),
        part(
            "figures",
            html! {
                @if let Some(status) = status {
                    (figures(view.demo.as_ref(), status))
                    (headline(view.demo.as_ref(), status))
                }
            },
        ),
        part("actions", actions(view)),
    ]
}

fn head(view: &RunView, status: Option<&KinesisDemoRunStatus>) -> Markup {
    let of_object = view.demo.as_ref().and_then(|demo| demo.status.as_ref()).and_then(|status| status.stage);
    let stage = status.and_then(|status| status.stage).or(of_object).unwrap_or_default();
    html! {
        div class="head" {
            h2 {
                (text(&view.name))
                @if let Some(run) = &view.run { span class="number" { "run " (run.spec.run) } }
            }
            @if view.run.is_some() || view.demo.is_some() { (stages(stage)) }
        }
        @if let Some(message) = &view.message { p class="message" { (text(message)) } }
        @if let Some(run) = &view.run {
            p class="where" {
                @for (what, value) in [("stream", &run.spec.stream_name), ("region", &run.spec.region), ("account", &run.spec.account_id)] {
                    @if !value.is_empty() { span { (what) " " b { (text(value)) } } " " }
                }
                @if let Some(cost) = status.and_then(|status| cost(status.cost.as_ref()?)) {
                    span class="cost" { "on AWS " b { (cost) } }
                }
            }
        }
        @if let Some(status) = status {
            p class="verdict" { (sentence(&verdict(status.outcome, &status.totals.clone().unwrap_or_default(), &status.phases))) }
            @if let Some(message) = status.message.as_ref().filter(|_| stage.is_terminal() && stage != Stage::Succeeded) {
                p class="ended" { (sentence(&text(message))) }
            }
            @if stage.is_terminal() {
                @match status.left.as_slice() {
                    [] if status.left_count == Some(0) => p class="left" { "Nothing of it is left in AWS." },
                    left => {
                        @for left in left.iter().take(MOST_LEFT) { p class="left serious" { "Left in AWS: " (text(left)) } }
                        @if left.len() > MOST_LEFT { p class="left serious" { "and " (left.len() - MOST_LEFT) " more" } }
                    },
                }
            }
        }
    }
}

/// A figure: its name, its value, a further value, and the colour that it has in the plots.
struct Figure {
    name: &'static str,
    value: String,
    more: String,
    colour: &'static str,
}

fn figure(name: &'static str, value: String, more: String, colour: &'static str) -> Figure {
    Figure { name, value, more, colour }
}

/// What a room can read, in place of the other figures. The first one is left out beside another
/// run: the figures over time show it, too.
fn headline(demo: Option<&KinesisDemo>, status: &KinesisDemoRunStatus) -> Markup {
    let totals = status.totals.clone().unwrap_or_default();
    let first = match rate(demo, status) {
        Some((rate, target)) => {
            (format!("Rate, of {}/s", brief(target)), format!("{}/s", brief(rate)), "accepted")
        }
        None => (format!("Accepted, of {}", brief(totals.scheduled)), brief(totals.accepted), "accepted"),
    };
    let share = percent(totals.accepted, due(status.outcome, &totals)).unwrap_or_else(|| "–".to_owned());
    let lost = totals.failed.saturating_add(totals.dropped);
    let shown = [
        first,
        ("Delivered".to_owned(), share, "accepted"),
        ("Throttled".to_owned(), brief(totals.throttled), "throttled"),
        ("Failed or dropped".to_owned(), brief(lost), "failed"),
    ];
    html! {
        dl class="headline" {
            @for (name, value, colour) in &shown {
                div class={ "figure of-" (colour) } {
                    dt { (name) }
                    dd { span class="value" { (value) } }
                }
            }
        }
    }
}

/// The most important figures, as text.
fn figures(demo: Option<&KinesisDemo>, status: &KinesisDemoRunStatus) -> Markup {
    let totals = status.totals.clone().unwrap_or_default();
    let mut figures = Vec::new();
    if let Some((rate, target)) = rate(demo, status) {
        figures.push(figure(
            "Rate",
            format!("{}/s", grouped(rate)),
            format!("of {}/s", grouped(target)),
            "accepted",
        ));
    }
    figures.extend(counts(status.outcome, &totals));
    if let Some(step) = status.capacity.last() {
        let running = step.tasks_running.filter(|_| status.finished_at.is_none());
        if let (Some(running), Some(desired)) = (running, step.tasks_desired) {
            figures.push(figure("Tasks", running.to_string(), format!("of {desired} running"), "tasks"));
        }
        if let Some(shards) = step.shards {
            figures.push(figure("Shards", shards.to_string(), String::new(), "shards"));
        }
        if let (Some(current), Some(target)) = (step.warm_current, step.warm_target) {
            figures.push(figure("Warm", format!("{current} MiB/s"), format!("of {target} MiB/s"), "warm"));
        }
    }
    // Of the current phase; of a run that is over, that of the phase in which it was highest.
    let is_over = status.finished_at.is_some();
    let mut latencies = status.phases.iter().rev().filter_map(|phase| phase.latency_ms);
    let latency = if is_over { latencies.max_by_key(|latency| latency.p99) } else { latencies.next() };
    if let Some(latency) = latency {
        figures.push(figure(
            if is_over { "p99, highest" } else { "Latency p99" },
            format!("{} ms", grouped(latency.p99.into())),
            format!("p50 {} ms", grouped(latency.p50.into())),
            "latency",
        ));
    }
    html! {
        dl class="figures" {
            @for Figure { name, value, more, colour } in &figures {
                div class={ "figure of-" (colour) } {
                    dt { (name) }
                    dd { span class="value" { (value) } @if !more.is_empty() { " " span class="more" { (more) } } }
                }
            }
        }
    }
}

fn counts(outcome: Option<Outcome>, totals: &TotalsStatus) -> Vec<Figure> {
    let due = due(outcome, totals);
    let share = percent(totals.accepted, due).map(|share| format!("{share} of {}", grouped(due)));
    let mut figures =
        vec![figure("Accepted", grouped(totals.accepted), share.unwrap_or_default(), "accepted")];
    let attempts = if totals.throttled > 0 { "attempts" } else { "" };
    figures.push(figure("Throttled", grouped(totals.throttled), attempts.into(), "throttled"));
    figures.push(figure("Failed", grouped(totals.failed), String::new(), "failed"));
    figures.push(figure("Dropped", grouped(totals.dropped), String::new(), "dropped"));
    for (name, count) in [
        ("No response", totals.unknown),
        ("Unoffered", totals.unoffered),
        ("Unreported", totals.unreported),
        ("Excess", totals.excess),
    ] {
        if count > 0 {
            figures.push(figure(name, grouped(count), String::new(), "other"));
        }
    }
    figures
}

/// The rate and the target while traffic runs: as the operator states them, or of the last point.
fn rate(demo: Option<&KinesisDemo>, status: &KinesisDemoRunStatus) -> Option<(u64, u64)> {
    if status.stage != Some(Stage::Running) {
        return None;
    }
    let stated = demo.and_then(|demo| demo.status.as_ref()).and_then(|status| {
        let traffic = status.traffic.as_ref()?;
        Some((traffic.rate, status.target()?))
    });
    stated.or_else(|| {
        let last = status.traffic.iter().flat_map(TrafficColumns::points).max_by_key(|point| point.until)?;
        let TrafficPoint { from, until, accepted, scheduled, .. } = last;
        let over = until.since(from);
        Some((per_second(accepted, over), per_second(scheduled, over)))
    })
}

/// The buttons, and what became of the last request. More verbs join `view::VERBS`.
fn actions(view: &RunView) -> Markup {
    let last = view
        .demo
        .as_ref()
        .and_then(|demo| demo.status.as_ref())
        .and_then(|status| status.last_request.as_ref());
    html! {
        @if !view.actions.is_empty() {
            div class="actions" {
                @for action in &view.actions { (button(action)) }
            }
            @if let Some(last) = last {
                p class="request" {
                    "Last request: "
                    (match last.verb { Some(verb) => label(verb), None => "unreadable" })
                    (match last.outcome { RequestOutcome::Accepted => ", accepted: ", RequestOutcome::Refused => ", refused: " })
                    (text(&last.message))
                }
            }
        }
    }
}

fn label(verb: Verb) -> &'static str {
    match verb {
        Verb::Abort => "Abort",
        Verb::Rerun => "Rerun",
    }
}

/// What the user is asked before the request is sent.
fn question(verb: Verb) -> Option<&'static str> {
    match verb {
        Verb::Abort => Some("Abort this run? The traffic stops, and everything of the run is removed."),
        Verb::Rerun => None,
    }
}

fn button(action: &Action) -> Markup {
    let Action { verb, demo, run, disabled } = action;
    html! {
        span class="action" {
            button type="button" class={ "request-" (word(*verb)) } data-request=(word(*verb)) data-demo=(demo) data-run=[run.as_ref()]
                data-question=[question(*verb)] disabled[disabled.is_some()] { (label(*verb)) }
            @if let Some(reason) = disabled { span class="reason" { (text(reason)) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::live::LiveRun;
    use crate::dashboard::view;
    use crate::render::fixture::demo;
    use serde_json::{Value, json};

    fn shown(changes: Value) -> String {
        let demo = demo(changes);
        let now = MicroTime::from("2026-11-22T10:00:26Z".parse::<jiff::Timestamp>().unwrap());
        let mut live = LiveRun::default();
        live.observe(&demo, now);
        let actions = view::actions(&demo, None);
        let run = RunView {
            name: "quick".into(),
            run: live.merged(None),
            demo: Some(demo),
            shards: None,
            message: None,
            actions,
        };
        parts(&run, 0, now)
            .into_iter()
            .map(|(id, markup)| format!("{id}: {}\n", markup.into_string()))
            .collect()
    }

    /// The text without tags.
    fn words(html: &str) -> String {
        let mut depth = 0;
        let text: String = html
            .chars()
            .map(|letter| match letter {
                '<' => {
                    depth += 1;
                    ' '
                }
                '>' => {
                    depth -= 1;
                    ' '
                }
                letter if depth == 0 => letter,
                _ => ' ',
            })
            .collect();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_running_run_shows_its_figures_as_text() {
        let text = words(&shown(json!({})));
        for expected in [
            "quick run 1",
            "Phase peak (3 of 4) 11s left Traffic ends in 21s",
            "Rate 45,000/s of 50,000/s",
            "Accepted 301,000 100 % of 301,000",
            "Throttled 0 Failed 0 Dropped 12",
            "Tasks 5 of 5 running Shards 100 Warm 100 MiB/s of 100 MiB/s",
            "Latency p99 15 ms p50 2 ms",
            "Abort Rerun the run is not over",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }

    #[test]
    fn a_button_has_its_request_and_is_disabled_with_the_reason() {
        let html = shown(json!({}));
        assert!(
            html.contains(
                r#"data-request="abort" data-demo="quick" data-run="1" data-question="Abort this run?"#
            ),
            "{html}"
        );
        assert!(
            html.contains(r#"data-request="rerun" data-demo="quick" data-run="1" disabled>Rerun"#),
            "{html}"
        );
        let refused = json!({"id": "x", "verb": "abort", "outcome": "Refused", "message": "<b>no</b>", "at": "2026-11-22T10:00:00Z"});
        let html = shown(json!({"lastRequest": refused}));
        assert!(html.contains("Abort, refused: &lt;b&gt;no&lt;/b&gt;"), "{html}");
    }

    #[test]
    fn text_from_the_cluster_is_never_markup() {
        let script = "<script>alert(1)</script>";
        let mut changed = json!({"stage": "Failed", "run": {"number": 1, "stageEnteredAt": "2026-11-22T10:00:00Z", "message": script,
            "effective": {"accountId": script, "region": script, "cluster": script, "streamName": script, "baseName": script, "spec": {}}}});
        changed["conditions"] =
            json!([crate::render::fixture::condition("Stalled", "True", "Invalid", script)]);
        let html = shown(changed);
        assert!(!html.contains("<script") && html.matches("&lt;script&gt;").count() >= 4, "{html}");
    }
}

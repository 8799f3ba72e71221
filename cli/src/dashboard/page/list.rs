//! The list of objects and of stored runs, with links. In: both. Out: parts of the page. Pure.

use kinesis_demo_api::{KinesisDemo, KinesisDemoRun, MicroTime};
use kinesis_demo_report::text::{instant, percent};
use kinesis_demo_report::verdict::due;
use kube::ResourceExt;
use maud::{Markup, html};

use super::{Part, text};
use crate::dashboard::view::{Choice, ListView};
use crate::render::line::{stage, stall};
use crate::render::number::{grouped, span};

/// How many runs the list has, the newest.
const MOST_ROWS: usize = 200;

#[must_use]
pub fn parts(view: &ListView) -> Vec<Part> {
    let runs = html! { section class="card" aria-label="Past runs" { (runs(view)) } };
    let objects = view.demos.as_ref().map(|demos| {
        let markup = html! { section class="card" aria-label="Objects" { (objects(demos)) } };
        ("objects".to_owned(), markup)
    });
    objects.into_iter().chain([("runs".to_owned(), runs)]).collect()
}

fn objects(demos: &[(String, Result<KinesisDemo, String>)]) -> Markup {
    html! {
        h2 { "Objects" }
        @if demos.is_empty() {
            p class="empty" { "No KinesisDemo is here. Create one with " code { "kubectl kinesisdemo start --name NAME" } "; it appears by itself." }
        } @else {
            div class="scroll" tabindex="0" role="region" aria-label="Table of objects" {
                table {
                    thead { tr { th { span class="kd-spoken" { "Choose" } } th { "Name" } th class="number" { "Run" } th { "Stage" } th { "Phase" } th class="number" { "Rate/s" } th class="number" { "Accepted" } th class="number" { "Throttled" } } }
                    tbody { @for (name, demo) in demos { (object(name, demo.as_ref())) } }
                }
            }
            p class="choose" { button type="button" data-do="beside" { "Show the chosen side by side" } }
        }
    }
}

fn object(name: &str, demo: Result<&KinesisDemo, &String>) -> Markup {
    let choice = Choice::Demo(name.to_owned());
    let status = demo.ok().and_then(|demo| demo.status.as_ref());
    let traffic = status.and_then(|status| status.traffic.as_ref());
    html! {
        tr {
            td { (checkbox(&choice, name)) }
            th scope="row" { a href=(choice.address()) { (text(name)) } }
            td class="number" { @if let Some(run) = status.and_then(|status| status.run.as_ref()) { (run.number) } }
            td {
                @match (demo, status) {
                    (Ok(demo), Some(status)) => { (stage(demo, status)) @if let Some(reason) = stall(status) { " (stalled: " (reason) ")" } }
                    (Ok(_), None) => "waiting for the operator",
                    (Err(invalid), _) => { "cannot be parsed: " (text(invalid)) }
                }
            }
            td { @if let Some(phase) = status.and_then(|status| status.phase.as_ref()) { (text(&phase.name)) } }
            td class="number" { @if let Some(traffic) = traffic.filter(|traffic| !traffic.settled) { (grouped(traffic.rate)) } }
            td class="number" { @if let Some(traffic) = traffic { (grouped(traffic.totals.accepted)) } }
            td class="number" { @if let Some(traffic) = traffic { (grouped(traffic.totals.throttled)) } }
        }
    }
}

fn runs(view: &ListView) -> Markup {
    html! {
        h2 { "Runs" }
        @if view.runs.is_empty() {
            p class="empty" { "No run is stored yet." }
        } @else {
            div class="scroll" tabindex="0" role="region" aria-label="Table of runs" {
                table {
                    thead { tr { th { span class="kd-spoken" { "Choose" } } th { "Object" } th class="number" { "Run" } th { "Stage" } th { "Started" } th class="number" { "Delivered" } th class="number" { "Accepted" } th class="number" { "Throttled" } th class="number" { "Failed" } } }
                    tbody { @for run in view.runs.iter().take(MOST_ROWS) { (past(run, view.now)) } }
                }
            }
            p class="choose" { button type="button" data-do="beside" { "Show the chosen side by side" } }
            @if view.runs.len() > MOST_ROWS { p { "and " (view.runs.len() - MOST_ROWS) " older runs" } }
        }
    }
}

fn past(run: &KinesisDemoRun, now: MicroTime) -> Markup {
    let choice = Choice::Run(run.name_any());
    let status = run.status.clone().unwrap_or_default();
    let totals = status.totals.unwrap_or_default();
    html! {
        tr {
            td { (checkbox(&choice, &format!("{} run {}", run.spec.demo, run.spec.run))) }
            th scope="row" { a href=(choice.address()) { (text(&run.spec.demo)) } }
            td class="number" { (run.spec.run) }
            td { @if let Some(stage) = status.stage { (stage) } @if let Some(reason) = status.reason { " (" (reason) ")" } }
            td { @if let Some(at) = status.started_at { time datetime=(at) title=(instant(at)) { (ago(at, now)) } } }
            td class="number" { (percent(totals.accepted, due(status.outcome, &totals)).unwrap_or_default()) }
            td class="number" { (grouped(totals.accepted)) }
            td class="number" { (grouped(totals.throttled)) }
            td class="number" { (grouped(totals.failed)) }
        }
    }
}

fn checkbox(choice: &Choice, label: &str) -> Markup {
    let query = Choice::query(std::slice::from_ref(choice));
    html! { input type="checkbox" data-choice=(query) aria-label={ "Choose " (text(label)) }; }
}

/// In whole minutes from the first on, so that the list does not change every second.
fn ago(at: MicroTime, now: MicroTime) -> String {
    let since = now.since(at);
    match since.as_secs() {
        0..60 => "less than a minute ago".into(),
        60..3_600 => format!("{} min ago", since.as_secs() / 60),
        3_600..172_800 => format!("{} ago", span(since)),
        _ => instant(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::fixture::peak;

    #[test]
    fn objects_and_runs_are_listed_with_links() {
        let mut live = crate::dashboard::live::LiveRun::default();
        live.observe(&peak(), MicroTime::default());
        let run = live.merged(None).unwrap();
        let view = ListView {
            demos: Some(vec![("quick".into(), Ok(peak())), ("odd".into(), Err("<script>".into()))]),
            runs: vec![run],
            ..ListView::default()
        };
        let html: String = parts(&view).into_iter().map(|(_, markup)| markup.into_string()).collect();
        assert!(html.contains(r#"<a href="/show?demo=quick">quick</a>"#), "{html}");
        assert!(html.contains(r#"<a href="/show?run=quick-1-">quick</a>"#), "{html}");
        assert!(html.contains("cannot be parsed: &lt;script&gt;") && !html.contains("<script"), "{html}");
        let empty: String = parts(&ListView { demos: Some(Vec::new()), ..ListView::default() })
            .into_iter()
            .map(|(_, markup)| markup.into_string())
            .collect();
        assert!(
            empty.contains("No KinesisDemo is here") && empty.contains("No run is stored yet"),
            "{empty}"
        );
    }
}

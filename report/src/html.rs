//! The report as one HTML file. In: a record. Out: a document that loads nothing, runs nothing, and
//! shows text of others as text: the verdict first, then figures, tables, settings. Pure.

use kinesis_demo_api::KinesisDemoRun;
use kinesis_demo_api::run_record::MOST_GAPS;
use kinesis_demo_api::status::Outcome;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::facts::{Fact, capacity, facts, left, outcome, settings, totals};
use crate::phases;
use crate::plot::{self, STYLE, Size, says, timeline, title, zero};
use crate::text::{clean, grouped, instant, offset, percent, sentence};

const PAGE: &str = include_str!("html.css");
/// Nothing is loaded, and nothing is run.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
/// The width for which the figures are drawn; the browser scales them.
const WIDTH: u32 = 1_180;

/// The report.
#[must_use]
pub fn report(run: &KinesisDemoRun) -> String {
    let page = title(run);
    let body = html! {
        header class="kd-head" {
            p class="kd-over" { (page) " · " (where_and_when(run)) }
            h1 { (sentence(&says(run))) }
            (cards(run))
        }
        section class="kd-card" aria-label="The run over time" { (figures(&[run])) }
        section class="kd-card" { h2 { "Phases" } (phases::table(run)) }
        div class="kd-two" {
            section class="kd-card" { h2 { "Records" } (totals_table(run)) }
            section class="kd-card" { h2 { "Run" } (fact_list(&facts(run))) }
        }
        div class="kd-two" {
            section class="kd-card" { h2 { "Left behind" } (left_list(run)) (gaps(run)) }
            section class="kd-card" { h2 { "Settings" } (settings_block(run)) }
        }
    };
    document(&page, &body)
}

/// A whole document.
#[must_use]
pub fn document(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                title { (title) }
                style { (PreEscaped(STYLE)) (PreEscaped(PAGE)) }
            }
            body { main class="kd-main" { (body) } }
        }
    };
    page.into_string() + "\n"
}

/// The timeline for wide screens, and another for phones: the style shows one of them.
#[must_use]
pub fn figures(runs: &[&KinesisDemoRun]) -> Markup {
    html! {
        div class="kd-on-wide" { (timeline(runs, None, Size::normal(WIDTH))) }
        div class="kd-on-phone" { (timeline(runs, None, Size::phone())) }
    }
}

fn where_and_when(run: &KinesisDemoRun) -> String {
    let started_at = run.status.as_ref().and_then(|status| status.traffic_starts_at.or(status.started_at));
    let region = clean(&run.spec.region, 32);
    match started_at {
        Some(started_at) => format!("{region} · {}", instant(started_at)),
        None => region,
    }
}

/// The figures that matter most, large.
#[must_use]
pub fn cards(run: &KinesisDemoRun) -> Markup {
    let status = run.status.clone().unwrap_or_default();
    let totals = status.totals.unwrap_or_default();
    let p99 = status.phases.iter().filter_map(|phase| Some(phase.latency_ms?.p99)).max();
    let lost = [(totals.throttled, "throttled"), (totals.failed, "failed"), (totals.dropped, "dropped")];
    html! {
        dl class="kd-cards" {
            @if let Some(share) = percent(totals.accepted, totals.scheduled) {
                (card("delivered", &share, if totals.accepted < totals.scheduled { "kd-bad" } else { "kd-good" }))
            }
            @for (count, what) in lost {
                (card(what, &large(count), if count > 0 { "kd-bad" } else { "kd-good" }))
            }
            @for (name, value) in capacity(run) { (card(&name.to_lowercase().replace("mib", "MiB"), &value, "")) }
            @if let Some(p99) = p99 { (card("p99, highest", &format!("{} ms", grouped(p99.into())), "")) }
            @if status.outcome != Some(Outcome::Succeeded) { (card("outcome", &outcome(run), "kd-words")) }
        }
    }
}

/// In full if it fits into a card.
fn large(count: u64) -> String {
    if count < 10_000_000 { grouped(count) } else { plot::short(count as f64) }
}

fn card(name: &str, value: &str, class: &str) -> Markup {
    html! { div { dt { (name) } dd class=(class) { (value) } } }
}

/// What came of the records.
#[must_use]
pub fn totals_table(run: &KinesisDemoRun) -> Markup {
    let Some(counts) = run.status.as_ref().and_then(|status| status.totals.as_ref()) else {
        return html! { p { "No totals were recorded." } };
    };
    html! {
        table class="kd-list" {
            tbody {
                @for (name, count, meaning) in totals(counts) {
                    tr { th scope="row" { (name) } td class="kd-number" { (grouped(count)) } td class="kd-meaning" { (meaning) } }
                }
            }
        }
        p class="kd-note" { "Scheduled + excess = offered + unoffered + unreported." }
    }
}

/// Facts by name.
#[must_use]
pub fn fact_list(facts: &[Fact]) -> Markup {
    html! {
        table class="kd-list" {
            tbody { @for (name, value) in facts { tr { th scope="row" { (name) } td class="kd-value" { (value) } } } }
        }
    }
}

fn left_list(run: &KinesisDemoRun) -> Markup {
    match left(run) {
        None => html! { p { "The run was not over when this was recorded." } },
        Some(left) if left.is_empty() => {
            html! { p { "Nothing: every AWS resource of the run was deleted." } }
        }
        Some(left) => html! { ul class="kd-left" { @for one in left { li { (one) } } } },
    }
}

fn gaps(run: &KinesisDemoRun) -> Markup {
    let gaps = run.status.as_ref().map(|status| status.gaps.as_slice()).unwrap_or_default();
    let zero = zero(run);
    html! {
        @if !gaps.is_empty() {
            h2 { "Not observed" }
            p { "No operator observed the run in these intervals. The traffic is known from the tasks' logs all the same." }
            ul { @for gap in gaps.iter().take(MOST_GAPS) { li { (offset(gap.from, zero)) " to " (offset(gap.until, zero)) } } }
        }
    }
}

/// The settings as YAML.
#[must_use]
pub fn settings_block(run: &KinesisDemoRun) -> Markup {
    html! {
        details {
            summary { "As YAML, with all defaults" }
            pre class="kd-yaml" tabindex="0" { (settings(run)) }
        }
    }
}

/// The phases of a run under what the run is called.
#[must_use]
pub fn named_phases(run: &KinesisDemoRun, name: &str) -> Markup {
    html! {
        section class="kd-card" {
            h2 { "Phases: " (name) }
            (phases::table(run))
            p class="kd-note" { (plot::title(run)) }
        }
    }
}

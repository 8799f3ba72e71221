//! Two runs side by side, differences first. In: two records. Out: HTML, Markdown and JSON, whose
//! first line says in a sentence what differs. Pure.

mod differences;

use kinesis_demo_api::KinesisDemoRun;
use maud::html as markup;
use serde::Serialize;

use crate::facts::settings_by_path;
use crate::markdown::{escaped, phase_table, row};
use crate::plot::title;
use crate::text::sentence;
use crate::verdict::{names, verdict_between};
use crate::{html as pages, json as programs};
use differences::{Difference, measurements, of_lists, phase_measurements};

/// What differs between two runs, and what does not.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Comparison<'a> {
    summary: String,
    names: [String; 2],
    /// Measurements that differ.
    differences: Vec<Difference>,
    /// Settings that differ, by their path. Null where one run does not have it.
    settings: Vec<Difference>,
    /// Measurements that do not differ.
    same: Vec<Difference>,
    runs: [&'a KinesisDemoRun; 2],
}

impl<'a> Comparison<'a> {
    fn of(a: &'a KinesisDemoRun, b: &'a KinesisDemoRun) -> Self {
        let mut measured = of_lists(&measurements(a), &measurements(b));
        measured.extend(of_lists(&phase_measurements(a), &phase_measurements(b)));
        let (differences, same) = measured.into_iter().partition(Difference::differs);
        let mut settings = of_lists(&settings_by_path(a), &settings_by_path(b));
        settings.retain(Difference::differs);
        Self { summary: verdict_between(a, b), names: names(a, b), differences, settings, same, runs: [a, b] }
    }
}

/// The comparison as JSON.
#[must_use]
pub fn json(a: &KinesisDemoRun, b: &KinesisDemoRun) -> String {
    programs::pretty(&Comparison::of(a, b))
}

/// The comparison as Markdown.
#[must_use]
pub fn markdown(a: &KinesisDemoRun, b: &KinesisDemoRun) -> String {
    let comparison = Comparison::of(a, b);
    let mut lines = vec![format!("**{}**", escaped(&sentence(&comparison.summary)))];
    let [first, second] = comparison.names.clone().map(|name| escaped(&name));
    let header = [format!("| | {first} | {second} |"), "|---|---:|---:|".to_owned()];
    let [run_a, run_b] = comparison.runs.map(|run| escaped(&title(run)));
    let parts = [
        ("What differs", &comparison.differences),
        ("Settings that differ", &comparison.settings),
        ("What does not differ", &comparison.same),
    ];
    for (title, rows) in parts {
        if !rows.is_empty() {
            lines.extend([String::new(), format!("### {title}"), String::new()]);
            lines.extend(header.clone());
            let cells = |difference: &Difference| {
                [escaped(&difference.what), shown(difference.a.as_ref()), shown(difference.b.as_ref())]
            };
            lines.extend(rows.iter().map(|difference| row(cells(difference).iter())));
        }
    }
    for ((name, title), run) in [(first, run_a), (second, run_b)].into_iter().zip(comparison.runs) {
        lines.extend([String::new(), format!("### Phases: {name} ({title})"), String::new()]);
        lines.extend(phase_table(run));
    }
    lines.join("\n") + "\n"
}

fn shown(value: Option<&String>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| escaped(value))
}

/// The comparison as one HTML file.
#[must_use]
pub fn html(a: &KinesisDemoRun, b: &KinesisDemoRun) -> String {
    let comparison = Comparison::of(a, b);
    let [first, second] = &comparison.names;
    let table = |what: &str, rows: &[Difference]| {
        markup! {
            table class="kd-list kd-compared" {
                thead { tr { th scope="col" { (what) } th scope="col" { (first) } th scope="col" { (second) } } }
                tbody {
                    @for Difference { what, a, b } in rows {
                        tr {
                            th scope="row" { (what) }
                            td { (a.as_deref().unwrap_or("-")) }
                            td { (b.as_deref().unwrap_or("-")) }
                        }
                    }
                }
            }
        }
    };
    let page = format!("{} and {}", title(a), title(b));
    let body = markup! {
        header class="kd-head" {
            p class="kd-over" { (page) }
            h1 { (sentence(&comparison.summary)) }
        }
        section class="kd-card" aria-label="Both runs over time, on the same axes" { (pages::figures(&comparison.runs)) }
        div class="kd-two" {
            section class="kd-card" {
                h2 { "What differs" }
                @if comparison.differences.is_empty() { p { "No measurement." } } @else { (table("Measurement", &comparison.differences)) }
            }
            div {
                section class="kd-card" {
                    h2 { "Settings that differ" }
                    @if comparison.settings.is_empty() { p { "None: both runs had the same settings." } } @else { (table("Setting", &comparison.settings)) }
                }
                @if !comparison.same.is_empty() {
                    section class="kd-card kd-below" {
                        h2 { "What does not differ" }
                        details { summary { (comparison.same.len()) " measurements" } (table("Measurement", &comparison.same)) }
                    }
                }
            }
        }
        (pages::named_phases(a, first))
        (pages::named_phases(b, second))
        div class="kd-two" {
            @for (run, name) in comparison.runs.iter().zip(&comparison.names) {
                section class="kd-card" { h2 { "Settings: " (name) } (pages::settings_block(run)) }
            }
        }
    };
    pages::document(&page, &body)
}

//! The page. In: a view. Out: a whole document, or its parts by id, which replace those of a
//! document that is open. Pure. All text is escaped (maud), and nothing is loaded from elsewhere.
//!
//! ```text
//! mod      the document around the parts      clock     phases, countdowns
//! run      one run: head, figures, buttons    blocking  what stands in the way
//! list     all objects and runs               plots     the figures of kinesis-demo-report
//! ```

pub mod blocking;
pub mod clock;
pub mod list;
pub mod plots;
pub mod run;

use std::sync::Arc;

use kinesis_demo_api::{KinesisDemoRun, MicroTime};
use kinesis_demo_report::shards::ShardLoads;
use kinesis_demo_report::text::{clean, sentence};
use kinesis_demo_report::verdict::verdict_between;
use maud::{DOCTYPE, Markup, html};

use super::view::{ListView, View};
use plots::Screen;

/// A part of the document: the id of its element, and the markup in it.
pub type Part = (String, Markup);

/// The longest text that is shown in one place, in characters.
const LONGEST: usize = 2_048;

/// Untrusted text: without control characters and of bounded length. Escaped where it is used.
fn text(text: &str) -> String {
    clean(text, LONGEST)
}

/// What all documents have: where their updates come from.
pub struct Frame<'a> {
    pub title: &'a str,
    /// The address of the updates.
    pub events: &'a str,
    pub now: MicroTime,
    pub speed: u32,
}

/// The document with these parts in `main`.
#[must_use]
pub fn document(frame: &Frame<'_>, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                title { (text(frame.title)) " · KinesisDemo" }
                link rel="icon" type="image/svg+xml" href="/icon.svg";
                link rel="stylesheet" href="/plot.css";
                link rel="stylesheet" href="/page.css";
                script src="/page.js" {}
            }
            body data-events=(frame.events) data-now=(millis(frame.now)) data-speed=(frame.speed) {
                a class="skip" href="#main" { "Skip to the content" }
                header class="bar" {
                    a class="brand" href="/list" { "KinesisDemo" }
                    h1 { (text(frame.title)) }
                    p id="connection" class="connection" role="status" { "connecting" }
                    nav class="tools" aria-label="View" {
                        a class="tool" href="/list" { "All runs " kbd { "l" } }
                        button type="button" class="tool" data-do="presenter" aria-pressed="false" { "Presenter " kbd { "p" } }
                        button type="button" class="tool" data-do="theme" { "Theme: " span id="theme" { "system" } " " kbd { "t" } }
                    }
                }
                main id="main" tabindex="-1" { (main) }
                p id="answer" class="answer" role="status" {}
            }
        }
    }
}

/// The parts of the document, in place.
fn placed(parts: &[Part]) -> Markup {
    html! { @for (id, markup) in parts { div id=(id) data-part { (markup) } } }
}

/// What a user must know about the connection or the data.
fn messages(messages: &[String]) -> Part {
    let markup = html! { @for message in messages { p class="message" role="status" { (text(message)) } } };
    ("messages".into(), markup)
}

/// The parts of a page with runs.
#[must_use]
pub fn parts(view: &View, screen: Screen) -> Vec<Part> {
    let mut parts = vec![messages(&view.messages), ("verdict".into(), between(view))];
    for (index, run) in view.runs.iter().enumerate() {
        parts.extend(run::parts(run, index, view.now));
    }
    parts.push(("plots".into(), plots::plots(&runs(view), &loads(view), view.now, screen)));
    parts.push(("tables".into(), plots::tables(&runs(view))));
    parts
}

/// A page with runs.
#[must_use]
pub fn show(view: &View, events: &str, screen: Screen) -> Markup {
    let names: Vec<_> = view.runs.iter().map(|run| text(&run.name)).collect();
    let parts = parts(view, screen);
    let of = |prefix: &str| -> Vec<Part> {
        parts.iter().filter(|(id, _)| id.starts_with(prefix)).cloned().collect()
    };
    let main = html! {
        (placed(&of("messages")))
        (placed(&of("verdict")))
        div class={ "runs runs-" (view.runs.len()) } {
            @for index in 0..view.runs.len() {
                section class="run card" aria-label={ "Run " (index + 1) } { (placed(&of(&format!("run-{index}-")))) }
            }
        }
        section class="card plots" aria-label="Plots" { (placed(&of("plots"))) }
        section class="card desk" aria-label="Phases in figures" { (placed(&of("tables"))) }
    };
    document(&Frame { title: &names.join(" beside "), events, now: view.now, speed: view.speed }, &main)
}

/// A page with the list.
#[must_use]
pub fn list(view: &ListView, events: &str) -> Markup {
    let main = placed(&list_parts(view));
    document(&Frame { title: "Objects and runs", events, now: view.now, speed: view.speed }, &main)
}

/// The parts of the list.
#[must_use]
pub fn list_parts(view: &ListView) -> Vec<Part> {
    let mut parts = vec![messages(&view.messages)];
    parts.extend(list::parts(view));
    parts
}

/// The page that the login file leads to: it keeps key and witness, and goes on to the clean
/// address.
#[must_use]
pub fn welcome(key: &str, witness: &str) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="referrer" content="no-referrer";
                meta name="key" content=(key);
                meta name="witness" content=(witness);
                title { "KinesisDemo" }
                script src="/login.js" {}
            }
            body { p { a href="/" { "Go on to the page" } } }
        }
    }
}

/// Two runs in a sentence.
fn between(view: &View) -> Markup {
    match runs(view).as_slice() {
        [a, b] if has_traffic(a) && has_traffic(b) => {
            html! { p class="verdict between" { (sentence(&text(&verdict_between(a, b)))) } }
        }
        _ => html! {},
    }
}

fn has_traffic(run: &KinesisDemoRun) -> bool {
    let totals = run.status.as_ref().and_then(|status| status.totals.as_ref());
    totals.is_some_and(|totals| totals.scheduled > 0)
}

fn runs(view: &View) -> Vec<&KinesisDemoRun> {
    view.runs.iter().filter_map(|run| run.run.as_ref()).collect()
}

/// The load of the shards of each of [`runs`].
fn loads(view: &View) -> Vec<Option<Arc<ShardLoads>>> {
    view.runs.iter().filter(|run| run.run.is_some()).map(|run| run.shards.clone()).collect()
}

/// Milliseconds since 1970, as scripts count.
fn millis(at: MicroTime) -> i64 {
    at.as_micros() / 1_000
}

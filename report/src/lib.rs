//! Draws and describes runs. In: the records of runs (`KinesisDemoRun`), which are untrusted: any
//! text, any instant, any count, lists of any length. Out: HTML, SVG, Markdown and JSON. Pure.
//!
//! ```text
//! verdict     one sentence about a run, or about two      phases    the table of the phases
//! plot        the timeline as SVG                         html      the report as one HTML file
//! compare     two runs, differences first                 markdown  the report for a pull request
//! facts       settings, versions, what was left           json      the report for programs
//! shards      the load of each shard, if known            text      numbers, text of others
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod compare;
pub mod facts;
pub mod html;
pub mod json;
pub mod markdown;
pub mod phases;
pub mod plot;
pub mod shards;
pub mod text;
pub mod verdict;

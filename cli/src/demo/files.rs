//! The files and the summary that a demo leaves. In: the reports of its runs. Out: `report.json`,
//! `report.html` (of two runs: their comparison), lines on stdout.

use std::io::Write;
use std::path::{Path, PathBuf};

use kinesis_demo_local_cluster::private_files::write_private;
use kinesis_demo_local_cluster::state::folder::check_still_ours;
use kinesis_demo_report::{compare, html};

use super::report::Report;
use super::summary::summary;
use super::together::{JointReport, joint_summary};
use crate::error::CliError;
use crate::output::width;

/// Writes the report and prints its summary. The report of a single run has no frame around it.
pub fn write_report(state: &Path, joint: &JointReport) -> Result<(), CliError> {
    check_still_ours(state)?;
    let path = state.join("report.json");
    // Serialising strings, numbers and lists of them cannot fail.
    let (text, lines) = match joint.demos.as_slice() {
        [single] => {
            let mut single = single.clone();
            single.report = Report { leaked: joint.leaked.clone(), ..single.report };
            let lines = summary(&single.report, single.demo.as_ref(), width());
            (serde_json::to_string_pretty(&single), lines)
        }
        _ => (serde_json::to_string_pretty(joint), joint_summary(joint, width())),
    };
    write_private(&path, (text.unwrap_or_default() + "\n").as_bytes())?;
    let pages = pages(joint);
    for (name, page) in &pages {
        write_private(&state.join(name), page.as_bytes())?;
    }
    let mut out = std::io::stdout().lock();
    writeln!(out)?;
    for line in lines {
        writeln!(out, "{line}")?;
    }
    let paths = pages.into_iter().map(|(name, _)| state.join(name)).chain([path]);
    let shown: Vec<String> = paths.map(|path: PathBuf| path.display().to_string()).collect();
    writeln!(out, "Report: {}", shown.join(", "))?;
    Ok(())
}

/// The reports to look at: of one run, of two beside each other, or of each of several. A run
/// without a record has none.
fn pages(joint: &JointReport) -> Vec<(String, String)> {
    let records: Vec<_> =
        joint.demos.iter().filter_map(|demo| Some((&demo.name, demo.record.as_ref()?))).collect();
    match records.as_slice() {
        [(_, record)] => vec![("report.html".to_owned(), html::report(record))],
        [(_, one), (_, other)] => vec![("report.html".to_owned(), compare::html(one, other))],
        several => several
            .iter()
            .map(|(name, record)| (format!("report-{name}.html"), html::report(record)))
            .collect(),
    }
}

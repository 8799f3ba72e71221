//! The files that are generated from the programs' types. In: the linked programs, and the text
//! about each reason (`xtask/reasons.yaml`). Out: `crds/`, the chart's copy of it, and the
//! reference pages for the resource, its conditions, the metrics and both command lines.

mod conditions;
mod crd;
mod differences;
mod metrics;
mod programs;

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, bail};

use crate::workspace::root;
use differences::differences;

/// A file, by its path in the repository, and its text.
type Generated = (&'static str, String);

/// Writes the files that are out of date, or, with `check`, prints how they differ and fails.
pub fn run(check: bool) -> anyhow::Result<()> {
    let folder = root();
    let stale = stale(&folder)?;
    if !check {
        for ((path, text), _) in &stale {
            let file = folder.join(path);
            fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
            println!("wrote {path}");
        }
        return Ok(());
    }
    for (_, differences) in &stale {
        print!("{differences}");
    }
    match stale.len() {
        0 => Ok(()),
        count => bail!("{count} generated files are out of date: run make generate"),
    }
}

/// The generated files that are out of date, each with its differences.
fn stale(folder: &Path) -> anyhow::Result<Vec<(Generated, String)>> {
    let mut stale = Vec::new();
    for (path, text) in generated()? {
        let current = match fs::read_to_string(folder.join(path)) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => String::new(),
            read => read.with_context(|| format!("read {path}"))?,
        };
        if current != text {
            let differences = differences(path, &current, &text);
            stale.push(((path, text), differences));
        }
    }
    Ok(stale)
}

fn generated() -> anyhow::Result<[Generated; 10]> {
    let demo = kinesis_demo_operator::crd::demo_yaml()?;
    let run = kinesis_demo_operator::crd::run_yaml()?;
    Ok([
        ("crds/kinesisdemos.kinesisdemo.io.yaml", demo.clone()),
        ("crds/kinesisdemoruns.kinesisdemo.io.yaml", run.clone()),
        ("charts/kinesis-demo-operator/files/kinesisdemos.kinesisdemo.io.yaml", demo),
        ("charts/kinesis-demo-operator/files/kinesisdemoruns.kinesisdemo.io.yaml", run),
        ("docs/reference/crd.md", crd::demo_page()?),
        ("docs/reference/runs.md", crd::run_page()?),
        ("docs/reference/conditions.md", conditions::page()?),
        ("docs/reference/metrics.md", metrics::page()?),
        ("docs/reference/operator.md", programs::operator_page()?),
        ("docs/reference/cli.md", programs::cli_page()?),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_files_are_up_to_date() {
        let differences: String =
            stale(&root()).unwrap().into_iter().map(|(_, differences)| differences).collect();
        assert!(differences.is_empty(), "run make generate; it changes:\n{differences}");
    }

    #[test]
    fn a_missing_file_is_stale_with_its_whole_text() {
        let folder = tempfile::tempdir().unwrap();
        let stale = stale(folder.path()).unwrap();
        assert_eq!(stale.len(), 10);
        let ((path, text), differences) = &stale[6];
        assert_eq!(*path, "docs/reference/conditions.md");
        assert_eq!(differences.lines().filter(|line| line.starts_with('+')).count(), text.lines().count());
    }
}

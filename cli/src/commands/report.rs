//! `report`, `compare`: read recorded runs, and write what they show.

use std::io::Write;
use std::path::Path;

use kinesis_demo_api::KinesisDemoRun;
use kinesis_demo_report::{html, json, markdown, plot, text, verdict};

use crate::args::{Compare, Report, ReportFormat, ReportOutput};
use crate::cluster::Cluster;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::run_name::RunName;
use crate::runs;

pub async fn report(arguments: Report) -> Result<ExitStatus, CliError> {
    let Report { name, run: number, file, connection, output } = arguments;
    let run = match (&file, name) {
        (Some(path), name) => runs::read(path, name.as_deref(), number)?,
        (None, name) => {
            let wanted = wanted(&name.unwrap_or_default(), number)?;
            runs::fetch(&Cluster::connect(&connection).await?, &wanted).await?
        }
    };
    let written = match format_of(&output) {
        ReportFormat::Html => html::report(&run),
        ReportFormat::Md => markdown::report(&run),
        ReportFormat::Json => json::report(&run),
    };
    write(&written, &output, &plot::says(&run))
}

pub async fn compare(arguments: Compare) -> Result<ExitStatus, CliError> {
    let Compare { runs: names, file, connection, output } = arguments;
    let (a, b) = match (names.as_slice(), file.as_slice()) {
        ([], [a, b]) => (runs::read(a, None, None)?, runs::read(b, None, None)?),
        ([a, b], [file]) => {
            (runs::read(file, Some(&a.demo), a.run)?, runs::read(file, Some(&b.demo), b.run)?)
        }
        ([a, b], []) => {
            let cluster = Cluster::connect(&connection).await?;
            (runs::fetch(&cluster, a).await?, runs::fetch(&cluster, b).await?)
        }
        _ => {
            return Err(CliError::Refused(
                "could not compare: give two runs, as two names, or with --file twice".into(),
            ));
        }
    };
    let written = comparison(&a, &b, format_of(&output));
    write(&written, &output, &verdict::verdict_between(&a, &b))
}

fn comparison(a: &KinesisDemoRun, b: &KinesisDemoRun, format: ReportFormat) -> String {
    use kinesis_demo_report::compare;
    match format {
        ReportFormat::Html => compare::html(a, b),
        ReportFormat::Md => compare::markdown(a, b),
        ReportFormat::Json => compare::json(a, b),
    }
}

fn wanted(name: &str, number: Option<u32>) -> Result<RunName, CliError> {
    let wanted: RunName = name.parse().map_err(|reason| {
        CliError::Refused(format!("could not report {}: {reason}", text::clean(name, 80)))
    })?;
    match (wanted.run, number) {
        (Some(a), Some(b)) if a != b => {
            Err(CliError::Refused(format!("could not report {wanted}: --run says {b}; give one number")))
        }
        (run, number) => Ok(RunName { run: run.or(number), ..wanted }),
    }
}

/// As asked for, else as the file's name says, else Markdown.
fn format_of(output: &ReportOutput) -> ReportFormat {
    let by_name = |path: &Path| {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "html" | "htm" => Some(ReportFormat::Html),
            "json" => Some(ReportFormat::Json),
            _ => None,
        }
    };
    let asked = output.output.or_else(|| output.output_file.as_deref().and_then(by_name));
    asked.unwrap_or(ReportFormat::Md)
}

/// Writes to the file and says so, or writes to stdout.
fn write(written: &str, output: &ReportOutput, verdict: &str) -> Result<ExitStatus, CliError> {
    let mut out = std::io::stdout().lock();
    match &output.output_file {
        Some(path) => {
            std::fs::write(path, written)
                .map_err(|source| CliError::WriteFile { path: path.clone(), source })?;
            writeln!(out, "{}\nwrote {}", text::sentence(verdict), path.display())?;
        }
        None => out.write_all(written.as_bytes())?,
    }
    Ok(ExitStatus::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_follows_from_the_files_name() {
        let of = |output: Option<ReportFormat>, file: Option<&str>| {
            format_of(&ReportOutput { output, output_file: file.map(Into::into) })
        };
        assert_eq!(of(None, None), ReportFormat::Md);
        assert_eq!(of(None, Some("a/report.HTML")), ReportFormat::Html);
        assert_eq!(of(None, Some("report.json")), ReportFormat::Json);
        assert_eq!(of(None, Some("report.txt")), ReportFormat::Md);
        assert_eq!(of(Some(ReportFormat::Json), Some("report.html")), ReportFormat::Json);
    }

    #[test]
    fn a_number_is_given_once() {
        assert_eq!(wanted("a/2", None).unwrap().run, Some(2));
        assert_eq!(wanted("a", Some(3)).unwrap().run, Some(3));
        assert!(wanted("a/2", Some(3)).unwrap_err().to_string().contains("--run says 3"));
    }
}

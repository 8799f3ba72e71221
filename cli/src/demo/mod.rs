//! The local demo: runs a real Kubernetes API server, a local AWS, our operator and one viral
//! event, or several at once, writes a report, and stops everything.
//!
//! In: a manifest and the folder of `--state`, in which the demo creates its own (see
//! [`kinesis_demo_local_cluster::state::folder`]). Out: the run shown live, `report.json` and
//! `report.html`, a summary, an exit code. The demo ends everything it starts, also after Ctrl-C.
//! The next run ends what a SIGKILL left. A demo started with `--keep` is ended only by
//! `demo-down`.

pub mod env_file;
pub mod files;
pub mod interrupts;
pub mod page;
pub mod report;
pub mod samples;
pub mod session;
pub mod summary;
pub mod together;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use kinesis_demo_local_cluster::kubernetes::kind::delete_orphaned_cluster;
use kinesis_demo_local_cluster::processes::orphans::end_orphans;
use kinesis_demo_local_cluster::shell::quoted;
use kinesis_demo_local_cluster::state::folder::{Owner, absolute, folder_in, owner};
use kinesis_demo_local_cluster::state::lock::StateLock;
use kinesis_demo_local_cluster::{Lifetime, Progress, Supervisor};

use crate::args::{Demo, DemoDown};
use crate::dashboard::server::Serving;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::manifest::{Manifest, manifests, read_manifests};
use crate::render::printable::printable;
use crate::terminal::message;
use files::write_report;
use interrupts::Interrupts;
use kinesis_demo_local_cluster::programs::{operator_defaults, operator_limits};
use session::{DemoOutcome, DemoSession, DemoView, RunOutcome, remove_temporary_files};
use together::{JointReport, joint_report};

/// The manifest used by default: the four phases at full rates, within a minute.
const QUICK: &str = include_str!("../../../examples/quick.yaml");

/// Starts everything, runs the demo, and stops everything.
pub async fn run(arguments: Demo) -> Result<ExitStatus, CliError> {
    let Demo { manifest: path, state: dir, keep, speed, plain } = arguments;
    // Report manifest errors before anything is started.
    let manifests = chosen_manifests(path.as_deref())?;
    let names = manifests.iter().map(|manifest| manifest.name.as_str()).collect::<Vec<_>>().join(", ");
    let namespace = manifests.first().map_or("default", Manifest::namespace);
    let mut interrupts = Interrupts::listen()?;
    let progress: Progress = Arc::new(|line: &str| message(&format!("· {}", printable(line))));
    let lifetime = if keep { Lifetime::Detached } else { Lifetime::UntilExit };
    let supervisor = Supervisor::open(&dir, lifetime)?;
    supervisor.record_usage(&format!("KinesisDemo {namespace}/{names}"))?;
    let state = supervisor.state().to_path_buf();
    // Absolute, so that the command works from any folder.
    let shown_dir = quoted(&absolute(&dir)?.display().to_string());
    for role in supervisor.ended_orphans() {
        progress(&format!("ended a process of an earlier run: {role}"));
    }
    delete_orphaned_cluster(&state).await?;

    let started_at = Timestamp::now();
    let setting_up = DemoSession::set_up(&supervisor, &manifests, speed, &progress);
    let session = tokio::select! {
        session = setting_up => session,
        () = interrupts.next() => {
            progress("interrupted: stopping all processes");
            stop_early(&supervisor).await?;
            return Ok(ExitStatus::Interrupted);
        }
    };
    let session = match session {
        Ok(session) => session,
        Err(error) => {
            stop_early(&supervisor).await?;
            return Err(error);
        }
    };
    progress(&format!(
        "ready in {} s; applying KinesisDemo {names}",
        Timestamp::now().duration_since(started_at).as_secs(),
    ));

    let page = page::serve(session.cluster(), &manifests, &state, session.sandbox(), &progress).await;
    let view = DemoView { plain, hint: hint(page.as_ref().map(Serving::file)) };
    let mut outcome = session.run(&manifests, view, &mut interrupts, &progress).await;
    let interrupted = interrupts.count() > 0;
    let keeps_running = keep && outcome.error.is_none() && !interrupted;
    if !keeps_running {
        let removed = session.remove(&manifests, &mut interrupts, &progress).await;
        outcome.error = outcome.error.or(removed.err());
    }
    let report = report_of(&session, &outcome).await;
    // Until here it shows the removal, too.
    drop(page);
    let mut survivors = Vec::new();
    if !keeps_running {
        progress("stopping all processes");
        session.stop().await?;
        survivors = supervisor.running()?;
        remove_temporary_files(&state)?;
    }
    let report = report.and_then(|mut report| {
        let processes = survivors.iter().map(|entry| format!("process {} (pid {})", entry.role, entry.pid));
        report.leaked.extend(processes);
        // Without a run there is nothing to report, and the last run's report is kept.
        if outcome.runs.iter().any(has_started) {
            write_report(&state, &report)?;
        }
        Ok(report)
    });
    match (outcome.error.take(), report) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(error),
        (None, Ok(report)) => {
            if keeps_running {
                supervisor.record_detached()?;
                let mut out = std::io::stdout().lock();
                writeln!(
                    out,
                    "Everything keeps running until `kubectl kinesisdemo demo-down --state {shown_dir}` (in a checkout: make demo-down)."
                )?;
                let env = state.join("env").display().to_string();
                writeln!(out, "For kubectl and the AWS CLI:  . {}", quoted(&env))?;
            }
            Ok(exit_status(&report, &outcome, interrupted))
        }
    }
}

/// The last line of the view: the lines that named the page's file are covered by it.
fn hint(page: Option<&Path>) -> String {
    let ends = "Ctrl-C aborts, removes everything";
    let Some(file) = page else { return ends.to_owned() };
    let here = std::env::current_dir().ok();
    let file = here.as_deref().and_then(|here| file.strip_prefix(here).ok()).unwrap_or(file);
    format!("Page: open {} · {ends}", printable(&file.display().to_string()))
}

/// The report of all runs, with what was left.
async fn report_of(session: &DemoSession, outcome: &DemoOutcome) -> Result<JointReport, CliError> {
    let left = session.left_in_sandbox(&outcome.runs).await?;
    let mut demos = Vec::new();
    for run in &outcome.runs {
        demos.push(session.report(run).await?);
    }
    Ok(joint_report(demos, left))
}

/// Whether the operator started a run of the object.
fn has_started(outcome: &RunOutcome) -> bool {
    let status = outcome.last.as_ref().and_then(|demo| demo.status.as_ref());
    status.is_some_and(|status| status.run.is_some())
}

/// Stops everything when the demo ends before its run.
async fn stop_early(supervisor: &Supervisor) -> Result<(), CliError> {
    supervisor.stop_all().await;
    delete_orphaned_cluster(supervisor.state()).await?;
    remove_temporary_files(supervisor.state())?;
    Ok(())
}

/// The status of the demo: that of its first run that did not succeed.
fn exit_status(report: &JointReport, outcome: &DemoOutcome, interrupted: bool) -> ExitStatus {
    if !report.leaked.is_empty() {
        return ExitStatus::LeakedResources;
    }
    if interrupted {
        return ExitStatus::Interrupted;
    }
    let of_run = |run: &RunOutcome| run.last.as_ref().map_or(ExitStatus::Error, ExitStatus::of_run);
    outcome
        .runs
        .iter()
        .map(of_run)
        .find(|status| *status != ExitStatus::Success)
        .unwrap_or(ExitStatus::Success)
}

/// Ends what `demo --keep` left running, and what a killed demo left behind.
pub async fn down(arguments: DemoDown) -> Result<ExitStatus, CliError> {
    let dir = absolute(&arguments.state)?;
    let state = folder_in(&dir);
    let why_not = match owner(&dir)? {
        Owner::Ours => None,
        Owner::Nobody | Owner::Empty => Some(String::new()),
        Owner::Foreign(why) => Some(format!(" ({} was not created by a demo: {why})", state.display())),
    };
    if let Some(why_not) = why_not {
        println!("no demo has run in {}{why_not}; nothing was changed", dir.display());
        return Ok(ExitStatus::Success);
    }
    let lock = StateLock::take(&state)?;
    let cleared = end_orphans(&state)?;
    let cluster = delete_orphaned_cluster(&state).await?;
    for role in &cleared {
        println!("ended {role}");
    }
    if let Some(name) = &cluster {
        println!("deleted the kind cluster {name}");
    }
    if cleared.is_empty() && cluster.is_none() {
        println!("no process of {} is running", state.display());
    }
    lock.clear_detached()?;
    let env = state.join("env");
    let has_env = env.exists();
    remove_temporary_files(&state)?;
    if has_env {
        println!("A shell that sourced {} still points at this demo: close it.", env.display());
    }
    Ok(ExitStatus::Success)
}

fn chosen_manifests(path: Option<&Path>) -> Result<Vec<Manifest>, CliError> {
    let named = path.unwrap_or(Path::new("examples/quick.yaml"));
    let refused = |reason| CliError::Manifest { path: named.to_path_buf(), reason };
    let found = match path {
        Some(path) => read_manifests(path)?,
        None => manifests(QUICK).map_err(refused)?,
    };
    let (defaults, limits) = (operator_defaults(), operator_limits());
    for manifest in &found {
        let check = manifest.check(&defaults, &limits);
        check.map_err(|reason| match found.len() {
            1 => refused(reason),
            _ => refused(format!("{}: {reason}", manifest.name)),
        })?;
    }
    Ok(found)
}

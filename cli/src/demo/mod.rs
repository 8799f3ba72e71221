//! The laptop's demo: a real Kubernetes API server, a local AWS, our operator, one viral event, a report, and then nothing.
//!
//! In: a manifest and a folder for one of our own (see [`crate::local_cluster::state_folder`]). Out: the
//! run shown live, `report.json`, a summary, an exit code. Everything it starts it ends, on Ctrl-C
//! too; what a SIGKILL left is ended by the next run. A demo that was kept is ended only when
//! asked.

pub mod boundaries;
pub mod environment;
pub mod interrupts;
pub mod leaked_resources;
pub mod parts;
pub mod report;
pub mod samples;
pub mod sandbox;
pub mod stage;
pub mod summary;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use crate::args::{Demo, DemoDown};
use crate::ending::Ending;
use crate::error::CliError;
use crate::local_cluster::kind::clear_leftover_cluster;
use crate::local_cluster::leftovers::clear_leftovers;
use crate::local_cluster::shell::quoted;
use crate::local_cluster::state_folder::{Owner, absolute, folder_in, owner, still_ours};
use crate::local_cluster::state_lock::StateLock;
use crate::local_cluster::{Lifetime, Progress, Supervisor, write_private};
use crate::manifest::{Manifest, manifest, read_manifest};
use crate::output::width;
use interrupts::Interrupts;
use parts::operator_defaults;
use report::Report;
use stage::{DemoStage, Played, tidy};

/// What is run without a manifest: the four phases at full rates, within a minute.
const QUICK: &str = include_str!("../../../examples/quick.yaml");

/// Runs the demo from nothing to nothing.
pub async fn run(arguments: Demo) -> Result<Ending, CliError> {
    let Demo { manifest: path, state: dir, keep, speed } = arguments;
    // What is wrong with the manifest is told before anything is started.
    let manifest = chosen_manifest(path.as_deref())?;
    let mut interrupts = Interrupts::listen()?;
    // A terminal that is gone must not keep us from stopping what runs: `eprintln!` would panic.
    let progress: Progress = Arc::new(|line: &str| drop(writeln!(std::io::stderr(), "· {line}")));
    let lifetime = if keep { Lifetime::Keep } else { Lifetime::Run };
    let supervisor = Supervisor::open(&dir, lifetime)?;
    supervisor.tell_usage(&format!("KinesisDemo {}/{}", manifest.namespace(), manifest.name))?;
    let state = supervisor.state().to_path_buf();
    for role in supervisor.cleared() {
        progress(&format!("ended what an earlier run left: {role}"));
    }
    clear_leftover_cluster(&state).await?;

    let began = Timestamp::now();
    let setting_up = DemoStage::set_up(&supervisor, &manifest, speed, &progress);
    let stage = tokio::select! {
        stage = setting_up => stage,
        () = interrupts.next() => {
            progress("interrupted: stopping what was started");
            break_off(&supervisor).await?;
            return Ok(Ending::Interrupted);
        }
    };
    let stage = match stage {
        Ok(stage) => stage,
        Err(error) => {
            break_off(&supervisor).await?;
            return Err(error);
        }
    };
    progress(&format!(
        "ready in {} s; applying KinesisDemo {}",
        Timestamp::now().duration_since(began).as_secs(),
        manifest.name
    ));

    let mut played = stage.play(&manifest, &mut interrupts, &progress).await;
    let interrupted = interrupts.count() > 0;
    let stays_up = keep && played.trouble.is_none() && !interrupted;
    if !stays_up {
        let removed = stage.remove(&manifest.name, &mut interrupts, &progress).await;
        played.trouble = played.trouble.or(removed.err());
    }
    let report = match stage.left_in_sandbox(played.last.as_ref()).await {
        Ok(left) => stage.report(&played, left).await,
        Err(error) => Err(error),
    };
    let mut survivors = Vec::new();
    if !stays_up {
        progress("stopping everything");
        stage.stop().await?;
        survivors = supervisor.running()?;
        tidy(&state)?;
    }
    let told = report.and_then(|mut report| {
        let processes = survivors.iter().map(|entry| format!("process {} (pid {})", entry.role, entry.pid));
        report.leftovers.extend(processes);
        // Without a run there is nothing to report, and the last run's report stays.
        if has_begun(&played) {
            tell(&state, &report)?;
        }
        Ok(report)
    });
    match (played.trouble.take(), told) {
        (Some(trouble), _) => Err(trouble),
        (None, Err(error)) => Err(error),
        (None, Ok(report)) => {
            if stays_up {
                supervisor.note_kept()?;
                let mut out = std::io::stdout().lock();
                let dir = quoted(&dir.display().to_string());
                writeln!(
                    out,
                    "Everything stays up until `kubectl kinesisdemo demo-down --state {dir}` (in a checkout: make demo-down)."
                )?;
                let env = state.join("env").display().to_string();
                writeln!(out, "For kubectl and the AWS CLI:  . {}", quoted(&env))?;
            }
            Ok(ending(&report, &played, interrupted))
        }
    }
}

/// Whether the operator began a run of the object.
fn has_begun(played: &Played) -> bool {
    let status = played.last.as_ref().and_then(|demo| demo.status.as_ref());
    status.is_some_and(|status| status.run.is_some())
}

/// Ends what was started before there was anything to report.
async fn break_off(supervisor: &Supervisor) -> Result<(), CliError> {
    supervisor.stop_all().await;
    clear_leftover_cluster(supervisor.state()).await?;
    tidy(supervisor.state())?;
    Ok(())
}

/// Writes the report and prints its summary.
fn tell(state: &Path, report: &Report) -> Result<(), CliError> {
    still_ours(state)?;
    let path = state.join("report.json");
    // Texts, numbers and lists of them cannot fail to be serialised.
    let text = serde_json::to_string_pretty(report).unwrap_or_default() + "\n";
    write_private(&path, text.as_bytes())?;
    let mut out = std::io::stdout().lock();
    writeln!(out)?;
    for line in summary::summary(report, width()) {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "Report: {}", path.display())?;
    Ok(())
}

fn ending(report: &Report, played: &Played, interrupted: bool) -> Ending {
    if !report.leftovers.is_empty() {
        return Ending::Leftovers;
    }
    match &played.last {
        _ if interrupted => Ending::Interrupted,
        Some(demo) => Ending::of_run(demo),
        None => Ending::Error,
    }
}

/// Ends what `demo --keep` left up, and what a killed demo left behind.
pub async fn down(arguments: DemoDown) -> Result<Ending, CliError> {
    let dir = absolute(&arguments.state)?;
    let state = folder_in(&dir);
    let why_not = match owner(&dir)? {
        Owner::Ours => None,
        Owner::Nobody | Owner::Empty => Some(String::new()),
        Owner::Foreign(why) => Some(format!(" ({} was not created by a demo: {why})", state.display())),
    };
    if let Some(why_not) = why_not {
        println!("no demo has run in {}{why_not}; nothing was changed", dir.display());
        return Ok(Ending::Done);
    }
    let lock = StateLock::take(&state)?;
    let cleared = clear_leftovers(&state)?;
    let cluster = clear_leftover_cluster(&state).await?;
    for role in &cleared {
        println!("ended {role}");
    }
    if let Some(name) = &cluster {
        println!("deleted the kind cluster {name}");
    }
    if cleared.is_empty() && cluster.is_none() {
        println!("nothing of {} runs", state.display());
    }
    lock.forget_kept()?;
    tidy(&state)?;
    Ok(Ending::Done)
}

fn chosen_manifest(path: Option<&Path>) -> Result<Manifest, CliError> {
    let named = path.unwrap_or(Path::new("examples/quick.yaml"));
    let refused = |reason| CliError::Manifest { path: named.to_path_buf(), reason };
    let manifest = match path {
        Some(path) => read_manifest(path)?,
        None => manifest(QUICK).map_err(refused)?,
    };
    manifest.check(&operator_defaults()).map_err(refused)?;
    Ok(manifest)
}

//! `start`: creates the object with server-side apply and watches its run.

use crate::args::{Output, Start};
use crate::cluster::{Cluster, FIELD_MANAGER};
use crate::commands::show::ENDS_THE_WATCH;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::field_managers::{ManagedField, fields_of_other_managers};
use crate::follow::{WatchOutcome, follow_until_interrupted, is_over};
use crate::manifest::{from_flags, read_manifest};
use crate::render::line::blocking_condition;
use crate::render::printable::printable;
use crate::screen::Screen;

pub async fn start(arguments: Start) -> Result<ExitStatus, CliError> {
    let Start { connection, filename, name, region, warm_throughput, force_conflicts, no_watch, plain } =
        arguments;
    let manifest = match (&filename, &name) {
        (Some(path), _) => read_manifest(path)?,
        (None, name) => from_flags(name.as_deref().unwrap_or_default(), region.as_deref(), warm_throughput),
    };
    let mut cluster = Cluster::connect(&connection).await?;
    match (&manifest.namespace, &connection.namespace) {
        (Some(given), Some(requested)) if given != requested => {
            return Err(CliError::Refused(format!(
                "the manifest sets namespace {given} and the command line sets {requested}; remove one"
            )));
        }
        (Some(given), _) => cluster = cluster.in_namespace(given),
        (None, _) => {}
    }
    let (name, document) = (manifest.name.as_str(), &manifest.document);
    let demo = match force_conflicts {
        true => cluster.apply_and_take_over(name, document).await?,
        false => cluster.apply(name, document).await?,
    };
    let managed = fields_of_other_managers(document, &demo, FIELD_MANAGER);
    if !managed.is_empty() {
        eprintln!("{}/{name} keeps fields that were not given: {}", cluster.namespace(), described(&managed));
        eprintln!("next: {HOW_TO_CHANGE}");
    }
    let run = demo.status.as_ref().and_then(|status| status.run.as_ref()).map_or(1, |run| run.number);
    if is_over(&demo, run) {
        return Err(CliError::Refused(format!(
            "{} already exists and its run {run} is over; start the next run with `kubectl kinesisdemo rerun {}` \
             (an edit never starts one)",
            manifest.name, manifest.name
        )));
    }
    eprintln!("{}/{} is applied", cluster.namespace(), manifest.name);
    if no_watch {
        return Ok(ExitStatus::Success);
    }
    watch_run(&cluster, &manifest.name, run, plain).await
}

const HOW_TO_CHANGE: &str = "to change these fields, set them here with --force-conflicts; to restore their defaults, remove them with the \
                    tool that owns them (kubectl-client-side-apply is a plain `kubectl apply`)";

fn described(fields: &[ManagedField]) -> String {
    let fields = fields.iter().map(|field| format!("{} (owned by {})", field.path, field.owners.join(", ")));
    printable(&fields.collect::<Vec<_>>().join("; "))
}

/// Watches one run to its end and returns the corresponding ending.
pub async fn watch_run(cluster: &Cluster, name: &str, run: u32, plain: bool) -> Result<ExitStatus, CliError> {
    let mut screen = Screen::new(Output::Text, plain, ENDS_THE_WATCH);
    match follow_until_interrupted(cluster, name, run, true, &mut screen).await? {
        WatchOutcome::Over(demo) => Ok(ExitStatus::of_run(&demo)),
        WatchOutcome::Stalled(demo) => {
            let why = demo.status.as_ref().and_then(blocking_condition).unwrap_or_default();
            Err(CliError::Refused(format!("the run is stalled until something changes: {why}")))
        }
        WatchOutcome::Deleted => {
            Err(CliError::Refused(format!("{name} was deleted while its run was watched")))
        }
    }
}

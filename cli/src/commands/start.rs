//! `start`: creates the object with server-side apply and watches its run.

use crate::args::{Output, Start};
use crate::cluster::{Cluster, FIELD_MANAGER};
use crate::ending::Ending;
use crate::error::CliError;
use crate::follow::{End, follow, is_over};
use crate::kept::{KeptField, kept_fields};
use crate::manifest::{from_flags, read_manifest};
use crate::render::line::obstacle;
use crate::screen::Screen;

pub async fn start(arguments: Start) -> Result<Ending, CliError> {
    let Start { connection, filename, name, region, warm_throughput, force_conflicts, no_watch } = arguments;
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
    let kept = kept_fields(document, &demo, FIELD_MANAGER);
    if !kept.is_empty() {
        eprintln!("{}/{name} keeps fields that were not given: {}", cluster.namespace(), described(&kept));
        eprintln!("next: {KEPT}");
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
        return Ok(Ending::Done);
    }
    watch_run(&cluster, &manifest.name, run).await
}

const KEPT: &str = "to change these fields, set them here with --force-conflicts; to restore their defaults, remove them with the \
                    tool that owns them (kubectl-client-side-apply is a plain `kubectl apply`)";

fn described(kept: &[KeptField]) -> String {
    let fields = kept.iter().map(|field| format!("{} (owned by {})", field.path, field.owners.join(", ")));
    fields.collect::<Vec<_>>().join("; ")
}

/// Watches one run to its end and returns the corresponding ending.
pub async fn watch_run(cluster: &Cluster, name: &str, run: u32) -> Result<Ending, CliError> {
    let mut screen = Screen::new(Output::Text);
    match follow(cluster, name, run, true, &mut screen, |_, _| {}).await? {
        End::Over(demo) => Ok(Ending::of_run(&demo)),
        End::Stalled(demo) => {
            let why = demo.status.as_ref().and_then(obstacle).unwrap_or_default();
            Err(CliError::Refused(format!("the run is stalled until something changes: {why}")))
        }
        End::Deleted => Err(CliError::Refused(format!("{name} was deleted while its run was watched"))),
    }
}

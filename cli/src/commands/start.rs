//! `start`: makes the object by server-side apply and watches its run.

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
        (Some(said), Some(asked)) if said != asked => {
            return Err(CliError::Refused(format!(
                "the manifest says namespace {said} and the command line says {asked}; leave one out"
            )));
        }
        (Some(said), _) => cluster = cluster.in_namespace(said),
        (None, _) => {}
    }
    let (name, document) = (manifest.name.as_str(), &manifest.document);
    let demo = match force_conflicts {
        true => cluster.apply_and_take_over(name, document).await?,
        false => cluster.apply(name, document).await?,
    };
    let kept = kept_fields(document, &demo, FIELD_MANAGER);
    if !kept.is_empty() {
        eprintln!("{}/{name} keeps fields that were not given: {}", cluster.namespace(), told(&kept));
        eprintln!("next: {KEPT}");
    }
    let run = demo.status.as_ref().and_then(|status| status.run.as_ref()).map_or(1, |run| run.number);
    if is_over(&demo, run) {
        return Err(CliError::Refused(format!(
            "{} exists and its run {run} is over; `kubectl kinesisdemo rerun {}` begins the next, \
             and an edit never does",
            manifest.name, manifest.name
        )));
    }
    eprintln!("{}/{} is applied", cluster.namespace(), manifest.name);
    if no_watch {
        return Ok(Ending::Done);
    }
    watch_run(&cluster, &manifest.name, run).await
}

const KEPT: &str = "to change these fields, give them here with --force-conflicts; to have their defaults, remove them by the \
                    tool that owns them (kubectl-client-side-apply is a plain `kubectl apply`)";

fn told(kept: &[KeptField]) -> String {
    let fields = kept.iter().map(|field| format!("{} (owned by {})", field.path, field.owners.join(", ")));
    fields.collect::<Vec<_>>().join("; ")
}

/// Watches one run to its end and says what it means.
pub async fn watch_run(cluster: &Cluster, name: &str, run: u32) -> Result<Ending, CliError> {
    let mut screen = Screen::new(Output::Text);
    match follow(cluster, name, run, true, &mut screen, |_, _| {}).await? {
        End::Over(demo) => Ok(Ending::of_run(&demo)),
        End::Stalled(demo) => {
            let why = demo.status.as_ref().and_then(obstacle).unwrap_or_default();
            Err(CliError::Refused(format!("the run cannot go on until something changes: {why}")))
        }
        End::Gone => Err(CliError::Refused(format!("{name} was deleted while its run was watched"))),
    }
}

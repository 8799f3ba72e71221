//! `stop` and `rerun`: requests in the object's annotation, which the operator accepts or refuses.

use kinesis_demo_api::request::Verb;

use crate::args::{Output, Rerun, Stop};
use crate::cluster::Cluster;
use crate::commands::start::watch_run;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::follow::{WatchOutcome, follow_until_interrupted, wait_for_response};
use crate::screen::Screen;

/// Aborts the current run. The request's precondition is the run's number, so a later run is not
/// aborted.
pub async fn stop(arguments: Stop) -> Result<ExitStatus, CliError> {
    let Stop { name, connection, no_wait, plain } = arguments;
    let cluster = Cluster::connect(&connection).await?;
    let run = current_run(&cluster, &name).await?;
    let id = cluster.put_request(&name, Verb::Abort, run).await?;
    wait_for_response(&cluster, &name, &id).await?;
    eprintln!(
        "{name}: the operator accepted the request; it stops the traffic first, then removes everything"
    );
    if no_wait {
        return Ok(ExitStatus::Success);
    }
    let mut screen = Screen::new(Output::Text, plain, "Ctrl-C ends the watch; the abort goes on");
    match follow_until_interrupted(&cluster, &name, run.unwrap_or(1), false, &mut screen).await? {
        // A requested abort is a success of this command, whatever the run's outcome.
        WatchOutcome::Over(_) | WatchOutcome::Deleted => Ok(ExitStatus::Success),
        WatchOutcome::Stalled(_) => Ok(ExitStatus::Error),
    }
}

pub async fn rerun(arguments: Rerun) -> Result<ExitStatus, CliError> {
    let Rerun { name, connection, no_watch, plain } = arguments;
    let cluster = Cluster::connect(&connection).await?;
    let run = current_run(&cluster, &name).await?;
    let id = cluster.put_request(&name, Verb::Rerun, run).await?;
    wait_for_response(&cluster, &name, &id).await?;
    eprintln!("{name}: the operator accepted the request");
    if no_watch {
        return Ok(ExitStatus::Success);
    }
    watch_run(&cluster, &name, run.map_or(1, |run| run + 1), plain).await
}

async fn current_run(cluster: &Cluster, name: &str) -> Result<Option<u32>, CliError> {
    let demo = cluster.fetch(name).await?;
    Ok(demo.status.and_then(|status| status.run).map(|run| run.number))
}

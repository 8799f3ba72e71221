//! `stop` and `rerun`: requests in the object's annotation, which the operator accepts or refuses.

use kinesis_demo_api::request::Verb;

use crate::args::{Output, Rerun, Stop};
use crate::cluster::Cluster;
use crate::commands::start::watch_run;
use crate::ending::Ending;
use crate::error::CliError;
use crate::follow::{End, follow, wait_for_response};
use crate::screen::Screen;

/// Aborts the current run. The request's precondition is the run's number, so a later run is not
/// aborted.
pub async fn stop(arguments: Stop) -> Result<Ending, CliError> {
    let Stop { name, connection, no_wait } = arguments;
    let cluster = Cluster::connect(&connection).await?;
    let run = current_run(&cluster, &name).await?;
    let id = cluster.put_request(&name, Verb::Abort, run).await?;
    wait_for_response(&cluster, &name, &id).await?;
    eprintln!(
        "{name}: the operator accepted the request; it stops the traffic first, then removes everything"
    );
    if no_wait {
        return Ok(Ending::Done);
    }
    let mut screen = Screen::new(Output::Text);
    match follow(&cluster, &name, run.unwrap_or(1), false, &mut screen, |_, _| {}).await? {
        // A requested abort is a success of this command, whatever the run's outcome.
        End::Over(_) | End::Deleted => Ok(Ending::Done),
        End::Stalled(_) => Ok(Ending::Error),
    }
}

pub async fn rerun(arguments: Rerun) -> Result<Ending, CliError> {
    let Rerun { name, connection, no_watch } = arguments;
    let cluster = Cluster::connect(&connection).await?;
    let run = current_run(&cluster, &name).await?;
    let id = cluster.put_request(&name, Verb::Rerun, run).await?;
    wait_for_response(&cluster, &name, &id).await?;
    eprintln!("{name}: the operator accepted the request");
    if no_watch {
        return Ok(Ending::Done);
    }
    watch_run(&cluster, &name, run.map_or(1, |run| run + 1)).await
}

async fn current_run(cluster: &Cluster, name: &str) -> Result<Option<u32>, CliError> {
    let demo = cluster.fetch(name).await?;
    Ok(demo.status.and_then(|status| status.run).map(|run| run.number))
}

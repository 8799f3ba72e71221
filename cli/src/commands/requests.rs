//! `stop` and `rerun`: requests in the object's annotation, which the operator takes or refuses.

use kinesis_demo_api::request::Verb;

use crate::args::{Output, Rerun, Stop};
use crate::cluster::Cluster;
use crate::commands::start::watch_run;
use crate::ending::Ending;
use crate::error::CliError;
use crate::follow::{End, answer, follow};
use crate::screen::Screen;

/// Aborts the run that goes on now. A later one is not meant: its number is the request's precondition.
pub async fn stop(arguments: Stop) -> Result<Ending, CliError> {
    let Stop { name, connection, no_wait } = arguments;
    let cluster = Cluster::connect(&connection).await?;
    let run = current_run(&cluster, &name).await?;
    let id = cluster.put_request(&name, Verb::Abort, run).await?;
    answer(&cluster, &name, &id).await?;
    eprintln!(
        "{name}: the operator has taken the request; traffic stops first, then everything is removed"
    );
    if no_wait {
        return Ok(Ending::Done);
    }
    let mut screen = Screen::new(Output::Text);
    match follow(&cluster, &name, run.unwrap_or(1), false, &mut screen, |_, _| {}).await? {
        // An abort that was asked for is a success of this command, however the run calls itself.
        End::Over(_) | End::Gone => Ok(Ending::Done),
        End::Stalled(_) => Ok(Ending::Error),
    }
}

pub async fn rerun(arguments: Rerun) -> Result<Ending, CliError> {
    let Rerun { name, connection, no_watch } = arguments;
    let cluster = Cluster::connect(&connection).await?;
    let run = current_run(&cluster, &name).await?;
    let id = cluster.put_request(&name, Verb::Rerun, run).await?;
    answer(&cluster, &name, &id).await?;
    eprintln!("{name}: the operator has taken the request");
    if no_watch {
        return Ok(Ending::Done);
    }
    watch_run(&cluster, &name, run.map_or(1, |run| run + 1)).await
}

async fn current_run(cluster: &Cluster, name: &str) -> Result<Option<u32>, CliError> {
    let demo = cluster.fetch(name).await?;
    Ok(demo.status.and_then(|status| status.run).map(|run| run.number))
}

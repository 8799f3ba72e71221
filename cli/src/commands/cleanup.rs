//! `cleanup`: deletes objects and waits for the finalizer, which waits for AWS.

use std::time::Duration;

use kube::core::DeserializeGuard;

use crate::args::Cleanup;
use crate::cluster::Cluster;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::follow::wait_until_deleted;

pub async fn cleanup(arguments: Cleanup) -> Result<ExitStatus, CliError> {
    let Cleanup { names, all, all_namespaces, connection, timeout } = arguments;
    let cluster = Cluster::connect(&connection).await?;
    let targets: Vec<(Cluster, String)> = match all {
        false => names.into_iter().map(|name| (cluster.clone(), name)).collect(),
        true => cluster
            .fetch_all(all_namespaces)
            .await?
            .into_iter()
            .filter_map(|DeserializeGuard(demo)| {
                // An object that cannot be parsed can still be deleted.
                let metadata = demo.map_or_else(|invalid| invalid.metadata, |demo| demo.metadata);
                Some((cluster.in_namespace(metadata.namespace.as_deref()?), metadata.name?))
            })
            .collect(),
    };
    if targets.is_empty() {
        println!("no KinesisDemo to delete");
        return Ok(ExitStatus::Success);
    }
    // Start all deletions first, so that the removals run in parallel.
    let mut deleted = Vec::new();
    for (cluster, name) in &targets {
        if cluster.fetch_if_present(name).await.is_ok_and(|demo| demo.is_none()) {
            println!("{}/{name} does not exist; nothing was deleted", cluster.namespace());
            continue;
        }
        cluster.delete(name).await?;
        deleted.push((cluster, name));
    }
    for (cluster, name) in deleted {
        wait_until_deleted(cluster, name, Duration::from_secs(timeout), &|line| println!("{line}")).await?;
        println!(
            "{}/{name} is deleted, with everything it created (except retained resources)",
            cluster.namespace()
        );
    }
    Ok(ExitStatus::Success)
}

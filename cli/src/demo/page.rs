//! The page of the demo's runs, served by the demo's own process while it lasts. In: the demo's
//! cluster and sandbox, the manifests. Out: the address, printed before the run begins. Listens on
//! 127.0.0.1.

use std::path::Path;

use kinesis_demo_local_cluster::Progress;
use kinesis_demo_local_cluster::sandbox::client::SandboxClient;

use crate::cluster::Cluster;
use crate::dashboard::how_to_open;
use crate::dashboard::server::{Serving, Source};
use crate::dashboard::watching::Watching;
use crate::manifest::Manifest;

/// Serves the page until the result is dropped. Without a page the run goes on all the same.
pub async fn serve(
    cluster: &Cluster,
    manifests: &[Manifest],
    state: &Path,
    sandbox: &SandboxClient,
    progress: &Progress,
) -> Option<Serving> {
    let names = manifests.iter().map(|manifest| manifest.name.clone()).collect();
    let watching = Watching::start(cluster.clone(), names, false, Some(sandbox.clone()));
    let source = Source::Cluster { watching, is_read_only: false };
    match Serving::start(state, 0, source).await {
        Ok(serving) => {
            how_to_open(&serving).iter().for_each(|line| progress(line));
            Some(serving)
        }
        Err(error) => {
            progress(&format!("no page: {error}"));
            None
        }
    }
}

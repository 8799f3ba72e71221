//! Starts whichever Kubernetes this machine supports. In: a supervisor of a state folder. Out: our
//! own API server. Uses the programs if they are installed or can be downloaded, else kind if
//! Docker is available, else a build of the programs.

pub mod api_server;
pub mod apply;
pub mod assets;
pub mod certificates;
pub mod definition;
pub mod kind;
pub mod kubeconfig;
pub mod operator_access;

use std::path::PathBuf;

use self::api_server::ApiServer;
use self::assets::{Effort, fetch_assets};
use self::kind::{KindCluster, is_available};
use crate::error::LocalClusterError;
use crate::processes::supervisor::Supervisor;
use crate::progress::Progress;

/// An API server that only this demo uses.
pub enum Kubernetes {
    Local(ApiServer),
    Kind(KindCluster),
}

impl Kubernetes {
    pub async fn start(supervisor: &Supervisor, progress: &Progress) -> Result<Self, LocalClusterError> {
        if let Some(assets) = fetch_assets(Effort::NoBuild, progress).await? {
            let server = ApiServer::start_under(supervisor, &assets, progress).await?;
            return Ok(Self::Local(server));
        }
        if is_available().await {
            return KindCluster::start(supervisor.state(), progress).await.map(Self::Kind);
        }
        let assets = fetch_assets(Effort::Build, progress).await?.ok_or_else(|| {
            LocalClusterError::NoAssets {
            reason:
                "kube-apiserver and etcd are not on PATH or in the cache, their archive could not be downloaded, and kind and Go are not available"
                    .into(),
        }
        })?;
        ApiServer::start_under(supervisor, &assets, progress).await.map(Self::Local)
    }

    #[must_use]
    pub fn client(&self) -> kube::Client {
        match self {
            Self::Local(server) => server.client(),
            Self::Kind(cluster) => cluster.client(),
        }
    }

    #[must_use]
    pub fn admin_kubeconfig(&self) -> PathBuf {
        match self {
            Self::Local(server) => server.admin_kubeconfig().to_path_buf(),
            Self::Kind(cluster) => cluster.admin_kubeconfig(),
        }
    }

    pub async fn operator_kubeconfig(&self) -> Result<PathBuf, LocalClusterError> {
        match self {
            Self::Local(server) => server.operator_kubeconfig().await,
            Self::Kind(cluster) => cluster.operator_kubeconfig().await,
        }
    }

    pub async fn stop(self) -> Result<(), LocalClusterError> {
        match self {
            Self::Local(server) => {
                server.stop().await;
                Ok(())
            }
            Self::Kind(cluster) => cluster.stop().await,
        }
    }
}

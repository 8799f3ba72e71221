//! Creates a kind cluster when Docker is available and the API server's programs are not. In:
//! Docker and kind on PATH. Out: a cluster with its own kubeconfig file; the user's kubeconfig is
//! not changed. Runs `docker` and `kind`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use super::kubeconfig::{Credentials, Endpoint, client_from, kubeconfig, read_endpoint, write_kubeconfig};
use super::operator_access::{OperatorAccess, grant_operator_access};
use crate::error::LocalClusterError;
use crate::private_files::write_private;
use crate::progress::Progress;

/// A working Docker responds within moments. One that is still starting (Docker Desktop) may not
/// respond at all.
const DOCKER_TIMEOUT: Duration = Duration::from_secs(10);

/// A cluster that this program created.
pub struct KindCluster {
    name: String,
    state: PathBuf,
    endpoint: Endpoint,
    client: kube::Client,
}

/// Whether kind is installed and Docker responds.
pub async fn is_available() -> bool {
    let mut docker = Command::new("docker");
    docker.args(["info", "--format", "{{.ServerVersion}}"]);
    let mut kind = Command::new("kind");
    kind.arg("version");
    for mut command in [kind, docker] {
        command.kill_on_drop(true);
        let response = tokio::time::timeout(DOCKER_TIMEOUT, command.output()).await;
        if !matches!(response, Ok(Ok(output)) if output.status.success()) {
            return false;
        }
    }
    true
}

/// One cluster name per state folder, so that two checkouts do not share (and delete) one cluster.
#[must_use]
pub fn cluster_name(state: &Path) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    format!("kinesis-demo-{:08x}", hasher.finish() & 0xffff_ffff)
}

fn admin_kubeconfig(state: &Path) -> PathBuf {
    state.join("admin.kubeconfig")
}

/// The file that records that our cluster may exist. It is written before the cluster is created
/// and removed after the cluster is deleted.
fn marker(state: &Path) -> PathBuf {
    state.join("kind-cluster")
}

impl KindCluster {
    pub async fn start(state: &Path, progress: &Progress) -> Result<Self, LocalClusterError> {
        let name = cluster_name(state);
        write_private(&marker(state), name.as_bytes())?;
        progress(&format!("creating the kind cluster {name} (about a minute, and the node image once)"));
        let path = admin_kubeconfig(state);
        let mut command = Command::new("kind");
        command.args(["create", "cluster", "--name", &name, "--wait", "120s", "--kubeconfig"]).arg(&path);
        run(command, "kind create cluster").await?;
        let text = std::fs::read_to_string(&path).map_err(|source| LocalClusterError::File {
            attempt: "read",
            path: path.clone(),
            source,
        })?;
        // kind's file contains the administrator's key. Rewrite it with mode 0600, whatever mode
        // the umask gave it.
        write_kubeconfig(&path, &text)?;
        Ok(Self {
            name,
            state: state.to_path_buf(),
            endpoint: read_endpoint(&path)?,
            client: client_from(&path).await?,
        })
    }

    #[must_use]
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    #[must_use]
    pub fn admin_kubeconfig(&self) -> PathBuf {
        admin_kubeconfig(&self.state)
    }

    /// See [`super::api_server::ApiServer::operator_kubeconfig`].
    pub async fn operator_kubeconfig(&self) -> Result<PathBuf, LocalClusterError> {
        let OperatorAccess { token, namespace, user } = grant_operator_access(&self.client).await?;
        let path = self.state.join("operator.kubeconfig");
        let text = kubeconfig(&self.endpoint, &user, &namespace, &Credentials::Token(token));
        write_kubeconfig(&path, &text)?;
        Ok(path)
    }

    pub async fn stop(self) -> Result<(), LocalClusterError> {
        let Self { name, state, .. } = self;
        delete_cluster(&state, &name).await
    }
}

/// Deletes the cluster of an earlier run if its marker file exists. Returns the cluster's name.
pub async fn delete_orphaned_cluster(state: &Path) -> Result<Option<String>, LocalClusterError> {
    let Ok(name) = std::fs::read_to_string(marker(state)) else {
        return Ok(None);
    };
    delete_cluster(state, name.trim()).await?;
    Ok(Some(name))
}

async fn delete_cluster(state: &Path, name: &str) -> Result<(), LocalClusterError> {
    let mut command = Command::new("kind");
    command.args(["delete", "cluster", "--name", name, "--kubeconfig"]).arg(admin_kubeconfig(state));
    run(command, "kind delete cluster").await?;
    let path = marker(state);
    std::fs::remove_file(&path).map_err(|source| LocalClusterError::File { attempt: "remove", path, source })
}

async fn run(mut command: Command, what: &str) -> Result<(), LocalClusterError> {
    let output = command.kill_on_drop(true).output().await.map_err(|source| LocalClusterError::Spawn {
        role: what.into(),
        program: "kind".into(),
        source,
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(LocalClusterError::Command {
        command: what.into(),
        status: output.status.to_string(),
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

//! Local Kubernetes: a real API server as child processes, and a record of the processes that we
//! started.
//!
//! In: the folder that `--state` names. Out: an API server with RBAC, and kubeconfigs for an
//! administrator and for the operator's own identity. Stopping removes all of it. Everything here
//! has side effects (files in our one folder, processes, loopback ports) except [`certificates`],
//! [`kubeconfig`], [`shell`] and [`process_record`]'s decision which processes may be killed.

pub mod access;
pub mod api_server;
pub mod assets;
pub mod certificates;
pub mod definition;
pub mod kind;
pub mod kubeconfig;
pub mod kubernetes;
pub mod leftovers;
pub mod process_record;
pub mod shell;
pub mod spawner;
pub mod state_folder;
pub mod state_lock;
pub mod supervisor;

pub use api_server::{ApiServer, ApiServerOptions};
pub use supervisor::{Lifetime, Supervisor};

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Receives one line for each step that takes noticeable time.
pub type Progress = Arc<dyn Fn(&str) + Send + Sync>;

/// A progress callback that discards its lines.
#[must_use]
pub fn silent() -> Progress {
    Arc::new(|_| {})
}

/// Why the local Kubernetes could not be started, supervised or stopped.
#[derive(Debug, thiserror::Error)]
pub enum LocalClusterError {
    #[error("could not {attempt} {}", path.display())]
    File {
        attempt: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("could not start {role} ({program})")]
    Spawn {
        role: String,
        program: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{role} exited unexpectedly ({status}); the end of its log {}:\n{tail}", log.display())]
    Exited { role: String, status: String, log: PathBuf, tail: String },
    #[error("{role} was not ready after {seconds} s; the end of its log {}:\n{tail}", log.display())]
    NotReady { role: String, seconds: u64, log: PathBuf, tail: String },
    #[error(
        "kube-apiserver and etcd could not be found or built: {reason}; run `make doctor` to see what is missing"
    )]
    NoAssets { reason: String },
    #[error("could not create the API server's certificates")]
    Certificates(#[from] rcgen::Error),
    #[error("could not {attempt}")]
    Kubernetes {
        attempt: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{command} failed ({status}): {stderr}")]
    Command { command: String, status: String, stderr: String },
    #[error("another demo is using {} ({holder}); wait until it ends, or choose another folder with --state", path.display())]
    InUse { path: PathBuf, holder: String },
    #[error(
        "a demo started with --keep is running in {} ({what}); stop it with `kubectl kinesisdemo demo-down --state {dir}` (in a checkout: make demo-down), or choose another folder with --state",
        path.display()
    )]
    Kept { path: PathBuf, what: String, dir: String },
    #[error(
        "{} was not created by a demo: {why}; nothing was changed. Move it, or choose another folder with --state",
        path.display()
    )]
    Foreign { path: PathBuf, why: String },
    #[error(
        "{path:?} is no longer this demo's folder: {why}; nothing in it was written or deleted. If the demo's own folder was moved, delete it there: it contains the demo's keys"
    )]
    Replaced { path: PathBuf, why: String },
    #[error("cannot keep a demo's files in {path:?}: {why}; choose another folder with --state")]
    StatePath { path: PathBuf, why: String },
}

impl LocalClusterError {
    pub(crate) fn kubernetes(
        attempt: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Kubernetes { attempt: attempt.into(), source: Box::new(source) }
    }
}

/// Creates a folder inside the state folder with mode 0700. An existing folder is accepted; a
/// symbolic link is an error.
pub(crate) fn make_private_folder(path: &Path) -> Result<(), LocalClusterError> {
    use std::os::unix::fs::DirBuilderExt;
    let failed =
        |source| LocalClusterError::File { attempt: "create the folder", path: path.to_path_buf(), source };
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let is_folder = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
            if is_folder { Ok(()) } else { Err(failed(error)) }
        }
        result => result.map_err(failed),
    }
}

/// Replaces a file atomically, with mode 0600. A reader sees either the old or the new content, and
/// other users cannot read the keys.
pub(crate) fn write_private(path: &Path, text: &[u8]) -> Result<(), LocalClusterError> {
    use std::io::Write;
    let failed = |source| LocalClusterError::File { attempt: "write", path: path.to_path_buf(), source };
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    // `NamedTempFile` creates the file with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(text).map_err(failed)?;
    file.persist(path).map(drop).map_err(|error| failed(error.error))
}

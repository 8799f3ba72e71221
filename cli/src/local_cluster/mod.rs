//! Kubernetes on a laptop: a real API server as child processes of ours, and the record of what we started.
//!
//! In: the folder that `--state` names. Out: an API server under RBAC, kubeconfigs for an
//! administrator and for the operator's own identity, and afterwards nothing. Everything here
//! touches the outside (files in the one folder that is ours, processes, loopback ports) except
//! [`certificates`], [`kubeconfig`], [`shell`] and [`process_record`]'s judgement of what may be
//! killed.

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

/// Receives one line per step that takes long enough for a person to wonder.
pub type Progress = Arc<dyn Fn(&str) + Send + Sync>;

/// Progress that nobody looks at.
#[must_use]
pub fn silent() -> Progress {
    Arc::new(|_| {})
}

/// Why the laptop's Kubernetes could not be started, looked after or stopped.
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
    #[error("{role} ended while it was needed ({status}); the end of {}:\n{tail}", log.display())]
    Died { role: String, status: String, log: PathBuf, tail: String },
    #[error("{role} was not ready after {seconds} s; the end of {}:\n{tail}", log.display())]
    NotReady { role: String, seconds: u64, log: PathBuf, tail: String },
    #[error("no API server can be had on this machine: {reason}; `make doctor` says what is missing")]
    NoAssets { reason: String },
    #[error("could not make the API server's certificates")]
    Certificates(#[from] rcgen::Error),
    #[error("could not {attempt}")]
    Kubernetes {
        attempt: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{command} failed ({status}): {stderr}")]
    Command { command: String, status: String, stderr: String },
    #[error("another demo uses {} ({holder}); wait for its end, or choose another folder with --state", path.display())]
    InUse { path: PathBuf, holder: String },
    #[error(
        "a demo that was kept runs in {} ({what}); `kubectl kinesisdemo demo-down --state {dir}` ends it (in a checkout: make demo-down), or choose another folder with --state",
        path.display()
    )]
    Kept { path: PathBuf, what: String, dir: String },
    #[error(
        "{} was not made by a demo: {why}; nothing was changed. Move it away, or choose another folder with --state",
        path.display()
    )]
    Foreign { path: PathBuf, why: String },
    #[error(
        "{path:?} is no longer this demo's folder: {why}; nothing in it was written or deleted. Where this demo's own folder is now, its keys are, too: delete it"
    )]
    Replaced { path: PathBuf, why: String },
    #[error("a demo's files cannot be in {path:?}: {why}; choose another folder with --state")]
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

/// Makes a folder, in the one that is ours, that only its owner can enter; one that is there
/// already is fine, a link to one is not.
pub(crate) fn make_private_folder(path: &Path) -> Result<(), LocalClusterError> {
    use std::os::unix::fs::DirBuilderExt;
    let failed =
        |source| LocalClusterError::File { attempt: "make the folder", path: path.to_path_buf(), source };
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let is_folder = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
            if is_folder { Ok(()) } else { Err(failed(error)) }
        }
        made => made.map_err(failed),
    }
}

/// Replaces a file as a whole, readable by its owner only: a reader sees the old text or the new, and nobody else's eyes see keys.
pub(crate) fn write_private(path: &Path, text: &[u8]) -> Result<(), LocalClusterError> {
    use std::io::Write;
    let failed = |source| LocalClusterError::File { attempt: "write", path: path.to_path_buf(), source };
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    // A named temporary file is made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(text).map_err(failed)?;
    file.persist(path).map(drop).map_err(|error| failed(error.error))
}

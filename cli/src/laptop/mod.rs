//! Kubernetes on a laptop: a real API server as child processes of ours, and the record of what we started.
//!
//! In: a state folder. Out: an API server under RBAC, kubeconfigs for an administrator and for the operator's own identity,
//! and afterwards nothing. Everything here touches the outside (files under the state folder, processes, loopback ports)
//! except [`certificates`], [`kubeconfig`] and [`process_record`]'s judgement of what may be killed.

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
pub mod spawner;
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
pub enum LaptopError {
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
    #[error("another demo uses {} (its lock is held); end it, or choose another state folder with --state", path.display())]
    InUse { path: PathBuf },
}

impl LaptopError {
    pub(crate) fn kubernetes(
        attempt: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Kubernetes { attempt: attempt.into(), source: Box::new(source) }
    }
}

/// Makes a folder that only its owner can enter: keys, tokens and etcd's data live in it.
pub(crate) fn make_private_folder(path: &Path) -> Result<(), LaptopError> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let failed = |source| LaptopError::File { attempt: "make the folder", path: path.to_path_buf(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(failed)
}

/// Replaces a file as a whole, readable by its owner only: a reader sees the old text or the new, and nobody else's eyes see keys.
pub(crate) fn write_private(path: &Path, text: &[u8]) -> Result<(), LaptopError> {
    use std::io::Write;
    let failed = |source| LaptopError::File { attempt: "write", path: path.to_path_buf(), source };
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    // A named temporary file is made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(text).map_err(failed)?;
    file.persist(path).map(drop).map_err(|error| failed(error.error))
}

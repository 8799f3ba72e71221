//! Errors of the local cluster: what was attempted, on what, why, and what to do next. Pure.

use std::path::PathBuf;

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
    #[error("{name} is not in {}; run `make demo` to build all programs of the demo into one folder", folder.display())]
    NoProgram { name: String, folder: PathBuf },
    #[error("could not use the programs in {folder:?}: its name is not UTF-8; move them to another folder")]
    ProgramsFolder { folder: PathBuf },
    #[error("could not {attempt}: {reason}")]
    Sandbox { attempt: String, reason: String },
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
    Detached { path: PathBuf, what: String, dir: String },
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

#[cfg(test)]
mod tests {
    use kinesis_demo_api::error_chain::error_chain;

    use super::*;

    #[test]
    fn an_api_error_shows_only_the_servers_message() {
        let status = kube::core::Status::failure("namespaces \"x\" is forbidden", "Forbidden").with_code(403);
        let error = LocalClusterError::kubernetes("create the namespace x", kube::Error::Api(status.boxed()));
        assert_eq!(error_chain(&error), "could not create the namespace x: namespaces \"x\" is forbidden");
    }
}

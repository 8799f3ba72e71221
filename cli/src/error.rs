//! What can go wrong between the command line and the cluster or AWS, told as: what was attempted, why it failed, what to do next.

use std::path::PathBuf;

use crate::foundation::FoundationError;
use crate::laptop::LaptopError;

#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("could not {attempt}: {}", reason(error))]
    Kubernetes { attempt: String, error: Box<kube::Error> },
    #[error("could not {attempt}")]
    Watch {
        attempt: String,
        #[source]
        source: Box<kube::runtime::watcher::Error>,
    },
    #[error("could not read the kubeconfig{}", context.as_ref().map(|name| format!(" for the context {name}")).unwrap_or_default())]
    Kubeconfig {
        context: Option<String>,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("could not read {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{}: {reason}", path.display())]
    Manifest { path: PathBuf, reason: String },
    #[error("{0}")]
    Refused(String),
    #[error("could not {attempt}: {reason}")]
    Sandbox { attempt: String, reason: String },
    #[error(transparent)]
    Foundation(#[from] FoundationError),
    #[error(transparent)]
    Laptop(#[from] LaptopError),
    #[error("could not write to the terminal or a pipe")]
    Output(#[from] std::io::Error),
}

impl CliError {
    pub(crate) fn kubernetes(attempt: impl Into<String>, error: kube::Error) -> Self {
        Self::Kubernetes { attempt: attempt.into(), error: Box::new(error) }
    }

    /// What the user can do about it, where we know.
    #[must_use]
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Kubernetes { error, .. } => next_step(error).map(Into::into),
            Self::Kubeconfig { .. } => Some(
                "name another with --kubeconfig or --context; `kubectl config get-contexts` lists them"
                    .into(),
            ),
            Self::Manifest { .. } => Some(CORRECT.into()),
            Self::Foundation(error) => error.next_step(),
            _ => None,
        }
    }
}

const CORRECT: &str = "correct the manifest; docs/reference/crd.md has every field with its bounds";

/// What the API server says, without the structure around it; of other errors, all causes.
fn reason(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => with_causes(other),
    }
}

fn next_step(error: &kube::Error) -> Option<&'static str> {
    match error {
        kube::Error::Api(status) if matches!(status.code, 400 | 422) => Some(CORRECT),
        kube::Error::Api(status) if status.code == 401 => {
            Some("your credentials have expired or are for another cluster")
        }
        kube::Error::Api(status) if status.is_forbidden() => {
            Some("ask for this right on kinesisdemos.kinesisdemo.io in that namespace")
        }
        kube::Error::Api(status) if status.is_conflict() => Some(
            "another tool owns a field of this object; change it with that tool, or `kubectl apply --server-side --force-conflicts`",
        ),
        kube::Error::Api(status)
            if status.code == 404
                && status.details.as_ref().is_none_or(|details| details.name.is_empty()) =>
        {
            Some(
                "this cluster does not know KinesisDemo: apply the files in crds/ and start the operator, or choose another --context",
            )
        }
        kube::Error::Api(status) if status.code == 404 => {
            Some("`kubectl kinesisdemo list -A` shows what there is")
        }
        kube::Error::Service(_) | kube::Error::HyperError(_) => {
            Some("is the cluster up and reachable? --context and --kubeconfig choose another")
        }
        _ => None,
    }
}

/// An error with all its causes, on one line.
#[must_use]
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = told(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = told(error);
        // Some libraries repeat the cause in their own text.
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = if error.is::<kube::Error>() { None } else { error.source() };
    }
    text
}

/// One link of the chain. Of kube's API errors the server's message, without the structure around it.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) => status.message.clone(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_message_is_told_without_the_structure_around_it() {
        let status = kube::core::Status::failure("namespaces \"x\" is forbidden", "Forbidden").with_code(403);
        let error = LaptopError::kubernetes("make the namespace x", kube::Error::Api(status.boxed()));
        assert_eq!(with_causes(&error), "could not make the namespace x: namespaces \"x\" is forbidden");
    }
}

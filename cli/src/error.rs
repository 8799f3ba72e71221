//! Errors of the command line: what was attempted, why it failed, what to do next.

use std::path::PathBuf;

use kinesis_demo_api::error_chain::error_chain;
use kinesis_demo_api::proxy::ProxyError;
use kinesis_demo_local_cluster::LocalClusterError;

#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("could not {attempt}: {}", reason(error))]
    Kubernetes { attempt: String, error: Box<kube::Error> },
    /// Like [`Self::Kubernetes`], of KinesisDemoRuns, which have a role of their own.
    #[error("could not {attempt}: {}", reason(error))]
    Records { attempt: String, error: Box<kube::Error> },
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
    #[error(transparent)]
    Proxy(ProxyError),
    #[error("could not read {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("could not write {}", path.display())]
    WriteFile {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{}: {reason}", path.display())]
    Manifest { path: PathBuf, reason: String },
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    LocalCluster(#[from] LocalClusterError),
    #[error("could not write to the terminal or a pipe")]
    Output(#[from] std::io::Error),
}

impl CliError {
    pub(crate) fn kubernetes(attempt: impl Into<String>, error: kube::Error) -> Self {
        Self::Kubernetes { attempt: attempt.into(), error: Box::new(error) }
    }

    /// What the user can do about it, if known.
    #[must_use]
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Kubernetes { error, .. } => next_step(error).map(Into::into),
            Self::Records { error, .. } => next_step_of_records(error).map(Into::into),
            Self::WriteFile { .. } => Some("choose another file with --output-file".into()),
            Self::Proxy(error) => Some(error.next_step()),
            Self::Kubeconfig { .. } => Some(
                "choose another with --kubeconfig or --context; `kubectl config get-contexts` lists them"
                    .into(),
            ),
            Self::Manifest { .. } => Some(CORRECT.into()),
            _ => None,
        }
    }
}

const CORRECT: &str = "correct the manifest; docs/reference/crd.md has every field with its bounds";

/// The API server's message, without the structure around it; for other errors, all causes.
fn reason(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => match owners(status).as_slice() {
            [] => status.message.clone(),
            owners => owners.join(", "),
        },
        other => error_chain(other),
    }
}

/// For a rejected server-side apply: who owns which field, such as `.spec.phases is owned by
/// kubectl-client-side-apply`.
fn owners(status: &kube::core::Status) -> Vec<String> {
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    let conflicts = causes.iter().filter(|cause| cause.reason == "FieldManagerConflict");
    // The server's message is: conflict with "NAME" using VERSION.
    let owned = conflicts.map(|cause| {
        let owner = cause.message.split('"').nth(1).unwrap_or(&cause.message);
        format!("{} is owned by {owner}", cause.field)
    });
    owned.collect()
}

fn next_step(error: &kube::Error) -> Option<&'static str> {
    match error {
        kube::Error::Api(status) if matches!(status.code, 400 | 422) => Some(CORRECT),
        kube::Error::Api(status) if status.code == 401 => {
            Some("your credentials have expired or are for another cluster")
        }
        kube::Error::Api(status) if status.is_forbidden() => {
            Some("request this permission on kinesisdemos.kinesisdemo.io in that namespace")
        }
        kube::Error::Api(status) if !owners(status).is_empty() => Some(
            "change these fields with the tool that owns them (kubectl-client-side-apply is a plain `kubectl apply`), or take them \
             over with --force-conflicts",
        ),
        kube::Error::Api(status) if status.is_conflict() => {
            Some("the object has changed in the meantime; try again")
        }
        kube::Error::Api(status)
            if status.code == 404
                && status.details.as_ref().is_none_or(|details| details.name.is_empty()) =>
        {
            Some(
                "KinesisDemo is not installed in this cluster: apply the files in crds/ and start the operator, or choose another --context",
            )
        }
        kube::Error::Api(status) if status.code == 404 => {
            Some("`kubectl kinesisdemo list -A` lists the existing ones")
        }
        kube::Error::Service(_) | kube::Error::HyperError(_) => Some(
            "check that the cluster is up and reachable, and also its proxy if HTTPS_PROXY or the kubeconfig's proxy-url sets one. \
                 NO_PROXY lists servers to reach directly; --context and --kubeconfig choose another cluster",
        ),
        _ => None,
    }
}

/// Records may be absent where KinesisDemos are not: from charts that had no records yet, and for
/// users without their role.
fn next_step_of_records(error: &kube::Error) -> Option<&'static str> {
    match error {
        kube::Error::Api(status) if status.is_forbidden() => Some(
            "request get and list on kinesisdemoruns.kinesisdemo.io in that namespace, which the chart's role for viewing runs has",
        ),
        kube::Error::Api(status) if status.code == 404 => Some(
            "this cluster records no runs: upgrade the chart, or apply the files in crds/ and start an operator of this version",
        ),
        other => next_step(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_names_the_owner_of_each_field() {
        let status: kube::core::Status = serde_json::from_value(serde_json::json!({
            "status": "Failure", "reason": "Conflict", "code": 409, "message": "Apply failed with 2 conflicts: …",
            "details": {"causes": [
                {"reason": "FieldManagerConflict", "message": "conflict with \"argocd\" using kinesisdemo.io/v1alpha1", "field": ".spec.phases"},
                {"reason": "FieldManagerConflict", "message": "conflict with \"kubectl-edit\"", "field": ".spec.limits.maxDuration"},
            ]},
        }))
        .unwrap();
        let error = CliError::kubernetes("apply KinesisDemo demos/a", kube::Error::Api(status.boxed()));
        assert_eq!(
            error_chain(&error),
            "could not apply KinesisDemo demos/a: .spec.phases is owned by argocd, .spec.limits.maxDuration is owned by kubectl-edit"
        );
        assert!(error.next_step().unwrap().contains("--force-conflicts"));
        let other = kube::core::Status::failure("the object has been modified", "Conflict").with_code(409);
        let error = CliError::kubernetes("delete it", kube::Error::Api(other.boxed()));
        assert_eq!(error_chain(&error), "could not delete it: the object has been modified");
        assert!(error.next_step().unwrap().contains("try again"));
    }
}

//! What can go wrong with the foundation: what was attempted, why it failed, what to do next. Pure.

use crate::error::CliError;

/// What takes over the AWS CLI's credentials, whatever kind they are of.
const CREDENTIALS: &str = "log in, or name a profile with AWS_PROFILE; `eval \"$(aws configure export-credentials --format env)\"` takes over \
                           the credentials that the AWS CLI has";

#[derive(Debug, thiserror::Error)]
pub enum FoundationError {
    /// AWS refused a call, or did not answer it.
    #[error("could not {attempt}: {reason}")]
    Aws { attempt: String, cause: AwsCause, reason: String },
    /// What was asked for was not done, or ended badly.
    #[error("{why}")]
    Refused { why: String, next: String },
    /// Whether runs live in Kubernetes could not be learned.
    #[error("could not learn from Kubernetes whether runs live")]
    Kubernetes(#[source] Box<CliError>),
}

/// Why a call failed, as far as it decides what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AwsCause {
    /// There are no credentials, or they have expired or are not valid.
    Credentials,
    /// They do not allow it.
    Denied,
    /// There was no answer.
    Unanswered,
    /// Anything else: AWS's words say it.
    Other,
}

impl FoundationError {
    pub(super) fn refused(why: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Refused { why: why.into(), next: next.into() }
    }

    /// What the user can do about it, where we know.
    #[must_use]
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Refused { next, .. } => Some(next.clone()),
            Self::Kubernetes(error) => {
                let skip = "--skip-kubernetes asks AWS only";
                Some(error.next_step().map_or_else(|| skip.into(), |next| format!("{next}; or {skip}")))
            }
            Self::Aws { cause: AwsCause::Credentials, .. } => Some(CREDENTIALS.into()),
            Self::Aws { cause: AwsCause::Denied, .. } => {
                Some("ask for this right, or choose other credentials with AWS_PROFILE".into())
            }
            Self::Aws { cause: AwsCause::Unanswered, .. } => Some(
                "is AWS reachable from here? What has begun goes on there; the same command goes on watching"
                    .into(),
            ),
            Self::Aws { cause: AwsCause::Other, .. } => None,
        }
    }
}

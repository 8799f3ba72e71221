//! Errors of the foundation commands: what was attempted, why it failed, what to do next. Pure.

use crate::error::CliError;

/// How to use the AWS CLI's credentials, of whatever kind they are.
const CREDENTIALS: &str = "log in, or choose a profile with AWS_PROFILE; to use the AWS CLI's credentials, run \
                           `eval \"$(aws configure export-credentials --format env)\"`";

#[derive(Debug, thiserror::Error)]
pub enum FoundationError {
    /// AWS returned an error, or did not respond.
    #[error("could not {attempt}: {reason}")]
    Aws { attempt: String, cause: AwsCause, reason: String },
    /// The requested operation was refused or failed.
    #[error("{why}")]
    Refused { why: String, next: String },
    /// Kubernetes could not be checked for active runs.
    #[error("could not check Kubernetes for active runs")]
    Kubernetes(#[source] Box<CliError>),
    #[error("could not write to the terminal or a pipe")]
    Output(#[from] std::io::Error),
}

pub type FoundationResult<T> = Result<T, FoundationError>;

/// Why a call failed, as far as the next step depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AwsCause {
    /// There are no credentials, or they have expired or are not valid.
    Credentials,
    /// The credentials do not allow the call.
    Denied,
    /// AWS did not respond.
    NoResponse,
    /// Anything else: AWS's message explains it.
    Other,
}

impl FoundationError {
    pub(super) fn refused(why: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Refused { why: why.into(), next: next.into() }
    }

    /// What the user can do about it, if known.
    #[must_use]
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Refused { next, .. } => Some(next.clone()),
            Self::Kubernetes(error) => {
                let skip = "use --skip-kubernetes to check only AWS";
                Some(error.next_step().map_or_else(|| skip.into(), |next| format!("{next}; or {skip}")))
            }
            Self::Aws { cause: AwsCause::Credentials, .. } => Some(CREDENTIALS.into()),
            Self::Aws { cause: AwsCause::Denied, .. } => {
                Some("request this permission, or choose other credentials with AWS_PROFILE".into())
            }
            Self::Aws { cause: AwsCause::NoResponse, .. } => Some(
                "check that AWS is reachable from here. A started operation continues in AWS; run the same command to resume watching it"
                    .into(),
            ),
            Self::Aws { cause: AwsCause::Other, .. } | Self::Output(_) => None,
        }
    }
}

//! What an AWS refusal means to us. In: an SDK error. Out: one of seven classes, with what was attempted. The one table from
//! error codes to classes is here, with the few rules by AWS's words; nobody else looks at either.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use kinesis_demo_api::error_chain::error_chain;

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AwsErrorClass {
    /// The thing is not there.
    NotFound,
    /// The thing is there already, or in a state in which it cannot be changed (in use, updating).
    AlreadyExists,
    /// Too many calls: later, with jitter.
    Throttled,
    /// Our credentials do not allow it: somebody must act.
    Denied,
    /// A quota is used up: somebody must act, or something must end.
    Quota,
    /// The request itself is wrong: repeating it is useless.
    Invalid,
    /// The service failed, or the answer was lost: the request may have happened.
    Transient,
}

impl AwsErrorClass {
    /// The class as one fixed word, for metrics and events.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotFound => "NotFound",
            Self::AlreadyExists => "AlreadyExists",
            Self::Throttled => "Throttled",
            Self::Denied => "Denied",
            Self::Quota => "Quota",
            Self::Invalid => "Invalid",
            Self::Transient => "Transient",
        }
    }
}

/// A call that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation} {target}: {message}")]
pub struct AwsError {
    /// What it means.
    pub class: AwsErrorClass,
    /// The API operation, as in `CreateStream`.
    pub operation: &'static str,
    /// What it was about: a name or an ARN.
    pub target: String,
    /// AWS's code, as in `ResourceInUseException`, where there was an answer.
    pub code: Option<String>,
    /// AWS's words, or what went wrong on the way.
    pub message: String,
}

impl AwsError {
    /// What AWS answered with an error code.
    pub fn refused(operation: &'static str, target: &str, code: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let class = class_of(operation, code, &message).unwrap_or(AwsErrorClass::Invalid);
        Self { class, operation, target: target.to_owned(), code: Some(code.to_owned()), message }
    }

    /// No answer came, or none that can be read: the request may have happened.
    pub fn unanswered(operation: &'static str, target: &str, message: impl Into<String>) -> Self {
        let class = AwsErrorClass::Transient;
        Self { class, operation, target: target.to_owned(), code: None, message: message.into() }
    }

    /// A call that we did not make, and why.
    pub fn not_sent(operation: &'static str, target: &str, reason: &dyn Error) -> Self {
        let class = AwsErrorClass::Transient;
        Self { class, operation, target: target.to_owned(), code: None, message: reason.to_string() }
    }

    /// What the SDK made of a call.
    pub fn from_sdk<E>(operation: &'static str, target: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let (class, code, message) = match error {
            SdkError::ServiceError(answer) => {
                let (code, message) = (answer.err().code(), answer.err().message().unwrap_or_default());
                let status = answer.raw().status().as_u16();
                let class = code
                    .and_then(|code| class_of(operation, code, message))
                    .unwrap_or_else(|| class_of_status(status, code.is_some()));
                let message = match (message, code) {
                    ("", Some(code)) => code.to_owned(),
                    ("", None) => format!(
                        "HTTP status {status} and no error code, so it was hardly AWS that answered: see AWS_ENDPOINT_URL and the proxies on the way"
                    ),
                    _ => message.to_owned(),
                };
                (class, code.map(str::to_owned), message)
            }
            SdkError::ConstructionFailure(_) => (AwsErrorClass::Invalid, None, error_chain(error)),
            SdkError::DispatchFailure(_) => {
                let class = credentials_class(error).unwrap_or(AwsErrorClass::Transient);
                (class, None, error_chain(error))
            }
            _ => (AwsErrorClass::Transient, None, error_chain(error)),
        };
        Self { class, operation, target: target.to_owned(), code, message }
    }

    /// Whether AWS does not see yet what was made a moment ago. The call is right, and is taken
    /// once AWS sees it.
    pub fn is_not_seen_yet(&self) -> bool {
        let rule = self.code.as_deref().and_then(|code| rule_for(self.operation, code, &self.message));
        rule.is_some_and(|rule| rule.is_lag)
    }
}

/// A code that means different things: what its words, and the operation, make of it.
struct Rule {
    code: &'static str,
    /// Any, if empty.
    operations: &'static [&'static str],
    /// One of these is in the message, as whole words in any case. Any message, if empty.
    phrases: &'static [&'static str],
    class: AwsErrorClass,
    /// AWS answers so while it does not see yet what was made a moment ago.
    is_lag: bool,
}

/// ECS makes its service-linked role with an account's first call, and refuses that call; the next one succeeds
/// (<https://github.com/hashicorp/terraform-provider-aws/issues/15452>).
const LINKED_ROLE: &[&str] =
    &["unable to assume the service linked role", "unable to assume the service-linked role"];
const MAKES_SERVICES: &[&str] = &["CreateService", "CreateCluster", "UpdateService"];
const NAMES_DEFINITIONS: &[&str] =
    &["DescribeTaskDefinition", "DeregisterTaskDefinition", "DeleteTaskDefinitions"];
/// Application Auto Scaling sees a service some seconds after ECS made it, and its own role some seconds after it made
/// that (terraform-provider-aws, internal/service/appautoscaling/target.go).
const SCALES: &[&str] = &["RegisterScalableTarget", "PutScheduledAction"];
/// How ECS calls a task definition that it does not know.
const NO_DEFINITION: &[&str] = &["taskdefinition not found", "task definition not found"];
/// The security token service could not ask the identity provider.
const NO_KEY: &[&str] = &["couldn't retrieve verification key", "could not retrieve verification key"];

const fn rule(
    code: &'static str,
    operations: &'static [&'static str],
    phrases: &'static [&'static str],
    class: AwsErrorClass,
) -> Rule {
    Rule { code, operations, phrases, class, is_lag: false }
}

/// What AWS answers while it does not see yet what was made a moment ago.
const fn lag(
    code: &'static str,
    operations: &'static [&'static str],
    phrases: &'static [&'static str],
) -> Rule {
    Rule { code, operations, phrases, class: AwsErrorClass::Transient, is_lag: true }
}

/// The rules, the first that fits decides. What none fits goes by its code alone.
const RULES: &[Rule] = {
    use AwsErrorClass::{AlreadyExists, Denied, NotFound, Throttled, Transient};
    &[
        lag("InvalidParameterException", MAKES_SERVICES, LINKED_ROLE),
        lag("ClientException", MAKES_SERVICES, LINKED_ROLE),
        rule("InvalidParameterException", MAKES_SERVICES, &["still draining"], Transient),
        rule("ClientException", MAKES_SERVICES, &["still draining"], Transient),
        rule("InvalidParameterException", &["CreateService"], &["not idempotent"], AlreadyExists),
        rule("ClientException", &["CreateService"], &["not idempotent"], AlreadyExists),
        // ECS has no code of its own for a task definition that is not there.
        rule(
            "ClientException",
            NAMES_DEFINITIONS,
            &["unable to describe task definition", "does not exist", "not found"],
            NotFound,
        ),
        // Of one that was registered a moment ago (https://github.com/remind101/empire/issues/353).
        lag("ClientException", &["CreateService"], NO_DEFINITION),
        lag("InvalidParameterException", &["CreateService"], NO_DEFINITION),
        // Two revisions of a family at once, or one that AWS believes to be under way still
        // (https://github.com/hashicorp/terraform-provider-aws/issues/9777,
        // https://github.com/PrefectHQ/prefect/issues/15865).
        rule(
            "ClientException",
            &["RegisterTaskDefinition"],
            &["too many concurrent attempts to create a new revision"],
            Throttled,
        ),
        rule("ClientException", &[], &["not authorized"], Denied),
        lag("ValidationException", SCALES, &["unable to assume iam role", "ecs service doesn't exist"]),
        // Of a target that was registered a moment ago.
        lag("ObjectNotFoundException", &["PutScheduledAction"], &[]),
        // Of a log group that is still being made (https://github.com/aws/aws-cdk/issues/17546).
        lag("OperationAbortedException", &["PutRetentionPolicy"], &[]),
        rule("InvalidIdentityToken", &[], NO_KEY, Transient),
        // Kinesis uses it for calls per second, for streams that are being created, and for how many may exist.
        rule(
            "LimitExceededException",
            &[],
            &[
                "rate exceeded",
                "per second",
                "tps",
                "too many",
                "concurrently",
                "concurrent",
                "simultaneously",
                "simultaneous",
            ],
            Throttled,
        ),
    ]
};

impl Rule {
    fn fits(&self, operation: &str, code: &str, message: &str) -> bool {
        self.code == code
            && (self.operations.is_empty() || self.operations.contains(&operation))
            && (self.phrases.is_empty() || self.phrases.iter().any(|phrase| says(message, phrase)))
    }
}

/// Whether `phrase` is in `message` as whole words, in any case, however its lines are broken:
/// `https` does not say `tps`.
fn says(message: &str, phrase: &str) -> bool {
    let message = message.to_lowercase().replace('\u{2019}', "'");
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_word = |character: Option<char>| character.is_some_and(char::is_alphanumeric);
    message.match_indices(phrase).any(|(at, found)| {
        let (before, after) = (message.get(..at), message.get(at + found.len()..));
        !is_word(before.and_then(|text| text.chars().next_back()))
            && !is_word(after.and_then(|text| text.chars().next()))
    })
}

/// What an answer means. `None` if its code is in no table.
fn class_of(operation: &str, code: &str, message: &str) -> Option<AwsErrorClass> {
    rule_for(operation, code, message).map(|rule| rule.class).or_else(|| class_of_code(code))
}

/// The rule by which an answer is judged, if any.
fn rule_for(operation: &str, code: &str, message: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.fits(operation, code, message))
}

/// The table of codes.
fn class_of_code(code: &str) -> Option<AwsErrorClass> {
    use AwsErrorClass::{AlreadyExists, Denied, Invalid, NotFound, Quota, Throttled, Transient};
    Some(match code {
        // Kinesis and CloudWatch Logs; Systems Manager; ECS; Application Auto Scaling; CloudWatch dashboards, by shape and by the code
        // that its query protocol had (the SDK takes the latter where the answer has it).
        "ResourceNotFoundException"
        | "ParameterNotFound"
        | "InvalidResourceId"
        | "ClusterNotFoundException"
        | "ServiceNotFoundException"
        | "TargetNotFoundException"
        | "TaskSetNotFoundException"
        | "ObjectNotFoundException"
        | "DashboardNotFoundError"
        | "ResourceNotFound" => NotFound,
        // ECS says so of a service that is DRAINING or INACTIVE: gone, or going.
        "ServiceNotActiveException" => NotFound,

        "ResourceInUseException"
        | "ParameterAlreadyExists"
        | "ResourceAlreadyExistsException"
        | "UpdateInProgressException" => AlreadyExists,

        "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "BandwidthLimitExceeded"
        | "PriorRequestNotComplete"
        | "TransactionInProgressException"
        | "ProvisionedThroughputExceededException"
        | "KMSThrottlingException"
        | "TooManyUpdates"
        | "SlowDown" => Throttled,

        "LimitExceededException"
        | "LimitExceededFault"
        | "LimitExceeded"
        | "ServiceQuotaExceededException"
        | "ParameterLimitExceeded"
        | "ParameterMaxVersionLimitExceeded" => Quota,

        "AccessDeniedException"
        | "AccessDenied"
        | "AccessDeniedFault"
        | "UnauthorizedException"
        | "UnauthorizedOperation"
        | "NotAuthorized"
        | "AuthFailure"
        | "OptInRequired"
        | "BlockedException"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidIdentityToken"
        | "ExpiredIdentityToken"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "RequestExpired"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "KMSAccessDeniedException"
        | "KMSDisabledException"
        | "KMSInvalidStateException"
        | "KMSNotFoundException"
        | "KMSOptInRequired" => Denied,

        "ClientException"
        | "InvalidParameterException"
        | "InvalidArgumentException"
        | "ValidationException"
        | "ValidationError"
        | "InvalidParameterValue"
        | "InvalidParameterValueException"
        | "DashboardInvalidInputError"
        | "InvalidParameterInput"
        | "SerializationException"
        | "UnknownOperationException"
        | "UnsupportedFeatureException"
        | "PlatformUnknownException"
        | "PlatformTaskDefinitionIncompatibilityException" => Invalid,

        // Logs: OperationAborted, two requests at once for the same group. Auto Scaling: FailedResourceAccess, it could not
        // ask ECS; ConcurrentUpdate, two updates at once. Dashboards: Conflict, the same. The security token service:
        // IDPCommunicationError, the identity provider did not answer.
        "OperationAbortedException"
        | "ConcurrentUpdateException"
        | "ConflictException"
        | "Conflict"
        | "FailedResourceAccessException"
        | "IDPCommunicationError"
        | "ServerException"
        | "InternalFailure"
        | "InternalFailureException"
        | "InternalServerError"
        | "InternalServiceException"
        | "InternalServiceError"
        | "InternalServiceFault"
        | "InternalError"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "RequestTimeout"
        | "RequestTimeoutException" => Transient,
        _ => return None,
    })
}

/// For codes that are not in the table, and for answers without one.
fn class_of_status(status: u16, has_code: bool) -> AwsErrorClass {
    match status {
        401 | 403 => AwsErrorClass::Denied,
        429 => AwsErrorClass::Throttled,
        500.. => AwsErrorClass::Transient,
        _ if has_code => AwsErrorClass::Invalid,
        // Not AWS's judgement of the request: the next answer may be another.
        _ => AwsErrorClass::Transient,
    }
}

/// Whether the request was never sent because there were no credentials to sign it with. A provider that was reached and
/// refused, or that has nothing, needs somebody to act; one that did not answer may do so next time.
fn credentials_class(error: &(dyn Error + 'static)) -> Option<AwsErrorClass> {
    let cause = causes(error).find_map(|cause| cause.downcast_ref::<CredentialsError>())?;
    let refused = || {
        let text = error_chain(cause);
        if NO_KEY.iter().any(|phrase| says(&text, phrase)) {
            return false;
        }
        [
            "AccessDenied",
            "InvalidIdentityToken",
            "ExpiredToken",
            "ExpiredIdentityToken",
            "InvalidClientTokenId",
        ]
        .iter()
        .any(|code| text.contains(code))
    };
    Some(match cause {
        CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => {
            AwsErrorClass::Denied
        }
        _ if refused() => AwsErrorClass::Denied,
        _ => AwsErrorClass::Transient,
    })
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |cause: &&'a (dyn Error + 'static)| (*cause).source())
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;

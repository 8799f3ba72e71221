//! Classifies AWS errors. In: an SDK error. Out: its class, with what was attempted. This is the
//! only place that has rules based on AWS's error messages. The table of codes is
//! [`AwsErrorClass::of_code`].

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use kinesis_demo_api::aws_error::AwsErrorClass;
use kinesis_demo_api::error_chain::error_chain;

/// The result of a call.
pub type AwsResult<T> = Result<T, AwsError>;

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation} {target}: {message}")]
pub struct AwsError {
    /// The class.
    pub class: AwsErrorClass,
    /// The API operation, as in `CreateStream`.
    pub operation: &'static str,
    /// The target: a name or an ARN.
    pub target: String,
    /// AWS's error code, such as `ResourceInUseException`, if there was a response.
    pub code: Option<String>,
    /// AWS's error message, or what failed before there was a response.
    pub message: String,
}

impl AwsError {
    /// An error that AWS returned with an error code.
    pub fn refused(operation: &'static str, target: &str, code: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let class = class_of(operation, code, &message).unwrap_or(AwsErrorClass::Invalid);
        Self { class, operation, target: target.to_owned(), code: Some(code.to_owned()), message }
    }

    /// There was no response, or no readable one: the request may have been executed.
    pub fn unanswered(operation: &'static str, target: &str, message: impl Into<String>) -> Self {
        let class = AwsErrorClass::Transient;
        Self { class, operation, target: target.to_owned(), code: None, message: message.into() }
    }

    /// A call that we did not send, and why.
    pub fn not_sent(operation: &'static str, target: &str, reason: &dyn Error) -> Self {
        let class = AwsErrorClass::Transient;
        Self { class, operation, target: target.to_owned(), code: None, message: reason.to_string() }
    }

    /// Classifies an SDK error.
    pub fn from_sdk<E>(operation: &'static str, target: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let (class, code, message) = match error {
            SdkError::ServiceError(response) => {
                let (code, message) = (response.err().code(), response.err().message().unwrap_or_default());
                let status = response.raw().status().as_u16();
                let class = code
                    .and_then(|code| class_of(operation, code, message))
                    .unwrap_or_else(|| class_of_status(status, code.is_some()));
                let message = match (message, code) {
                    ("", Some(code)) => code.to_owned(),
                    ("", None) => format!(
                        "HTTP status {status} without an AWS error code: the response probably did not come from AWS; check AWS_ENDPOINT_URL and the proxies on the way"
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

    /// Whether AWS does not see a resource yet that was just created. The call is valid and
    /// succeeds once AWS sees the resource.
    pub fn is_not_seen_yet(&self) -> bool {
        let rule = self.code.as_deref().and_then(|code| rule_for(self.operation, code, &self.message));
        rule.is_some_and(|rule| rule.is_lag)
    }
}

/// A rule for a code with several meanings: the message and the operation decide.
struct MessageRule {
    code: &'static str,
    /// Any operation, if empty.
    operations: &'static [&'static str],
    /// One of these is in the message, as whole words in any case. Any message, if empty.
    phrases: &'static [&'static str],
    class: AwsErrorClass,
    /// AWS returns this while it does not see a new resource yet.
    is_lag: bool,
}

/// ECS creates its service-linked role during an account's first call and refuses that call; the
/// next one succeeds (<https://github.com/hashicorp/terraform-provider-aws/issues/15452>).
const LINKED_ROLE: &[&str] =
    &["unable to assume the service linked role", "unable to assume the service-linked role"];
const SERVICE_OPERATIONS: &[&str] = &["CreateService", "CreateCluster", "UpdateService"];
const DEFINITION_OPERATIONS: &[&str] =
    &["DescribeTaskDefinition", "DeregisterTaskDefinition", "DeleteTaskDefinitions"];
/// Application Auto Scaling sees a service some seconds after ECS created it, and its own role some
/// seconds after it created that (terraform-provider-aws,
/// internal/service/appautoscaling/target.go).
const SCALING_OPERATIONS: &[&str] = &["RegisterScalableTarget", "PutScheduledAction"];
/// ECS's messages for a task definition that it does not know.
const DEFINITION_NOT_FOUND: &[&str] = &["taskdefinition not found", "task definition not found"];
/// The security token service could not reach the identity provider.
const NO_VERIFICATION_KEY: &[&str] =
    &["couldn't retrieve verification key", "could not retrieve verification key"];

const fn rule(
    code: &'static str,
    operations: &'static [&'static str],
    phrases: &'static [&'static str],
    class: AwsErrorClass,
) -> MessageRule {
    MessageRule { code, operations, phrases, class, is_lag: false }
}

/// A rule for what AWS returns while it does not see a new resource yet.
const fn lag(
    code: &'static str,
    operations: &'static [&'static str],
    phrases: &'static [&'static str],
) -> MessageRule {
    MessageRule { code, operations, phrases, class: AwsErrorClass::Transient, is_lag: true }
}

/// The rules. The first that matches decides. If none matches, the code alone decides.
const RULES: &[MessageRule] = {
    use AwsErrorClass::{AlreadyExists, Denied, NotFound, Throttled, Transient};
    &[
        lag("InvalidParameterException", SERVICE_OPERATIONS, LINKED_ROLE),
        lag("ClientException", SERVICE_OPERATIONS, LINKED_ROLE),
        rule("InvalidParameterException", SERVICE_OPERATIONS, &["still draining"], Transient),
        rule("ClientException", SERVICE_OPERATIONS, &["still draining"], Transient),
        rule("InvalidParameterException", &["CreateService"], &["not idempotent"], AlreadyExists),
        rule("ClientException", &["CreateService"], &["not idempotent"], AlreadyExists),
        // ECS has no error code of its own for a missing task definition.
        rule(
            "ClientException",
            DEFINITION_OPERATIONS,
            &["unable to describe task definition", "does not exist", "not found"],
            NotFound,
        ),
        // The task definition was just registered (https://github.com/remind101/empire/issues/353).
        lag("ClientException", &["CreateService"], DEFINITION_NOT_FOUND),
        lag("InvalidParameterException", &["CreateService"], DEFINITION_NOT_FOUND),
        // Two revisions of a family at once, or one that AWS believes to be still in progress
        // (https://github.com/hashicorp/terraform-provider-aws/issues/9777,
        // https://github.com/PrefectHQ/prefect/issues/15865).
        rule(
            "ClientException",
            &["RegisterTaskDefinition"],
            &["too many concurrent attempts to create a new revision"],
            Throttled,
        ),
        rule("ClientException", &[], &["not authorized"], Denied),
        lag(
            "ValidationException",
            SCALING_OPERATIONS,
            &["unable to assume iam role", "ecs service doesn't exist"],
        ),
        // The scalable target was just registered.
        lag("ObjectNotFoundException", &["PutScheduledAction"], &[]),
        // The log group is still being created (https://github.com/aws/aws-cdk/issues/17546).
        lag("OperationAbortedException", &["PutRetentionPolicy"], &[]),
        rule("InvalidIdentityToken", &[], NO_VERIFICATION_KEY, Transient),
        // Kinesis uses this code for calls per second, for streams in CREATING, and for the number
        // of streams.
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

impl MessageRule {
    fn matches(&self, operation: &str, code: &str, message: &str) -> bool {
        self.code == code
            && (self.operations.is_empty() || self.operations.contains(&operation))
            && (self.phrases.is_empty() || self.phrases.iter().any(|phrase| contains_phrase(message, phrase)))
    }
}

/// Whether `message` contains `phrase` as whole words, in any case and however its lines are
/// broken: `https` does not contain `tps`.
fn contains_phrase(message: &str, phrase: &str) -> bool {
    let message = message.to_lowercase().replace('\u{2019}', "'");
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_word = |character: Option<char>| character.is_some_and(char::is_alphanumeric);
    message.match_indices(phrase).any(|(at, found)| {
        let (before, after) = (message.get(..at), message.get(at + found.len()..));
        !is_word(before.and_then(|text| text.chars().next_back()))
            && !is_word(after.and_then(|text| text.chars().next()))
    })
}

/// The class of an error response. `None` if its code is in no table.
fn class_of(operation: &str, code: &str, message: &str) -> Option<AwsErrorClass> {
    rule_for(operation, code, message).map(|rule| rule.class).or_else(|| AwsErrorClass::of_code(code))
}

/// The rule for an error response, if any.
fn rule_for(operation: &str, code: &str, message: &str) -> Option<&'static MessageRule> {
    RULES.iter().find(|rule| rule.matches(operation, code, message))
}

/// The class for codes that are not in the table, and for responses without a code.
fn class_of_status(status: u16, has_code: bool) -> AwsErrorClass {
    match status {
        401 | 403 => AwsErrorClass::Denied,
        429 => AwsErrorClass::Throttled,
        500.. => AwsErrorClass::Transient,
        _ if has_code => AwsErrorClass::Invalid,
        // The response does not show what AWS decided, so a retry may succeed.
        _ => AwsErrorClass::Transient,
    }
}

/// The class of an error by which the request was never sent because there were no credentials to
/// sign it. If a provider refused or has no credentials, someone must act. If it did not respond, a
/// retry may succeed.
fn credentials_class(error: &(dyn Error + 'static)) -> Option<AwsErrorClass> {
    let cause = causes(error).find_map(|cause| cause.downcast_ref::<CredentialsError>())?;
    let refused = || {
        let text = error_chain(cause);
        if NO_VERIFICATION_KEY.iter().any(|phrase| contains_phrase(&text, phrase)) {
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

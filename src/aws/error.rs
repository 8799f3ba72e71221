//! What an AWS refusal means to us. In: an SDK error. Out: one of seven classes, with what was attempted. The one table from
//! error codes to classes is here; nobody else looks at codes.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

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
        let class = class_of(code, &message).unwrap_or(AwsErrorClass::Invalid);
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
                    .and_then(|code| class_of(code, message))
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
            SdkError::ConstructionFailure(_) => (AwsErrorClass::Invalid, None, chain(error)),
            SdkError::DispatchFailure(_) => {
                let class = credentials_class(error).unwrap_or(AwsErrorClass::Transient);
                (class, None, chain(error))
            }
            _ => (AwsErrorClass::Transient, None, chain(error)),
        };
        Self { class, operation, target: target.to_owned(), code, message }
    }
}

/// The table. Where one code has two meanings, the message decides.
fn class_of(code: &str, message: &str) -> Option<AwsErrorClass> {
    use AwsErrorClass::{AlreadyExists, Denied, Invalid, NotFound, Quota, Throttled, Transient};
    let says = |words: &[&str]| {
        let message = message.to_lowercase();
        words.iter().any(|word| message.contains(word))
    };
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
        "InvalidParameterException" if says(&["not idempotent", "still draining"]) => AlreadyExists,

        "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "ProvisionedThroughputExceededException"
        | "TooManyUpdates"
        | "SlowDown" => Throttled,

        // Kinesis uses it for calls per second, for streams that are being created, and for how many may exist.
        "LimitExceededException"
            if says(&["rate exceeded", "per second", "tps", "too many", "concurrent", "simultaneous"]) =>
        {
            Throttled
        }
        "LimitExceededException"
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
        | "MissingAuthenticationTokenException" => Denied,
        "ClientException" if says(&["not authorized", "assume the service linked role"]) => Denied,

        // ECS has no code of its own for a task definition that is not there.
        "ClientException" if says(&["unable to describe task definition", "does not exist", "not found"]) => {
            NotFound
        }
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
        // ask ECS; ConcurrentUpdate, two updates at once. Dashboards: Conflict, the same.
        "OperationAbortedException"
        | "ConcurrentUpdateException"
        | "ConflictException"
        | "Conflict"
        | "FailedResourceAccessException"
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
        let text = chain(cause);
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

/// An error and what caused it, in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = String::new();
    for cause in causes(error).map(ToString::to_string) {
        // Some causes repeat the text of their own cause.
        if line.ends_with(&cause) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&cause);
    }
    line
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |cause: &&'a (dyn Error + 'static)| (*cause).source())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_smithy_runtime_api::client::result::ConnectorError;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;

    use super::AwsErrorClass::{AlreadyExists, Denied, Invalid, NotFound, Quota, Throttled, Transient};
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("service error")]
    struct Answer(ErrorMetadata);

    impl ProvideErrorMetadata for Answer {
        fn meta(&self) -> &ErrorMetadata {
            &self.0
        }
    }

    fn answered(status: u16, code: Option<&str>, message: &str) -> AwsError {
        let mut meta = ErrorMetadata::builder().message(message);
        if let Some(code) = code {
            meta = meta.code(code);
        }
        let raw = HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::empty());
        AwsError::from_sdk("CreateStream", "posts", &SdkError::service_error(Answer(meta.build()), raw))
    }

    #[test]
    fn codes_have_one_class_wherever_they_come_from() {
        let table = [
            ("ResourceNotFoundException", "Stream posts under account 1 not found.", NotFound),
            ("ParameterNotFound", "", NotFound),
            ("ObjectNotFoundException", "No scalable target registered", NotFound),
            ("ClusterNotFoundException", "Cluster not found.", NotFound),
            ("ServiceNotFoundException", "Service not found.", NotFound),
            ("ServiceNotActiveException", "Service was not ACTIVE.", NotFound),
            ("ClientException", "Unable to describe task definition.", NotFound),
            ("ClientException", "The specified task definition does not exist.", NotFound),
            ("ResourceInUseException", "Stream posts under account 1 already exists.", AlreadyExists),
            ("ResourceAlreadyExistsException", "The specified log group already exists", AlreadyExists),
            ("ParameterAlreadyExists", "", AlreadyExists),
            ("InvalidParameterException", "Creation of service was not idempotent.", AlreadyExists),
            ("InvalidParameterException", "Unable to Start a service that is still Draining.", AlreadyExists),
            ("ThrottlingException", "Rate exceeded", Throttled),
            ("LimitExceededException", "Rate exceeded for stream posts under account 1.", Throttled),
            ("LimitExceededException", "You can have at most 5 streams in CREATING concurrently", Throttled),
            ("LimitExceededException", "This request would exceed the stream limit for the account 1", Quota),
            ("ParameterLimitExceeded", "", Quota),
            ("AccessDeniedException", "User: x is not authorized to perform: kinesis:CreateStream", Denied),
            ("UnrecognizedClientException", "The security token included in the request is invalid.", Denied),
            ("ExpiredTokenException", "The security token included in the request is expired", Denied),
            ("ValidationException", "1 validation error detected", Invalid),
            ("InvalidArgumentException", "", Invalid),
            ("InvalidParameterException", "The subnet ID 'x' does not exist", Invalid),
            ("ClientException", "No Fargate configuration exists for given values", Invalid),
            ("DashboardNotFoundError", "Dashboard KinesisDemo-x does not exist", NotFound),
            ("ResourceNotFound", "Dashboard KinesisDemo-x does not exist", NotFound),
            ("DashboardInvalidInputError", "The dashboard body is invalid", Invalid),
            ("InvalidParameterInput", "The dashboard body is invalid", Invalid),
            ("ConflictException", "The dashboard is being changed", Transient),
            ("InternalServiceError", "", Transient),
            ("OperationAbortedException", "A conflicting operation is currently in progress", Transient),
            ("ConcurrentUpdateException", "", Transient),
            ("FailedResourceAccessException", "", Transient),
            ("ServerException", "Service Unavailable. Please try again later.", Transient),
        ];
        for (code, message, class) in table {
            assert_eq!(answered(400, Some(code), message).class, class, "{code}: {message}");
            assert_eq!(AwsError::refused("X", "y", code, message).class, class, "{code}: {message}");
        }
    }

    #[test]
    fn unknown_codes_are_judged_by_their_status() {
        for (status, class) in
            [(400, Invalid), (403, Denied), (429, Throttled), (500, Transient), (503, Transient)]
        {
            assert_eq!(answered(status, Some("NewException"), "").class, class, "{status}");
            let without = if class == Invalid { Transient } else { class };
            assert_eq!(answered(status, None, "").class, without, "{status}");
        }
    }

    #[test]
    fn an_error_says_what_was_attempted_on_what_and_why() {
        let error = answered(400, Some("ResourceInUseException"), "Stream posts already exists.");
        assert_eq!(error.to_string(), "CreateStream posts: Stream posts already exists.");
        assert_eq!(error.code.as_deref(), Some("ResourceInUseException"));
        assert_eq!(
            answered(500, Some("InternalFailure"), "").to_string(),
            "CreateStream posts: InternalFailure"
        );
        // A proxy's answer, or a load balancer's.
        let anonymous = answered(404, None, "").to_string();
        assert!(
            anonymous.starts_with("CreateStream posts: HTTP status 404 and no error code"),
            "{anonymous}"
        );
    }

    #[test]
    fn a_lost_answer_is_transient_and_names_its_cause() {
        let timeout = SdkError::<Answer, _>::timeout_error("attempt took longer than 8 s");
        let error = AwsError::from_sdk("CreateStream", "posts", &timeout);
        assert_eq!((error.class, error.code), (Transient, None));
        assert!(error.message.contains("attempt took longer than 8 s"), "{}", error.message);

        let refused = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "connection refused");
        let dispatch = SdkError::<Answer, _>::dispatch_failure(ConnectorError::io(refused.into()));
        let error = AwsError::from_sdk("CreateStream", "posts", &dispatch);
        assert_eq!(error.class, Transient);
        assert!(error.message.contains("connection refused"), "{}", error.message);

        let raw = HttpResponse::new(StatusCode::try_from(200).unwrap(), SdkBody::empty());
        let garbled = SdkError::<Answer, _>::response_error("not JSON", raw);
        assert_eq!(AwsError::from_sdk("CreateStream", "posts", &garbled).class, Transient);

        let wrong = SdkError::<Answer, _>::construction_failure("stream name missing");
        assert_eq!(AwsError::from_sdk("CreateStream", "posts", &wrong).class, Invalid);
    }

    #[test]
    fn missing_credentials_need_somebody_slow_ones_do_not() {
        let with = |cause: CredentialsError| {
            let error = SdkError::<Answer, _>::dispatch_failure(ConnectorError::other(cause.into(), None));
            AwsError::from_sdk("GetCallerIdentity", "account", &error)
        };
        let missing = with(CredentialsError::not_loaded("no providers in chain provided credentials"));
        assert_eq!(missing.class, Denied);
        assert!(missing.message.contains("no providers in chain"), "{}", missing.message);
        assert_eq!(with(CredentialsError::provider_error("AccessDenied: not for you")).class, Denied);
        assert_eq!(with(CredentialsError::provider_error("connection reset")).class, Transient);
        assert_eq!(with(CredentialsError::provider_timed_out(Duration::from_secs(5))).class, Transient);
    }
}

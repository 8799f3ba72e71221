use std::time::Duration;

use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::ErrorMetadata;

use super::AwsErrorClass::{AlreadyExists, Denied, Invalid, NotFound, Quota, Throttled, Transient};
use super::*;

#[derive(Debug, thiserror::Error)]
#[error("service error")]
struct ErrorResponse(ErrorMetadata);

impl ProvideErrorMetadata for ErrorResponse {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

fn error_response(status: u16, code: Option<&str>, message: &str) -> AwsError {
    let mut meta = ErrorMetadata::builder().message(message);
    if let Some(code) = code {
        meta = meta.code(code);
    }
    let raw = HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::empty());
    AwsError::from_sdk("CreateStream", "posts", &SdkError::service_error(ErrorResponse(meta.build()), raw))
}

#[test]
fn codes_have_one_class_whatever_their_source() {
    let table = [
        ("ResourceNotFoundException", "Stream posts under account 1 not found.", NotFound),
        ("ParameterNotFound", "", NotFound),
        ("ObjectNotFoundException", "No scalable target registered", NotFound),
        ("ClusterNotFoundException", "Cluster not found.", NotFound),
        ("ServiceNotFoundException", "Service not found.", NotFound),
        ("ServiceNotActiveException", "Service was not ACTIVE.", NotFound),
        ("ResourceInUseException", "Stream posts under account 1 already exists.", AlreadyExists),
        ("ResourceAlreadyExistsException", "The specified log group already exists", AlreadyExists),
        ("ParameterAlreadyExists", "", AlreadyExists),
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
        assert_eq!(error_response(400, Some(code), message).class, class, "{code}: {message}");
        assert_eq!(AwsError::refused("X", "y", code, message).class, class, "{code}: {message}");
    }
}

#[test]
fn operation_and_message_decide_an_ambiguous_code() {
    let linked =
        "Unable to assume the service linked role. Please verify that the ECS service linked role exists.";
    let draining = "Unable to Start a service that is still Draining.";
    let no_key = "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements";
    let table = [
        ("CreateService", "InvalidParameterException", linked, Transient),
        ("CreateService", "ClientException", linked, Transient),
        ("RegisterTaskDefinition", "ClientException", linked, Invalid),
        (
            "CreateService",
            "InvalidParameterException",
            "Unable to assume the\n  service linked role.\r\nPlease verify that it exists.",
            Transient,
        ),
        ("CreateCluster", "ClientException", "Unable to assume the service-linked role.", Transient),
        ("CreateService", "InvalidParameterException", draining, Transient),
        ("CreateService", "ClientException", draining, Transient),
        (
            "CreateService",
            "InvalidParameterException",
            "Creation of service was not idempotent.",
            AlreadyExists,
        ),
        ("CreateService", "ClientException", "Creation of service was not idempotent.", AlreadyExists),
        ("UpdateService", "InvalidParameterException", "The request was not idempotent.", Invalid),
        ("DescribeTaskDefinition", "ClientException", "Unable to describe task definition.", NotFound),
        (
            "DescribeTaskDefinition",
            "ClientException",
            "The specified task definition does not exist.",
            NotFound,
        ),
        ("CreateService", "ClientException", "TaskDefinition not found.", Transient),
        ("CreateService", "InvalidParameterException", "TaskDefinition not found.", Transient),
        ("UpdateService", "InvalidParameterException", "TaskDefinition not found.", Invalid),
        (
            "RegisterTaskDefinition",
            "ClientException",
            "Too many concurrent attempts to create a new revision of the specified family.",
            Throttled,
        ),
        ("RegisterTaskDefinition", "ClientException", "Log group not found", Invalid),
        (
            "RegisterScalableTarget",
            "ValidationException",
            "ECS service doesn't exist: service/c/s",
            Transient,
        ),
        ("RegisterScalableTarget", "ValidationException", "ECS service doesn\u{2019}t exist", Transient),
        (
            "RegisterScalableTarget",
            "ValidationException",
            "Unable to assume IAM role: arn:aws:iam::1:role/x",
            Transient,
        ),
        ("RegisterScalableTarget", "ValidationException", "1 validation error detected", Invalid),
        ("CreateStream", "ValidationException", "Unable to assume IAM role", Invalid),
        ("PutScheduledAction", "ObjectNotFoundException", "No scalable target registered", Transient),
        ("DeregisterScalableTarget", "ObjectNotFoundException", "No scalable target registered", NotFound),
        ("AssumeRoleWithWebIdentity", "InvalidIdentityToken", no_key, Transient),
        ("AssumeRoleWithWebIdentity", "InvalidIdentityToken", "No OpenIDConnect provider found", Denied),
        ("CreateStream", "LimitExceededException", "Limit of 50 streams: see https://aws.amazon.com", Quota),
        ("CreateStream", "LimitExceededException", "exceeds the limit of 5 TPS", Throttled),
    ];
    for (operation, code, message, class) in table {
        let error = AwsError::refused(operation, "x", code, message);
        assert_eq!(error.class, class, "{operation} {code}: {message}");
    }
}

/// AWS's errors for a resource that was just created, and similar errors that are permanent.
#[test]
fn a_resource_not_seen_yet_is_recognised_by_the_message() {
    let table = [
        ("CreateService", "InvalidParameterException", "TaskDefinition not found.", true),
        ("CreateService", "ClientException", "TaskDefinition not found.", true),
        ("CreateService", "ClientException", "Unable to assume the service linked role.", true),
        ("CreateService", "ClientException", "Unable to Start a service that is still Draining.", false),
        ("RegisterScalableTarget", "ValidationException", "ECS service doesn't exist: service/c/s", true),
        ("RegisterScalableTarget", "ValidationException", "Unable to assume IAM role: arn", true),
        ("RegisterScalableTarget", "ValidationException", "1 validation error detected", false),
        ("PutScheduledAction", "ObjectNotFoundException", "No scalable target registered", true),
        ("DeleteScheduledAction", "ObjectNotFoundException", "No scheduled action found", false),
        ("PutRetentionPolicy", "OperationAbortedException", "A conflicting operation is in progress", true),
        ("DeleteLogGroup", "OperationAbortedException", "A conflicting operation is in progress", false),
        ("CreateService", "ServerException", "Service Unavailable. Please try again later.", false),
    ];
    for (operation, code, message, expected) in table {
        let error = AwsError::refused(operation, "x", code, message);
        assert_eq!(error.is_not_seen_yet(), expected, "{operation} {code}: {message}");
    }
    assert!(!AwsError::unanswered("CreateService", "x", "TaskDefinition not found.").is_not_seen_yet());
}

#[test]
fn unknown_codes_are_classified_by_their_status() {
    for (status, class) in
        [(400, Invalid), (403, Denied), (429, Throttled), (500, Transient), (503, Transient)]
    {
        assert_eq!(error_response(status, Some("NewException"), "").class, class, "{status}");
        let without = if class == Invalid { Transient } else { class };
        assert_eq!(error_response(status, None, "").class, without, "{status}");
    }
}

#[test]
fn an_error_names_operation_target_and_reason() {
    let error = error_response(400, Some("ResourceInUseException"), "Stream posts already exists.");
    assert_eq!(error.to_string(), "CreateStream posts: Stream posts already exists.");
    assert_eq!(error.code.as_deref(), Some("ResourceInUseException"));
    assert_eq!(
        error_response(500, Some("InternalFailure"), "").to_string(),
        "CreateStream posts: InternalFailure"
    );
    // A response of a proxy or a load balancer.
    let anonymous = error_response(404, None, "").to_string();
    assert!(
        anonymous.starts_with("CreateStream posts: HTTP status 404 without an AWS error code"),
        "{anonymous}"
    );
}

#[test]
fn a_lost_response_is_transient_and_names_its_cause() {
    let timeout = SdkError::<ErrorResponse, _>::timeout_error("attempt took longer than 8 s");
    let error = AwsError::from_sdk("CreateStream", "posts", &timeout);
    assert_eq!((error.class, error.code), (Transient, None));
    assert!(error.message.contains("attempt took longer than 8 s"), "{}", error.message);

    let refused = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "connection refused");
    let dispatch = SdkError::<ErrorResponse, _>::dispatch_failure(ConnectorError::io(refused.into()));
    let error = AwsError::from_sdk("CreateStream", "posts", &dispatch);
    assert_eq!(error.class, Transient);
    assert!(error.message.contains("connection refused"), "{}", error.message);

    let raw = HttpResponse::new(StatusCode::try_from(200).unwrap(), SdkBody::empty());
    let garbled = SdkError::<ErrorResponse, _>::response_error("not JSON", raw);
    assert_eq!(AwsError::from_sdk("CreateStream", "posts", &garbled).class, Transient);

    let wrong = SdkError::<ErrorResponse, _>::construction_failure("stream name missing");
    assert_eq!(AwsError::from_sdk("CreateStream", "posts", &wrong).class, Invalid);
}

#[test]
fn missing_credentials_are_denied_and_slow_ones_transient() {
    let with = |cause: CredentialsError| {
        let error = SdkError::<ErrorResponse, _>::dispatch_failure(ConnectorError::other(cause.into(), None));
        AwsError::from_sdk("GetCallerIdentity", "account", &error)
    };
    let missing = with(CredentialsError::not_loaded("no providers in chain provided credentials"));
    assert_eq!(missing.class, Denied);
    assert!(missing.message.contains("no providers in chain"), "{}", missing.message);
    assert_eq!(with(CredentialsError::provider_error("AccessDenied: not for you")).class, Denied);
    assert_eq!(with(CredentialsError::provider_error("connection reset")).class, Transient);
    let no_key = "InvalidIdentityToken: Couldn't retrieve verification key from your identity provider";
    assert_eq!(with(CredentialsError::provider_error(no_key)).class, Transient);
    assert_eq!(with(CredentialsError::provider_timed_out(Duration::from_secs(5))).class, Transient);
}

//! The classes of AWS errors. In: an error code of any service. Out: one of seven classes, or that
//! the code is unknown. Pure.
//!
//! The operator has rules for codes with several meanings, which the message decides
//! (`src/aws/error.rs`).

/// What an error means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AwsErrorClass {
    /// The resource does not exist.
    NotFound,
    /// The resource exists already, or is in a state in which it cannot be changed (in use,
    /// updating).
    AlreadyExists,
    /// Too many calls: retry later, with jitter.
    Throttled,
    /// Our credentials do not allow the call: someone must act.
    Denied,
    /// A quota is exhausted: someone must act, or something must end.
    Quota,
    /// The request itself is invalid: a retry is useless.
    Invalid,
    /// The service failed, or the response was lost: the request may have been executed.
    Transient,
}

impl AwsErrorClass {
    /// The class as a fixed word, for metrics, logs and Events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Throttled => "throttled",
            Self::Denied => "denied",
            Self::Quota => "quota",
            Self::Invalid => "invalid",
            Self::Transient => "transient",
        }
    }

    /// The class of an error code; `None` if it is not in the table.
    pub fn of_code(code: &str) -> Option<Self> {
        Some(match code {
            code if rejects_credentials(code) => Self::Denied,

            // Kinesis and CloudWatch Logs; Systems Manager; ECS; Application Auto Scaling;
            // CloudWatch dashboards, by shape and by the code of its query protocol (the SDK uses
            // the latter if the response has it).
            "ResourceNotFoundException"
            | "ParameterNotFound"
            | "InvalidResourceId"
            | "ClusterNotFoundException"
            | "ServiceNotFoundException"
            | "TargetNotFoundException"
            | "TaskSetNotFoundException"
            | "ObjectNotFoundException"
            | "DashboardNotFoundError"
            | "ResourceNotFound" => Self::NotFound,
            // ECS returns this for a service that is DRAINING or INACTIVE: deleted, or about to be.
            "ServiceNotActiveException" => Self::NotFound,

            "ResourceInUseException"
            | "ParameterAlreadyExists"
            | "ResourceAlreadyExistsException"
            | "UpdateInProgressException" => Self::AlreadyExists,

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
            | "SlowDown" => Self::Throttled,

            "LimitExceededException"
            | "LimitExceededFault"
            | "LimitExceeded"
            | "ServiceQuotaExceededException"
            | "ParameterLimitExceeded"
            | "ParameterMaxVersionLimitExceeded" => Self::Quota,

            "AccessDeniedException"
            | "AccessDenied"
            | "AccessDeniedFault"
            | "UnauthorizedException"
            | "UnauthorizedOperation"
            | "NotAuthorized"
            | "AuthFailure"
            | "OptInRequired"
            | "BlockedException"
            | "KMSAccessDeniedException"
            | "KMSDisabledException"
            | "KMSInvalidStateException"
            | "KMSNotFoundException"
            | "KMSOptInRequired" => Self::Denied,

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
            | "PlatformTaskDefinitionIncompatibilityException" => Self::Invalid,

            // Logs: OperationAborted, two simultaneous requests for the same group. Auto Scaling:
            // FailedResourceAccess, it could not reach ECS; ConcurrentUpdate, two simultaneous
            // updates. Dashboards: Conflict, the same. The security token service:
            // IDPCommunicationError, the identity provider did not respond.
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
            | "RequestTimeoutException" => Self::Transient,
            _ => return None,
        })
    }
}

/// Whether AWS rejected the credentials themselves: missing, wrong, expired, or with a wrong
/// signature. The caller's permissions do not matter then. The codes are from the AWS API
/// reference, "Common error types", in old and new spellings.
pub fn rejects_credentials(code: &str) -> bool {
    matches!(
        code,
        "UnrecognizedClientException"
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
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_all_services_have_a_class() {
        let class = AwsErrorClass::of_code;
        // Kinesis; Systems Manager; ECS; every service's front end.
        for code in ["ProvisionedThroughputExceededException", "TooManyUpdates", "ThrottlingException"] {
            assert_eq!(class(code), Some(AwsErrorClass::Throttled), "{code}");
        }
        assert_eq!(class("ClusterNotFoundException"), Some(AwsErrorClass::NotFound));
        assert_eq!(class("AccessDenied"), Some(AwsErrorClass::Denied));
        assert_eq!(class("throttlingexception"), None, "codes are exact");
    }

    #[test]
    fn rejected_credentials_are_a_kind_of_denial() {
        for code in ["ExpiredToken", "UnrecognizedClientException", "SignatureDoesNotMatch"] {
            assert!(rejects_credentials(code), "{code}");
            assert_eq!(AwsErrorClass::of_code(code), Some(AwsErrorClass::Denied), "{code}");
        }
        for code in ["AccessDenied", "OptInRequired", "ThrottlingException"] {
            assert!(!rejects_credentials(code), "{code}");
        }
    }
}

//! The error codes and messages of ECS. Pure.

use crate::call::AwsError;

/// The code of the error for an invalid request.
pub const INVALID_REQUEST: &str = "InvalidParameterException";
/// The code of the error for features of services that are not modelled
/// ("UnsupportedFeatureException: the specified capability isn't supported").
pub const UNSUPPORTED_FEATURE: &str = "UnsupportedFeatureException";
/// The code of the error for invalid task definitions.
pub const CLIENT: &str = "ClientException";

pub fn client(message: impl Into<String>) -> AwsError {
    AwsError::client(CLIENT, message)
}

pub fn unsupported_feature(message: impl Into<String>) -> AwsError {
    AwsError::client(UNSUPPORTED_FEATURE, message)
}

pub fn cluster_not_found() -> AwsError {
    AwsError::client("ClusterNotFoundException", "Cluster not found.")
}

pub fn cluster_contains_services() -> AwsError {
    AwsError::client(
        "ClusterContainsServicesException",
        "The Cluster cannot be deleted while Services are active.",
    )
}

pub fn cluster_contains_tasks() -> AwsError {
    AwsError::client("ClusterContainsTasksException", "The Cluster cannot be deleted while Tasks are active.")
}

pub fn service_not_found() -> AwsError {
    AwsError::client("ServiceNotFoundException", "Service not found.")
}

pub fn service_not_active() -> AwsError {
    AwsError::client("ServiceNotActiveException", "Service was not ACTIVE.")
}

/// The account has no service-linked role yet.
pub fn no_linked_role() -> AwsError {
    AwsError::client(
        INVALID_REQUEST,
        "Unable to assume the service linked role. Please verify that the ECS service linked role exists.",
    )
}

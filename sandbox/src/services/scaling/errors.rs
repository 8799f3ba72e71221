//! The error codes and messages of Application Auto Scaling. Pure.

use super::state::DIMENSION;
use crate::call::AwsError;

/// The code of the error for an invalid request.
pub const INVALID_REQUEST: &str = "ValidationException";

pub fn target_not_found(resource: &str) -> AwsError {
    AwsError::client(
        "ObjectNotFoundException",
        format!(
            "No scalable target registered for service namespace: ecs, resource ID: {resource}, scalable dimension: {DIMENSION}"
        ),
    )
}

pub fn action_not_found(resource: &str, name: &str) -> AwsError {
    AwsError::client(
        "ObjectNotFoundException",
        format!(
            "No scheduled action found for service namespace: ecs, resource ID: {resource}, scheduled action name: {name}"
        ),
    )
}

pub fn resource_not_found(arn: &str) -> AwsError {
    AwsError::client("ResourceNotFoundException", format!("The specified resource doesn't exist: {arn}"))
}

pub fn too_many_tags(arn: &str) -> AwsError {
    AwsError::client("TooManyTagsException", format!("too many tags on {arn}"))
}

pub fn invalid_next_token() -> AwsError {
    AwsError::client("InvalidNextTokenException", "The next token is not valid")
}

/// The account has no service-linked role yet.
pub fn cannot_assume_role(role: &str) -> AwsError {
    AwsError::client(INVALID_REQUEST, format!("Unable to assume IAM role: {role}"))
}

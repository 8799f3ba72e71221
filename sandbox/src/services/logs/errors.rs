//! The error codes and messages of CloudWatch Logs. Pure.

use crate::call::AwsError;

/// The code of the error for an invalid request.
pub const INVALID_REQUEST: &str = "InvalidParameterException";
/// The code of the error for a name that is taken.
pub const ALREADY_EXISTS: &str = "ResourceAlreadyExistsException";

pub fn group_not_found() -> AwsError {
    AwsError::client("ResourceNotFoundException", "The specified log group does not exist.")
}

pub fn stream_not_found() -> AwsError {
    AwsError::client("ResourceNotFoundException", "The specified log stream does not exist.")
}

pub fn group_exists() -> AwsError {
    AwsError::client(ALREADY_EXISTS, "The specified log group already exists")
}

pub fn stream_exists() -> AwsError {
    AwsError::client(ALREADY_EXISTS, "The specified log stream already exists")
}

/// A name does not match the pattern of its member.
pub fn pattern_violated(value: &str, member: &str, pattern: &str) -> AwsError {
    AwsError::client(
        INVALID_REQUEST,
        format!(
            "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must satisfy regular expression pattern: {pattern}"
        ),
    )
}

pub fn too_many_tags() -> AwsError {
    AwsError::client("TooManyTagsException", "A resource can have no more than 50 tags.")
}

/// The token belongs to no page.
pub fn invalid_next_token() -> AwsError {
    AwsError::client(INVALID_REQUEST, "The specified nextToken is invalid.")
}

/// A filter pattern that cannot be parsed.
pub fn invalid_pattern(message: impl Into<String>) -> AwsError {
    AwsError::client(INVALID_REQUEST, message)
}

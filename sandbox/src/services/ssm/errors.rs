//! The error codes and messages of Parameter Store. Texts come from the "PutParameter" reference
//! and from responses of the service that public tools recorded. Pure.

use crate::call::AwsError;

/// The code of the error for an invalid request.
pub const INVALID_REQUEST: &str = "ValidationException";

/// AWS returns this error without a text.
pub fn parameter_not_found() -> AwsError {
    AwsError::client("ParameterNotFound", "")
}

pub fn version_not_found(name: &str, version: &str) -> AwsError {
    AwsError::client(
        "ParameterVersionNotFound",
        format!(
            "Systems Manager could not find version {version} of {name}. Verify the version and try again."
        ),
    )
}

pub fn parameter_exists() -> AwsError {
    AwsError::client(
        "ParameterAlreadyExists",
        "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.",
    )
}

pub fn too_many_levels() -> AwsError {
    AwsError::client("HierarchyLevelLimitExceededException", "A hierarchy can have a maximum of 15 levels.")
}

pub fn too_many_tags() -> AwsError {
    AwsError::client("TooManyTagsError", "The number of tags exceeds the maximum of 50.")
}

pub fn invalid_resource_id() -> AwsError {
    AwsError::client(
        "InvalidResourceId",
        "The resource ID isn't valid. Verify that you entered the correct ID and try again.",
    )
}

pub fn invalid_next_token() -> AwsError {
    AwsError::client("InvalidNextToken", "The specified token isn't valid.")
}

pub fn invalid_filter_option(name: &str, option: &str) -> AwsError {
    AwsError::client("InvalidFilterOption", format!("The filter {name} does not take the option {option}."))
}

pub fn invalid_filter_value(name: &str) -> AwsError {
    AwsError::client("InvalidFilterValue", format!("The filter {name} needs Values."))
}

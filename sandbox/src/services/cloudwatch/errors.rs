//! The error codes and messages of CloudWatch. Pure.

use crate::call::AwsError;

/// The code of the error for an invalid request.
pub const INVALID_REQUEST: &str = "InvalidParameterValueException";
/// The same in GetMetricData. AWS's model does not list it.
pub const INVALID_QUERY: &str = "ValidationError";
/// The same in PutDashboard.
pub const INVALID_DASHBOARD: &str = "DashboardInvalidInputError";

pub fn missing_parameter(parameter: &str) -> AwsError {
    AwsError::client("MissingRequiredParameterException", format!("The parameter {parameter} is required."))
}

pub fn invalid_combination(message: impl Into<String>) -> AwsError {
    AwsError::client("InvalidParameterCombinationException", message)
}

pub fn collection_too_large(collection: &str, limit: usize) -> AwsError {
    AwsError::client(
        INVALID_REQUEST,
        format!("The collection {collection} must not have a size greater than {limit}."),
    )
}

pub fn invalid_query(message: impl Into<String>) -> AwsError {
    AwsError::client(INVALID_QUERY, message)
}

/// The token of GetMetricData belongs to no page.
pub fn invalid_query_token() -> AwsError {
    AwsError::client("InvalidNextToken", "The next token specified is invalid.")
}

/// The token of a list operation belongs to no page.
pub fn invalid_next_token() -> AwsError {
    AwsError::client(INVALID_REQUEST, "The next token specified is invalid.")
}

pub fn invalid_dashboard(message: impl Into<String>) -> AwsError {
    AwsError::client(INVALID_DASHBOARD, message)
}

pub fn dashboard_not_found(name: &str) -> AwsError {
    not_found("DashboardNotFoundError", format!("Dashboard {name} does not exist"))
}

pub fn resource_not_found(arn: &str) -> AwsError {
    not_found("ResourceNotFoundException", format!("{arn} does not exist"))
}

fn not_found(code: &str, message: String) -> AwsError {
    AwsError { status: 404, ..AwsError::client(code, message) }
}

//! The Parameter Store operations that are supported, and how each parameter is treated
//! (`crate::operations`).

pub mod delete_parameters;
pub mod describe_parameters;
mod filters;
pub mod get_parameters;
pub mod put_parameter;
pub mod tags;

use super::errors::INVALID_REQUEST;
use crate::operations::Operation;

const fn operation(name: &'static str, supported: &'static str) -> Operation {
    Operation::supporting(name, INVALID_REQUEST, supported)
}

/// All supported operations.
pub const OPERATIONS: &[Operation] = &[
    operation("PutParameter", "Name Description Value Type Overwrite Tags.Key Tags.Value Tier DataType")
        .rejecting("KeyId AllowedPattern Policies"),
    operation("GetParameter", "Name WithDecryption"),
    operation("GetParameters", "Names WithDecryption"),
    operation(
        "GetParametersByPath",
        "Path Recursive WithDecryption MaxResults NextToken ParameterFilters.Key ParameterFilters.Option
         ParameterFilters.Values",
    ),
    operation(
        "DescribeParameters",
        "MaxResults NextToken ParameterFilters.Key ParameterFilters.Option ParameterFilters.Values",
    )
    .rejecting("Filters Shared"),
    operation("DeleteParameter", "Name"),
    operation("DeleteParameters", "Names"),
    operation("AddTagsToResource", "ResourceType ResourceId Tags.Key Tags.Value"),
    operation("RemoveTagsFromResource", "ResourceType ResourceId TagKeys"),
    operation("ListTagsForResource", "ResourceType ResourceId"),
];

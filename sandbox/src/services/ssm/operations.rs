//! The Parameter Store operations that are offered, and how each member is treated
//! (`crate::operations`).

use super::REFUSAL;
use crate::operations::Operation;

const fn offered(name: &'static str, honoured: &'static str) -> Operation {
    Operation::honouring(name, REFUSAL, honoured)
}

/// All offered operations.
pub(super) const OPERATIONS: &[Operation] = &[
    offered("PutParameter", "Name Description Value Type Overwrite Tags.Key Tags.Value Tier DataType")
        .refusing("KeyId AllowedPattern Policies"),
    offered("GetParameter", "Name WithDecryption"),
    offered("GetParameters", "Names WithDecryption"),
    offered(
        "GetParametersByPath",
        "Path Recursive WithDecryption MaxResults NextToken ParameterFilters.Key ParameterFilters.Option
         ParameterFilters.Values",
    ),
    offered(
        "DescribeParameters",
        "MaxResults NextToken ParameterFilters.Key ParameterFilters.Option ParameterFilters.Values",
    )
    .refusing("Filters Shared"),
    offered("DeleteParameter", "Name"),
    offered("DeleteParameters", "Names"),
    offered("AddTagsToResource", "ResourceType ResourceId Tags.Key Tags.Value"),
    offered("RemoveTagsFromResource", "ResourceType ResourceId TagKeys"),
    offered("ListTagsForResource", "ResourceType ResourceId"),
];

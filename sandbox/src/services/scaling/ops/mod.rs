//! The Application Auto Scaling operations that are supported, and how each parameter is treated
//! (`crate::operations`).

pub mod activities;
pub mod scheduled_actions;
pub mod tags;
pub mod targets;

use super::errors::INVALID_REQUEST;
use crate::operations::Operation;

const fn operation(name: &'static str, supported: &'static str) -> Operation {
    Operation::supporting(name, INVALID_REQUEST, supported)
}

/// All supported operations.
pub const OPERATIONS: &[Operation] = &[
    operation(
        "RegisterScalableTarget",
        "ServiceNamespace ResourceId ScalableDimension MinCapacity MaxCapacity Tags
         SuspendedState.ScheduledScalingSuspended",
    )
    .without_effect(&[
        ("RoleARN", "AWS always uses the service-linked role for ECS"),
        (
            "SuspendedState.DynamicScalingInSuspended",
            "scaling policies are not supported; the value is returned as it was set",
        ),
        (
            "SuspendedState.DynamicScalingOutSuspended",
            "scaling policies are not supported; the value is returned as it was set",
        ),
    ]),
    operation(
        "DescribeScalableTargets",
        "ServiceNamespace ResourceIds ScalableDimension MaxResults NextToken",
    ),
    operation("DeregisterScalableTarget", "ServiceNamespace ResourceId ScalableDimension"),
    operation(
        "PutScheduledAction",
        "ServiceNamespace Schedule Timezone ScheduledActionName ResourceId ScalableDimension
         ScalableTargetAction.MinCapacity ScalableTargetAction.MaxCapacity",
    )
    .rejecting("StartTime EndTime"),
    operation(
        "DescribeScheduledActions",
        "ServiceNamespace ScheduledActionNames ResourceId ScalableDimension MaxResults NextToken",
    ),
    operation("DeleteScheduledAction", "ServiceNamespace ScheduledActionName ResourceId ScalableDimension"),
    operation(
        "DescribeScalingActivities",
        "ServiceNamespace ResourceId ScalableDimension MaxResults NextToken",
    )
    .rejecting("IncludeNotScaledActivities"),
    operation("TagResource", "ResourceARN Tags"),
    operation("UntagResource", "ResourceARN TagKeys"),
    operation("ListTagsForResource", "ResourceARN"),
];

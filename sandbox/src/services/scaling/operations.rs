//! The Application Auto Scaling operations that are offered, and how each member is treated
//! (`crate::operations`).

use super::REFUSAL;
use crate::operations::Operation;

const fn offered(name: &'static str, honoured: &'static str) -> Operation {
    Operation::honouring(name, REFUSAL, honoured)
}

/// All offered operations.
pub(super) const OPERATIONS: &[Operation] = &[
    offered(
        "RegisterScalableTarget",
        "ServiceNamespace ResourceId ScalableDimension MinCapacity MaxCapacity Tags
         SuspendedState.ScheduledScalingSuspended",
    )
    .idle(&[
        ("RoleARN", "AWS always uses the service-linked role for ECS"),
        (
            "SuspendedState.DynamicScalingInSuspended",
            "scaling policies are not offered; the value is returned as it was set",
        ),
        (
            "SuspendedState.DynamicScalingOutSuspended",
            "scaling policies are not offered; the value is returned as it was set",
        ),
    ]),
    offered("DescribeScalableTargets", "ServiceNamespace ResourceIds ScalableDimension MaxResults NextToken"),
    offered("DeregisterScalableTarget", "ServiceNamespace ResourceId ScalableDimension"),
    offered(
        "PutScheduledAction",
        "ServiceNamespace Schedule Timezone ScheduledActionName ResourceId ScalableDimension
         ScalableTargetAction.MinCapacity ScalableTargetAction.MaxCapacity",
    )
    .refusing("StartTime EndTime"),
    offered(
        "DescribeScheduledActions",
        "ServiceNamespace ScheduledActionNames ResourceId ScalableDimension MaxResults NextToken",
    ),
    offered("DeleteScheduledAction", "ServiceNamespace ScheduledActionName ResourceId ScalableDimension"),
    offered(
        "DescribeScalingActivities",
        "ServiceNamespace ResourceId ScalableDimension MaxResults NextToken",
    )
    .refusing("IncludeNotScaledActivities"),
    offered("TagResource", "ResourceARN Tags"),
    offered("UntagResource", "ResourceARN TagKeys"),
    offered("ListTagsForResource", "ResourceARN"),
];

//! How targets, actions and activities become responses. In: the state. Out: JSON. Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::state::{Action, Activity, DIMENSION, Region, Target};
use crate::parameters::epoch_seconds;

/// `ScalableTarget`.
pub fn target(resource: &str, target: &Target) -> Value {
    json!({
        "ServiceNamespace": "ecs",
        "ResourceId": resource,
        "ScalableDimension": DIMENSION,
        "MinCapacity": target.minimum,
        "MaxCapacity": target.maximum,
        "RoleARN": target.role_arn,
        "CreationTime": epoch_seconds(target.created_at),
        "SuspendedState": {
            "DynamicScalingInSuspended": target.suspended.dynamic_scale_in,
            "DynamicScalingOutSuspended": target.suspended.dynamic_scale_out,
            "ScheduledScalingSuspended": target.suspended.scheduled,
        },
        "ScalableTargetARN": target.arn,
    })
}

/// `ScheduledAction`.
pub fn action(resource: &str, name: &str, action: &Action) -> Value {
    let mut change = json!({});
    for (member, bound) in [("MinCapacity", action.minimum), ("MaxCapacity", action.maximum)] {
        if let Some(bound) = bound {
            change[member] = Value::from(bound);
        }
    }
    let mut view = json!({
        "ScheduledActionName": name,
        "ScheduledActionARN": action.arn,
        "ServiceNamespace": "ecs",
        "Schedule": action.schedule,
        "ResourceId": resource,
        "ScalableDimension": DIMENSION,
        "ScalableTargetAction": change,
        "CreationTime": epoch_seconds(action.created_at),
    });
    if let Some(timezone) = &action.timezone {
        view["Timezone"] = Value::from(timezone.as_str());
    }
    view
}

/// `ScalingActivity`. The message of a failed activity is ours; AWS documents no text.
pub fn activity(activity: &Activity) -> Value {
    let desired = activity.desired;
    let (code, message) = if activity.succeeded {
        (
            "Successful",
            format!("Successfully set desired count to {desired}. Change successfully fulfilled by ecs."),
        )
    } else {
        ("Failed", format!("Failed to set desired count to {desired}. The ECS service is not active."))
    };
    json!({
        "ActivityId": activity.id,
        "ServiceNamespace": "ecs",
        "ResourceId": activity.resource,
        "ScalableDimension": DIMENSION,
        "Description": format!("Setting desired count to {desired}."),
        "Cause": activity.cause,
        "StartTime": epoch_seconds(activity.at),
        "EndTime": epoch_seconds(activity.at),
        "StatusCode": code,
        "StatusMessage": message,
    })
}

/// All regions, for `GET /_sandbox/state`.
pub fn all(regions: &BTreeMap<String, Region>) -> Value {
    let view = |region: &Region| {
        let targets: Vec<Value> = region
            .targets
            .iter()
            .map(|(resource, target)| {
                json!({
                    "resource": resource, "min": target.minimum, "max": target.maximum, "tags": target.tags,
                })
            })
            .collect();
        let actions: Vec<Value> = region
            .actions
            .iter()
            .map(|((resource, name), action)| {
                json!({
                    "resource": resource, "name": name, "schedule": action.schedule, "fired": action.fired,
                })
            })
            .collect();
        json!({"scalableTargets": targets, "scheduledActions": actions})
    };
    let regions: BTreeMap<&String, Value> =
        regions.iter().map(|(name, region)| (name, view(region))).collect();
    json!({ "regions": regions })
}

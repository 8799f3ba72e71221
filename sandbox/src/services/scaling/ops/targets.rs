//! `RegisterScalableTarget`, `DescribeScalableTargets` and `DeregisterScalableTarget`. In: the
//! state and a request. Out: the response. Registering moves the desired count into the bounds.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::call::AwsError;
use crate::services::scaling::request::{Request, capacity};
use crate::services::scaling::state::{ScalingState, Suspended, Target, cluster_and_service};
use crate::services::scaling::{errors, view};

pub fn register_scalable_target(state: &mut ScalingState, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
    let resource = request.resource_id()?;
    let (cluster, service) = cluster_and_service(resource).ok_or_else(|| {
        input.invalid(format!(
            "Unsupported service namespace, resource type or scalable dimension: {resource}"
        ))
    })?;
    let bounds = (capacity(input, "MinCapacity")?, capacity(input, "MaxCapacity")?);
    let tags = input.tag_map("Tags")?;
    let region_name = &request.caller.region;
    let existing = state.region(region_name).targets.get(resource).cloned();
    let (minimum, maximum) = match (bounds, &existing) {
        ((Some(minimum), Some(maximum)), _) => (minimum, maximum),
        ((minimum, maximum), Some(existing)) => {
            (minimum.unwrap_or(existing.minimum), maximum.unwrap_or(existing.maximum))
        }
        _ => return Err(input.invalid(
            "Minimum and maximum capacity are required when registering a scalable target for the first time",
        )),
    };
    if minimum > maximum {
        return Err(input.invalid("Maximum capacity cannot be less than minimum capacity"));
    }
    if existing.is_some() && !tags.is_empty() {
        return Err(input
            .invalid("Tags cannot be specified when updating a scalable target. Use TagResource instead"));
    }
    let account = &request.caller.account;
    let role_arn = format!(
        "arn:aws:iam::{account}:role/aws-service-role/ecs.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_ECSService"
    );
    assume_linked_role(state, &role_arn)?;
    if !request.services.is_visible_to_services(region_name, cluster, service) {
        return Err(input.invalid(format!("ECS service doesn't exist: {resource}")));
    }
    let is_fresh = state.is_fresh_account;
    let mut target = existing.unwrap_or_else(|| {
        let id = uuid::Uuid::new_v4().simple().to_string();
        Target {
            arn: format!(
                "arn:aws:application-autoscaling:{region_name}:{account}:scalable-target/0ec5{}",
                &id[..28]
            ),
            minimum,
            maximum,
            role_arn,
            created_at: request.wall,
            visible_at: visible_at(is_fresh, request),
            suspended: Suspended::default(),
            tags,
        }
    });
    (target.minimum, target.maximum) = (minimum, maximum);
    let suspended = input.nested("SuspendedState")?;
    let flags = [
        ("DynamicScalingInSuspended", &mut target.suspended.dynamic_scale_in),
        ("DynamicScalingOutSuspended", &mut target.suspended.dynamic_scale_out),
        ("ScheduledScalingSuspended", &mut target.suspended.scheduled),
    ];
    for (member, flag) in flags {
        if let Some(is_suspended) = suspended.flag(member)? {
            *flag = is_suspended;
        }
    }
    let cause = format!("capacity bounds were set to {minimum} and {maximum}");
    let activity = target.enforce_bounds(request.services, region_name, resource, cause, request.wall);
    let region = state.region(region_name);
    region.record(activity);
    let response = json!({"ScalableTargetARN": target.arn});
    region.targets.insert(resource.to_owned(), target);
    Ok(response)
}

/// Fails the first call in a new account that needs the service-linked role. That call creates the
/// role ("Service-linked roles for Application Auto Scaling": "created … when you register your
/// first scalable target").
fn assume_linked_role(state: &mut ScalingState, role: &str) -> Result<(), AwsError> {
    if std::mem::replace(&mut state.has_linked_role, true) {
        return Ok(());
    }
    Err(errors::cannot_assume_role(role))
}

/// When the registered target becomes visible to operations that refer to it.
fn visible_at(is_fresh_account: bool, request: Request<'_>) -> Timestamp {
    if is_fresh_account {
        request.wall.saturating_add(request.services.draw_read_lag()).unwrap_or(request.wall)
    } else {
        request.wall
    }
}

pub fn describe_scalable_targets(state: &mut ScalingState, request: Request<'_>) -> Result<Value, AwsError> {
    let requested = request.input.texts("ResourceIds")?;
    request.check_filters(!requested.is_empty())?;
    let targets = state
        .region(&request.caller.region)
        .targets
        .iter()
        .filter(|(resource, _)| requested.is_empty() || requested.contains(&resource.as_str()))
        .map(|(resource, target)| (resource.clone(), view::target(resource, target)));
    request.paged("ScalableTargets", targets)
}

pub fn deregister_scalable_target(state: &mut ScalingState, request: Request<'_>) -> Result<Value, AwsError> {
    let resource = request.resource_id()?;
    let region = state.region(&request.caller.region);
    region.targets.remove(resource).ok_or_else(|| errors::target_not_found(resource))?;
    // "Deregistering a scalable target deletes the scaling policies and scheduled actions that are
    // associated with it."
    region.actions.retain(|(owner, _), _| owner != resource);
    Ok(json!({}))
}

//! A service as `DescribeServices` and related operations return it. In: the service and the
//! request. Out: JSON. Pure.

use serde_json::{Map, Value, json};

use super::tags as tags_view;
use crate::services::ecs::request::Request;
use crate::services::ecs::state::{Counts, Deployment, LaunchKind, Rollout, Service};

fn launch_members(launch: &LaunchKind) -> Map<String, Value> {
    match launch {
        LaunchKind::Fargate => Map::from_iter([("launchType".to_owned(), Value::from("FARGATE"))]),
        LaunchKind::Strategy(items) => {
            Map::from_iter([("capacityProviderStrategy".to_owned(), Value::from(items.clone()))])
        }
    }
}

fn deployment_view(request: Request<'_>, service: &Service, index: usize, deployment: &Deployment) -> Value {
    let Counts { running, pending } = service.counts(&deployment.id, request.now);
    let (rollout, reason) = match deployment.rollout {
        Rollout::InProgress => ("IN_PROGRESS", format!("ECS deployment {} in progress.", deployment.id)),
        Rollout::Completed => ("COMPLETED", format!("ECS deployment {} completed.", deployment.id)),
        Rollout::Failed => ("FAILED", "ECS deployment circuit breaker: tasks failed to start.".to_owned()),
    };
    let mut view = json!({
        "id": deployment.id,
        "status": if index == 0 { "PRIMARY" } else { "ACTIVE" },
        "taskDefinition": deployment.definition.arn,
        "desiredCount": if index == 0 { service.desired } else { 0 },
        "pendingCount": pending,
        "runningCount": running,
        "failedTasks": deployment.failed_tasks,
        "createdAt": request.time(deployment.created_at),
        "updatedAt": request.time(deployment.updated_at),
        "platformVersion": "1.4.0",
        "platformFamily": "Linux",
        "networkConfiguration": service.settings.network,
        "rolloutState": rollout,
        "rolloutStateReason": reason,
    });
    if let Some(members) = view.as_object_mut() {
        members.extend(launch_members(&service.settings.launch));
    }
    view
}

/// `Service`.
pub fn service(request: Request<'_>, service: &Service, tags: bool) -> Value {
    let settings = &service.settings;
    let counts = service.deployments.iter().map(|deployment| service.counts(&deployment.id, request.now));
    let (running, pending) = counts
        .fold((0, 0), |(running, pending), counts| (running + counts.running, pending + counts.pending));
    let account = &request.caller.account;
    let mut view = json!({
        "serviceArn": service.arn,
        "serviceName": service.name,
        "clusterArn": request.arn(&format!("cluster/{}", service.cluster)),
        "loadBalancers": [],
        "serviceRegistries": [],
        "status": service.status.text(),
        "desiredCount": service.desired,
        "runningCount": running,
        "pendingCount": pending,
        "platformVersion": settings.platform_version,
        "platformFamily": "Linux",
        "deploymentConfiguration": settings.deployment_configuration,
        "deployments": service.deployments.iter().enumerate()
            .map(|(index, deployment)| deployment_view(request, service, index, deployment)).collect::<Vec<_>>(),
        "roleArn": format!("arn:aws:iam::{account}:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS"),
        "events": service.events.iter().map(|event| json!({
            "id": event.id, "createdAt": request.time(event.at), "message": event.message,
        })).collect::<Vec<_>>(),
        "createdAt": request.time(service.created_at),
        "placementConstraints": [],
        "placementStrategy": [],
        "networkConfiguration": settings.network,
        "schedulingStrategy": "REPLICA",
        "deploymentController": {"type": "ECS"},
        "createdBy": format!("arn:aws:iam::{account}:user/sandbox"),
        "enableECSManagedTags": settings.managed_tags,
        "propagateTags": settings.propagate_tags,
        "enableExecuteCommand": settings.execute_command,
        "availabilityZoneRebalancing": settings.rebalancing,
    });
    if let Some(members) = view.as_object_mut() {
        members.extend(launch_members(&settings.launch));
        if let Some(primary) = service.primary() {
            members.insert("taskDefinition".to_owned(), Value::from(primary.definition.arn.as_str()));
        }
        if tags {
            members.insert("tags".to_owned(), tags_view(&service.tags));
        }
    }
    view
}

//! How clusters, task definitions, services and tasks become responses. In: the state and a
//! request. Out: JSON. Pure.

mod service;
mod task;
mod task_definition;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::parameters::Tags;
use crate::services::ecs::request::Request;
use crate::services::ecs::state::{DefinitionStatus, EcsCluster, Region, ServiceStatus, TaskStatus};

pub use service::service;
pub use task::{protected_task, task};
pub use task_definition::task_definition;

/// Tags in the lower-case format of ECS.
pub fn tags(tags: &Tags) -> Value {
    tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect()
}

/// `Failure`.
pub fn failure(arn: String, reason: &str) -> Value {
    json!({"arn": arn, "reason": reason})
}

/// `Cluster`.
pub fn cluster(
    request: Request<'_>,
    region: &Region,
    name: &str,
    cluster: &EcsCluster,
    has_tags: bool,
) -> Value {
    let tasks = || region.tasks.values().filter(|task| task.cluster == name && task.should_run());
    let running = tasks().filter(|task| task.status == TaskStatus::Running).count();
    let active = region
        .services
        .values()
        .filter(|service| service.cluster == name && service.status == ServiceStatus::Active)
        .count();
    json!({
        "clusterArn": request.arn(&format!("cluster/{name}")),
        "clusterName": name,
        "status": if cluster.active { "ACTIVE" } else { "INACTIVE" },
        "registeredContainerInstancesCount": 0,
        "runningTasksCount": running,
        "pendingTasksCount": tasks().count() - running,
        "activeServicesCount": active,
        "statistics": [],
        "tags": if has_tags { tags(&cluster.tags) } else { json!([]) },
        "settings": if cluster.settings.is_empty() {
            json!([{"name": "containerInsights", "value": "disabled"}])
        } else {
            json!(cluster.settings)
        },
        "capacityProviders": cluster.capacity_providers,
        "defaultCapacityProviderStrategy": cluster.default_strategy,
    })
}

/// All regions, for `GET /_sandbox/state`.
pub fn all(regions: &BTreeMap<String, Region>) -> Value {
    let regions: BTreeMap<&String, Value> =
        regions.iter().map(|(name, region)| (name, region_view(region))).collect();
    json!({ "regions": regions })
}

fn region_view(region: &Region) -> Value {
    let clusters: Vec<&String> =
        region.clusters.iter().filter(|(_, cluster)| cluster.active).map(|(name, _)| name).collect();
    let definitions: Vec<Value> = region
        .families
        .values()
        .flat_map(|family| family.revisions.values())
        .map(|definition| {
            json!({
                "arn": definition.body.arn,
                "active": definition.status == DefinitionStatus::Active,
                "tags": definition.tags,
            })
        })
        .collect();
    let services: Vec<Value> = region
        .services
        .values()
        .map(|service| {
            json!({
                "name": service.name, "cluster": service.cluster, "status": service.status.text(),
                "desired": service.desired, "tags": service.tags,
            })
        })
        .collect();
    let tasks: Vec<Value> = region
        .tasks
        .values()
        .map(|task| {
            json!({
                "arn": task.arn, "service": task.service.as_ref().map(|(service, _)| service),
                "status": task.status.text(), "running": task.status == TaskStatus::Running,
                "stoppedReason": task.stop.as_ref().map(|stop| &stop.reason),
            })
        })
        .collect();
    json!({"clusters": clusters, "taskDefinitions": definitions, "services": services, "tasks": tasks})
}

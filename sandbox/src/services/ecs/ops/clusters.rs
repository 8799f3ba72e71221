//! Operations on clusters. In: the state and a request. Out: the response. No I/O.

use serde_json::{Value, json};

use crate::call::AwsError;
use crate::services::ecs::errors::{self, client, cluster_not_found};
use crate::services::ecs::request::{Request, is_name};
use crate::services::ecs::state::{EcsCluster, EcsState, ServiceStatus, TaskStatus};
use crate::services::ecs::view::{self, failure};

fn providers(request: Request<'_>) -> Result<Vec<String>, AwsError> {
    let names = request.input.texts("capacityProviders")?;
    if let Some(unknown) = names.iter().find(|name| !matches!(**name, "FARGATE" | "FARGATE_SPOT")) {
        return Err(client(format!(
            "The specified capacity provider '{unknown}' was not found. Specify a valid name or ARN and try again."
        )));
    }
    Ok(names.into_iter().map(str::to_owned).collect())
}

pub fn create_cluster(state: &mut EcsState, request: Request<'_>) -> Result<Value, AwsError> {
    let name = request.input.text("clusterName")?.unwrap_or("default");
    if !is_name(name) {
        return Err(request
            .input
            .invalid("Cluster name can only contain up to 255 letters, numbers, hyphens, and underscores."));
    }
    let tags = request.input.tag_list("tags", "key", "value")?;
    request.check_tag_count(&tags)?;
    let capacity_providers = providers(request)?;
    // Creating an active cluster again returns the existing one.
    let region = state.region(&request.caller.region);
    if !region.clusters.get(name).is_some_and(|cluster| cluster.active) {
        state.assume_linked_role()?;
        let cluster = EcsCluster {
            active: true,
            tags,
            settings: request.input.list("settings")?.to_vec(),
            capacity_providers,
            default_strategy: request.input.list("defaultCapacityProviderStrategy")?.to_vec(),
        };
        state.region(&request.caller.region).clusters.insert(name.to_owned(), cluster);
    }
    let region = state.region(&request.caller.region);
    let cluster = region.clusters.get(name).ok_or_else(cluster_not_found)?;
    Ok(json!({"cluster": view::cluster(request, region, name, cluster, true)}))
}

pub fn put_cluster_capacity_providers(state: &mut EcsState, request: Request<'_>) -> Result<Value, AwsError> {
    let capacity_providers = providers(request)?;
    let strategy = request.input.list("defaultCapacityProviderStrategy")?.to_vec();
    let region = state.region(&request.caller.region);
    let (name, _) = request.cluster(region)?;
    if let Some(cluster) = region.clusters.get_mut(name) {
        cluster.capacity_providers = capacity_providers;
        cluster.default_strategy = strategy;
    }
    let cluster = region.clusters.get(name).ok_or_else(cluster_not_found)?;
    Ok(json!({"cluster": view::cluster(request, region, name, cluster, true)}))
}

pub fn describe_clusters(state: &mut EcsState, request: Request<'_>) -> Result<Value, AwsError> {
    let mut names = request.input.texts("clusters")?;
    if names.len() > 100 {
        return Err(request.input.invalid("Clusters cannot have more than 100 elements."));
    }
    if names.is_empty() {
        names.push("default");
    }
    let tags = request.includes("TAGS")?;
    let region = state.region(&request.caller.region);
    let (mut clusters, mut failures) = (Vec::new(), Vec::new());
    for name in names {
        let name = request.name("cluster", name)?;
        match region.clusters.get(name) {
            Some(cluster) => clusters.push(view::cluster(request, region, name, cluster, tags)),
            None => failures.push(failure(request.arn(&format!("cluster/{name}")), "MISSING")),
        }
    }
    Ok(json!({"clusters": clusters, "failures": failures}))
}

pub fn list_clusters(state: &mut EcsState, request: Request<'_>) -> Result<Value, AwsError> {
    let region = state.region(&request.caller.region);
    let arns = region.clusters.iter().filter(|(_, cluster)| cluster.active).map(|(name, _)| {
        let arn = request.arn(&format!("cluster/{name}"));
        (arn.clone(), Value::from(arn))
    });
    request.paged("clusterArns", 100, 100, arns)
}

pub fn delete_cluster(state: &mut EcsState, request: Request<'_>) -> Result<Value, AwsError> {
    let name = request.name("cluster", request.input.required_text("cluster")?)?;
    let region = state.region(&request.caller.region);
    if !region.clusters.contains_key(name) {
        return Err(cluster_not_found());
    }
    let has_active_services = region
        .services
        .values()
        .any(|service| service.cluster == name && service.status == ServiceStatus::Active);
    if has_active_services {
        return Err(errors::cluster_contains_services());
    }
    if region.tasks.values().any(|task| task.cluster == name && task.status != TaskStatus::Stopped) {
        return Err(errors::cluster_contains_tasks());
    }
    if let Some(cluster) = region.clusters.get_mut(name) {
        cluster.active = false;
    }
    let cluster = region.clusters.get(name).ok_or_else(cluster_not_found)?;
    Ok(json!({"cluster": view::cluster(request, region, name, cluster, true)}))
}

//! Operations on services. In: the state and a request. Out: the response. No I/O. `state::rollout`
//! starts and stops the tasks later.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Value, json};

use super::service_settings::{self, TASKS_PER_SERVICE};
use crate::call::AwsError;
use crate::services::ecs::errors::{client, service_not_active, service_not_found};
use crate::services::ecs::model::ids::deployment_id;
use crate::services::ecs::model::launch_limits::ServiceThrottle;
use crate::services::ecs::model::time::{later, read_lag};
use crate::services::ecs::request::{Request, is_name};
use crate::services::ecs::state::{
    DefinitionBody, DefinitionStatus, Deployment, EcsState, Published, Region, Rollout, Service,
    ServiceStatus,
};
use crate::services::ecs::view::{self, failure};

/// "DescribeServices: up to 10 services in a single operation."
const SERVICES_PER_CALL: usize = 10;
/// "clientToken: up to 36 ASCII characters" (CreateService reference).
const TOKEN_LENGTH: usize = 36;

fn definition(
    region: &Region,
    request: Request<'_>,
    reference: &str,
) -> Result<Arc<DefinitionBody>, AwsError> {
    let reference = request.name("task-definition", reference)?;
    let found = region.definition(reference).ok_or_else(|| client("TaskDefinition not found."))?;
    if found.status != DefinitionStatus::Active {
        return Err(client("TaskDefinition is inactive"));
    }
    Ok(Arc::clone(&found.body))
}

fn desired(request: Request<'_>) -> Result<Option<u32>, AwsError> {
    match request.input.integer("desiredCount")? {
        None => Ok(None),
        Some(count) if (0..=TASKS_PER_SERVICE).contains(&count) => Ok(u32::try_from(count).ok()),
        Some(count) if count < 0 => Err(request.input.invalid("desiredCount cannot be negative.")),
        Some(_) => Err(request.input.invalid(format!("desiredCount cannot be above {TASKS_PER_SERVICE}."))),
    }
}

pub fn create_service(state: &mut EcsState, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
    let name = input.text("serviceName")?.unwrap_or_default();
    if !is_name(name) {
        return Err(input
            .invalid("Service name can only contain up to 255 letters, numbers, hyphens, and underscores."));
    }
    let token = input.text("clientToken")?;
    if token.is_some_and(|token| token.len() > TOKEN_LENGTH || !token.is_ascii()) {
        return Err(input.invalid("clientToken can have up to 36 ASCII characters."));
    }
    let tags = input.tag_list("tags", "key", "value")?;
    request.check_tag_count(&tags)?;
    let deployment_id = deployment_id(&mut state.rng);
    let region = state.region(&request.caller.region);
    let (cluster_name, cluster) = request.cluster(region)?;
    let settings = service_settings::created(request, cluster)?;
    let definition = definition(region, request, input.required_text("taskDefinition")?)?;
    let desired = desired(request)?
        .ok_or_else(|| input.invalid("desiredCount is required when schedulingStrategy is REPLICA."))?;
    let key = (cluster_name.to_owned(), name.to_owned());
    if let Some(existing) = region.services.get(&key) {
        match existing.status {
            // The same request with the same token is a retry, even if the first response was lost.
            ServiceStatus::Active
                if token.is_some()
                    && existing.client_token.as_deref() == token
                    && existing.request == *request.raw =>
            {
                return Ok(json!({"service": view::service(request, existing, true)}));
            }
            ServiceStatus::Active => {
                return Err(input.invalid("Creation of service was not idempotent."));
            }
            ServiceStatus::Draining => {
                return Err(input.invalid("Unable to Start a service that is still Draining."));
            }
            ServiceStatus::Inactive => {}
        }
    }
    state.assume_linked_role()?;
    let lag = state.speed.model_time(read_lag(&mut state.rng));
    let deployment = Deployment {
        id: deployment_id,
        definition,
        created_at: request.now,
        updated_at: request.now,
        rollout: Rollout::InProgress,
        failed_tasks: 0,
    };
    let service = Service {
        arn: request.arn(&format!("service/{cluster_name}/{name}")),
        name: name.to_owned(),
        cluster: cluster_name.to_owned(),
        status: ServiceStatus::Active,
        desired,
        deployments: vec![deployment],
        events: VecDeque::new(),
        created_at: request.now,
        visible_to_services_at: later(request.now, lag),
        inactive_at: None,
        tags,
        client_token: token.map(str::to_owned),
        request: request.raw.clone(),
        settings,
        throttle: ServiceThrottle::default(),
        published: Published::default(),
        steady: false,
    };
    let response = json!({"service": view::service(request, &service, true)});
    state.region(&request.caller.region).services.insert(key, service);
    Ok(response)
}

/// The service that the request's `service` and `cluster` refer to.
fn find_service<'r>(region: &'r mut Region, request: Request<'_>) -> Result<&'r mut Service, AwsError> {
    let (cluster, _) = request.cluster(region)?;
    let name = request.name_within(cluster, "service", request.input.required_text("service")?)?;
    region.services.get_mut(&(cluster.to_owned(), name.to_owned())).ok_or_else(service_not_found)
}

pub fn update_service(state: &mut EcsState, request: Request<'_>) -> Result<Value, AwsError> {
    let new_id = deployment_id(&mut state.rng);
    let region = state.region(&request.caller.region);
    let (cluster_name, cluster) = request.cluster(region)?;
    let cluster = cluster.clone();
    let new_definition = match request.input.text("taskDefinition")? {
        Some(reference) => Some(definition(region, request, reference)?),
        None => None,
    };
    let desired = desired(request)?;
    let service = find_service(region, request)?;
    debug_assert_eq!(service.cluster, cluster_name);
    if service.status != ServiceStatus::Active {
        return Err(service_not_active());
    }
    let (settings, mut redeploys) = service_settings::updated(request, &service.settings, &cluster)?;
    let primary = service.primary().cloned();
    let next = new_definition.or_else(|| primary.as_ref().map(|primary| Arc::clone(&primary.definition)));
    redeploys |= match (&next, &primary) {
        (Some(next), Some(primary)) => next.arn != primary.definition.arn,
        _ => false,
    };
    service.settings = settings;
    if let Some(desired) = desired {
        service.desired = desired;
    }
    service.steady = false;
    service.throttle.clear();
    if let (true, Some(definition)) = (redeploys, next) {
        let deployment = Deployment {
            id: new_id,
            definition,
            created_at: request.now,
            updated_at: request.now,
            rollout: Rollout::InProgress,
            failed_tasks: 0,
        };
        service.deployments.insert(0, deployment);
    } else if let Some(primary) = service.deployments.first_mut() {
        primary.updated_at = request.now;
    }
    Ok(json!({"service": view::service(request, service, true)}))
}

pub fn describe_services(state: &mut EcsState, request: Request<'_>) -> Result<Value, AwsError> {
    let names = request.input.texts("services")?;
    if names.is_empty() {
        return Err(request.input.invalid("Services cannot be empty."));
    }
    if names.len() > SERVICES_PER_CALL {
        return Err(request.input.invalid("Cannot describe more than 10 services."));
    }
    let tags = request.includes("TAGS")?;
    let region = state.region(&request.caller.region);
    let (cluster, _) = request.cluster(region)?;
    let (mut services, mut failures) = (Vec::new(), Vec::new());
    for name in names {
        let name = request.name_within(cluster, "service", name)?;
        match region.services.get(&(cluster.to_owned(), name.to_owned())) {
            Some(service) => services.push(view::service(request, service, tags)),
            None => failures.push(failure(request.arn(&format!("service/{cluster}/{name}")), "MISSING")),
        }
    }
    Ok(json!({"services": services, "failures": failures}))
}

pub fn list_services(state: &mut EcsState, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
    // All services here have these kinds, so a filter for another kind matches none.
    let kinds = [
        ("launchType", "FARGATE"),
        ("schedulingStrategy", "REPLICA"),
        ("resourceManagementType", "CUSTOMER"),
    ];
    let mut matches_kind = true;
    for (member, kind) in kinds {
        matches_kind &= input.text(member)?.is_none_or(|requested| requested == kind);
    }
    let region = state.region(&request.caller.region);
    let (cluster, _) = request.cluster(region)?;
    let arns = region
        .services
        .values()
        .filter(|service| service.cluster == cluster && service.status != ServiceStatus::Inactive)
        .filter(|_| matches_kind)
        .map(|service| (service.arn.clone(), Value::from(service.arn.as_str())));
    // "If this parameter isn't used, then ListServices returns up to 10 results" (ListServices
    // reference).
    request.paged("serviceArns", 100, 10, arns)
}

pub fn delete_service(state: &mut EcsState, request: Request<'_>) -> Result<Value, AwsError> {
    let force = request.input.flag("force")?.unwrap_or(false);
    let service = find_service(state.region(&request.caller.region), request)?;
    match service.status {
        ServiceStatus::Inactive => return Err(service_not_found()),
        ServiceStatus::Active if service.desired > 0 && !force => {
            return Err(request.input.invalid("The service cannot be stopped while it is scaled above 0."));
        }
        ServiceStatus::Active | ServiceStatus::Draining => {}
    }
    service.status = ServiceStatus::Draining;
    service.desired = 0;
    Ok(json!({"service": view::service(request, service, true)}))
}

//! Carries out the decisions of the service scheduler: starts and stops tasks, completes or fails
//! deployments, and ends drained services. In: the state and an instant. Out: the changed state.
//! Pure except for the state's random number generator.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::account::{EcsState, Region};
use super::lifecycle::request_stop;
use super::service::{Deployment, LaunchKind, Rollout, Service, ServiceEvent, ServiceStatus};
use super::task::{Container, Task, TaskStatus};
use crate::services::ecs::model::ids::{hex, uuid};
use crate::services::ecs::model::scheduler::{self, LiveTask, ServiceTarget};
use crate::services::ecs::model::time::{later, read_lag};

/// "The last 100 events" (Service, events).
const EVENTS_KEPT: usize = 100;
/// How long the scheduler waits after a task exceeded the vCPU quota. Our choice.
const QUOTA_RETRY: SignedDuration = SignedDuration::from_secs(30);

/// Schedules every service of the region once.
pub fn step_services(state: &mut EcsState, region_name: &str, now: Timestamp) {
    let names: Vec<(String, String)> = state.region(region_name).services.keys().cloned().collect();
    for name in names {
        schedule(state, region_name, &name, now);
    }
}

/// The live tasks of a service, as the scheduler sees them.
fn live_tasks(region: &Region, service: &Service, now: Timestamp) -> Vec<LiveTask> {
    let primary = service.primary().map(|deployment| deployment.id.as_str());
    let is_member = |task: &&Task| {
        task.should_run()
            && task.cluster == service.cluster
            && task.service.as_ref().is_some_and(|(name, _)| *name == service.name)
    };
    region
        .tasks
        .values()
        .filter(is_member)
        .map(|task| LiveTask {
            id: task.id.clone(),
            primary: task.service.as_ref().map(|(_, deployment)| deployment.as_str()) == primary,
            running: task.status == TaskStatus::Running,
            // Deleting a service stops its tasks even if they are protected.
            protected: service.status == ServiceStatus::Active && task.protected(now),
        })
        .collect()
}

fn schedule(state: &mut EcsState, region_name: &str, name: &(String, String), now: Timestamp) {
    let quota = state.cpu_quota;
    let region = state.region(region_name);
    let Some(service) = region.services.get(name) else { return };
    if service.status == ServiceStatus::Inactive {
        return;
    }
    let live_tasks = live_tasks(region, service, now);
    let used: u64 = region
        .tasks
        .values()
        .filter(|task| task.status != TaskStatus::Stopped)
        .map(|task| u64::from(task.definition.cpu))
        .sum();
    let Region { services, launches, .. } = region;
    let Some(service) = services.get_mut(name) else { return };
    let Some(primary) = service.primary().cloned() else { return };
    let is_failed = primary.rollout == Rollout::Failed;
    let allowed = if is_failed { 0 } else { launches.available(now).min(service.throttle.available(now)) };
    let target = ServiceTarget {
        desired: service.desired,
        maximum_percent: service.settings.maximum_percent,
        minimum_healthy_percent: service.settings.minimum_healthy_percent,
        launches: allowed,
    };
    let mut decision = scheduler::scheduling_decision(target, &live_tasks, &mut state.rng);

    let region = state.region(region_name);
    let Some(service) = region.services.get(name) else { return };
    let allowed_by_quota = (quota.saturating_sub(used) / u64::from(primary.definition.cpu).max(1)) as usize;
    let exceeds_quota = decision.launch > allowed_by_quota;
    let (service_name, strategy) = (service.name.clone(), service.settings.launch.clone());
    decision.launch = decision.launch.min(allowed_by_quota);

    let started: Vec<Task> =
        (0..decision.launch).map(|_| new_task(state, region_name, name, &primary, &strategy, now)).collect();
    let mut messages = Vec::new();
    if exceeds_quota {
        messages.push(format!(
            "(service {service_name}) was unable to place a task. Reason: You've reached the limit on the number of vCPUs you can run concurrently."
        ));
    }
    if !started.is_empty() {
        messages.push(format!(
            "(service {service_name}) has started {} tasks: {}.",
            started.len(),
            task_list(started.iter().map(|task| &task.id))
        ));
    }
    if !decision.stop.is_empty() {
        messages.push(format!(
            "(service {service_name}) has stopped {} running tasks: {}.",
            decision.stop.len(),
            task_list(decision.stop.iter())
        ));
    }
    for task in &decision.stop {
        let reason = format!("Scaling activity initiated by (deployment {})", primary.id);
        request_stop(state, region_name, task, "ServiceSchedulerInitiated", reason, now);
    }
    let region = state.region(region_name);
    if let Some(service) = region.services.get_mut(name) {
        service.throttle.launched(started.len(), now);
        if exceeds_quota {
            service.throttle.wait_until(later(now, QUOTA_RETRY));
        }
    }
    region.launches.take(started.len());
    region.tasks.extend(started.into_iter().map(|task| (task.id.clone(), task)));
    for message in messages {
        add_event(state, region_name, name, message, now);
    }
    update_rollout_state(state, region_name, name, now);
}

fn task_list<'a>(ids: impl Iterator<Item = &'a String>) -> String {
    ids.map(|id| format!("(task {id})")).collect::<Vec<_>>().join(" ")
}

fn new_task(
    state: &mut EcsState,
    region_name: &str,
    (cluster, service_name): &(String, String),
    deployment: &Deployment,
    launch: &LaunchKind,
    now: Timestamp,
) -> Task {
    let (provisioning, total) = scheduler::start_latency(&mut state.rng);
    let lag = state.speed.model_time(read_lag(&mut state.rng));
    let id = hex(&mut state.rng, 32);
    let scope = format!("arn:aws:ecs:{region_name}:{}", state.account);
    let containers = deployment
        .definition
        .containers
        .iter()
        .map(|_| Container {
            runtime_id: format!("{id}-{}", hex(&mut state.rng, 10)),
            arn: format!("{scope}:container/{cluster}/{id}/{}", uuid(&mut state.rng)),
            exit_code: None,
            reason: None,
            alive: false,
        })
        .collect();
    let octets = hex(&mut state.rng, 4);
    let octet = |part: &str| u8::from_str_radix(part, 16).unwrap_or_default();
    let address = format!("10.0.{}.{}", octet(&octets[..2]), octet(&octets[2..]));
    let key = (cluster.clone(), service_name.clone());
    let (settings, service_tags) = state
        .region(region_name)
        .services
        .get(&key)
        .map(|service| (Some(service.settings.clone()), service.tags.clone()))
        .unwrap_or_default();
    let mut tags = match settings.as_ref().map(|settings| settings.propagate_tags.as_str()) {
        Some("SERVICE") => service_tags,
        Some("TASK_DEFINITION") => deployment.definition.tags.clone(),
        _ => BTreeMap::new(),
    };
    if settings.as_ref().is_some_and(|settings| settings.managed_tags) {
        tags.insert("aws:ecs:clusterName".to_owned(), cluster.clone());
        tags.insert("aws:ecs:serviceName".to_owned(), service_name.clone());
    }
    Task {
        arn: format!("{scope}:task/{cluster}/{id}"),
        region: region_name.to_owned(),
        cluster: cluster.clone(),
        service: Some((service_name.clone(), deployment.id.clone())),
        definition: Arc::clone(&deployment.definition),
        capacity_provider: match launch {
            LaunchKind::Fargate => None,
            LaunchKind::Strategy(items) => items
                .iter()
                .max_by_key(|item| item["weight"].as_i64().unwrap_or_default())
                .and_then(|item| item["capacityProvider"].as_str().map(str::to_owned)),
        },
        network: settings.as_ref().map_or(Value::Null, |settings| settings.network.clone()),
        execute_command: settings.is_some_and(|settings| settings.execute_command),
        tags,
        status: TaskStatus::Provisioning,
        created_at: now,
        listed_at: later(now, lag),
        pending_at: later(now, provisioning),
        start_at: later(now, total),
        pull_started_at: None,
        pull_stopped_at: None,
        started_at: None,
        stopping_at: None,
        execution_stopped_at: None,
        stopped_at: None,
        stop: None,
        kill_at: None,
        killed: false,
        deprovisioned_at: None,
        launched: false,
        starting: false,
        protected_until: None,
        containers,
        address,
        version: 1,
        id,
    }
}

/// Adds an event to a service.
pub fn add_event(
    state: &mut EcsState,
    region: &str,
    name: &(String, String),
    message: String,
    now: Timestamp,
) {
    let id = uuid(&mut state.rng);
    if let Some(service) = state.region(region).services.get_mut(name) {
        service.events.push_front(ServiceEvent { id, at: now, message });
        service.events.truncate(EVENTS_KEPT);
    }
}

/// Completes deployments, announces the steady state, and marks a drained service INACTIVE.
fn update_rollout_state(state: &mut EcsState, region_name: &str, name: &(String, String), now: Timestamp) {
    let region = state.region(region_name);
    let Some(service) = region.services.get(name) else { return };
    let live_tasks = live_tasks(region, service, now);
    let has_active_tasks = region.tasks.values().any(|task| {
        task.status < TaskStatus::Deprovisioning
            && task.cluster == service.cluster
            && task.service.as_ref().is_some_and(|(owner, _)| *owner == service.name)
    });
    let Some(service) = region.services.get_mut(name) else { return };
    if service.status == ServiceStatus::Draining {
        if !has_active_tasks {
            service.status = ServiceStatus::Inactive;
            service.inactive_at = Some(now);
            service.deployments.clear();
        }
        return;
    }
    let desired = service.desired as usize;
    let is_steady = live_tasks.len() == desired && live_tasks.iter().all(|task| task.primary && task.running);
    let mut messages = Vec::new();
    if is_steady {
        service.deployments.truncate(1);
        if let Some(primary) = service.deployments.first_mut()
            && primary.rollout == Rollout::InProgress
        {
            primary.rollout = Rollout::Completed;
            primary.updated_at = now;
            messages.push(format!(
                "(service {}) (deployment {}) deployment completed.",
                service.name, primary.id
            ));
        }
        if !service.steady {
            messages.push(format!("(service {}) has reached a steady state.", service.name));
        }
    }
    service.steady = is_steady;
    for message in messages {
        add_event(state, region_name, name, message, now);
    }
}

/// Counts a failed start against its deployment, and fails the deployment if its circuit breaker
/// requires it.
pub fn trip_breaker(service: &mut Service, deployment_id: &str, now: Timestamp) -> Option<String> {
    let threshold = scheduler::breaker_threshold(service.desired);
    let (enabled, rollback) = (service.settings.circuit_breaker, service.settings.rollback);
    let index = service.deployments.iter().position(|deployment| deployment.id == deployment_id)?;
    let deployment = service.deployments.get_mut(index)?;
    deployment.failed_tasks += 1;
    if !enabled || deployment.rollout != Rollout::InProgress || deployment.failed_tasks < threshold {
        return None;
    }
    deployment.rollout = Rollout::Failed;
    deployment.updated_at = now;
    let message = format!(
        "(service {}) (deployment {deployment_id}) deployment failed: tasks failed to start.",
        service.name
    );
    // "Rolls back to the last deployment that completed": that deployment becomes the primary one
    // again.
    let completed =
        service.deployments.iter().position(|deployment| deployment.rollout == Rollout::Completed);
    if let (true, 0, Some(completed)) = (rollback, index, completed) {
        service.deployments.swap(0, completed);
    }
    Some(message)
}

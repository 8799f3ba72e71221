//! The service scheduler at work: its moves become tasks and stops, deployments complete or fail, drained services go. In: the
//! world and an instant. Out: the changed world. Pure but for the world's own random numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::lifecycle::{read_lag, request_stop};
use super::scheduler::{self, Member, ServiceTarget};
use super::world::{
    Container, Deployment, EcsState, LaunchKind, Region, Rollout, Service, ServiceEvent, ServiceStatus, Task,
    TaskStatus, hex, later, uuid,
};

/// "The last 100 events" (Service, events).
const EVENTS_KEPT: usize = 100;
/// When the scheduler tries again after a task found no vCPUs left. Ours.
const QUOTA_RETRY: SignedDuration = SignedDuration::from_secs(30);

/// Looks at every service of the region once.
pub(super) fn step_services(world: &mut EcsState, region_name: &str, now: Timestamp) {
    let names: Vec<(String, String)> = world.region(region_name).services.keys().cloned().collect();
    for name in names {
        schedule(world, region_name, &name, now);
    }
}

/// The live tasks of a service, as the scheduler sees them.
fn members(region: &Region, service: &Service, now: Timestamp) -> Vec<Member> {
    let primary = service.primary().map(|deployment| deployment.id.as_str());
    let ours = |task: &&Task| {
        task.wanted()
            && task.cluster == service.cluster
            && task.service.as_ref().is_some_and(|(name, _)| *name == service.name)
    };
    region
        .tasks
        .values()
        .filter(ours)
        .map(|task| Member {
            id: task.id.clone(),
            primary: task.service.as_ref().map(|(_, deployment)| deployment.as_str()) == primary,
            running: task.status == TaskStatus::Running,
            // A service that is deleted drains whatever its tasks' protection says.
            protected: service.status == ServiceStatus::Active && task.protected(now),
        })
        .collect()
}

fn schedule(world: &mut EcsState, region_name: &str, name: &(String, String), now: Timestamp) {
    let quota = world.cpu_quota;
    let region = world.region(region_name);
    let Some(service) = region.services.get(name) else { return };
    if service.status == ServiceStatus::Inactive {
        return;
    }
    let members = members(region, service, now);
    let used: u64 = region
        .tasks
        .values()
        .filter(|task| task.status != TaskStatus::Stopped)
        .map(|task| u64::from(task.definition.cpu))
        .sum();
    let Region { services, launches, .. } = region;
    let Some(service) = services.get_mut(name) else { return };
    let Some(primary) = service.primary().cloned() else { return };
    let broken = primary.rollout == Rollout::Failed;
    let allowed = if broken { 0 } else { launches.available(now).min(service.backoff.available(now)) };
    let aim = ServiceTarget {
        desired: service.desired,
        maximum_percent: service.settings.maximum_percent,
        minimum_healthy_percent: service.settings.minimum_healthy_percent,
        launches: allowed,
    };
    let mut moves = scheduler::moves(aim, &members, &mut world.rng);

    let region = world.region(region_name);
    let Some(service) = region.services.get(name) else { return };
    let fitting = (quota.saturating_sub(used) / u64::from(primary.definition.cpu).max(1)) as usize;
    let short_of_quota = moves.launch > fitting;
    let (service_name, strategy) = (service.name.clone(), service.settings.launch.clone());
    moves.launch = moves.launch.min(fitting);

    let started: Vec<Task> =
        (0..moves.launch).map(|_| new_task(world, region_name, name, &primary, &strategy, now)).collect();
    let mut news = Vec::new();
    if short_of_quota {
        news.push(format!(
            "(service {service_name}) was unable to place a task. Reason: You've reached the limit on the number of vCPUs you can run concurrently."
        ));
    }
    if !started.is_empty() {
        news.push(format!(
            "(service {service_name}) has started {} tasks: {}.",
            started.len(),
            listed(started.iter().map(|task| &task.id))
        ));
    }
    if !moves.stop.is_empty() {
        news.push(format!(
            "(service {service_name}) has stopped {} running tasks: {}.",
            moves.stop.len(),
            listed(moves.stop.iter())
        ));
    }
    for task in &moves.stop {
        let reason = format!("Scaling activity initiated by (deployment {})", primary.id);
        request_stop(world, region_name, task, "ServiceSchedulerInitiated", reason, now);
    }
    let region = world.region(region_name);
    if let Some(service) = region.services.get_mut(name) {
        service.backoff.launched(started.len(), now);
        if short_of_quota {
            service.backoff.wait_until(later(now, QUOTA_RETRY));
        }
    }
    region.launches.take(started.len());
    region.tasks.extend(started.into_iter().map(|task| (task.id.clone(), task)));
    for message in news {
        announce(world, region_name, name, message, now);
    }
    settle(world, region_name, name, now);
}

fn listed<'a>(ids: impl Iterator<Item = &'a String>) -> String {
    ids.map(|id| format!("(task {id})")).collect::<Vec<_>>().join(" ")
}

fn new_task(
    world: &mut EcsState,
    region_name: &str,
    (cluster, service_name): &(String, String),
    deployment: &Deployment,
    launch: &LaunchKind,
    now: Timestamp,
) -> Task {
    let (provisioning, total) = scheduler::start_latency(&mut world.rng);
    let lag = world.pace.real(read_lag(&mut world.rng));
    let id = hex(&mut world.rng, 32);
    let scope = format!("arn:aws:ecs:{region_name}:{}", world.account);
    let containers = deployment
        .definition
        .containers
        .iter()
        .map(|_| Container {
            runtime_id: format!("{id}-{}", hex(&mut world.rng, 10)),
            arn: format!("{scope}:container/{cluster}/{id}/{}", uuid(&mut world.rng)),
            exit_code: None,
            reason: None,
            alive: false,
        })
        .collect();
    let octets = hex(&mut world.rng, 4);
    let octet = |part: &str| u8::from_str_radix(part, 16).unwrap_or_default();
    let address = format!("10.0.{}.{}", octet(&octets[..2]), octet(&octets[2..]));
    let key = (cluster.clone(), service_name.clone());
    let (settings, service_tags) = world
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
        gone_at: None,
        launched: false,
        starting: false,
        protected_until: None,
        containers,
        address,
        version: 1,
        id,
    }
}

pub(super) fn announce(
    world: &mut EcsState,
    region: &str,
    name: &(String, String),
    message: String,
    now: Timestamp,
) {
    let id = uuid(&mut world.rng);
    if let Some(service) = world.region(region).services.get_mut(name) {
        service.events.push_front(ServiceEvent { id, at: now, message });
        service.events.truncate(EVENTS_KEPT);
    }
}

/// Completes deployments, announces steadiness, and lets a drained service go.
fn settle(world: &mut EcsState, region_name: &str, name: &(String, String), now: Timestamp) {
    let region = world.region(region_name);
    let Some(service) = region.services.get(name) else { return };
    let members = members(region, service, now);
    let lingering = region.tasks.values().any(|task| {
        task.status < TaskStatus::Deprovisioning
            && task.cluster == service.cluster
            && task.service.as_ref().is_some_and(|(owner, _)| *owner == service.name)
    });
    let Some(service) = region.services.get_mut(name) else { return };
    if service.status == ServiceStatus::Draining {
        if !lingering {
            service.status = ServiceStatus::Inactive;
            service.inactive_at = Some(now);
            service.deployments.clear();
        }
        return;
    }
    let desired = service.desired as usize;
    let done = members.len() == desired && members.iter().all(|member| member.primary && member.running);
    let mut news = Vec::new();
    if done {
        service.deployments.truncate(1);
        if let Some(primary) = service.deployments.first_mut()
            && primary.rollout == Rollout::InProgress
        {
            primary.rollout = Rollout::Completed;
            primary.updated_at = now;
            news.push(format!(
                "(service {}) (deployment {}) deployment completed.",
                service.name, primary.id
            ));
        }
        if !service.steady {
            news.push(format!("(service {}) has reached a steady state.", service.name));
        }
    }
    service.steady = done;
    for message in news {
        announce(world, region_name, name, message, now);
    }
}

/// Counts a failed start against its deployment, and ends the deployment where its circuit breaker says so.
pub(super) fn trip_breaker(service: &mut Service, deployment: &str, now: Timestamp) -> Option<String> {
    let threshold = scheduler::breaker_threshold(service.desired);
    let (enabled, rollback) = (service.settings.circuit_breaker, service.settings.rollback);
    let place = service.deployments.iter().position(|held| held.id == deployment)?;
    let held = service.deployments.get_mut(place)?;
    held.failed_tasks += 1;
    if !enabled || held.rollout != Rollout::InProgress || held.failed_tasks < threshold {
        return None;
    }
    held.rollout = Rollout::Failed;
    held.updated_at = now;
    let message = format!(
        "(service {}) (deployment {deployment}) deployment failed: tasks failed to start.",
        service.name
    );
    // "Rolls back to the last deployment that completed": its tasks' deployment becomes the primary one again.
    let completed = service.deployments.iter().position(|held| held.rollout == Rollout::Completed);
    if let (true, 0, Some(completed)) = (rollback, place, completed) {
        service.deployments.swap(0, completed);
    }
    Some(message)
}

//! Time passing over ECS: services are looked at (`rollout`), tasks move through their states. In: the world and an instant.
//! Out: the changed world and what the machine must do for it (start processes, signal them). Pure but for the world's own
//! random numbers.

use jiff::{SignedDuration, Timestamp};

use super::rollout::{self, announce, trip_breaker};
use super::upkeep;
use super::world::{Stop, Task, TaskStatus, World, later, span};

/// Removing the network interface after a task's processes ended. AWS gives no figure; some seconds is what is seen.
const DEPROVISIONING: (SignedDuration, SignedDuration) =
    (SignedDuration::from_secs(4), SignedDuration::from_secs(10));
/// How far reads trail writes, on the callers' clocks ("the ECS API follows an eventual consistency model").
pub(super) const READ_LAG: (SignedDuration, SignedDuration) =
    (SignedDuration::from_millis(100), SignedDuration::from_millis(900));

/// What the machine must do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Start the processes of this task.
    Start { region: String, task: String },
    /// Ask the processes of this task to end.
    Terminate { task: String },
    /// End them.
    Kill { task: String },
}

/// Brings everything up to `now`.
pub(super) fn step(world: &mut World, now: Timestamp) -> Vec<Effect> {
    let mut effects = Vec::new();
    let regions: Vec<String> = world.regions.keys().cloned().collect();
    for region in &regions {
        rollout::step_services(world, region, now);
        step_tasks(world, region, now, &mut effects);
        upkeep::publish(world, region, now);
        upkeep::forget(world, region, now);
    }
    effects
}

/// Marks a task to be stopped; a task that already stops keeps its first reason.
pub(super) fn request_stop(
    world: &mut World,
    region: &str,
    task: &str,
    code: &'static str,
    reason: String,
    now: Timestamp,
) {
    let lag = world.pace.real(span(&mut world.rng, READ_LAG.0, READ_LAG.1));
    if let Some(task) = world.region(region).tasks.get_mut(task)
        && task.stop.is_none()
    {
        task.stop = Some(Stop { code, reason, listed_at: later(now, lag) });
        task.stopping_at = Some(now);
        task.version += 1;
    }
}

fn step_tasks(world: &mut World, region_name: &str, now: Timestamp, effects: &mut Vec<Effect>) {
    let pace = world.pace;
    let World { regions, rng, .. } = world;
    let Some(region) = regions.get_mut(region_name) else { return };
    for task in region.tasks.values_mut() {
        if task.wanted() {
            advance(task, now, effects);
        } else if task.status < TaskStatus::Deprovisioning && !task.starting {
            let alive = task.containers.iter().any(|container| container.alive);
            if !alive {
                task.status = TaskStatus::Deprovisioning;
                task.execution_stopped_at = Some(now);
                task.gone_at = Some(later(now, span(rng, DEPROVISIONING.0, DEPROVISIONING.1)));
                task.version += 1;
            } else if task.status != TaskStatus::Stopping {
                let patience = task.definition.containers.iter().map(|spec| spec.stop_timeout).max();
                task.status = TaskStatus::Stopping;
                task.kill_at = Some(later(now, pace.real(patience.unwrap_or_default())));
                task.version += 1;
                effects.push(Effect::Terminate { task: task.id.clone() });
            } else if !task.killed && task.kill_at.is_some_and(|at| at <= now) {
                task.killed = true;
                effects.push(Effect::Kill { task: task.id.clone() });
            }
        }
        if task.status == TaskStatus::Deprovisioning && task.gone_at.is_some_and(|at| at <= now) {
            task.status = TaskStatus::Stopped;
            task.stopped_at = Some(now);
            task.version += 1;
        }
    }
}

fn advance(task: &mut Task, now: Timestamp, effects: &mut Vec<Effect>) {
    if task.status == TaskStatus::Provisioning && task.pending_at <= now {
        task.status = TaskStatus::Pending;
        task.pull_started_at = Some(task.pending_at);
        task.version += 1;
    }
    if task.status == TaskStatus::Pending && task.start_at <= now && !task.starting {
        task.starting = true;
        effects.push(Effect::Start { region: task.region.clone(), task: task.id.clone() });
    }
}

/// The machine started all processes of a task: their ids, by container.
pub(super) fn started(world: &mut World, region: &str, task_id: &str, pids: &[u32], now: Timestamp) {
    let region = world.region(region);
    let Some(task) = region.tasks.get_mut(task_id) else { return };
    task.starting = false;
    task.status = TaskStatus::Running;
    task.pull_stopped_at = Some(now);
    task.started_at = Some(now);
    task.version += 1;
    for (container, pid) in task.containers.iter_mut().zip(pids) {
        container.pid = Some(*pid);
        container.alive = true;
    }
    let key = task.service.as_ref().map(|(service, _)| (task.cluster.clone(), service.clone()));
    if let Some(service) = key.and_then(|key| region.services.get_mut(&key)) {
        service.backoff.succeeded();
    }
}

/// The machine could not start a task.
pub(super) fn failed_to_start(
    world: &mut World,
    region_name: &str,
    task_id: &str,
    reason: String,
    now: Timestamp,
) {
    let region = world.region(region_name);
    let Some(task) = region.tasks.get_mut(task_id) else { return };
    task.starting = false;
    let (launched_at, owner) = (task.created_at, task.service.clone());
    let cluster = task.cluster.clone();
    for container in &mut task.containers {
        container.reason = Some(reason.clone());
    }
    request_stop(world, region_name, task_id, "TaskFailedToStart", reason, now);
    let Some((service_name, deployment)) = owner else { return };
    let key = (cluster, service_name);
    let Some(service) = world.region(region_name).services.get_mut(&key) else { return };
    let first = service.backoff.failed(launched_at, now);
    let mut news = Vec::new();
    if first && service.backoff.failed_rounds() > 1 {
        news.push(format!(
            "(service {}) is unable to consistently start tasks successfully. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.",
            service.name
        ));
    }
    news.extend(trip_breaker(service, &deployment, now));
    for message in news {
        announce(world, region_name, &key, message, now);
    }
}

/// A container's process ended.
pub(super) fn exited(
    world: &mut World,
    region: &str,
    task_id: &str,
    container: usize,
    exit_code: i32,
    now: Timestamp,
) {
    let Some(task) = world.region(region).tasks.get_mut(task_id) else { return };
    let essential = task.definition.containers.get(container).is_none_or(|spec| spec.essential);
    if let Some(held) = task.containers.get_mut(container) {
        held.alive = false;
        held.exit_code = Some(exit_code);
    }
    task.version += 1;
    let last = task.containers.iter().all(|container| !container.alive);
    if task.wanted() && (essential || last) {
        let reason = "Essential container in task exited".to_owned();
        request_stop(world, region, task_id, "EssentialContainerExited", reason, now);
    }
}

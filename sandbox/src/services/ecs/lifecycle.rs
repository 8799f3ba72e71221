//! Time passing over ECS: services are looked at (`rollout`), tasks move through their states. In: the world, an instant, and
//! what runners report. Out: the changed world and what the runner must do for it. Pure but for the world's own random numbers.

use jiff::{SignedDuration, Timestamp};
use rand_chacha::ChaCha8Rng;

use super::rollout::{self, announce, trip_breaker};
use super::visibility;
use super::world::{EcsState, Region, Stop, Task, TaskStatus, later, span};
use crate::task_runner::{End, LaunchTiming, StartFailure};

/// Removing the network interface after a task's containers ended. AWS gives no figure; some seconds is what is seen.
const DEPROVISIONING: (SignedDuration, SignedDuration) =
    (SignedDuration::from_secs(4), SignedDuration::from_secs(10));
/// How far reads trail writes, on the callers' clocks ("the ECS API follows an eventual consistency model").
const READ_LAG: (SignedDuration, SignedDuration) =
    (SignedDuration::from_millis(100), SignedDuration::from_millis(900));

/// How far a read trails a write this time, on the callers' clocks.
pub(super) fn read_lag(rng: &mut ChaCha8Rng) -> SignedDuration {
    span(rng, READ_LAG.0, READ_LAG.1)
}

/// What the runner must do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Launch this task.
    Start { region: String, task: String },
    /// Ask its containers to end.
    Terminate { task: String },
    /// End them.
    Kill { task: String },
}

/// Brings everything up to `now`.
pub(super) fn step(world: &mut EcsState, now: Timestamp) -> Vec<Effect> {
    let mut effects = Vec::new();
    let regions: Vec<String> = world.regions.keys().cloned().collect();
    for region in &regions {
        rollout::step_services(world, region, now);
        step_tasks(world, region, now, &mut effects);
        visibility::publish(world, region, now);
        visibility::forget(world, region, now);
    }
    effects
}

/// Marks a task to be stopped; a task that already stops keeps its first reason.
pub(super) fn request_stop(
    world: &mut EcsState,
    region: &str,
    task: &str,
    code: &'static str,
    reason: String,
    now: Timestamp,
) {
    let lag = world.pace.real(read_lag(&mut world.rng));
    if let Some(task) = world.region(region).tasks.get_mut(task)
        && task.stop.is_none()
    {
        stop(task, code, reason, lag, now);
    }
}

fn stop(task: &mut Task, code: &'static str, reason: String, lag: SignedDuration, now: Timestamp) {
    task.stop = Some(Stop { code, reason, listed_at: later(now, lag) });
    task.stopping_at = Some(now);
    task.version += 1;
}

fn step_tasks(world: &mut EcsState, region_name: &str, now: Timestamp, effects: &mut Vec<Effect>) {
    let (pace, launch_timing) = (world.pace, world.launch_timing);
    let EcsState { regions, rng, .. } = world;
    let Some(region) = regions.get_mut(region_name) else { return };
    let Region { tasks, services, .. } = region;
    for task in tasks.values_mut() {
        if task.wanted() {
            if advance(task, launch_timing, now, effects)
                && let Some((name, deployment)) = &task.service
                && let Some(service) = services.get_mut(&(task.cluster.clone(), name.clone()))
            {
                service.backoff.succeeded();
                // "A task that reaches a healthy state resets the failure count" (DeploymentCircuitBreaker).
                if service.settings.reset_on_healthy_task.unwrap_or(true)
                    && let Some(deployment) =
                        service.deployments.iter_mut().find(|held| held.id == *deployment)
                {
                    deployment.failed_tasks = 0;
                }
            }
            if has_ended(task) {
                let lag = pace.real(read_lag(rng));
                let reason = "Essential container in task exited".to_owned();
                stop(task, "EssentialContainerExited", reason, lag, now);
            }
        } else if task.status < TaskStatus::Deprovisioning {
            // A launch whose outcome is unknown may still come to run: it is called off like one that does.
            let busy = task.starting || task.containers.iter().any(|container| container.alive);
            if !busy {
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

/// SchedulingDecision a task that is meant to run through its start. Returns whether it came to run.
fn advance(task: &mut Task, launch_timing: LaunchTiming, now: Timestamp, effects: &mut Vec<Effect>) -> bool {
    if task.status == TaskStatus::Provisioning && task.pending_at <= now {
        task.status = TaskStatus::Pending;
        task.pull_started_at = Some(task.pending_at);
        task.version += 1;
    }
    if task.status != TaskStatus::Pending {
        return false;
    }
    let handed_over_at = match launch_timing {
        LaunchTiming::AtStart => task.start_at,
        LaunchTiming::AtPull => task.pending_at,
    };
    if handed_over_at <= now && !task.launched {
        task.launched = true;
        task.starting = true;
        effects.push(Effect::Start { region: task.region.clone(), task: task.id.clone() });
    }
    // Running needs both: the modelled latency is over, and the runner has started it.
    if task.pull_stopped_at.is_none() || task.start_at > now {
        return false;
    }
    task.status = TaskStatus::Running;
    task.started_at = Some(now);
    task.version += 1;
    true
}

/// Whether a running task is over because of what its containers did.
fn has_ended(task: &Task) -> bool {
    let mut held = task.definition.containers.iter().zip(&task.containers);
    task.status == TaskStatus::Running
        && (held.any(|(spec, container)| spec.essential && !container.alive)
            || task.containers.iter().all(|container| !container.alive))
}

/// The runner started all containers of a task. It counts as running once the modelled latency is over, too.
pub(super) fn started(world: &mut EcsState, region: &str, task_id: &str, now: Timestamp) {
    let Some(task) = world.region(region).tasks.get_mut(task_id) else { return };
    task.starting = false;
    task.pull_stopped_at = Some(now);
    for container in &mut task.containers {
        container.alive = true;
    }
}

/// The runner called a launch off as it was told; nothing of it ran or is left.
pub(super) fn withdrawn(world: &mut EcsState, region: &str, task_id: &str) {
    if let Some(task) = world.region(region).tasks.get_mut(task_id) {
        task.starting = false;
    }
}

/// The runner could not start a task.
pub(super) fn failed_to_start(
    world: &mut EcsState,
    region_name: &str,
    task_id: &str,
    StartFailure { reason, container }: StartFailure,
    now: Timestamp,
) {
    let region = world.region(region_name);
    let Some(task) = region.tasks.get_mut(task_id) else { return };
    task.starting = false;
    if !task.wanted() {
        // It was called off meanwhile: no failure of its service.
        return;
    }
    let (launched_at, owner) = (task.created_at, task.service.clone());
    let cluster = task.cluster.clone();
    if let Some(held) = container.and_then(|place| task.containers.get_mut(place)) {
        held.reason = Some(reason.clone());
    }
    request_stop(world, region_name, task_id, "TaskFailedToStart", reason.clone(), now);
    let Some((service_name, deployment)) = owner else { return };
    let key = (cluster, service_name);
    let Some(service) = world.region(region_name).services.get_mut(&key) else { return };
    let first = service.backoff.failed(launched_at, now);
    let mut news = Vec::new();
    if first {
        news.push(format!("(service {}) was unable to place a task. Reason: {reason}.", service.name));
    }
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

/// A container ended.
pub(super) fn exited(world: &mut EcsState, region: &str, task_id: &str, container: usize, end: End) {
    let Some(task) = world.region(region).tasks.get_mut(task_id) else { return };
    if let Some(held) = task.containers.get_mut(container) {
        held.alive = false;
        held.exit_code = end.code;
        held.reason = end.reason;
    }
    task.version += 1;
}

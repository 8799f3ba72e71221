//! Advances ECS in time: schedules services (`rollout`) and moves tasks through their states. In:
//! the state, an instant, and the runners' reports. Out: the changed state and what the runner must
//! do. Pure except for the state's random number generator.

use jiff::{SignedDuration, Timestamp};
use rand_chacha::ChaCha8Rng;

use super::rollout::{self, add_event, trip_breaker};
use super::state::{EcsState, Region, Stop, Task, TaskStatus, later, span};
use super::visibility;
use crate::task_runner::{ContainerExit, LaunchTiming, StartFailure};

/// The time to remove the network interface after a task's containers ended. AWS publishes no
/// figure; some seconds are typical.
const DEPROVISIONING: (SignedDuration, SignedDuration) =
    (SignedDuration::from_secs(4), SignedDuration::from_secs(10));
/// The read-after-write lag, in real time ("the ECS API follows an eventual consistency model").
const READ_LAG: (SignedDuration, SignedDuration) =
    (SignedDuration::from_millis(100), SignedDuration::from_millis(900));

/// Draws a read-after-write lag, in real time.
pub(super) fn read_lag(rng: &mut ChaCha8Rng) -> SignedDuration {
    span(rng, READ_LAG.0, READ_LAG.1)
}

/// An action for the runner.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Launch this task.
    Start { region: String, task: String },
    /// Send SIGTERM to its containers.
    Terminate { task: String },
    /// Send SIGKILL to them.
    Kill { task: String },
}

/// Advances all regions to `now`.
pub(super) fn step(state: &mut EcsState, now: Timestamp) -> Vec<Effect> {
    let mut effects = Vec::new();
    let regions: Vec<String> = state.regions.keys().cloned().collect();
    for region in &regions {
        rollout::step_services(state, region, now);
        step_tasks(state, region, now, &mut effects);
        visibility::publish_counts(state, region, now);
        visibility::collect_garbage(state, region, now);
    }
    effects
}

/// Marks a task to be stopped. A task that is already stopping keeps its first reason.
pub(super) fn request_stop(
    state: &mut EcsState,
    region: &str,
    task: &str,
    code: &'static str,
    reason: String,
    now: Timestamp,
) {
    let lag = state.pace.real(read_lag(&mut state.rng));
    if let Some(task) = state.region(region).tasks.get_mut(task)
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

fn step_tasks(state: &mut EcsState, region_name: &str, now: Timestamp, effects: &mut Vec<Effect>) {
    let (pace, launch_timing) = (state.pace, state.launch_timing);
    let EcsState { regions, rng, .. } = state;
    let Some(region) = regions.get_mut(region_name) else { return };
    let Region { tasks, services, .. } = region;
    for task in tasks.values_mut() {
        if task.should_run() {
            if advance(task, launch_timing, now, effects)
                && let Some((name, deployment)) = &task.service
                && let Some(service) = services.get_mut(&(task.cluster.clone(), name.clone()))
            {
                service.backoff.succeeded();
                // "A task that reaches a healthy state resets the failure count"
                // (DeploymentCircuitBreaker).
                if service.settings.reset_on_healthy_task.unwrap_or(true)
                    && let Some(deployment) =
                        service.deployments.iter_mut().find(|candidate| candidate.id == *deployment)
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
            // A launch in progress may still succeed, so it is stopped like a running task.
            let is_active = task.starting || task.containers.iter().any(|container| container.alive);
            if !is_active {
                task.status = TaskStatus::Deprovisioning;
                task.execution_stopped_at = Some(now);
                task.deprovisioned_at = Some(later(now, span(rng, DEPROVISIONING.0, DEPROVISIONING.1)));
                task.version += 1;
            } else if task.status != TaskStatus::Stopping {
                let stop_timeout = task.definition.containers.iter().map(|spec| spec.stop_timeout).max();
                task.status = TaskStatus::Stopping;
                task.kill_at = Some(later(now, pace.real(stop_timeout.unwrap_or_default())));
                task.version += 1;
                effects.push(Effect::Terminate { task: task.id.clone() });
            } else if !task.killed && task.kill_at.is_some_and(|at| at <= now) {
                task.killed = true;
                effects.push(Effect::Kill { task: task.id.clone() });
            }
        }
        if task.status == TaskStatus::Deprovisioning && task.deprovisioned_at.is_some_and(|at| at <= now) {
            task.status = TaskStatus::Stopped;
            task.stopped_at = Some(now);
            task.version += 1;
        }
    }
}

/// Advances the start of a task that should run. Returns whether it reached RUNNING.
fn advance(task: &mut Task, launch_timing: LaunchTiming, now: Timestamp, effects: &mut Vec<Effect>) -> bool {
    if task.status == TaskStatus::Provisioning && task.pending_at <= now {
        task.status = TaskStatus::Pending;
        task.pull_started_at = Some(task.pending_at);
        task.version += 1;
    }
    if task.status != TaskStatus::Pending {
        return false;
    }
    let launch_at = match launch_timing {
        LaunchTiming::AtStart => task.start_at,
        LaunchTiming::AtPull => task.pending_at,
    };
    if launch_at <= now && !task.launched {
        task.launched = true;
        task.starting = true;
        effects.push(Effect::Start { region: task.region.clone(), task: task.id.clone() });
    }
    // RUNNING needs both: the modelled latency is over, and the runner has started the task.
    if task.pull_stopped_at.is_none() || task.start_at > now {
        return false;
    }
    task.status = TaskStatus::Running;
    task.started_at = Some(now);
    task.version += 1;
    true
}

/// Whether a running task has ended: an essential container has, or all have.
fn has_ended(task: &Task) -> bool {
    let mut containers = task.definition.containers.iter().zip(&task.containers);
    task.status == TaskStatus::Running
        && (containers.any(|(spec, container)| spec.essential && !container.alive)
            || task.containers.iter().all(|container| !container.alive))
}

/// Records that the runner started all containers of a task. The task is RUNNING once the modelled
/// latency is over as well.
pub(super) fn started(state: &mut EcsState, region: &str, task_id: &str, now: Timestamp) {
    let Some(task) = state.region(region).tasks.get_mut(task_id) else { return };
    task.starting = false;
    task.pull_stopped_at = Some(now);
    for container in &mut task.containers {
        container.alive = true;
    }
}

/// Records that the runner cancelled a launch; nothing of it ran or is left.
pub(super) fn cancelled(state: &mut EcsState, region: &str, task_id: &str) {
    if let Some(task) = state.region(region).tasks.get_mut(task_id) {
        task.starting = false;
    }
}

/// Records that the runner could not start a task.
pub(super) fn failed_to_start(
    state: &mut EcsState,
    region_name: &str,
    task_id: &str,
    StartFailure { reason, container }: StartFailure,
    now: Timestamp,
) {
    let region = state.region(region_name);
    let Some(task) = region.tasks.get_mut(task_id) else { return };
    task.starting = false;
    if !task.should_run() {
        // The task was stopped in the meantime, so this is not a failure of its service.
        return;
    }
    let (launched_at, owner) = (task.created_at, task.service.clone());
    let cluster = task.cluster.clone();
    if let Some(container) = container.and_then(|index| task.containers.get_mut(index)) {
        container.reason = Some(reason.clone());
    }
    request_stop(state, region_name, task_id, "TaskFailedToStart", reason.clone(), now);
    let Some((service_name, deployment)) = owner else { return };
    let key = (cluster, service_name);
    let Some(service) = state.region(region_name).services.get_mut(&key) else { return };
    let is_first = service.backoff.failed(launched_at, now);
    let mut messages = Vec::new();
    if is_first {
        messages.push(format!("(service {}) was unable to place a task. Reason: {reason}.", service.name));
    }
    if is_first && service.backoff.failed_rounds() > 1 {
        messages.push(format!(
            "(service {}) is unable to consistently start tasks successfully. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.",
            service.name
        ));
    }
    messages.extend(trip_breaker(service, &deployment, now));
    for message in messages {
        add_event(state, region_name, &key, message, now);
    }
}

/// Records that a container ended.
pub(super) fn exited(
    state: &mut EcsState,
    region: &str,
    task_id: &str,
    container: usize,
    exit: ContainerExit,
) {
    let Some(task) = state.region(region).tasks.get_mut(task_id) else { return };
    if let Some(container) = task.containers.get_mut(container) {
        container.alive = false;
        container.exit_code = exit.code;
        container.reason = exit.reason;
    }
    task.version += 1;
}

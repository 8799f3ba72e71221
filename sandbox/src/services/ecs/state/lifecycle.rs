//! The states of a task over time: from provisioning to the removal of its network interface. In:
//! the state and an instant. Out: the changed state and what the runner must do. Pure except for
//! the state's random number generator.

use jiff::{SignedDuration, Timestamp};

use super::account::{EcsState, Region};
use super::task::{Stop, Task, TaskStatus};
use crate::services::ecs::model::time::{later, read_lag, span};
use crate::task_runner::LaunchTiming;

/// The time to remove the network interface after a task's containers ended. AWS publishes no
/// figure; some seconds are typical.
const DEPROVISIONING: (SignedDuration, SignedDuration) =
    (SignedDuration::from_secs(4), SignedDuration::from_secs(10));

/// An action for the runner.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// Launch this task.
    Start { region: String, task: String },
    /// Send SIGTERM to its containers.
    Terminate { task: String },
    /// Send SIGKILL to them.
    Kill { task: String },
}

/// Marks a task to be stopped. A task that is already stopping keeps its first reason.
pub fn request_stop(
    state: &mut EcsState,
    region: &str,
    task: &str,
    code: &'static str,
    reason: String,
    now: Timestamp,
) {
    let lag = state.speed.model_time(read_lag(&mut state.rng));
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

/// Moves the tasks of a region through their states.
pub fn step_tasks(state: &mut EcsState, region_name: &str, now: Timestamp, effects: &mut Vec<Effect>) {
    let (speed, launch_timing) = (state.speed, state.launch_timing);
    let EcsState { regions, rng, .. } = state;
    let Some(region) = regions.get_mut(region_name) else { return };
    let Region { tasks, services, .. } = region;
    for task in tasks.values_mut() {
        if task.should_run() {
            if advance(task, launch_timing, now, effects)
                && let Some((name, deployment)) = &task.service
                && let Some(service) = services.get_mut(&(task.cluster.clone(), name.clone()))
            {
                service.throttle.succeeded();
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
                let lag = speed.model_time(read_lag(rng));
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
                task.kill_at = Some(later(now, speed.model_time(stop_timeout.unwrap_or_default())));
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

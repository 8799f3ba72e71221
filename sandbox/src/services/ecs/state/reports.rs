//! What the runner's reports change. In: the state and a report. Out: the changed state. Pure
//! except for the state's random number generator.

use jiff::Timestamp;

use super::account::EcsState;
use super::lifecycle::request_stop;
use super::rollout::{add_event, trip_breaker};
use crate::task_runner::{ContainerExit, StartFailure, TaskReport};

/// Records a report about a task that still exists.
pub fn record(state: &mut EcsState, report: TaskReport, now: Timestamp) {
    let region = state.regions.iter().find(|(_, region)| region.tasks.contains_key(report.task()));
    let Some(region) = region.map(|(name, _)| name.clone()) else { return };
    match report {
        TaskReport::Started { task } => started(state, &region, &task, now),
        TaskReport::FailedToStart { task, failure } => {
            failed_to_start(state, &region, &task, failure, now);
        }
        TaskReport::Cancelled { task } => cancelled(state, &region, &task),
        TaskReport::Exited { task, container, exit } => exited(state, &region, &task, container, exit),
    }
}

/// Records that the runner started all containers of a task. The task is RUNNING once the modelled
/// latency is over as well.
pub fn started(state: &mut EcsState, region: &str, task_id: &str, now: Timestamp) {
    let Some(task) = state.region(region).tasks.get_mut(task_id) else { return };
    task.starting = false;
    task.pull_stopped_at = Some(now);
    for container in &mut task.containers {
        container.alive = true;
    }
}

/// Records that the runner cancelled a launch; nothing of it ran or is left.
pub fn cancelled(state: &mut EcsState, region: &str, task_id: &str) {
    if let Some(task) = state.region(region).tasks.get_mut(task_id) {
        task.starting = false;
    }
}

/// Records that the runner could not start a task.
pub fn failed_to_start(
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
    let is_first = service.throttle.failed(launched_at, now);
    let mut messages = Vec::new();
    if is_first {
        messages.push(format!("(service {}) was unable to place a task. Reason: {reason}.", service.name));
    }
    if is_first && service.throttle.failed_rounds() > 1 {
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
pub fn exited(state: &mut EcsState, region: &str, task_id: &str, container: usize, exit: ContainerExit) {
    let Some(task) = state.region(region).tasks.get_mut(task_id) else { return };
    if let Some(container) = task.containers.get_mut(container) {
        container.alive = false;
        container.exit_code = exit.code;
        container.reason = exit.reason;
    }
    task.version += 1;
}

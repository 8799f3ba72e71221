//! What a Pod's status means for its task. In: a Pod from the API server. Out: which containers run
//! or ended, whether the task has started, and why it cannot start, in ECS's words. Pure.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, Pod};

use crate::task_runner::{ContainerExit, StartFailure};

/// The state of a Pod, for its task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PodView {
    /// All containers have been started, whether or not they still run.
    pub started: bool,
    /// Why it will not start.
    pub failure: Option<StartFailure>,
    /// Why no node can run it, so far.
    pub unschedulable: Option<String>,
    /// In the order of the task definition.
    pub containers: Vec<ContainerView>,
}

/// The state of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ContainerView {
    Waiting,
    Running,
    Ended(ContainerExit),
}

impl PodView {
    /// Whether any container is running.
    pub fn is_running(&self) -> bool {
        self.containers.contains(&ContainerView::Running)
    }
}

/// Converts the Pod's status. `names` are the containers.
pub(super) fn pod_view(pod: &Pod, names: &[String]) -> PodView {
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
    let statuses = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let state_of = |name: &String| {
        statuses
            .iter()
            .find(|container| container.name == *name)
            .and_then(|container| container.state.clone())
            .unwrap_or_default()
    };
    let states: Vec<ContainerState> = names.iter().map(state_of).collect();
    let mut containers: Vec<ContainerView> = states.iter().map(container_view).collect();
    let started = !containers.contains(&ContainerView::Waiting) && !states.iter().any(never_ran);
    let mut failure = states.iter().enumerate().find_map(|(index, state)| {
        start_failure(state).map(|reason| StartFailure { reason, container: Some(index) })
    });
    if phase == "Failed" && failure.is_none() {
        // The Pod was evicted, rejected by its node, or lost with it. Its status will not change,
        // so a container that it does not report as ended counts as ended.
        let why = status.and_then(|status| status.message.clone().or_else(|| status.reason.clone()));
        let why = why.unwrap_or_else(|| "the Pod failed".to_owned());
        for container in containers.iter_mut().filter(|container| **container == ContainerView::Waiting) {
            *container = ContainerView::Ended(ContainerExit { code: None, reason: Some(why.clone()) });
        }
        if !started && statuses.iter().all(|container| !has_run(container.state.as_ref())) {
            failure = Some(StartFailure::of_task(format!(
                "Capacity is unavailable at this time. Please try again later or in a different availability zone ({why})"
            )));
        }
    }
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let unschedulable = conditions
        .iter()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
        .map(|condition| condition.message.clone().or_else(|| condition.reason.clone()).unwrap_or_default());
    PodView {
        started: started || (phase == "Failed" && failure.is_none()),
        failure,
        unschedulable,
        containers,
    }
}

fn container_view(state: &ContainerState) -> ContainerView {
    match state {
        ContainerState { terminated: Some(terminated), .. } => ContainerView::Ended(end(terminated)),
        ContainerState { running: Some(_), .. } => ContainerView::Running,
        _ => ContainerView::Waiting,
    }
}

fn has_run(state: Option<&ContainerState>) -> bool {
    state.is_some_and(|state| state.running.is_some() || (state.terminated.is_some() && !never_ran(state)))
}

/// Whether the container's process never started, by the reasons of kubelet and the container
/// runtimes.
fn never_ran(state: &ContainerState) -> bool {
    state.terminated.as_ref().is_some_and(|terminated| {
        matches!(terminated.reason.as_deref(), Some("StartError" | "ContainerCannotRun"))
    })
}

fn end(terminated: &ContainerStateTerminated) -> ContainerExit {
    let reason = match terminated.reason.as_deref() {
        // "Stopped tasks error messages", OutOfMemoryError.
        Some("OOMKilled") => Some("OutOfMemoryError: Container killed due to memory usage".to_owned()),
        Some("ContainerStatusUnknown") => terminated.message.clone(),
        _ => None,
    };
    ContainerExit { code: Some(terminated.exit_code), reason }
}

/// Why a container will not start. The reasons are kubelet's; ECS's messages are from "Stopped
/// tasks error messages".
fn start_failure(state: &ContainerState) -> Option<String> {
    if let Some(terminated) = state.terminated.as_ref().filter(|_| never_ran(state)) {
        let message = terminated.message.clone().unwrap_or_default();
        return Some(format!("CannotStartContainerError: {message}"));
    }
    let waiting = state.waiting.as_ref()?;
    let message = waiting.message.as_deref().unwrap_or_default();
    match waiting.reason.as_deref()? {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ImageInspectError"
        | "ErrImageNeverPull"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => {
            // "Back-off pulling image …: ErrImagePull: WHY"
            let why = message.split_once("ErrImagePull: ").map_or(message, |(_, why)| why);
            Some(format!("CannotPullContainerError: pull image manifest has been retried 1 time(s): {why}"))
        }
        "CreateContainerConfigError" | "CreateContainerError" | "PreCreateHookError" => {
            Some(format!("CannotCreateContainerError: {message}"))
        }
        "RunContainerError" | "PostStartHookError" | "CrashLoopBackOff" => {
            Some(format!("CannotStartContainerError: {message}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn view_of(phase: &str, states: &[Value]) -> PodView {
        view_with(json!({"phase": phase}), states)
    }

    fn view_with(mut status: Value, states: &[Value]) -> PodView {
        let names = ["main", "side"].map(str::to_owned);
        let statuses: Vec<Value> = states
            .iter()
            .zip(&names)
            .map(|(state, name)| {
                json!({"name": name, "state": state, "image": "i", "imageID": "", "ready": false, "restartCount": 0})
            })
            .collect();
        status["containerStatuses"] = Value::from(statuses);
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).unwrap();
        pod_view(&pod, &names[..states.len().max(1)])
    }

    fn waiting(reason: &str, message: &str) -> Value {
        json!({"waiting": {"reason": reason, "message": message}})
    }

    fn ended(code: i32, reason: &str) -> Value {
        json!({"terminated": {"exitCode": code, "reason": reason, "message": "why"}})
    }

    fn end(code: i32) -> ContainerView {
        ContainerView::Ended(ContainerExit { code: Some(code), reason: None })
    }

    #[test]
    fn a_task_has_started_when_all_its_containers_have() {
        let running = json!({"running": {}});
        let views = [
            (view_of("Pending", &[]), false, vec![ContainerView::Waiting]),
            (view_of("Pending", &[waiting("ContainerCreating", "")]), false, vec![ContainerView::Waiting]),
            (view_of("Running", std::slice::from_ref(&running)), true, vec![ContainerView::Running]),
            (
                view_of("Running", &[running.clone(), waiting("ContainerCreating", "")]),
                false,
                vec![ContainerView::Running, ContainerView::Waiting],
            ),
            (
                view_of("Running", &[running, ended(0, "Completed")]),
                true,
                vec![ContainerView::Running, end(0)],
            ),
            (view_of("Succeeded", &[ended(0, "Completed")]), true, vec![end(0)]),
            (view_of("Failed", &[ended(143, "Error")]), true, vec![end(143)]),
        ];
        for (view, started, containers) in views {
            assert_eq!(view, PodView { started, containers, ..PodView::default() });
        }
    }

    #[test]
    fn a_container_out_of_memory_has_ecs_reason() {
        let reason = Some("OutOfMemoryError: Container killed due to memory usage".to_owned());
        let expected = vec![ContainerView::Ended(ContainerExit { code: Some(137), reason })];
        assert_eq!(view_of("Failed", &[ended(137, "OOMKilled")]).containers, expected);
    }

    #[test]
    fn start_failures_have_ecs_messages() {
        let pull = "CannotPullContainerError: pull image manifest has been retried 1 time(s): not found";
        let cases = [
            (waiting("ErrImagePull", "not found"), Some(pull)),
            (
                waiting("ImagePullBackOff", "Back-off pulling image \"i\": ErrImagePull: not found"),
                Some(pull),
            ),
            (waiting("InvalidImageName", "not found"), Some(pull)),
            (
                waiting("CreateContainerConfigError", "image will run as root"),
                Some("CannotCreateContainerError: image will run as root"),
            ),
            (waiting("RunContainerError", "no such file"), Some("CannotStartContainerError: no such file")),
            (ended(128, "StartError"), Some("CannotStartContainerError: why")),
            (waiting("ContainerCreating", ""), None),
            (waiting("PodInitializing", ""), None),
            (ended(1, "Error"), None),
        ];
        for (state, expected) in cases {
            let view = view_of("Pending", std::slice::from_ref(&state));
            let failure =
                expected.map(|reason| StartFailure { reason: reason.to_owned(), container: Some(0) });
            assert_eq!(view.failure, failure, "{state}");
            assert!(expected.is_none() || !view.started, "{state}");
            let second = view_of("Pending", &[json!({"running": {}}), state.clone()]);
            assert_eq!(second.failure.and_then(|failure| failure.container), expected.map(|_| 1), "{state}");
        }
    }

    #[test]
    fn a_rejected_pod_lacks_capacity_and_an_evicted_one_has_ended() {
        let rejected =
            view_with(json!({"phase": "Failed", "reason": "OutOfmemory", "message": "no room"}), &[]);
        assert!(!rejected.started);
        assert_eq!(
            rejected.failure,
            Some(StartFailure::of_task(
                "Capacity is unavailable at this time. Please try again later or in a different availability zone (no room)"
            ))
        );
        let unknown = json!({"waiting": {"reason": "ContainerStatusUnknown"}});
        let completed = json!({"terminated": {"exitCode": 0, "reason": "Completed"}});
        let evicted = view_with(
            json!({"phase": "Failed", "message": "the node was low on memory"}),
            &[unknown, completed],
        );
        assert_eq!(evicted.failure, None);
        assert!(evicted.started);
        let lost = ContainerView::Ended(ContainerExit {
            code: None,
            reason: Some("the node was low on memory".into()),
        });
        assert_eq!(evicted.containers, [lost, end(0)]);
    }

    #[test]
    fn an_unschedulable_pod_has_the_reason() {
        let condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"});
        let view = view_with(json!({"phase": "Pending", "conditions": [condition]}), &[]);
        assert_eq!((view.unschedulable.as_deref(), view.failure), (Some("0/1 nodes"), None));
    }
}

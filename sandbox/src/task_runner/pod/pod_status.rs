//! What a Pod's status means for its task. In: a Pod as the API server has it. Out: which containers run or ended, whether the task
//! has started, why it cannot start, in ECS's words. Pure.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, Pod};

use crate::task_runner::{End, StartFailure};

/// A Pod as its task sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PodView {
    /// All containers have been started, whether or not they still run.
    pub started: bool,
    /// Why it will not start.
    pub failure: Option<StartFailure>,
    /// Why no node takes it, so far.
    pub unschedulable: Option<String>,
    /// In the order of the task definition.
    pub containers: Vec<ContainerView>,
}

/// One container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ContainerView {
    Waiting,
    Running,
    Ended(End),
}

impl PodView {
    /// Whether a container runs.
    pub fn is_running(&self) -> bool {
        self.containers.contains(&ContainerView::Running)
    }
}

/// What the Pod's status says about the containers of these names.
pub(super) fn sight(pod: &Pod, names: &[String]) -> PodView {
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
    let statuses = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let state_of = |name: &String| {
        statuses
            .iter()
            .find(|held| held.name == *name)
            .and_then(|held| held.state.clone())
            .unwrap_or_default()
    };
    let states: Vec<ContainerState> = names.iter().map(state_of).collect();
    let mut containers: Vec<ContainerView> = states.iter().map(held).collect();
    let started = !containers.contains(&ContainerView::Waiting) && !states.iter().any(never_ran);
    let mut failure = states.iter().enumerate().find_map(|(place, state)| {
        refusal(state).map(|reason| StartFailure { reason, container: Some(place) })
    });
    if phase == "Failed" && failure.is_none() {
        // Evicted, rejected by its node, or lost with it: what the status does not list as ended will never be.
        let why = status.and_then(|status| status.message.clone().or_else(|| status.reason.clone()));
        let why = why.unwrap_or_else(|| "the Pod failed".to_owned());
        for container in containers.iter_mut().filter(|container| **container == ContainerView::Waiting) {
            *container = ContainerView::Ended(End { code: None, reason: Some(why.clone()) });
        }
        if !started && statuses.iter().all(|held| !has_run(held.state.as_ref())) {
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

fn held(state: &ContainerState) -> ContainerView {
    match state {
        ContainerState { terminated: Some(terminated), .. } => ContainerView::Ended(end(terminated)),
        ContainerState { running: Some(_), .. } => ContainerView::Running,
        _ => ContainerView::Waiting,
    }
}

fn has_run(state: Option<&ContainerState>) -> bool {
    state.is_some_and(|state| state.running.is_some() || (state.terminated.is_some() && !never_ran(state)))
}

/// The reasons kubelet and container runtimes give where a container's process could not even be started.
fn never_ran(state: &ContainerState) -> bool {
    state.terminated.as_ref().is_some_and(|terminated| {
        matches!(terminated.reason.as_deref(), Some("StartError" | "ContainerCannotRun"))
    })
}

fn end(terminated: &ContainerStateTerminated) -> End {
    let reason = match terminated.reason.as_deref() {
        // "Stopped tasks error messages", OutOfMemoryError.
        Some("OOMKilled") => Some("OutOfMemoryError: Container killed due to memory usage".to_owned()),
        Some("ContainerStatusUnknown") => terminated.message.clone(),
        _ => None,
    };
    End { code: Some(terminated.exit_code), reason }
}

/// Why a container will not start. The reasons are kubelet's; what ECS says for them is in "Stopped tasks error messages".
fn refusal(state: &ContainerState) -> Option<String> {
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

    fn seen(phase: &str, states: &[Value]) -> PodView {
        seen_with(json!({"phase": phase}), states)
    }

    fn seen_with(mut status: Value, states: &[Value]) -> PodView {
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
        sight(&pod, &names[..states.len().max(1)])
    }

    fn waiting(reason: &str, message: &str) -> Value {
        json!({"waiting": {"reason": reason, "message": message}})
    }

    fn ended(code: i32, reason: &str) -> Value {
        json!({"terminated": {"exitCode": code, "reason": reason, "message": "why"}})
    }

    fn end(code: i32) -> ContainerView {
        ContainerView::Ended(End { code: Some(code), reason: None })
    }

    #[test]
    fn a_task_has_started_when_all_its_containers_have() {
        let running = json!({"running": {}});
        let sights = [
            (seen("Pending", &[]), false, vec![ContainerView::Waiting]),
            (seen("Pending", &[waiting("ContainerCreating", "")]), false, vec![ContainerView::Waiting]),
            (seen("Running", std::slice::from_ref(&running)), true, vec![ContainerView::Running]),
            (
                seen("Running", &[running.clone(), waiting("ContainerCreating", "")]),
                false,
                vec![ContainerView::Running, ContainerView::Waiting],
            ),
            (seen("Running", &[running, ended(0, "Completed")]), true, vec![ContainerView::Running, end(0)]),
            (seen("Succeeded", &[ended(0, "Completed")]), true, vec![end(0)]),
            (seen("Failed", &[ended(143, "Error")]), true, vec![end(143)]),
        ];
        for (sight, started, containers) in sights {
            assert_eq!(sight, PodView { started, containers, ..PodView::default() });
        }
    }

    #[test]
    fn a_container_out_of_memory_says_so() {
        let reason = Some("OutOfMemoryError: Container killed due to memory usage".to_owned());
        let expected = vec![ContainerView::Ended(End { code: Some(137), reason })];
        assert_eq!(seen("Failed", &[ended(137, "OOMKilled")]).containers, expected);
    }

    #[test]
    fn why_a_task_cannot_start_is_in_the_words_of_ecs() {
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
            let sight = seen("Pending", std::slice::from_ref(&state));
            let failure =
                expected.map(|reason| StartFailure { reason: reason.to_owned(), container: Some(0) });
            assert_eq!(sight.failure, failure, "{state}");
            assert!(expected.is_none() || !sight.started, "{state}");
            let second = seen("Pending", &[json!({"running": {}}), state.clone()]);
            assert_eq!(second.failure.and_then(|failure| failure.container), expected.map(|_| 1), "{state}");
        }
    }

    #[test]
    fn a_pod_its_node_rejects_found_no_capacity_and_one_it_evicts_has_ended() {
        let rejected =
            seen_with(json!({"phase": "Failed", "reason": "OutOfmemory", "message": "no room"}), &[]);
        assert!(!rejected.started);
        assert_eq!(
            rejected.failure,
            Some(StartFailure::of_task(
                "Capacity is unavailable at this time. Please try again later or in a different availability zone (no room)"
            ))
        );
        let unknown = json!({"waiting": {"reason": "ContainerStatusUnknown"}});
        let half = json!({"terminated": {"exitCode": 0, "reason": "Completed"}});
        let evicted =
            seen_with(json!({"phase": "Failed", "message": "the node was low on memory"}), &[unknown, half]);
        assert_eq!(evicted.failure, None);
        assert!(evicted.started);
        let lost =
            ContainerView::Ended(End { code: None, reason: Some("the node was low on memory".into()) });
        assert_eq!(evicted.containers, [lost, end(0)]);
    }

    #[test]
    fn a_pod_that_no_node_takes_says_why() {
        let condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"});
        let sight = seen_with(json!({"phase": "Pending", "conditions": [condition]}), &[]);
        assert_eq!((sight.unschedulable.as_deref(), sight.failure), (Some("0/1 nodes"), None));
    }
}

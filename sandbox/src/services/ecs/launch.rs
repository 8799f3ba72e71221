//! Converts a task of the state to a `Launch` for its runner. In: the state and the sandbox's
//! address. Out: a `Launch`, or why the task cannot start, in ECS's words. Creates the log streams,
//! as the awslogs driver does before a container starts.

use std::time::Duration;

use super::Ecs;
use super::state::{ContainerSpec, Task};
use crate::access::SECRET_ACCESS_KEY;
use crate::task_runner::{ContainerLaunch, Launch, LogStream};

/// What every task gets in addition to its definition. Not `Debug`, because it contains the key.
#[derive(Clone)]
pub struct TaskEnvironment {
    /// The sandbox's address for tasks.
    pub endpoint: String,
    /// The access key id for tasks; `None` if the runner supplies it in its own way.
    pub access_key_id: Option<String>,
}

/// The stream name that the awslogs driver creates ("Using the awslogs log driver",
/// awslogs-stream-prefix).
pub fn stream_name(prefix: &str, container: &str, task: &str) -> String {
    format!("{prefix}/{container}/{task}")
}

/// Prepares the launch of a task. The errors are AWS's ("Stopped tasks error messages").
pub(super) fn prepare(
    ecs: &Ecs,
    region: &str,
    task: &str,
    task_environment: &TaskEnvironment,
) -> Result<Launch, String> {
    let state = ecs.lock();
    let Some(task) = state.regions.get(region).and_then(|region| region.tasks.get(task)) else {
        return Err("the task no longer exists".to_owned());
    };
    let mut containers = Vec::new();
    for (index, spec) in task.definition.containers.iter().enumerate() {
        let output = spec.logs.as_ref().map(|logs| LogStream {
            region: logs.region.clone(),
            group: logs.group.clone(),
            name: stream_name(&logs.prefix, &spec.name, &task.id),
        });
        if let Some(stream) = &output {
            ecs.logs.create_stream(stream).map_err(|error| {
                format!(
                    "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch log stream: {error} : exit status 1"
                )
            })?;
        }
        containers.push(ContainerLaunch {
            name: spec.name.clone(),
            image: spec.image.clone(),
            entry_point: spec.entry_point.clone(),
            command: spec.command.clone(),
            working_directory: spec.working_directory.clone(),
            user: spec.user.clone(),
            memory_mib: spec.memory,
            environment: environment(ecs, task, index, spec, task_environment),
            output,
        });
    }
    let stop_timeout = task.definition.containers.iter().map(|spec| spec.stop_timeout).max();
    Ok(Launch {
        task: task.id.clone(),
        task_arn: task.arn.clone(),
        family: task.definition.family.clone(),
        service: task.service.as_ref().map(|(service, _)| service.clone()),
        cpu_units: task.definition.cpu,
        memory_mib: task.definition.memory,
        stop_timeout: stop_timeout.and_then(|timeout| Duration::try_from(timeout).ok()).unwrap_or_default(),
        containers,
    })
}

/// The environment of a container: the variables that Fargate sets, then those of its definition.
fn environment(
    ecs: &Ecs,
    task: &Task,
    index: usize,
    spec: &ContainerSpec,
    task_environment: &TaskEnvironment,
) -> Vec<(String, String)> {
    let TaskEnvironment { endpoint, access_key_id } = task_environment;
    let runtime_id = task.containers.get(index).map_or("", |container| container.runtime_id.as_str());
    let variables = [
        ("AWS_REGION", task.region.as_str()),
        ("AWS_DEFAULT_REGION", task.region.as_str()),
        ("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE"),
        ("AWS_ENDPOINT_URL", endpoint),
        (
            "ECS_CONTAINER_METADATA_URI_V4",
            &format!("{endpoint}/_ecs/v4/{}/{runtime_id}", ecs.metadata_token.reveal()),
        ),
    ];
    let credentials = access_key_id
        .iter()
        .flat_map(|key| [("AWS_ACCESS_KEY_ID", key.as_str()), ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)]);
    let variables = variables.into_iter().chain(credentials);
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    variables.chain(spec.environment.iter().cloned()).collect()
}

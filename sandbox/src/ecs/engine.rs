//! The loop that lets time pass over ECS and carries out on the machine what follows. In: the clock's ticks and the exits of
//! processes. Out: processes started and signalled, `tasks.json`. The only writer between the world and the machine.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Ecs;
use super::lifecycle::{self, Effect};
use super::pids::{Entry, linux_start_ticks};
use super::processes::{ContainerKey, Exit, Launch, LogStream, Processes};
use super::world::{ContainerSpec, Task};

/// How often time passes. Short against everything modelled at usual speeds, long against the work of one look.
const TICK: Duration = Duration::from_millis(25);
/// How long tasks may take to end when the sandbox stops, on the callers' clocks.
const FAREWELL: Duration = Duration::from_secs(10);

/// What one container of a task becomes on this machine.
struct Prepared {
    task: String,
    container: String,
    launch: Launch,
}

/// The stream name that the awslogs driver makes ("Using the awslogs log driver", awslogs-stream-prefix).
pub(super) fn stream_name(prefix: &str, container: &str, task: &str) -> String {
    format!("{prefix}/{container}/{task}")
}

/// Runs until `stop`, then ends all tasks.
pub(super) async fn run(
    ecs: Arc<Ecs>,
    processes: Arc<Processes>,
    mut exits: mpsc::UnboundedReceiver<Exit>,
    endpoint: String,
    stop: CancellationToken,
) {
    ecs.pids().reset();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => {}
            Some(exit) = exits.recv() => ecs.record_exit(exit),
        }
        let now = ecs.clock.now();
        let effects = lifecycle::step(&mut ecs.lock(), now);
        for effect in effects {
            match effect {
                Effect::Start { region, task } => start(&ecs, &processes, &region, &task, &endpoint).await,
                Effect::Terminate { task } => processes.signal(&task, Signal::SIGTERM),
                Effect::Kill { task } => processes.signal(&task, Signal::SIGKILL),
            }
        }
    }
    end_all(&ecs, &processes, exits).await;
}

async fn end_all(ecs: &Ecs, processes: &Processes, mut exits: mpsc::UnboundedReceiver<Exit>) {
    let tell = |signal| processes.tasks().iter().for_each(|task| processes.signal(task, signal));
    tell(Signal::SIGTERM);
    let patience = tokio::time::sleep(FAREWELL);
    tokio::pin!(patience);
    let mut killed = false;
    while !processes.tasks().is_empty() {
        tokio::select! {
            Some(exit) = exits.recv() => ecs.record_exit(exit),
            () = &mut patience, if !killed => {
                killed = true;
                tell(Signal::SIGKILL);
            }
        }
    }
    while let Ok(exit) = exits.try_recv() {
        ecs.record_exit(exit);
    }
}

/// Starts a task's containers; the first that cannot be started fails the task, and those before it are killed.
async fn start(ecs: &Ecs, processes: &Arc<Processes>, region: &str, task: &str, endpoint: &str) {
    let outcome = match prepare(ecs, region, task, endpoint) {
        Ok(prepared) => start_prepared(ecs, processes, prepared).await,
        Err(reason) => Err(reason),
    };
    let now = ecs.clock.now();
    match outcome {
        Ok(pids) => lifecycle::started(&mut ecs.lock(), region, task, &pids, now),
        Err(reason) => {
            tracing::info!(task, reason, "an ecs task failed to start");
            processes.signal(task, Signal::SIGKILL);
            lifecycle::failed_to_start(&mut ecs.lock(), region, task, reason, now);
        }
    }
}

async fn start_prepared(
    ecs: &Ecs,
    processes: &Arc<Processes>,
    prepared: Vec<Prepared>,
) -> Result<Vec<u32>, String> {
    let mut pids = Vec::new();
    for (place, Prepared { task, container, launch }) in prepared.into_iter().enumerate() {
        let key: ContainerKey = (task.clone(), place);
        let command = launch.program.clone();
        let pid = processes.start(key.clone(), launch).await.map_err(|error| {
            format!("CannotStartContainerError: failed to start {}: {error}", command.display())
        })?;
        let entry = Entry {
            pid,
            started_at: ecs.clock.moment().wall,
            linux_start_ticks: linux_start_ticks(pid),
            task_id: task,
            container,
            command,
        };
        ecs.pids().add(key, entry);
        pids.push(pid);
    }
    Ok(pids)
}

/// Everything that is needed before a process starts: log streams, images. The refusals are AWS's ("Stopped task error codes").
fn prepare(ecs: &Ecs, region: &str, task: &str, endpoint: &str) -> Result<Vec<Prepared>, String> {
    let world = ecs.lock();
    let Some(task) = world.regions.get(region).and_then(|region| region.tasks.get(task)) else {
        return Err("the task is gone".to_owned());
    };
    let mut prepared = Vec::new();
    for (place, spec) in task.definition.containers.iter().enumerate() {
        let output = spec.logs.as_ref().map(|logs| LogStream {
            region: logs.region.clone(),
            group: logs.group.clone(),
            name: stream_name(&logs.prefix, &spec.name, &task.id),
        });
        if let Some(stream) = &output {
            ecs.logs.create_container_stream(&stream.region, &stream.group, &stream.name).map_err(|error| {
                format!(
                    "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch log stream: {error} : exit status 1"
                )
            })?;
        }
        let (program, fixed) = ecs.images.get(&spec.image).cloned().ok_or_else(|| {
            format!(
                "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref {}: not found",
                spec.image
            )
        })?;
        if spec.has_entry_point {
            // Running whatever a request names would turn the sandbox into a remote shell.
            return Err("CannotStartContainerError: the sandbox runs the command mapped to the image; entryPoint is not modelled".to_owned());
        }
        let arguments = fixed.iter().chain(&spec.command).cloned().collect();
        let environment = environment(task, place, spec, endpoint);
        prepared.push(Prepared {
            task: task.id.clone(),
            container: spec.name.clone(),
            launch: Launch { program, arguments, environment, output },
        });
    }
    Ok(prepared)
}

/// What a container finds in its environment on Fargate, and on top of it what its definition says.
fn environment(task: &Task, place: usize, spec: &ContainerSpec, endpoint: &str) -> Vec<(String, String)> {
    let runtime_id = task.containers.get(place).map_or("", |container| container.runtime_id.as_str());
    let mut environment: Vec<(String, String)> = ["PATH", "TMPDIR"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
        .collect();
    let ours = [
        ("AWS_REGION", task.region.as_str()),
        ("AWS_DEFAULT_REGION", task.region.as_str()),
        ("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE"),
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", "sandbox"),
        ("AWS_SECRET_ACCESS_KEY", "sandbox"),
    ];
    environment.extend(ours.map(|(name, value)| (name.to_owned(), value.to_owned())));
    environment
        .push(("ECS_CONTAINER_METADATA_URI_V4".to_owned(), format!("{endpoint}/_ecs/v4/{runtime_id}")));
    environment.extend(spec.environment.iter().cloned());
    environment
}

/// An image's command as a path and arguments, split at white space. A relative path is taken from where the sandbox started.
pub(super) fn command_line(command: &str) -> Option<(PathBuf, Vec<String>)> {
    let mut words = command.split_whitespace();
    let program = PathBuf::from(words.next()?);
    let program = if program.components().count() > 1 && program.is_relative() {
        std::path::absolute(&program).unwrap_or(program)
    } else {
        program
    };
    Some((program, words.map(str::to_owned).collect()))
}

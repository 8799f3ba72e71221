//! Tasks as processes of this machine. In: launches; which command an image stands for. Out: processes, reports, `tasks.json`.

mod containers;
pub mod pids;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{ContainerLaunch, Launch, LaunchTiming, Report, StartFailure, TaskRunner};
use crate::clock::ModelClock;
use crate::services::logs::Logs;
use containers::{ContainerKey, Containers, Program};
use pids::{PidFile, RecordedProcess, linux_start_ticks};

/// What tasks inherit of the sandbox's own environment: where programs are, and where they may write.
const INHERITED: [&str; 2] = ["PATH", "TMPDIR"];

/// Runs tasks as processes.
pub(crate) struct ProcessRunner {
    clock: ModelClock,
    images: BTreeMap<String, (PathBuf, Vec<String>)>,
    containers: Arc<Containers>,
    pids: Arc<Mutex<PidFile>>,
    reports: mpsc::UnboundedSender<Report>,
}

impl ProcessRunner {
    /// Nothing runs yet. `images` says which command stands for an image. Must be called within a Tokio runtime.
    pub fn new(
        clock: ModelClock,
        images: &[(String, String)],
        state_dir: Option<&Path>,
        logs: Arc<Logs>,
        reports: mpsc::UnboundedSender<Report>,
    ) -> std::io::Result<Self> {
        let images = images
            .iter()
            .filter_map(|(image, command)| Some((image.clone(), command_line(command)?)))
            .collect();
        let pids = Arc::new(Mutex::new(PidFile::new(state_dir)));
        let (ended, listed) = (reports.clone(), Arc::clone(&pids));
        let on_exit = move |key: ContainerKey, end| {
            lock(&listed).remove(&key);
            let (task, container) = key;
            // Nobody listens any more only when the sandbox is gone.
            let _ = ended.send(Report::Exited { task, container, end });
        };
        let containers = Arc::new(Containers::new(logs, Box::new(on_exit))?);
        Ok(Self { clock, images, containers, pids, reports })
    }

    /// What a container is on this machine. The refusals are AWS's ("Stopped tasks error messages").
    fn program(&self, container: ContainerLaunch) -> Result<Program, String> {
        let ContainerLaunch { image, entry_point, command, environment, output, .. } = container;
        let (path, fixed) = self.images.get(&image).cloned().ok_or_else(|| {
            format!(
                "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref {image}: not found"
            )
        })?;
        if let Some(first) = entry_point.first() {
            // Running whatever a request names would turn the sandbox into a remote shell.
            // `task_rules` refuses it earlier.
            return Err(cannot_start(first, "permission denied"));
        }
        let inherited =
            INHERITED.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
        Ok(Program {
            path,
            arguments: fixed.into_iter().chain(command).collect(),
            environment: inherited.chain(environment).collect(),
            output,
        })
    }

    /// Starts a task's containers; the first that cannot be started fails the task.
    async fn start(&self, launch: Launch) -> Result<(), StartFailure> {
        let task = launch.task;
        let mut programs = Vec::new();
        for (place, container) in launch.containers.into_iter().enumerate() {
            let name = container.name.clone();
            let program = self.program(container);
            let failed = |reason| StartFailure { reason, container: Some(place) };
            programs.push((name, program.map_err(failed)?));
        }
        for (place, (container, program)) in programs.into_iter().enumerate() {
            let key: ContainerKey = (task.clone(), place);
            let command = program.path.clone();
            let entry = |pid| RecordedProcess {
                pid,
                started_at: self.clock.moment().wall,
                linux_start_ticks: linux_start_ticks(pid),
                task_id: task.clone(),
                container,
                command: command.clone(),
            };
            let on_start = |pid| lock(&self.pids).add(key.clone(), entry(pid));
            self.containers.start(key.clone(), program, on_start).await.map_err(|error| StartFailure {
                reason: cannot_start(&command.display().to_string(), &words(&error)),
                container: Some(place),
            })?;
        }
        Ok(())
    }
}

/// What ECS says where a container's first program cannot be executed, from what its container runtime says.
fn cannot_start(program: &str, why: &str) -> String {
    format!(
        "CannotStartContainerError: ResourceInitializationError: failed to create new container runtime task: failed to create \
         shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: \"{program}\": {why}: \
         unknown"
    )
}

/// A system's error as the container runtime has it: in lower case, without its number.
fn words(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_ascii_lowercase()
}

fn lock(pids: &Mutex<PidFile>) -> MutexGuard<'_, PidFile> {
    pids.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl TaskRunner for ProcessRunner {
    fn launch_timing(&self) -> LaunchTiming {
        LaunchTiming::AtStart
    }

    /// Processes that outlived their sandbox are a supervisor's business, which reads `tasks.json` before it starts another.
    async fn clear_leftovers(&self) -> anyhow::Result<()> {
        lock(&self.pids).reset();
        Ok(())
    }

    async fn launch(&self, launch: Launch) {
        let task = launch.task.clone();
        let report = match self.start(launch).await {
            Ok(()) => Report::Started { task },
            Err(failure) => {
                tracing::info!(task, reason = failure.reason, "an ecs task failed to start");
                // Those of its containers that did start.
                self.containers.signal(&task, Signal::SIGKILL);
                Report::FailedToStart { task, failure }
            }
        };
        // Nobody listens any more only when the sandbox is gone.
        let _ = self.reports.send(report);
    }

    fn terminate(&self, task: &str) {
        self.containers.signal(task, Signal::SIGTERM);
    }

    fn kill(&self, task: &str) {
        self.containers.signal(task, Signal::SIGKILL);
    }

    fn tasks(&self) -> Vec<String> {
        self.containers.tasks()
    }

    fn view(&self) -> Value {
        json!({"tasks": lock(&self.pids).entries().collect::<Vec<_>>()})
    }
}

/// An image's program and the first of its arguments. A relative path is taken from where the
/// sandbox started.
fn command_line(command: &str) -> Option<(PathBuf, Vec<String>)> {
    let mut words = crate::args::command_words(command).ok()?.into_iter();
    let program = PathBuf::from(words.next()?);
    let program = if program.components().count() > 1 && program.is_relative() {
        std::path::absolute(&program).unwrap_or(program)
    } else {
        program
    };
    Some((program, words.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_systems_error_is_told_as_a_container_runtime_tells_it() {
        for (number, told) in
            [(2, "no such file or directory"), (13, "permission denied"), (8, "exec format error")]
        {
            assert_eq!(words(&std::io::Error::from_raw_os_error(number)), told);
        }
        assert_eq!(words(&std::io::Error::other("the sandbox stops")), "the sandbox stops");
    }
}

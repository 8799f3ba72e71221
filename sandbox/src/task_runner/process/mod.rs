//! Tasks as processes of this machine. In: launches, and the command of each image. Out: processes,
//! reports and `tasks.json`.

pub(crate) mod command;
mod containers;
pub mod pids;
mod reports;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{ContainerLaunch, ContainerLogs, Launch, LaunchTiming, StartFailure, TaskReport, TaskRunner};
use crate::clock::ModelClock;
use command::command_line;
use containers::{ContainerKey, Containers, Program};
use pids::{PidFile, RecordedProcess, linux_start_ticks};
use reports::Reports;

/// The variables that tasks inherit from the sandbox's environment: where programs are, and where
/// tasks may write.
const INHERITED: [&str; 2] = ["PATH", "TMPDIR"];

/// Runs tasks as processes.
pub(crate) struct ProcessRunner {
    clock: ModelClock,
    images: BTreeMap<String, (PathBuf, Vec<String>)>,
    containers: Arc<Containers>,
    pids: Arc<Mutex<PidFile>>,
    reports: Arc<Reports>,
}

impl ProcessRunner {
    /// Creates a runner without tasks. `images` maps images to commands. Must be called within a
    /// Tokio runtime.
    pub fn new(
        clock: ModelClock,
        images: &[(String, String)],
        state_dir: Option<&Path>,
        logs: Arc<dyn ContainerLogs>,
        reports: mpsc::UnboundedSender<TaskReport>,
    ) -> std::io::Result<Self> {
        let images = images
            .iter()
            .filter_map(|(image, command)| Some((image.clone(), command_line(command)?)))
            .collect();
        let pids = Arc::new(Mutex::new(PidFile::new(state_dir)));
        let reports = Arc::new(Reports::new(reports));
        let (ended, listed) = (Arc::clone(&reports), Arc::clone(&pids));
        let on_exit = move |key: ContainerKey, exit| {
            lock(&listed).remove(&key);
            let (task, container) = key;
            ended.exit(TaskReport::Exited { task, container, exit });
        };
        let containers = Arc::new(Containers::new(logs, Box::new(on_exit))?);
        Ok(Self { clock, images, containers, pids, reports })
    }

    /// The program of a container on this machine. The errors are AWS's ("Stopped tasks error
    /// messages").
    fn program(&self, container: ContainerLaunch) -> Result<Program, String> {
        let ContainerLaunch { image, entry_point, command, environment, output, .. } = container;
        let (path, first_arguments) = self.images.get(&image).cloned().ok_or_else(|| {
            format!(
                "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref {image}: not found"
            )
        })?;
        if let Some(first) = entry_point.first() {
            // Running any program that a request names would make the sandbox a remote shell.
            // `task_rules` already rejects this.
            return Err(cannot_start(first, "permission denied"));
        }
        let inherited =
            INHERITED.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
        Ok(Program {
            path,
            arguments: first_arguments.into_iter().chain(command).collect(),
            environment: inherited.chain(environment).collect(),
            output,
        })
    }

    /// Starts a task's containers. The first one that cannot be started fails the task.
    async fn start(&self, launch: Launch) -> Result<(), StartFailure> {
        let task = launch.task;
        let mut programs = Vec::new();
        for (index, container) in launch.containers.into_iter().enumerate() {
            let name = container.name.clone();
            let program = self.program(container);
            let failed = |reason| StartFailure { reason, container: Some(index) };
            programs.push((name, program.map_err(failed)?));
        }
        for (index, (container, program)) in programs.into_iter().enumerate() {
            let key: ContainerKey = (task.clone(), index);
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
                container: Some(index),
            })?;
        }
        Ok(())
    }
}

/// ECS's message for a program that cannot be executed, with the container runtime's reason.
fn cannot_start(program: &str, why: &str) -> String {
    format!(
        "CannotStartContainerError: ResourceInitializationError: failed to create new container runtime task: failed to create \
         shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: \"{program}\": {why}: \
         unknown"
    )
}

/// A system error as a container runtime writes it: in lower case, without its number.
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

    /// A supervisor handles processes that outlived their sandbox: it reads `tasks.json` before it
    /// starts a new sandbox.
    async fn remove_orphans(&self) -> anyhow::Result<()> {
        lock(&self.pids).reset();
        Ok(())
    }

    async fn launch(&self, launch: Launch) {
        let task = launch.task.clone();
        self.reports.hold(&task);
        let report = match self.start(launch).await {
            Ok(()) => TaskReport::Started { task },
            Err(failure) => {
                tracing::info!(task, reason = failure.reason, "an ecs task failed to start");
                // Stops those containers that did start.
                self.containers.signal(&task, Signal::SIGKILL);
                TaskReport::FailedToStart { task, failure }
            }
        };
        self.reports.start(report);
    }

    fn terminate(&self, task: &str) {
        self.containers.signal(task, Signal::SIGTERM);
    }

    fn kill(&self, task: &str) {
        self.containers.signal(task, Signal::SIGKILL);
    }

    fn remaining_tasks(&self) -> Vec<String> {
        self.containers.tasks()
    }

    fn view(&self) -> Value {
        json!({"tasks": lock(&self.pids).entries().collect::<Vec<_>>()})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_error_is_written_as_by_a_container_runtime() {
        for (number, expected) in
            [(2, "no such file or directory"), (13, "permission denied"), (8, "exec format error")]
        {
            assert_eq!(words(&std::io::Error::from_raw_os_error(number)), expected);
        }
        assert_eq!(words(&std::io::Error::other("the sandbox is stopping")), "the sandbox is stopping");
    }
}

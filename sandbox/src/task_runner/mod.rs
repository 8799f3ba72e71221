//! The seam between ECS and what runs its tasks: processes of this machine (`processes`) or Pods of a cluster (`pods`). In: tasks
//! to launch and to end. Out: reports of what became of them. The contract only; nothing is touched here.

pub mod pod;
pub(crate) mod process;

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

/// Runs tasks. What becomes of them is told in [`Report`]s, on the channel that the runner was made with.
#[async_trait]
pub(crate) trait TaskRunner: Send + Sync + 'static {
    /// When a task is handed over.
    fn launch_timing(&self) -> LaunchTiming;

    /// Ends what an earlier sandbox left, and returns when it is gone. Called once, before anything is launched.
    async fn clear_leftovers(&self) -> anyhow::Result<()>;

    /// Launches a task.
    async fn launch(&self, launch: Launch);

    /// Sends SIGTERM to the task's containers, or keeps them from starting.
    fn terminate(&self, task: &str);

    /// Ends what is left of a task after its stop timeout, or at once if nobody waited that long.
    fn kill(&self, task: &str);

    /// The tasks of which something is left.
    fn tasks(&self) -> Vec<String>;

    /// What runs, for `GET /_sandbox/tasks`.
    fn view(&self) -> Value;
}

/// When a task is handed to its runner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LaunchTiming {
    /// When its modelled start latency is over: the runner takes no time of its own.
    #[default]
    AtStart,
    /// When its image is pulled: the runner pulls and starts while the modelled latency passes.
    AtPull,
}

/// A task to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    pub task: String,
    pub task_arn: String,
    pub family: String,
    pub service: Option<String>,
    /// 1024 are one vCPU.
    pub cpu_units: u32,
    pub memory_mib: u32,
    /// From SIGTERM to SIGKILL; the longest of its containers'.
    pub stop_timeout: Duration,
    /// In the order of the task definition.
    pub containers: Vec<ContainerLaunch>,
}

/// A container to run, as its definition and Fargate have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContainerLaunch {
    pub name: String,
    pub image: String,
    pub entry_point: Vec<String>,
    pub command: Vec<String>,
    pub working_directory: Option<String>,
    pub user: Option<String>,
    /// Its own hard limit, if it has one.
    pub memory_mib: Option<u32>,
    pub environment: Vec<(String, String)>,
    /// Where its output goes; nowhere without.
    pub output: Option<LogStream>,
}

/// A log stream that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogStream {
    pub region: String,
    pub group: String,
    pub name: String,
}

/// What became of a task. A runner tells it in this order: once started, withdrawn or failed; after a start, each container's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// All its containers have been started.
    Started { task: String },
    /// It cannot be started. What was there of it is being removed.
    FailedToStart { task: String, failure: StartFailure },
    /// It was told to end before it ran, and nothing of it is left.
    Withdrawn { task: String },
    /// The container at this place of the task definition ended, and all its output is in the log.
    Exited { task: String, container: usize, end: End },
}

/// Why a task cannot be started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StartFailure {
    /// In ECS's words.
    pub reason: String,
    /// The place of the container that it is about, if it is about one.
    pub container: Option<usize>,
}

impl StartFailure {
    /// A failure of the task as a whole.
    pub fn of_task(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), container: None }
    }
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct End {
    /// 128 and the signal's number if a signal ended it; unknown if it vanished with its node.
    pub code: Option<i32>,
    /// What ECS tells beyond the code.
    pub reason: Option<String>,
}

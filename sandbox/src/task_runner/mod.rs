//! The interface between ECS and what runs its tasks: processes of this machine (`process`) or Pods
//! of a cluster (`pod`). In: tasks to launch and to stop. Out: reports about them. Interface only,
//! no I/O.

pub mod pod;
pub(crate) mod process;

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

/// Runs tasks. Sends [`Report`]s about them on the channel that the runner was created with.
#[async_trait]
pub(crate) trait TaskRunner: Send + Sync + 'static {
    /// When a task is passed to the runner.
    fn launch_timing(&self) -> LaunchTiming;

    /// Stops what an earlier sandbox left, and returns once it no longer exists. Called once,
    /// before the first launch.
    async fn remove_orphans(&self) -> anyhow::Result<()>;

    /// Launches a task.
    async fn launch(&self, launch: Launch);

    /// Sends SIGTERM to the task's containers, or prevents their start.
    fn terminate(&self, task: &str);

    /// Ends what remains of a task after its stop timeout, or at once if the timeout was not
    /// awaited.
    fn kill(&self, task: &str);

    /// The tasks of which something remains.
    fn tasks(&self) -> Vec<String>;

    /// The running tasks, for `GET /_sandbox/tasks`.
    fn view(&self) -> Value;
}

/// When a task is passed to its runner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LaunchTiming {
    /// After its modelled start latency: the runner itself takes no time.
    #[default]
    AtStart,
    /// When its image is pulled: the runner pulls and starts it during the modelled latency.
    AtPull,
}

/// A task to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    pub task: String,
    pub task_arn: String,
    pub family: String,
    pub service: Option<String>,
    /// 1024 units are one vCPU.
    pub cpu_units: u32,
    pub memory_mib: u32,
    /// The time from SIGTERM to SIGKILL: the maximum of its containers' timeouts.
    pub stop_timeout: Duration,
    /// In the order of the task definition.
    pub containers: Vec<ContainerLaunch>,
}

/// A container to run, by its definition and Fargate's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContainerLaunch {
    pub name: String,
    pub image: String,
    pub entry_point: Vec<String>,
    pub command: Vec<String>,
    pub working_directory: Option<String>,
    pub user: Option<String>,
    /// The container's own hard limit, if any.
    pub memory_mib: Option<u32>,
    pub environment: Vec<(String, String)>,
    /// The log stream of its output. Without one, output is discarded.
    pub output: Option<LogStream>,
}

/// An existing log stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogStream {
    pub region: String,
    pub group: String,
    pub name: String,
}

/// What happened to a task. A runner sends first `Started`, `Withdrawn` or `FailedToStart`, once.
/// After a start it sends `Exited` for each container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// All its containers have been started.
    Started { task: String },
    /// It cannot be started. Its remains are being removed.
    FailedToStart { task: String, failure: StartFailure },
    /// It was stopped before it ran, and nothing of it remains.
    Withdrawn { task: String },
    /// The container at this index of the task definition ended, and all its output is in the log.
    Exited { task: String, container: usize, end: End },
}

/// Why a task cannot be started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StartFailure {
    /// In ECS's words.
    pub reason: String,
    /// The index of the container that failed, if it was a container.
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
    /// The exit code, or 128 plus the number of the signal that ended it. Unknown if it vanished
    /// with its node.
    pub code: Option<i32>,
    /// ECS's reason, in addition to the code.
    pub reason: Option<String>,
}

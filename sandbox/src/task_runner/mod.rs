//! What runs the tasks of ECS: processes of this machine (`process`) or Pods of a cluster (`pod`),
//! behind one contract, which [`TaskRunner`] documents. In: tasks to launch and to stop. Out:
//! reports about them, and their output. Interface only, no I/O.

pub mod pod;
pub(crate) mod process;

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use crate::call::AwsError;

/// Runs tasks. ECS decides which tasks run and when they stop; a runner carries it out and reports
/// what happens. ECS does not know which runner it has.
///
/// # Contract
///
/// A runner is created with a channel for its [`TaskReport`]s and with [`ContainerLogs`] for the
/// output of containers. Creating it starts no task.
///
/// **Start.** [`launch`] starts all containers of a task, or none: if one cannot be started, the
/// runner ends the others. It reports exactly one of
/// - `Started`, once every container has been started, even if some have ended since;
/// - `FailedToStart`, with the reason in ECS's words, and the container if one is to blame;
/// - `Cancelled`, if the task was stopped before it ran. Nothing of it remains then.
///
/// ECS launches a task id at most once, so a runner need not expect the same id again.
///
/// **Stop.** [`terminate`] sends SIGTERM to every container that runs. A task that has not started
/// yet does not start any more. [`kill`] ends what remains of a task without waiting for it. The
/// runner does not count the stop timeout: ECS calls [`kill`] when it is over. Neither call waits,
/// and neither fails: a runner that must retry does so in the background. The result is a report.
///
/// **Exit.** After `Started`, the runner reports `Exited` exactly once for every container, whether
/// it ended by itself, by a signal or with its node. No `Exited` precedes `Started`. The exit code
/// is that of a container runtime: 128 plus the signal's number if a signal ended the process;
/// unknown if nobody saw the end. A container ends with its first process; the runner ends the rest
/// of its processes, and never restarts a container. After `FailedToStart`, `Exited` may follow for
/// containers that had been started.
///
/// **Logs.** Every line of a container with a [`LogStream`] is appended to it once, in order,
/// before the container's `Exited`. A line is cut at 256 KiB, as the awslogs driver does; empty
/// lines are skipped, because CloudWatch Logs rejects them. Output of a container without a stream
/// is discarded. ECS creates the streams before it launches the task.
///
/// **Idempotent calls.** [`terminate`] and [`kill`] may be repeated, in any order, for tasks that
/// have ended, and for ids that the runner does not know; then they change nothing.
/// [`remove_orphans`] may be repeated before the first launch. [`launch`] is not idempotent.
///
/// **Restart.** ECS's state ends with the sandbox, so a new sandbox adopts no task. What a runner
/// starts must therefore end with the sandbox by itself (processes on Linux), or be recognizable by
/// the next sandbox (Pods have a label), or be listed for a supervisor that ends it (`tasks.json`).
/// [`remove_orphans`] ends what it recognizes of an earlier sandbox and returns once nothing of it
/// remains. If that takes too long, it fails, and the sandbox does not start. No report is sent
/// about orphans. A runner never touches what another sandbox started.
///
/// [`launch`]: TaskRunner::launch
/// [`terminate`]: TaskRunner::terminate
/// [`kill`]: TaskRunner::kill
/// [`remove_orphans`]: TaskRunner::remove_orphans
#[async_trait]
pub(crate) trait TaskRunner: Send + Sync + 'static {
    /// When ECS passes a task to this runner. The same at every call.
    fn launch_timing(&self) -> LaunchTiming;

    /// Ends what an earlier sandbox left, and returns once it no longer exists. Called before the
    /// first launch.
    async fn remove_orphans(&self) -> anyhow::Result<()>;

    /// Launches a task. Returns when the outcome is reported, or when the runner has taken the task
    /// over and will report it.
    async fn launch(&self, launch: Launch);

    /// Sends SIGTERM to the task's containers, or prevents their start.
    fn terminate(&self, task: &str);

    /// Ends what remains of a task after its stop timeout, or at once if the timeout was not
    /// awaited.
    fn kill(&self, task: &str);

    /// The tasks of which something remains. When it is empty, the sandbox may end.
    fn remaining_tasks(&self) -> Vec<String>;

    /// The running tasks, for `GET /_sandbox/tasks`.
    fn view(&self) -> Value;
}

/// Stores the output of containers, as the awslogs driver does in CloudWatch Logs.
pub trait ContainerLogs: Send + Sync {
    /// Creates a stream. Succeeds if it exists; fails with AWS's error if its group does not.
    fn create_stream(&self, stream: &LogStream) -> Result<(), AwsError>;

    /// Appends one line, with the time at which it was written or else the current time. If the
    /// group was deleted in the meantime, the line is lost, as on AWS.
    fn append(&self, stream: &LogStream, line: String, written: Option<Timestamp>);
}

/// A log stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStream {
    /// The region of the group.
    pub region: String,
    /// The log group.
    pub group: String,
    /// The stream in the group.
    pub name: String,
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

/// What happened to a task. See the contract of [`TaskRunner`] for their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TaskReport {
    /// All its containers have been started.
    Started { task: String },
    /// It cannot be started. Its remains are being removed.
    FailedToStart { task: String, failure: StartFailure },
    /// It was stopped before it ran, and nothing of it remains.
    Cancelled { task: String },
    /// The container at this index of the task definition ended, and all its output is in the log.
    Exited { task: String, container: usize, exit: ContainerExit },
}

impl TaskReport {
    /// The id of the task.
    pub fn task(&self) -> &str {
        match self {
            Self::Started { task }
            | Self::FailedToStart { task, .. }
            | Self::Cancelled { task }
            | Self::Exited { task, .. } => task,
        }
    }
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
pub(crate) struct ContainerExit {
    /// The exit code, or 128 plus the number of the signal that ended it. Unknown if it vanished
    /// with its node.
    pub code: Option<i32>,
    /// ECS's reason, in addition to the code.
    pub reason: Option<String>,
}

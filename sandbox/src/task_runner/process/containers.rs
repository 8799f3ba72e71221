//! Containers of tasks as processes of this machine. In: commands to start and signals to send.
//! Out: process ids, exits, and lines for CloudWatch Logs. Starts processes.
//!
//! Each container is its own process group. Ctrl-C in a terminal therefore reaches only the
//! sandbox, and a killed container takes its children with it. On Linux, the kernel kills the
//! containers when the sandbox dies. Elsewhere, `tasks.json` (`pids`) lists for a supervisor what
//! remains.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

use crate::task_runner::{ContainerExit, ContainerLogs, LogStream};

/// Longer lines are split. The awslogs driver does the same at the maximum size of an event
/// (PutLogEvents: 1 MB; the driver splits at 256 KiB).
const LINE_BYTES: u64 = 256 * 1024;

/// One container to start.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub path: PathBuf,
    pub arguments: Vec<String>,
    /// The whole environment; nothing else is inherited.
    pub environment: Vec<(String, String)>,
    /// The log stream of its output. Without one, output is discarded.
    pub output: Option<LogStream>,
}

/// Identifies a container: its task and its index in the task definition.
pub(super) type ContainerKey = (String, usize);

/// Called when a container's process has ended and all its output is in the log.
pub(super) type OnExit = Box<dyn Fn(ContainerKey, ContainerExit) + Send + Sync>;

struct StartRequest {
    program: Program,
    started: oneshot::Sender<std::io::Result<Child>>,
}

/// The running processes.
pub(super) struct Containers {
    requests: std::sync::mpsc::Sender<StartRequest>,
    signals: Mutex<HashMap<ContainerKey, mpsc::UnboundedSender<Signal>>>,
    on_exit: OnExit,
    logs: Arc<dyn ContainerLogs>,
}

impl Containers {
    /// Creates an empty set and its thread. Must be called within a Tokio runtime.
    pub fn new(logs: Arc<dyn ContainerLogs>, on_exit: OnExit) -> std::io::Result<Self> {
        let (requests, incoming) = std::sync::mpsc::channel::<StartRequest>();
        let runtime = tokio::runtime::Handle::current();
        // The kernel's parent-death signal follows the thread that forked, not the process.
        // Therefore one thread, which lives as long as the sandbox, does all forks.
        std::thread::Builder::new().name("ecs-processes".to_owned()).spawn(move || {
            let _context = runtime.enter();
            for StartRequest { program, started } in incoming {
                // Fails if the sandbox is stopping; then the child is killed on drop.
                let _ = started.send(spawn(&program));
            }
        })?;
        Ok(Self { requests, signals: Mutex::default(), on_exit, logs })
    }

    /// Starts a container's process. `on_start` gets its id before the process's exit can be
    /// reported.
    pub async fn start(
        self: &Arc<Self>,
        key: ContainerKey,
        program: Program,
        on_start: impl FnOnce(u32) + Send,
    ) -> std::io::Result<()> {
        let stopping = || std::io::Error::other("the sandbox is stopping");
        let (started, child) = oneshot::channel();
        let output = program.output.clone();
        self.requests.send(StartRequest { program, started }).map_err(|_| stopping())?;
        let child = child.await.map_err(|_| stopping())??;
        let pid = child.id().ok_or_else(stopping)?;
        on_start(pid);
        let (sender, signals) = mpsc::unbounded_channel();
        self.lock().insert(key.clone(), sender);
        tokio::spawn(Arc::clone(self).watch(key, child, pid, output, signals));
        Ok(())
    }

    /// Sends a signal to every process of a task. SIGKILL goes to the whole process group, other
    /// signals to the process only, as in a container runtime.
    pub fn signal(&self, task: &str, signal: Signal) {
        for ((owner, _), signals) in self.lock().iter() {
            if owner == task {
                // Fails if the process has just ended.
                let _ = signals.send(signal);
            }
        }
    }

    /// The tasks that have a process.
    pub fn tasks(&self) -> Vec<String> {
        let mut tasks: Vec<String> = self.lock().keys().map(|(task, _)| task.clone()).collect();
        tasks.sort();
        tasks.dedup();
        tasks
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ContainerKey, mpsc::UnboundedSender<Signal>>> {
        self.signals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn watch(
        self: Arc<Self>,
        key: ContainerKey,
        mut child: Child,
        pid: u32,
        output: Option<LogStream>,
        mut signals: mpsc::UnboundedReceiver<Signal>,
    ) {
        let mut readers = Vec::new();
        if let Some(stream) = output {
            if let Some(stdout) = child.stdout.take() {
                readers.push(tokio::spawn(Arc::clone(&self).forward(stdout, stream.clone())));
            }
            if let Some(stderr) = child.stderr.take() {
                readers.push(tokio::spawn(Arc::clone(&self).forward(stderr, stream)));
            }
        }
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                Some(signal) = signals.recv() => {
                    // The process was not waited for yet, so the id is still its own.
                    if child.id().is_some() {
                        send(pid, signal, signal == Signal::SIGKILL);
                    }
                }
            }
        };
        // A container ends with its first process. The process group is still the container's,
        // because ids are not reused within microseconds.
        send(pid, Signal::SIGKILL, true);
        for reader in readers {
            // Fails only if the reader panicked. Its lines are lost then, but the exit still
            // counts.
            let _ = reader.await;
        }
        let code = status.map_or(255, exit_code);
        self.lock().remove(&key);
        (self.on_exit)(key, ContainerExit { code: Some(code), reason: None });
    }

    async fn forward(self: Arc<Self>, output: impl AsyncRead + Unpin, stream: LogStream) {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut output).take(LINE_BYTES).read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {
                    let text = String::from_utf8_lossy(&line);
                    let text = text.trim_end_matches(['\n', '\r']);
                    // CloudWatch Logs rejects empty events, so the driver skips empty lines.
                    if !text.is_empty() {
                        self.logs.append(&stream, text.to_owned(), None);
                    }
                }
            }
        }
    }
}

fn send(pid: u32, signal: Signal, to_group: bool) {
    let Ok(raw) = i32::try_from(pid) else { return };
    let pid = Pid::from_raw(raw);
    // Fails if the process has already ended, which is the purpose of the signal.
    let _ = if to_group { signal::killpg(pid, signal) } else { signal::kill(pid, signal) };
}

/// The exit code as container runtimes report it: 128 plus the signal's number for a process that a
/// signal ended.
fn exit_code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(255)
}

fn spawn(program: &Program) -> std::io::Result<Child> {
    let mut command = Command::new(&program.path);
    let pipe = || if program.output.is_some() { Stdio::piped() } else { Stdio::null() };
    command
        .args(&program.arguments)
        .env_clear()
        .envs(program.environment.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(pipe())
        .stderr(pipe())
        .process_group(0)
        .kill_on_drop(true);
    die_with_parent(&mut command);
    command.spawn()
}

/// Makes the kernel kill the process when the sandbox dies for any reason.
#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    let parent = nix::unistd::getpid();
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. prctl and getppid are
    // async-signal-safe.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            // If the sandbox died before the call above, no signal will come.
            if nix::unistd::getppid() != parent {
                return Err(std::io::Error::from(nix::errno::Errno::ESRCH));
            }
            Ok(())
        });
    }
}

/// Other systems have no such signal; there `tasks.json` is the only means.
#[cfg(not(target_os = "linux"))]
fn die_with_parent(_command: &mut Command) {}

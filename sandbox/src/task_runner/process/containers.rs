//! Task containers as processes of this machine. In: commands to start and signals to send. Out: process ids, exits, and lines
//! for CloudWatch Logs. Starts processes.
//!
//! Every container is a process group of its own, so that Ctrl-C at a terminal reaches the sandbox alone and a killed container
//! takes its children along. On Linux the kernel kills a container whose sandbox died; elsewhere `tasks.json` (`pids`) tells a
//! supervisor what was left.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

use crate::services::logs::Logs;
use crate::task_runner::{End, LogStream};

/// Longer lines are split, as the awslogs driver does at the size of one event (PutLogEvents: 1 MB; the driver cuts at 256 KiB).
const LINE_BYTES: u64 = 256 * 1024;

/// One container to start.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub path: PathBuf,
    pub arguments: Vec<String>,
    /// The whole environment: nothing else is inherited.
    pub environment: Vec<(String, String)>,
    /// Where its output goes; nowhere without.
    pub output: Option<LogStream>,
}

/// Which container: its task and its place in the task definition.
pub(super) type ContainerKey = (String, usize);

/// Called when a container's process has ended and all its output is in the log.
pub(super) type OnExit = Box<dyn Fn(ContainerKey, End) + Send + Sync>;

struct Order {
    program: Program,
    reply: oneshot::Sender<std::io::Result<Child>>,
}

/// The processes that run.
pub(super) struct Containers {
    orders: std::sync::mpsc::Sender<Order>,
    signals: Mutex<HashMap<ContainerKey, mpsc::UnboundedSender<Signal>>>,
    on_exit: OnExit,
    logs: Arc<Logs>,
}

impl Containers {
    /// Nothing runs yet. Must be called within a Tokio runtime.
    pub fn new(logs: Arc<Logs>, on_exit: OnExit) -> std::io::Result<Self> {
        let (orders, incoming) = std::sync::mpsc::channel::<Order>();
        let runtime = tokio::runtime::Handle::current();
        // The kernel's parent-death signal follows the thread that forked, not the process: all forks happen on one thread
        // that lives as long as the sandbox.
        std::thread::Builder::new().name("ecs-processes".to_owned()).spawn(move || {
            let _context = runtime.enter();
            for Order { program, reply } in incoming {
                // Nobody waiting means that the sandbox stops; the child is killed on drop.
                let _ = reply.send(spawn(&program));
            }
        })?;
        Ok(Self { orders, signals: Mutex::default(), on_exit, logs })
    }

    /// Starts a container's process. `on_start` learns its id, before anything can be heard of its end.
    pub async fn start(
        self: &Arc<Self>,
        key: ContainerKey,
        program: Program,
        on_start: impl FnOnce(u32) + Send,
    ) -> std::io::Result<()> {
        let gone = || std::io::Error::other("the sandbox stops");
        let (reply, answer) = oneshot::channel();
        let output = program.output.clone();
        self.orders.send(Order { program, reply }).map_err(|_| gone())?;
        let child = answer.await.map_err(|_| gone())??;
        let pid = child.id().ok_or_else(gone)?;
        on_start(pid);
        let (sender, signals) = mpsc::unbounded_channel();
        self.lock().insert(key.clone(), sender);
        tokio::spawn(Arc::clone(self).watch(key, child, pid, output, signals));
        Ok(())
    }

    /// Sends a signal to every process of a task: SIGKILL to its whole group, anything else to the process alone, as a
    /// container runtime does.
    pub fn signal(&self, task: &str, signal: Signal) {
        for ((owner, _), signals) in self.lock().iter() {
            if owner == task {
                // A process that has just ended no longer listens.
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
                    // Not yet waited for, so the id is still this process's.
                    if child.id().is_some() {
                        send(pid, signal, signal == Signal::SIGKILL);
                    }
                }
            }
        };
        // A container ends with its first process. Its group can be ours only: ids are not given anew within microseconds.
        send(pid, Signal::SIGKILL, true);
        for reader in readers {
            // Fails only if the reader panicked; then its lines are lost and the exit still counts.
            let _ = reader.await;
        }
        let code = status.map_or(255, exit_code);
        self.lock().remove(&key);
        (self.on_exit)(key, End { code: Some(code), reason: None });
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
                    // CloudWatch Logs takes no empty events; the driver leaves such lines out.
                    if !text.is_empty() {
                        self.logs.append_container_line(
                            &stream.region,
                            &stream.group,
                            &stream.name,
                            text.to_owned(),
                            None,
                        );
                    }
                }
            }
        }
    }
}

fn send(pid: u32, signal: Signal, to_group: bool) {
    let Ok(raw) = i32::try_from(pid) else { return };
    let pid = Pid::from_raw(raw);
    // Gone already is what a signal is for.
    let _ = if to_group { signal::killpg(pid, signal) } else { signal::kill(pid, signal) };
}

/// The exit code as container runtimes report it: 128 and the signal's number for processes ended by one.
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

/// Has the kernel kill the process when the sandbox dies, however it dies.
#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    let parent = nix::unistd::getpid();
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; prctl and getppid are.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            // The sandbox may have died before the call above: then nobody is left to send the signal.
            if nix::unistd::getppid() != parent {
                return Err(std::io::Error::from(nix::errno::Errno::ESRCH));
            }
            Ok(())
        });
    }
}

/// Other systems have no such signal; `tasks.json` has to do.
#[cfg(not(target_os = "linux"))]
fn die_with_parent(_command: &mut Command) {}

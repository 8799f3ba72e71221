//! Supervises child processes: records them when they start, watches them, and ends them in reverse
//! order.
//!
//! In: commands. Out: processes, their logs under `<state>/logs`, and a notification when one exits
//! by itself; whoever is told may start it again. The record is written right after each start. If
//! we get SIGKILL between the two steps, the child is ended by its parent-death signal (see
//! [`super::spawner`]).

use std::fs::OpenOptions;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;
use tokio::sync::watch;

use super::orphans;
use super::record::{ProcessEntry, ProcessRecord, ProcessState, fetch_process, is_still_ours};
use super::spawner::start_child;
use crate::error::LocalClusterError;
use crate::private_files::make_private_folder;
use crate::state::folder::claim;
use crate::state::lock::StateLock;

/// How long the children run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// They end with this process.
    UntilExit,
    /// They continue after it.
    Detached,
}

/// Time from SIGTERM to SIGKILL. The sandbox has tasks of its own to end in that time.
const GRACE: Duration = Duration::from_secs(10);
/// How many lines of a log an error quotes.
const TAIL_LINES: usize = 15;

/// A child that exited without being stopped.
#[derive(Clone, Debug)]
pub struct UnexpectedExit {
    pub role: String,
    pub status: String,
    /// How long it ran.
    pub after: Duration,
    /// Whether a signal ended it, as `kill` sends one.
    pub by_signal: bool,
    pub log: PathBuf,
    pub tail: String,
}

impl From<UnexpectedExit> for LocalClusterError {
    fn from(unexpected_exit: UnexpectedExit) -> Self {
        let UnexpectedExit { role, status, after: _, by_signal: _, log, tail } = unexpected_exit;
        Self::Exited { role, status, log, tail }
    }
}

struct Supervised {
    entry: ProcessEntry,
    log: PathBuf,
    /// None while it runs.
    ended: watch::Receiver<Option<Ended>>,
}

/// How a child ended.
#[derive(Clone)]
struct Ended {
    status: String,
    by_signal: bool,
    after: Duration,
}

struct Shared {
    state: PathBuf,
    lifetime: Lifetime,
    record: ProcessRecord,
    children: Mutex<Vec<Supervised>>,
    ended_orphans: Vec<String>,
    /// Held while the supervisor lives: two runs in one folder would kill each other's processes.
    lock: Mutex<StateLock>,
}

/// The only owner of a state folder's processes; clones share it.
#[derive(Clone)]
pub struct Supervisor(Arc<Shared>);

impl Supervisor {
    /// Claims the demo's folder in `dir` for this run, and ends the processes that an earlier run
    /// left in its record. Fails without changing anything if the folder is not ours, if another
    /// run uses it, or if a demo started with `--keep` is running there.
    pub fn open(dir: &Path, lifetime: Lifetime) -> Result<Self, LocalClusterError> {
        let state = claim(dir)?;
        let lock = StateLock::take(&state)?;
        let running: Vec<_> = orphans::running(&state)?.into_iter().map(|entry| entry.role).collect();
        lock.check_not_detached(dir, &running)?;
        let ended_orphans = orphans::end_orphans(&state)?;
        make_private_folder(&state.join("logs"))?;
        Ok(Self(Arc::new(Shared {
            record: ProcessRecord::at(&state),
            state,
            lifetime,
            children: Mutex::new(Vec::new()),
            ended_orphans,
            lock: Mutex::new(lock),
        })))
    }

    /// Records which object is running, for the error that other processes get.
    pub fn record_usage(&self, object: &str) -> Result<(), LocalClusterError> {
        self.lock().set_object(object)
    }

    /// Records that the children continue after this process.
    pub fn record_detached(&self) -> Result<(), LocalClusterError> {
        self.lock().record_detached()
    }

    /// The demo's own folder: `<dir>/demo`.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.0.state
    }

    /// The roles of the processes of an earlier run that were ended.
    #[must_use]
    pub fn ended_orphans(&self) -> &[String] {
        &self.0.ended_orphans
    }

    #[must_use]
    pub fn log_path(&self, role: &str) -> PathBuf {
        self.0.state.join("logs").join(format!("{role}.log"))
    }

    /// Starts a child, writes its output to `logs/<role>.log`, and records it. It replaces a child
    /// of this role that has exited, and continues its log.
    pub async fn start(&self, role: &str, mut command: Command) -> Result<(), LocalClusterError> {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let failed =
            |source| LocalClusterError::Spawn { role: role.to_owned(), program: program.clone(), source };
        let log = self.log_path(role);
        let continues = self.exit_of(role).is_some();
        let mut options = OpenOptions::new();
        let options = if continues { options.append(true) } else { options.write(true).truncate(true) };
        let output = options.create(true).open(&log).map_err(failed)?;
        command.stdin(Stdio::null()).stdout(output.try_clone().map_err(failed)?).stderr(output);
        let mut child = start_child(command, self.0.lifetime == Lifetime::UntilExit).await.map_err(failed)?;
        let pid = child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .ok_or_else(|| failed(std::io::Error::other("it exited immediately")))?;
        let start_time = match fetch_process(pid) {
            ProcessState::Running { start_time } => start_time,
            // It has already exited: the record needs no start time, and the watcher below reports
            // the exit.
            ProcessState::NotRunning => String::new(),
        };
        let (sender, ended) = watch::channel(None);
        let started_at = Instant::now();
        tokio::spawn(async move {
            let (status, by_signal) = match child.wait().await {
                Ok(status) => (status.to_string(), status.signal().is_some()),
                Err(error) => (error.to_string(), false),
            };
            // The receivers are dropped with the supervisor.
            let _ = sender.send(Some(Ended { status, by_signal, after: started_at.elapsed() }));
        });
        let mut children = self.children();
        children.retain(|child| child.entry.role != role || child.ended.borrow().is_none());
        children.push(Supervised {
            entry: ProcessEntry { role: role.to_owned(), pid, start_time },
            log,
            ended,
        });
        let entries: Vec<_> = children.iter().map(|child| child.entry.clone()).collect();
        self.0.record.put(&entries)
    }

    /// The process id of a running child.
    #[must_use]
    pub fn pid(&self, role: &str) -> Option<i32> {
        self.children()
            .iter()
            .find(|child| child.entry.role == role && child.ended.borrow().is_none())
            .map(|child| child.entry.pid)
    }

    /// How this child exited; None while it runs.
    #[must_use]
    pub fn exit_of(&self, role: &str) -> Option<UnexpectedExit> {
        self.children().iter().rev().find(|child| child.entry.role == role).and_then(unexpected_exit)
    }

    /// Waits until any child exits. Never completes while all run.
    pub async fn first_exit(&self) -> UnexpectedExit {
        let mut ends: FuturesUnordered<_> = self
            .children()
            .iter()
            .map(|child| {
                let mut ended = child.ended.clone();
                async move { ended.wait_for(Option::is_some).await.map(drop) }
            })
            .collect();
        while ends.next().await.is_some() {
            if let Some(unexpected_exit) = self.children().iter().find_map(unexpected_exit) {
                return unexpected_exit;
            }
        }
        std::future::pending().await
    }

    /// Ends one child: SIGTERM, then SIGKILL after the grace period. Does nothing if it has already
    /// exited.
    pub async fn stop(&self, role: &str) {
        let found = self
            .children()
            .iter()
            .find(|child| child.entry.role == role)
            .map(|child| (child.entry.pid, child.ended.clone()));
        if let Some((pid, ended)) = found {
            end_child(pid, ended).await;
            let mut children = self.children();
            children.retain(|child| child.entry.pid != pid);
            let entries: Vec<_> = children.iter().map(|child| child.entry.clone()).collect();
            if let Err(error) = self.0.record.put(&entries) {
                tracing::warn!(%error, "could not write the process record");
            }
        }
    }

    /// Ends all children, the last started first.
    pub async fn stop_all(&self) {
        loop {
            let last = self.children().last().map(|child| child.entry.role.clone());
            let Some(role) = last else { break };
            self.stop(&role).await;
        }
    }

    /// Our children and the sandbox's tasks that are still running.
    pub fn running(&self) -> Result<Vec<ProcessEntry>, LocalClusterError> {
        orphans::running(&self.0.state)
    }

    fn lock(&self) -> MutexGuard<'_, StateLock> {
        self.0.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn children(&self) -> MutexGuard<'_, Vec<Supervised>> {
        self.0.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unexpected_exit(child: &Supervised) -> Option<UnexpectedExit> {
    let Ended { status, by_signal, after } = child.ended.borrow().clone()?;
    Some(UnexpectedExit {
        role: child.entry.role.clone(),
        status,
        after,
        by_signal,
        tail: log_tail(&child.log),
        log: child.log.clone(),
    })
}

/// The last lines of a log, for an error message.
#[must_use]
pub fn log_tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    if lines.is_empty() {
        return "  (it is empty)".into();
    }
    let quoted: Vec<_> = lines.iter().skip(from).map(|line| format!("  {line}")).collect();
    quoted.join("\n")
}

async fn end_child(pid: i32, mut ended: watch::Receiver<Option<Ended>>) {
    for (signal, grace) in [(Signal::SIGTERM, GRACE), (Signal::SIGKILL, GRACE)] {
        if ended.borrow().is_some() {
            return;
        }
        // The pid belongs to our own child, which has not been waited for, so it cannot have been
        // reused. An error means that the child just exited.
        let _ = kill(Pid::from_raw(pid), signal);
        let exited = async { ended.wait_for(Option::is_some).await.map(drop) };
        if tokio::time::timeout(grace, exited).await.is_ok() {
            return;
        }
    }
}

impl Drop for Shared {
    /// Runs after a panic or a missing stop: sends SIGTERM in reverse order and waits briefly, so
    /// that the sandbox can end its own tasks. Blocks. The orderly way is [`Supervisor::stop_all`].
    fn drop(&mut self) {
        if self.lifetime == Lifetime::Detached {
            return;
        }
        let children = self.children.get_mut().unwrap_or_else(PoisonError::into_inner);
        let runs = |child: &Supervised| {
            child.ended.borrow().is_none() && is_still_ours(&child.entry, &fetch_process(child.entry.pid))
        };
        let until = Instant::now() + Duration::from_secs(3);
        for child in children.iter().rev().filter(|child| runs(child)) {
            let _ = kill(Pid::from_raw(child.entry.pid), Signal::SIGTERM);
        }
        while Instant::now() < until && children.iter().any(runs) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

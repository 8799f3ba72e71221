//! Looks after child processes: recorded when they start, watched while they run, ended in reverse order.
//!
//! In: commands. Out: processes, their logs under `<state>/logs`, and word of one that ended by itself. The record is written
//! right after each start; between those two lines a SIGKILL of ours is covered by the child's bond to us (see [`super::spawner`]).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;
use tokio::sync::watch;

use super::process_record::{ProcessEntry, ProcessRecord, ProcessState, fetch_process, is_still_ours};
use super::spawner::start_child;
use super::state_folder::claim;
use super::state_lock::StateLock;
use super::{LocalClusterError, make_private_folder};

/// Whether the children end with us or stay when we return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    Run,
    Keep,
}

/// How long a child may take over SIGTERM before SIGKILL. The sandbox has tasks of its own to end.
const GRACE: Duration = Duration::from_secs(10);
/// How much of a log an error quotes.
const TAIL_LINES: usize = 15;

/// A child that ended though nobody asked it to.
#[derive(Clone, Debug)]
pub struct UnexpectedExit {
    pub role: String,
    pub status: String,
    pub log: PathBuf,
    pub tail: String,
}

impl From<UnexpectedExit> for LocalClusterError {
    fn from(death: UnexpectedExit) -> Self {
        let UnexpectedExit { role, status, log, tail } = death;
        Self::Died { role, status, log, tail }
    }
}

struct Supervised {
    entry: ProcessEntry,
    log: PathBuf,
    /// None while it runs.
    ended: watch::Receiver<Option<String>>,
}

struct Shared {
    state: PathBuf,
    lifetime: Lifetime,
    record: ProcessRecord,
    children: Mutex<Vec<Supervised>>,
    cleared: Vec<String>,
    /// Held as long as we live: two runs in one folder would kill each other's processes.
    lock: Mutex<StateLock>,
}

/// The one keeper of a state folder's processes; clones share it.
#[derive(Clone)]
pub struct Supervisor(Arc<Shared>);

impl Supervisor {
    /// Takes our folder of `dir` for this run, and ends what an earlier run left in its record.
    /// Refused, with nothing changed, if the folder is not ours, if another run uses it, or if a
    /// demo that was kept runs there.
    pub fn open(dir: &Path, lifetime: Lifetime) -> Result<Self, LocalClusterError> {
        let state = claim(dir)?;
        let lock = StateLock::take(&state)?;
        lock.refuse_kept(dir, &super::leftovers::running(&state)?)?;
        let cleared = super::leftovers::clear_leftovers(&state)?;
        make_private_folder(&state.join("logs"))?;
        Ok(Self(Arc::new(Shared {
            record: ProcessRecord::at(&state),
            state,
            lifetime,
            children: Mutex::new(Vec::new()),
            cleared,
            lock: Mutex::new(lock),
        })))
    }

    /// Tells whoever is refused the folder meanwhile what is played in it.
    pub fn tell_usage(&self, plays: &str) -> Result<(), LocalClusterError> {
        self.lock().tell(plays)
    }

    /// Notes that the children stay when we return.
    pub fn note_kept(&self) -> Result<(), LocalClusterError> {
        self.lock().keep()
    }

    /// The folder that is ours: `<dir>/demo`.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.0.state
    }

    /// The roles of those processes of an earlier run that had to be ended.
    #[must_use]
    pub fn cleared(&self) -> &[String] {
        &self.0.cleared
    }

    #[must_use]
    pub fn log_path(&self, role: &str) -> PathBuf {
        self.0.state.join("logs").join(format!("{role}.log"))
    }

    /// Starts a child with its output in `logs/<role>.log`, and records it.
    pub async fn start(&self, role: &str, mut command: Command) -> Result<(), LocalClusterError> {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let failed =
            |source| LocalClusterError::Spawn { role: role.to_owned(), program: program.clone(), source };
        let log = self.log_path(role);
        let output = File::create(&log).map_err(failed)?;
        command.stdin(Stdio::null()).stdout(output.try_clone().map_err(failed)?).stderr(output);
        let mut child = start_child(command, self.0.lifetime == Lifetime::Run).await.map_err(failed)?;
        let pid = child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .ok_or_else(|| failed(std::io::Error::other("it ended at once")))?;
        let start_time = match fetch_process(pid) {
            ProcessState::Alive { start_time } => start_time,
            // It ended already; nothing to find later, and the watcher below reports it.
            ProcessState::Gone => String::new(),
        };
        let (tell, ended) = watch::channel(None);
        tokio::spawn(async move {
            let status = child.wait().await.map_or_else(|error| error.to_string(), described);
            // Nobody listens once the supervisor is gone.
            let _ = tell.send(Some(status));
        });
        let mut children = self.children();
        children.push(Supervised {
            entry: ProcessEntry { role: role.to_owned(), pid, start_time },
            log,
            ended,
        });
        let entries: Vec<_> = children.iter().map(|child| child.entry.clone()).collect();
        self.0.record.put(&entries)
    }

    /// The process id of a child that runs.
    #[must_use]
    pub fn pid(&self, role: &str) -> Option<i32> {
        self.children()
            .iter()
            .find(|child| child.entry.role == role && child.ended.borrow().is_none())
            .map(|child| child.entry.pid)
    }

    /// Whether (and how) this child has ended.
    #[must_use]
    pub fn death_of(&self, role: &str) -> Option<UnexpectedExit> {
        self.children().iter().rev().find(|child| child.entry.role == role).and_then(death)
    }

    /// Waits until any child ends. Pending for ever while all run.
    pub async fn first_death(&self) -> UnexpectedExit {
        let mut ends: FuturesUnordered<_> = self
            .children()
            .iter()
            .map(|child| {
                let mut ended = child.ended.clone();
                async move { ended.wait_for(Option::is_some).await.map(drop) }
            })
            .collect();
        while ends.next().await.is_some() {
            if let Some(death) = self.children().iter().find_map(death) {
                return death;
            }
        }
        std::future::pending().await
    }

    /// Ends one child: SIGTERM, then SIGKILL after its grace. A child that has ended already is fine.
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
                tracing::warn!(%error, "the process record could not be written");
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

    /// Those of our children, and of the sandbox's tasks, that still run.
    pub fn running(&self) -> Result<Vec<ProcessEntry>, LocalClusterError> {
        super::leftovers::running(&self.0.state)
    }

    fn lock(&self) -> MutexGuard<'_, StateLock> {
        self.0.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn children(&self) -> MutexGuard<'_, Vec<Supervised>> {
        self.0.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn death(child: &Supervised) -> Option<UnexpectedExit> {
    let status = child.ended.borrow().clone()?;
    Some(UnexpectedExit {
        role: child.entry.role.clone(),
        status,
        tail: log_tail(&child.log),
        log: child.log.clone(),
    })
}

fn described(status: ExitStatus) -> String {
    status.to_string()
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

async fn end_child(pid: i32, mut ended: watch::Receiver<Option<String>>) {
    for (signal, patience) in [(Signal::SIGTERM, GRACE), (Signal::SIGKILL, GRACE)] {
        if ended.borrow().is_some() {
            return;
        }
        // Our own child and not yet waited for: the id cannot have been recycled. An error means that it just ended.
        let _ = kill(Pid::from_raw(pid), signal);
        let gone = async { ended.wait_for(Option::is_some).await.map(drop) };
        if tokio::time::timeout(patience, gone).await.is_ok() {
            return;
        }
    }
}

impl Drop for Shared {
    /// The way out of a panic or a forgotten stop: SIGTERM in reverse order and a short wait, so that children (the sandbox) get to
    /// end what is theirs. Blocks; the orderly way is [`Supervisor::stop_all`].
    fn drop(&mut self) {
        if self.lifetime == Lifetime::Keep {
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

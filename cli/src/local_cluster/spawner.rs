//! Starts child processes that do not outlive us, where the system can promise that.
//!
//! In: a command. Out: a running child. On Linux the kernel sends SIGTERM to the child when its parent *thread* ends
//! (prctl(2), PR_SET_PDEATHSIG), so every child is started from one thread of ours that never ends before the process does; a
//! thread of an async runtime may end at any time and would take the child with it.

use std::io;
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

struct Job {
    command: Command,
    runtime: Handle,
    started: oneshot::Sender<io::Result<Child>>,
}

static THREAD: OnceLock<Sender<Job>> = OnceLock::new();

/// Starts the command in a process group of its own, so that Ctrl-C at the terminal reaches us only and we decide the order of
/// the end. With `bound_to_us` the child is told to end when this process does, however that happens (Linux; elsewhere the
/// process record is what clears it).
pub async fn start_child(mut command: Command, bound_to_us: bool) -> io::Result<Child> {
    command.process_group(0).kill_on_drop(bound_to_us);
    #[cfg(target_os = "linux")]
    if bound_to_us {
        end_with_parent(&mut command);
    }
    let (started, outcome) = oneshot::channel();
    let job = Job { command, runtime: Handle::current(), started };
    let gone = || io::Error::other("the thread that starts processes is gone");
    THREAD.get_or_init(spawning_thread).send(job).map_err(|_| gone())?;
    outcome.await.map_err(|_| gone())?
}

fn spawning_thread() -> Sender<Job> {
    let (sender, jobs) = channel::<Job>();
    std::thread::spawn(move || {
        for mut job in jobs {
            let _runtime = job.runtime.enter();
            // Nobody waits any more: the child is dropped, and with it ended.
            let _ = job.started.send(job.command.spawn());
        }
    });
    sender
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn end_with_parent(command: &mut Command) {
    use nix::sys::{prctl, signal::Signal};
    let parent = nix::unistd::getpid();
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; these are two bare system calls, and the
    // error path allocates nothing (`from_raw_os_error`).
    unsafe {
        command.pre_exec(move || {
            prctl::set_pdeathsig(Signal::SIGTERM)
                .map_err(|errno| io::Error::from_raw_os_error(errno as i32))?;
            // We may have died before the line above; then nobody would send the signal.
            if nix::unistd::getppid() == parent {
                Ok(())
            } else {
                Err(io::Error::from_raw_os_error(nix::errno::Errno::ESRCH as i32))
            }
        });
    }
}

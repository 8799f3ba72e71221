//! Starts child processes that end with this process, where the system supports it.
//!
//! In: a command. Out: a running child. On Linux the kernel sends SIGTERM to the child when its
//! parent *thread* ends (prctl(2), PR_SET_PDEATHSIG). Every child is therefore started from one
//! thread that lives as long as the process. A thread of an async runtime may end at any time, and
//! its children would be ended with it.

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

/// Starts the command in its own process group, so that Ctrl-C in the terminal reaches only this
/// process, which then ends the children in order. With `bound_to_us` the child gets SIGTERM when
/// this process ends, for whatever reason (on Linux; elsewhere the next run ends it by the process
/// record).
pub async fn start_child(mut command: Command, bound_to_us: bool) -> io::Result<Child> {
    command.process_group(0).kill_on_drop(bound_to_us);
    #[cfg(target_os = "linux")]
    if bound_to_us {
        end_with_parent(&mut command);
    }
    let (started, outcome) = oneshot::channel();
    let job = Job { command, runtime: Handle::current(), started };
    let thread_ended = || io::Error::other("the thread that starts processes has ended");
    THREAD.get_or_init(spawning_thread).send(job).map_err(|_| thread_ended())?;
    outcome.await.map_err(|_| thread_ended())?
}

fn spawning_thread() -> Sender<Job> {
    let (sender, jobs) = channel::<Job>();
    std::thread::spawn(move || {
        for mut job in jobs {
            let _runtime = job.runtime.enter();
            // If the caller no longer waits, the child is dropped, which kills it (`kill_on_drop`).
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
    // SAFETY: only async-signal-safe calls are allowed between fork and exec. These are two plain
    // system calls, and the error path does not allocate (`from_raw_os_error`).
    unsafe {
        command.pre_exec(move || {
            prctl::set_pdeathsig(Signal::SIGTERM)
                .map_err(|errno| io::Error::from_raw_os_error(errno as i32))?;
            // The parent may have ended before the line above; the kernel would then send no
            // signal.
            if nix::unistd::getppid() == parent {
                Ok(())
            } else {
                Err(io::Error::from_raw_os_error(nix::errno::Errno::ESRCH as i32))
            }
        });
    }
}

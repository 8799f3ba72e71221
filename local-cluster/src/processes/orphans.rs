//! Ends the processes that an earlier run left behind. In: a state folder's record. Out: the roles
//! that were ended. Kills only processes whose id and start are in the record (see
//! [`super::record`]).

use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::record::{ProcessEntry, ProcessRecord, fetch_process, fetch_sandbox_tasks, is_still_ours};
use crate::error::LocalClusterError;
use crate::private_files::remove_if_present;
use crate::state::folder::sandbox_state;

/// Time from SIGTERM to SIGKILL. The API server drains for a moment; all others should end quickly.
const GRACE: Duration = Duration::from_secs(5);

/// All recorded processes that are still running: ours and the sandbox's tasks, in the order in
/// which they were started.
pub fn running(state: &Path) -> Result<Vec<ProcessEntry>, LocalClusterError> {
    let mut entries = ProcessRecord::at(state).fetch()?;
    entries.extend(fetch_sandbox_tasks(&sandbox_state(state))?);
    entries.retain(is_running);
    Ok(entries)
}

/// Ends the recorded processes, the last started first, and removes the record. Returns the roles
/// that were ended.
pub fn end_orphans(state: &Path) -> Result<Vec<String>, LocalClusterError> {
    let mut ended = Vec::new();
    for entry in ProcessRecord::at(state).fetch()?.iter().rev() {
        end_recorded(entry, &mut ended)?;
    }
    // Read the list only now: a sandbox that ended in an orderly way has just ended its tasks and
    // may have rewritten it.
    let sandbox = sandbox_state(state);
    for entry in &fetch_sandbox_tasks(&sandbox)? {
        end_recorded(entry, &mut ended)?;
    }
    for path in [state.join("processes.json"), sandbox.join("tasks.json")] {
        remove_if_present(&path)?;
    }
    Ok(ended)
}

fn end_recorded(entry: &ProcessEntry, ended: &mut Vec<String>) -> Result<(), LocalClusterError> {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        if !is_running(entry) {
            break;
        }
        if !ended.contains(&entry.role) {
            ended.push(entry.role.clone());
        }
        match kill(Pid::from_raw(entry.pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => {
                return Err(LocalClusterError::Command {
                    command: format!("kill {} ({}, left by an earlier run)", entry.pid, entry.role),
                    status: errno.to_string(),
                    stderr: "end the process manually, then try again".into(),
                });
            }
        }
        let until = Instant::now() + GRACE;
        while is_running(entry) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

fn is_running(entry: &ProcessEntry) -> bool {
    is_still_ours(entry, &fetch_process(entry.pid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processes::record::ProcessState;
    use std::process::{Child, Command};

    fn sleeper() -> (Child, ProcessEntry) {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let ProcessState::Running { start_time } = fetch_process(pid) else {
            panic!("it was just started");
        };
        let role = "etcd".into();
        (child, ProcessEntry { role, pid, start_time })
    }

    #[test]
    fn recorded_processes_are_ended_and_the_record_is_removed() {
        let state = tempfile::tempdir().unwrap();
        let (mut child, entry) = sleeper();
        ProcessRecord::at(state.path()).put(&[entry]).unwrap();
        assert_eq!(running(state.path()).unwrap().len(), 1);
        assert_eq!(end_orphans(state.path()).unwrap(), ["etcd"]);
        assert!(!child.wait().unwrap().success());
        assert!(running(state.path()).unwrap().is_empty());
        assert!(!state.path().join("processes.json").exists());
    }

    #[test]
    fn a_process_with_another_start_time_is_not_killed() {
        let state = tempfile::tempdir().unwrap();
        let (mut child, mut entry) = sleeper();
        entry.start_time.push('1');
        ProcessRecord::at(state.path()).put(&[entry]).unwrap();
        assert_eq!(end_orphans(state.path()).unwrap(), Vec::<String>::new());
        assert!(child.try_wait().unwrap().is_none(), "it must still be running");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn tasks_of_a_killed_sandbox_are_also_ended() {
        let state = tempfile::tempdir().unwrap();
        let (mut child, entry) = sleeper();
        let folder = sandbox_state(state.path());
        std::fs::create_dir_all(&folder).unwrap();
        let ticks: Option<u64> = entry.start_time.parse().ok();
        let now = jiff::Timestamp::now();
        let text = serde_json::json!([{"pid": entry.pid, "startedAt": now, "linuxStartTicks": ticks, "taskId": "a1"}]);
        std::fs::write(folder.join("tasks.json"), text.to_string()).unwrap();
        assert_eq!(end_orphans(state.path()).unwrap(), ["generator task a1"]);
        assert!(!child.wait().unwrap().success());
    }
}

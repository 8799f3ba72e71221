//! The record of the processes we started. It is a file, so that the next run can end what a
//! killed run left behind.
//!
//! In: process ids with the instant each process started. Out: which of them are still the
//! processes we started. The system reuses a process id; the pair (id, start) stays unique. Only a
//! process whose pair matches may be killed.

use std::path::{Path, PathBuf};

use jiff::{Timestamp, civil, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::error::LocalClusterError;
use crate::private_files::write_private;

/// One process that we started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessEntry {
    pub role: String,
    pub pid: i32,
    /// When the process started, as the system formats it. It is only compared for equality.
    pub start_time: String,
}

/// One task of the sandbox's ECS, as the sandbox writes it to `tasks.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskEntry {
    pid: i32,
    started_at: Timestamp,
    /// Identifies the process exactly where there is a /proc.
    linux_start_ticks: Option<u64>,
    task_id: String,
}

/// What the system currently reports for a process id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessState {
    /// There is no such process, or it has ended and its parent has not waited for it yet.
    NotRunning,
    Running {
        start_time: String,
    },
}

/// Whether the running process with the entry's id is the one we started. A reused id does not
/// match.
#[must_use]
pub fn is_still_ours(entry: &ProcessEntry, state: &ProcessState) -> bool {
    match state {
        ProcessState::NotRunning => false,
        ProcessState::Running { start_time } => *start_time == entry.start_time,
    }
}

/// Reads the current state of a process.
#[must_use]
pub fn fetch_process(pid: i32) -> ProcessState {
    let start_time = if cfg!(target_os = "linux") {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).ok().and_then(|stat| start_ticks(&stat))
    } else {
        started_by_ps(pid)
    };
    match start_time {
        Some(start_time) => ProcessState::Running { start_time },
        None => ProcessState::NotRunning,
    }
}

/// Start of a process in clock ticks since boot: field 22 of proc(5) `/proc/pid/stat`. None for a
/// process that has ended (state Z or X). The second field, the program's name, may contain spaces
/// and parentheses, so fields are counted from the last parenthesis.
fn start_ticks(stat: &str) -> Option<String> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18).map(str::to_owned)
}

/// Start of a process where there is no /proc (macOS): `ps -o lstart=` prints it in local time,
/// with a resolution of one second.
fn started_by_ps(pid: i32) -> Option<String> {
    let output = std::process::Command::new("ps")
        .args(["-o", "stat=,lstart=", "-p", &pid.to_string()])
        .env("LC_ALL", "C")
        .output()
        .ok()?;
    let line = String::from_utf8(output.stdout).ok()?;
    let (state, started) = line.trim().split_once(char::is_whitespace)?;
    (!state.starts_with('Z')).then(|| started.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The file with the entries.
#[derive(Clone, Debug)]
pub struct ProcessRecord {
    path: PathBuf,
}

impl ProcessRecord {
    #[must_use]
    pub fn at(state: &Path) -> Self {
        Self { path: state.join("processes.json") }
    }

    /// Reads the entries that this or an earlier run wrote. An unreadable file is an error:
    /// continuing would lose track of processes.
    pub fn fetch(&self) -> Result<Vec<ProcessEntry>, LocalClusterError> {
        read_json(&self.path)
    }

    pub fn put(&self, entries: &[ProcessEntry]) -> Result<(), LocalClusterError> {
        // Serialising strings and numbers cannot fail.
        let text = serde_json::to_vec_pretty(entries).unwrap_or_default();
        write_private(&self.path, &text)
    }
}

/// The running tasks listed in the sandbox's state `folder`, converted to our entries.
pub fn fetch_sandbox_tasks(folder: &Path) -> Result<Vec<ProcessEntry>, LocalClusterError> {
    let tasks: Vec<TaskEntry> = read_json(&folder.join("tasks.json"))?;
    let entry = |task: TaskEntry| ProcessEntry {
        role: format!("generator task {}", task.task_id),
        pid: task.pid,
        start_time: match (task.linux_start_ticks, fetch_process(task.pid)) {
            (Some(ticks), _) => ticks.to_string(),
            (None, ProcessState::Running { start_time })
                if started_at(&start_time, task.started_at, &TimeZone::system()) =>
            {
                start_time
            }
            // Matches no process.
            (None, _) => String::new(),
        },
    };
    Ok(tasks.into_iter().map(entry).collect())
}

/// Whether the start that ps prints matches the recorded start. The record is written a moment
/// after the start, and ps rounds down to a second.
fn started_at(lstart: &str, recorded: Timestamp, zone: &TimeZone) -> bool {
    let Ok(started) = civil::DateTime::strptime("%a %b %d %H:%M:%S %Y", lstart) else { return false };
    let Ok(started) = zone.to_timestamp(started) else { return false };
    (0..2_500).contains(&recorded.duration_since(started).as_millis())
}

fn read_json<T: serde::de::DeserializeOwned + Default>(path: &Path) -> Result<T, LocalClusterError> {
    let failed = |source| LocalClusterError::File { attempt: "read", path: path.to_path_buf(), source };
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(error.into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(pid: i32, start_time: &str) -> ProcessEntry {
        ProcessEntry { role: "etcd".into(), pid, start_time: start_time.into() }
    }

    #[test]
    fn a_reused_process_id_does_not_match() {
        let mine = entry(4242, "1000");
        assert!(is_still_ours(&mine, &ProcessState::Running { start_time: "1000".into() }));
        assert!(!is_still_ours(&mine, &ProcessState::Running { start_time: "1001".into() }));
        assert!(!is_still_ours(&mine, &ProcessState::NotRunning));
    }

    #[test]
    fn start_is_field_22_for_any_program_name() {
        let tail = "1 10 10 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 11 12";
        assert_eq!(start_ticks(&format!("10 (etcd) S {tail}")), Some("987654".into()));
        assert_eq!(start_ticks(&format!("10 (a) R (b c) S {tail}")), Some("987654".into()));
        assert_eq!(start_ticks(&format!("10 (etcd) Z {tail}")), None);
        assert_eq!(start_ticks("nonsense"), None);
    }

    #[test]
    fn our_own_process_is_found_and_matches_itself() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let ProcessState::Running { start_time } = fetch_process(pid) else {
            panic!("this process is running");
        };
        assert!(is_still_ours(&entry(pid, &start_time), &fetch_process(pid)));
        assert!(!is_still_ours(&entry(pid, "0"), &fetch_process(pid)));
    }

    #[test]
    fn the_record_round_trips_and_a_missing_file_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let record = ProcessRecord::at(folder.path());
        assert_eq!(record.fetch().unwrap(), vec![]);
        let entries = vec![entry(1, "2"), entry(3, "Mon Jan 1")];
        record.put(&entries).unwrap();
        assert_eq!(record.fetch().unwrap(), entries);
        std::fs::write(folder.path().join("processes.json"), "{").unwrap();
        assert!(record.fetch().is_err());
    }

    #[test]
    fn a_task_is_identified_by_its_start_ticks_if_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"[{"pid": 5, "startedAt": "2026-11-22T10:00:00.5Z", "linuxStartTicks": 77, "taskId": "a1",
            "container": "generator", "command": "/x"}]"#;
        std::fs::write(folder.path().join("tasks.json"), text).unwrap();
        let tasks = fetch_sandbox_tasks(folder.path()).unwrap();
        let task = ProcessEntry { role: "generator task a1".into(), pid: 5, start_time: "77".into() };
        assert_eq!(tasks, [task]);
    }

    #[test]
    fn without_ticks_a_task_is_identified_by_its_start_second() {
        let berlin = TimeZone::posix("CET-1").unwrap();
        let recorded: Timestamp = "2026-11-22T10:00:01.2Z".parse().unwrap();
        for (lstart, same) in [
            ("Sun Nov 22 11:00:00 2026", true),
            ("Sun Nov 22 11:00:01 2026", true),
            ("Sun Nov 22 11:00:02 2026", false),
            ("Sun Nov 22 10:59:57 2026", false),
            ("Sun Nov 22 10:00:01 2026", false),
            ("nonsense", false),
        ] {
            assert_eq!(started_at(lstart, recorded, &berlin), same, "{lstart}");
        }
    }

    #[test]
    fn ps_reports_the_same_start_twice() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let Some(first) = started_by_ps(pid) else {
            println!("skipped: there is no ps on this machine");
            return;
        };
        assert_eq!(started_by_ps(pid), Some(first.clone()));
        let longest_test = 3600;
        let started = civil::DateTime::strptime("%a %b %d %H:%M:%S %Y", &first).unwrap();
        let started = TimeZone::system().to_timestamp(started).unwrap();
        assert!((0..longest_test).contains(&Timestamp::now().duration_since(started).as_secs()), "{first}");
        assert_eq!(started_by_ps(i32::MAX), None);
    }
}

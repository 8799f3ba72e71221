//! `tasks.json` in the state directory: the processes of each task. In: starts and exits. Out: a
//! file that is always complete. Writes to disk.
//!
//! After a sandbox was killed, its supervisor reads the file and ends the remaining processes. A
//! process id may have been reused by then, so each entry also has the process's start time. On
//! Linux it also has the kernel's own ticks, which identify the process.
//!
//! ```json
//! [{"pid": 4711, "startedAt": "2026-11-22T10:00:00.000Z", "linuxStartTicks": 123456,
//!   "taskId": "…", "container": "generator", "command": "/path/to/generator"}]
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use super::containers::ContainerKey;
use crate::publish::publish;

/// The file's name in the state directory.
pub const FILE_NAME: &str = "tasks.json";

/// One process of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RecordedProcess {
    pub pid: u32,
    pub started_at: Timestamp,
    pub linux_start_ticks: Option<u64>,
    pub task_id: String,
    pub container: String,
    pub command: PathBuf,
}

/// The file and its entries.
#[derive(Debug)]
pub(super) struct PidFile {
    path: Option<PathBuf>,
    entries: BTreeMap<ContainerKey, RecordedProcess>,
}

impl PidFile {
    /// A file in `directory`, or no file at all.
    pub fn new(directory: Option<&Path>) -> Self {
        Self { path: directory.map(|directory| directory.join(FILE_NAME)), entries: BTreeMap::new() }
    }

    /// Replaces the list of an earlier sandbox with an empty one.
    pub fn reset(&mut self) {
        self.entries.clear();
        self.write();
    }

    pub fn add(&mut self, key: ContainerKey, entry: RecordedProcess) {
        self.entries.insert(key, entry);
        self.write();
    }

    pub fn remove(&mut self, key: &ContainerKey) {
        if self.entries.remove(key).is_some() {
            self.write();
        }
    }

    pub fn entries(&self) -> impl Iterator<Item = &RecordedProcess> {
        self.entries.values()
    }

    fn write(&self) {
        let Some(path) = &self.path else { return };
        let directory = path.parent().unwrap_or(path);
        let entries: Vec<&RecordedProcess> = self.entries.values().collect();
        let written = serde_json::to_vec_pretty(&entries).map_err(std::io::Error::from).and_then(|body| {
            std::fs::create_dir_all(directory)?;
            publish(path, &body)
        });
        if let Err(error) = written {
            tracing::warn!(path = %path.display(), %error, "could not write the list of task processes");
        }
    }
}

/// The start time of the process, in clock ticks since boot (proc(5), `stat`, field 22).
pub(super) fn linux_start_ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command in parentheses may contain spaces and parentheses, so fields are counted from the
    // last one.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_lists_the_running_processes() {
        let directory = std::env::temp_dir().join(format!("pids-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let read = || -> serde_json::Value {
            serde_json::from_slice(&std::fs::read(directory.join(FILE_NAME)).unwrap()).unwrap()
        };
        let mut file = PidFile::new(Some(&directory));
        file.reset();
        assert_eq!(read(), serde_json::json!([]));
        let entry = RecordedProcess {
            pid: 1,
            started_at: Timestamp::UNIX_EPOCH,
            linux_start_ticks: Some(9),
            task_id: "t".into(),
            container: "c".into(),
            command: "/bin/true".into(),
        };
        file.add(("t".into(), 0), entry);
        assert_eq!(
            read(),
            serde_json::json!([{"pid": 1, "startedAt": "1970-01-01T00:00:00Z", "linuxStartTicks": 9, "taskId": "t",
                "container": "c", "command": "/bin/true"}])
        );
        file.remove(&("t".into(), 0));
        assert_eq!(read(), serde_json::json!([]));
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_start_time_of_a_process_is_found() {
        assert!(linux_start_ticks(std::process::id()).is_some_and(|ticks| ticks > 0));
        assert_eq!(linux_start_ticks(u32::MAX), None);
    }
}

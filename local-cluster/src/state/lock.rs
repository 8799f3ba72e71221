//! Who is using a state folder, and whether a demo was started there with `--keep`. In: a state
//! folder. Out: its lock, or who has it. Writes `lock` and `detached.json` in that folder.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::{Timestamp, Unit};
use serde::{Deserialize, Serialize};

use super::folder::absolute;
use crate::error::LocalClusterError;
use crate::private_files::{remove_if_present, write_private};
use crate::shell::quoted;

/// Which process uses the folder, since when, and for which object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub pid: u32,
    pub since: Timestamp,
    /// For example `KinesisDemo default/quick`. None until the manifest is known.
    pub object: Option<String>,
}

impl Usage {
    fn of_this_process() -> Self {
        let now = Timestamp::now();
        Self { pid: std::process::id(), since: now.round(Unit::Second).unwrap_or(now), object: None }
    }

    /// Does not name the process: with `--keep` it has already ended.
    fn described(&self) -> String {
        match &self.object {
            Some(object) => format!("{object}, since {}", self.since),
            None => format!("since {}", self.since),
        }
    }
}

/// Exclusive use of the folder while this value lives. The system releases the lock when the
/// process ends, however it ends.
#[derive(Debug)]
pub struct StateLock {
    file: File,
    folder: PathBuf,
    usage: Usage,
}

impl StateLock {
    /// Takes the lock, or returns an error that names its holder.
    pub fn take(folder: &Path) -> Result<Self, LocalClusterError> {
        let path = folder.join("lock");
        let failed = |source| LocalClusterError::File { attempt: "lock", path: path.clone(), source };
        let mut options = OpenOptions::new();
        // Not truncated: until we have the lock, the text belongs to its holder.
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                let mut text = String::new();
                // The holder may not have written its text yet. The error then says less.
                let _ = file.read_to_string(&mut text);
                let holder = match serde_json::from_str::<Usage>(&text) {
                    Ok(usage) => {
                        let pid = usage.pid;
                        format!(
                            "process {pid}: {}; stop it with Ctrl-C in its terminal or with `kill -INT {pid}`",
                            usage.described()
                        )
                    }
                    Err(_) => "it has just started".to_owned(),
                };
                return Err(LocalClusterError::InUse { path: folder.to_path_buf(), holder });
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut lock = Self { file, folder: folder.to_path_buf(), usage: Usage::of_this_process() };
        lock.write()?;
        Ok(lock)
    }

    /// Records which object is running, for the error that other processes get.
    pub fn set_object(&mut self, object: &str) -> Result<(), LocalClusterError> {
        self.usage.object = Some(object.to_owned());
        self.write()
    }

    /// Records that the processes continue when this process ends.
    pub fn record_detached(&self) -> Result<(), LocalClusterError> {
        write_private(&detached_file(&self.folder), json(&self.usage).as_bytes())
    }

    /// Fails if a demo started with `--keep` is running in the folder. `running` has the roles of
    /// its processes that still run. Removes the record of a demo that has ended.
    pub fn check_not_detached(&self, dir: &Path, running: &[String]) -> Result<(), LocalClusterError> {
        let path = detached_file(&self.folder);
        let Ok(text) = std::fs::read_to_string(&path) else { return Ok(()) };
        if running.is_empty() {
            return self.clear_detached();
        }
        let mut roles = running.to_vec();
        roles.dedup();
        // The record is written atomically. Even if it is damaged, its existence means that a demo
        // was started with `--keep`.
        let what = serde_json::from_str::<Usage>(&text).map(|usage| usage.described()).unwrap_or_default();
        Err(LocalClusterError::Detached {
            path: self.folder.clone(),
            what: format!("{what}: {}", roles.join(", ")),
            dir: quoted(&absolute(dir)?.display().to_string()),
        })
    }

    /// Removes the record of a detached demo, if there is one.
    pub fn clear_detached(&self) -> Result<(), LocalClusterError> {
        remove_if_present(&detached_file(&self.folder))
    }

    fn write(&mut self) -> Result<(), LocalClusterError> {
        let text = json(&self.usage);
        let written = self
            .file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .and_then(|()| self.file.write_all(text.as_bytes()));
        written.map_err(|source| LocalClusterError::File {
            attempt: "write",
            path: self.folder.join("lock"),
            source,
        })
    }
}

fn detached_file(folder: &Path) -> PathBuf {
    folder.join("detached.json")
}

/// Serialising numbers and strings cannot fail.
fn json(usage: &Usage) -> String {
    serde_json::to_string(usage).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_error_names_its_holder_and_the_running_object() {
        let folder = tempfile::tempdir().unwrap();
        let mut lock = StateLock::take(folder.path()).unwrap();
        lock.set_object("KinesisDemo default/quick").unwrap();
        for _ in 0..2 {
            let message = StateLock::take(folder.path()).unwrap_err().to_string();
            let pid = std::process::id();
            assert!(
                message.contains(&format!("process {pid}: KinesisDemo default/quick, since 2")),
                "{message}"
            );
            assert!(message.contains(&format!("kill -INT {pid}")), "{message}");
        }
        drop(lock);
        assert!(StateLock::take(folder.path()).is_ok());
    }

    #[test]
    fn a_detached_demo_blocks_the_folder_only_while_it_runs() {
        let folder = tempfile::tempdir().unwrap();
        let dir = Path::new("/my demos");
        let mut lock = StateLock::take(folder.path()).unwrap();
        assert!(
            lock.check_not_detached(dir, &["etcd".into()]).is_ok(),
            "processes left by a killed demo do not count as a detached demo"
        );
        lock.set_object("KinesisDemo default/quick").unwrap();
        lock.record_detached().unwrap();
        let message =
            lock.check_not_detached(dir, &["etcd".into(), "operator".into()]).unwrap_err().to_string();
        for part in ["KinesisDemo default/quick, since 2", "etcd, operator", "demo-down --state '/my demos'"]
        {
            assert!(message.contains(part), "{message}");
        }
        lock.check_not_detached(dir, &[]).unwrap();
        assert!(!detached_file(folder.path()).exists());
    }
}

//! Who uses a state folder now, and whether a demo was kept in it. In: a folder of ours. Out: its
//! lock, or who holds it. Writes `lock` and `kept.json` in that folder.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::{Timestamp, Unit};
use serde::{Deserialize, Serialize};

use super::process_record::ProcessEntry;
use super::{LocalClusterError, write_private};

/// Since when a demo runs, and what it plays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub pid: u32,
    pub since: Timestamp,
    /// `KinesisDemo default/quick`; None before that is known.
    pub plays: Option<String>,
}

impl Usage {
    fn of_this_process() -> Self {
        let now = Timestamp::now();
        Self { pid: std::process::id(), since: now.round(Unit::Second).unwrap_or(now), plays: None }
    }

    /// Without the process, which has ended when a demo is kept.
    fn described(&self) -> String {
        match &self.plays {
            Some(plays) => format!("{plays}, since {}", self.since),
            None => format!("since {}", self.since),
        }
    }
}

/// The folder is ours alone while this lives. The system gives the lock back when we end, however
/// we end.
#[derive(Debug)]
pub struct StateLock {
    file: File,
    folder: PathBuf,
    usage: Usage,
}

impl StateLock {
    /// Takes the lock, or tells who has it.
    pub fn take(folder: &Path) -> Result<Self, LocalClusterError> {
        let path = folder.join("lock");
        let failed = |source| LocalClusterError::File { attempt: "lock", path: path.clone(), source };
        let mut options = OpenOptions::new();
        // Not truncated: until the lock is ours the text is its holder's.
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                let mut text = String::new();
                // Whoever holds it may not have written it yet; then less is told.
                let _ = file.read_to_string(&mut text);
                let holder = match serde_json::from_str::<Usage>(&text) {
                    Ok(usage) => {
                        let pid = usage.pid;
                        format!(
                            "process {pid}: {}; Ctrl-C there, or `kill -INT {pid}`, ends it",
                            usage.described()
                        )
                    }
                    Err(_) => "it has just begun".to_owned(),
                };
                return Err(LocalClusterError::InUse { path: folder.to_path_buf(), holder });
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut lock = Self { file, folder: folder.to_path_buf(), usage: Usage::of_this_process() };
        lock.write()?;
        Ok(lock)
    }

    /// Tells those who wait at the lock what is played here.
    pub fn tell(&mut self, plays: &str) -> Result<(), LocalClusterError> {
        self.usage.plays = Some(plays.to_owned());
        self.write()
    }

    /// Notes that what runs here was asked to stay when this process ends.
    pub fn keep(&self) -> Result<(), LocalClusterError> {
        write_private(&kept_file(&self.folder), json(&self.usage).as_bytes())
    }

    /// Refuses a folder whose kept demo runs; a note of one that has ended is removed.
    pub fn refuse_kept(&self, dir: &Path, running: &[ProcessEntry]) -> Result<(), LocalClusterError> {
        let path = kept_file(&self.folder);
        let Ok(text) = std::fs::read_to_string(&path) else { return Ok(()) };
        if running.is_empty() {
            return self.forget_kept();
        }
        let mut roles: Vec<_> = running.iter().map(|entry| entry.role.as_str()).collect();
        roles.dedup();
        // The note is ours and never half written; a damaged one still means that something was
        // kept.
        let what = serde_json::from_str::<Usage>(&text).map(|usage| usage.described()).unwrap_or_default();
        Err(LocalClusterError::Kept {
            path: self.folder.clone(),
            what: format!("{what}: {}", roles.join(", ")),
            dir: super::shell::quoted(&dir.display().to_string()),
        })
    }

    /// Removes the note of a kept demo; none is fine.
    pub fn forget_kept(&self) -> Result<(), LocalClusterError> {
        let path = kept_file(&self.folder);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(LocalClusterError::File { attempt: "remove", path, source })
            }
            _ => Ok(()),
        }
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

fn kept_file(folder: &Path) -> PathBuf {
    folder.join("kept.json")
}

/// Numbers and texts cannot fail to be serialised.
fn json(usage: &Usage) -> String {
    serde_json::to_string(usage).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(role: &str) -> ProcessEntry {
        ProcessEntry { role: role.into(), pid: 1, start_time: "0".into() }
    }

    #[test]
    fn who_waits_is_told_who_holds_the_lock_and_what_it_plays() {
        let folder = tempfile::tempdir().unwrap();
        let mut lock = StateLock::take(folder.path()).unwrap();
        lock.tell("KinesisDemo default/quick").unwrap();
        for _ in 0..2 {
            let told = StateLock::take(folder.path()).unwrap_err().to_string();
            let pid = std::process::id();
            assert!(told.contains(&format!("process {pid}: KinesisDemo default/quick, since 2")), "{told}");
            assert!(told.contains(&format!("kill -INT {pid}")), "{told}");
        }
        drop(lock);
        assert!(StateLock::take(folder.path()).is_ok());
    }

    #[test]
    fn a_kept_demo_is_refused_while_it_runs_and_forgotten_when_it_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let dir = Path::new("/my demos");
        let mut lock = StateLock::take(folder.path()).unwrap();
        assert!(lock.refuse_kept(dir, &[entry("etcd")]).is_ok(), "what a killed demo left is no kept demo");
        lock.tell("KinesisDemo default/quick").unwrap();
        lock.keep().unwrap();
        let told = lock.refuse_kept(dir, &[entry("etcd"), entry("operator")]).unwrap_err().to_string();
        for part in ["KinesisDemo default/quick, since 2", "etcd, operator", "demo-down --state '/my demos'"]
        {
            assert!(told.contains(part), "{told}");
        }
        lock.refuse_kept(dir, &[]).unwrap();
        assert!(!kept_file(folder.path()).exists());
    }
}

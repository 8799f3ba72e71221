//! Process handling of the demo, with scripts that do nothing in place of etcd and the other
//! programs. The demo ends what it starts, also on Ctrl-C; the next command ends what a SIGKILL
//! left; a demo that is running or detached is not disturbed. All folders have names that are hard
//! for shells and parsers.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kinesis_demo_local_cluster::processes::record::{
    ProcessEntry, ProcessRecord, ProcessState, fetch_process, is_still_ours,
};
use kinesis_demo_local_cluster::state::folder::{claim, folder_in};
use kinesis_demo_local_cluster::state::lock::StateLock;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A folder with the program, its fake companion programs, and fake assets.
struct Folder(tempfile::TempDir);

impl Folder {
    /// `ignores_sigterm` names a program that SIGTERM does not end: the hard case.
    fn new(ignores_sigterm: Option<&str>) -> Self {
        let mut folder = tempfile::Builder::new();
        let folder = folder.prefix("a b'c=d%20\"\u{e9}$HOME").tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        let folder = Self(folder.unwrap());
        std::fs::hard_link(env!("CARGO_BIN_EXE_kubectl-kinesisdemo"), folder.program()).unwrap();
        for name in [
            "kinesis-demo-operator",
            "kinesis-demo-sandbox",
            "kinesis-demo-generator",
            "kube-apiserver",
            "etcd",
        ] {
            let trap = if ignores_sigterm == Some(name) { "trap '' TERM; " } else { "" };
            put_script(&folder.0.path().join(name), &format!("#!/bin/sh\n{trap}exec sleep 600\n"));
        }
        folder
    }

    fn program(&self) -> PathBuf {
        self.0.path().join("kubectl-kinesisdemo")
    }

    /// The value of `--state`.
    fn dir(&self) -> PathBuf {
        self.0.path().join("my state")
    }

    /// The demo's own folder in it.
    fn state(&self) -> PathBuf {
        folder_in(&self.dir())
    }

    fn start(&self, verb: &str) -> Child {
        self.start_with(verb, &[])
    }

    fn start_with(&self, verb: &str, arguments: &[&Path]) -> Child {
        Command::new(self.program())
            .arg(verb)
            .args(arguments)
            .arg("--state")
            .arg(self.dir())
            .env("KUBEBUILDER_ASSETS", self.0.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

/// Written by another process: a thread of this process that forks at the wrong moment would
/// inherit the file open for writing, and such a file cannot be executed.
fn put_script(path: &Path, text: &str) {
    let write = "printf '%s' \"$1\" > \"$0\" && chmod 755 \"$0\"";
    let written = Command::new("sh").args(["-c", write]).arg(path).arg(text).status().unwrap();
    assert!(written.success());
}

fn still_running(entries: &[ProcessEntry]) -> Vec<&str> {
    let alive = |entry: &&ProcessEntry| is_still_ours(entry, &fetch_process(entry.pid));
    entries.iter().filter(alive).map(|entry| entry.role.as_str()).collect()
}

/// Waits until etcd is recorded. The fake etcd never serves, so the demo stays in this state.
fn started(state: &Path) -> Vec<ProcessEntry> {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let entries = ProcessRecord::at(state).fetch().unwrap_or_default();
        if entries.len() == 1 {
            return entries;
        }
        assert!(Instant::now() < until, "etcd did not start: {entries:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

#[test]
fn an_interrupt_during_startup_ends_everything() {
    let folder = Folder::new(None);
    let demo = folder.start("demo");
    let entries = started(&folder.state());
    assert_eq!(still_running(&entries), ["etcd"]);
    signal(&demo, Signal::SIGINT);
    let output = demo.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(still_running(&entries), Vec::<&str>::new());
    assert!(!folder.state().join("kubernetes").exists(), "keys of a stopped server are removed");
}

#[test]
fn the_next_command_ends_what_a_killed_demo_left() {
    let folder = Folder::new(Some("etcd"));
    let mut demo = folder.start("demo");
    let entries = started(&folder.state());
    signal(&demo, Signal::SIGKILL);
    demo.wait().unwrap();
    assert!(still_running(&entries).contains(&"etcd"), "etcd ignores the SIGTERM that the system sends it");

    let output = folder.start("demo-down").wait_with_output().unwrap();
    let message = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{message}");
    assert!(message.contains("ended etcd"), "{message}");
    assert_eq!(still_running(&entries), Vec::<&str>::new());

    let output = folder.start("demo-down").wait_with_output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("no process of"));
}

#[test]
fn two_demos_do_not_share_a_folder() {
    let folder = Folder::new(None);
    let demo = folder.start("demo");
    started(&folder.state());
    let second = folder.start("demo").wait_with_output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let message = String::from_utf8(second.stderr).unwrap();
    let holder = format!("(process {}: KinesisDemo default/quick, since 2", demo.id());
    assert!(message.contains("another demo is using") && message.contains(&holder), "{message}");
    let down = folder.start("demo-down").wait_with_output().unwrap();
    assert_eq!(down.status.code(), Some(1), "demo-down does not end a demo in the middle of its run");
    signal(&demo, Signal::SIGTERM);
    assert_eq!(demo.wait_with_output().unwrap().status.code(), Some(130));
}

#[test]
fn a_detached_demo_runs_until_demo_down() {
    let folder = Folder::new(None);
    let state = claim(&folder.dir()).unwrap();
    let mut etcd = Command::new("sleep").arg("600").spawn().unwrap();
    let pid = i32::try_from(etcd.id()).unwrap();
    let ProcessState::Running { start_time } = fetch_process(pid) else { panic!("it was just started") };
    ProcessRecord::at(&state).put(&[ProcessEntry { role: "etcd".into(), pid, start_time }]).unwrap();
    let mut lock = StateLock::take(&state).unwrap();
    lock.set_object("KinesisDemo default/viral").unwrap();
    lock.record_detached().unwrap();
    drop(lock);
    std::fs::write(state.join("report.json"), "the last report").unwrap();
    std::fs::write(state.join("env"), "export KUBECONFIG=/removed").unwrap();
    std::fs::create_dir_all(state.join("kubectl-cache/discovery")).unwrap();

    let refused = folder.start("demo").wait_with_output().unwrap();
    let message = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{message}");
    for part in [
        "a demo started with --keep is running in",
        "KinesisDemo default/viral, since 2",
        ": etcd)",
        "demo-down --state '",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(etcd.try_wait().unwrap().is_none(), "a refused demo must not end the detached one");

    let down = folder.start("demo-down").wait_with_output().unwrap();
    let env = state.join("env");
    assert_eq!(
        String::from_utf8(down.stdout).unwrap(),
        format!("ended etcd\nA shell that sourced {} still points at this demo: close it.\n", env.display())
    );
    assert!(!env.exists() && !state.join("kubectl-cache").exists());
    assert!(!etcd.wait().unwrap().success());
    assert_eq!(std::fs::read_to_string(state.join("report.json")).unwrap(), "the last report");

    // No demo is running any more, so the next one starts.
    let demo = folder.start("demo");
    started(&folder.state());
    signal(&demo, Signal::SIGINT);
    assert_eq!(demo.wait_with_output().unwrap().status.code(), Some(130));
}

#[test]
fn an_invalid_manifest_starts_nothing() {
    let folder = Folder::new(None);
    let file = folder.0.path().join("my demo.yaml");
    let text = include_str!("../../examples/smoke.yaml");
    std::fs::write(&file, text.replace("recordsPerSecond", "recordsPerMinute")).unwrap();
    let refused = folder.start_with("demo", &[&file]).wait_with_output().unwrap();
    let message = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{message}");
    assert!(message.contains("unknown field spec.phases[0].recordsPerMinute"), "{message}");
    assert!(!folder.dir().exists(), "nothing was started");
}

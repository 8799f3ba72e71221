//! The demo's care for processes, with programs that do nothing in the place of etcd and the rest:
//! what it starts it ends, on Ctrl-C, and after a SIGKILL by the next command; what runs already it
//! lets run. All in folders with names that shells and parsers stumble over.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kubectl_kinesisdemo::local_cluster::process_record::{
    ProcessEntry, ProcessRecord, ProcessState, fetch_process, is_still_ours,
};
use kubectl_kinesisdemo::local_cluster::state_folder::{claim, folder_in};
use kubectl_kinesisdemo::local_cluster::state_lock::StateLock;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A folder with the program, its fake neighbours, and fake assets.
struct Folder(tempfile::TempDir);

impl Folder {
    /// `deaf` is a program that SIGTERM does not end: the hard case.
    fn new(deaf: Option<&str>) -> Self {
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
            let trap = if deaf == Some(name) { "trap '' TERM; " } else { "" };
            put_script(&folder.0.path().join(name), &format!("#!/bin/sh\n{trap}exec sleep 600\n"));
        }
        folder
    }

    fn program(&self) -> PathBuf {
        self.0.path().join("kubectl-kinesisdemo")
    }

    /// What `--state` is given.
    fn dir(&self) -> PathBuf {
        self.0.path().join("my state")
    }

    /// The one folder in it that is the demo's.
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

/// Written by another process: a thread of ours that forks at the wrong moment would hold it open for writing, and what is open for
/// writing cannot be executed.
fn put_script(path: &Path, text: &str) {
    let write = "printf '%s' \"$1\" > \"$0\" && chmod 755 \"$0\"";
    let written = Command::new("sh").args(["-c", write]).arg(path).arg(text).status().unwrap();
    assert!(written.success());
}

fn run_on(entries: &[ProcessEntry]) -> Vec<&str> {
    let alive = |entry: &&ProcessEntry| is_still_ours(entry, &fetch_process(entry.pid));
    entries.iter().filter(alive).map(|entry| entry.role.as_str()).collect()
}

/// Waits until etcd is recorded; it never serves, so that the demo stays where it is.
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
fn an_interrupt_while_it_starts_ends_everything_and_tells_so() {
    let folder = Folder::new(None);
    let demo = folder.start("demo");
    let entries = started(&folder.state());
    assert_eq!(run_on(&entries), ["etcd"]);
    signal(&demo, Signal::SIGINT);
    let output = demo.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(run_on(&entries), Vec::<&str>::new());
    assert!(!folder.state().join("kubernetes").exists(), "keys of a dead server are of no use");
}

#[test]
fn what_a_killed_demo_left_is_ended_by_the_next_command() {
    let folder = Folder::new(Some("etcd"));
    let mut demo = folder.start("demo");
    let entries = started(&folder.state());
    signal(&demo, Signal::SIGKILL);
    demo.wait().unwrap();
    assert!(run_on(&entries).contains(&"etcd"), "it is deaf to the signal that the system sends it");

    let output = folder.start("demo-down").wait_with_output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("ended etcd"), "{told}");
    assert_eq!(run_on(&entries), Vec::<&str>::new());

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
    let told = String::from_utf8(second.stderr).unwrap();
    let holder = format!("(process {}: KinesisDemo default/quick, since 2", demo.id());
    assert!(told.contains("another demo is using") && told.contains(&holder), "{told}");
    let down = folder.start("demo-down").wait_with_output().unwrap();
    assert_eq!(down.status.code(), Some(1), "a demo in the middle of its run is not ended from elsewhere");
    signal(&demo, Signal::SIGTERM);
    assert_eq!(demo.wait_with_output().unwrap().status.code(), Some(130));
}

#[test]
fn a_kept_demo_runs_until_it_is_ended_by_name() {
    let folder = Folder::new(None);
    let state = claim(&folder.dir()).unwrap();
    let mut etcd = Command::new("sleep").arg("600").spawn().unwrap();
    let pid = i32::try_from(etcd.id()).unwrap();
    let ProcessState::Alive { start_time } = fetch_process(pid) else { panic!("it was just started") };
    ProcessRecord::at(&state).put(&[ProcessEntry { role: "etcd".into(), pid, start_time }]).unwrap();
    let mut lock = StateLock::take(&state).unwrap();
    lock.set_plays("KinesisDemo default/viral").unwrap();
    lock.keep().unwrap();
    drop(lock);
    std::fs::write(state.join("report.json"), "the last report").unwrap();

    let refused = folder.start("demo").wait_with_output().unwrap();
    let told = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{told}");
    for part in [
        "a demo started with --keep is running in",
        "KinesisDemo default/viral, since 2",
        ": etcd)",
        "demo-down --state '",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert!(etcd.try_wait().unwrap().is_none(), "nobody asked for its end");

    let down = folder.start("demo-down").wait_with_output().unwrap();
    assert!(String::from_utf8(down.stdout).unwrap().contains("ended etcd"));
    assert!(!etcd.wait().unwrap().success());
    assert_eq!(std::fs::read_to_string(state.join("report.json")).unwrap(), "the last report");

    // Nothing is kept any more: the next one begins.
    let demo = folder.start("demo");
    started(&folder.state());
    signal(&demo, Signal::SIGINT);
    assert_eq!(demo.wait_with_output().unwrap().status.code(), Some(130));
}

#[test]
fn a_manifest_that_cannot_be_right_starts_nothing() {
    let folder = Folder::new(None);
    let file = folder.0.path().join("my demo.yaml");
    let text = include_str!("../../examples/smoke.yaml");
    std::fs::write(&file, text.replace("recordsPerSecond", "recordsPerMinute")).unwrap();
    let refused = folder.start_with("demo", &[&file]).wait_with_output().unwrap();
    let told = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("unknown field spec.phases[0].recordsPerMinute"), "{told}");
    assert!(!folder.dir().exists(), "nothing was begun");
}

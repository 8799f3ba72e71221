//! `watch` in terminals of several sizes: tmux is the terminal, the test plays the operator. Needs
//! tmux, kube-apiserver and etcd on this machine; without them the test prints a line and passes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use kinesis_demo_api::KinesisDemo;
use kinesis_demo_local_cluster::kubernetes::definition;
use kinesis_demo_local_cluster::{ApiServer, ApiServerOptions};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

/// A pane of tmux in which a shell runs one command, with what the shell said before and after.
struct Pane {
    folder: tempfile::TempDir,
}

impl Pane {
    fn open((width, height): (u16, u16), command: &str) -> Self {
        let pane = Self { folder: tempfile::tempdir().unwrap() };
        let folder = pane.folder.path().display();
        // Without its size, which the test changes.
        let settings = "stty -a | sed 's/rows [0-9]*; columns [0-9]*;//'";
        // The shell outlives Ctrl-C; the program gets it too.
        let script = format!(
            "trap : INT\necho before the watch\n{settings} >'{folder}/before'\n{command}\ncode=$?\n\
             {settings} >'{folder}/after'\necho \"exit code $code\"\nsleep 600\n"
        );
        let path = pane.folder.path().join("script");
        std::fs::write(&path, script).unwrap();
        let (width, height) = (width.to_string(), height.to_string());
        let path = path.to_str().unwrap();
        pane.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", &width, "-y", &height, "sh", path]);
        pane
    }

    /// Runs tmux with a server of its own.
    fn tmux(&self, words: &[&str]) -> String {
        let socket = self.folder.path().join("socket");
        let mut command = Command::new("tmux");
        let output =
            command.env_remove("TMUX").env_remove("NO_COLOR").arg("-S").arg(socket).args(words).output();
        let output = output.unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "tmux {words:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn text(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// The text with what lies above it.
    fn scrollback(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-S", "-"])
    }

    /// Waits until the pane's text is as wanted, and returns it.
    async fn wait_for(&self, what: &str, is_wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.text();
            if is_wanted(&text) {
                return text;
            }
            assert!(Instant::now() < deadline, "no {what} within {PATIENCE:?}:\n{text}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether the cursor is visible, and whether the alternate screen is on.
    fn state(&self) -> String {
        self.tmux(&["display-message", "-p", "cursor #{cursor_flag} alternate #{alternate_on}"])
    }

    fn resize(&self, (width, height): (u16, u16)) {
        self.tmux(&["resize-window", "-x", &width.to_string(), "-y", &height.to_string()]);
    }

    fn stty(&self, when: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(when)).unwrap()
    }
}

impl Drop for Pane {
    fn drop(&mut self) {
        let socket = self.folder.path().join("socket");
        drop(Command::new("tmux").arg("-S").arg(socket).arg("kill-server").output());
    }
}

fn has_tmux() -> bool {
    Command::new("tmux").arg("-V").output().is_ok_and(|output| output.status.success())
}

/// A throttled run in its second phase of three, as the operator would write it.
fn status() -> Value {
    let now = Timestamp::now();
    let at = |second: i64| {
        (now + SignedDuration::from_secs(second)).strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
    };
    let phase = |name: &str, [from, until]: [i64; 2], throttled: u64| {
        json!({"name": name, "recordsPerSecond": 10_000, "tasks": 1, "startsAt": at(from), "endsAt": at(until),
            "scheduled": 100_000, "offered": 100_000, "accepted": 40_000, "throttled": throttled, "failed": 4_321,
            "dropped": 55_679, "unknown": 0, "unoffered": 0, "unreported": 0,
            "latencyMs": {"p50": 7, "p99": 987, "max": 4_000}})
    };
    json!({"stage": "Running", "observedGeneration": 1,
        "run": {"number": 1, "stageEnteredAt": at(-60), "endsAt": at(1_200)},
        "phases": [phase("before", [-60, -30], 0), phase("rush", [-30, 600], 1_234_567), phase("after", [600, 1_200], 0)],
        "stream": {"name": "s", "arn": "arn", "status": "ACTIVE", "shards": 4},
        "generators": {"desired": 2, "running": 2, "admitted": 2},
        "traffic": {"scheduled": 200_000, "offered": 200_000, "accepted": 80_000, "throttled": 1_234_567, "failed": 4_321,
            "dropped": 55_679, "unknown": 0, "unoffered": 0, "unreported": 0, "rate": 4_000, "target": 10_000,
            "rateFrom": at(-4), "rateUntil": at(-2), "sampledAt": at(-1), "settled": false}})
}

const WANTED: [&str; 8] = [
    "left in all",
    "phase rush (2 of 3)",
    "throttled 1,234,567",
    "failed 4,321",
    "dropped 55,679",
    "P99",
    "987",
    "shards 4",
];

fn has_all(text: &str) -> bool {
    WANTED.iter().all(|word| text.contains(word))
}

/// The program's command line, for the shell.
fn watch(kubeconfig: &Path, flags: &str) -> String {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_kubectl-kinesisdemo"));
    let (program, kubeconfig) = (program.display(), kubeconfig.display());
    format!("'{program}' watch smoke -n demos --kubeconfig '{kubeconfig}' {flags}")
}

async fn set_up(options: ApiServerOptions, state: &Path) -> ApiServer {
    let server = ApiServer::start(state, options).await.unwrap();
    definition::put_namespace(&server.client(), "demos").await.unwrap();
    definition::put_definitions(&server.client()).await.unwrap();
    let demos: Api<KinesisDemo> = Api::namespaced(server.client(), "demos");
    let demo: KinesisDemo = serde_json::from_value(json!({"apiVersion": "kinesisdemo.io/v1alpha1",
        "kind": "KinesisDemo", "metadata": {"name": "smoke"}, "spec": {}}))
    .unwrap();
    demos.create(&PostParams::default(), &demo).await.unwrap();
    let patch = json!({"apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemo", "status": status()});
    demos.patch_status("smoke", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    server
}

#[tokio::test]
async fn a_watch_fits_its_terminal_and_leaves_it_as_it_was() {
    if !has_tmux() {
        eprintln!("skipped: tmux is not installed");
        return;
    }
    let Some(options) = ApiServerOptions::cached().await else { return };
    let state = tempfile::tempdir().unwrap();
    let server = set_up(options, state.path()).await;
    let kubeconfig = server.admin_kubeconfig();
    let sizes = [(60, 20), (80, 24), (120, 40)];
    for (index, size) in sizes.into_iter().enumerate() {
        let pane = Pane::open(size, &watch(kubeconfig, ""));
        let shown = pane.wait_for("whole frame", has_all).await;
        assert!(shown.lines().all(|line| line.chars().count() <= size.0.into()), "{size:?}:\n{shown}");
        assert_eq!(shown.lines().filter(|line| line.contains("demos/smoke")).count(), 1, "{shown}");
        assert_eq!(pane.state(), "cursor 0 alternate 1\n");
        assert!(pane.tmux(&["capture-pane", "-p", "-e"]).contains("38;5;1m"), "losses are red");

        // Typed letters do not appear, and every size shows one whole frame.
        pane.tmux(&["send-keys", "typed"]);
        for other in [sizes[(index + 1) % 3], sizes[(index + 2) % 3]] {
            pane.resize(other);
            let fits = |text: &str| {
                let lines: Vec<&str> = text.lines().collect();
                has_all(text)
                    && lines.len() <= other.1.into()
                    && lines.first().is_some_and(|head| head.chars().count() == usize::from(other.0))
            };
            let shown = pane.wait_for("frame of the new size", fits).await;
            for once in ["demos/smoke", "left in all", "PHASE", "throttled 1,234,567", "shards 4"] {
                assert_eq!(shown.matches(once).count(), 1, "{once} at {other:?}:\n{shown}");
            }
            assert!(!shown.contains("typed") && !shown.contains("before the watch"), "{shown}");
        }

        pane.tmux(&["send-keys", "C-c"]);
        pane.wait_for("end", |text| text.contains("exit code")).await;
        let all = pane.scrollback();
        assert!(all.starts_with("before the watch\ndemos/smoke · run 1 · Running"), "{all}");
        assert!(has_all(&all) && all.trim_end().ends_with("exit code 130"), "{all}");
        assert!(!all.contains("typed"), "{all}");
        assert_eq!(all.matches("demos/smoke").count(), 1, "the last frame, once:\n{all}");
        assert_eq!(pane.state(), "cursor 1 alternate 0\n");
        assert_eq!(pane.stty("after"), pane.stty("before"));
    }

    // Without colours, and as plain lines.
    let pane = Pane::open((80, 24), &format!("NO_COLOR=1 {}", watch(kubeconfig, "")));
    pane.wait_for("whole frame", has_all).await;
    let styled = pane.tmux(&["capture-pane", "-p", "-e"]);
    let colours = ["38;5;", "[31m", "[32m", "[33m", "[36m"];
    assert!(!colours.iter().any(|colour| styled.contains(colour)), "{styled:?}");
    drop(pane);
    for command in [watch(kubeconfig, "--plain"), format!("TERM=dumb {}", watch(kubeconfig, ""))] {
        let pane = Pane::open((200, 24), &command);
        let shown = pane.wait_for("line", |text| text.contains("dropped 55,679")).await;
        let line =
            "Z  smoke  Running  tasks 2/2  shards 4  accepted 80,000  throttled 1,234,567  failed 4,321";
        assert!(shown.contains(line), "{shown}");
        assert_eq!(pane.state(), "cursor 1 alternate 0\n");
    }
    server.stop().await;
}

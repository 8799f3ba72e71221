//! Runs `kubectl-kinesisdemo demo` as a user does, from a folder whose name contains characters
//! that shells and parsers often mishandle; and kills the operator of a demo.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use kinesis_demo_local_cluster::processes::orphans::running;
use kinesis_demo_local_cluster::programs::OPERATOR;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::process::Command;

use crate::local_stack::{programs, shared_permit};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_smoke_demo_succeeds_reports_and_leaves_nothing() {
    let Some(_permit) = shared_permit().await else { return };
    let mut folder = tempfile::Builder::new();
    let folder = folder.prefix("a b'c=d%20\"\u{e9}$HOME").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for name in
        ["kubectl-kinesisdemo", "kinesis-demo-operator", "kinesis-demo-sandbox", "kinesis-demo-generator"]
    {
        std::fs::hard_link(programs().join(name), folder.path().join(name)).unwrap();
    }
    let state = folder.path().join("my state");
    let manifest = folder.path().join("my demo.yaml");
    std::fs::write(&manifest, include_str!("../../examples/smoke.yaml")).unwrap();
    let output = Command::new(folder.path().join("kubectl-kinesisdemo"))
        .arg("demo")
        .arg(manifest)
        .arg("--state")
        .arg(&state)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let printed =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{printed}");

    let report: Value =
        serde_json::from_slice(&std::fs::read(state.join("demo/report.json")).unwrap()).unwrap();
    assert_eq!(report["outcome"], "Succeeded", "{report:#}");
    assert_eq!(report["leaked"], serde_json::json!([]));
    let phases = report["phases"].as_array().unwrap();
    let rates: Vec<_> = phases.iter().map(|phase| phase["scheduled"].as_u64().unwrap()).collect();
    assert_eq!(rates, [500, 5_000]);
    let sum = |name: &str| phases.iter().map(|phase| phase[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum("offered"), sum("accepted") + sum("failed") + sum("dropped") + sum("unknown"));
    assert_eq!(sum("accepted"), 5_500, "{report:#}");
    let stored = report["stored"].as_u64().unwrap();
    assert!(sum("accepted") <= stored && stored <= sum("accepted") + sum("unknown"), "{report:#}");
}

/// Kills the demo's operator once it is another one than `last`. Returns its pid.
async fn kill_operator(state: &Path, last: Option<i32>) -> i32 {
    let killing = async {
        loop {
            let entries = running(state).unwrap_or_default();
            let operator = entries.into_iter().find(|entry| entry.role == OPERATOR);
            match operator.map(|entry| entry.pid).filter(|pid| Some(*pid) != last) {
                Some(pid) => {
                    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
                    return pid;
                }
                None => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), killing).await.expect("the demo has no operator")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_starts_a_killed_operator_again() {
    let Some(_permit) = shared_permit().await else { return };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut demo = Command::new(programs().join("kubectl-kinesisdemo"))
        .args(["demo", "examples/smoke.yaml", "--state"])
        .arg(folder.path())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let state = folder.path().join("demo");
    let mut last = None;
    for _ in 0..3 {
        last = Some(kill_operator(&state, last).await);
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
    assert!(demo.try_wait().unwrap().is_none(), "the demo was over before the last kill");
    let output = demo.wait_with_output().await.unwrap();
    let printed =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{printed}");
    let restarts = printed.matches("the operator has ended (signal: 9 (SIGKILL)); starting it again").count();
    assert_eq!(restarts, 3, "{printed}");

    let report: Value = serde_json::from_slice(&std::fs::read(state.join("report.json")).unwrap()).unwrap();
    assert_eq!(report["outcome"], "Succeeded", "{report:#}");
    assert_eq!(report["leaked"], serde_json::json!([]));
    let phases = report["phases"].as_array().unwrap();
    let accepted = |phase: &Value| phase["accepted"].as_u64().unwrap();
    assert_eq!(phases.iter().map(accepted).collect::<Vec<_>>(), [500, 5_000], "{report:#}");
    // They share one log. The first may have been killed before it wrote anything.
    let log = std::fs::read_to_string(state.join("logs/operator.log")).unwrap();
    assert!(log.matches("leadership gained").count() >= 3, "{log}");
}

//! Runs `kubectl-kinesisdemo demo` as a user does, from a folder whose name contains characters
//! that shells and parsers often mishandle.

use std::process::Stdio;

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

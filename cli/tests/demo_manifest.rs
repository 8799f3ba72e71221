//! A manifest that only the API server can reject: its error ends the demo before anything else is
//! started, its message is shown, and the last report is kept. Needs kube-apiserver and etcd on
//! this machine; without them the test prints a line and passes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::{Command, Stdio};

use kinesis_demo_local_cluster::kubernetes::assets::cached_assets;
use kinesis_demo_local_cluster::processes::orphans::running;
use kinesis_demo_local_cluster::state::folder::claim;

#[tokio::test]
async fn a_rejected_manifest_ends_the_demo_and_keeps_the_report() {
    let Some(assets) = cached_assets().await else { return };
    let folder = tempfile::Builder::new()
        .prefix("a b'c=d%20\"\u{e9}$HOME")
        .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .unwrap();
    let program = folder.path().join("kubectl-kinesisdemo");
    std::fs::hard_link(env!("CARGO_BIN_EXE_kubectl-kinesisdemo"), &program).unwrap();
    for name in ["kinesis-demo-operator", "kinesis-demo-sandbox", "kinesis-demo-generator"] {
        std::fs::write(folder.path().join(name), "never started").unwrap();
    }
    let manifest = folder.path().join("my demo.yaml");
    // Violates a CEL rule, which neither the types nor the plan check.
    let text = include_str!("../../examples/smoke.yaml")
        .replace("spec:\n", "spec:\n  generator: {fargate: {cpu: 256, memoryMiB: 8192}}\n");
    std::fs::write(&manifest, text).unwrap();
    let state = claim(folder.path()).unwrap();
    std::fs::write(state.join("report.json"), "the last report").unwrap();

    let output = Command::new(&program)
        .arg("demo")
        .arg(&manifest)
        .arg("--state")
        .arg(folder.path())
        .env("KUBEBUILDER_ASSETS", assets)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("could not apply KinesisDemo default/smoke"), "{message}");
    assert!(message.contains("generator.fargate.memoryMiB: not a size that Fargate offers"), "{message}");
    assert!(message.contains("next: correct the manifest"), "{message}");
    assert_eq!(std::fs::read_to_string(state.join("report.json")).unwrap(), "the last report");
    assert!(!state.join("logs/sandbox.log").exists() && !state.join("logs/operator.log").exists());
    assert_eq!(running(&state).unwrap(), vec![]);
    assert!(!state.join("kubernetes").exists(), "keys of a stopped server are removed");
}

//! A manifest that only the API server can judge: its refusal ends the demo before anything else is
//! started, in its own words, and the last report stays. Needs kube-apiserver and etcd on this
//! machine; prints a line and passes without.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::{Command, Stdio};

use kubectl_kinesisdemo::local_cluster::{assets, leftovers, state_folder::claim};

#[tokio::test]
async fn what_the_api_server_refuses_ends_the_demo_and_leaves_the_last_report() {
    let Some(assets) = assets::cached_assets().await else {
        println!(
            "skipped: no kube-apiserver and etcd on this machine; hack/envtest/envtest fetches or builds them"
        );
        return;
    };
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
    // A rule in CEL, which neither the types nor the plan know.
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
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("could not apply KinesisDemo default/smoke"), "{told}");
    assert!(told.contains("generator.fargate.memoryMiB: not a size that Fargate offers"), "{told}");
    assert!(told.contains("next: correct the manifest"), "{told}");
    assert_eq!(std::fs::read_to_string(state.join("report.json")).unwrap(), "the last report");
    assert!(!state.join("logs/sandbox.log").exists() && !state.join("logs/operator.log").exists());
    assert_eq!(leftovers::running(&state).unwrap(), vec![]);
    assert!(!state.join("kubernetes").exists(), "keys of a dead server are of no use");
}

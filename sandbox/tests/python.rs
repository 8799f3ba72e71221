//! boto3 and the AWS CLI against an embedded sandbox: runs `tests/python/conformance.py`, where the checks are.
//!
//! Needs a Python with both, named by `KINESISDEMO_PYTHON` or made by `hack/python-venv` in `target/python`; without one it is
//! skipped with a line that says so.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use kinesis_demo_sandbox::{Options, Sandbox};
use tokio::process::Command;

/// So fast that what takes AWS half a minute takes a tenth of a second.
const SPEED: u32 = 300;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The interpreter to use, if it has what the test needs.
async fn python() -> Option<PathBuf> {
    let named = std::env::var_os("KINESISDEMO_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| repository().join("target/python/bin/python"));
    let probe = Command::new(&python)
        .args(["-c", "import awscli, boto3"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await;
    probe.is_ok_and(|status| status.success()).then_some(python)
}

#[tokio::test(flavor = "multi_thread")]
async fn boto3_and_the_aws_cli_accept_every_answer() {
    let Some(python) = python().await else {
        // Written past the harness, which would swallow it.
        writeln!(
            std::io::stderr(),
            "skipped: no Python with boto3 and awscli; run hack/python-venv or set KINESISDEMO_PYTHON"
        )
        .unwrap();
        return;
    };
    let options = Options {
        speed: SPEED,
        clusters: vec!["demo".to_owned()],
        images: vec![("example.com/task:1".to_owned(), r#"["/bin/sleep","600"]"#.to_owned())],
        ..Options::default()
    };
    let running = Sandbox::start(options).await.unwrap();
    let output = Command::new(python)
        .arg(repository().join("tests/python/conformance.py"))
        .arg(running.endpoint_url())
        .env("SANDBOX_ACCESS_KEY_ID", running.access_key_id())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    running.stop().await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("\nOK\n"), "{told}");
}

/// The line of docs/sandbox.md with which a user's shell is told of the sandbox.
fn documented_exports() -> String {
    let page = std::fs::read_to_string(repository().join("docs/sandbox.md")).unwrap();
    let line = page.lines().find(|line| line.starts_with("export AWS_ENDPOINT_URL="));
    line.unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_exports_are_all_that_boto3_and_the_aws_cli_need() {
    let Some(python) = python().await else { return };
    let running = Sandbox::start(Options { speed: SPEED, ..Options::default() }).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sandbox.key"), running.access_key_id()).unwrap();
    let exports = documented_exports().replace("PORT", &running.address.port().to_string());
    let script = format!(
        r#"{exports}
        "$PYTHON" -c "import boto3; boto3.client('kinesis').create_stream(StreamName='posts', ShardCount=1)"
        "$PYTHON" -m awscli kinesis wait stream-exists --stream-name posts
        "$PYTHON" -m awscli kinesis put-record --stream-name posts --partition-key k --data eA==
        "$PYTHON" -m awscli kinesis list-streams --query 'StreamNames' --output text
        "#
    );
    let output = Command::new("/bin/sh")
        .args(["-euc", &script])
        .current_dir(folder.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder.path())
        .env("PYTHON", python)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    running.stop().await;
    let (told, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{complained}");
    assert!(told.contains("SequenceNumber") && told.ends_with("posts\n"), "{told}");
}

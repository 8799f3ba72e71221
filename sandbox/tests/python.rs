//! Runs boto3 and the AWS CLI against an embedded sandbox. The checks are in
//! `tests/python/conformance.py`.
//!
//! Needs a Python with both, set by `KINESISDEMO_PYTHON` or created in `target/python` by
//! `hack/python-venv`. Without one, the tests print that they are skipped.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use kinesis_demo_sandbox::{Options, Sandbox};
use tokio::process::Command;

/// Fast: half a minute of model time takes a tenth of a second.
const SPEED: u32 = 300;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The interpreter to use, if it has boto3 and awscli.
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

/// Prints that there is no such interpreter, to stderr directly, because the test harness captures
/// `eprintln!`.
fn skip() {
    let mut stderr = std::io::stderr();
    writeln!(
        stderr,
        "skipped: no Python with boto3 and awscli; run hack/python-venv or set KINESISDEMO_PYTHON"
    )
    .unwrap();
}

/// The block of commands in `docs/sandbox.md` that contains `part`.
fn documented_commands(part: &str) -> String {
    let page = std::fs::read_to_string(repository().join("docs/sandbox.md")).unwrap();
    let mut blocks = page.split("```").skip(1).step_by(2).filter(|block| block.starts_with('\n'));
    blocks.find(|block| block.contains(part)).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_in_the_documentation_work() {
    let Some(python) = python().await else { return skip() };
    let folder = std::env::temp_dir().join(format!("sandbox-page-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let sandbox = Path::new(env!("CARGO_BIN_EXE_kinesis-demo-sandbox")).parent().unwrap().to_owned();
    // The commands leave a sandbox running, so the trap stops it. The second block needs a curl
    // that supports --json.
    let (start, inject) = (documented_commands("import boto3"), documented_commands("/_sandbox/faults"));
    assert!(start.contains("kinesis-demo-sandbox serve"), "{start}");
    let script =
        format!("trap 'kill $!' EXIT\n{start}\nif curl --help all | grep -q -- --json; then\n{inject}\nfi");
    let search = [sandbox.as_path(), python.parent().unwrap()].into_iter().map(Path::to_owned);
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(search.chain(std::env::split_paths(&inherited))).unwrap();
    // Without the user's own settings.
    let output = Command::new("sh")
        .args(["-euc", &script])
        .env_clear()
        .env("PATH", path)
        .env("HOME", &folder)
        .env("AWS_PAGER", "")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(&folder)
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let (out, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{stderr}");
    assert!(out.contains("\"StreamNames\": []") && out.contains("\n[]\n"), "{out}\n{stderr}");
    assert!(!out.contains("\"error\""), "{out}\n{stderr}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn boto3_and_the_aws_cli_accept_every_response() {
    let Some(python) = python().await else { return skip() };
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
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("\nOK\n"), "{stderr}");
}

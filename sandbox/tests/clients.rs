//! Runs clients in other languages, with their default settings, against an embedded sandbox. Their
//! programs are in `tests/clients`.
//!
//! They are installed from package registries, so they run only on request: set
//! `KINESISDEMO_CLIENTS` to `all` or to a list of `javascript`, `go`, `java`, `producer` (the KPL)
//! and `consumer` (the KCL, with its leases in moto). They need npm, Go, a JDK with Maven, and for
//! `consumer` a Python with `moto[server,dynamodb]` (`KINESISDEMO_PYTHON`, or `target/python`).
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;

use kinesis_demo_sandbox::tls::TlsSettings;
use kinesis_demo_sandbox::{Options, Running, Sandbox};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;

#[path = "aws_sdk/wait.rs"]
mod wait;

use wait::wait_for;

/// Fast, but slow enough that streams do not scale while a client runs.
const SPEED: u32 = 20;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// True if the client is selected; otherwise prints that it is skipped.
fn is_selected(client: &str) -> bool {
    let selection = std::env::var("KINESISDEMO_CLIENTS").unwrap_or_default();
    let is_match = selection.split(',').any(|one| one == client || one == "all");
    if !is_match {
        // Written to stderr directly, because the test harness captures `eprintln!`.
        let mut stderr = std::io::stderr();
        writeln!(stderr, "skipped: client {client}; to run it, set KINESISDEMO_CLIENTS={client} or all")
            .unwrap();
    }
    is_match
}

/// Copies a client's sources to `target`, where it can be installed and built.
fn copy_sources(client: &str) -> PathBuf {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            let to = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &to);
            } else {
                std::fs::copy(entry.path(), to).unwrap();
            }
        }
    }
    let folder = repository().join("target/clients").join(client);
    copy(&repository().join("tests/clients").join(client), &folder);
    folder
}

/// Runs a command, which must succeed, and returns its standard output.
async fn run(command: &mut Command) -> String {
    let output = command.kill_on_drop(true).output().await.unwrap_or_else(|error| {
        panic!("could not run {command:?}: {error}");
    });
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stdout}\n{stderr}");
    stdout
}

/// A sandbox and the environment for its clients, as docs/sandbox.md exports it.
struct TestSandbox {
    running: Running,
    folder: TempDir,
}

impl TestSandbox {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tls = TlsSettings { listen: ([127, 0, 0, 1], 0).into(), ca_file: folder.path().join("ca.pem") };
        let options = Options { speed: SPEED, tls: Some(tls), ..Options::default() };
        Self { running: Sandbox::start(options).await.unwrap(), folder }
    }

    fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn tls_endpoint(&self) -> String {
        format!("https://localhost:{}", self.running.tls.as_ref().unwrap().0.port())
    }

    /// A client command for an endpoint, without the user's own AWS settings.
    fn client(&self, program: impl AsRef<std::ffi::OsStr>, endpoint: &str) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("AWS_")) {
                command.env_remove(name);
            }
        }
        command
            .env("AWS_ENDPOINT_URL", endpoint)
            .env("AWS_ACCESS_KEY_ID", self.running.access_key_id())
            .env("AWS_SECRET_ACCESS_KEY", "any")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }
}

/// True if the client ran to its end: it then prints the line `well`.
fn has_succeeded(stdout: &str) -> bool {
    stdout.lines().any(|line| line == "well")
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_works_over_plain_http_2_and_tls() {
    if !is_selected("javascript") {
        return;
    }
    let folder = copy_sources("javascript");
    run(Command::new("npm").args(["install", "--silent", "--no-audit", "--no-fund"]).current_dir(&folder))
        .await;
    let sandbox = TestSandbox::start().await;
    let plain = sandbox.running.endpoint_url();
    assert!(has_succeeded(&run(sandbox.client("node", &plain).arg("client.mjs").current_dir(&folder)).await));
    let sandbox = TestSandbox::start().await;
    let mut over_tls = sandbox.client("node", &sandbox.tls_endpoint());
    over_tls.env("NODE_EXTRA_CA_CERTS", sandbox.ca_file()).arg("client.mjs").current_dir(&folder);
    assert!(has_succeeded(&run(&mut over_tls).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn go_works_over_plain_http_and_tls() {
    if !is_selected("go") {
        return;
    }
    let folder = copy_sources("go");
    run(Command::new("go").args(["build", "-o", "client", "."]).current_dir(&folder)).await;
    let program = folder.join("client");
    let sandbox = TestSandbox::start().await;
    assert!(has_succeeded(&run(&mut sandbox.client(&program, &sandbox.running.endpoint_url())).await));
    let sandbox = TestSandbox::start().await;
    let mut over_tls = sandbox.client(&program, &sandbox.tls_endpoint());
    assert!(has_succeeded(&run(over_tls.env("AWS_CA_BUNDLE", sandbox.ca_file())).await));
}

static JAVA: OnceCell<PathBuf> = OnceCell::const_new();

/// The folder of the compiled Java programs and their dependencies.
async fn java() -> &'static Path {
    JAVA.get_or_init(async || {
        let folder = copy_sources("java");
        let dependencies = ["-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib"];
        run(Command::new("mvn").args(dependencies).current_dir(&folder)).await;
        let sources =
            ["Sdk", "Producer", "Consumer"].map(|name| format!("src/main/java/clients/{name}.java"));
        let compile = ["-encoding", "UTF-8", "-cp", "lib/*", "-d", "classes"];
        run(Command::new("javac").args(compile).args(sources).current_dir(&folder)).await;
        folder
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn java_works_with_cbor_over_plain_http_and_tls() {
    if !is_selected("java") {
        return;
    }
    let folder = java().await;
    let run_sdk = ["-cp", "classes:lib/*", "clients.Sdk"];
    let sandbox = TestSandbox::start().await;
    let plain = sandbox.running.endpoint_url();
    assert!(has_succeeded(&run(sandbox.client("java", &plain).args(run_sdk).current_dir(folder)).await));
    let sandbox = TestSandbox::start().await;
    let store = sandbox.folder.path().join("ca.jks");
    let trust = ["-importcert", "-noprompt", "-storepass", "changeit", "-file"];
    run(Command::new("keytool").args(trust).arg(sandbox.ca_file()).arg("-keystore").arg(&store)).await;
    let mut over_tls = sandbox.client("java", &sandbox.tls_endpoint());
    over_tls
        .arg(format!("-Djavax.net.ssl.trustStore={}", store.display()))
        .arg("-Djavax.net.ssl.trustStorePassword=changeit")
        .args(run_sdk)
        .current_dir(folder);
    assert!(has_succeeded(&run(&mut over_tls).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kpl_stores_all_20_000_records() {
    if !is_selected("producer") {
        return;
    }
    let folder = java().await;
    let sandbox = TestSandbox::start().await;
    let mut producer = sandbox.client("java", &sandbox.running.endpoint_url());
    producer
        .args(["-cp", "classes:lib/*", "clients.Producer", &sandbox.tls_endpoint()])
        .arg(sandbox.ca_file())
        .current_dir(folder);
    assert!(has_succeeded(&run(&mut producer).await));
}

/// Starts moto, whose DynamoDB stores the KCL's leases.
async fn moto() -> (Child, String) {
    let named = std::env::var_os("KINESISDEMO_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| repository().join("target/python/bin/python"));
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let serve = ["-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", &port.to_string()];
    let mut command = Command::new(python);
    command.args(serve).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let server = command.spawn().unwrap();
    let server = Mutex::new(server);
    wait_for("moto to accept connections", async || {
        let ended = server.lock().unwrap().try_wait().unwrap();
        assert!(
            ended.is_none(),
            "moto exited with {ended:?}; install it with: pip install 'moto[server,dynamodb]'"
        );
        TcpStream::connect(("127.0.0.1", port)).await.ok()
    })
    .await;
    (server.into_inner().unwrap(), format!("http://127.0.0.1:{port}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kcl_reads_every_record_by_polling() {
    if !is_selected("consumer") {
        return;
    }
    let folder = java().await;
    let (_server, leases) = moto().await;
    let sandbox = TestSandbox::start().await;
    let mut consumer = sandbox.client("java", &sandbox.running.endpoint_url());
    consumer.args(["-cp", "classes:lib/*", "clients.Consumer", &leases]).current_dir(folder);
    assert!(has_succeeded(&run(&mut consumer).await));
}

//! Other languages' clients with their defaults against an embedded sandbox: `tests/clients`, where their programs are.
//!
//! They are installed from their registries, so they run only where they are asked for: `KINESISDEMO_CLIENTS=all`, or a list of
//! `javascript`, `go`, `java`, `producer` (the KPL) and `consumer` (the KCL, whose leases are in moto). They need npm, go, a JDK
//! with Maven, and for the last a Python with `moto[server,dynamodb]` (`KINESISDEMO_PYTHON`, or `target/python`).
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use kinesis_demo_sandbox::tls::TlsSettings;
use kinesis_demo_sandbox::{Options, Running, Sandbox};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;

/// Fast, but not so fast that streams scale while a client looks.
const SPEED: u32 = 20;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Whether a client is asked for; says so if it is not.
fn asked(client: &str) -> bool {
    let asked = std::env::var("KINESISDEMO_CLIENTS").unwrap_or_default();
    let is_asked = asked.split(',').any(|one| one == client || one == "all");
    if !is_asked {
        // Written past the harness, which would swallow it.
        let mut told = std::io::stderr();
        writeln!(told, "skipped: the client {client}; set KINESISDEMO_CLIENTS={client} or all").unwrap();
    }
    is_asked
}

/// A copy of a client's sources in `target`, where it may be installed and built.
fn workshop(client: &str) -> PathBuf {
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

/// Runs a command to its end, which must be a good one, and returns what it said.
async fn run(command: &mut Command) -> String {
    let output = command.kill_on_drop(true).output().await.unwrap_or_else(|error| {
        panic!("{command:?} could not be run: {error}");
    });
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {told}\n{complained}");
    told
}

/// A sandbox and the environment that its clients get: what docs/sandbox.md exports.
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

    /// A client against an endpoint. Nothing of the user's own AWS settings reaches it.
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

/// Whether a client came to its end: each says so with its last word.
fn is_well(told: &str) -> bool {
    told.lines().any(|line| line == "well")
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_speaks_http_2_in_the_clear_and_over_tls() {
    if !asked("javascript") {
        return;
    }
    let folder = workshop("javascript");
    run(Command::new("npm").args(["install", "--silent", "--no-audit", "--no-fund"]).current_dir(&folder))
        .await;
    let sandbox = TestSandbox::start().await;
    let plain = sandbox.running.endpoint_url();
    assert!(is_well(&run(sandbox.client("node", &plain).arg("client.mjs").current_dir(&folder)).await));
    let sandbox = TestSandbox::start().await;
    let mut over_tls = sandbox.client("node", &sandbox.tls_endpoint());
    over_tls.env("NODE_EXTRA_CA_CERTS", sandbox.ca_file()).arg("client.mjs").current_dir(&folder);
    assert!(is_well(&run(&mut over_tls).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn go_is_served_in_the_clear_and_over_tls() {
    if !asked("go") {
        return;
    }
    let folder = workshop("go");
    run(Command::new("go").args(["build", "-o", "client", "."]).current_dir(&folder)).await;
    let program = folder.join("client");
    let sandbox = TestSandbox::start().await;
    assert!(is_well(&run(&mut sandbox.client(&program, &sandbox.running.endpoint_url())).await));
    let sandbox = TestSandbox::start().await;
    let mut over_tls = sandbox.client(&program, &sandbox.tls_endpoint());
    assert!(is_well(&run(over_tls.env("AWS_CA_BUNDLE", sandbox.ca_file())).await));
}

static JAVA: OnceCell<PathBuf> = OnceCell::const_new();

/// The Java programs, compiled, with what they need beside them.
async fn java() -> &'static Path {
    JAVA.get_or_init(async || {
        let folder = workshop("java");
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
async fn java_speaks_cbor_in_the_clear_and_over_tls() {
    if !asked("java") {
        return;
    }
    let folder = java().await;
    let run_sdk = ["-cp", "classes:lib/*", "clients.Sdk"];
    let sandbox = TestSandbox::start().await;
    let plain = sandbox.running.endpoint_url();
    assert!(is_well(&run(sandbox.client("java", &plain).args(run_sdk).current_dir(folder)).await));
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
    assert!(is_well(&run(&mut over_tls).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kpl_stores_twenty_thousand_of_twenty_thousand_records() {
    if !asked("producer") {
        return;
    }
    let folder = java().await;
    let sandbox = TestSandbox::start().await;
    let mut producer = sandbox.client("java", &sandbox.running.endpoint_url());
    producer
        .args(["-cp", "classes:lib/*", "clients.Producer", &sandbox.tls_endpoint()])
        .arg(sandbox.ca_file())
        .current_dir(folder);
    assert!(is_well(&run(&mut producer).await));
}

/// A DynamoDB for leases.
async fn moto() -> (Child, String) {
    let named = std::env::var_os("KINESISDEMO_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| repository().join("target/python/bin/python"));
    // Free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let serve = ["-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", &port.to_string()];
    let mut command = Command::new(python);
    command.args(serve).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let mut server = command.spawn().unwrap();
    for _ in 0..300 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return (server, format!("http://127.0.0.1:{port}"));
        }
        let ended = server.try_wait().unwrap();
        assert!(ended.is_none(), "moto does not run here: pip install 'moto[server,dynamodb]' ({ended:?})");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("moto did not answer within 30 seconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kcl_reads_every_record_by_polling() {
    if !asked("consumer") {
        return;
    }
    let folder = java().await;
    let (_server, leases) = moto().await;
    let sandbox = TestSandbox::start().await;
    let mut consumer = sandbox.client("java", &sandbox.running.endpoint_url());
    consumer.args(["-cp", "classes:lib/*", "clients.Consumer", &leases]).current_dir(folder);
    assert!(is_well(&run(&mut consumer).await));
}

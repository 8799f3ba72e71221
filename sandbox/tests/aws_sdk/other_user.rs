//! Tests that another user of the machine can neither read the sandbox's access key nor call it.
//! They need root, to become another user.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use aws_sdk_ecs::error::ProvideErrorMetadata as _;
use aws_sdk_ecs::types::{
    AwsVpcConfiguration, Compatibility, ContainerDefinition, KeyValuePair, LaunchType, NetworkConfiguration,
    NetworkMode,
};
use kinesis_demo_sandbox::access::ACCESS_KEY_VARIABLE;
use serde_json::Value;

use crate::test_sandbox::config_for;
use crate::wait::wait_for;

/// The user id of `nobody` on most systems.
const NOBODY: u32 = 65_534;
const IMAGE: &str = "example.com/task:1";

/// Runs a shell script as that user; returns its output.
fn as_nobody(script: &str) -> String {
    let output = Command::new("/bin/bash")
        .args(["-c", script])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Sends a request as that user; returns the status line.
fn request_as_nobody(port: u16, method: &str, path: &str, headers: &[&str]) -> String {
    let host = format!("Host: localhost:{port}");
    let line = format!("{method} {path} HTTP/1.1");
    let lines = [line.as_str(), &host, "Connection: close"];
    let request =
        lines.iter().chain(headers).fold(String::new(), |text, line| text + line + r"\r\n") + r"\r\n";
    as_nobody(&format!("exec 3<>/dev/tcp/127.0.0.1/{port} && printf '{request}' >&3 && head -n 1 <&3"))
}

/// A running sandbox, killed when the test ends, even by a panic.
struct Program(std::process::Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(folder: &Path) -> Program {
    let sandbox = Command::new(env!("CARGO_BIN_EXE_kinesis-demo-sandbox"))
        .args(["serve", "--speed", "500", "--cluster", "demo", "--image", &format!("{IMAGE}=/bin/sleep")])
        .arg("--state-dir")
        .arg(folder)
        .arg("--address-file")
        .arg(folder.join("address.json"))
        .arg("--access-key-file")
        .arg(folder.join("key"))
        .env_remove(ACCESS_KEY_VARIABLE)
        // The sandbox's environment must not reach its tasks.
        .env("LD_SOMETHING", "of the user")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Program(sandbox)
}

async fn run_a_task(ecs: &aws_sdk_ecs::Client) {
    let register = |variable: &str| {
        let variable = KeyValuePair::builder().name(variable).value("/tmp/foreign.so").build();
        let container = ContainerDefinition::builder()
            .name("main")
            .image(IMAGE)
            .command("600")
            .environment(variable)
            .build();
        ecs.register_task_definition()
            .family("f")
            .network_mode(NetworkMode::Awsvpc)
            .requires_compatibilities(Compatibility::Fargate)
            .cpu("256")
            .memory("512")
            .container_definitions(container)
            .send()
    };
    let error = register("LD_PRELOAD").await.unwrap_err();
    assert_eq!(error.code(), Some("ClientException"));
    assert!(error.message().unwrap().contains("the environment variable LD_PRELOAD is not allowed"));
    register("KINESISDEMO_RUN").await.unwrap();
    let vpc = AwsVpcConfiguration::builder().subnets("subnet-1").build().unwrap();
    ecs.create_service()
        .cluster("demo")
        .service_name("s")
        .task_definition("f")
        .desired_count(1)
        .launch_type(LaunchType::Fargate)
        .network_configuration(NetworkConfiguration::builder().awsvpc_configuration(vpc).build())
        .send()
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_can_neither_read_the_key_nor_call_the_sandbox() {
    let folder = tempfile::tempdir().unwrap();
    if std::fs::metadata(folder.path()).unwrap().uid() != 0 || !Path::new("/bin/bash").exists() {
        println!("skipped: this test needs root and bash to send requests as another user");
        return;
    }
    // The folder is readable by everyone, so the key file must have its own protection.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let sandbox = start(folder.path());
    let read = |name: &str| std::fs::read(folder.path().join(name)).ok();
    let address = wait_for("the address", async || read("address.json")).await;
    let address: Value = serde_json::from_slice(&address).unwrap();
    let address = address["address"].as_str().unwrap().to_owned();
    let port: u16 = address.rsplit_once(':').unwrap().1.parse().unwrap();
    let key = String::from_utf8(read("key").unwrap()).unwrap().trim().to_owned();
    let ecs = aws_sdk_ecs::Client::new(&config_for(&format!("http://{address}"), &key, "us-east-1").await);
    run_a_task(&ecs).await;
    let listed = || -> Option<Value> { serde_json::from_slice(&read("tasks.json")?).ok() };
    let task = wait_for("the task", async || listed()?.as_array()?.first().cloned()).await;
    let task_pid = task["pid"].as_u64().unwrap();

    // The task has the key, but not the sandbox's environment.
    let environment = std::fs::read(format!("/proc/{task_pid}/environ")).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    assert!(environment.contains(&format!("AWS_ACCESS_KEY_ID={key}\0")), "{environment}");
    assert!(!environment.contains("LD_"), "{environment}");

    // No file or process that the other user can read shows the key or the URL of the task's
    // metadata.
    let sandbox_pid = sandbox.0.id();
    assert_eq!(as_nobody("id -u").trim(), NOBODY.to_string());
    let file = folder.path().join("key");
    assert_eq!(as_nobody(&format!("cat {}", file.display())), "");
    for pid in [u64::from(sandbox_pid), task_pid] {
        let seen = as_nobody(&format!("cat /proc/{pid}/cmdline | tr '\\0' ' '; cat /proc/{pid}/environ"));
        assert!(seen.contains("sleep") && !seen.contains(&key) && !seen.contains("_ecs"), "{seen}");
    }
    let seen = as_nobody(&format!("cat {0}/address.json {0}/tasks.json", folder.path().display()));
    assert!(!seen.contains(&key), "{seen}");

    // The port serves that user nothing.
    let task_id = task["taskId"].as_str().unwrap();
    for (method, path) in [
        ("GET", "/_sandbox/health".to_owned()),
        ("GET", "/_sandbox/state".to_owned()),
        ("GET", "/_sandbox/tasks".to_owned()),
        ("GET", "/_sandbox/calls".to_owned()),
        ("POST", "/_sandbox/faults".to_owned()),
        ("DELETE", "/_sandbox/faults".to_owned()),
    ] {
        assert!(request_as_nobody(port, method, &path, &[]).starts_with("HTTP/1.1 401 "), "{method} {path}");
    }
    for path in [format!("/_ecs/v4/x/{task_id}-0"), format!("/_ecs/v4/{task_id}/{task_id}-0/task")] {
        assert!(request_as_nobody(port, "GET", &path, &[]).starts_with("HTTP/1.1 403 "), "{path}");
    }
    for guess in ["AKIAIOSFODNN7EXAMPLE", "any", "sandbox", "test", ""] {
        let authorization = format!(
            "Authorization: AWS4-HMAC-SHA256 Credential={guess}/20261122/us-east-1/ecs/aws4_request, SignedHeaders=host, Signature=0"
        );
        let target = "X-Amz-Target: AmazonEC2ContainerServiceV20141113.RegisterTaskDefinition";
        let headers = [target, &authorization, "X-Amz-Date: 20261122T000000Z", "Content-Length: 0"];
        assert!(request_as_nobody(port, "POST", "/", &headers).starts_with("HTTP/1.1 400 "), "{guess}");
    }
    let header = format!("Authorization: Bearer {key}");
    assert!(
        request_as_nobody(port, "GET", "/_sandbox/health", &[&header]).starts_with("HTTP/1.1 200 "),
        "with the key, that user's requests are served"
    );
}

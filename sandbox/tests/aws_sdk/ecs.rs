//! Tests of ECS tasks as local processes: states, environment, logs and exits.

use aws_sdk_ecs::types::{
    AwsVpcConfiguration, Compatibility, ContainerDefinition, DesiredStatus, LaunchType, NetworkConfiguration,
    NetworkMode, TaskStopCode,
};
use kinesis_demo_sandbox::Options;
use kinesis_demo_sandbox::access::ACCESS_KEY_VARIABLE;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::ecs_harness::{EcsHarness, IMAGE};
use crate::wait::wait_for;

fn pid(process: &Value) -> Pid {
    Pid::from_raw(i32::try_from(process["pid"].as_u64().unwrap()).unwrap())
}

fn is_alive(pid: Pid) -> bool {
    kill(pid, None).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn task_processes_have_their_own_environment_logs_and_metadata() {
    let harness = EcsHarness::start("life").await;
    harness.logs.create_log_group().log_group_name("/demo").send().await.unwrap();
    harness
        .register(
            IMAGE,
            "env | sort; echo ready; trap 'echo final line; exit 0' TERM; while :; do sleep 0.05; done",
        )
        .await;
    harness.create(2).await;
    harness.until_running(2).await;

    let running = harness.tasks(DesiredStatus::Running).await;
    let arn = running[0].task_arn().unwrap();
    harness.until("the first line", async || harness.lines(arn).await.contains(&"ready".to_owned())).await;
    let lines = harness.lines(arn).await;
    let names: Vec<&str> =
        lines.iter().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    assert_eq!(
        names
            .iter()
            .filter(|name| !matches!(**name, "_" | "OLDPWD" | "SHLVL" | "TMPDIR"))
            .copied()
            .collect::<Vec<_>>(),
        [
            "AWS_ACCESS_KEY_ID",
            "AWS_DEFAULT_REGION",
            "AWS_ENDPOINT_URL",
            "AWS_EXECUTION_ENV",
            "AWS_REGION",
            "AWS_SECRET_ACCESS_KEY",
            "ECS_CONTAINER_METADATA_URI_V4",
            "KINESISDEMO_RUN",
            "PATH",
            "PWD",
        ]
    );
    assert!(lines.contains(&"AWS_REGION=eu-west-1".to_owned()));

    let metadata = lines.iter().find_map(|line| line.strip_prefix("ECS_CONTAINER_METADATA_URI_V4=")).unwrap();
    let fetch = async |url: String| -> Value {
        serde_json::from_slice(&reqwest::get(url).await.unwrap().bytes().await.unwrap()).unwrap()
    };
    let task = fetch(format!("{metadata}/task")).await;
    assert_eq!((task["TaskARN"].as_str(), task["Family"].as_str()), (Some(arn), Some("generator")));
    let container = fetch(metadata.to_owned()).await;
    assert_eq!(container["LogOptions"]["awslogs-group"], "/demo");
    assert_eq!(reqwest::get(format!("{metadata}x/task")).await.unwrap().status(), 404);
    // Task ids can be listed, and predicted if the seed is known. The token in the metadata URL
    // cannot.
    let (front, container) = metadata.rsplit_once('/').unwrap();
    let (front, token) = front.rsplit_once('/').unwrap();
    for guess in ["", "x", &token[1..], &"0".repeat(token.len())] {
        let status = reqwest::get(format!("{front}/{guess}/{container}/task")).await.unwrap().status();
        assert_eq!(status, 403, "{guess}");
    }

    // A process that dies is replaced, and its task reports the exit code.
    let victim = harness.processes().await[0].clone();
    kill(pid(&victim), Signal::SIGKILL).unwrap();
    harness.until("the task's end", async || !harness.tasks(DesiredStatus::Stopped).await.is_empty()).await;
    let stopped = harness.tasks(DesiredStatus::Stopped).await;
    assert!(stopped[0].task_arn().unwrap().ends_with(victim["taskId"].as_str().unwrap()));
    assert_eq!(stopped[0].stopped_reason(), Some("Essential container in task exited"));
    assert_eq!(stopped[0].containers()[0].exit_code(), Some(137));
    harness.until("the replacement", async || harness.processes().await.len() == 2).await;

    // Scale-in sends SIGTERM first, and the last lines of a task are kept.
    harness.resize(0).await;
    harness.until("the end of all tasks", async || harness.processes().await.is_empty()).await;
    harness.until("the listing", async || harness.tasks(DesiredStatus::Stopped).await.len() == 3).await;
    let stopped = harness.tasks(DesiredStatus::Stopped).await;
    let terminated =
        stopped.iter().filter(|task| task.containers()[0].exit_code() == Some(0)).collect::<Vec<_>>();
    assert_eq!(terminated.len(), 2);
    assert!(harness.lines(terminated[0].task_arn().unwrap()).await.contains(&"final line".to_owned()));
    assert_eq!(
        std::fs::read_to_string(harness.state_dir.as_ref().unwrap().join("tasks.json")).unwrap(),
        "[]"
    );
    harness.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_ignores_sigterm_is_killed_with_its_children() {
    let harness = EcsHarness::start("stubborn").await;
    harness.logs.create_log_group().log_group_name("/demo").send().await.unwrap();
    harness.register(IMAGE, "trap '' TERM; sleep 600 & echo child $!; wait; wait").await;
    harness.create(1).await;
    harness.until_running(1).await;
    let arn = harness.tasks(DesiredStatus::Running).await[0].task_arn().unwrap().to_owned();
    harness.until("the child", async || !harness.lines(&arn).await.is_empty()).await;
    let child: i32 = harness.lines(&arn).await[0].strip_prefix("child ").unwrap().parse().unwrap();
    let parent = pid(&harness.processes().await[0]);
    harness.resize(0).await;
    harness.until("the kill", async || !is_alive(parent)).await;
    harness.until("the child's end", async || !is_alive(Pid::from_raw(child))).await;
    harness
        .until("the exit", async || {
            harness.tasks(DesiredStatus::Stopped).await[0].containers()[0].exit_code() == Some(137)
        })
        .await;
    harness.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_cannot_start_have_the_stopped_reason_of_ecs() {
    let harness = EcsHarness::start_with(Options {
        images: vec![
            (IMAGE.into(), r#"["/bin/sh","-c"]"#.into()),
            ("example.com/missing:1".into(), "/no/such/program".into()),
            ("example.com/locked:1".into(), "/etc/passwd".into()),
        ],
        ..Options::default()
    })
    .await;
    harness.register(IMAGE, "echo never").await;
    harness.create(1).await;
    let start = "failed to create new container runtime task: failed to create shim task: OCI runtime create failed: runc create \
                 failed: unable to start container process";
    for (image, reason, is_containers) in [
        (
            IMAGE,
            "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to \
             create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist. : exit status 1"
                .to_owned(),
            false,
        ),
        (
            "example.com/unknown:1",
            "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref \
             example.com/unknown:1: not found"
                .to_owned(),
            true,
        ),
        (
            "example.com/missing:1",
            format!(
                "CannotStartContainerError: ResourceInitializationError: {start}: exec: \"/no/such/program\": no such file or \
                 directory: unknown"
            ),
            true,
        ),
        (
            "example.com/locked:1",
            format!(
                "CannotStartContainerError: ResourceInitializationError: {start}: exec: \"/etc/passwd\": permission denied: unknown"
            ),
            true,
        ),
    ] {
        harness.register(image, "echo never").await;
        let update = harness.ecs.update_service().cluster("demo").service("generators");
        update.task_definition("generator").send().await.unwrap();
        let failed = async || {
            let stopped = harness.tasks(DesiredStatus::Stopped).await;
            stopped.into_iter().find(|task| task.stopped_reason() == Some(reason.as_str()))
        };
        harness.until(&reason, async || failed().await.is_some()).await;
        let task = failed().await.unwrap();
        assert_eq!(task.stop_code(), Some(&TaskStopCode::TaskFailedToStart));
        let container = &task.containers()[0];
        assert_eq!(container.reason(), is_containers.then_some(reason.as_str()));
        assert_eq!((container.exit_code(), task.started_at()), (None, None));
        let event_message = format!("(service generators) was unable to place a task. Reason: {reason}.");
        assert!(harness.service().await.events().iter().any(|event| event.message() == Some(event_message.as_str())), "{event_message}");
        // The next tasks have a log group to write to.
        let _ = harness.logs.create_log_group().log_group_name("/demo").send().await;
    }
    harness.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_the_sandbox_ends_its_tasks() {
    let harness = EcsHarness::start("stop").await;
    harness.logs.create_log_group().log_group_name("/demo").send().await.unwrap();
    harness.register(IMAGE, "exec sleep 600").await;
    harness.create(3).await;
    harness.until_running(3).await;
    let pids: Vec<Pid> = harness.processes().await.iter().map(pid).collect();
    assert!(pids.len() == 3 && pids.iter().all(|pid| is_alive(*pid)));
    harness.end().await;
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
}

/// If the sandbox is killed, the kernel kills its tasks. Only Linux has such a signal
/// (PR_SET_PDEATHSIG).
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_sandbox_leaves_no_tasks() {
    let directory = std::env::temp_dir().join(format!("sandbox-ecs-killed-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let address_file = directory.join("address.json");
    let mut sandbox = std::process::Command::new(env!("CARGO_BIN_EXE_kinesis-demo-sandbox"))
        .args(["serve", "--speed", "500", "--cluster", "demo", "--image"])
        .arg(format!(r#"{IMAGE}=["/bin/sh","-c"]"#))
        .arg("--state-dir")
        .arg(&directory)
        .arg("--address-file")
        .arg(&address_file)
        .env(ACCESS_KEY_VARIABLE, "SANDBOX0123456789")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let body = wait_for("the address file", async || std::fs::read(&address_file).ok()).await;
    let address: Value = serde_json::from_slice(&body).unwrap();
    let endpoint = format!("http://{}", address["address"].as_str().unwrap());
    let shared = crate::test_sandbox::config_for(&endpoint, "SANDBOX0123456789", "eu-west-1").await;
    let logs = aws_sdk_cloudwatchlogs::Client::new(&shared);
    logs.create_log_group().log_group_name("/demo").send().await.unwrap();
    let ecs = aws_sdk_ecs::Client::new(&shared);
    let container =
        ContainerDefinition::builder().name("main").image(IMAGE).command("exec sleep 600").build();
    ecs.register_task_definition()
        .family("generator")
        .network_mode(NetworkMode::Awsvpc)
        .requires_compatibilities(Compatibility::Fargate)
        .cpu("256")
        .memory("512")
        .container_definitions(container)
        .send()
        .await
        .unwrap();
    let vpc = AwsVpcConfiguration::builder().subnets("subnet-1").build().unwrap();
    ecs.create_service()
        .cluster("demo")
        .service_name("generators")
        .task_definition("generator")
        .desired_count(2)
        .launch_type(LaunchType::Fargate)
        .network_configuration(NetworkConfiguration::builder().awsvpc_configuration(vpc).build())
        .send()
        .await
        .unwrap();
    let listed = wait_for("two processes", async || {
        let body = std::fs::read(directory.join("tasks.json")).ok()?;
        let listed: Vec<Value> = serde_json::from_slice(&body).ok()?;
        (listed.len() == 2).then_some(listed)
    })
    .await;
    assert!(listed.iter().all(|process| process["linuxStartTicks"].is_u64() && is_alive(pid(process))));
    sandbox.kill().unwrap();
    sandbox.wait().unwrap();
    wait_for("the end of the tasks", async || {
        listed.iter().all(|process| !is_alive(pid(process))).then_some(())
    })
    .await;
    std::fs::remove_dir_all(&directory).unwrap();
}

//! ECS tasks as real processes: their states, environment, logs and ends.

use std::time::Duration;

use aws_sdk_ecs::types::{
    AwsVpcConfiguration, Compatibility, ContainerDefinition, DesiredStatus, LaunchType, NetworkConfiguration,
    NetworkMode, TaskStopCode,
};
use kinesis_demo_sandbox::Options;
use kinesis_demo_sandbox::access::ACCESS_KEY_VARIABLE;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::stage::{IMAGE, Stage};

fn pid(process: &Value) -> Pid {
    Pid::from_raw(i32::try_from(process["pid"].as_u64().unwrap()).unwrap())
}

fn is_alive(pid: Pid) -> bool {
    kill(pid, None).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_runs_processes_with_their_own_environment_logs_and_metadata() {
    let stage = Stage::start("life").await;
    stage.logs.create_log_group().log_group_name("/demo").send().await.unwrap();
    stage
        .register(
            IMAGE,
            "env | sort; echo ready; trap 'echo last word; exit 0' TERM; while :; do sleep 0.05; done",
        )
        .await;
    stage.create(2).await;
    stage.until_running(2).await;

    let running = stage.tasks(DesiredStatus::Running).await;
    let arn = running[0].task_arn().unwrap();
    stage.until("the first line", async || stage.lines(arn).await.contains(&"ready".to_owned())).await;
    let lines = stage.lines(arn).await;
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
    // Task ids can be listed, and guessed where the seed is known; the address of the metadata
    // cannot.
    let (front, container) = metadata.rsplit_once('/').unwrap();
    let (front, token) = front.rsplit_once('/').unwrap();
    for guess in ["", "x", &token[1..], &"0".repeat(token.len())] {
        let status = reqwest::get(format!("{front}/{guess}/{container}/task")).await.unwrap().status();
        assert_eq!(status, 403, "{guess}");
    }

    // A process that dies is replaced, and its task tells how it ended.
    let victim = stage.processes().await[0].clone();
    kill(pid(&victim), Signal::SIGKILL).unwrap();
    stage.until("the task's end", async || !stage.tasks(DesiredStatus::Stopped).await.is_empty()).await;
    let stopped = stage.tasks(DesiredStatus::Stopped).await;
    assert!(stopped[0].task_arn().unwrap().ends_with(victim["taskId"].as_str().unwrap()));
    assert_eq!(stopped[0].stopped_reason(), Some("Essential container in task exited"));
    assert_eq!(stopped[0].containers()[0].exit_code(), Some(137));
    stage.until("the replacement", async || stage.processes().await.len() == 2).await;

    // Scale-in asks first, and what a task says last is kept.
    stage.resize(0).await;
    stage.until("the end of all tasks", async || stage.processes().await.is_empty()).await;
    stage.until("the listing", async || stage.tasks(DesiredStatus::Stopped).await.len() == 3).await;
    let stopped = stage.tasks(DesiredStatus::Stopped).await;
    let asked = stopped.iter().filter(|task| task.containers()[0].exit_code() == Some(0)).collect::<Vec<_>>();
    assert_eq!(asked.len(), 2);
    assert!(stage.lines(asked[0].task_arn().unwrap()).await.contains(&"last word".to_owned()));
    assert_eq!(std::fs::read_to_string(stage.state_dir.as_ref().unwrap().join("tasks.json")).unwrap(), "[]");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stubborn_task_and_its_children_are_killed_after_the_stop_timeout() {
    let stage = Stage::start("stubborn").await;
    stage.logs.create_log_group().log_group_name("/demo").send().await.unwrap();
    stage.register(IMAGE, "trap '' TERM; sleep 600 & echo child $!; wait; wait").await;
    stage.create(1).await;
    stage.until_running(1).await;
    let arn = stage.tasks(DesiredStatus::Running).await[0].task_arn().unwrap().to_owned();
    stage.until("the child", async || !stage.lines(&arn).await.is_empty()).await;
    let child: i32 = stage.lines(&arn).await[0].strip_prefix("child ").unwrap().parse().unwrap();
    let parent = pid(&stage.processes().await[0]);
    stage.resize(0).await;
    stage.until("the kill", async || !is_alive(parent)).await;
    stage.until("the child's end", async || !is_alive(Pid::from_raw(child))).await;
    stage
        .until("the exit", async || {
            stage.tasks(DesiredStatus::Stopped).await[0].containers()[0].exit_code() == Some(137)
        })
        .await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_start_says_why_in_the_words_of_ecs() {
    let stage = Stage::start_with(Options {
        images: vec![
            (IMAGE.into(), r#"["/bin/sh","-c"]"#.into()),
            ("example.com/missing:1".into(), "/no/such/program".into()),
            ("example.com/locked:1".into(), "/etc/passwd".into()),
        ],
        ..Options::default()
    })
    .await;
    stage.register(IMAGE, "echo never").await;
    stage.create(1).await;
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
        stage.register(image, "echo never").await;
        let update = stage.ecs.update_service().cluster("demo").service("generators");
        update.task_definition("generator").send().await.unwrap();
        let failed = async || {
            let stopped = stage.tasks(DesiredStatus::Stopped).await;
            stopped.into_iter().find(|task| task.stopped_reason() == Some(reason.as_str()))
        };
        stage.until(&reason, async || failed().await.is_some()).await;
        let task = failed().await.unwrap();
        assert_eq!(task.stop_code(), Some(&TaskStopCode::TaskFailedToStart));
        let container = &task.containers()[0];
        assert_eq!(container.reason(), is_containers.then_some(reason.as_str()));
        assert_eq!((container.exit_code(), task.started_at()), (None, None));
        let told = format!("(service generators) was unable to place a task. Reason: {reason}.");
        assert!(stage.service().await.events().iter().any(|event| event.message() == Some(told.as_str())), "{told}");
        // From here on there is a group to write to.
        let _ = stage.logs.create_log_group().log_group_name("/demo").send().await;
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_the_sandbox_ends_its_tasks() {
    let stage = Stage::start("stop").await;
    stage.logs.create_log_group().log_group_name("/demo").send().await.unwrap();
    stage.register(IMAGE, "exec sleep 600").await;
    stage.create(3).await;
    stage.until_running(3).await;
    let pids: Vec<Pid> = stage.processes().await.iter().map(pid).collect();
    assert!(pids.len() == 3 && pids.iter().all(|pid| is_alive(*pid)));
    stage.end().await;
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
}

/// The kernel ends the tasks of a sandbox that was killed. Only Linux has such a signal.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_sandbox_leaves_no_task_behind() {
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
    let body = soon("the address file", async || std::fs::read(&address_file).ok()).await;
    let address: Value = serde_json::from_slice(&body).unwrap();
    let endpoint = format!("http://{}", address["address"].as_str().unwrap());
    let shared = crate::test_sandbox::config_for(&endpoint, "SANDBOX0123456789", "eu-west-1").await;
    let stage_logs = aws_sdk_cloudwatchlogs::Client::new(&shared);
    stage_logs.create_log_group().log_group_name("/demo").send().await.unwrap();
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
    let listed = soon("two processes", async || {
        let body = std::fs::read(directory.join("tasks.json")).ok()?;
        let listed: Vec<Value> = serde_json::from_slice(&body).ok()?;
        (listed.len() == 2).then_some(listed)
    })
    .await;
    assert!(listed.iter().all(|process| process["linuxStartTicks"].is_u64() && is_alive(pid(process))));
    sandbox.kill().unwrap();
    sandbox.wait().unwrap();
    soon("the end of the tasks", async || listed.iter().all(|process| !is_alive(pid(process))).then_some(()))
        .await;
    std::fs::remove_dir_all(&directory).unwrap();
}

/// Waits for what another process does in its own time.
#[cfg(target_os = "linux")]
async fn soon<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    for _ in 0..1_000 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what} never came");
}

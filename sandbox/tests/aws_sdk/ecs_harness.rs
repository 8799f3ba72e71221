//! A sandbox with a manual clock and a service of ECS tasks.

use std::path::PathBuf;
use std::time::Duration;

use aws_sdk_ecs::types::{
    AwsVpcConfiguration, Compatibility, ContainerDefinition, DesiredStatus, LaunchType, LogConfiguration,
    LogDriver, NetworkConfiguration, NetworkMode, Service, Task,
};
use kinesis_demo_sandbox::clock::ModelClock;
use kinesis_demo_sandbox::{Options, Running, Sandbox};
use serde_json::Value;

use crate::test_sandbox::{admin, config};
use crate::wait::wait_for;

pub const IMAGE: &str = "example.com/generator:1";

/// A sandbox with a manual clock, and the clients and folder needed to run tasks on it.
pub struct EcsHarness {
    pub clock: ModelClock,
    pub running: Running,
    pub ecs: aws_sdk_ecs::Client,
    pub logs: aws_sdk_cloudwatchlogs::Client,
    pub state_dir: Option<PathBuf>,
}

impl EcsHarness {
    /// Tasks run as processes; the sandbox keeps their list in a folder with this name.
    pub async fn start(name: &str) -> Self {
        let state_dir = std::env::temp_dir().join(format!("sandbox-ecs-{name}-{}", std::process::id()));
        let options = Options {
            images: vec![(IMAGE.into(), r#"["/bin/sh","-c"]"#.into())],
            state_dir: Some(state_dir),
            ..Options::default()
        };
        Self::start_with(options).await
    }

    pub async fn start_with(options: Options) -> Self {
        Self::start_at(options, ModelClock::manual(1)).await
    }

    /// Starts with another clock. [`Self::until`] cannot advance a clock that runs by itself.
    pub async fn start_at(options: Options, clock: ModelClock) -> Self {
        let state_dir = options.state_dir.clone();
        let options = Options { clusters: vec!["demo".into()], ..options };
        let running = Sandbox::start_with_clock(options, clock.clone()).await.unwrap();
        let shared = config(&running, "eu-west-1").await;
        Self {
            clock,
            running,
            ecs: aws_sdk_ecs::Client::new(&shared),
            logs: aws_sdk_cloudwatchlogs::Client::new(&shared),
            state_dir,
        }
    }

    /// Registers a task definition that runs `script`.
    pub async fn register(&self, image: &str, script: &str) {
        self.register_container(image, &[], script).await;
    }

    /// Registers a task definition whose entry point is the image's shell.
    pub async fn register_shell(&self, image: &str, script: &str) {
        self.register_container(image, &["/bin/sh", "-c"], script).await;
    }

    async fn register_container(&self, image: &str, entry_point: &[&str], script: &str) {
        let logs = LogConfiguration::builder()
            .log_driver(LogDriver::Awslogs)
            .options("awslogs-group", "/demo")
            .options("awslogs-region", "eu-west-1")
            .options("awslogs-stream-prefix", "run")
            .build()
            .unwrap();
        let container = ContainerDefinition::builder()
            .name("main")
            .image(image)
            .set_entry_point(Some(entry_point.iter().map(|word| (*word).to_owned()).collect()))
            .command(script)
            .environment(
                aws_sdk_ecs::types::KeyValuePair::builder().name("KINESISDEMO_RUN").value("7").build(),
            )
            .log_configuration(logs)
            .build();
        self.ecs
            .register_task_definition()
            .family("generator")
            .network_mode(NetworkMode::Awsvpc)
            .requires_compatibilities(Compatibility::Fargate)
            .cpu("256")
            .memory("512")
            .execution_role_arn("arn:aws:iam::000000000000:role/execution")
            .container_definitions(container)
            .send()
            .await
            .unwrap();
    }

    pub async fn create(&self, desired: i32) {
        let vpc = AwsVpcConfiguration::builder().subnets("subnet-1").build().unwrap();
        self.ecs
            .create_service()
            .cluster("demo")
            .service_name("generators")
            .task_definition("generator")
            .desired_count(desired)
            .launch_type(LaunchType::Fargate)
            .network_configuration(NetworkConfiguration::builder().awsvpc_configuration(vpc).build())
            .send()
            .await
            .unwrap();
    }

    pub async fn resize(&self, desired: i32) {
        self.ecs
            .update_service()
            .cluster("demo")
            .service("generators")
            .desired_count(desired)
            .send()
            .await
            .unwrap();
    }

    pub async fn service(&self) -> Service {
        let described =
            self.ecs.describe_services().cluster("demo").services("generators").send().await.unwrap();
        described.services()[0].clone()
    }

    pub async fn tasks(&self, status: DesiredStatus) -> Vec<Task> {
        let listed =
            self.ecs.list_tasks().cluster("demo").service_name("generators").desired_status(status).send();
        let arns = listed.await.unwrap().task_arns().to_vec();
        if arns.is_empty() {
            return Vec::new();
        }
        self.ecs.describe_tasks().cluster("demo").set_tasks(Some(arns)).send().await.unwrap().tasks().to_vec()
    }

    /// Advances the clock until `condition` is true, with real time between the steps for the
    /// sandbox's loop.
    pub async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        wait_for(what, async || {
            let is_true = condition().await;
            if !is_true {
                self.clock.advance(Duration::from_millis(500));
            }
            is_true.then_some(())
        })
        .await;
    }

    pub async fn until_running(&self, count: i32) {
        self.until("the running count", async || self.service().await.running_count() == count).await;
    }

    pub async fn processes(&self) -> Vec<Value> {
        let url = format!("{}/_sandbox/tasks", self.running.endpoint_url());
        let response = admin(&self.running).get(url).send().await.unwrap();
        let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        body["tasks"].as_array().unwrap().clone()
    }

    /// The log lines of one task, after the delay until they are visible.
    pub async fn lines(&self, task: &str) -> Vec<String> {
        self.clock.advance(Duration::from_secs(5));
        let stream = format!("run/main/{}", task.rsplit('/').next().unwrap());
        let read =
            self.logs.get_log_events().log_group_name("/demo").log_stream_name(stream).start_from_head(true);
        let read = read.send().await.unwrap();
        read.events().iter().map(|event| event.message().unwrap().to_owned()).collect()
    }

    pub async fn end(self) {
        self.running.stop().await;
        if let Some(state_dir) = &self.state_dir {
            std::fs::remove_dir_all(state_dir).unwrap();
        }
    }
}

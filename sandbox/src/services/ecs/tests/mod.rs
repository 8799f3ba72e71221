//! ECS with a manual clock and no real processes: they start and end when the test says so.

mod failures;
mod launch_timing;
mod references;
mod resources;
mod services;
mod settings;
mod tasks;

use super::state::Effect;
use super::*;
use crate::call::Caller;
use crate::services::logs::Logs;
use crate::task_runner::{ContainerExit, StartFailure};

const REGION: &str = "us-east-1";

struct Harness {
    ecs: Arc<Ecs>,
    clock: ModelClock,
    /// The running processes, by task id.
    running: std::collections::BTreeSet<String>,
}

impl Harness {
    fn new(vcpu_quota: u32) -> Self {
        let clock = ModelClock::manual(1);
        let settings = EcsSettings {
            account: "000000000000".into(),
            clusters: vec!["demo".into()],
            seed: 3,
            vcpu_quota,
            is_fresh_account: false,
            rules: TaskRules::default(),
        };
        let ecs = Ecs::new(clock.clone(), settings, Arc::new(Logs::new(clock.clone())));
        Self { ecs, clock, running: Default::default() }
    }

    async fn with_service(desired: u32) -> Self {
        let harness = Self::new(100);
        harness.register("generator").await;
        harness.create("s", desired).await.unwrap();
        harness
    }

    async fn call(&self, operation: &str, mut input: Value) -> Result<Value, AwsError> {
        if !matches!(operation, "RegisterTaskDefinition" | "DescribeTaskDefinition")
            && input.get("cluster").is_none()
        {
            input["cluster"] = json!("demo");
        }
        let caller = Caller { account: "000000000000".into(), region: REGION.into() };
        self.ecs.call(Call { operation, input: &input, caller: &caller, now: self.clock.now() }).await
    }

    async fn register(&self, image: &str) {
        let definition = json!({
            "family": "f", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512",
            "containerDefinitions": [{"name": "main", "image": image}], "tags": [{"key": "from", "value": "definition"}],
        });
        self.call("RegisterTaskDefinition", definition).await.unwrap();
    }

    fn creation(name: &str, desired: u32) -> Value {
        json!({
            "serviceName": name, "taskDefinition": "f", "desiredCount": desired, "launchType": "FARGATE",
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
        })
    }

    async fn create(&self, name: &str, desired: u32) -> Result<Value, AwsError> {
        self.call("CreateService", Self::creation(name, desired)).await
    }

    async fn service(&self) -> Value {
        self.call("DescribeServices", json!({"services": ["s"]})).await.unwrap()["services"][0].clone()
    }

    async fn listed(&self, status: &str) -> Vec<String> {
        let input = json!({"serviceName": "s", "desiredStatus": status});
        let response = self.call("ListTasks", input).await.unwrap();
        response["taskArns"].as_array().unwrap().iter().map(|arn| arn.as_str().unwrap().to_owned()).collect()
    }

    async fn task(&self, arn: &str) -> Value {
        self.call("DescribeTasks", json!({"tasks": [arn]})).await.unwrap()["tasks"][0].clone()
    }

    /// Advances the clock by `seconds`, in steps of half a second, and carries out the effects:
    /// starts succeed, and SIGTERM ends a process at once unless `ignores_sigterm`. Returns the
    /// effects.
    fn advance_seconds(&mut self, seconds: u64, ignores_sigterm: bool) -> Vec<Effect> {
        let mut all_effects = Vec::new();
        for _ in 0..seconds * 2 {
            self.clock.advance(std::time::Duration::from_millis(500));
            let now = self.clock.now();
            let effects = state::step(&mut self.ecs.lock(), now);
            for effect in &effects {
                match effect {
                    Effect::Start { task, .. } => {
                        self.started(task);
                        self.running.insert(task.clone());
                    }
                    Effect::Terminate { .. } if ignores_sigterm => {}
                    Effect::Terminate { task } | Effect::Kill { task } => self.exit(task, 143),
                }
            }
            all_effects.extend(effects);
        }
        all_effects
    }

    fn exit(&mut self, task: &str, code: i32) {
        self.running.remove(task);
        self.exited(task, ContainerExit { code: Some(code), reason: None });
    }

    fn started(&self, task: &str) {
        self.ecs.record(TaskReport::Started { task: task.to_owned() });
    }

    fn failed_to_start(&self, task: &str, failure: StartFailure) {
        self.ecs.record(TaskReport::FailedToStart { task: task.to_owned(), failure });
    }

    fn cancelled(&self, task: &str) {
        self.ecs.record(TaskReport::Cancelled { task: task.to_owned() });
    }

    /// The task's first container ends.
    fn exited(&self, task: &str, exit: ContainerExit) {
        self.ecs.record(TaskReport::Exited { task: task.to_owned(), container: 0, exit });
    }
}

fn id(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap()
}

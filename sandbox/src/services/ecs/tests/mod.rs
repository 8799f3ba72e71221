//! ECS with a manual clock and no real processes: they start and end when the test says so.

use jiff::SignedDuration;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::lifecycle::{self, Effect};
use super::*;
use crate::call::Caller;
use crate::services::logs::Logs;

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
            let effects = lifecycle::step(&mut self.ecs.lock(), now);
            for effect in &effects {
                match effect {
                    Effect::Start { task, .. } => {
                        lifecycle::started(&mut self.ecs.lock(), REGION, task, now);
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
        let end = crate::task_runner::ContainerExit { code: Some(code), reason: None };
        lifecycle::exited(&mut self.ecs.lock(), REGION, task, 0, end);
    }
}

fn id(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap()
}

#[tokio::test]
async fn a_new_service_starts_its_tasks_and_becomes_steady() {
    let mut harness = Harness::with_service(3).await;
    assert_eq!(harness.listed("RUNNING").await.len(), 0, "no task is listed before its read lag is over");
    harness.advance_seconds(2, false);
    let arns = harness.listed("RUNNING").await;
    assert_eq!(arns.len(), 3);
    assert_eq!(harness.task(&arns[0]).await["lastStatus"], "PROVISIONING");
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..40 {
        harness.advance_seconds(1, false);
        seen.insert(harness.task(&arns[0]).await["lastStatus"].as_str().unwrap().to_owned());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["PENDING", "PROVISIONING", "RUNNING"]);
    let service = harness.service().await;
    assert_eq!((&service["runningCount"], &service["pendingCount"]), (&json!(3), &json!(0)));
    assert_eq!(service["deployments"][0]["rolloutState"], "COMPLETED");
    assert_eq!(service["events"][0]["message"], "(service s) has reached a steady state.");
    let task = harness.task(&arns[0]).await;
    assert!(task["startedAt"].as_f64().unwrap() - task["createdAt"].as_f64().unwrap() >= 20.0);
    assert_eq!(task["group"], "service:s");
}

#[tokio::test]
async fn task_counts_lag_by_less_than_a_second() {
    let mut harness = Harness::with_service(1).await;
    let now = harness.clock.now();
    lifecycle::step(&mut harness.ecs.lock(), now);
    assert_eq!(harness.service().await["pendingCount"], 0);
    harness.advance_seconds(1, false);
    assert_eq!(harness.service().await["pendingCount"], 1);
}

#[tokio::test]
async fn an_exited_task_reports_its_reason_and_is_replaced() {
    let mut harness = Harness::with_service(2).await;
    harness.advance_seconds(45, false);
    let before = harness.listed("RUNNING").await;
    harness.exit(id(&before[0]), 1);
    harness.advance_seconds(2, false);
    let task = harness.task(&before[0]).await;
    assert_eq!(task["stopCode"], "EssentialContainerExited");
    assert_eq!(task["stoppedReason"], "Essential container in task exited");
    assert_eq!((&task["lastStatus"], &task["desiredStatus"]), (&json!("DEPROVISIONING"), &json!("STOPPED")));
    assert_eq!(task["containers"][0]["exitCode"], 1);
    assert_eq!(harness.listed("STOPPED").await, [before[0].clone()]);
    harness.advance_seconds(45, false);
    assert_eq!(harness.running.len(), 2);
    assert_eq!(harness.task(&before[0]).await["lastStatus"], "STOPPED");
    assert!(harness.task(&before[0]).await["stoppedAt"].is_number());
}

#[tokio::test]
async fn scale_in_skips_tasks_while_they_are_protected() {
    let mut harness = Harness::with_service(4).await;
    harness.advance_seconds(45, false);
    let arns = harness.listed("RUNNING").await;
    let protect = json!({"tasks": [arns[0], arns[2]], "protectionEnabled": true, "expiresInMinutes": 1});
    let response = harness.call("UpdateTaskProtection", protect).await.unwrap();
    assert_eq!(response["protectedTasks"].as_array().unwrap().len(), 2);
    assert!(response["protectedTasks"][0]["expirationDate"].is_number());
    harness.call("UpdateService", json!({"service": "s", "desiredCount": 1})).await.unwrap();
    harness.advance_seconds(20, false);
    assert_eq!(harness.listed("RUNNING").await, [arns[0].clone(), arns[2].clone()]);
    let stopped = harness.task(&arns[1]).await;
    assert_eq!(stopped["stopCode"], "ServiceSchedulerInitiated");
    assert!(
        stopped["stoppedReason"]
            .as_str()
            .unwrap()
            .starts_with("Scaling activity initiated by (deployment ecs-svc/")
    );
    harness.advance_seconds(45, false);
    assert_eq!(harness.listed("RUNNING").await.len(), 1);
}

#[tokio::test]
async fn a_task_ignoring_sigterm_is_killed_after_its_stop_timeout() {
    let mut harness = Harness::with_service(1).await;
    harness.advance_seconds(45, false);
    let arn = harness.listed("RUNNING").await.remove(0);
    harness.call("StopTask", json!({"task": arn, "reason": "enough"})).await.unwrap();
    let task = id(&arn).to_owned();
    let effects = harness.advance_seconds(29, true);
    assert_eq!(
        effects.iter().filter(|effect| **effect == Effect::Terminate { task: task.clone() }).count(),
        1
    );
    assert!(!effects.contains(&Effect::Kill { task: task.clone() }));
    assert_eq!(harness.task(&arn).await["lastStatus"], "STOPPING");
    assert!(harness.advance_seconds(3, true).contains(&Effect::Kill { task }));
    let stopped = harness.task(&arn).await;
    assert_eq!(
        (&stopped["stopCode"], &stopped["stoppedReason"]),
        (&json!("UserInitiated"), &json!("enough"))
    );
}

#[tokio::test]
async fn failed_starts_back_off_and_trip_the_circuit_breaker() {
    let harness = Harness::new(100);
    harness.register("generator").await;
    let mut creation = Harness::creation("s", 1);
    creation["deploymentConfiguration"] =
        json!({"deploymentCircuitBreaker": {"enable": true, "rollback": false}});
    harness.call("CreateService", creation).await.unwrap();
    let mut failures = Vec::new();
    for _ in 0..600 {
        harness.clock.advance(std::time::Duration::from_millis(500));
        let now = harness.clock.now();
        let effects = lifecycle::step(&mut harness.ecs.lock(), now);
        for effect in effects {
            let Effect::Start { task, .. } = effect else { panic!("{effect:?}") };
            failures.push(now);
            lifecycle::failed_to_start(
                &mut harness.ecs.lock(),
                REGION,
                &task,
                crate::task_runner::StartFailure {
                    reason: "CannotPullContainerError: no".into(),
                    container: Some(0),
                },
                now,
            );
        }
    }
    assert_eq!(failures.len(), 3, "the breaker allows three failed starts of one task");
    let gaps: Vec<i64> = failures.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs()).collect();
    assert!((30..=51).contains(&gaps[0]) && (40..=61).contains(&gaps[1]), "{gaps:?}");
    let service = harness.service().await;
    assert_eq!(service["deployments"][0]["rolloutState"], "FAILED");
    assert_eq!(service["deployments"][0]["failedTasks"], 3);
    let stopped = harness.listed("STOPPED").await;
    let task = harness.task(&stopped[0]).await;
    assert_eq!(
        (&task["stopCode"], &task["containers"][0]["reason"]),
        (&json!("TaskFailedToStart"), &json!("CannotPullContainerError: no"))
    );
    assert_eq!(task.get("startedAt"), None);
}

#[tokio::test]
async fn a_new_task_definition_redeploys_and_a_new_count_does_not() {
    let mut harness = Harness::with_service(2).await;
    harness.advance_seconds(45, false);
    let first = harness.listed("RUNNING").await;
    let deployment = harness.service().await["deployments"][0]["id"].clone();
    harness.call("UpdateService", json!({"service": "s", "desiredCount": 3})).await.unwrap();
    assert_eq!(harness.service().await["deployments"][0]["id"], deployment);
    harness.advance_seconds(45, false);
    harness.register("generator").await;
    let updated =
        harness.call("UpdateService", json!({"service": "s", "taskDefinition": "f:2"})).await.unwrap();
    assert_eq!(updated["service"]["deployments"].as_array().unwrap().len(), 2);
    let running_counts = (0..90)
        .map(|_| {
            harness.advance_seconds(1, false);
            harness.running.len()
        })
        .collect::<Vec<_>>();
    assert!(
        running_counts.iter().all(|running| (3..=6).contains(running)),
        "never below the desired count: {running_counts:?}"
    );
    let service = harness.service().await;
    assert_eq!(service["deployments"].as_array().unwrap().len(), 1);
    assert_eq!(service["runningCount"], 3);
    assert!(service["taskDefinition"].as_str().unwrap().ends_with("f:2"));
    let after = harness.listed("RUNNING").await;
    assert!(first.iter().all(|arn| !after.contains(arn)));
}

#[tokio::test]
async fn a_deleted_service_drains_and_its_name_can_be_reused() {
    let mut harness = Harness::with_service(2).await;
    harness.advance_seconds(45, false);
    let early = harness.call("DeleteService", json!({"service": "s"})).await.unwrap_err();
    assert_eq!(early.message, "The service cannot be stopped while it is scaled above 0.");
    let protect = json!({"tasks": harness.listed("RUNNING").await, "protectionEnabled": true});
    harness.call("UpdateTaskProtection", protect).await.unwrap();
    let deleted = harness.call("DeleteService", json!({"service": "s", "force": true})).await.unwrap();
    assert_eq!(
        (&deleted["service"]["status"], &deleted["service"]["desiredCount"]),
        (&json!("DRAINING"), &json!(0))
    );
    let reuse = harness.create("s", 1).await.unwrap_err();
    assert_eq!(reuse.message, "Unable to Start a service that is still Draining.");
    let update = harness.call("UpdateService", json!({"service": "s", "desiredCount": 1})).await.unwrap_err();
    assert_eq!(update.code, "ServiceNotActiveException");
    harness.advance_seconds(15, false);
    assert!(harness.running.is_empty());
    assert_eq!(harness.service().await["status"], "INACTIVE");
    assert_eq!(harness.call("ListServices", json!({})).await.unwrap(), json!({"serviceArns": []}));
    harness.create("s", 0).await.unwrap();
    assert_eq!(harness.service().await["status"], "ACTIVE");
}

#[tokio::test]
async fn creation_is_idempotent_only_for_the_same_token_and_request() {
    let harness = Harness::new(100);
    harness.register("generator").await;
    let mut creation = Harness::creation("s", 1);
    creation["clientToken"] = json!("0b5a3c1e-7a51-4d2e-9d6e-3b1c2a4f5e6d");
    let first = harness.call("CreateService", creation.clone()).await.unwrap();
    let again = harness.call("CreateService", creation.clone()).await.unwrap();
    assert_eq!(first["service"]["serviceArn"], again["service"]["serviceArn"]);
    creation["desiredCount"] = json!(2);
    let error = harness.call("CreateService", creation).await.unwrap_err();
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("InvalidParameterException", "Creation of service was not idempotent.")
    );
}

#[tokio::test]
async fn services_are_validated_as_on_aws() {
    let harness = Harness::new(100);
    harness.register("generator").await;
    let changed_creation = |change: &dyn Fn(&mut Value)| {
        let mut creation = Harness::creation("s", 1);
        change(&mut creation);
        creation
    };
    let strategy = json!([{"capacityProvider": "FARGATE", "weight": 1}]);
    let cases: [(Value, &str, &str); 8] = [
        (
            changed_creation(&|c| c["taskDefinition"] = json!("none")),
            "ClientException",
            "TaskDefinition not found.",
        ),
        (
            changed_creation(&|c| c["cluster"] = json!("none")),
            "ClusterNotFoundException",
            "Cluster not found.",
        ),
        (
            changed_creation(&|c| c["networkConfiguration"] = Value::Null),
            "InvalidParameterException",
            "Network Configuration must be provided",
        ),
        (
            changed_creation(&|c| c["capacityProviderStrategy"] = strategy.clone()),
            "InvalidParameterException",
            "Specifying both a launch type",
        ),
        (changed_creation(&|c| c["desiredCount"] = json!(-1)), "InvalidParameterException", "negative"),
        (changed_creation(&|c| c["desiredCount"] = json!(5001)), "InvalidParameterException", "5000"),
        (changed_creation(&|c| c["clientToken"] = json!("x".repeat(37))), "InvalidParameterException", "36"),
        (
            changed_creation(&|c| {
                c["networkConfiguration"]["awsvpcConfiguration"]["subnets"] = json!(vec!["s"; 17])
            }),
            "InvalidParameterException",
            "16",
        ),
    ];
    for (creation, code, text) in cases {
        let error = harness.call("CreateService", creation).await.unwrap_err();
        assert_eq!(error.code, code);
        assert!(error.message.contains(text), "{}", error.message);
    }
}

#[tokio::test]
async fn the_vcpu_quota_limits_the_number_of_tasks() {
    let mut harness = Harness::new(1);
    harness.register("generator").await;
    harness.create("s", 6).await.unwrap();
    harness.advance_seconds(45, false);
    assert_eq!(harness.running.len(), 4, "four tasks of a quarter vCPU fit into the quota");
    let events = harness.service().await["events"].clone();
    let quota_events = events
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["message"].as_str().unwrap().contains("limit on the number of vCPUs"));
    assert!((1..=3).contains(&quota_events.count()));
}

#[tokio::test]
async fn tags_propagate_to_tasks_as_configured() {
    let mut harness = Harness::new(100);
    harness.register("generator").await;
    let mut creation = Harness::creation("s", 1);
    creation["propagateTags"] = json!("SERVICE");
    creation["enableECSManagedTags"] = json!(true);
    creation["tags"] = json!([{"key": "kinesisdemo.io/owner", "value": "x"}]);
    harness.call("CreateService", creation).await.unwrap();
    harness.advance_seconds(2, false);
    let arns = harness.listed("RUNNING").await;
    let task =
        harness.call("DescribeTasks", json!({"tasks": arns, "include": ["TAGS"]})).await.unwrap()["tasks"][0]
            .clone();
    assert_eq!(
        task["tags"],
        json!([{"key": "aws:ecs:clusterName", "value": "demo"}, {"key": "aws:ecs:serviceName", "value": "s"},
            {"key": "kinesisdemo.io/owner", "value": "x"}])
    );
    let arn = json!({"resourceArn": "arn:aws:ecs:us-east-1:000000000000:service/demo/s"});
    assert_eq!(
        harness.call("ListTagsForResource", arn).await.unwrap()["tags"][0]["key"],
        "kinesisdemo.io/owner"
    );
}

#[tokio::test]
async fn only_empty_clusters_can_be_deleted() {
    let mut harness = Harness::with_service(1).await;
    harness.advance_seconds(45, false);
    let rejected = harness.call("DeleteCluster", json!({})).await.unwrap_err();
    assert_eq!(rejected.code, "ClusterContainsServicesException");
    harness.call("DeleteService", json!({"service": "s", "force": true})).await.unwrap();
    let rejected = harness.call("DeleteCluster", json!({})).await.unwrap_err();
    assert_eq!(rejected.code, "ClusterContainsTasksException");
    harness.advance_seconds(30, false);
    assert_eq!(harness.call("DeleteCluster", json!({})).await.unwrap()["cluster"]["status"], "INACTIVE");
    let described = harness.call("DescribeClusters", json!({"clusters": ["demo", "none"]})).await.unwrap();
    assert_eq!(described["clusters"][0]["status"], "INACTIVE");
    assert_eq!(described["failures"][0]["reason"], "MISSING");
}

#[tokio::test]
async fn task_definition_revisions_are_deregistered_then_deleted() {
    let harness = Harness::new(100);
    harness.register("a").await;
    harness.register("b").await;
    let newest = harness
        .call("DescribeTaskDefinition", json!({"taskDefinition": "f", "include": ["TAGS"]}))
        .await
        .unwrap();
    assert_eq!(newest["taskDefinition"]["revision"], 2);
    assert_eq!(newest["tags"], json!([{"key": "from", "value": "definition"}]));
    let active = harness.call("DeleteTaskDefinitions", json!({"taskDefinitions": ["f:2"]})).await.unwrap();
    assert!(active["failures"][0]["reason"].as_str().unwrap().contains("still in ACTIVE status"));
    let deregistered =
        harness.call("DeregisterTaskDefinition", json!({"taskDefinition": "f:2"})).await.unwrap();
    assert_eq!(deregistered["taskDefinition"]["status"], "INACTIVE");
    let inactive = harness.call("CreateService", {
        let mut creation = Harness::creation("s", 0);
        creation["taskDefinition"] = json!("f:2");
        creation
    });
    assert_eq!(inactive.await.unwrap_err().message, "TaskDefinition is inactive");
    let deleted = harness.call("DeleteTaskDefinitions", json!({"taskDefinitions": ["f:2"]})).await.unwrap();
    assert_eq!(deleted["taskDefinitions"][0]["status"], "DELETE_IN_PROGRESS");
    let now = harness.clock.now();
    lifecycle::step(&mut harness.ecs.lock(), now);
    let missing = harness.call("DescribeTaskDefinition", json!({"taskDefinition": "f:2"})).await.unwrap_err();
    assert_eq!(missing.message, "Unable to describe task definition.");
    harness.register("c").await;
    let newest = harness.call("DescribeTaskDefinition", json!({"taskDefinition": "f"})).await.unwrap();
    assert_eq!(newest["taskDefinition"]["revision"], 3, "revisions are never reused");
}

#[tokio::test]
async fn stopped_tasks_are_removed_after_an_hour() {
    let mut harness = Harness::with_service(1).await;
    harness.advance_seconds(45, false);
    let arn = harness.listed("RUNNING").await.remove(0);
    harness.call("StopTask", json!({"task": arn})).await.unwrap();
    harness.advance_seconds(15, false);
    harness.clock.advance(std::time::Duration::from_secs(3590));
    assert_eq!(harness.task(&arn).await["lastStatus"], "STOPPED");
    harness.clock.advance(std::time::Duration::from_secs(60));
    harness.advance_seconds(1, false);
    let response = harness.call("DescribeTasks", json!({"tasks": [arn]})).await.unwrap();
    assert_eq!(response["failures"][0]["reason"], "MISSING");
}

#[test]
fn ids_have_the_same_format_as_on_aws() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    assert_eq!(state::hex(&mut rng, 32).len(), 32);
    assert_eq!(state::deployment_id(&mut rng).len(), "ecs-svc/".len() + 19);
    assert_eq!(state::uuid(&mut rng).len(), 36);
    assert_eq!(
        state::span(&mut rng, SignedDuration::from_secs(3), SignedDuration::from_secs(3)).as_secs(),
        3
    );
}

mod failures;
mod launch_timing;
mod references;
mod settings;

//! The arm of the sandbox: a sandbox in the test's process, on loopback, with a manual clock; the
//! operator's adapters with its own timeouts and retries; and a shell script as the tasks' program.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_cloudwatch::types::{Datapoint, Dimension, Statistic};
use aws_sdk_kinesis::types::{
    MinimumThroughputBillingCommitmentInput, MinimumThroughputBillingCommitmentInputStatus as Commitment,
};
use aws_smithy_types::DateTime;
use kinesis_demo_api::MicroTime;
use kinesis_demo_api::ledger::MARKER;
use kinesis_demo_operator::aws::client::{CallObserver, CallOutcome};
use kinesis_demo_operator::aws::session::SdkRegions;
use kinesis_demo_operator::aws::{
    Advantage, Aws, METRICS_NAMESPACE, RUN_DIMENSION, Regions, RunMetric, TaskDescription,
};
use kinesis_demo_operator::write_fence::WriteFence;
use kinesis_demo_sandbox::clock::ModelClock;
use kinesis_demo_sandbox::{Options, Running, Sandbox};
use kinesis_demo_testing::conformance::{
    ACCOUNT, Arm, CalledMethods, IMAGE, InjectedError, OTHER_REGION, REGION, TASK_CAPACITY,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// How long a step of time takes in reality. The sandbox's ECS, which looks every 25 ms, sees the
/// new time within it.
const STEP_TAKES: Duration = Duration::from_millis(40);

/// The program of a task. It writes a final ledger line when it is told to stop, but only while
/// time passes: while the file `gate` exists.
const PROGRAM: &str = r#"
gate='GATE'
task="${ECS_CONTAINER_METADATA_URI_V4##*/}"
stop() {
    while [ ! -e "$gate" ]; do sleep 0.01; done
    at=$(date -u +%Y-%m-%dT%H:%M:%S.000000Z)
    printf '{"kinesisdemo":"MARKER","run":1,"task":"%.8s","sequence":1,"at":"%s","final":true,"phases":{}}\n' "$task" "$at"
    exit 0
}
trap stop TERM
while :; do sleep 0.05; done
"#;

/// A quarter vCPU per task.
const TASKS_PER_VCPU: u32 = 4;

struct Unobserved;

impl CallObserver for Unobserved {
    fn called(&self, _: &str, _: &str, _: CallOutcome, _: Duration) {}
}

/// A sandbox and the operator's clients of it.
pub struct SandboxArm {
    clock: ModelClock,
    running: Running,
    regions: SdkRegions,
    admin: reqwest::Client,
    gate: PathBuf,
    called_methods: CalledMethods,
    _folder: tempfile::TempDir,
}

impl SandboxArm {
    /// A new account.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let gate = folder.path().join("gate");
        let program = PROGRAM.replace("GATE", gate.to_str().unwrap()).replace("MARKER", MARKER);
        let options = Options {
            account: ACCOUNT.to_owned(),
            clusters: vec!["default".to_owned()],
            images: vec![(IMAGE.to_owned(), json!(["/bin/sh", "-c", program]).to_string())],
            fargate_vcpus: TASK_CAPACITY / TASKS_PER_VCPU,
            ..Options::default()
        };
        let clock = ModelClock::manual(1);
        let running = Sandbox::start_with_clock(options, clock.clone()).await.unwrap();
        let loader = loader(&running);
        let regions =
            SdkRegions::connect_with(loader, REGION, Arc::new(Unobserved), WriteFence::unshared()).await;
        let key = format!("Bearer {}", running.access_key_id());
        let headers = [(reqwest::header::AUTHORIZATION, key.parse().unwrap())].into_iter().collect();
        let admin = reqwest::Client::builder().default_headers(headers).build().unwrap();
        let called_methods = CalledMethods::default();
        Self { clock, running, regions, admin, gate, called_methods, _folder: folder }
    }

    /// Ends the tasks and the sandbox.
    pub async fn stop(self) {
        std::fs::write(&self.gate, "").unwrap();
        self.running.stop().await;
    }

    /// The response of the sandbox's admin API to a GET.
    async fn admin_get(&self, path: &str) -> Value {
        let url = format!("{}/_sandbox/{path}", self.running.endpoint_url());
        let response = self.admin.get(url).send().await.unwrap();
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }

    async fn add_fault(&self, fault: Value) {
        let url = format!("{}/_sandbox/faults", self.running.endpoint_url());
        let response = self.admin.post(url).json(&fault).send().await.unwrap();
        assert_eq!(response.status(), 201, "{}", response.text().await.unwrap());
    }

    /// The configuration of the arm's own clients.
    async fn config(&self, region: &'static str) -> SdkConfig {
        loader(&self.running).region(Region::new(region)).load().await
    }

    async fn update_commitment(&self, region: &'static str, commitment: Commitment) {
        let commitment = MinimumThroughputBillingCommitmentInput::builder().status(commitment).build();
        aws_sdk_kinesis::Client::new(&self.config(region).await)
            .update_account_settings()
            .minimum_throughput_billing_commitment(commitment.unwrap())
            .send()
            .await
            .unwrap();
    }
}

/// Credentials and the endpoint, which the operator takes from its environment.
fn loader(running: &Running) -> aws_config::ConfigLoader {
    aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(running.endpoint_url())
        .credentials_provider(Credentials::new(running.access_key_id(), "any", None, None, "test"))
}

#[async_trait]
impl Arm for SandboxArm {
    fn in_region(&self, region: &str) -> Aws {
        self.called_methods.record(self.regions.in_region(region))
    }

    fn now(&self) -> MicroTime {
        self.clock.moment().wall.into()
    }

    async fn let_time_pass(&self, duration: Duration) {
        std::fs::write(&self.gate, "").unwrap();
        self.clock.advance(duration);
        tokio::time::sleep(STEP_TAKES).await;
        std::fs::remove_file(&self.gate).unwrap();
    }

    async fn set_advantage(&self, advantage: Advantage) {
        let commitment = match advantage {
            Advantage::Enabled => Commitment::Enabled,
            // Within 24 hours of its beginning, a commitment goes on until these are over.
            Advantage::EnabledUntilEarliestAllowedEnd => Commitment::Disabled,
            Advantage::Disabled => return,
        };
        for region in [REGION, OTHER_REGION] {
            self.update_commitment(region, commitment.clone()).await;
        }
    }

    async fn fail(&self, operation: &str, error: &InjectedError) {
        let InjectedError { status, code, message } = error;
        self.add_fault(json!({
            "service": "*", "operation": operation, "kind": "Error", "times": u32::MAX,
            "status": status, "code": code, "message": message,
        }))
        .await;
    }

    async fn lose_responses(&self, operation: &str) {
        let times = u32::MAX;
        self.add_fault(
            json!({ "service": "*", "operation": operation, "kind": "LoseResponse", "times": times }),
        )
        .await;
    }

    async fn clear_faults(&self) {
        let url = format!("{}/_sandbox/faults", self.running.endpoint_url());
        let response = self.admin.delete(url).send().await.unwrap();
        assert_eq!(response.status(), 204);
    }

    async fn kill_process(&self, task: &TaskDescription) {
        let processes = self.admin_get("tasks").await;
        let is_its = |process: &&Value| process["taskId"].as_str().is_some_and(|id| task.arn.ends_with(id));
        let process = processes["tasks"].as_array().unwrap().iter().find(is_its);
        let pid = process.and_then(|process| process["pid"].as_i64()).expect("the task has a process");
        kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
    }

    async fn values_by_minute(&self, run_name: &str, metric: RunMetric) -> Vec<(MicroTime, u32)> {
        let now = self.now().as_micros().div_euclid(1_000_000);
        let response = aws_sdk_cloudwatch::Client::new(&self.config(REGION).await)
            .get_metric_statistics()
            .namespace(METRICS_NAMESPACE)
            .metric_name(metric.name())
            .dimensions(Dimension::builder().name(RUN_DIMENSION).value(run_name).build())
            .start_time(DateTime::from_secs(now - 3_600))
            .end_time(DateTime::from_secs(now))
            .period(60)
            .statistics(Statistic::Maximum)
            .send()
            .await
            .unwrap();
        let point = |point: &Datapoint| {
            let minute = MicroTime::from_micros(point.timestamp().unwrap().secs() * 1_000_000);
            (minute, point.maximum().unwrap() as u32)
        };
        let mut points: Vec<_> = response.datapoints().iter().map(point).collect();
        points.sort_unstable();
        points
    }

    fn called_methods(&self) -> &CalledMethods {
        &self.called_methods
    }

    async fn called_operations(&self) -> BTreeSet<String> {
        let calls = self.admin_get("calls").await;
        let services = calls["services"].as_object().unwrap().values();
        let operations = services.flat_map(|operations| operations.as_object().unwrap().keys().cloned());
        // The calls of this arm itself.
        let is_ours = |operation: &str| matches!(operation, "UpdateAccountSettings" | "GetMetricStatistics");
        operations.filter(|operation| !is_ours(operation)).collect()
    }
}

//! A test's own local cluster: everything that `make demo` starts, in a folder of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kinesis_demo_api::{KinesisDemo, Stage};
use kinesis_demo_iam::{Deployment, PolicyEvaluator, Principal};
use kinesis_demo_local_cluster::kubernetes::Kubernetes;
use kinesis_demo_local_cluster::kubernetes::assets::cached_assets;
use kinesis_demo_local_cluster::kubernetes::definition::{put_definitions, put_namespace};
use kinesis_demo_local_cluster::processes::supervisor::log_tail;
use kinesis_demo_local_cluster::programs::{
    CLUSTER, OPERATOR, Programs, SANDBOX, recorded_calls, start_operator, start_sandbox,
};
use kinesis_demo_local_cluster::sandbox::address::SandboxAddress;
use kinesis_demo_local_cluster::sandbox::client::SandboxClient;
use kinesis_demo_local_cluster::sandbox::leaked_resources::{Allowed, leaked_resources};
use kinesis_demo_local_cluster::{Lifetime, Supervisor, silent};
use kinesis_demo_testing::demos::Demos;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::proxy::Proxy;

/// The speed-up of the sandbox's delays.
const SPEED: u32 = 20;

/// The folder of the built programs.
pub fn programs() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_kinesis-demo-operator")).parent().unwrap().to_path_buf()
}

/// The number of runs at a time, over all tests. Two cores can run the processes of that many runs
/// at full rate.
const RUNS_AT_ONCE: u32 = 5;

static RUN_PERMITS: Semaphore = Semaphore::const_new(RUNS_AT_ONCE as usize);

/// Permits one run on this machine.
pub type RunPermit = SemaphorePermit<'static>;

/// Whether the tests can run here. If not, prints why.
async fn can_run_here() -> bool {
    if cached_assets().await.is_none() {
        return false;
    }
    if let Err(error) = Programs::in_folder(&programs()) {
        println!("skipped: {error}");
        return false;
    }
    true
}

/// Waits until one more run may start.
pub async fn run_permit() -> RunPermit {
    RUN_PERMITS.acquire().await.unwrap()
}

/// As `run_permit`, for a test with one run. Returns `None` if the tests cannot run here.
pub async fn shared_permit() -> Option<RunPermit> {
    if can_run_here().await { Some(run_permit().await) } else { None }
}

/// Waits until no other run is active, for a test whose measurements must not depend on others.
/// Returns `None` if the tests cannot run here.
pub async fn exclusive_permit() -> Option<RunPermit> {
    if can_run_here().await { Some(RUN_PERMITS.acquire_many(RUNS_AT_ONCE).await.unwrap()) } else { None }
}

pub struct LocalStack {
    pub supervisor: Supervisor,
    pub demos: Demos,
    pub sandbox: SandboxClient,
    kubernetes: Kubernetes,
    kubeconfig: PathBuf,
    /// The address of AWS for the operator: the sandbox, or the proxy in front of it.
    aws: SandboxAddress,
    before: Value,
    _state: tempfile::TempDir,
}

impl LocalStack {
    pub async fn start() -> Self {
        let stack = Self::without_operator().await;
        stack.start_operator().await;
        stack
    }

    /// Only the operator reaches the sandbox through a proxy.
    pub async fn start_behind_proxy() -> (Self, Proxy) {
        let mut stack = Self::without_operator().await;
        let proxy = Proxy::start(&stack.aws.endpoint).await;
        proxy.endpoint.clone_into(&mut stack.aws.endpoint);
        stack.start_operator().await;
        (stack, proxy)
    }

    async fn without_operator() -> Self {
        let state = tempfile::tempdir().unwrap();
        let supervisor = Supervisor::open(state.path(), Lifetime::UntilExit).unwrap();
        let programs = Programs::in_folder(&programs()).unwrap();
        let kubernetes = Kubernetes::start(&supervisor, &silent()).await.unwrap();
        let address = start_sandbox(&supervisor, &programs, SPEED).await.unwrap();
        let sandbox = SandboxClient::at(address.clone()).unwrap();
        let before = sandbox.fetch_state().await.unwrap();
        put_definitions(&kubernetes.client()).await.unwrap();
        put_namespace(&kubernetes.client(), "demos").await.unwrap();
        let kubeconfig = kubernetes.operator_kubeconfig().await.unwrap();
        let demos = Demos::new(kubernetes.client(), "demos");
        Self { supervisor, demos, sandbox, kubernetes, kubeconfig, aws: address, before, _state: state }
    }

    /// A client with administrator rights.
    pub fn client(&self) -> kube::Client {
        self.kubernetes.client()
    }

    pub async fn start_operator(&self) {
        let programs = Programs::in_folder(&programs()).unwrap();
        start_operator(&self.supervisor, &programs, &self.kubeconfig, &self.aws).await.unwrap();
    }

    /// Kills the operator with SIGKILL and starts a new one at once.
    pub async fn kill_operator(&self) {
        let pid = self.supervisor.pid(OPERATOR).expect("the operator is not running");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
        self.supervisor.stop(OPERATOR).await;
        self.start_operator().await;
    }

    /// Waits until `wanted` returns true for the object.
    pub async fn wait(
        &self,
        name: &str,
        limit: Duration,
        wanted: impl FnMut(&KinesisDemo) -> bool,
    ) -> KinesisDemo {
        let reached = self.demos.wait_within(name, limit, wanted).await;
        reached.unwrap_or_else(|error| panic!("{error}\n{}", self.operator_log()))
    }

    /// Waits until the object is deleted.
    pub async fn wait_until_deleted(&self, name: &str, limit: Duration) {
        if tokio::time::timeout(limit, self.demos.wait_until_deleted(name)).await.is_err() {
            let last = self.demos.fetch(name).await;
            panic!("{name} still exists after {limit:?}: {last:#?}\n{}", self.operator_log());
        }
    }

    /// Waits until the run has ended, with any outcome.
    pub async fn wait_until_over(&self, name: &str) -> KinesisDemo {
        let over = |demo: &KinesisDemo| {
            demo.status.as_ref().and_then(|status| status.stage).is_some_and(Stage::is_terminal)
        };
        self.wait(name, Duration::from_secs(120), over).await
    }

    pub fn operator_log(&self) -> String {
        log_tail(&self.supervisor.log_path(OPERATOR))
    }

    /// The resources in the sandbox that did not exist at the start.
    pub async fn leaked_resources(&self) -> Vec<String> {
        let after = self.sandbox.fetch_state().await.unwrap();
        leaked_resources(&self.before, &after, Allowed { retained: &[], cluster: CLUSTER })
    }

    /// Stops everything. Asserts that our published IAM policies allow every call that was made.
    pub async fn stop(self) {
        self.supervisor.stop(OPERATOR).await;
        self.supervisor.stop(SANDBOX).await;
        self.assert_calls_are_allowed();
        self.kubernetes.stop().await.unwrap();
        self.supervisor.stop_all().await;
        assert_eq!(self.supervisor.running().unwrap(), vec![], "processes are still running");
    }
}

impl LocalStack {
    fn assert_calls_are_allowed(&self) {
        let recorded = std::fs::read_to_string(recorded_calls(&self.supervisor)).unwrap();
        let calls = kinesis_demo_iam::call::parse(&recorded).unwrap();
        let by = |principal| calls.iter().filter(|call| call.principal == principal).count();
        assert!(by(Principal::Operator) > 0, "none of the {} recorded calls is the operator's", calls.len());
        let evaluator = PolicyEvaluator::new(Deployment::sandbox()).unwrap();
        assert_eq!(evaluator.violations(&calls), [] as [&str; 0]);
    }
}

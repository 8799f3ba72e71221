//! The laptop of a test: everything that `make demo` starts, in a folder of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kinesis_demo_api::status::TotalsStatus;
use kinesis_demo_api::{KinesisDemo, Stage};
use kinesis_demo_iam::{Deployment, PolicyEvaluator, Principal};
use kubectl_kinesisdemo::cluster::Cluster;
use kubectl_kinesisdemo::demo::environment::SandboxAddress;
use kubectl_kinesisdemo::demo::leaked_resources::{Allowed, left_behind};
use kubectl_kinesisdemo::demo::parts::{
    CLUSTER, OPERATOR, Programs, SANDBOX, recorded_calls, start_operator, start_sandbox,
};
use kubectl_kinesisdemo::demo::sandbox::Sandbox;
use kubectl_kinesisdemo::follow::until;
use kubectl_kinesisdemo::local_cluster::definition::{put_definition, put_namespace};
use kubectl_kinesisdemo::local_cluster::kubernetes::Kubernetes;
use kubectl_kinesisdemo::local_cluster::{Lifetime, Supervisor, assets, silent};
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::proxy::Proxy;

/// How much faster the sandbox's delays pass.
const SPEED: u32 = 20;

/// The folder of the programs.
pub fn programs() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_kinesis-demo-operator")).parent().unwrap().to_path_buf()
}

/// So many runs go on at a time, of all tests: two cores hold the processes of so many and the pace of each.
const RUNS_AT_ONCE: u32 = 5;

static PLACES: Semaphore = Semaphore::const_new(RUNS_AT_ONCE as usize);

/// A run's place on this machine.
pub type RunPermit = SemaphorePermit<'static>;

/// Whether the tests can run here; if not, a line says why.
async fn can_run_here() -> bool {
    kubectl_kinesisdemo::install_crypto();
    if assets::cached_assets().await.is_none() {
        println!("skipped: no kube-apiserver and etcd on this machine; `make assets` fetches or builds them");
        return false;
    }
    if let Err(error) = Programs::in_folder(&programs()) {
        println!("skipped: {error}");
        return false;
    }
    true
}

/// Waits until one run more may go on.
pub async fn place() -> RunPermit {
    PLACES.acquire().await.unwrap()
}

/// As `place`, for a test that is one run; `None` if it cannot run here.
pub async fn place_beside_others() -> Option<RunPermit> {
    if can_run_here().await { Some(place().await) } else { None }
}

/// Waits for the whole machine: what such a test measures must not depend on what runs beside it.
pub async fn place_alone() -> Option<RunPermit> {
    if can_run_here().await { Some(PLACES.acquire_many(RUNS_AT_ONCE).await.unwrap()) } else { None }
}

pub struct LocalStack {
    pub supervisor: Supervisor,
    pub cluster: Cluster,
    pub sandbox: Sandbox,
    kubernetes: Kubernetes,
    kubeconfig: PathBuf,
    /// Where the operator finds AWS: the sandbox, or what stands before it.
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

    /// The operator, and nobody else, reaches the sandbox through a proxy.
    pub async fn start_behind_proxy() -> (Self, Proxy) {
        let mut stack = Self::without_operator().await;
        let proxy = Proxy::start(&stack.aws.endpoint).await;
        proxy.endpoint.clone_into(&mut stack.aws.endpoint);
        stack.start_operator().await;
        (stack, proxy)
    }

    async fn without_operator() -> Self {
        let state = tempfile::tempdir().unwrap();
        let supervisor = Supervisor::open(state.path(), Lifetime::Run).unwrap();
        let programs = Programs::in_folder(&programs()).unwrap();
        let kubernetes = Kubernetes::start(&supervisor, &silent()).await.unwrap();
        let address = start_sandbox(&supervisor, &programs, SPEED).await.unwrap();
        let sandbox = Sandbox::at(address.clone()).unwrap();
        let before = sandbox.fetch_state().await.unwrap();
        put_definition(&kubernetes.client()).await.unwrap();
        put_namespace(&kubernetes.client(), "demos").await.unwrap();
        let kubeconfig = kubernetes.operator_kubeconfig().await.unwrap();
        let cluster = Cluster::new(kubernetes.client(), "demos");
        Self { supervisor, cluster, sandbox, kubernetes, kubeconfig, aws: address, before, _state: state }
    }

    /// The administrator's view of the API server.
    pub fn client(&self) -> kube::Client {
        self.kubernetes.client()
    }

    pub async fn start_operator(&self) {
        let programs = Programs::in_folder(&programs()).unwrap();
        start_operator(&self.supervisor, &programs, &self.kubeconfig, &self.aws).await.unwrap();
    }

    /// SIGKILL, and a new one at once.
    pub async fn kill_operator(&self) {
        let pid = self.supervisor.pid(OPERATOR).expect("the operator runs");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
        self.supervisor.stop(OPERATOR).await;
        self.start_operator().await;
    }

    /// Waits until the object is as wanted.
    pub async fn wait(
        &self,
        name: &str,
        limit: Duration,
        wanted: impl FnMut(&KinesisDemo) -> bool,
    ) -> KinesisDemo {
        match tokio::time::timeout(limit, until(&self.cluster, name, wanted)).await {
            Ok(demo) => demo.unwrap().unwrap_or_else(|| panic!("{name} is gone")),
            Err(_) => {
                let last = self.cluster.fetch(name).await;
                panic!("{name} is not as awaited after {limit:?}: {last:#?}\n{}", self.operator_log())
            }
        }
    }

    /// Waits until the run has ended, in whatever way.
    pub async fn wait_until_over(&self, name: &str) -> KinesisDemo {
        let over = |demo: &KinesisDemo| {
            demo.status.as_ref().and_then(|status| status.stage).is_some_and(Stage::is_terminal)
        };
        self.wait(name, Duration::from_secs(120), over).await
    }

    pub fn operator_log(&self) -> String {
        kubectl_kinesisdemo::local_cluster::supervisor::log_tail(&self.supervisor.log_path(OPERATOR))
    }

    /// What the sandbox holds now and did not at the start.
    pub async fn leftovers(&self) -> Vec<String> {
        let after = self.sandbox.fetch_state().await.unwrap();
        left_behind(&self.before, &after, Allowed { retained: &[], cluster: CLUSTER })
    }

    /// Ends everything. Whatever the run was: what it asked of AWS must be allowed by the policies we ship.
    pub async fn stop(self) {
        self.supervisor.stop(OPERATOR).await;
        self.supervisor.stop(SANDBOX).await;
        self.assert_calls_are_allowed();
        self.kubernetes.stop().await.unwrap();
        self.supervisor.stop_all().await;
        assert_eq!(self.supervisor.running().unwrap(), vec![], "processes are left");
    }
}

impl LocalStack {
    fn assert_calls_are_allowed(&self) {
        let recorded = std::fs::read_to_string(recorded_calls(&self.supervisor)).unwrap();
        let calls = kinesis_demo_iam::call::parse(&recorded).unwrap();
        let by = |principal| calls.iter().filter(|call| call.principal == principal).count();
        assert!(by(Principal::Operator) > 0, "nothing of the operator in {} calls", calls.len());
        let judge = PolicyEvaluator::new(Deployment::sandbox()).unwrap();
        assert_eq!(judge.complaints(&calls), [] as [&str; 0]);
    }
}

pub fn assert_balanced(totals: &TotalsStatus) {
    assert_eq!(
        totals.offered,
        totals.accepted + totals.failed + totals.dropped + totals.unknown,
        "{totals:?}"
    );
    assert_eq!(
        totals.scheduled + totals.excess,
        totals.offered + totals.unoffered + totals.unreported,
        "{totals:?}"
    );
}

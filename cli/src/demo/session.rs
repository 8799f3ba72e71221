//! One demo from setup to shutdown: set up, run, remove, stop. In: a supervisor and manifests. Out:
//! the outcome of each run. Starts processes; talks to our own API server and sandbox.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use kinesis_demo_api::request::Verb;
use kinesis_demo_api::status::ResourceState;
use kinesis_demo_api::{KinesisDemo, KinesisDemoRun};
use kinesis_demo_local_cluster::kubernetes::Kubernetes;
use kinesis_demo_local_cluster::kubernetes::definition::{put_definitions, put_namespace};
use kinesis_demo_local_cluster::private_files::write_private;
use kinesis_demo_local_cluster::processes::supervisor::UnexpectedExit;
use kinesis_demo_local_cluster::programs::{
    CLUSTER, OPERATOR, Programs, REGION, SANDBOX, is_worth_a_restart, start_operator, start_sandbox,
};
use kinesis_demo_local_cluster::sandbox::client::SandboxClient;
use kinesis_demo_local_cluster::sandbox::leaked_resources::{Allowed, leaked_resources};
use kinesis_demo_local_cluster::state::folder::check_still_ours;
use kinesis_demo_local_cluster::{LocalClusterError, Progress, Supervisor};
use kube::core::DeserializeGuard;
use serde_json::Value;

use super::env_file::{KUBECTL_CACHE, env_file};
use super::interrupts::Interrupts;
use super::report::{DemoObservation, report};
use super::samples::Samples;
use super::together::NamedReport;
use crate::args::Output;
use crate::cluster::Cluster;
use crate::error::CliError;
use crate::follow::{Followed, WatchOutcome, follow_all, wait_until_deleted};
use crate::manifest::Manifest;
use crate::render::line::blocking_condition;
use crate::screen::Screen;

/// Limit for an abort, which stops traffic, drains, and removes everything. The sandbox's own
/// delays are shortened by its speed.
const ABORT_TIMEOUT: Duration = Duration::from_secs(60);
/// Limit for a deletion, which does the same.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(90);

/// How long to wait for the record of a run that is over.
const RECORD_TIMEOUT: Duration = Duration::from_secs(5);
const RECORD_POLL: Duration = Duration::from_millis(200);

/// Everything that runs for one demo.
pub struct DemoSession {
    supervisor: Supervisor,
    programs: Programs,
    kubernetes: Kubernetes,
    /// With the operator's own rights.
    kubeconfig: PathBuf,
    cluster: Cluster,
    sandbox: SandboxClient,
    /// The sandbox's state before the run.
    before: Value,
}

/// How the runs are shown.
pub struct DemoView {
    /// One line per change instead of a view that fills the terminal.
    pub plain: bool,
    /// The last line of that view.
    pub hint: String,
}

/// The outcome of the runs.
#[derive(Default)]
pub struct DemoOutcome {
    /// One for each manifest, in their order.
    pub runs: Vec<RunOutcome>,
    /// The error that prevented the runs from completing.
    pub error: Option<CliError>,
}

/// The outcome of one run.
#[derive(Default)]
pub struct RunOutcome {
    pub name: String,
    /// The last observed object.
    pub last: Option<KinesisDemo>,
    pub samples: Samples,
}

impl DemoSession {
    /// Starts Kubernetes and checks the manifests against it, then starts the sandbox and the
    /// operator. The manifests are of one namespace.
    pub async fn set_up(
        supervisor: &Supervisor,
        manifests: &[Manifest],
        speed: u32,
        progress: &Progress,
    ) -> Result<Self, CliError> {
        let programs = Programs::next_to_this()?;
        let namespace = manifests.first().map_or("default", Manifest::namespace);
        let kubernetes = Kubernetes::start(supervisor, progress).await?;
        let client = kubernetes.client();
        let cluster = Cluster::new(client.clone(), namespace);
        let define = async {
            put_definitions(&client).await?;
            put_namespace(&client, namespace).await?;
            // The API server checks the schema's rules. If it rejects a manifest, nothing else is
            // started.
            for manifest in manifests {
                cluster.try_apply(&manifest.name, &manifest.document).await?;
            }
            Ok::<_, CliError>(())
        };
        let grant = async { kubernetes.operator_kubeconfig().await.map_err(CliError::from) };
        let ((), kubeconfig) = tokio::try_join!(define, grant)?;
        let address = start_sandbox(supervisor, &programs, speed).await?;
        let sandbox = SandboxClient::at(address)?;
        let before = sandbox.fetch_state().await?;
        let text = env_file(supervisor.state(), &kubernetes.admin_kubeconfig(), sandbox.address(), REGION);
        write_private(&supervisor.state().join("env"), text.as_bytes())?;
        progress("starting the operator under its own role");
        start_operator(supervisor, &programs, &kubeconfig, sandbox.address()).await?;
        Ok(Self {
            supervisor: supervisor.clone(),
            programs,
            kubernetes,
            kubeconfig,
            cluster,
            sandbox,
            before,
        })
    }

    /// The demo's own API server, as its administrator.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The demo's own sandbox.
    #[must_use]
    pub fn sandbox(&self) -> &SandboxClient {
        &self.sandbox
    }

    /// Applies the manifests and shows the runs until all are over, until a program exits that is
    /// not started again, or until an interrupt's abort is done.
    pub async fn run(
        &self,
        manifests: &[Manifest],
        view: DemoView,
        interrupts: &mut Interrupts,
        progress: &Progress,
    ) -> DemoOutcome {
        let new = |manifest: &Manifest| RunOutcome { name: manifest.name.clone(), ..RunOutcome::default() };
        let mut runs: Vec<RunOutcome> = manifests.iter().map(new).collect();
        let result = self.run_into(&mut runs, manifests, view, interrupts, progress).await;
        DemoOutcome { runs, error: result.err() }
    }

    async fn run_into(
        &self,
        runs: &mut [RunOutcome],
        manifests: &[Manifest],
        view: DemoView,
        interrupts: &mut Interrupts,
        progress: &Progress,
    ) -> Result<(), CliError> {
        for manifest in manifests {
            self.cluster.apply(&manifest.name, &manifest.document).await?;
        }
        let followed: Vec<Followed<'_>> =
            manifests.iter().map(|manifest| Followed { name: &manifest.name, run: 1 }).collect();
        let mut screen = Screen::new(Output::Text, view.plain, view.hint);
        let following = follow_all(&self.cluster, &followed, true, &mut screen, |demo, now| {
            let name = demo.metadata.name.as_deref();
            if let Some(run) = runs.iter_mut().find(|run| Some(run.name.as_str()) == name) {
                run.samples.take(demo, now);
                run.last = Some(demo.clone());
            }
        });
        tokio::pin!(following);
        let mut abort_deadline = None;
        loop {
            let abort_timeout = async {
                match abort_deadline {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                end = &mut following => return not_stalled(manifests, &end?),
                exit = self.supervisor.first_exit() => self.restart(exit, progress).await?,
                () = interrupts.next() => {
                    if abort_deadline.is_some() {
                        return Ok(());
                    }
                    progress("interrupted: aborting the run (interrupt again to stop immediately)");
                    abort_deadline = Some(tokio::time::Instant::now() + ABORT_TIMEOUT);
                    for manifest in manifests {
                        self.cluster.put_request(&manifest.name, Verb::Abort, None).await?;
                    }
                }
                () = abort_timeout => {
                    progress(&format!("the abort did not finish within {} s; deleting the object", ABORT_TIMEOUT.as_secs()));
                    return Ok(());
                }
            }
        }
    }

    /// Deletes the objects and waits for their end. Does nothing without a sandbox, or with an
    /// operator that does not work: nothing would remove the objects' resources, and those end with
    /// the sandbox.
    pub async fn remove(
        &self,
        manifests: &[Manifest],
        interrupts: &mut Interrupts,
        progress: &Progress,
    ) -> Result<(), CliError> {
        let mut exits = [OPERATOR, SANDBOX].into_iter().filter_map(|role| self.supervisor.exit_of(role));
        if exits.any(|exit| !is_worth_a_restart(&exit)) {
            return Ok(());
        }
        let removing = async {
            for manifest in manifests {
                self.cluster.delete(&manifest.name).await?;
            }
            let report = |line: &str| progress(line);
            let deleted = manifests
                .iter()
                .map(|manifest| wait_until_deleted(&self.cluster, &manifest.name, REMOVE_TIMEOUT, &report));
            futures::future::try_join_all(deleted).await.map(drop)
        };
        tokio::pin!(removing);
        loop {
            tokio::select! {
                result = &mut removing => return result,
                exit = self.supervisor.first_exit() => self.restart(exit, progress).await?,
                () = interrupts.next() => return Err(CliError::Refused("interrupted again: stopped before the object was deleted".into())),
            }
        }
    }

    /// Starts the operator again after it was killed or gave up, as a cluster does. Any other exit
    /// is an error.
    async fn restart(&self, exit: UnexpectedExit, progress: &Progress) -> Result<(), CliError> {
        if !is_worth_a_restart(&exit) {
            return Err(LocalClusterError::from(exit).into());
        }
        progress(&format!("the operator has ended ({}); starting it again", exit.status));
        start_operator(&self.supervisor, &self.programs, &self.kubeconfig, self.sandbox.address()).await?;
        Ok(())
    }

    /// The resources that the sandbox has now and did not have before the run, except those to be
    /// retained.
    pub async fn left_in_sandbox(&self, runs: &[RunOutcome]) -> Result<Vec<String>, CliError> {
        let after = self.sandbox.fetch_state().await?;
        let retained: Vec<String> = runs.iter().flat_map(|run| retained(run.last.as_ref())).collect();
        Ok(leaked_resources(&self.before, &after, Allowed { retained: &retained, cluster: CLUSTER }))
    }

    /// The report of one run, without what was left.
    pub async fn report(&self, outcome: &RunOutcome) -> Result<NamedReport, CliError> {
        let arn = outcome.last.as_ref().and_then(|demo| demo.status.as_ref()?.stream.as_ref());
        let arrived = match arn {
            Some(stream) => self.sandbox.fetch_ingest_statistics(&stream.arn).await?,
            None => None,
        };
        let (stored, ingest_statistics) = arrived.unwrap_or_default();
        let first_record_at = ingest_statistics.buckets.first().map(|bucket| bucket.at);
        let samples = outcome.samples.clone();
        let observation = DemoObservation { samples, stored, ingest_statistics, leaked: Vec::new() };
        let report = report(outcome.last.as_ref(), observation, Timestamp::now());
        let (name, demo) = (outcome.name.clone(), outcome.last.clone());
        let record = self.record_of(&name).await;
        Ok(NamedReport { name, report, record, first_record_at, demo })
    }

    /// The record of the object's latest run. The operator completes it just after the run's end.
    async fn record_of(&self, name: &str) -> Option<KinesisDemoRun> {
        let deadline = tokio::time::Instant::now() + RECORD_TIMEOUT;
        loop {
            let records = self.cluster.fetch_runs(Some(name)).await.unwrap_or_default();
            let parsed = records.into_iter().filter_map(|DeserializeGuard(record)| record.ok());
            let latest = parsed.max_by_key(|record| record.spec.run);
            let is_final = |record: &KinesisDemoRun| {
                record.status.as_ref().is_some_and(|status| status.finished_at.is_some())
            };
            if latest.as_ref().is_some_and(is_final) || tokio::time::Instant::now() >= deadline {
                return latest;
            }
            tokio::time::sleep(RECORD_POLL).await;
        }
    }

    /// Stops operator, sandbox, Kubernetes. In this order no program loses one that it still uses.
    pub async fn stop(self) -> Result<(), CliError> {
        self.supervisor.stop(OPERATOR).await;
        self.supervisor.stop(SANDBOX).await;
        let stopped = self.kubernetes.stop().await;
        self.supervisor.stop_all().await;
        Ok(stopped?)
    }
}

/// An error if one of the runs is stalled.
fn not_stalled(manifests: &[Manifest], outcomes: &[Option<WatchOutcome>]) -> Result<(), CliError> {
    for (manifest, outcome) in manifests.iter().zip(outcomes) {
        if let Some(WatchOutcome::Stalled(demo)) = outcome {
            let why = demo.status.as_ref().and_then(blocking_condition).unwrap_or_default();
            let why = format!("the run is stalled until something changes: {why}");
            let is_single = manifests.len() == 1;
            return Err(CliError::Refused(if is_single { why } else { format!("{}: {why}", manifest.name) }));
        }
    }
    Ok(())
}

/// ARNs of the retained resources, and the last parts of the ARNs, which the sandbox's state uses
/// where it has no ARN.
fn retained(last: Option<&KinesisDemo>) -> Vec<String> {
    let resources = last
        .and_then(|demo| demo.status.as_ref())
        .map(|status| status.resources.as_slice())
        .unwrap_or_default();
    resources
        .iter()
        .filter(|resource| resource.state == ResourceState::Retained)
        .flat_map(|resource| {
            let name = resource.arn.rsplit(['/', ':']).next().unwrap_or_default();
            [resource.arn.clone(), name.to_owned()]
        })
        .collect()
}

/// Removes files that are useless after the end: keys and tokens of servers that have stopped, and
/// the data of etcd and the sandbox. Logs and the report are kept.
pub fn remove_temporary_files(state: &Path) -> Result<(), LocalClusterError> {
    check_still_ours(state)?;
    for name in ["kubernetes", "sandbox", KUBECTL_CACHE] {
        let _ = std::fs::remove_dir_all(state.join(name));
    }
    for name in ["admin.kubeconfig", "operator.kubeconfig", "env", "dashboard.html"] {
        let _ = std::fs::remove_file(state.join(name));
    }
    Ok(())
}

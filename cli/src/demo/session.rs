//! One demo from setup to shutdown: set up, run, remove, stop. In: a supervisor and a manifest.
//! Out: the outcome of the run. Starts processes; talks to our own API server and sandbox.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use kinesis_demo_api::KinesisDemo;
use kinesis_demo_api::request::Verb;
use kinesis_demo_api::status::ResourceState;
use kinesis_demo_local_cluster::kubernetes::Kubernetes;
use kinesis_demo_local_cluster::kubernetes::definition::{put_definitions, put_namespace};
use kinesis_demo_local_cluster::private_files::write_private;
use kinesis_demo_local_cluster::programs::{
    CLUSTER, OPERATOR, Programs, REGION, SANDBOX, start_operator, start_sandbox,
};
use kinesis_demo_local_cluster::sandbox::client::SandboxClient;
use kinesis_demo_local_cluster::sandbox::leaked_resources::{Allowed, leaked_resources};
use kinesis_demo_local_cluster::state::folder::check_still_ours;
use kinesis_demo_local_cluster::{LocalClusterError, Progress, Supervisor};
use serde_json::Value;

use super::env_file::{KUBECTL_CACHE, env_file};
use super::interrupts::Interrupts;
use super::report::{DemoObservation, Report, report};
use super::samples::Samples;
use crate::args::Output;
use crate::cluster::Cluster;
use crate::error::CliError;
use crate::follow::{WatchOutcome, follow, wait_until_deleted};
use crate::manifest::Manifest;
use crate::render::line::blocking_condition;
use crate::screen::Screen;

/// Limit for an abort, which stops traffic, drains, and removes everything. The sandbox's own
/// delays are shortened by its speed.
const ABORT_TIMEOUT: Duration = Duration::from_secs(60);
/// Limit for a deletion, which does the same.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(90);

/// Everything that runs for one demo.
pub struct DemoSession {
    supervisor: Supervisor,
    kubernetes: Kubernetes,
    cluster: Cluster,
    sandbox: SandboxClient,
    /// The sandbox's state before the run.
    before: Value,
}

/// The outcome of the run.
#[derive(Default)]
pub struct RunOutcome {
    /// The last observed object.
    pub last: Option<KinesisDemo>,
    pub samples: Samples,
    /// The error that prevented the run from completing.
    pub error: Option<CliError>,
}

impl DemoSession {
    /// Starts Kubernetes and checks the manifest against it, then starts the sandbox and the
    /// operator.
    pub async fn set_up(
        supervisor: &Supervisor,
        manifest: &Manifest,
        speed: u32,
        progress: &Progress,
    ) -> Result<Self, CliError> {
        let programs = Programs::next_to_this()?;
        let kubernetes = Kubernetes::start(supervisor, progress).await?;
        let client = kubernetes.client();
        put_definitions(&client).await?;
        put_namespace(&client, manifest.namespace()).await?;
        let cluster = Cluster::new(client, manifest.namespace());
        // The API server checks the schema's rules. If it rejects the manifest, nothing else is
        // started.
        cluster.try_apply(&manifest.name, &manifest.document).await?;
        let address = start_sandbox(supervisor, &programs, speed).await?;
        let sandbox = SandboxClient::at(address)?;
        let before = sandbox.fetch_state().await?;
        let text = env_file(supervisor.state(), &kubernetes.admin_kubeconfig(), sandbox.address(), REGION);
        write_private(&supervisor.state().join("env"), text.as_bytes())?;
        progress("starting the operator under its own role");
        let kubeconfig = kubernetes.operator_kubeconfig().await?;
        start_operator(supervisor, &programs, &kubeconfig, sandbox.address()).await?;
        Ok(Self { supervisor: supervisor.clone(), kubernetes, cluster, sandbox, before })
    }

    /// The demo's own API server, as its administrator.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Applies the manifest and shows the run until it is over, until one of our programs exits, or
    /// until an interrupt's abort is done.
    pub async fn run(
        &self,
        manifest: &Manifest,
        plain: bool,
        interrupts: &mut Interrupts,
        progress: &Progress,
    ) -> RunOutcome {
        let mut outcome = RunOutcome::default();
        let result = self.run_into(&mut outcome, manifest, plain, interrupts, progress).await;
        outcome.error = result.err();
        outcome
    }

    async fn run_into(
        &self,
        outcome: &mut RunOutcome,
        manifest: &Manifest,
        plain: bool,
        interrupts: &mut Interrupts,
        progress: &Progress,
    ) -> Result<(), CliError> {
        let name = manifest.name.as_str();
        self.cluster.apply(name, &manifest.document).await?;
        let RunOutcome { last, samples, .. } = outcome;
        let mut screen = Screen::new(Output::Text, plain, "Ctrl-C aborts the run and removes everything");
        let following = follow(&self.cluster, name, 1, true, &mut screen, |demo, now| {
            samples.take(demo, now);
            *last = Some(demo.clone());
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
                end = &mut following => return match end? {
                    WatchOutcome::Over(_) | WatchOutcome::Deleted => Ok(()),
                    WatchOutcome::Stalled(demo) => {
                        let why = demo.status.as_ref().and_then(blocking_condition).unwrap_or_default();
                        Err(CliError::Refused(format!("the run is stalled until something changes: {why}")))
                    }
                },
                exit = self.supervisor.first_exit() => return Err(LocalClusterError::from(exit).into()),
                () = interrupts.next() => {
                    if abort_deadline.is_some() {
                        return Ok(());
                    }
                    progress("interrupted: aborting the run (interrupt again to stop immediately)");
                    abort_deadline = Some(tokio::time::Instant::now() + ABORT_TIMEOUT);
                    self.cluster.put_request(name, Verb::Abort, None).await?;
                }
                () = abort_timeout => {
                    progress(&format!("the abort did not finish within {} s; deleting the object", ABORT_TIMEOUT.as_secs()));
                    return Ok(());
                }
            }
        }
    }

    /// Deletes the object and waits for its end. Does nothing if the operator or the sandbox has
    /// exited: nothing would remove the object's resources, and those end with the sandbox.
    pub async fn remove(
        &self,
        name: &str,
        interrupts: &mut Interrupts,
        progress: &Progress,
    ) -> Result<(), CliError> {
        if self.supervisor.exit_of(OPERATOR).is_some() || self.supervisor.exit_of(SANDBOX).is_some() {
            return Ok(());
        }
        let removing = async {
            self.cluster.delete(name).await?;
            wait_until_deleted(&self.cluster, name, REMOVE_TIMEOUT, &|line| progress(line)).await
        };
        tokio::select! {
            result = removing => result,
            exit = self.supervisor.first_exit() => Err(LocalClusterError::from(exit).into()),
            () = interrupts.next() => Err(CliError::Refused("interrupted again: stopped before the object was deleted".into())),
        }
    }

    /// The resources that the sandbox has now and did not have before the run, except those to be
    /// retained.
    pub async fn left_in_sandbox(&self, last: Option<&KinesisDemo>) -> Result<Vec<String>, CliError> {
        let after = self.sandbox.fetch_state().await?;
        Ok(leaked_resources(&self.before, &after, Allowed { retained: &retained(last), cluster: CLUSTER }))
    }

    pub async fn report(&self, outcome: &RunOutcome, leaked: Vec<String>) -> Result<Report, CliError> {
        let arn = outcome.last.as_ref().and_then(|demo| demo.status.as_ref()?.stream.as_ref());
        let arrived = match arn {
            Some(stream) => self.sandbox.fetch_ingest_statistics(&stream.arn).await?,
            None => None,
        };
        let (stored, ingest_statistics) = arrived.unwrap_or_default();
        let observation =
            DemoObservation { samples: outcome.samples.clone(), stored, ingest_statistics, leaked };
        Ok(report(outcome.last.as_ref(), observation, Timestamp::now()))
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

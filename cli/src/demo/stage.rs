//! The parts of a demo put together: set up, played, removed, stopped. In: a supervisor and a manifest. Out: what the run came to. Starts
//! processes, talks to our own API server and sandbox.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use kinesis_demo_api::KinesisDemo;
use kinesis_demo_api::request::Verb;
use kinesis_demo_api::status::ResourceState;
use serde_json::Value;

use super::environment::environment;
use super::interrupts::Interrupts;
use super::leaked_resources::{Allowed, left_behind};
use super::parts::{CLUSTER, OPERATOR, Programs, REGION, SANDBOX, start_operator, start_sandbox};
use super::report::{DemoObservation, Report, report};
use super::samples::Samples;
use super::sandbox::Sandbox;
use crate::args::Output;
use crate::cluster::Cluster;
use crate::error::CliError;
use crate::follow::{End, follow, wait_until_gone};
use crate::local_cluster::definition::{put_definition, put_namespace};
use crate::local_cluster::kubernetes::Kubernetes;
use crate::local_cluster::state_folder::still_ours;
use crate::local_cluster::{LocalClusterError, Progress, Supervisor};
use crate::manifest::Manifest;
use crate::render::line::obstacle;
use crate::screen::Screen;

/// An abort stops traffic, drains, and removes everything; the sandbox's own delays are shortened by its speed.
const ABORT_TIMEOUT: Duration = Duration::from_secs(60);
/// The same for a deletion.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(90);

/// Everything that runs for one demo.
pub struct DemoStage {
    supervisor: Supervisor,
    kubernetes: Kubernetes,
    cluster: Cluster,
    sandbox: Sandbox,
    /// What the sandbox held before anything of ours.
    before: Value,
}

/// What the run came to.
#[derive(Default)]
pub struct Played {
    /// The object as last seen.
    pub last: Option<KinesisDemo>,
    pub samples: Samples,
    /// What kept the run from its end.
    pub trouble: Option<CliError>,
}

impl DemoStage {
    /// Kubernetes first, and whether it takes the manifest; then the sandbox and the operator.
    pub async fn set_up(
        supervisor: &Supervisor,
        manifest: &Manifest,
        speed: u32,
        progress: &Progress,
    ) -> Result<Self, CliError> {
        let programs = Programs::beside_this()?;
        let kubernetes = Kubernetes::start(supervisor, progress).await?;
        let client = kubernetes.client();
        put_definition(&client).await?;
        put_namespace(&client, manifest.namespace()).await?;
        let cluster = Cluster::new(client, manifest.namespace());
        // The schema's rules are the API server's to judge: what it refuses starts nothing else.
        cluster.try_apply(&manifest.name, &manifest.document).await?;
        let address = start_sandbox(supervisor, &programs, speed).await?;
        let sandbox = Sandbox::at(address)?;
        let before = sandbox.fetch_state().await?;
        let text = environment(&kubernetes.admin_kubeconfig(), sandbox.address(), REGION);
        crate::local_cluster::write_private(&supervisor.state().join("env"), text.as_bytes())?;
        progress("starting the operator under its own role");
        let kubeconfig = kubernetes.operator_kubeconfig().await?;
        start_operator(supervisor, &programs, &kubeconfig, sandbox.address()).await?;
        Ok(Self { supervisor: supervisor.clone(), kubernetes, cluster, sandbox, before })
    }

    /// Applies the manifest and shows the run until it is over, until one of our programs dies, or until it was interrupted and
    /// the abort is done.
    pub async fn play(
        &self,
        manifest: &Manifest,
        interrupts: &mut Interrupts,
        progress: &Progress,
    ) -> Played {
        let mut played = Played::default();
        let outcome = self.play_into(&mut played, manifest, interrupts, progress).await;
        played.trouble = outcome.err();
        played
    }

    async fn play_into(
        &self,
        played: &mut Played,
        manifest: &Manifest,
        interrupts: &mut Interrupts,
        progress: &Progress,
    ) -> Result<(), CliError> {
        let name = manifest.name.as_str();
        self.cluster.apply(name, &manifest.document).await?;
        let Played { last, samples, .. } = played;
        let mut screen = Screen::new(Output::Text);
        let following = follow(&self.cluster, name, 1, true, &mut screen, |demo, now| {
            samples.take(demo, now);
            *last = Some(demo.clone());
        });
        tokio::pin!(following);
        let mut give_up_at = None;
        loop {
            let abort_limit = async {
                match give_up_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                end = &mut following => return match end? {
                    End::Over(_) | End::Gone => Ok(()),
                    End::Stalled(demo) => {
                        let why = demo.status.as_ref().and_then(obstacle).unwrap_or_default();
                        Err(CliError::Refused(format!("the run cannot go on until something changes: {why}")))
                    }
                },
                death = self.supervisor.first_death() => return Err(LocalClusterError::from(death).into()),
                () = interrupts.next() => {
                    if give_up_at.is_some() {
                        return Ok(());
                    }
                    progress("interrupted: aborting the run (once more to stop at once)");
                    give_up_at = Some(tokio::time::Instant::now() + ABORT_TIMEOUT);
                    self.cluster.put_request(name, Verb::Abort, None).await?;
                }
                () = abort_limit => {
                    progress(&format!("the abort is not done after {} s; deleting the object", ABORT_TIMEOUT.as_secs()));
                    return Ok(());
                }
            }
        }
    }

    /// Deletes the object and waits until it is gone. Without a living operator nobody would remove it: then this is skipped, and
    /// what it made ends with the sandbox.
    pub async fn remove(
        &self,
        name: &str,
        interrupts: &mut Interrupts,
        progress: &Progress,
    ) -> Result<(), CliError> {
        if self.supervisor.death_of(OPERATOR).is_some() || self.supervisor.death_of(SANDBOX).is_some() {
            return Ok(());
        }
        let removing = async {
            self.cluster.delete(name).await?;
            wait_until_gone(&self.cluster, name, REMOVE_TIMEOUT, &|line| progress(line)).await
        };
        tokio::select! {
            outcome = removing => outcome,
            death = self.supervisor.first_death() => Err(LocalClusterError::from(death).into()),
            () = interrupts.next() => Err(CliError::Refused("interrupted again: stopped before the object was removed".into())),
        }
    }

    /// What the sandbox holds now and did not before, without what was to be retained.
    pub async fn left_in_sandbox(&self, last: Option<&KinesisDemo>) -> Result<Vec<String>, CliError> {
        let after = self.sandbox.fetch_state().await?;
        Ok(left_behind(&self.before, &after, Allowed { retained: &retained(last), cluster: CLUSTER }))
    }

    pub async fn report(&self, played: &Played, leftovers: Vec<String>) -> Result<Report, CliError> {
        let arn = played.last.as_ref().and_then(|demo| demo.status.as_ref()?.stream.as_ref());
        let arrived = match arn {
            Some(stream) => self.sandbox.fetch_arrivals(&stream.arn).await?,
            None => None,
        };
        let (stored, arrivals) = arrived.unwrap_or_default();
        let seen = DemoObservation { samples: played.samples.clone(), stored, arrivals, leftovers };
        Ok(report(played.last.as_ref(), seen, Timestamp::now()))
    }

    /// Operator, sandbox, Kubernetes: in this order nobody misses anybody.
    pub async fn stop(self) -> Result<(), CliError> {
        self.supervisor.stop(OPERATOR).await;
        self.supervisor.stop(SANDBOX).await;
        let stopped = self.kubernetes.stop().await;
        self.supervisor.stop_all().await;
        Ok(stopped?)
    }
}

/// ARNs of what the manifest said to retain, and their last parts, by which a state without ARNs names them.
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

/// Removes what is of no use after the end: keys and tokens of servers that are gone, etcd's and the sandbox's data. Logs and the report
/// stay.
pub fn tidy(state: &Path) -> Result<(), LocalClusterError> {
    still_ours(state)?;
    for name in ["kubernetes", "sandbox"] {
        let _ = std::fs::remove_dir_all(state.join(name));
    }
    for name in ["admin.kubeconfig", "operator.kubeconfig", "env"] {
        let _ = std::fs::remove_file(state.join(name));
    }
    Ok(())
}

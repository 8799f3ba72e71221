//! The one place where the sandbox is put together: clock, services, door and observer, on a listening socket.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::args::{Advantage, Serve, Tasks};
use crate::arrivals::Arrivals;
use crate::calls::Calls;
use crate::clock::ModelClock;
use crate::cloudwatch::CloudWatch;
use crate::door::{self, Door};
use crate::ecs::pods::{PodSettings, settings};
use crate::ecs::{self, Ecs, EcsSettings, Engine, TaskSettings};
use crate::faults::Faults;
use crate::kinesis::Kinesis;
use crate::limits::Limits;
use crate::logs::Logs;
use crate::observer::{self, Observer};
use crate::recording::Recording;
use crate::registry::Registry;
use crate::scaling::Scaling;
use crate::ssm::Ssm;
use crate::sts::Sts;

/// How long requests under way may take after the stop; connections that only idle are cut.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a sandbox is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Listen where other machines reach it.
    pub allow_non_loopback: bool,
    /// The account it claims to be.
    pub account: String,
    /// Model seconds per second.
    pub speed: u32,
    /// Whether every region starts with On-demand Advantage.
    pub is_advantage_enabled: bool,
    /// ECS clusters that exist from the start.
    pub clusters: Vec<String>,
    /// What containers of an image run on this machine, where processes run tasks.
    pub images: Vec<(String, String)>,
    /// Where `tasks.json` is kept, where processes run tasks.
    pub state_dir: Option<PathBuf>,
    /// Has Pods run tasks instead of processes of this machine.
    pub pods: Option<PodSettings>,
    /// Where distinct calls are written.
    pub record_calls: Option<PathBuf>,
    /// Fargate On-Demand vCPUs per region.
    pub fargate_vcpus: u32,
    /// Seed of what AWS decides at random.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            allow_non_loopback: false,
            account: "000000000000".to_owned(),
            speed: 1,
            is_advantage_enabled: false,
            clusters: Vec::new(),
            images: Vec::new(),
            state_dir: None,
            pods: None,
            record_calls: None,
            fargate_vcpus: ecs::DEFAULT_VCPU_QUOTA,
            seed: 0,
        }
    }
}

impl TryFrom<Serve> for Options {
    type Error = anyhow::Error;

    /// Within a Tokio runtime, since with `--tasks Pods` it makes the client for the API server.
    fn try_from(serve: Serve) -> Result<Self> {
        let pods = pods(&serve)?;
        let Serve {
            listen,
            allow_non_loopback,
            address_file: _,
            account,
            speed,
            advantage,
            clusters,
            tasks: _,
            images,
            state_dir,
            task_endpoint: _,
            task_namespace: _,
            task_service_account: _,
            task_instance: _,
            record_calls,
            fargate_vcpus,
            seed,
        } = serve;
        let is_advantage_enabled = advantage == Advantage::Enabled;
        Ok(Self {
            listen,
            allow_non_loopback,
            account,
            speed,
            is_advantage_enabled,
            clusters,
            images,
            state_dir,
            pods,
            record_calls,
            fargate_vcpus,
            seed,
        })
    }
}

/// The settings of `--tasks Pods`. A flag that belongs to the other way of running tasks is refused: it would do nothing.
fn pods(serve: &Serve) -> Result<Option<PodSettings>> {
    let refuse = |given: bool, flag: &str| {
        ensure!(
            !given,
            "{flag} means nothing with --tasks {}",
            if serve.tasks == Tasks::Pods { "Pods" } else { "Processes" }
        );
        Ok(())
    };
    if serve.tasks == Tasks::Processes {
        refuse(serve.task_endpoint.is_some(), "--task-endpoint")?;
        refuse(serve.task_service_account.is_some(), "--task-service-account")?;
        refuse(serve.task_instance.is_some(), "--task-instance")?;
        return Ok(None);
    }
    refuse(!serve.images.is_empty(), "--image")?;
    refuse(serve.state_dir.is_some(), "--state-dir")?;
    let endpoint = serve.task_endpoint.as_deref().context("--tasks Pods needs --task-endpoint")?;
    let endpoint = settings::endpoint(endpoint).context("--task-endpoint")?;
    let namespace = serve.task_namespace.clone().context("--tasks Pods needs --task-namespace")?;
    let instance = match &serve.task_instance {
        Some(given) => settings::checked_instance(given).context("--task-instance")?,
        None => settings::instance(&endpoint)?,
    };
    let owner = settings::owner(&namespace, |name| std::env::var(name).ok());
    if owner.is_none() {
        tracing::warn!(
            "task Pods will have no owner: POD_NAME, POD_UID and POD_NAMESPACE do not name a Pod in {namespace}"
        );
    }
    Ok(Some(PodSettings {
        client: settings::connect()?,
        endpoint,
        namespace,
        instance,
        service_account: serve.task_service_account.clone(),
        owner,
    }))
}

/// The sandbox.
pub struct Sandbox;

/// A sandbox that answers. Dropped, it stops listening but leaves tasks to their fate: call [`Running::stop`].
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its clock.
    pub clock: ModelClock,
    stopping: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
    engine: Option<Engine>,
    scaler: JoinHandle<()>,
}

impl Sandbox {
    /// Starts a sandbox; when this returns, requests are answered.
    pub async fn start(options: Options) -> Result<Running> {
        let clock = ModelClock::start(options.speed);
        Self::start_with_clock(options, clock).await
    }

    /// Starts a sandbox on a clock of the caller's, whose speed counts instead of the options'.
    pub async fn start_with_clock(options: Options, clock: ModelClock) -> Result<Running> {
        ensure!(
            options.allow_non_loopback || options.listen.ip().is_loopback(),
            "{} can be reached from other machines, and the sandbox believes any credentials; \
             pass --allow-non-loopback to listen there all the same",
            options.listen
        );
        let listener = TcpListener::bind(options.listen)
            .await
            .with_context(|| format!("could not listen on {}", options.listen))?;
        let address = listener.local_addr().context("could not read the listening address")?;
        let arrivals = Arc::new(Arrivals::new());
        let kinesis = Kinesis::new(clock.clone(), options.is_advantage_enabled, arrivals.clone());
        kinesis.tick();
        let logs = Arc::new(Logs::new(clock.clone()));
        let ecs = Ecs::new(
            clock.clone(),
            EcsSettings {
                account: options.account.clone(),
                clusters: options.clusters,
                seed: options.seed,
                vcpu_quota: options.fargate_vcpus,
            },
            logs.clone(),
        );
        let (tasks, endpoint) = match options.pods {
            Some(pods) => {
                let endpoint = pods.endpoint.clone();
                (TaskSettings::Pods(pods), endpoint)
            }
            None => {
                let Options { images, state_dir, .. } = options;
                (TaskSettings::Processes { images, state_dir }, format!("http://{address}"))
            }
        };
        let engine = ecs.start(tasks, endpoint).await?;
        let scaling = Scaling::new(clock.clone(), ecs.clone());
        let scaler = scaling.start();
        let registry = Registry::new()
            .with("application-autoscaling", scaling)
            .with("ecs", ecs.clone())
            .with("kinesis", kinesis.clone())
            .with("logs", logs)
            .with("monitoring", Arc::new(CloudWatch::new(clock.clone())))
            .with("ssm", Arc::new(Ssm::new(clock.clone())))
            .with("sts", Arc::new(Sts));
        let recording = match &options.record_calls {
            Some(path) => {
                let created = Recording::create(path);
                Some(created.with_context(|| format!("could not create {}", path.display()))?)
            }
            None => None,
        };
        let door = Arc::new(Door {
            account: options.account,
            clock: clock.clone(),
            registry,
            kinesis,
            limits: Limits::new(),
            faults: Faults::new(),
            calls: Calls::new(clock.moment().wall),
            recording,
        });
        let tasks = {
            let ecs = ecs.clone();
            Arc::new(move || ecs.running_tasks())
        };
        let router = Router::new()
            .fallback(door::answer)
            .with_state(door.clone())
            .merge(observer::routes(Observer { door, arrivals, tasks }))
            .merge(ecs::metadata::routes(ecs));
        let stopping = CancellationToken::new();
        let asked_to_stop = stopping.clone().cancelled_owned();
        // Small answers follow each other on kept connections: waiting to fill a packet would only delay them.
        let listener = listener.tap_io(|connection| {
            if let Err(error) = connection.set_nodelay(true) {
                tracing::debug!(%error, "could not disable Nagle's algorithm");
            }
        });
        let server =
            tokio::spawn(
                async move { axum::serve(listener, router).with_graceful_shutdown(asked_to_stop).await },
            );
        tracing::info!(%address, speed = clock.speed(), "the sandbox answers");
        Ok(Running { address, clock, stopping, server, engine: Some(engine), scaler })
    }
}

impl Running {
    /// The URL for `AWS_ENDPOINT_URL`.
    pub fn endpoint_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops answering, ends the tasks, and waits until that is done.
    pub async fn stop(mut self) {
        // Tasks first, while their last words still find an open door.
        if let Some(engine) = self.engine.take() {
            engine.stop().await;
        }
        self.stopping.cancel();
        match tokio::time::timeout(FAREWELL, &mut self.server).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the server ended with an error"),
            Ok(Err(error)) => tracing::warn!(%error, "the server failed"),
            Err(_) => self.server.abort(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopping.cancel();
        self.scaler.abort();
        self.server.abort();
    }
}

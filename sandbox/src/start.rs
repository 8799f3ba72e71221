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

use crate::args::{Advantage, Serve};
use crate::arrivals::Arrivals;
use crate::calls::Calls;
use crate::clock::ModelClock;
use crate::cloudwatch::CloudWatch;
use crate::door::{self, Door};
use crate::ecs::{self, Ecs, EcsSettings, Engine};
use crate::faults::Faults;
use crate::kinesis::Kinesis;
use crate::limits::Limits;
use crate::logs::Logs;
use crate::observer::{self, Observer};
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
    /// What containers of an image run on this machine.
    pub images: Vec<(String, String)>,
    /// Where `tasks.json` is kept.
    pub state_dir: Option<PathBuf>,
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
            fargate_vcpus: ecs::DEFAULT_VCPU_QUOTA,
            seed: 0,
        }
    }
}

impl From<Serve> for Options {
    fn from(serve: Serve) -> Self {
        let Serve {
            listen,
            allow_non_loopback,
            address_file: _,
            account,
            speed,
            advantage,
            clusters,
            images,
            state_dir,
            fargate_vcpus,
            seed,
        } = serve;
        let is_advantage_enabled = advantage == Advantage::Enabled;
        Self {
            listen,
            allow_non_loopback,
            account,
            speed,
            is_advantage_enabled,
            clusters,
            images,
            state_dir,
            fargate_vcpus,
            seed,
        }
    }
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
                images: options.images,
                state_dir: options.state_dir,
                seed: options.seed,
                vcpu_quota: options.fargate_vcpus,
            },
            logs.clone(),
        );
        let engine = ecs
            .start(format!("http://{address}"))
            .context("could not start the thread that runs ECS tasks")?;
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
        let door = Arc::new(Door {
            account: options.account,
            clock: clock.clone(),
            registry,
            kinesis,
            limits: Limits::new(),
            faults: Faults::new(),
            calls: Calls::new(clock.moment().wall),
        });
        let tasks = {
            let ecs = ecs.clone();
            Arc::new(move || ecs.processes())
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

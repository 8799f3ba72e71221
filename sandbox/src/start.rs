//! Assembles the sandbox: clock, services, AWS API and admin API, on a listening socket.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::serve::ListenerExt;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::access::{ACCESS_KEY_VARIABLE, Access};
use crate::admin::{self, AdminApi};
use crate::calls::Calls;
use crate::clock::ModelClock;
use crate::faults::Faults;
use crate::http::guard::{Hosts, guard};
use crate::http::{self, HttpState};
use crate::ingest_statistics::IngestStatistics;
use crate::limits::Limits;
use crate::options::Options;
use crate::publish::publish;
use crate::recording::Recording;
use crate::registry::Registry;
use crate::services::cloudwatch::CloudWatch;
use crate::services::ecs::{self, Ecs, EcsSettings, Engine, TaskEnvironment, TaskRules, TaskSettings};
use crate::services::kinesis::Kinesis;
use crate::services::logs::Logs;
use crate::services::scaling::Scaling;
use crate::services::ssm::Ssm;
use crate::services::sts::Sts;
use crate::task_runner::pod::settings;
use crate::tls::{TlsListener, TlsSettings, authority};
use kinesis_demo_connections::{Connections, most_files};

/// How long open requests may take after a stop. Idle connections are closed at once.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);
/// The maximum of concurrent probe connections. The number is ours.
const MAX_PROBE_CONNECTIONS: usize = 16;

/// The sandbox.
pub struct Sandbox;

/// A running sandbox. Dropping it only stops listening and does not stop the tasks: call
/// [`Running::stop`].
pub struct Running {
    /// The listen address.
    pub address: SocketAddr,
    /// Its clock.
    pub clock: ModelClock,
    /// The TLS listen address, and the file with the authority's certificate.
    pub tls: Option<(SocketAddr, PathBuf)>,
    access_key_id: String,
    stopping: CancellationToken,
    servers: Vec<JoinHandle<std::io::Result<()>>>,
    probes: Option<JoinHandle<std::io::Result<()>>>,
    engine: Option<Engine>,
    scaler: JoinHandle<()>,
}

impl Sandbox {
    /// Starts a sandbox. It serves requests when this returns.
    pub async fn start(options: Options) -> Result<Running> {
        let clock = ModelClock::start(options.speed);
        Self::start_with_clock(options, clock).await
    }

    /// Starts a sandbox on the given clock, whose speed is used instead of `options.speed`.
    pub async fn start_with_clock(options: Options, clock: ModelClock) -> Result<Running> {
        check_addresses(&options)?;
        let (listener, address) = bind(options.listen).await?;
        let probes = match options.probe_listen {
            Some(address) => Some(bind(address).await?.0),
            None => None,
        };
        let tls = match &options.tls {
            Some(tls) => Some(bind(tls.listen).await?),
            None => None,
        };
        let ingest_statistics = Arc::new(IngestStatistics::new());
        let kinesis = Kinesis::new(clock.clone(), options.is_advantage_enabled, ingest_statistics.clone());
        kinesis.tick();
        let logs = Arc::new(Logs::new(clock.clone()));
        let ecs = Ecs::new(
            clock.clone(),
            EcsSettings {
                account: options.account.clone(),
                clusters: options.clusters,
                seed: options.seed,
                vcpu_quota: options.fargate_vcpus,
                is_fresh_account: options.is_fresh_account,
                rules: match &options.pods {
                    Some(_) => TaskRules::Pods,
                    None => TaskRules::Processes { allowed_variables: options.allowed_variables },
                },
            },
            logs.clone(),
        );
        let mut hosts = options.allowed_hosts;
        let access_key_id = options.access.access_key_id().to_owned();
        let (tasks, endpoint, access_key_id) = match options.pods {
            Some(pods) => {
                let endpoint = pods.endpoint.clone();
                hosts.extend(settings::host(&endpoint));
                // The Pods read the key from the Secret, so that permission to read Pods does not
                // reveal it.
                let access_key_id = pods.secret.is_none().then_some(access_key_id);
                (TaskSettings::Pods(Box::new(pods)), endpoint, access_key_id)
            }
            None => {
                let Options { images, state_dir, .. } = options;
                let tasks = TaskSettings::Processes { images, state_dir };
                (tasks, format!("http://{address}"), Some(access_key_id))
            }
        };
        let tls = match (options.tls, tls) {
            (Some(TlsSettings { ca_file, .. }), Some((listener, address))) => {
                let listener = encrypted(listener, address, &hosts, &ca_file, clock.moment().wall)?;
                if !address.ip().is_unspecified() {
                    hosts.push(address.ip().to_string());
                }
                Some((listener, address, ca_file))
            }
            _ => None,
        };
        let hosts = Arc::new(Hosts::new(address.ip(), hosts));
        let engine = ecs.start(tasks, TaskEnvironment { endpoint, access_key_id }).await?;
        let scaling = Scaling::new(clock.clone(), ecs.clone(), options.is_fresh_account);
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
        let access_key_id = options.access.access_key_id().to_owned();
        let http = Arc::new(HttpState {
            access: options.access,
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
            .fallback(http::handle)
            .with_state(http.clone())
            .merge(admin::routes(AdminApi { http, ingest_statistics, tasks }))
            .merge(ecs::metadata::routes(ecs))
            .layer(from_fn_with_state(hosts, guard));
        let stopping = CancellationToken::new();
        // Small responses follow each other on keep-alive connections; Nagle's algorithm would
        // delay them.
        let listener = listener.tap_io(|connection| {
            if let Err(error) = connection.set_nodelay(true) {
                tracing::debug!(%error, "could not disable Nagle's algorithm");
            }
        });
        let connections = Connections::new(most_files() / 2);
        let mut servers = vec![connections.serve(listener, router.clone(), &stopping)];
        let tls = tls.map(|(listener, address, ca_file)| {
            servers.push(connections.serve(listener, router, &stopping));
            tracing::info!(%address, ca_file = %ca_file.display(), "the sandbox serves requests over TLS");
            (address, ca_file)
        });
        // Probes have their own connection limit. Otherwise many connections to the sandbox would
        // make the probes fail, and kubelet would restart the Pod.
        let probes = probes.map(|listener| {
            Connections::new(MAX_PROBE_CONNECTIONS).serve(
                listener,
                admin::probe_routes(),
                &CancellationToken::new(),
            )
        });
        tracing::info!(%address, speed = clock.speed(), "the sandbox serves requests");
        Ok(Running {
            address,
            clock,
            tls,
            access_key_id,
            stopping,
            servers,
            probes,
            engine: Some(engine),
            scaler,
        })
    }
}

/// A TLS listener with a certificate of a new authority, whose own certificate is written to a
/// file.
fn encrypted(
    listener: TcpListener,
    address: SocketAddr,
    hosts: &[String],
    ca_file: &Path,
    now: Timestamp,
) -> Result<TlsListener> {
    let names = authority::names(address.ip(), hosts);
    let identity = authority::issue(names, now).context("could not create a certificate for TLS")?;
    publish(ca_file, identity.authority.as_bytes())
        .with_context(|| format!("could not write {}", ca_file.display()))?;
    TlsListener::new(listener, identity.certificate, identity.key).context("could not set up TLS")
}

/// Rejects listen addresses that other machines can reach, unless the options allow them.
fn check_addresses(options: &Options) -> Result<()> {
    let tls = options.tls.as_ref().map(|tls| tls.listen);
    for address in [Some(options.listen), options.probe_listen, tls].into_iter().flatten() {
        ensure!(
            options.allow_non_loopback || address.ip().is_loopback(),
            "could not listen on {address}: other machines can reach it; pass --allow-non-loopback if that is intended"
        );
    }
    for address in [Some(options.listen), tls].into_iter().flatten() {
        ensure!(
            matches!(options.access, Access::AccessKey(_)) || address.ip().is_loopback(),
            "could not listen on {address}: other machines can reach it, and --any-credentials would serve all of them; use an \
             access key id instead (--access-key-file, or {ACCESS_KEY_VARIABLE})"
        );
    }
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("could not listen on {address}"))?;
    let address = listener.local_addr().context("could not read the listening address")?;
    Ok((listener, address))
}

impl Running {
    /// The access key id for `AWS_ACCESS_KEY_ID`.
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// The URL for `AWS_ENDPOINT_URL`.
    pub fn endpoint_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The https URL for `AWS_ENDPOINT_URL`, with TLS.
    pub fn tls_endpoint_url(&self) -> Option<String> {
        self.tls.as_ref().map(|(address, _)| format!("https://{address}"))
    }

    /// Stops the tasks, then the listeners, and waits until both are done.
    pub async fn stop(mut self) {
        // Tasks first, so that their last requests are still served.
        if let Some(engine) = self.engine.take() {
            engine.stop().await;
        }
        self.stopping.cancel();
        let deadline = tokio::time::Instant::now() + SHUTDOWN_GRACE;
        for server in &mut self.servers {
            match tokio::time::timeout_at(deadline, &mut *server).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => tracing::warn!(%error, "the server ended with an error"),
                Ok(Err(error)) => tracing::warn!(%error, "the server failed"),
                Err(_) => server.abort(),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopping.cancel();
        self.scaler.abort();
        if let Some(probes) = &self.probes {
            probes.abort();
        }
        self.servers.iter().for_each(JoinHandle::abort);
    }
}

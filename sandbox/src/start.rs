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

use crate::access::{ACCESS_KEY_VARIABLE, Access, Secret};
use crate::admin::{self, AdminApi};
use crate::args::{Advantage, Serve, Tasks};
use crate::calls::Calls;
use crate::clock::ModelClock;
use crate::connections::{Connections, most_files};
use crate::faults::Faults;
use crate::http::guard::{Hosts, guard};
use crate::http::{self, HttpState};
use crate::ingest_statistics::IngestStatistics;
use crate::limits::Limits;
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
use crate::task_runner::pod::{PodSettings, secret, settings};
use crate::tls::{TlsListener, TlsSettings, authority};

/// How long open requests may take after a stop. Idle connections are closed at once.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);
/// The maximum of concurrent probe connections. The number is ours.
const MAX_PROBE_CONNECTIONS: usize = 16;

/// The options of a sandbox.
#[derive(Clone, Debug)]
pub struct Options {
    /// The listen address; port 0 picks a free port.
    pub listen: SocketAddr,
    /// Allows a listen address that other machines can reach.
    pub allow_non_loopback: bool,
    /// Which requests are served. The default is a random access key id, generated with the
    /// options.
    pub access: Access,
    /// Further host names under which the sandbox may be addressed.
    pub allowed_hosts: Vec<String>,
    /// The listen address for probes, if any.
    pub probe_listen: Option<SocketAddr>,
    /// The TLS listener, if any.
    pub tls: Option<TlsSettings>,
    /// The account id that the sandbox reports.
    pub account: String,
    /// Model seconds per wall-clock second.
    pub speed: u32,
    /// Whether every region starts with On-demand Advantage.
    pub is_advantage_enabled: bool,
    /// ECS clusters that exist from the start.
    pub clusters: Vec<String>,
    /// The command that runs on this machine for each image (with processes as tasks).
    pub images: Vec<(String, String)>,
    /// Further environment variables that task definitions may set (with processes as tasks).
    pub allowed_variables: Vec<String>,
    /// The folder of `tasks.json` (with processes as tasks).
    pub state_dir: Option<PathBuf>,
    /// Runs tasks as Pods instead of as processes of this machine.
    pub pods: Option<PodSettings>,
    /// The file to which distinct calls are written.
    pub record_calls: Option<PathBuf>,
    /// Fargate On-Demand vCPU quota per region.
    pub fargate_vcpus: u32,
    /// Whether the account's service-linked roles do not exist yet.
    pub is_fresh_account: bool,
    /// Seed for decisions that AWS makes at random.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            allow_non_loopback: false,
            access: Access::AccessKey(Secret::random_access_key_id()),
            allowed_hosts: Vec::new(),
            probe_listen: None,
            tls: None,
            account: "000000000000".to_owned(),
            speed: 1,
            is_advantage_enabled: false,
            clusters: Vec::new(),
            images: Vec::new(),
            allowed_variables: Vec::new(),
            state_dir: None,
            pods: None,
            record_calls: None,
            fargate_vcpus: ecs::DEFAULT_VCPU_QUOTA,
            is_fresh_account: false,
            seed: 0,
        }
    }
}

impl Options {
    /// Builds the options from flags and environment. With `--tasks Pods` it reads the Secret with
    /// the access key id.
    pub async fn configured(serve: Serve) -> Result<Self> {
        let pods = pods(&serve)?;
        let access = access(&serve, pods.as_ref()).await?;
        let tls = tls(&serve)?;
        let Serve {
            listen,
            allow_non_loopback,
            access_key_file: _,
            any_credentials: _,
            allowed_hosts,
            probe_listen,
            tls: _,
            tls_listen: _,
            tls_ca_file: _,
            address_file: _,
            account,
            speed,
            advantage,
            clusters,
            tasks: _,
            images,
            allowed_variables,
            state_dir,
            task_endpoint: _,
            task_namespace: _,
            task_service_account: _,
            task_secret: _,
            task_instance: _,
            task_user_from_cluster: _,
            record_calls,
            fargate_vcpus,
            fresh_account: is_fresh_account,
            seed,
        } = serve;
        let is_advantage_enabled = advantage == Advantage::Enabled;
        Ok(Self {
            listen,
            allow_non_loopback,
            access,
            allowed_hosts,
            probe_listen,
            tls,
            account,
            speed,
            is_advantage_enabled,
            clusters,
            images,
            allowed_variables,
            state_dir,
            pods,
            record_calls,
            fargate_vcpus,
            is_fresh_account,
            seed,
        })
    }
}

/// Which requests are served. In a cluster the key is in a Secret, which tasks and the operator
/// read too.
async fn access(serve: &Serve, pods: Option<&PodSettings>) -> Result<Access> {
    let variable = std::env::var(ACCESS_KEY_VARIABLE).ok();
    let Some(PodSettings { client, namespace, secret: Some(secret), .. }) = pods else {
        return Ok(Access::configured(variable, serve.access_key_file.as_deref(), serve.any_credentials)?);
    };
    ensure!(
        variable.is_none() && serve.access_key_file.is_none() && !serve.any_credentials,
        "with --tasks Pods the access key id comes from the Secret (--task-secret); {ACCESS_KEY_VARIABLE}, --access-key-file and \
         --any-credentials cannot be used as well"
    );
    Ok(Access::AccessKey(secret::fetch_access_key_id(client, namespace, secret).await?))
}

/// The settings of `--tls`.
fn tls(serve: &Serve) -> Result<Option<TlsSettings>> {
    if !serve.tls {
        return Ok(None);
    }
    let beside = |path: &PathBuf| {
        let mut name = path.clone().into_os_string();
        name.push(".ca.pem");
        PathBuf::from(name)
    };
    let ca_file = serve.tls_ca_file.clone().or_else(|| serve.address_file.as_ref().map(beside));
    let ca_file = ca_file.context(
        "--tls creates a certificate authority: name the file for its certificate with --tls-ca-file (or set --address-file)",
    )?;
    let listen = serve.tls_listen.unwrap_or_else(|| SocketAddr::new(serve.listen.ip(), 0));
    Ok(Some(TlsSettings { listen, ca_file }))
}

/// The settings of `--tasks Pods`. Rejects flags of the other task runner, because they would have
/// no effect.
fn pods(serve: &Serve) -> Result<Option<PodSettings>> {
    let reject = |given: bool, flag: &str| {
        ensure!(
            !given,
            "{flag} has no effect with --tasks {}; remove it",
            if serve.tasks == Tasks::Pods { "Pods" } else { "Processes" }
        );
        Ok(())
    };
    if serve.tasks == Tasks::Processes {
        reject(serve.task_endpoint.is_some(), "--task-endpoint")?;
        reject(serve.task_service_account.is_some(), "--task-service-account")?;
        reject(serve.task_secret.is_some(), "--task-secret")?;
        reject(serve.task_instance.is_some(), "--task-instance")?;
        reject(serve.task_user_from_cluster, "--task-user-from-cluster")?;
        return Ok(None);
    }
    reject(!serve.images.is_empty(), "--image")?;
    reject(!serve.allowed_variables.is_empty(), "--allow-variable")?;
    reject(serve.state_dir.is_some(), "--state-dir")?;
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
            "task Pods will have no owner reference: POD_NAME, POD_UID and POD_NAMESPACE do not name a Pod in {namespace}"
        );
    }
    Ok(Some(PodSettings {
        client: settings::connect()?,
        endpoint,
        namespace,
        instance,
        service_account: serve.task_service_account.clone(),
        secret: serve.task_secret.clone(),
        is_user_from_cluster: serve.task_user_from_cluster,
        owner,
    }))
}

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
        let arrivals = Arc::new(IngestStatistics::new());
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
            .merge(admin::routes(AdminApi { http, arrivals, tasks }))
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

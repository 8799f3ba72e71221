//! The one place where the sandbox is put together: clock, services, door and observer, on a listening socket.

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

/// How long requests under way may take after the stop; connections that only idle are cut.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a sandbox is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Listen where other machines reach it.
    pub allow_non_loopback: bool,
    /// Who is served. By default, who knows a key that is drawn when the options are made.
    pub access: Access,
    /// Further names under which it is served.
    pub allowed_hosts: Vec<String>,
    /// Where probes are answered, if anywhere.
    pub probe_listen: Option<SocketAddr>,
    /// Where requests are answered over TLS, if anywhere.
    pub tls: Option<TlsSettings>,
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
    /// Further environment variables that task definitions may set, where processes run tasks.
    pub allowed_variables: Vec<String>,
    /// Where `tasks.json` is kept, where processes run tasks.
    pub state_dir: Option<PathBuf>,
    /// Has Pods run tasks instead of processes of this machine.
    pub pods: Option<PodSettings>,
    /// Where distinct calls are written.
    pub record_calls: Option<PathBuf>,
    /// Fargate On-LoadHistory vCPUs per region.
    pub fargate_vcpus: u32,
    /// Whether the account's service-linked roles are still to be made.
    pub is_fresh_account: bool,
    /// Seed of what AWS decides at random.
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
    /// What flags and environment ask for. With `--tasks Pods` it reads the Secret with the access
    /// key id.
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

/// Who is to be served. In a cluster the key is in a Secret, where tasks and operator find it, too.
async fn access(serve: &Serve, pods: Option<&PodSettings>) -> Result<Access> {
    let variable = std::env::var(ACCESS_KEY_VARIABLE).ok();
    let Some(PodSettings { client, namespace, secret: Some(secret), .. }) = pods else {
        return Ok(Access::configured(variable, serve.access_key_file.as_deref(), serve.any_credentials)?);
    };
    ensure!(
        variable.is_none() && serve.access_key_file.is_none() && !serve.any_credentials,
        "with --tasks Pods the access key id is the one in the Secret (--task-secret); {ACCESS_KEY_VARIABLE}, --access-key-file and \
         --any-credentials would contradict it"
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
        "--tls makes an authority for its certificate: say with --tls-ca-file (or --address-file) where clients find it",
    )?;
    let listen = serve.tls_listen.unwrap_or_else(|| SocketAddr::new(serve.listen.ip(), 0));
    Ok(Some(TlsSettings { listen, ca_file }))
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
        refuse(serve.task_secret.is_some(), "--task-secret")?;
        refuse(serve.task_instance.is_some(), "--task-instance")?;
        refuse(serve.task_user_from_cluster, "--task-user-from-cluster")?;
        return Ok(None);
    }
    refuse(!serve.images.is_empty(), "--image")?;
    refuse(!serve.allowed_variables.is_empty(), "--allow-variable")?;
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
        secret: serve.task_secret.clone(),
        is_user_from_cluster: serve.task_user_from_cluster,
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
    /// Where it answers over TLS, and the file with the authority's certificate.
    pub tls: Option<(SocketAddr, PathBuf)>,
    access_key_id: String,
    stopping: CancellationToken,
    servers: Vec<JoinHandle<std::io::Result<()>>>,
    probes: Option<JoinHandle<std::io::Result<()>>>,
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
                // From the Secret, so that who may read Pods does not read the key.
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
            .fallback(http::answer)
            .with_state(http.clone())
            .merge(admin::routes(AdminApi { http, arrivals, tasks }))
            .merge(ecs::metadata::routes(ecs))
            .layer(from_fn_with_state(hosts, guard));
        let stopping = CancellationToken::new();
        // Small answers follow each other on kept connections: waiting to fill a packet would only delay them.
        let listener = listener.tap_io(|connection| {
            if let Err(error) = connection.set_nodelay(true) {
                tracing::debug!(%error, "could not disable Nagle's algorithm");
            }
        });
        let mut servers = vec![served(listener, router.clone(), &stopping)];
        let tls = tls.map(|(listener, address, ca_file)| {
            servers.push(served(listener, router, &stopping));
            tracing::info!(%address, ca_file = %ca_file.display(), "the sandbox answers over TLS");
            (address, ca_file)
        });
        let probes = probes
            .map(|listener| tokio::spawn(async move { axum::serve(listener, admin::probe_routes()).await }));
        tracing::info!(%address, speed = clock.speed(), "the sandbox answers");
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

/// Answers the requests that reach a listener, until the token is cancelled.
fn served<L>(listener: L, router: Router, stopping: &CancellationToken) -> JoinHandle<std::io::Result<()>>
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    let asked_to_stop = stopping.clone().cancelled_owned();
    tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(asked_to_stop).await })
}

/// A listener that proves itself by a new authority, whose certificate is written to a file.
fn encrypted(
    listener: TcpListener,
    address: SocketAddr,
    hosts: &[String],
    ca_file: &Path,
    now: Timestamp,
) -> Result<TlsListener> {
    let names = authority::names(address.ip(), hosts);
    let identity = authority::issue(names, now).context("could not make a certificate for TLS")?;
    publish(ca_file, identity.authority.as_bytes())
        .with_context(|| format!("could not write {}", ca_file.display()))?;
    TlsListener::new(listener, identity.certificate, identity.key).context("could not set up TLS")
}

/// Refuses addresses that more people reach than were meant to.
fn check_addresses(options: &Options) -> Result<()> {
    let tls = options.tls.as_ref().map(|tls| tls.listen);
    for address in [Some(options.listen), options.probe_listen, tls].into_iter().flatten() {
        ensure!(
            options.allow_non_loopback || address.ip().is_loopback(),
            "could not listen on {address}: other machines can reach it; pass --allow-non-loopback to listen there all the same"
        );
    }
    for address in [Some(options.listen), tls].into_iter().flatten() {
        ensure!(
            matches!(options.access, Access::AccessKey(_)) || address.ip().is_loopback(),
            "could not listen on {address}: other machines can reach it, and --any-credentials would let all of them in; name an \
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

    /// The https URL for `AWS_ENDPOINT_URL`, where there is one.
    pub fn tls_endpoint_url(&self) -> Option<String> {
        self.tls.as_ref().map(|(address, _)| format!("https://{address}"))
    }

    /// Stops answering, ends the tasks, and waits until that is done.
    pub async fn stop(mut self) {
        // Tasks first, while their last words still find an open door.
        if let Some(engine) = self.engine.take() {
            engine.stop().await;
        }
        self.stopping.cancel();
        let farewell = tokio::time::Instant::now() + FAREWELL;
        for server in &mut self.servers {
            match tokio::time::timeout_at(farewell, &mut *server).await {
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

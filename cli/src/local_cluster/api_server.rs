//! etcd and kube-apiserver as two child processes on free loopback ports.
//!
//! In: a state folder and the programs. Out: a real API server with RBAC and an administrator's kubeconfig. No controller manager,
//! scheduler or node: nothing here runs pods. etcd does not sync to disk (`--unsafe-no-fsync`): its data is worth one demo.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::process::Command;

use super::access::{OperatorAccess, grant_operator_access};
use super::certificates::{Certificates, new_certificates};
use super::kubeconfig::{Credentials, Endpoint, client_from, kubeconfig, write_kubeconfig};
use super::supervisor::log_tail;
use super::{Lifetime, LocalClusterError, Progress, Supervisor, make_private_folder, silent, write_private};

/// How to start.
#[derive(Clone)]
pub struct ApiServerOptions {
    /// The folder with kube-apiserver and etcd.
    pub assets: PathBuf,
    pub lifetime: Lifetime,
    pub progress: Progress,
}

impl ApiServerOptions {
    #[must_use]
    pub fn new(assets: PathBuf) -> Self {
        Self { assets, lifetime: Lifetime::Run, progress: silent() }
    }
}

/// A running API server. Dropped without [`ApiServer::stop`], it ends its processes as well as a drop can.
pub struct ApiServer {
    supervisor: Supervisor,
    client: kube::Client,
    endpoint: Endpoint,
    admin_kubeconfig: PathBuf,
    started_in: Duration,
}

const ETCD: &str = "etcd";
const API_SERVER: &str = "kube-apiserver";
/// etcd is ready in well under a second, the API server in four to eight on two cores; a loaded machine gets ten times that.
const READY_TIMEOUT: Duration = Duration::from_secs(90);
/// A free port may be taken by somebody else before our child binds it.
const PORT_ATTEMPTS: usize = 3;
/// The name of the log of what the operator asked the API server for.
pub const AUDIT_LOG: &str = "audit";
/// Every request of the operator's ServiceAccount, and nobody else's.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    users: ['system:serviceaccount:kinesis-demo-system:kinesis-demo-operator']
  - level: None
";
/// Between two looks at readiness.
const POLL: Duration = Duration::from_millis(50);

impl ApiServer {
    /// Starts both programs with their own record in `state` and waits until the API server is ready.
    pub async fn start(state: &Path, options: ApiServerOptions) -> Result<Self, LocalClusterError> {
        let supervisor = Supervisor::open(state, options.lifetime)?;
        Self::start_under(&supervisor, &options.assets, &options.progress).await
    }

    /// The same under somebody else's supervisor, which then also ends it.
    pub async fn start_under(
        supervisor: &Supervisor,
        assets: &Path,
        progress: &Progress,
    ) -> Result<Self, LocalClusterError> {
        let began = Instant::now();
        let files = Files::lay_out(supervisor.state())?;
        progress("starting etcd");
        let etcd = start_etcd(supervisor, assets, &files).await?;
        progress("starting kube-apiserver");
        let endpoint = start_api_server(supervisor, assets, &files, &etcd).await?;
        let admin_kubeconfig = supervisor.state().join("admin.kubeconfig");
        let admin = Credentials::Certificate(files.certificates.admin.clone());
        write_kubeconfig(&admin_kubeconfig, &kubeconfig(&endpoint, "admin", "default", &admin))?;
        let client = client_from(&admin_kubeconfig).await?;
        wait_until_ready(supervisor, &client, progress).await?;
        Ok(Self {
            supervisor: supervisor.clone(),
            client,
            endpoint,
            admin_kubeconfig,
            started_in: began.elapsed(),
        })
    }

    /// A client with the administrator's rights.
    #[must_use]
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    #[must_use]
    pub fn admin_kubeconfig(&self) -> &Path {
        &self.admin_kubeconfig
    }

    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// From the first process to ready.
    #[must_use]
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    #[must_use]
    pub fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    /// Applies the operator's role and writes `operator.kubeconfig` for its ServiceAccount: the rights it has in a cluster, no more.
    pub async fn operator_kubeconfig(&self) -> Result<PathBuf, LocalClusterError> {
        let OperatorAccess { token, namespace, user } = grant_operator_access(&self.client).await?;
        let path = self.supervisor.state().join("operator.kubeconfig");
        let text = kubeconfig(&self.endpoint, &user, &namespace, &Credentials::Token(token));
        write_kubeconfig(&path, &text)?;
        Ok(path)
    }

    /// Ends both programs, the API server first.
    pub async fn stop(self) {
        self.supervisor.stop(API_SERVER).await;
        self.supervisor.stop(ETCD).await;
    }
}

/// What the two programs read and write, all under `<state>/kubernetes`.
struct Files {
    folder: PathBuf,
    certificates: Certificates,
}

impl Files {
    fn lay_out(state: &Path) -> Result<Self, LocalClusterError> {
        let folder = state.join("kubernetes");
        // An earlier run's objects and keys are nothing to us.
        match std::fs::remove_dir_all(&folder) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(LocalClusterError::File { attempt: "remove", path: folder, source });
            }
            _ => {}
        }
        make_private_folder(&folder)?;
        let certificates = new_certificates(Timestamp::now())?;
        let files = Self { folder, certificates };
        // The administrator's is in its kubeconfig.
        let Certificates { authority, server, admin: _, etcd, tokens } = &files.certificates;
        for (name, text) in [
            ("authority.crt", authority),
            ("server.crt", &server.certificate),
            ("server.key", &server.key),
            ("etcd-authority.crt", &etcd.authority),
            ("etcd-server.crt", &etcd.server.certificate),
            ("etcd-server.key", &etcd.server.key),
            ("etcd-client.crt", &etcd.client.certificate),
            ("etcd-client.key", &etcd.client.key),
            ("tokens.key", &tokens.0),
            ("tokens.pub", &tokens.1),
        ] {
            write_private(&files.path(name), text.as_bytes())?;
        }
        write_private(&files.path("audit-policy.yaml"), AUDIT_POLICY.as_bytes())?;
        Ok(files)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn flag(&self, flag: &str, name: &str) -> String {
        format!("{flag}={}", self.path(name).display())
    }
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16, LocalClusterError> {
    let failed =
        |source| LocalClusterError::File { attempt: "find a free port on", path: "127.0.0.1".into(), source };
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    listener.local_addr().map(|address| address.port()).map_err(failed)
}

async fn start_etcd(
    supervisor: &Supervisor,
    assets: &Path,
    files: &Files,
) -> Result<String, LocalClusterError> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let url = format!("https://127.0.0.1:{}", free_port()?);
        let mut command = Command::new(assets.join("etcd"));
        without_settings_of(&mut command, "ETCD_");
        command
            .arg(files.flag("--data-dir", "etcd"))
            .arg(format!("--listen-client-urls={url}"))
            .arg(format!("--advertise-client-urls={url}"))
            // One member talks to nobody; any port will do.
            .arg("--listen-peer-urls=https://127.0.0.1:0")
            // Any user of this machine reaches both ports: only the API server's certificate opens
            // the first, and nobody's the other.
            .args(["--client-cert-auth", "--peer-client-cert-auth"])
            .arg(files.flag("--trusted-ca-file", "etcd-authority.crt"))
            .arg(files.flag("--cert-file", "etcd-server.crt"))
            .arg(files.flag("--key-file", "etcd-server.key"))
            .arg(files.flag("--peer-trusted-ca-file", "etcd-authority.crt"))
            .arg(files.flag("--peer-cert-file", "etcd-server.crt"))
            .arg(files.flag("--peer-key-file", "etcd-server.key"))
            .args(["--unsafe-no-fsync", "--log-level=warn"]);
        supervisor.start(ETCD, command).await?;
        match wait_for_port(supervisor, ETCD, &url).await {
            Err(error) if attempts < PORT_ATTEMPTS && port_was_taken(supervisor, ETCD) => {
                tracing::info!(%error, "the port was taken meanwhile");
                supervisor.stop(ETCD).await;
            }
            outcome => return outcome.map(|()| url),
        }
    }
}

async fn start_api_server(
    supervisor: &Supervisor,
    assets: &Path,
    files: &Files,
    etcd: &str,
) -> Result<Endpoint, LocalClusterError> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let port = free_port()?;
        let mut command = Command::new(assets.join("kube-apiserver"));
        command
            .arg(format!("--etcd-servers={etcd}"))
            .arg(files.flag("--etcd-cafile", "etcd-authority.crt"))
            .arg(files.flag("--etcd-certfile", "etcd-client.crt"))
            .arg(files.flag("--etcd-keyfile", "etcd-client.key"))
            .arg(format!("--secure-port={port}"))
            .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
            .args(["--authorization-mode=RBAC", "--anonymous-auth=false"])
            .arg(files.flag("--client-ca-file", "authority.crt"))
            .arg(files.flag("--tls-cert-file", "server.crt"))
            .arg(files.flag("--tls-private-key-file", "server.key"))
            .arg(files.flag("--service-account-key-file", "tokens.pub"))
            .arg(files.flag("--service-account-signing-key-file", "tokens.key"))
            .arg(files.flag("--cert-dir", "made-by-the-api-server"))
            .arg(files.flag("--audit-policy-file", "audit-policy.yaml"))
            .arg(format!("--audit-log-path={}", supervisor.log_path(AUDIT_LOG).display()))
            .args([
                "--service-account-issuer=https://kubernetes.default.svc",
                "--service-cluster-ip-range=10.0.0.0/24",
                // Shorter start: nobody here needs flow control, and there is one API server, so no endpoint to reconcile.
                "--enable-priority-and-fairness=false",
                "--endpoint-reconciler-type=none",
                // Watches are cut at once when we stop it.
                "--shutdown-delay-duration=0s",
            ]);
        supervisor.start(API_SERVER, command).await?;
        let server = format!("https://127.0.0.1:{port}");
        match wait_for_port(supervisor, API_SERVER, &server).await {
            Err(error) if attempts < PORT_ATTEMPTS && port_was_taken(supervisor, API_SERVER) => {
                tracing::info!(%error, "the port was taken meanwhile");
                supervisor.stop(API_SERVER).await;
            }
            outcome => {
                return outcome
                    .map(|()| Endpoint { server, authority: files.certificates.authority.clone() });
            }
        }
    }
}

/// Without what the user's shell says to a program of that kind: etcd reads every flag from the
/// environment, too, and would open further ports or read other files.
fn without_settings_of(command: &mut Command, prefix: &str) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with(prefix) {
            command.env_remove(name);
        }
    }
}

fn port_was_taken(supervisor: &Supervisor, role: &str) -> bool {
    supervisor.death_of(role).is_some_and(|death| death.tail.contains("address already in use"))
}

/// Waits until something listens at the address of `url`.
async fn wait_for_port(supervisor: &Supervisor, role: &str, url: &str) -> Result<(), LocalClusterError> {
    let address = url.split_once("://").map_or(url, |(_, address)| address);
    let listens = async || tokio::net::TcpStream::connect(address).await.is_ok();
    wait_for(supervisor, role, listens).await
}

async fn wait_until_ready(
    supervisor: &Supervisor,
    client: &kube::Client,
    progress: &Progress,
) -> Result<(), LocalClusterError> {
    progress("waiting for kube-apiserver");
    let ready = async || match http::Request::get("/readyz").body(Vec::new()) {
        Ok(request) => tokio::time::timeout(Duration::from_secs(5), client.request_text(request))
            .await
            .is_ok_and(|answer| answer.is_ok()),
        Err(_) => false,
    };
    wait_for(supervisor, API_SERVER, ready).await
}

/// Asks again and again, until yes, the death of any child, or the timeout.
async fn wait_for(
    supervisor: &Supervisor,
    role: &str,
    is_so: impl AsyncFn() -> bool,
) -> Result<(), LocalClusterError> {
    let asking = async {
        while !is_so().await {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::select! {
        death = supervisor.first_death() => Err(death.into()),
        outcome = tokio::time::timeout(READY_TIMEOUT, asking) => outcome.map_err(|_| LocalClusterError::NotReady {
            role: role.to_owned(),
            seconds: READY_TIMEOUT.as_secs(),
            log: supervisor.log_path(role),
            tail: log_tail(&supervisor.log_path(role)),
        }),
    }
}

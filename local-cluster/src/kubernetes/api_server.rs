//! Runs etcd and kube-apiserver as two child processes on free loopback ports.
//!
//! In: a state folder and the programs. Out: a real API server with RBAC and an administrator's
//! kubeconfig. There is no controller manager, scheduler or node: nothing here runs pods. etcd does
//! not sync to disk (`--unsafe-no-fsync`), because its data is needed for one demo only.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::process::Command;

use super::assets::cached_assets;
use super::certificates::{Certificates, new_certificates};
use super::kubeconfig::{Credentials, Endpoint, client_from, kubeconfig, write_kubeconfig};
use super::operator_access::{OperatorAccess, grant_operator_access};
use crate::error::LocalClusterError;
use crate::private_files::{make_private_folder, write_private};
use crate::processes::supervisor::{Lifetime, Supervisor, log_tail};
use crate::progress::{Progress, silent};

/// How to start the API server.
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
        Self { assets, lifetime: Lifetime::UntilExit, progress: silent() }
    }

    /// For tests: the programs that are already on this machine. Without them, prints a line and
    /// returns None.
    pub async fn cached() -> Option<Self> {
        cached_assets().await.map(Self::new)
    }
}

/// A running API server. If it is dropped without [`ApiServer::stop`], the drop ends its processes
/// as far as it can.
pub struct ApiServer {
    supervisor: Supervisor,
    client: kube::Client,
    endpoint: Endpoint,
    admin_kubeconfig: PathBuf,
    started_in: Duration,
}

const ETCD: &str = "etcd";
const API_SERVER: &str = "kube-apiserver";
/// etcd is ready in well under a second, the API server in four to eight seconds on two cores. The
/// limit allows ten times that for a loaded machine.
const READY_TIMEOUT: Duration = Duration::from_secs(90);
/// Another process may take a free port before our child binds it.
const PORT_ATTEMPTS: usize = 3;
/// The log of the operator's requests to the API server.
pub const AUDIT_LOG: &str = "audit";
/// Logs every request of the operator's ServiceAccount and no other request.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    users: ['system:serviceaccount:kinesis-demo-system:kinesis-demo-operator']
  - level: None
";
/// Interval between two readiness checks.
const POLL: Duration = Duration::from_millis(20);

impl ApiServer {
    /// Starts both programs under a new supervisor in `state` and waits until the API server is
    /// ready.
    pub async fn start(state: &Path, options: ApiServerOptions) -> Result<Self, LocalClusterError> {
        let supervisor = Supervisor::open(state, options.lifetime)?;
        Self::start_under(&supervisor, &options.assets, &options.progress).await
    }

    /// Like [`Self::start`], but under the caller's supervisor, which then also ends the programs.
    pub async fn start_under(
        supervisor: &Supervisor,
        assets: &Path,
        progress: &Progress,
    ) -> Result<Self, LocalClusterError> {
        let began = Instant::now();
        let files = Files::write_new(supervisor.state())?;
        progress("starting etcd");
        let etcd = start_on_free_port(supervisor, ETCD, |port| etcd_command(assets, &files, port)).await?;
        progress("starting kube-apiserver");
        let audit_log = supervisor.log_path(AUDIT_LOG);
        let command = |port| api_server_command(assets, &files, &audit_log, &etcd, port);
        let server = start_on_free_port(supervisor, API_SERVER, command).await?;
        let endpoint = Endpoint { server, authority: files.certificates.authority.clone() };
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

    /// Time from the first process start until the API server was ready.
    #[must_use]
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    #[must_use]
    pub fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    /// Applies the operator's role and writes `operator.kubeconfig` for its ServiceAccount. It has
    /// exactly the rights that the operator has in a cluster.
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

/// The files of the two programs, all under `<state>/kubernetes`.
struct Files {
    folder: PathBuf,
    certificates: Certificates,
}

impl Files {
    fn write_new(state: &Path) -> Result<Self, LocalClusterError> {
        let folder = state.join("kubernetes");
        // Objects and keys of an earlier run are not reused.
        match std::fs::remove_dir_all(&folder) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(LocalClusterError::File { attempt: "remove", path: folder, source });
            }
            _ => {}
        }
        make_private_folder(&folder)?;
        let certificates = new_certificates(Timestamp::now())?;
        let files = Self { folder, certificates };
        // The administrator's certificate is in its kubeconfig.
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

/// Returns a port that was free a moment ago.
fn free_port() -> Result<u16, LocalClusterError> {
    let failed =
        |source| LocalClusterError::File { attempt: "find a free port on", path: "127.0.0.1".into(), source };
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    listener.local_addr().map(|address| address.port()).map_err(failed)
}

/// Starts a program that listens at a free port, and waits until it does. Returns its URL.
/// `command` receives the port. If another process binds the port first, tries again with another.
async fn start_on_free_port(
    supervisor: &Supervisor,
    role: &str,
    command: impl Fn(u16) -> Command,
) -> Result<String, LocalClusterError> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let port = free_port()?;
        let url = url(port);
        supervisor.start(role, command(port)).await?;
        match wait_for_port(supervisor, role, port).await {
            Err(error) if attempts < PORT_ATTEMPTS && port_was_taken(supervisor, role) => {
                tracing::info!(%error, "another process took the port; retrying with a new one");
                supervisor.stop(role).await;
            }
            outcome => return outcome.map(|()| url),
        }
    }
}

fn url(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

fn etcd_command(assets: &Path, files: &Files, port: u16) -> Command {
    let url = url(port);
    let mut command = Command::new(assets.join("etcd"));
    remove_variables(&mut command, "ETCD_");
    command
        .arg(files.flag("--data-dir", "etcd"))
        .arg(format!("--listen-client-urls={url}"))
        .arg(format!("--advertise-client-urls={url}"))
        // A single member has no peers, so any port works.
        .arg("--listen-peer-urls=https://127.0.0.1:0")
        // Any user of this machine can reach both ports. The client port accepts only the API
        // server's certificate; no certificate is issued for the peer port.
        .args(["--client-cert-auth", "--peer-client-cert-auth"])
        .arg(files.flag("--trusted-ca-file", "etcd-authority.crt"))
        .arg(files.flag("--cert-file", "etcd-server.crt"))
        .arg(files.flag("--key-file", "etcd-server.key"))
        .arg(files.flag("--peer-trusted-ca-file", "etcd-authority.crt"))
        .arg(files.flag("--peer-cert-file", "etcd-server.crt"))
        .arg(files.flag("--peer-key-file", "etcd-server.key"))
        .args(["--unsafe-no-fsync", "--log-level=warn"]);
    command
}

fn api_server_command(assets: &Path, files: &Files, audit_log: &Path, etcd: &str, port: u16) -> Command {
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
        .arg(format!("--audit-log-path={}", audit_log.display()))
        .args([
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.0.0.0/24",
            // For a shorter start: flow control is not needed here, and with one API server there
            // are no endpoints to reconcile.
            "--enable-priority-and-fairness=false",
            "--endpoint-reconciler-type=none",
            // Close watches immediately on stop.
            "--shutdown-delay-duration=0s",
        ]);
    command
}

/// Removes the variables with this prefix from the child's environment: etcd also reads every flag
/// from the environment, and could open further ports or read other files.
fn remove_variables(command: &mut Command, prefix: &str) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with(prefix) {
            command.env_remove(name);
        }
    }
}

fn port_was_taken(supervisor: &Supervisor, role: &str) -> bool {
    supervisor.exit_of(role).is_some_and(|exit| exit.tail.contains("address already in use"))
}

/// Waits until a process listens at the port.
async fn wait_for_port(supervisor: &Supervisor, role: &str, port: u16) -> Result<(), LocalClusterError> {
    let listens = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok();
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
            .is_ok_and(|response| response.is_ok()),
        Err(_) => false,
    };
    wait_for(supervisor, API_SERVER, ready).await
}

/// Polls until the check succeeds, any child exits, or the timeout elapses.
async fn wait_for(
    supervisor: &Supervisor,
    role: &str,
    check: impl AsyncFn() -> bool,
) -> Result<(), LocalClusterError> {
    let polling = async {
        while !check().await {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::select! {
        exit = supervisor.first_exit() => Err(exit.into()),
        outcome = tokio::time::timeout(READY_TIMEOUT, polling) => outcome.map_err(|_| LocalClusterError::NotReady {
            role: role.to_owned(),
            seconds: READY_TIMEOUT.as_secs(),
            log: supervisor.log_path(role),
            tail: log_tail(&supervisor.log_path(role)),
        }),
    }
}

//! The options of a sandbox, from its flags and environment. In: parsed flags. Out: checked
//! options. Reads the access key id, and with `--tasks Pods` the sandbox's own identity in the
//! cluster.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::access::{ACCESS_KEY_VARIABLE, Access, Secret};
use crate::args::{Advantage, Serve, Tasks};
use crate::services::ecs;
use crate::task_runner::pod::{PodSettings, secret, settings};
use crate::tls::TlsSettings;

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

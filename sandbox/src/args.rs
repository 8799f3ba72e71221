//! The command line of `kinesis-demo-sandbox`. Parsing only; nothing is opened or started here.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::task_runner::process::command::command_words;

/// A local AWS for the KinesisDemo operator.
#[derive(Debug, Parser)]
#[command(name = "kinesis-demo-sandbox", version, about, arg_required_else_help = true)]
pub struct Args {
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The program's commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve AWS requests until SIGTERM or SIGINT.
    Serve(Serve),
}

/// Arguments of `serve`.
#[derive(Clone, Debug, clap::Args)]
pub struct Serve {
    /// Listen address; port 0 picks a free port.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// Allow a listen address that other machines can reach.
    #[arg(long)]
    pub allow_non_loopback: bool,

    /// File with the access key id that requests must use (mode 0600). If it does not exist, it is
    /// created with a random key. The environment variable SANDBOX_ACCESS_KEY_ID replaces it.
    #[arg(long, value_name = "PATH")]
    pub access_key_file: Option<PathBuf>,

    /// Serve requests with any access key id. Every user of this machine can then run the mapped
    /// commands as you. Only on loopback.
    #[arg(long)]
    pub any_credentials: bool,

    /// A further host name, such as a Service's, that requests may have in their Host header; may
    /// be repeated. The names of loopback and the listen address are always allowed.
    #[arg(long = "allow-host", value_name = "NAME", value_parser = host_name)]
    pub allowed_hosts: Vec<String>,

    /// Listen address for probes. It serves GET /healthz without an access key id, and nothing
    /// else.
    #[arg(long, value_name = "ADDRESS")]
    pub probe_listen: Option<SocketAddr>,

    /// Serve TLS too, on a separate port, for clients that support nothing else. A new authority
    /// signs the certificate at each start.
    #[arg(long)]
    pub tls: bool,

    /// Listen address for TLS. Default: the IP address of --listen, on a free port.
    #[arg(long, value_name = "ADDRESS", requires = "tls")]
    pub tls_listen: Option<SocketAddr>,

    /// File for the authority's certificate (PEM), which clients must trust. Default: the address
    /// file with the suffix .ca.pem.
    #[arg(long, value_name = "PATH", requires = "tls")]
    pub tls_ca_file: Option<PathBuf>,

    /// File to which {"address":"…","pid":…} is written once requests are served; with --tls also
    /// "tlsAddress" and "tlsCaFile".
    #[arg(long, value_name = "PATH")]
    pub address_file: Option<PathBuf>,

    /// The account id that this sandbox reports.
    #[arg(long, default_value = "000000000000", value_name = "ID", value_parser = account_id)]
    pub account: String,

    /// Speed of the model's clock, as a multiple of wall-clock time. It applies to delays, warm-up
    /// and the 24-hour commitment.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub speed: u32,

    /// Whether the account starts with the minimum throughput billing commitment (On-demand
    /// Advantage), in every region.
    #[arg(long, value_enum, default_value_t = Advantage::Disabled)]
    pub advantage: Advantage,

    /// An ECS cluster that exists from the start; may be repeated.
    #[arg(long = "cluster", value_name = "NAME")]
    pub clusters: Vec<String>,

    /// How ECS tasks run: as processes of this machine, or as Pods of the cluster in which the
    /// sandbox runs.
    #[arg(long, value_enum, default_value_t = Tasks::Processes)]
    pub tasks: Tasks,

    /// The command that an ECS container of IMAGE runs on this machine: the path of a program
    /// (never split), or a JSON array of a program and its first arguments. May be repeated. Not
    /// with --tasks Pods, which run the image.
    #[arg(long = "image", value_name = "IMAGE=COMMAND", value_parser = image_command)]
    pub images: Vec<(String, String)>,

    /// A further environment variable that a task definition may set for a process of this machine;
    /// may be repeated. Not with --tasks Pods, where every variable is allowed.
    #[arg(long = "allow-variable", value_name = "NAME", value_parser = variable_name)]
    pub allowed_variables: Vec<String>,

    /// Existing directory for tasks.json, the list of the processes that run tasks. Not with
    /// --tasks Pods.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// URL at which task Pods reach the sandbox: that of a Service, without a path. Required with
    /// --tasks Pods.
    #[arg(long, value_name = "URL", required_if_eq("tasks", "Pods"))]
    pub task_endpoint: Option<String>,

    /// Namespace of the task Pods. Required with --tasks Pods.
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE", required_if_eq("tasks", "Pods"))]
    pub task_namespace: Option<String>,

    /// ServiceAccount of the task Pods, used for its image pull secrets; its token is not mounted.
    /// Default: the namespace's default ServiceAccount.
    #[arg(long, value_name = "NAME")]
    pub task_service_account: Option<String>,

    /// Secret in the namespace of the task Pods with the access key id that requests must use
    /// (AWS_ACCESS_KEY_ID, and AWS_SECRET_ACCESS_KEY). Task Pods read it too. If it has no key, a
    /// random one is written to it. Required with --tasks Pods.
    #[arg(long, value_name = "NAME", required_if_eq("tasks", "Pods"))]
    pub task_secret: Option<String>,

    /// Label value that identifies the task Pods of this sandbox. Default: the Service and
    /// namespace in --task-endpoint.
    #[arg(long, value_name = "NAME")]
    pub task_instance: Option<String>,

    /// Let the cluster choose the user of task Pods: `user` of a task definition is ignored. For
    /// OpenShift, which assigns each namespace a range of users and rejects others.
    #[arg(long)]
    pub task_user_from_cluster: bool,

    /// File to which each distinct call is written once, as a line of JSON without values, to check
    /// IAM permissions.
    #[arg(long, value_name = "PATH")]
    pub record_calls: Option<PathBuf>,

    /// Fargate On-Demand vCPU quota per region (AWS gives new accounts 6).
    #[arg(long, default_value_t = crate::services::ecs::DEFAULT_VCPU_QUOTA, value_name = "N")]
    pub fargate_vcpus: u32,

    /// Start with an account that has never used ECS or Application Auto Scaling. The first calls
    /// that need a service-linked role fail, as on AWS while it creates the role.
    #[arg(long)]
    pub fresh_account: bool,

    /// Seed for decisions that AWS makes at random (which tasks a scale-in stops, how long starts
    /// take).
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
}

/// How ECS tasks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum Tasks {
    /// Processes of this machine.
    Processes,
    /// Pods of a cluster.
    Pods,
}

/// The account's billing commitment at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Advantage {
    /// On-demand Advantage: warm throughput may be set.
    Enabled,
    /// On-demand Standard.
    Disabled,
}

/// An AWS account id: twelve digits.
fn account_id(text: &str) -> Result<String, String> {
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err("expected twelve digits".to_owned())
    }
}

/// `IMAGE=COMMAND`, split at the first `=`, because image references contain none.
fn image_command(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((image, command)) if !image.is_empty() && !command.is_empty() => {
            command_words(command)?;
            Ok((image.to_owned(), command.to_owned()))
        }
        _ => Err("expected IMAGE=COMMAND".to_owned()),
    }
}

/// A host name or address without a port, because ports are not compared.
fn host_name(text: &str) -> Result<String, String> {
    let authority: http::uri::Authority = text.parse().map_err(|_| "expected a host name".to_owned())?;
    if authority.host() == text {
        Ok(text.to_owned())
    } else {
        Err("expected a host name without port or user".to_owned())
    }
}

/// The name of an environment variable.
fn variable_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(['=', '\0']) {
        return Err("expected the name of an environment variable".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve(arguments: &[&str]) -> Result<Serve, clap::Error> {
        let all = ["kinesis-demo-sandbox", "serve"].iter().chain(arguments);
        Args::try_parse_from(all).map(|args| match args.command {
            Command::Serve(serve) => serve,
        })
    }

    #[test]
    fn defaults_are_loopback_and_an_account_without_commitment() {
        let serve = serve(&[]).unwrap();
        assert!(serve.listen.ip().is_loopback());
        assert_eq!(serve.listen.port(), 0);
        assert_eq!(serve.account, "000000000000");
        assert_eq!((serve.speed, serve.advantage), (1, Advantage::Disabled));
        assert!(!serve.fresh_account);
        assert!(super::tests::serve(&["--fresh-account"]).unwrap().fresh_account);
    }

    #[test]
    fn task_pods_require_endpoint_namespace_and_secret() {
        let pods = [
            "--tasks",
            "Pods",
            "--task-endpoint",
            "http://sandbox.demo.svc:4566",
            "--task-namespace",
            "demo",
            "--task-secret",
            "sandbox",
        ];
        let serve = serve(&pods).unwrap();
        assert_eq!((serve.tasks, serve.task_namespace.as_deref()), (Tasks::Pods, Some("demo")));
        assert!(!serve.task_user_from_cluster);
        let chosen = super::tests::serve(&[&pods[..], &["--task-user-from-cluster"]].concat());
        assert!(chosen.unwrap().task_user_from_cluster);
        for missing in [2, 4, 6] {
            let mut arguments = pods.to_vec();
            arguments.drain(missing..missing + 2);
            let result = super::tests::serve(&arguments);
            // Inside a Pod, POD_NAMESPACE may be set in the test's environment.
            assert!(result.is_err() || (missing == 4 && std::env::var_os("POD_NAMESPACE").is_some()));
        }
    }

    #[test]
    fn tls_flags_require_tls() {
        let all = ["--tls", "--tls-listen", "127.0.0.1:4567", "--tls-ca-file", "/tmp/ca.pem"];
        let serve = serve(&all).unwrap();
        assert_eq!((serve.tls, serve.tls_listen), (true, "127.0.0.1:4567".parse().ok()));
        assert!(super::tests::serve(&all[1..3]).is_err() && super::tests::serve(&all[3..]).is_err());
    }

    #[test]
    fn images_split_at_the_first_equals_sign() {
        let serve = serve(&["--image", "example/generator:1=/bin/echo a=b"]).unwrap();
        assert_eq!(serve.images, [("example/generator:1".to_owned(), "/bin/echo a=b".to_owned())]);
    }

    #[test]
    fn invalid_account_image_speed_host_and_variable_are_rejected() {
        for arguments in [
            ["--account", "12345678901"],
            ["--account", "12345678901x"],
            ["--image", "no-command"],
            ["--image", "=command"],
            ["--image", "a=[]"],
            ["--image", "a=[\"/bin/sh\""],
            ["--speed", "0"],
            ["--allow-host", "sandbox.demo.svc:4566"],
            ["--allow-host", "http://sandbox"],
            ["--allow-host", "user@sandbox"],
            ["--allow-host", ""],
            ["--allow-variable", "A=B"],
            ["--allow-variable", ""],
            ["--speed", "100001"],
        ] {
            assert!(serve(&arguments).is_err(), "{arguments:?}");
        }
        assert_eq!(serve(&["--speed", "100000"]).unwrap().speed, 100_000);
    }
}

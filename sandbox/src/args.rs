//! The command line of `kinesis-demo-sandbox`. Parsing only; nothing is opened or started here.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// A local AWS for the KinesisDemo operator.
#[derive(Debug, Parser)]
#[command(name = "kinesis-demo-sandbox", version, about, arg_required_else_help = true)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The program's verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer AWS requests until SIGTERM or SIGINT.
    Serve(Serve),
}

/// Arguments of `serve`.
#[derive(Clone, Debug, clap::Args)]
pub struct Serve {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// Accept a listen address that other machines can reach.
    #[arg(long)]
    pub allow_non_loopback: bool,

    /// File with the access key id that requests must name (mode 0600); a random one is written to
    /// it if it is not there. The environment variable SANDBOX_ACCESS_KEY_ID does instead.
    #[arg(long, value_name = "PATH")]
    pub access_key_file: Option<PathBuf>,

    /// Serve requests with any access key id: whoever has an account on this machine can then run
    /// the mapped commands as you. Only on loopback.
    #[arg(long)]
    pub any_credentials: bool,

    /// A further name, such as a Service's, under which requests may address the sandbox (their
    /// Host header); may be repeated. Loopback's names and the listen address always may.
    #[arg(long = "allow-host", value_name = "NAME", value_parser = host_name)]
    pub allowed_hosts: Vec<String>,

    /// Where to answer GET /healthz for probes, which need no key there; nothing else is answered.
    #[arg(long, value_name = "ADDRESS")]
    pub probe_listen: Option<SocketAddr>,

    /// Answer over TLS too, on a port of its own, for clients that speak nothing else. The certificate is signed by an authority
    /// that is made anew at each start.
    #[arg(long)]
    pub tls: bool,

    /// Where to listen for TLS. Default: where --listen does, on a free port.
    #[arg(long, value_name = "ADDRESS", requires = "tls")]
    pub tls_listen: Option<SocketAddr>,

    /// File to write the authority's certificate to (PEM), for clients to trust. Default: beside the address file, as FILE.ca.pem.
    #[arg(long, value_name = "PATH", requires = "tls")]
    pub tls_ca_file: Option<PathBuf>,

    /// File to write {"address":"…","pid":…} to when requests are answered; with --tls, "tlsAddress" and "tlsCaFile" too.
    #[arg(long, value_name = "PATH")]
    pub address_file: Option<PathBuf>,

    /// The account this sandbox claims to be.
    #[arg(long, default_value = "000000000000", value_name = "ID", value_parser = account_id)]
    pub account: String,

    /// How many times faster than the wall clock the model's clock runs (delays, warm-up, the 24-hour commitment).
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub speed: u32,

    /// Whether the account starts with the minimum throughput billing commitment (On-demand Advantage), in every region.
    #[arg(long, value_enum, default_value_t = Advantage::Disabled)]
    pub advantage: Advantage,

    /// An ECS cluster that exists from the start; may be repeated.
    #[arg(long = "cluster", value_name = "NAME")]
    pub clusters: Vec<String>,

    /// What runs ECS tasks: processes of this machine, or Pods of the cluster that the sandbox itself runs in.
    #[arg(long, value_enum, default_value_t = Tasks::Processes)]
    pub tasks: Tasks,

    /// What an ECS container of IMAGE runs on this machine: the path of a program, taken whole, or
    /// a JSON array of a program and its first arguments. May be repeated. Not with --tasks Pods,
    /// which run the image.
    #[arg(long = "image", value_name = "IMAGE=COMMAND", value_parser = image_command)]
    pub images: Vec<(String, String)>,

    /// A further environment variable that a task definition may set for a process of this machine;
    /// may be repeated. Not with --tasks Pods, where any may be set.
    #[arg(long = "allow-variable", value_name = "NAME", value_parser = variable_name)]
    pub allowed_variables: Vec<String>,

    /// Where to keep tasks.json, the list of the processes that run tasks; an existing directory. Not with --tasks Pods.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Where task Pods reach the sandbox: a Service's URL, without a path. Required with --tasks Pods.
    #[arg(long, value_name = "URL", required_if_eq("tasks", "Pods"))]
    pub task_endpoint: Option<String>,

    /// The namespace of the task Pods. Required with --tasks Pods.
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE", required_if_eq("tasks", "Pods"))]
    pub task_namespace: Option<String>,

    /// The ServiceAccount of the task Pods, for its image pull secrets; they get no token. Default: the namespace's default one.
    #[arg(long, value_name = "NAME")]
    pub task_service_account: Option<String>,

    /// The Secret of the task Pods' namespace that holds the access key id to serve
    /// (AWS_ACCESS_KEY_ID, and AWS_SECRET_ACCESS_KEY), and from which the Pods get it; a random one
    /// is written to it if it holds none. Required with --tasks Pods.
    #[arg(long, value_name = "NAME", required_if_eq("tasks", "Pods"))]
    pub task_secret: Option<String>,

    /// The label value that tells this sandbox's task Pods from others'. Default: the Service and namespace in --task-endpoint.
    #[arg(long, value_name = "NAME")]
    pub task_instance: Option<String>,

    /// Leave it to the cluster as whom task Pods run: what `user` of a task definition says is left
    /// out of them. For OpenShift, which gives each namespace a range of users and refuses others.
    #[arg(long)]
    pub task_user_from_cluster: bool,

    /// A file to write each distinct call to, once, as a line of JSON without its contents: for judging permissions.
    #[arg(long, value_name = "PATH")]
    pub record_calls: Option<PathBuf>,

    /// The Fargate On-LoadHistory vCPU quota per region (AWS gives new accounts 6).
    #[arg(long, default_value_t = crate::services::ecs::DEFAULT_VCPU_QUOTA, value_name = "N")]
    pub fargate_vcpus: u32,

    /// Whether the account is one in which ECS and Application Auto Scaling were never used: the first calls that need a
    /// service-linked role are refused, as AWS refuses them while it makes the role.
    #[arg(long)]
    pub fresh_account: bool,

    /// Seed for what AWS decides at random (which tasks a scale-in stops, how long starts take).
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
}

/// What runs ECS tasks.
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
        Err("an account id has twelve digits".to_owned())
    }
}

/// `IMAGE=COMMAND`, split at the first `=`: image references hold none.
fn image_command(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((image, command)) if !image.is_empty() && !command.is_empty() => {
            command_words(command)?;
            Ok((image.to_owned(), command.to_owned()))
        }
        _ => Err("expected IMAGE=COMMAND".to_owned()),
    }
}

/// The program and its first arguments. A path is never split, whatever characters it has;
/// arguments are given as Docker's exec form gives them, as a JSON array (a relative path that
/// begins with `[` can be written as `./[…`).
pub(crate) fn command_words(command: &str) -> Result<Vec<String>, String> {
    if !command.starts_with('[') {
        return Ok(vec![command.to_owned()]);
    }
    match serde_json::from_str::<Vec<String>>(command) {
        Ok(words) if words.first().is_some_and(|program| !program.is_empty()) => Ok(words),
        _ => Err(format!(
            "{command} is neither a path nor a JSON array of a program and its arguments, as in [\"/bin/sleep\",\"60\"]"
        )),
    }
}

/// A host's name or address without a port, since ports do not matter.
fn host_name(text: &str) -> Result<String, String> {
    let authority: http::uri::Authority = text.parse().map_err(|_| "expected a host's name".to_owned())?;
    if authority.host() == text {
        Ok(text.to_owned())
    } else {
        Err("expected a host's name without port or user".to_owned())
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
    fn the_defaults_are_loopback_and_an_uncommitted_sandbox_account() {
        let serve = serve(&[]).unwrap();
        assert!(serve.listen.ip().is_loopback());
        assert_eq!(serve.listen.port(), 0);
        assert_eq!(serve.account, "000000000000");
        assert_eq!((serve.speed, serve.advantage), (1, Advantage::Disabled));
        assert!(!serve.fresh_account);
        assert!(super::tests::serve(&["--fresh-account"]).unwrap().fresh_account);
    }

    #[test]
    fn task_pods_need_an_endpoint_a_namespace_and_a_secret() {
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
            let refused = super::tests::serve(&arguments);
            // A test that itself runs in a Pod may find the namespace in its environment.
            assert!(refused.is_err() || (missing == 4 && std::env::var_os("POD_NAMESPACE").is_some()));
        }
    }

    #[test]
    fn the_flags_of_tls_need_tls() {
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
    fn a_path_is_one_word_and_an_array_is_several() {
        for path in ["/a b/c", "/it's/50%/x=y", "/\u{e9}t\u{e9}/\"q\"", " /leading", "./[x]/y"] {
            assert_eq!(command_words(path), Ok(vec![path.to_owned()]));
        }
        let words = vec!["/a b/sh".to_owned(), "-c".to_owned()];
        assert_eq!(command_words(r#"["/a b/sh", "-c"]"#), Ok(words));
        for wrong in ["[]", "[\"\"]", "[1]", "[\"/bin/sh\"", "[x]/y"] {
            assert!(command_words(wrong).is_err(), "{wrong}");
            assert!(serve(&["--image", &format!("a={wrong}")]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_account_image_speed_host_or_variable_is_refused() {
        for arguments in [
            ["--account", "12345678901"],
            ["--account", "12345678901x"],
            ["--image", "no-command"],
            ["--image", "=command"],
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

//! The command line: only its definition and parsing.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

#[cfg(feature = "foundation")]
use crate::foundation::args::Foundation;

/// Shown by `--help`; scripts rely on them.
const EXIT_CODES: &str = "Exit codes:
  0    success (a watched run: Succeeded)
  1    an error, printed on stderr
  2    the command line is invalid
  3    the run ended as Failed
  4    the run ended as Aborted
  5    demo: resources remain in the sandbox
  130  interrupted (demo: after everything was stopped and removed)";

/// Starts, watches and stops viral events on Amazon Kinesis on-demand streams.
#[derive(Debug, Parser)]
#[command(name = "kubectl-kinesisdemo", bin_name = "kubectl kinesisdemo", version, about, after_help = EXIT_CODES)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List KinesisDemos.
    List(List),
    /// Show one KinesisDemo: its run, its phases, and what blocks it.
    Status(One),
    /// Watch one KinesisDemo until its run ends: in place on a terminal, otherwise one line per
    /// change.
    Watch(One),
    /// Create a KinesisDemo, by server-side apply, and watch its run.
    Start(Start),
    /// Abort a run: stop the traffic, then remove all resources of the run. Waits until this is
    /// done.
    Stop(Stop),
    /// Start the next run of a finished KinesisDemo, and watch it.
    Rerun(Rerun),
    /// Show the Kubernetes Events of one KinesisDemo, oldest first: the operator's actions, and
    /// errors from AWS.
    ///
    /// The generator tasks' own logs are not shown. They are in CloudWatch Logs, in the log group
    /// that `status.resources` names.
    Logs(Logs),
    /// Delete KinesisDemos and wait until their AWS resources are deleted.
    Cleanup(Cleanup),
    /// Deploy, show or delete the CloudFormation stack that KinesisDemo needs in an AWS account:
    /// network, ECS cluster, image repositories, roles.
    ///
    /// Uses the same credentials as the AWS CLI: from the environment, the profile in AWS_PROFILE,
    /// or single sign-on.
    #[cfg(feature = "foundation")]
    Foundation(Foundation),
    /// Not included in this program, which `make demo` built; `make build` includes it.
    #[cfg(not(feature = "foundation"))]
    Foundation {
        /// Accepted and ignored.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        words: Vec<String>,
    },
    /// Run a viral event on this machine, with its own Kubernetes API server and local AWS. Needs
    /// no account and no cluster.
    Demo(Demo),
    /// Stop the demo that `demo --keep` left running. Does nothing if there is none.
    DemoDown(DemoDown),
}

/// The cluster and namespace, with the same flags as kubectl.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Connection {
    /// The kubeconfig file. Default: $KUBECONFIG, or ~/.kube/config.
    #[arg(long, value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context. Default: the current one.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// The namespace. Default: the context's.
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
}

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    #[default]
    Text,
    /// JSON, as in the API; for a watch, one object per line.
    Json,
    /// YAML, as in the API; for a watch, one document per object.
    Yaml,
}

#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    pub connection: Connection,
    /// List objects in all namespaces.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, clap::Args)]
pub struct One {
    /// The KinesisDemo's name.
    pub name: String,
    #[command(flatten)]
    pub connection: Connection,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, clap::Args)]
pub struct Start {
    #[command(flatten)]
    pub connection: Connection,
    /// A file with one KinesisDemo; `-` reads stdin.
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["name", "region", "warm_throughput"])]
    pub filename: Option<PathBuf>,
    /// Without a file: the object's name.
    #[arg(long, value_name = "NAME", required_unless_present = "filename")]
    pub name: Option<String>,
    /// Without a file: the AWS region. Default: the operator's.
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Without a file: warm throughput in MiB/s, which needs On-demand Advantage. Default: none.
    #[arg(long, value_name = "MIB_PER_SECOND", value_parser = clap::value_parser!(i32).range(1..=10240))]
    pub warm_throughput: Option<i32>,
    /// Take over fields that another tool owns, like the flag of kubectl.
    #[arg(long)]
    pub force_conflicts: bool,
    /// Do not watch the run; return when the object is created.
    #[arg(long)]
    pub no_watch: bool,
}

#[derive(Debug, clap::Args)]
pub struct Stop {
    /// The KinesisDemo's name.
    pub name: String,
    #[command(flatten)]
    pub connection: Connection,
    /// Do not wait for the end; return when the operator has accepted the request.
    #[arg(long)]
    pub no_wait: bool,
}

#[derive(Debug, clap::Args)]
pub struct Rerun {
    /// The KinesisDemo's name.
    pub name: String,
    #[command(flatten)]
    pub connection: Connection,
    /// Do not watch the run; return when the operator has accepted the request.
    #[arg(long)]
    pub no_watch: bool,
}

#[derive(Debug, clap::Args)]
pub struct Logs {
    /// The KinesisDemo's name.
    pub name: String,
    #[command(flatten)]
    pub connection: Connection,
    /// Continue until the run is over.
    #[arg(short, long)]
    pub follow: bool,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, clap::Args)]
pub struct Cleanup {
    /// The KinesisDemos' names.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub names: Vec<String>,
    /// Delete all KinesisDemos of the namespace.
    #[arg(long)]
    pub all: bool,
    /// With --all: delete those of all namespaces.
    #[arg(short = 'A', long, requires = "all", conflicts_with = "names")]
    pub all_namespaces: bool,
    #[command(flatten)]
    pub connection: Connection,
    /// How long to wait for the removal, in seconds. The removal continues after that.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub timeout: u64,
}

#[derive(Debug, clap::Args)]
pub struct Demo {
    /// A file with one KinesisDemo. Default: the built-in quick event (examples/quick.yaml).
    pub manifest: Option<PathBuf>,
    /// The folder in which the demo creates its own folder `demo`, for logs, keys and the report.
    /// The demo touches nothing else in it.
    #[arg(long, value_name = "DIR", default_value = "target")]
    pub state: PathBuf,
    /// Leave everything running at the end; `demo-down` stops it.
    #[arg(long)]
    pub keep: bool,
    /// How many times faster than real time the local AWS's delays pass (warm-up, task starts,
    /// deletion).
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub speed: u32,
}

#[derive(Debug, clap::Args)]
pub struct DemoDown {
    /// The --state folder of the demo.
    #[arg(long, value_name = "DIR", default_value = "target")]
    pub state: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_definition_is_valid() {
        Args::command().debug_assert();
    }

    #[test]
    fn start_accepts_a_file_or_a_name_but_not_both() {
        let parse = |line: &str| Args::try_parse_from(line.split_whitespace());
        assert!(parse("x start -f a.yaml").is_ok());
        assert!(parse("x start --name a --warm-throughput 100 --region us-east-1").is_ok());
        assert!(parse("x start").is_err());
        assert!(parse("x start -f a.yaml --name b").is_err());
        assert!(parse("x start --name a --warm-throughput 0").is_err());
        assert!(parse("x start --name a --warm-throughput 10241").is_err());
    }

    #[test]
    fn cleanup_accepts_names_or_all_but_not_both() {
        let parse = |line: &str| Args::try_parse_from(line.split_whitespace());
        assert!(parse("x cleanup a b").is_ok());
        assert!(parse("x cleanup --all -A").is_ok());
        assert!(parse("x cleanup").is_err());
        assert!(parse("x cleanup a --all").is_err());
        assert!(parse("x cleanup a -A").is_err());
    }
}

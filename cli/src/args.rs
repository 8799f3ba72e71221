//! The command line. Parsing only.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

#[cfg(feature = "foundation")]
use crate::foundation::args::Foundation;

/// Told under `--help`; scripts rely on them.
const EXIT_CODES: &str = "Exit codes:
  0    what was asked for is done (a run that was watched: Succeeded)
  1    an error, said on stderr
  2    the command line was not understood
  3    the run ended as Failed
  4    the run ended as Aborted
  5    demo: something was left behind
  130  interrupted (demo: after everything was stopped and removed)";

/// Viral events on Amazon Kinesis on-demand streams: start them, watch them, end them.
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
    /// Show one KinesisDemo: its run, its phases, what stands in its way.
    Status(One),
    /// Watch one KinesisDemo: in place on a terminal, a line per change otherwise. Ends with the run.
    Watch(One),
    /// Make a KinesisDemo, by server-side apply, and watch its run.
    Start(Start),
    /// Abort a run: traffic to zero first, then everything that the run made is removed. Waits for that.
    Stop(Stop),
    /// Begin the next run of a KinesisDemo whose run is over, and watch it.
    Rerun(Rerun),
    /// Show what the operator did and what AWS refused: the Kubernetes Events of one KinesisDemo, oldest first.
    ///
    /// The generator tasks' own logs are in CloudWatch Logs, in the log group that `status.resources` names; they are not shown here.
    Logs(Logs),
    /// Delete KinesisDemos and wait until everything they made is gone.
    Cleanup(Cleanup),
    /// Make, show or delete what KinesisDemo needs in an AWS account: network, ECS cluster, image repositories, roles (a CloudFormation stack).
    ///
    /// Credentials come from where the AWS CLI has them: the environment, the profile that AWS_PROFILE names, single sign-on.
    #[cfg(feature = "foundation")]
    Foundation(Foundation),
    /// Not in this program, which `make demo` built for the laptop; `make build` builds the one that has it.
    #[cfg(not(feature = "foundation"))]
    Foundation {
        /// Taken, and not understood.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        words: Vec<String>,
    },
    /// Run a viral event on this machine, with a Kubernetes API server and a local AWS of its own. Needs no account and no cluster.
    Demo(Demo),
    /// End what `demo --keep` left up. Does nothing where no demo has run.
    DemoDown(DemoDown),
}

/// Which cluster and namespace, as kubectl takes them.
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
    /// JSON, as the API has it; for a watch one object per line.
    Json,
    /// YAML, as the API has it; for a watch one document per object.
    Yaml,
}

#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    pub connection: Connection,
    /// In all namespaces.
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
    /// Take over fields that another tool owns, as kubectl does by the same name.
    #[arg(long)]
    pub force_conflicts: bool,
    /// Do not watch the run; return when the object is made.
    #[arg(long)]
    pub no_watch: bool,
}

#[derive(Debug, clap::Args)]
pub struct Stop {
    /// The KinesisDemo's name.
    pub name: String,
    #[command(flatten)]
    pub connection: Connection,
    /// Do not wait for the end; return when the operator has taken the request.
    #[arg(long)]
    pub no_wait: bool,
}

#[derive(Debug, clap::Args)]
pub struct Rerun {
    /// The KinesisDemo's name.
    pub name: String,
    #[command(flatten)]
    pub connection: Connection,
    /// Do not watch the run; return when the operator has taken the request.
    #[arg(long)]
    pub no_watch: bool,
}

#[derive(Debug, clap::Args)]
pub struct Logs {
    /// The KinesisDemo's name.
    pub name: String,
    #[command(flatten)]
    pub connection: Connection,
    /// Go on until the run is over.
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
    /// All of the namespace.
    #[arg(long)]
    pub all: bool,
    /// With --all: of all namespaces.
    #[arg(short = 'A', long, requires = "all", conflicts_with = "names")]
    pub all_namespaces: bool,
    #[command(flatten)]
    pub connection: Connection,
    /// How long to wait for the removal, in seconds. It goes on after that, unwatched.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub timeout: u64,
}

#[derive(Debug, clap::Args)]
pub struct Demo {
    /// A file with one KinesisDemo. Default: the built-in quick event (examples/quick.yaml).
    pub manifest: Option<PathBuf>,
    /// The folder in which the demo makes one of its own, `demo`, for logs, keys and the report.
    /// Nothing else in it is touched.
    #[arg(long, value_name = "DIR", default_value = "target")]
    pub state: PathBuf,
    /// Leave everything up at the end; `demo-down` ends it.
    #[arg(long)]
    pub keep: bool,
    /// How many times faster than the wall clock the local AWS's own delays pass (warming up, starting tasks, deleting).
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub speed: u32,
}

#[derive(Debug, clap::Args)]
pub struct DemoDown {
    /// The folder that the demo was given.
    #[arg(long, value_name = "DIR", default_value = "target")]
    pub state: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn start_takes_a_file_or_a_name_and_not_both() {
        let parse = |line: &str| Args::try_parse_from(line.split_whitespace());
        assert!(parse("x start -f a.yaml").is_ok());
        assert!(parse("x start --name a --warm-throughput 100 --region us-east-1").is_ok());
        assert!(parse("x start").is_err());
        assert!(parse("x start -f a.yaml --name b").is_err());
        assert!(parse("x start --name a --warm-throughput 0").is_err());
        assert!(parse("x start --name a --warm-throughput 10241").is_err());
    }

    #[test]
    fn cleanup_takes_names_or_all_and_not_both() {
        let parse = |line: &str| Args::try_parse_from(line.split_whitespace());
        assert!(parse("x cleanup a b").is_ok());
        assert!(parse("x cleanup --all -A").is_ok());
        assert!(parse("x cleanup").is_err());
        assert!(parse("x cleanup a --all").is_err());
        assert!(parse("x cleanup a -A").is_err());
    }
}

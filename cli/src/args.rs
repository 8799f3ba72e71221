//! The arguments of the commands: only their definition.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::run_name::RunName;

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
pub struct Watch {
    #[command(flatten)]
    pub one: One,
    /// Print one line per change, also on a terminal.
    #[arg(long)]
    pub plain: bool,
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
    /// Print one line per change, also on a terminal.
    #[arg(long)]
    pub plain: bool,
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
    /// Print one line per change, also on a terminal.
    #[arg(long)]
    pub plain: bool,
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
    /// Print one line per change, also on a terminal.
    #[arg(long)]
    pub plain: bool,
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

/// The formats of reports and comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// One file with the figures, which loads nothing.
    Html,
    /// Markdown, as for a pull request.
    Md,
    /// For programs.
    Json,
}

/// How a report is written.
#[derive(Debug, clap::Args)]
pub struct ReportOutput {
    /// The format. Default: by the name of --output-file, else Markdown.
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<ReportFormat>,
    /// Write to this file instead of stdout.
    #[arg(long, value_name = "FILE")]
    pub output_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct Estimate {
    /// The manifest; `-` reads stdin.
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    /// The Region, if the manifest names none.
    #[arg(long, value_name = "REGION", default_value = "us-east-1")]
    pub region: String,
    /// Prices that replace the built-in ones, or add Regions.
    #[arg(long, value_name = "FILE")]
    pub prices: Option<PathBuf>,
    /// The operator gives tasks no public addresses (its --no-public-ip).
    #[arg(long)]
    pub no_public_ip: bool,
    /// Output format.
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub output: Output,
}

#[derive(Debug, clap::Args)]
pub struct Report {
    /// The KinesisDemo's name. It may have been deleted since; its runs stay on record for a while.
    #[arg(required_unless_present = "file")]
    pub name: Option<String>,
    /// The run's number. Default: the newest.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub run: Option<u32>,
    /// Read the run from this file instead of a cluster: a KinesisDemoRun, or a list of them, as
    /// `kubectl get kdr -o yaml` prints; `-` reads stdin.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub connection: Connection,
    #[command(flatten)]
    pub output: ReportOutput,
}

#[derive(Debug, clap::Args)]
pub struct Compare {
    /// The two runs: each the name of a KinesisDemo, whose newest run is compared, or NAME/RUN.
    #[arg(value_name = "NAME[/RUN]", num_args = 2, required_unless_present = "file")]
    pub runs: Vec<RunName>,
    /// Read the runs from this file instead of a cluster: both by their names from one file, or,
    /// without names, one from each of two.
    #[arg(long, value_name = "FILE")]
    pub file: Vec<PathBuf>,
    #[command(flatten)]
    pub connection: Connection,
    #[command(flatten)]
    pub output: ReportOutput,
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
pub struct Dashboard {
    /// The KinesisDemos to show, side by side. Default: a list of all, and of past runs.
    #[arg(num_args = 0..=4, conflicts_with = "replay")]
    pub names: Vec<String>,
    #[command(flatten)]
    pub connection: Connection,
    /// The port on loopback. Default: any free one.
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    pub port: u16,
    /// Do not open the browser.
    #[arg(long)]
    pub no_open: bool,
    /// Show everything, and send no request.
    #[arg(long)]
    pub read_only: bool,
    /// The sandbox to read the load of each shard from, for a heat map, with the key in
    /// AWS_ACCESS_KEY_ID. Default: AWS_ENDPOINT_URL if it is on loopback. AWS is never asked.
    #[arg(long, value_name = "URL", conflicts_with = "replay")]
    pub sandbox: Option<String>,
    /// Play stored runs without a cluster: a file with KinesisDemoRuns, as JSON or YAML.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kubeconfig", "context", "namespace"])]
    pub replay: Option<PathBuf>,
    /// With --replay: how many times faster than they went.
    #[arg(long, value_name = "N", requires = "replay", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub speed: u32,
}

#[derive(Debug, clap::Args)]
pub struct Demo {
    /// A file with one KinesisDemo, or with several of one namespace, which run at the same time.
    /// Default: the built-in quick event (examples/quick.yaml).
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
    /// Print one line per change, also on a terminal.
    #[arg(long)]
    pub plain: bool,
}

#[derive(Debug, clap::Args)]
pub struct DemoDown {
    /// The --state folder of the demo.
    #[arg(long, value_name = "DIR", default_value = "target")]
    pub state: PathBuf,
}

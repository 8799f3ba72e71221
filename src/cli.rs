//! The operator's arguments. In: the command line. Out: checked settings, or a sentence about what is wrong.

use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand};
use kinesis_demo_api::allow_list::AllowList;
use kinesis_demo_api::duration::DurationText;
use kinesis_demo_api::plan::Defaults;

use crate::reconcile::read_budget::ReadBudget;
use crate::settings::{SANDBOX_ACCOUNT, Settings, Timings};
use crate::telemetry::LogFormat;

/// Kubernetes operator that shows how Amazon Kinesis on-demand streams scale.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Reconcile KinesisDemo objects until told to stop.
    Run(Box<RunArgs>),
    /// End every run and wait until all have cleaned up: what comes before uninstalling the operator, while it still runs.
    Drain(DrainArgs),
    /// Check an installed operator: its endpoints answer, its Lease is held, its objects are served.
    Check(CheckArgs),
    /// Print the CustomResourceDefinition as YAML.
    Crd,
}

/// The arguments of `drain`.
#[derive(Debug, Args)]
pub struct DrainArgs {
    /// A namespace whose runs are ended; repeat for several. The default is all of them.
    #[arg(
        long = "namespace",
        env = "KINESISDEMO_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAMESPACE"
    )]
    pub namespaces: Vec<String>,
    /// How long to wait before giving up, as in 4m or 90s.
    #[arg(long, default_value = "10m", value_name = "DURATION")]
    pub timeout: DurationText,
}

/// The arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Where the replicas' endpoints are served; a name that stands for several addresses means all of them.
    #[arg(long, value_name = "URL")]
    pub url: String,
    /// How long to wait for replicas that are just starting, as in 60s.
    #[arg(long, default_value = "60s", value_name = "DURATION")]
    pub timeout: DurationText,
}

/// The arguments of `run`. AWS credentials and endpoints come from the SDK's own environment.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// An AWS account in which runs may make things; repeat for several. The default is the sandbox's, which is no real account.
    #[arg(long = "account", env = "KINESISDEMO_ACCOUNTS", value_delimiter = ',', default_value = SANDBOX_ACCOUNT, value_name = "ID")]
    pub accounts: Vec<String>,
    /// A region in which runs may make things; the first is the default of objects that name none.
    #[arg(
        long = "region",
        env = "KINESISDEMO_REGIONS",
        value_delimiter = ',',
        default_value = "us-east-1",
        value_name = "REGION"
    )]
    pub regions: Vec<String>,
    /// The ECS cluster for the generator services; it must exist.
    #[arg(long, env = "KINESISDEMO_ECS_CLUSTER", default_value = "kinesis-demo", value_name = "NAME")]
    pub ecs_cluster: String,
    /// A subnet for the tasks of objects that name none; repeat for several.
    #[arg(long = "subnet", env = "KINESISDEMO_SUBNETS", value_delimiter = ',', value_name = "ID")]
    pub subnets: Vec<String>,
    /// A security group for the tasks of objects that name none; repeat for several.
    #[arg(
        long = "security-group",
        env = "KINESISDEMO_SECURITY_GROUPS",
        value_delimiter = ',',
        value_name = "ID"
    )]
    pub security_groups: Vec<String>,
    /// Give tasks no public address (the subnets then need another way to AWS: NAT or endpoints).
    #[arg(long)]
    pub no_public_ip: bool,
    /// The role of the generator: PutRecords, PutMetricData, GetParameter.
    #[arg(long, env = "KINESISDEMO_TASK_ROLE_ARN", value_name = "ARN")]
    pub task_role_arn: Option<String>,
    /// The role by which ECS pulls the image and writes the log.
    #[arg(long, env = "KINESISDEMO_EXECUTION_ROLE_ARN", value_name = "ARN")]
    pub execution_role_arn: Option<String>,
    /// The generator image of objects that name none.
    #[arg(long, env = "KINESISDEMO_GENERATOR_IMAGE", value_name = "IMAGE")]
    pub generator_image: Option<String>,
    /// A generator image that objects may name instead; at the end, `*` stands for anything. Repeat for several. The default is none:
    /// an image runs under the role of the tasks.
    #[arg(long, env = "KINESISDEMO_ALLOWED_IMAGES", value_delimiter = ',', value_name = "IMAGE")]
    pub allow_image: Vec<String>,
    /// A subnet that objects may name besides those of --subnet, by ID, or `*`; repeat for several. The default is none.
    #[arg(long, env = "KINESISDEMO_ALLOWED_SUBNETS", value_delimiter = ',', value_name = "ID")]
    pub allow_subnet: Vec<String>,
    /// A security group that objects may name besides those of --security-group, by ID, or `*`; repeat for several. The default is none.
    #[arg(long, env = "KINESISDEMO_ALLOWED_SECURITY_GROUPS", value_delimiter = ',', value_name = "ID")]
    pub allow_security_group: Vec<String>,
    /// The most runs that go on at once, of all objects; later ones wait their turn in Pending. Each costs reads of its control
    /// parameter, of which a Region has 40 a second: so many runs that no room is left for --max-tasks are refused.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub max_runs: u16,
    /// The highest rate that any phase may ask for.
    #[arg(long, default_value_t = 200_000, value_name = "N")]
    pub max_records_per_second: u32,
    /// The most tasks that any phase may need.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub max_tasks: u32,
    /// The most warm throughput that any object may ask for.
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10240))]
    pub max_warm_mib_per_second: u32,
    /// Short leases and intervals, for a sandbox on the same machine. On AWS they would cost API calls and gain nothing.
    #[arg(long)]
    pub local_timings: bool,
    /// Runs that are reconciled at the same time; of other objects half as many are, so that no run waits for them.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub concurrency: u16,
    /// A namespace whose objects are watched; repeat for several. The default is all of them.
    #[arg(
        long = "namespace",
        env = "KINESISDEMO_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAMESPACE"
    )]
    pub namespaces: Vec<String>,
    /// The namespace of the operator's own Lease.
    #[arg(long, env = "POD_NAMESPACE", default_value = "kinesis-demo-system", value_name = "NAMESPACE")]
    pub lease_namespace: String,
    /// Who this operator is, in the Lease and in Events. Default: the host's name.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub identity: Option<String>,
    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub admin_address: SocketAddr,
    /// Log format.
    #[arg(long, value_enum, default_value = "json")]
    pub log_format: LogFormat,
    /// What is logged, as a tracing filter.
    #[arg(
        long,
        env = "KINESISDEMO_LOG",
        default_value = "info,kube_client=warn,aws_config=warn",
        value_name = "FILTER"
    )]
    pub log: String,
}

impl RunArgs {
    /// The settings that the arguments mean.
    pub fn settings(&self) -> Result<Settings, String> {
        for account in &self.accounts {
            if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(format!("--account {account}: an AWS account has twelve digits"));
            }
        }
        for (flag, entries) in [
            ("--allow-image", &self.allow_image),
            ("--allow-subnet", &self.allow_subnet),
            ("--allow-security-group", &self.allow_security_group),
        ] {
            if let Some(entry) =
                entries.iter().find(|entry| entry.strip_suffix('*').unwrap_or(entry).contains('*'))
            {
                return Err(format!("{flag} {entry}: * stands for anything at the end only"));
            }
        }
        let region = self.regions.first().cloned().ok_or("--region: name at least one")?;
        let timings = if self.local_timings { Timings::local() } else { Timings::aws() };
        let most_tasks = ReadBudget::new(self.max_runs.into(), &timings).most_tasks();
        if self.max_tasks > most_tasks {
            return Err(format!(
                "--max-tasks {} can never fit with --max-runs {}: control parameters may be read 40 times a second in a Region, which beside the looks at so many runs leaves room for {most_tasks} tasks; lower one of them",
                self.max_tasks, self.max_runs
            ));
        }
        Ok(Settings {
            accounts: self.accounts.clone(),
            defaults: Defaults {
                region,
                regions: self.regions.clone(),
                image: self.generator_image.clone(),
                subnets: self.subnets.clone(),
                security_groups: self.security_groups.clone(),
                allow_list: AllowList {
                    images: self.allow_image.clone(),
                    subnets: self.allow_subnet.clone(),
                    security_groups: self.allow_security_group.clone(),
                },
                max_records_per_second: self.max_records_per_second,
                max_tasks: self.max_tasks,
                max_warm_mib_per_second: self.max_warm_mib_per_second,
            },
            ecs_cluster: self.ecs_cluster.clone(),
            task_role_arn: self.task_role_arn.clone(),
            execution_role_arn: self.execution_role_arn.clone(),
            assign_public_ip: !self.no_public_ip,
            max_runs: self.max_runs.into(),
            timings,
        })
    }
}

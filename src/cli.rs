//! The operator's arguments. In: the command line. Out: checked settings, or an error message.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use kinesis_demo_api::allow_list::AllowList;
use kinesis_demo_api::duration::DurationText;
use kinesis_demo_api::limits::Limits;
use kinesis_demo_api::plan::Defaults;
use kinesis_demo_cost::prices::{PriceList, built_in};

use crate::reconcile::write_budget::{WRITES_PER_SECOND, WriteBudget};
use crate::settings::{Retention, SANDBOX_ACCOUNT, Settings, Timings};
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
    /// Reconcile KinesisDemo objects until stopped.
    Run(Box<RunArgs>),
    /// End every run and wait until all are cleaned up. Use it before uninstalling the operator,
    /// while the operator still runs.
    Drain(DrainArgs),
    /// Check an installed operator: its endpoints respond, its Lease has a holder, its objects are
    /// served.
    Check(CheckArgs),
    /// Print the CustomResourceDefinition as YAML.
    Crd,
}

/// The arguments of `drain`.
#[derive(Debug, Args)]
pub struct DrainArgs {
    /// Namespace whose runs are ended; repeat for several. The default is all of them.
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
    /// URL of the replicas' endpoints. If the name resolves to several addresses, all are checked.
    #[arg(long, value_name = "URL")]
    pub url: String,
    /// How long to wait for replicas that are just starting, as in 60s.
    #[arg(long, default_value = "60s", value_name = "DURATION")]
    pub timeout: DurationText,
}

/// The arguments of `run`. AWS credentials and endpoints come from the SDK's own environment
/// variables.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// AWS account in which runs may create resources; repeat for several. The default is the
    /// sandbox's account, which is not a real one.
    #[arg(long = "account", env = "KINESISDEMO_ACCOUNTS", value_delimiter = ',', default_value = SANDBOX_ACCOUNT, value_name = "ID")]
    pub accounts: Vec<String>,
    /// Region in which runs may create resources; repeat for several. The first is the default for
    /// objects that name none.
    #[arg(
        long = "region",
        env = "KINESISDEMO_REGIONS",
        value_delimiter = ',',
        default_value = "us-east-1",
        value_name = "REGION"
    )]
    pub regions: Vec<String>,
    /// The ECS cluster for the generator services. It must exist.
    #[arg(long, env = "KINESISDEMO_ECS_CLUSTER", default_value = "kinesis-demo", value_name = "NAME")]
    pub ecs_cluster: String,
    /// Subnet for the tasks of objects that name none; repeat for several.
    #[arg(long = "subnet", env = "KINESISDEMO_SUBNETS", value_delimiter = ',', value_name = "ID")]
    pub subnets: Vec<String>,
    /// Security group for the tasks of objects that name none; repeat for several.
    #[arg(
        long = "security-group",
        env = "KINESISDEMO_SECURITY_GROUPS",
        value_delimiter = ',',
        value_name = "ID"
    )]
    pub security_groups: Vec<String>,
    /// Give tasks no public IP address. The subnets then need another route to AWS: NAT or VPC
    /// endpoints.
    #[arg(long)]
    pub no_public_ip: bool,
    /// The task role of the generator. It needs PutRecords, PutMetricData and GetParameter.
    #[arg(long, env = "KINESISDEMO_TASK_ROLE_ARN", value_name = "ARN")]
    pub task_role_arn: Option<String>,
    /// The task execution role, with which ECS pulls the image and writes the log.
    #[arg(long, env = "KINESISDEMO_EXECUTION_ROLE_ARN", value_name = "ARN")]
    pub execution_role_arn: Option<String>,
    /// The generator image for objects that name none.
    #[arg(long, env = "KINESISDEMO_GENERATOR_IMAGE", value_name = "IMAGE")]
    pub generator_image: Option<String>,
    /// Generator image that objects may name instead; repeat for several. A final `*` matches
    /// anything. The default is none, because an image runs with the task role.
    #[arg(long, env = "KINESISDEMO_ALLOWED_IMAGES", value_delimiter = ',', value_name = "IMAGE")]
    pub allow_image: Vec<String>,
    /// Subnet that objects may name besides those of --subnet, by ID, or `*`; repeat for several.
    /// The default is none.
    #[arg(long, env = "KINESISDEMO_ALLOWED_SUBNETS", value_delimiter = ',', value_name = "ID")]
    pub allow_subnet: Vec<String>,
    /// Security group that objects may name besides those of --security-group, by ID, or `*`;
    /// repeat for several. The default is none.
    #[arg(long, env = "KINESISDEMO_ALLOWED_SECURITY_GROUPS", value_delimiter = ',', value_name = "ID")]
    pub allow_security_group: Vec<String>,
    /// The maximum number of active runs of all objects. Further runs wait in Pending. Each run
    /// renews its control parameter, and a Region allows 3 writes a second. So each Region has room
    /// for 15 runs (10 with --local-timings), and a value above the total room of all Regions is
    /// refused.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub max_runs: u16,
    /// The maximum rate of any phase.
    #[arg(long, default_value_t = 200_000, value_name = "N")]
    pub max_records_per_second: u32,
    /// The maximum number of tasks of any phase.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub max_tasks: u32,
    /// The maximum warm throughput of any object.
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10240))]
    pub max_warm_mib_per_second: u32,
    /// The most records of runs (KinesisDemoRun) per namespace and name. The oldest are deleted.
    /// With 0, no run is recorded.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub keep_runs: u16,
    /// How long a record is kept, from the beginning of its run, as in 168h.
    #[arg(long, default_value = "168h", value_name = "DURATION")]
    pub keep_runs_for: DurationText,
    /// A file of AWS's prices, which replace the built-in ones or add Regions. In a Region without
    /// prices, the cost of runs is unknown.
    #[arg(long, env = "KINESISDEMO_PRICES", value_name = "FILE")]
    pub prices: Option<PathBuf>,
    /// Use short leases and intervals, for a sandbox on the same machine. On AWS they would cost
    /// API calls without a benefit.
    #[arg(long)]
    pub local_timings: bool,
    /// When leadership is lost, begin again in the same process instead of exiting with an error.
    /// For a machine on which nothing starts the operator again, such as a laptop that was asleep.
    #[arg(long)]
    pub restart_in_place: bool,
    /// Number of active runs that are reconciled concurrently. Other objects have half as many
    /// workers of their own, so that no run waits for them.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub concurrency: u16,
    /// Namespace whose objects are watched; repeat for several. The default is all of them.
    #[arg(
        long = "namespace",
        env = "KINESISDEMO_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAMESPACE"
    )]
    pub namespaces: Vec<String>,
    /// The namespace of the operator's Lease.
    #[arg(long, env = "POD_NAMESPACE", default_value = "kinesis-demo-system", value_name = "NAMESPACE")]
    pub lease_namespace: String,
    /// The name of this operator in the Lease and in Events. The default is the host name.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub identity: Option<String>,
    /// The address that serves /livez, /readyz and /metrics.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub admin_address: SocketAddr,
    /// Log format.
    #[arg(long, value_enum, default_value = "json")]
    pub log_format: LogFormat,
    /// Log filter, in the syntax of tracing.
    #[arg(
        long,
        env = "KINESISDEMO_LOG",
        default_value = "info,kube_client=warn,aws_config=warn",
        value_name = "FILTER"
    )]
    pub log: String,
}

impl RunArgs {
    /// Checks the arguments and returns the settings.
    pub fn settings(&self) -> Result<Settings, String> {
        for account in &self.accounts {
            if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(format!("--account {account}: an AWS account ID has twelve digits"));
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
                return Err(format!("{flag} {entry}: * is allowed only at the end"));
            }
        }
        let region = self.regions.first().cloned().ok_or("--region: at least one Region is required")?;
        let timings = if self.local_timings { Timings::local() } else { Timings::aws() };
        // Each Region has room for --max-tasks, too, however many runs are active in it.
        let runs_of_a_region = WriteBudget::new(&timings).most_runs();
        let regions = self.regions.iter().collect::<BTreeSet<_>>().len();
        let most_runs = runs_of_a_region.saturating_mul(regions);
        if usize::from(self.max_runs) > most_runs {
            return Err(format!(
                "--max-runs {} is too high: control parameters may be written {WRITES_PER_SECOND} times a second in a Region, which allows {runs_of_a_region} runs in each --region, {most_runs} in total; lower it to {most_runs}",
                self.max_runs,
            ));
        }
        let defaults = Defaults {
            region,
            image: self.generator_image.clone(),
            subnets: self.subnets.clone(),
            security_groups: self.security_groups.clone(),
        };
        let allow_list = AllowList {
            images: self.allow_image.clone(),
            subnets: self.allow_subnet.clone(),
            security_groups: self.allow_security_group.clone(),
        };
        let prices = match &self.prices {
            Some(path) => PriceList::with_file(path).map_err(|error| format!("--prices: {error}"))?,
            None => built_in::price_list(),
        };
        Ok(Settings {
            accounts: self.accounts.clone(),
            limits: Limits {
                regions: self.regions.clone(),
                allow_list: allow_list.and_defaults(&defaults),
                max_records_per_second: self.max_records_per_second,
                max_tasks: self.max_tasks,
                max_warm_mib_per_second: self.max_warm_mib_per_second,
            },
            defaults,
            ecs_cluster: self.ecs_cluster.clone(),
            task_role_arn: self.task_role_arn.clone(),
            execution_role_arn: self.execution_role_arn.clone(),
            assign_public_ip: !self.no_public_ip,
            max_runs: self.max_runs.into(),
            retention: Retention { last: self.keep_runs.into(), age: self.keep_runs_for.value() },
            prices,
            timings,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::queue::Capacity;

    /// The settings for these arguments of `run`.
    fn settings(arguments: &[&str]) -> Result<Settings, String> {
        let cli = Cli::try_parse_from(["kinesis-demo-operator", "run"].iter().chain(arguments))
            .map_err(|error| error.to_string())?;
        match cli.command {
            Command::Run(run) => run.settings(),
            _ => Err("another command".to_owned()),
        }
    }

    #[test]
    fn more_runs_than_the_regions_allow_are_refused() {
        let refused = settings(&["--max-runs", "100"]).unwrap_err();
        assert_eq!(
            refused,
            "--max-runs 100 is too high: control parameters may be written 3 times a second in a Region, which allows 15 runs in each --region, 15 in total; lower it to 15"
        );
        let two = ["--region", "us-east-1,eu-west-1", "--region", "eu-west-1", "--max-runs"];
        let in_two = |runs| settings(&[&two[..], &[runs]].concat());
        assert_eq!(in_two("30").unwrap().max_runs, 30);
        assert!(in_two("31").unwrap_err().ends_with("15 runs in each --region, 30 in total; lower it to 30"));
        let local = |runs| settings(&["--local-timings", "--max-runs", runs]);
        assert_eq!(local("10").unwrap().max_runs, 10);
        assert!(local("11").unwrap_err().ends_with("10 runs in each --region, 10 in total; lower it to 10"));
        assert_eq!(settings(&[]).unwrap().max_runs, 10);
    }

    #[test]
    fn every_region_has_room_for_the_largest_run() {
        let most_tasks = 100;
        assert!(settings(&["--max-tasks", &most_tasks.to_string()]).is_ok());
        assert!(settings(&["--max-tasks", &(most_tasks + 1).to_string()]).is_err());
        for timings in [Timings::aws(), Timings::local()] {
            for runs in 1..=1_000 {
                let room = Capacity::new(runs, &timings).reads.most_tasks();
                assert!(room >= most_tasks, "{runs} runs: {room} tasks");
            }
        }
    }
}

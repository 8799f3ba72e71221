//! What the task definition asks for. In: flags or environment variables. Out: checked settings. Pure.

use std::str::FromStr;
use std::time::Duration;

use clap::Parser;
use jiff::Timestamp;
use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::gate::{LONGEST_READ_LEASE, TaskLimits};

use crate::payload::PARTITION_KEY_BYTES;

/// Smaller records could not carry their own name.
const SMALLEST_FIXED_BYTES: usize = 64;

/// Data and partition key together (Kinesis API reference, PutRecords: 1 MiB unless the stream allows more).
const LARGEST_FIXED_BYTES: usize = (1 << 20) - PARTITION_KEY_BYTES;

/// Publishes social-media posts to a Kinesis stream, at the rate that a control document asks for.
///
/// It is meant to be the main process of an ECS task: it learns its own name from the task metadata endpoint, sends only
/// while the control document lists it, writes its ledger to the standard output, and drains on SIGTERM.
#[derive(Clone, Debug, Parser)]
#[command(name = "kinesis-demo-generator", version, about)]
pub struct Args {
    /// AWS region of the stream, the parameter and the metrics.
    #[arg(long, env = "AWS_REGION")]
    pub region: String,
    /// Address of the ECS task metadata endpoint, version 4; ECS sets it.
    #[arg(long, env = "ECS_CONTAINER_METADATA_URI_V4")]
    pub metadata_uri: String,
    /// Name of the Systems Manager parameter that holds the control document.
    #[arg(long, env = "KINESISDEMO_CONTROL_PARAMETER")]
    pub control_parameter: String,
    /// Name or ARN of the stream.
    #[arg(long, env = "KINESISDEMO_STREAM")]
    pub stream: String,
    /// Number of the run; a control document of another run is not obeyed.
    #[arg(long, env = "KINESISDEMO_RUN")]
    pub run: u32,
    /// Name of the run, used in record names and as a metric dimension.
    #[arg(long, env = "KINESISDEMO_RUN_NAME", value_parser = a_run_name)]
    pub run_name: String,
    /// Instant (RFC 3339) from which on nothing is ever sent; the process ends then.
    #[arg(long, env = "KINESISDEMO_DEADLINE", value_parser = an_instant)]
    pub deadline: MicroTime,
    /// The plan's highest rate in records per second, for all tasks together; a control document that asks for more is not obeyed.
    #[arg(long, env = "KINESISDEMO_MAX_RECORDS_PER_SECOND")]
    pub max_records_per_second: u32,
    /// Size of a record's data: `Natural` or `Fixed:<bytes>`.
    #[arg(long, env = "KINESISDEMO_RECORD_SIZE", default_value = "Natural")]
    pub record_size: RecordSize,
    /// Seed of the posts and keys; every task adds its own name to it.
    #[arg(long, env = "KINESISDEMO_SEED", default_value_t = 0)]
    pub seed: u64,
    /// How often the ledger is written while the task has a slot or something changes.
    #[arg(long, env = "KINESISDEMO_LEDGER_EVERY_SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=300))]
    pub ledger_every_seconds: u32,
    /// CloudWatch namespace of the metrics.
    #[arg(long, env = "KINESISDEMO_METRICS_NAMESPACE", default_value = "KinesisDemo")]
    pub metrics_namespace: String,
    /// How often metrics are published while something changes.
    #[arg(long, env = "KINESISDEMO_METRICS_EVERY_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=300))]
    pub metrics_every_seconds: u32,
}

impl Args {
    /// What no control document may exceed.
    pub fn limits(&self) -> TaskLimits {
        TaskLimits {
            run: self.run,
            deadline: self.deadline,
            max_records_per_second: self.max_records_per_second,
            longest_read_lease: LONGEST_READ_LEASE,
        }
    }

    /// How often the ledger is written.
    pub fn ledger_every(&self) -> Duration {
        Duration::from_secs(u64::from(self.ledger_every_seconds))
    }

    /// How often metrics are published.
    pub fn metrics_every(&self) -> Duration {
        Duration::from_secs(u64::from(self.metrics_every_seconds))
    }
}

/// How many bytes of data a record has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordSize {
    /// As many as the post needs.
    Natural,
    /// Exactly this many.
    Fixed(usize),
}

impl FromStr for RecordSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "Natural" {
            return Ok(Self::Natural);
        }
        let bytes = text
            .strip_prefix("Fixed:")
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| format!("`{text}` is neither `Natural` nor `Fixed:<bytes>`"))?;
        if !(SMALLEST_FIXED_BYTES..=LARGEST_FIXED_BYTES).contains(&bytes) {
            return Err(format!(
                "a fixed record size lies between {SMALLEST_FIXED_BYTES} and {LARGEST_FIXED_BYTES} bytes, {bytes} does not"
            ));
        }
        Ok(Self::Fixed(bytes))
    }
}

fn an_instant(text: &str) -> Result<MicroTime, String> {
    text.parse::<Timestamp>().map(MicroTime::from).map_err(|error| error.to_string())
}

/// The name goes into JSON texts as it is, so it may hold nothing that JSON would escape.
fn a_run_name(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if (1..=128).contains(&text.len()) && text.chars().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err("a run's name has 1 to 128 letters, digits, `-`, `.` or `_`".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    const REQUIRED: [&str; 17] = [
        "generator",
        "--region",
        "eu-west-1",
        "--metadata-uri",
        "http://127.0.0.1/v4/x",
        "--control-parameter",
        "/kinesisdemo/x",
        "--stream",
        "posts",
        "--run",
        "3",
        "--run-name",
        "kd-x-r3",
        "--deadline",
        "2026-11-22T10:00:00Z",
        "--max-records-per-second",
        "50000",
    ];

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn what_is_not_given_has_its_documented_default() {
        let args = Args::try_parse_from(REQUIRED).unwrap();
        assert_eq!(args.record_size, RecordSize::Natural);
        assert_eq!(args.ledger_every(), Duration::from_secs(5));
        assert_eq!(args.metrics_every(), Duration::from_secs(10));
        assert_eq!(args.metrics_namespace, "KinesisDemo");
        let limits = args.limits();
        assert_eq!((limits.run, limits.max_records_per_second), (3, 50_000));
        assert_eq!(limits.deadline.to_string(), "2026-11-22T10:00:00.000000Z");
    }

    #[test]
    fn no_limit_has_a_default() {
        for flag in ["--run", "--deadline", "--max-records-per-second"] {
            let at = REQUIRED.iter().position(|arg| *arg == flag).unwrap();
            let rest: Vec<_> = REQUIRED
                .iter()
                .enumerate()
                .filter(|(n, _)| *n != at && *n != at + 1)
                .map(|(_, arg)| *arg)
                .collect();
            let error = Args::try_parse_from(rest).unwrap_err().to_string();
            assert!(error.contains(flag), "{error}");
        }
    }

    #[test]
    fn record_sizes_are_accepted_up_to_their_bounds_only() {
        assert_eq!("Natural".parse(), Ok(RecordSize::Natural));
        assert_eq!("Fixed:64".parse(), Ok(RecordSize::Fixed(64)));
        assert_eq!("Fixed:1048568".parse(), Ok(RecordSize::Fixed(1_048_568)));
        for refused in ["Fixed:63", "Fixed:1048569", "Fixed:-1", "Fixed:", "natural", "300", ""] {
            assert!(refused.parse::<RecordSize>().is_err(), "{refused}");
        }
    }

    #[test]
    fn a_run_name_that_json_would_escape_is_refused() {
        let with_name = |name: &'static str| {
            let mut args = REQUIRED;
            args[12] = name;
            Args::try_parse_from(args)
        };
        assert!(with_name("kd-viral-event-5f3c2a1b-r1").is_ok());
        for refused in ["", "a\"b", "a\\b", "a b", "ä"] {
            assert!(with_name(refused).is_err(), "{refused:?}");
        }
    }
}

//! The generator's command line. In: flags or environment variables, as the task definition sets
//! them. Out: checked settings. Pure.

use std::time::Duration;

use clap::Parser;
use jiff::Timestamp;
use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::gate::{LONGEST_READ_LEASE, TaskLimits};
use kinesis_demo_api::record_size::RecordSize;

use crate::payload::PARTITION_KEY_BYTES;

/// A smaller record could not hold its id.
const MIN_FIXED_BYTES: u32 = 64;

/// Data and partition key together (Kinesis API reference, PutRecords: 1 MiB unless the stream
/// allows more).
const MAX_FIXED_BYTES: u32 = (1 << 20) - PARTITION_KEY_BYTES as u32;

/// Publishes social-media posts to a Kinesis stream at the rate that a control document requests.
///
/// Runs as the main process of an ECS task. It reads its task id from the task metadata endpoint,
/// sends only while the control document assigns it a slot, writes its ledger to standard output,
/// and drains on SIGTERM.
#[derive(Clone, Debug, Parser)]
#[command(name = "kinesis-demo-generator", version, about)]
pub struct Args {
    /// AWS region of the stream, the parameter and the metrics.
    #[arg(long, env = "AWS_REGION")]
    pub region: String,
    /// URL of the ECS task metadata endpoint, version 4; set by ECS.
    #[arg(long, env = "ECS_CONTAINER_METADATA_URI_V4")]
    pub metadata_uri: String,
    /// Name of the Systems Manager parameter that holds the control document.
    #[arg(long, env = "KINESISDEMO_CONTROL_PARAMETER")]
    pub control_parameter: String,
    /// Name or ARN of the stream.
    #[arg(long, env = "KINESISDEMO_STREAM")]
    pub stream: String,
    /// Number of the run; control documents of other runs are ignored.
    #[arg(long, env = "KINESISDEMO_RUN")]
    pub run: u32,
    /// Name of the run, used in record ids and as a metric dimension.
    #[arg(long, env = "KINESISDEMO_RUN_NAME", value_parser = parse_run_name)]
    pub run_name: String,
    /// Deadline (RFC 3339): nothing is sent after it, and the process exits.
    #[arg(long, env = "KINESISDEMO_DEADLINE", value_parser = parse_instant)]
    pub deadline: MicroTime,
    /// The plan's highest rate in records per second, for all tasks together; control documents
    /// that request more are ignored.
    #[arg(long, env = "KINESISDEMO_MAX_RECORDS_PER_SECOND")]
    pub max_records_per_second: u32,
    /// Size of a record's data: `Natural` or `Fixed:<bytes>`.
    #[arg(long, env = "KINESISDEMO_RECORD_SIZE", default_value = "Natural", value_parser = parse_record_size)]
    pub record_size: RecordSize,
    /// Seed of the posts and keys; combined with the task id.
    #[arg(long, env = "KINESISDEMO_SEED", default_value_t = 0)]
    pub seed: u64,
    /// Seconds between ledger lines while the task has a slot or new counts.
    #[arg(long, env = "KINESISDEMO_LEDGER_EVERY_SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=300))]
    pub ledger_every_seconds: u32,
    /// CloudWatch namespace of the metrics.
    #[arg(long, env = "KINESISDEMO_METRICS_NAMESPACE", default_value = "KinesisDemo")]
    pub metrics_namespace: String,
    /// Seconds between publications of metrics; nothing is published while nothing happens.
    #[arg(long, env = "KINESISDEMO_METRICS_EVERY_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=300))]
    pub metrics_every_seconds: u32,
}

impl Args {
    /// The limits that every control document is checked against.
    pub fn limits(&self) -> TaskLimits {
        TaskLimits {
            run: self.run,
            deadline: self.deadline,
            max_records_per_second: self.max_records_per_second,
            longest_read_lease: LONGEST_READ_LEASE,
        }
    }

    /// Interval between ledger lines.
    pub fn ledger_every(&self) -> Duration {
        Duration::from_secs(u64::from(self.ledger_every_seconds))
    }

    /// Interval between publications of metrics.
    pub fn metrics_every(&self) -> Duration {
        Duration::from_secs(u64::from(self.metrics_every_seconds))
    }
}

fn parse_record_size(text: &str) -> Result<RecordSize, String> {
    let size = text.parse()?;
    match size {
        RecordSize::Fixed(bytes) if !(MIN_FIXED_BYTES..=MAX_FIXED_BYTES).contains(&bytes) => Err(format!(
            "a fixed record size must be between {MIN_FIXED_BYTES} and {MAX_FIXED_BYTES} bytes, not {bytes}"
        )),
        _ => Ok(size),
    }
}

fn parse_instant(text: &str) -> Result<MicroTime, String> {
    text.parse::<Timestamp>().map(MicroTime::from).map_err(|error| error.to_string())
}

/// The name is copied into JSON strings, so it must not contain characters that JSON would escape.
fn parse_run_name(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if (1..=128).contains(&text.len()) && text.chars().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err("a run name must have 1 to 128 characters: letters, digits, `-`, `.` or `_`".to_owned())
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
    fn the_command_line_definition_is_valid() {
        Args::command().debug_assert();
    }

    #[test]
    fn optional_flags_have_their_documented_defaults() {
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
    fn limits_are_required() {
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
    fn record_sizes_outside_their_bounds_are_rejected() {
        assert_eq!(parse_record_size("Natural"), Ok(RecordSize::Natural));
        assert_eq!(parse_record_size("Fixed:64"), Ok(RecordSize::Fixed(64)));
        assert_eq!(parse_record_size("Fixed:1048568"), Ok(RecordSize::Fixed(1_048_568)));
        for invalid in ["Fixed:63", "Fixed:1048569", "Fixed:-1", "Fixed:", "natural", "300", ""] {
            assert!(parse_record_size(invalid).is_err(), "{invalid}");
        }
    }

    #[test]
    fn a_run_name_that_json_would_escape_is_rejected() {
        let with_name = |name: &'static str| {
            let mut args = REQUIRED;
            args[12] = name;
            Args::try_parse_from(args)
        };
        assert!(with_name("kd-viral-event-5f3c2a1b-r1").is_ok());
        for invalid in ["", "a\"b", "a\\b", "a b", "ä"] {
            assert!(with_name(invalid).is_err(), "{invalid:?}");
        }
    }
}

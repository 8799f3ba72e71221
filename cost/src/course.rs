//! The course of a run, known or assumed, in the units that AWS charges. In: a plan; records, task
//! time, hours. Out: a usage. Pure.

use kinesis_demo_api::plan::Plan;
use kinesis_demo_api::record_size::RecordSize;

use crate::usage::{TaskSize, Usage, charged_kib, charged_put_units};

/// The bytes of the tasks' partition keys.
const KEY_BYTES: u64 = 8;
/// The mean length of a post and its key, as measured; no post is longer than a KiB.
const NATURAL_BYTES: u64 = 341;
/// The metrics that the tasks publish for each phase, and the operator for each run.
const METRICS_OF_PHASE: u64 = 6;
const METRICS_OF_RUN: u64 = 6;
/// How often a task publishes, and the operator, in seconds.
const TASK_PUBLISHES_EVERY: u64 = 10;
const RUN_PUBLISHES_EVERY: u64 = 15;
/// How often a task writes a line, in seconds.
const LINE_EVERY: u64 = 5;
/// The bytes of a line without and for each phase, with what CloudWatch adds to an event (26).
const LINE_BYTES: u64 = 250;
const LINE_BYTES_OF_PHASE: u64 = 400;

/// What is known, or assumed, of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// Accepted records.
    pub records: u64,
    /// The bytes for which each is charged.
    pub record_bytes: u64,
    /// Hours that have begun since the stream was created.
    pub stream_hours: u64,
    /// Seconds of all tasks together.
    pub task_seconds: u64,
    /// Seconds of the run, while the operator publishes metrics of it.
    pub run_seconds: u64,
    /// Hours in which phases published metrics, summed over the phases.
    pub phase_hours: u64,
    /// Hours in which the operator published metrics of the run.
    pub run_hours: u64,
    /// Hours of a dashboard beyond the account's free ones.
    pub dashboard_hours: u64,
    /// Bytes written to the log.
    pub log_bytes: u64,
}

impl Course {
    /// The usage of a run of `plan`.
    #[must_use]
    pub fn usage(&self, plan: &Plan, public_addresses: bool) -> Usage {
        let phases = u64::try_from(plan.phases.len()).unwrap_or(u64::MAX);
        // At a phase's end, each task publishes once more.
        let of_tasks = self.task_seconds / TASK_PUBLISHES_EVERY + phases * u64::from(plan.most_tasks);
        let of_run = if self.run_hours > 0 { self.run_seconds / RUN_PUBLISHES_EVERY } else { 0 };
        let fargate = &plan.fargate;
        Usage {
            stream_hours: self.stream_hours,
            records: self.records,
            ingested_kib: self.records.saturating_mul(charged_kib(self.record_bytes)),
            put_units: self.records.saturating_mul(charged_put_units(self.record_bytes)),
            retrieved_bytes: 0,
            task_seconds: self.task_seconds,
            task: TaskSize {
                cpu: fargate.cpu,
                memory_mib: fargate.memory_mib,
                architecture: fargate.architecture,
            },
            public_addresses,
            metric_hours: METRICS_OF_PHASE * self.phase_hours + METRICS_OF_RUN * self.run_hours,
            metric_requests: of_tasks + of_run,
            dashboard_hours: self.dashboard_hours,
            log_bytes: self.log_bytes,
        }
    }
}

/// The bytes of a record of `plan`, data and key.
#[must_use]
pub fn record_bytes(plan: &Plan) -> u64 {
    match plan.record_size {
        RecordSize::Natural => NATURAL_BYTES,
        RecordSize::Fixed(bytes) => u64::from(bytes) + KEY_BYTES,
    }
}

/// The bytes that tasks log in this time if every line has all phases.
#[must_use]
pub fn most_log_bytes(plan: &Plan, task_seconds: u64) -> u64 {
    let phases = u64::try_from(plan.phases.len()).unwrap_or(u64::MAX);
    let lines = task_seconds / LINE_EVERY + phases * u64::from(plan.most_tasks);
    lines * (LINE_BYTES + LINE_BYTES_OF_PHASE * phases)
}

//! What a run has used, or will use, in the units that AWS charges. Whole numbers only. Pure.

use kinesis_demo_api::demo::Architecture;

/// Seconds of an hour.
pub const HOUR: u64 = 3_600;

/// Bytes of a KiB.
const KIB: u64 = 1_024;

/// The least that AWS charges of a task (Fargate pricing page: per second, one minute at least).
pub const SHORTEST_TASK_SECONDS: u64 = 60;

/// The quantities of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Hours that have begun since the stream was created, until it was deleted.
    pub stream_hours: u64,
    /// Accepted records.
    pub records: u64,
    /// Accepted records, each rounded up to whole KiB, in KiB.
    pub ingested_kib: u64,
    /// Accepted records, each rounded up to whole units of 25 KB: how a provisioned stream counts.
    pub put_units: u64,
    /// Bytes read from the stream.
    pub retrieved_bytes: u64,
    /// Seconds of all tasks together, each from the download of its image until it stopped, and at
    /// least a minute.
    pub task_seconds: u64,
    /// The hardware of each task.
    pub task: TaskSize,
    /// Whether each task has a public address.
    pub public_addresses: bool,
    /// Hours in which a custom metric got data, summed over the metrics.
    pub metric_hours: u64,
    /// Requests that published metrics.
    pub metric_requests: u64,
    /// Hours that have begun since the dashboard was created, until it was deleted.
    pub dashboard_hours: u64,
    /// Bytes written to the log.
    pub log_bytes: u64,
}

/// The hardware of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskSize {
    /// CPU units; 1,024 are one vCPU.
    pub cpu: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// The processor architecture.
    pub architecture: Architecture,
}

impl Default for TaskSize {
    fn default() -> Self {
        Self { cpu: 256, memory_mib: 512, architecture: Architecture::X86_64 }
    }
}

/// The KiB for which a record of these bytes, data and key, is charged (Kinesis pricing page,
/// on-demand: each record is rounded up to the nearest 1 KB).
///
/// AWS does not say whether the partition key counts. It counts towards the throughput, so here it
/// counts.
#[must_use]
pub const fn charged_kib(bytes: u64) -> u64 {
    let kib = bytes.div_ceil(KIB);
    if kib == 0 { 1 } else { kib }
}

/// The units of 25 KB for which a record is charged on a provisioned stream.
#[must_use]
pub const fn charged_put_units(bytes: u64) -> u64 {
    let units = bytes.div_ceil(25 * KIB);
    if units == 0 { 1 } else { units }
}

/// The hours that have begun in this many seconds.
#[must_use]
pub const fn hours_begun(seconds: u64) -> u64 {
    seconds.div_ceil(HOUR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_charged_in_whole_units() {
        assert_eq!([1, 1_024, 1_025, 2_048].map(charged_kib), [1, 1, 2, 2]);
        assert_eq!([1, 25_600, 25_601].map(charged_put_units), [1, 1, 2]);
        assert_eq!([0, 1, 3_600, 3_601].map(hours_begun), [0, 1, 1, 2]);
    }
}

//! What a test sets in the fake AWS: delays, limits of the account, and failures.

use std::time::Duration;

use kinesis_demo_api::control::gate::GapRule;

use kinesis_demo_operator::aws::{Advantage, ClockSkew};

/// Delays in the fake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delays {
    /// From CreateStream to ACTIVE.
    pub stream_create: Duration,
    /// How long a change of warm throughput takes (`UPDATING`).
    pub warm_update: Duration,
    /// From DeleteStream until the stream no longer exists.
    pub stream_delete: Duration,
    /// From a task's placement until it runs; at least one second.
    pub task_start: Duration,
    /// The maximum extra time of a single task's start.
    pub task_start_spread: Duration,
    /// From SIGTERM until a task has written its final line and is STOPPED.
    pub task_stop: Duration,
    /// From writing a line until it can be read from the log.
    pub log_delivery: Duration,
    /// From CreateService until Application Auto Scaling sees the service.
    pub scaling_lag: Duration,
}

impl Default for Delays {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self {
            stream_create: s(20),
            warm_update: s(30),
            stream_delete: s(20),
            task_start: s(25),
            task_start_spread: s(5),
            task_stop: s(2),
            log_delivery: s(3),
            scaling_lag: Duration::from_millis(900),
        }
    }
}

/// What tests can set.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) account_id: String,
    pub(super) advantage: Advantage,
    pub(super) clusters: Vec<String>,
    pub(super) delays: Delays,
    /// How many tasks may exist at once per region (Fargate's quota, or its capacity).
    pub(super) task_capacity: u32,
    /// How many records per second a stream accepts; `None` for all.
    pub(super) stream_capacity: Option<u32>,
    /// How many ledger lines a page has at most, and how long its response takes.
    pub(super) ledger_page: (usize, Duration),
    /// The clock skew that AWS's responses show.
    pub(super) clock_skew: Option<ClockSkew>,
    /// How tasks treat a gap between the versions of control documents.
    pub(super) gap_rule: GapRule,
    /// Whether a stream shows its old target after its warm throughput was released.
    pub(super) keeps_warm_targets: bool,
    /// The maximum target of a stream's warm throughput, whatever is requested.
    pub(super) warm_cap: u32,
    /// Why tasks fail to start, in ECS's words.
    pub(super) start_failure: Option<String>,
    /// The last line of each task's log.
    pub(super) last_line: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            account_id: "000000000000".into(),
            advantage: Advantage::Disabled,
            clusters: vec!["default".into()],
            delays: Delays::default(),
            task_capacity: 1_000,
            stream_capacity: None,
            ledger_page: (usize::MAX, Duration::ZERO),
            clock_skew: Some(ClockSkew { at_least: -2_000, at_most: 3_000 }),
            gap_rule: GapRule::Obey,
            keeps_warm_targets: false,
            warm_cap: u32::MAX,
            start_failure: None,
            last_line: None,
        }
    }
}

impl Settings {
    /// The target of a stream for which this warm throughput was requested.
    pub(super) fn granted(&self, mib_per_second: u32) -> u32 {
        mib_per_second.min(self.warm_cap)
    }
}

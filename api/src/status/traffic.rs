//! The traffic, as status has it: phases, totals, latencies, the rate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::MicroTime;
use crate::accounting::Rate;

/// The traffic phase now.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhaseStatus {
    /// The phase's name.
    #[schemars(length(max = 40))]
    pub name: String,
    /// Its number, from 1.
    pub index: u32,
    /// How many phases there are.
    pub of: u32,
    /// When it began.
    pub starts_at: MicroTime,
    /// When it ends.
    pub ends_at: MicroTime,
    /// What it asks for.
    pub records_per_second: u32,
}

/// One phase of the run.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhaseReport {
    /// The phase's name.
    #[schemars(length(max = 40))]
    pub name: String,
    /// What it asks for.
    pub records_per_second: u32,
    /// How many tasks it needs.
    pub tasks: u32,
    /// When it begins.
    pub starts_at: MicroTime,
    /// When it ends.
    pub ends_at: MicroTime,
    /// Whether it has begun. It stays so when the schedule moves.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub begun: bool,
    /// Whether fewer tasks ran in it than it needs, at some instant.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fleet_was_short: bool,
    /// Its books.
    #[serde(flatten)]
    pub totals: TotalsStatus,
    /// From the instant a record was due until Kinesis confirmed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<LatencyStatus>,
}

/// Latency in milliseconds, rounded up.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyStatus {
    /// Half of the records took no longer.
    pub p50: u32,
    /// 99 of 100 records took no longer.
    pub p99: u32,
    /// No record took longer.
    pub max: u32,
}

/// What became of the records that the plan asked for: offered = accepted + failed + dropped + unknown, and scheduled + excess =
/// offered + unoffered + unreported (the last two once the traffic is over and every ledger was read).
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotalsStatus {
    /// Records that the plan asks for up to now: its integral. Of a run that was stopped early, up to the stop, and what tasks offered
    /// until they had read of it.
    pub scheduled: u64,
    /// Records whose turn came at a task that had the slot, and whose outcome is known.
    pub offered: u64,
    /// Records that Kinesis confirmed.
    pub accepted: u64,
    /// Refusals for want of throughput, one per record and attempt.
    pub throttled: u64,
    /// Records given up after refusals.
    pub failed: u64,
    /// Records never sent, because a task had fallen behind.
    pub dropped: u64,
    /// Records sent in a request whose answer was lost.
    pub unknown: u64,
    /// Records that nobody offered: no task had the slot, or the tasks that had one were at their cap.
    pub unoffered: u64,
    /// Records that a task may have offered after its last known word: it died without another, or its log could not be read.
    pub unreported: u64,
    /// Records that tasks offered beyond the schedule: they obeyed a control document that the operator did not write.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub excess: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The books of the whole run.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrafficStatus {
    /// The sums over all phases.
    #[serde(flatten)]
    pub totals: TotalsStatus,
    /// Records accepted per second from rateFrom until rateUntil, by the tasks' clocks.
    pub rate: u64,
    /// Records per second that the schedule asked for in the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<u64>,
    /// The first instant of the time for which rate and target hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_from: Option<MicroTime>,
    /// The first instant after it: every task with a slot has reported up to here, but for those that have fallen silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_until: Option<MicroTime>,
    /// When the tasks' ledgers were last read.
    pub sampled_at: MicroTime,
    /// True once no ledger can change any more.
    pub settled: bool,
}

impl TrafficStatus {
    /// States `rate` with its window; without one nothing is accepted, and no window is stated.
    pub fn set_rate(&mut self, rate: Option<Rate>) {
        self.rate = rate.map_or(0, |rate| rate.accepted);
        self.target = rate.map(|rate| rate.target);
        self.rate_from = rate.map(|rate| rate.from);
        self.rate_until = rate.map(|rate| rate.until);
    }
}

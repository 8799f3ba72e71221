//! The traffic, as stored in status: phases, totals, latencies, the rate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::MicroTime;

/// The current traffic phase.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhaseStatus {
    /// The phase's name.
    #[schemars(length(max = 40))]
    pub name: String,
    /// Its number, counted from 1.
    pub index: u32,
    /// How many phases there are.
    pub of: u32,
    /// When it began.
    pub starts_at: MicroTime,
    /// When it ends by the schedule. Traffic that is stopped ends at run.endsAt.
    pub ends_at: MicroTime,
    /// Its records per second.
    pub records_per_second: u32,
}

/// One phase of the run.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhaseReport {
    /// The phase's name.
    #[schemars(length(max = 40))]
    pub name: String,
    /// Its records per second.
    pub records_per_second: u32,
    /// The number of tasks that it needs.
    pub tasks: u32,
    /// When it begins.
    pub starts_at: MicroTime,
    /// When it ends by the schedule. Traffic that is stopped ends at run.endsAt.
    pub ends_at: MicroTime,
    /// Whether it has begun. Stays true when the schedule moves.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub begun: bool,
    /// Whether, at any time, fewer tasks ran than the phase needs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tasks_were_missing: bool,
    /// Its record totals.
    #[serde(flatten)]
    pub totals: TotalsStatus,
    /// The time from when a record was due until Kinesis confirmed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<LatencyStatus>,
}

/// Latency in milliseconds, rounded up.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyStatus {
    /// 50 of 100 records took no longer.
    pub p50: u32,
    /// 99 of 100 records took no longer.
    pub p99: u32,
    /// No record took longer.
    pub max: u32,
}

/// The outcomes of the scheduled records. offered = accepted + failed + dropped + unknown, and
/// scheduled + excess = offered + unoffered + unreported. unoffered and unreported are final when
/// the traffic is over and every ledger was read.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotalsStatus {
    /// Records that the plan schedules up to now: the integral of its rate. In a run that was
    /// stopped early: up to the stop, plus what tasks offered until they had read of the stop.
    pub scheduled: u64,
    /// Records that were due at a task with a slot and whose outcome is known.
    pub offered: u64,
    /// Records that Kinesis confirmed.
    pub accepted: u64,
    /// Throttled records, counted once per record and attempt.
    pub throttled: u64,
    /// Records that tasks gave up after Kinesis rejected them.
    pub failed: u64,
    /// Records that were never sent because the task had fallen behind.
    pub dropped: u64,
    /// Records sent in a request whose response was lost.
    pub unknown: u64,
    /// Records that no task offered: no task had the slot, or the tasks with slots were at their
    /// cap.
    pub unoffered: u64,
    /// Records that a task may have offered after its last ledger line: it stopped without a final
    /// line, or its log could not be read.
    pub unreported: u64,
    /// Records that tasks offered beyond the schedule because they obeyed a control document that
    /// the operator did not write.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub excess: u64,
}

impl TotalsStatus {
    /// Adds the totals of another phase. Counts stop at the greatest number: those of a stored run
    /// may be anything.
    pub fn add(&mut self, other: &Self) {
        // Destructured without `..`, so that a new count cannot be forgotten in the sum.
        let Self {
            scheduled,
            offered,
            accepted,
            throttled,
            failed,
            dropped,
            unknown,
            unoffered,
            unreported,
            excess,
        } = self;
        for (total, count) in [
            (scheduled, other.scheduled),
            (offered, other.offered),
            (accepted, other.accepted),
            (throttled, other.throttled),
            (failed, other.failed),
            (dropped, other.dropped),
            (unknown, other.unknown),
            (unoffered, other.unoffered),
            (unreported, other.unreported),
            (excess, other.excess),
        ] {
            *total = total.saturating_add(count);
        }
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The record totals of the whole run.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrafficStatus {
    /// The sums over all phases.
    #[serde(flatten)]
    pub totals: TotalsStatus,
    /// Records accepted per second from rateFrom until rateUntil, by the tasks' clocks.
    pub rate: u64,
    /// Records scheduled per second in the same window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<u64>,
    /// The first instant of the window of rate and target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_from: Option<MicroTime>,
    /// The first instant after the window. Every task with a slot has reported up to here, except
    /// tasks that no longer report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_until: Option<MicroTime>,
    /// When the tasks' ledgers were last read.
    pub sampled_at: MicroTime,
    /// True once no ledger can change any more.
    pub settled: bool,
}

//! The status of a KinesisDemo: an API, not a log. What the operator knows, where the run is, and what it has measured.

use std::fmt;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::MicroTime;
use crate::books::Rate;
use crate::conditions::{Condition, Reason};
use crate::control::{ControlState, TaskId};
use crate::demo::KinesisDemoSpec;
use crate::request::LastRequest;

/// What the operator says about a KinesisDemo.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KinesisDemoStatus {
    /// The generation of the spec that this status speaks about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the run is. This drives the operator; everything else describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// What holds and what does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The run: its number, its instants, what it was started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunStatus>,
    /// What the run made in AWS, and whether it is still there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()]))]
    pub resources: Vec<ResourceStatus>,
    /// The claims from which the tasks' control document is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<ControlStatus>,
    /// The traffic phase now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<PhaseStatus>,
    /// Every phase of the run: its instants and what was measured in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub phases: Vec<PhaseReport>,
    /// The stream as last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamStatus>,
    /// The generator tasks as last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generators: Option<GeneratorsStatus>,
    /// The books of the whole run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<TrafficStatus>,
    /// The run's CloudWatch dashboard, while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dashboard: Option<DashboardStatus>,
    /// The last request and what came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_request: Option<LastRequest>,
    /// The ids of the requests that were answered, newest first: each is answered once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 64)))]
    pub answered_requests: Vec<String>,
    /// The runs before this one, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    pub history: Vec<PastRun>,
    /// What runs before this one could not remove. The operator keeps trying.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    pub leftovers: Vec<Leftover>,
}

impl KinesisDemoStatus {
    /// What the rate is to be held against: what the schedule asked for in the same time; before any rate is known, what the
    /// phase asks for.
    pub fn target(&self) -> Option<u64> {
        let in_window = self.traffic.as_ref().and_then(|traffic| traffic.target);
        in_window.or_else(|| self.phase.as_ref().map(|phase| phase.records_per_second.into()))
    }

    /// What of this run and of those before it is still in AWS, for people: types, ARNs, and why
    /// each could not be removed.
    pub fn present_resources(&self) -> Vec<String> {
        let earlier = self.leftovers.iter().flat_map(|leftover| &leftover.resources);
        let present = |resource: &&ResourceStatus| resource.state == ResourceState::Present;
        self.resources.iter().chain(earlier).filter(present).map(ResourceStatus::describe).collect()
    }

    /// Whether anything of this run or of those before it may still be in AWS.
    pub fn has_leftovers(&self) -> bool {
        let is_present = |resource: &ResourceStatus| resource.state == ResourceState::Present;
        self.resources.iter().any(is_present)
            || self.leftovers.iter().any(|leftover| leftover.resources.iter().any(is_present))
    }
}

/// Where a run is.
#[derive(
    JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Stage {
    #[default]
    Pending,
    Provisioning,
    Warming,
    Starting,
    Running,
    Draining,
    CleaningUp,
    Succeeded,
    Failed,
    Aborted,
}

impl Stage {
    /// Whether the run is over.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Aborted)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The variants' names are the words on the wire.
        fmt::Debug::fmt(self, f)
    }
}

/// How a run ended, or will have ended once everything is removed.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Succeeded,
    Failed,
    Aborted,
}

impl Outcome {
    /// The terminal stage of that outcome.
    pub fn stage(self) -> Stage {
        match self {
            Self::Succeeded => Stage::Succeeded,
            Self::Failed => Stage::Failed,
            Self::Aborted => Stage::Aborted,
        }
    }
}

/// One run.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// Counts the object's runs, from 1.
    #[schemars(range(min = 1))]
    pub number: u32,
    /// When the current stage was entered.
    pub stage_entered_at: MicroTime,
    /// When the run's settings were pinned, just before its first outside effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<MicroTime>,
    /// When traffic ends by the schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<MicroTime>,
    /// When traffic ends whatever else happens: startedAt and limits.maxDuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<MicroTime>,
    /// When the last task was seen to have stopped, after the traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_at: Option<MicroTime>,
    /// When the run was over, with everything removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<MicroTime>,
    /// How the run ended, once that is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Why it ended, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Why it ended, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub message: Option<String>,
    /// The settings that hold for this run whatever is edited, pinned before the first outside effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<Effective>,
}

/// The settings of one run.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Effective {
    /// The AWS account.
    #[schemars(length(max = 12))]
    pub account_id: String,
    /// The AWS region.
    #[schemars(length(max = 32))]
    pub region: String,
    /// The ECS cluster.
    #[schemars(length(max = 255))]
    pub cluster: String,
    /// The stream's name.
    #[schemars(length(max = 128))]
    pub stream_name: String,
    /// The name that the run's other resources share.
    #[schemars(length(max = 128))]
    pub base_name: String,
    /// The uid of the object that the run belongs to. A status that was restored under another
    /// object is not acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub object_uid: Option<String>,
    /// Identifies the plan: equal plans have equal hashes.
    #[schemars(length(max = 64))]
    pub plan_hash: String,
    /// The spec as it was accepted, with the changes accepted since, and with the operator's defaults filled in.
    pub spec: KinesisDemoSpec,
}

/// The kinds of things that a run makes.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ResourceType {
    LogGroup,
    Stream,
    ControlParameter,
    TaskDefinition,
    Service,
    ScalingCeiling,
    Dashboard,
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LogGroup => "log group",
            Self::Stream => "stream",
            Self::ControlParameter => "control parameter",
            Self::TaskDefinition => "task definition",
            Self::Service => "service",
            Self::ScalingCeiling => "scaling ceiling",
            Self::Dashboard => "dashboard",
        })
    }
}

/// Whether a thing that the run made is still there.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResourceState {
    /// It exists, or its creation was attempted: assume that it does.
    Present,
    /// It was seen to be gone.
    Deleted,
    /// It was left on purpose.
    Retained,
}

/// One thing that the run made.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceStatus {
    /// What kind of thing it is.
    #[serde(rename = "type")]
    pub type_: ResourceType,
    /// Its ARN, or its name until the ARN is known.
    #[schemars(length(max = 1024))]
    pub arn: String,
    /// Present, Deleted or Retained.
    pub state: ResourceState,
    /// Whether our owner tag was read on it: only then may it be removed without another look.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub owned: bool,
    /// Why it could not be removed or seen, in AWS's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub problem: Option<String>,
}

impl ResourceStatus {
    /// What it is and, if it could not be removed, why.
    pub fn describe(&self) -> String {
        let Self { type_, arn, problem, .. } = self;
        match problem {
            Some(problem) => format!("{type_} {arn} ({problem})"),
            None => format!("{type_} {arn}"),
        }
    }
}

/// What an earlier run could not remove, with what is needed to find it again.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leftover {
    /// The run's number.
    #[schemars(range(min = 1))]
    pub run: u32,
    /// The AWS account.
    #[schemars(length(max = 12))]
    pub account_id: String,
    /// The AWS region.
    #[schemars(length(max = 32))]
    pub region: String,
    /// The ECS cluster.
    #[schemars(length(max = 255))]
    pub cluster: String,
    /// The stream's name.
    #[schemars(length(max = 128))]
    pub stream_name: String,
    /// The name that the run's other resources share.
    #[schemars(length(max = 128))]
    pub base_name: String,
    /// Whether the stream stays, and only gives its warm throughput back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retain_stream: bool,
    /// Its resources.
    #[schemars(length(max = 16))]
    pub resources: Vec<ResourceStatus>,
}

/// What has been claimed for the tasks' control document. The document is a projection of this and of the plan.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ControlStatus {
    /// The leadership under which the version was claimed.
    pub epoch: u64,
    /// Counts the changes.
    pub version: u64,
    /// Run or Stop.
    pub state: ControlState,
    /// When the version takes over.
    pub effective_at: MicroTime,
    /// Until when tasks may send unless the document is renewed, as last claimed.
    pub valid_until: MicroTime,
    /// When the first phase begins.
    pub traffic_starts_at: MicroTime,
    /// Stretches in which nothing was sent because control had lapsed; the schedule moved by them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub stops: Vec<Stop>,
    /// Which task had which slot, and when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub assignments: Vec<Assignment>,
    /// What the assignments that are not listed any more left open, by phase.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub folded: Vec<FoldedPhase>,
}

/// What closed assignments that are not listed any more left open in one phase.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoldedPhase {
    /// The phase's name.
    #[schemars(length(max = 40))]
    pub phase: String,
    /// Records that their tasks may have offered after their last known word.
    pub unreported: u64,
}

/// A stretch without traffic. The schedule stands still in it, and goes on after it where it was at `from`.
///
/// So `from` must be no earlier than the last instant at which any task may have sent: what tasks sent after `from` they
/// would send once more after `until`, and more would be offered than was scheduled. What nobody sent before `from` is
/// unoffered. That last instant is the earliest of: the `validUntil` of the newest document that was published (read it if
/// it is there; a document that is gone may have been read a moment before), a read lease after the last instant at which
/// the parameter could be read as it was, the end of the run.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(description = "A stretch without traffic.")]
pub struct Stop {
    /// When traffic stopped: no task sent later.
    pub from: MicroTime,
    /// When it went on.
    pub until: MicroTime,
}

/// A task's tenure of a slot.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The slot's number.
    pub slot: u32,
    /// The task.
    pub task: TaskId,
    /// When the version that gave the slot took over.
    pub from: MicroTime,
    /// When the version that took it away takes over; absent while the task has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<MicroTime>,
}

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
    pub books: BooksStatus,
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

/// What became of the records that the plan asked for: offered = accepted + failed + dropped + unknown, and scheduled =
/// offered + unoffered + unreported (the last two once the traffic is over and every ledger was read).
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BooksStatus {
    /// Records that the plan asks for up to now: its integral.
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
}

/// The books of the whole run.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrafficStatus {
    /// The sums over all phases.
    #[serde(flatten)]
    pub books: BooksStatus,
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

/// The stream as last seen.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamStatus {
    /// The stream's name.
    #[schemars(length(max = 128))]
    pub name: String,
    /// The stream's ARN.
    #[schemars(length(max = 1024))]
    pub arn: String,
    /// CREATING, ACTIVE, UPDATING or DELETING, as AWS says; DELETED when it is gone.
    #[schemars(length(max = 32))]
    pub status: String,
    /// Open shards.
    pub shards: u32,
    /// Its warm throughput, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm: Option<WarmStatus>,
}

/// Warm throughput in MiB/s.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmStatus {
    /// What was asked for.
    pub target: u32,
    /// What the stream has.
    pub current: u32,
}

/// The generator tasks as last seen.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GeneratorsStatus {
    /// Tasks that the service is asked to run.
    pub desired: u32,
    /// Tasks that run.
    pub running: u32,
    /// Tasks that have a slot: those that send.
    pub admitted: u32,
    /// The longest time a task of this run took from its creation until it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slowest_start_seconds: Option<u32>,
    /// Tasks that lost their slot because they had fallen silent.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub replaced: u32,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The run's CloudWatch dashboard, and the metrics that the operator publishes for it. The run does not depend on either.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DashboardStatus {
    /// The dashboard's name.
    #[schemars(length(max = 255))]
    pub name: String,
    /// Where it is in the AWS console; absent in the sandbox's account, which has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub url: Option<String>,
    /// True once CloudWatch has it, or may have it because an answer was lost.
    pub published: bool,
    /// How many phases had begun when it was last published, or tried to be: it is renewed when a phase begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phases_shown: Option<u32>,
    /// When the operator's metrics were last published, or tried to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_at: Option<MicroTime>,
    /// The first thing that CloudWatch did not take since the phase began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub problem: Option<String>,
}

/// A run that is over.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PastRun {
    /// The run's number.
    pub number: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it ended, in one word.
    pub reason: Reason,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<MicroTime>,
    /// When it was over.
    pub finished_at: MicroTime,
    /// Its books.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub books: Option<BooksStatus>,
}

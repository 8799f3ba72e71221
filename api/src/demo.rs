//! The custom resource: what a user asks for. The status is in `status`. Pure; the schema and its CEL rules come from here.
//!
//! Defaults live in the schema, so `spec: {}` reads back complete; what is derived goes to status, never into spec.

use std::fmt;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::control::Content;
use crate::duration::DurationText;
use crate::status::KinesisDemoStatus;

/// The API group.
pub const GROUP: &str = "kinesisdemo.io";

/// Held from before the first outside effect until everything is gone.
pub const FINALIZER: &str = "kinesisdemo.io/cleanup";

/// Carries a [`crate::request::Request`] as JSON.
pub const REQUEST_ANNOTATION: &str = "kinesisdemo.io/request";

/// With the value `true`: a deletion lets the object go without removing what it made (credentials gone for good).
pub const ABANDON_ANNOTATION: &str = "kinesisdemo.io/abandon-resources";

/// What a KinesisDemo asks for. Every field has a default: an empty spec is the original demo, cold, with nothing switched
/// on that costs a commitment.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "kinesisdemo.io",
    version = "v1alpha1",
    kind = "KinesisDemo",
    namespaced,
    status = "KinesisDemoStatus",
    derive = "PartialEq",
    shortname = "kd",
    category = "aws",
    category = "demo",
    doc = "A viral event on an Amazon Kinesis on-demand stream: the stream, its warm throughput, a fleet of traffic generators and a schedule of phases.",
    validation = Rule::new("size(self.metadata.name) <= 63").message("metadata.name: at most 63 characters"),
    printcolumn(name = "Stage", type_ = "string", json_path = ".status.stage", description = "Where the run is"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase.name", description = "The traffic phase now"),
    printcolumn(name = "Rate", type_ = "integer", json_path = ".status.traffic.rate", description = "Records accepted per second, lately"),
    printcolumn(name = "Target", type_ = "integer", json_path = ".status.phase.recordsPerSecond", description = "Records per second that the phase asks for"),
    printcolumn(name = "Tasks", type_ = "integer", json_path = ".status.generators.running", description = "Generator tasks running"),
    printcolumn(name = "Warm", type_ = "integer", json_path = ".status.stream.warm.current", description = "Current warm throughput in MiB/s"),
    printcolumn(name = "Ends", type_ = "string", json_path = ".status.run.endsAt", description = "When traffic ends"),
    printcolumn(name = "Shards", type_ = "integer", json_path = ".status.stream.shards", priority = 1, description = "Open shards"),
    printcolumn(name = "Throttled", type_ = "integer", json_path = ".status.traffic.throttled", priority = 1, description = "Refusals for want of throughput"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", priority = 1, description = "Time since creation")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.region) == has(oldSelf.region) && (!has(self.region) || self.region == oldSelf.region)").message("region: fixed from creation"),
    validation = Rule::new("has(self.stream.name) == has(oldSelf.stream.name) && (!has(self.stream.name) || self.stream.name == oldSelf.stream.name)").message("stream.name: fixed from creation"),
    validation = Rule::new("self.phases.all(p, p.recordsPerSecond <= self.generator.ratePerTask * self.generator.maxTasks)").message("phases: recordsPerSecond of each phase is at most generator.ratePerTask × generator.maxTasks"),
    validation = Rule::new("self.phases.map(p, duration(p.duration)).sum() <= duration(self.limits.maxDuration)").message("phases: durations add up to at most limits.maxDuration")
)]
pub struct KinesisDemoSpec {
    /// The AWS region. Default: the operator's. Fixed from creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), pattern(r"^[a-z]{2}(-[a-z]+)+-[0-9]$"))]
    pub region: Option<String>,
    /// The stream that receives the traffic.
    #[serde(default)]
    pub stream: StreamSpec,
    /// What the run requires of the account's billing.
    #[serde(default)]
    pub billing: BillingSpec,
    /// The traffic, phase after phase. Default: 100, 10,000, 50,000 and 100 records per second, two minutes each.
    #[serde(default = "default_phases")]
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(
        merge_strategy = kube::core::ListMerge::Atomic,
        validation = Rule::new("self.all(p, self.exists_one(q, q.name == p.name))").message("phases: each name at most once"),
    )]
    pub phases: Vec<PhaseSpec>,
    /// The tasks that publish.
    #[serde(default)]
    pub generator: GeneratorSpec,
    /// What ends the run, whatever else happens.
    #[serde(default)]
    pub limits: LimitsSpec,
    /// What becomes of the resources when the run is over.
    #[serde(default)]
    pub cleanup: CleanupSpec,
    /// Where the run can be watched in AWS.
    #[serde(default)]
    pub dashboard: DashboardSpec,
}

impl Default for KinesisDemoSpec {
    fn default() -> Self {
        Self {
            region: None,
            stream: StreamSpec::default(),
            billing: BillingSpec::default(),
            phases: default_phases(),
            generator: GeneratorSpec::default(),
            limits: LimitsSpec::default(),
            cleanup: CleanupSpec::default(),
            dashboard: DashboardSpec::default(),
        }
    }
}

/// The stream that receives the traffic.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamSpec {
    /// The stream's name. Default: derived from the object's name, uid and run number. Fixed from creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), pattern(r"^[a-zA-Z0-9_.-]+$"))]
    pub name: Option<String>,
    /// Capacity that the stream has before the traffic comes.
    #[serde(default)]
    pub warm_throughput: WarmThroughputSpec,
}

/// Capacity that the stream has before the traffic comes. It needs On-demand Advantage in the account and region.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.mode == 'Fixed') == has(self.mibPerSecond)").message("stream.warmThroughput.mibPerSecond: required with mode Fixed, and only then"))]
pub struct WarmThroughputSpec {
    /// None: the stream starts cold. Fixed: as many MiB/s as mibPerSecond says.
    #[serde(default)]
    pub mode: WarmThroughputMode,
    /// Warm throughput in MiB/s, with mode Fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10240))]
    pub mib_per_second: Option<i32>,
}

/// How the warm throughput is chosen.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum WarmThroughputMode {
    #[default]
    None,
    Fixed,
}

/// What the run requires of the account's billing.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BillingSpec {
    /// On-demand Advantage. Ignore: needed only by warm throughput. Require: the run starts only if it is on. Nothing here switches it on.
    #[serde(default)]
    pub advantage: AdvantagePolicy,
}

/// What a run does about On-demand Advantage.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdvantagePolicy {
    #[default]
    Ignore,
    Require,
}

/// A stretch of the traffic.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("duration(self.duration) >= duration('1s') && duration(self.duration) <= duration('24h')").message("phases[].duration: at least 1s and at most 24h"),
    validation = Rule::new("!has(self.ramp.over) || duration(self.ramp.over) <= duration(self.duration)").message("phases[].ramp.over: at most the phase's duration")
)]
pub struct PhaseSpec {
    /// The phase's name: in status, metrics and reports.
    #[schemars(length(min = 1, max = 40), pattern("^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub name: String,
    /// How long the phase lasts, as in 2m or 1m30s.
    pub duration: DurationText,
    /// What the phase asks for, all tasks together.
    #[schemars(range(min = 0, max = 5_000_000))]
    pub records_per_second: i32,
    /// The kind of posts: Baseline, BreakingNews, Viral or Decline.
    #[serde(default)]
    pub content: Content,
    /// How the rate changes from the phase before (zero before the first) to this one.
    #[serde(default)]
    pub ramp: RampSpec,
}

/// How the rate changes at the beginning of a phase.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(self.shape == 'Linear') == has(self.over)").message("phases[].ramp.over: required with shape Linear, and only then"),
    validation = Rule::new("!has(self.over) || duration(self.over) >= duration('1s')").message("phases[].ramp.over: at least 1s")
)]
pub struct RampSpec {
    /// Step: at once. Linear: in a straight line, over the first part of the phase.
    #[serde(default)]
    pub shape: RampShape,
    /// How long a Linear ramp takes, as in 20s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<DurationText>,
}

/// The shape of a change of rate.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RampShape {
    #[default]
    Step,
    Linear,
}

/// The tasks that publish.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GeneratorSpec {
    /// The generator's container image. Default: the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// The records per second that one task is planned for: a phase has its highest rate divided by this, rounded up, as tasks.
    #[serde(default = "default_rate_per_task")]
    #[schemars(range(min = 1, max = 50_000))]
    pub rate_per_task: i32,
    /// The most tasks a phase may need; a plan that needs more is refused.
    #[serde(default = "default_max_tasks")]
    #[schemars(range(min = 1, max = 100))]
    pub max_tasks: i32,
    /// What the records look like.
    #[serde(default)]
    pub records: RecordsSpec,
    /// Where and on what the tasks run.
    #[serde(default)]
    pub fargate: FargateSpec,
}

impl Default for GeneratorSpec {
    fn default() -> Self {
        Self {
            image: None,
            rate_per_task: default_rate_per_task(),
            max_tasks: default_max_tasks(),
            records: RecordsSpec::default(),
            fargate: FargateSpec::default(),
        }
    }
}

/// What the records look like.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordsSpec {
    /// How large the records are.
    #[serde(default)]
    pub size: RecordSizeSpec,
}

/// How large the records are.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.mode == 'Fixed') == has(self.bytes)").message("generator.records.size.bytes: required with mode Fixed, and only then"))]
pub struct RecordSizeSpec {
    /// Natural: as long as the posts happen to be. Fixed: every record has as many bytes as bytes says.
    #[serde(default)]
    pub mode: RecordSizeMode,
    /// The size of a record's data in bytes, with mode Fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 256, max = 1_000_000))]
    pub bytes: Option<i32>,
}

/// How record sizes are chosen.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordSizeMode {
    #[default]
    Natural,
    Fixed,
}

/// Where and on what the tasks run.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "self.cpu == 256 ? self.memoryMiB in [512, 1024, 2048] : \
     self.memoryMiB % 1024 == 0 && self.memoryMiB <= 8 * self.cpu && (self.cpu <= 2048 ? self.memoryMiB >= 2 * self.cpu : \
     self.memoryMiB >= 2 * self.cpu && self.memoryMiB <= 30720)")
    .message("generator.fargate.memoryMiB: not a size that Fargate offers with this cpu (256: 512, 1024, 2048; 512: 1024-4096; 1024: 2048-8192; 2048: 4096-16384; 4096: 8192-30720; in steps of 1024)"))]
pub struct FargateSpec {
    /// CPU units of a task; 1024 are one vCPU. One of 256, 512, 1024, 2048, 4096.
    #[serde(default = "default_cpu")]
    #[schemars(extend("enum" = [256, 512, 1024, 2048, 4096]))]
    pub cpu: i32,
    /// Memory of a task in MiB.
    #[serde(default = "default_memory", rename = "memoryMiB")]
    #[schemars(range(min = 512, max = 30720))]
    pub memory_mib: i32,
    /// The processor architecture of the tasks; the image must have it.
    #[serde(default)]
    pub architecture: Architecture,
    /// The subnets of the tasks. Default: the operator's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 32), pattern("^subnet-[0-9a-f]{8,17}$")))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Set)]
    pub subnets: Vec<String>,
    /// The security groups of the tasks. Default: the operator's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5), inner(length(max = 32), pattern("^sg-[0-9a-f]{8,17}$")))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Set)]
    pub security_groups: Vec<String>,
}

impl Default for FargateSpec {
    fn default() -> Self {
        Self {
            cpu: default_cpu(),
            memory_mib: default_memory(),
            architecture: Architecture::default(),
            subnets: Vec::new(),
            security_groups: Vec::new(),
        }
    }
}

/// A processor architecture, in ECS's words.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Architecture {
    #[default]
    #[serde(rename = "X86_64")]
    X86_64,
    #[serde(rename = "ARM64")]
    Arm64,
}

impl Architecture {
    /// The same, in the words of container images.
    pub const fn in_images(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "X86_64",
            Self::Arm64 => "ARM64",
        })
    }
}

/// What ends the run, whatever else happens.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("duration(self.maxDuration) >= duration('10s') && duration(self.maxDuration) <= duration('48h')").message("limits.maxDuration: at least 10s and at most 48h"))]
pub struct LimitsSpec {
    /// The most time from the first outside effect until traffic ends; then tasks stop by themselves and AWS takes the service to zero.
    #[serde(default = "default_max_duration")]
    pub max_duration: DurationText,
}

impl Default for LimitsSpec {
    fn default() -> Self {
        Self { max_duration: default_max_duration() }
    }
}

/// What becomes of the resources when the run is over.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CleanupSpec {
    /// The stream. Delete: removed with its data. Retain: kept, its warm throughput released.
    #[serde(default)]
    pub stream: CleanupPolicy,
}

/// What becomes of a resource.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CleanupPolicy {
    #[default]
    Delete,
    Retain,
}

/// Where the run can be watched in AWS.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DashboardSpec {
    /// CloudWatch: a dashboard for the run, removed with it, and up to six metrics of the operator's own (shards, warm throughput,
    /// tasks, target rate). Three dashboards per account are free, further ones cost $3.00 a month each; a metric costs $0.30 a
    /// month; both by the hour (us-east-1, November 2026). None: neither.
    #[serde(default)]
    pub mode: DashboardMode,
}

/// Which dashboard a run has.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DashboardMode {
    #[default]
    CloudWatch,
    None,
}

fn default_phases() -> Vec<PhaseSpec> {
    let phase = |name: &str, records_per_second, content| PhaseSpec {
        name: name.into(),
        duration: DurationText::seconds(120),
        records_per_second,
        content,
        ramp: RampSpec::default(),
    };
    vec![
        phase("baseline", 100, Content::Baseline),
        phase("spike", 10_000, Content::BreakingNews),
        phase("peak", 50_000, Content::Viral),
        phase("decline", 100, Content::Decline),
    ]
}

fn default_rate_per_task() -> i32 {
    5_000
}

fn default_max_tasks() -> i32 {
    50
}

fn default_cpu() -> i32 {
    256
}

fn default_memory() -> i32 {
    512
}

fn default_max_duration() -> DurationText {
    DurationText::seconds(30 * 60)
}

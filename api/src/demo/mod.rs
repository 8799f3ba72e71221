//! The custom resource: what a user asks for. The status is in `crate::status`. Pure; the schema and its CEL rules come from here.
//!
//! ```text
//! mod         the whole spec                 phases      the traffic
//! generator   the tasks that publish
//! ```
//!
//! Defaults live in the schema, so `spec: {}` reads back complete; what is derived goes to status, never into spec.

mod generator;
mod phases;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::duration::DurationText;
use crate::status::KinesisDemoStatus;

pub use generator::{Architecture, FargateSpec, GeneratorSpec, RecordSizeMode, RecordSizeSpec, RecordsSpec};
use phases::default_phases;
pub use phases::{PhaseSpec, RampShape, RampSpec};

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
    // kube passes an attribute of schemars on in this dress only.
    attr = "cfg_attr(all(), schemars(transform = crate::schema::rewrite))",
    shortname = "kd",
    category = "aws",
    category = "demo",
    doc = "A viral event on an Amazon Kinesis on-demand stream: the stream, its warm throughput, a fleet of traffic generators and a schedule of phases.",
    validation = Rule::new("size(self.metadata.name) <= 63").message("metadata.name: at most 63 characters"),
    printcolumn(name = "Run", type_ = "integer", json_path = ".status.run.number", description = "The run's number"),
    printcolumn(name = "Stage", type_ = "string", json_path = ".status.stage", description = "Where the run is"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase.name", description = "The traffic phase now"),
    printcolumn(name = "Rate", type_ = "integer", json_path = ".status.traffic.rate", description = "Records accepted per second in the time that status.traffic names"),
    printcolumn(name = "Target", type_ = "integer", json_path = ".status.traffic.target", description = "Records per second that the schedule asked for in the same time"),
    printcolumn(name = "Tasks", type_ = "integer", json_path = ".status.generators.running", description = "Generator tasks running"),
    printcolumn(name = "Warm", type_ = "integer", json_path = ".status.stream.warm.current", description = "Current warm throughput in MiB/s, where the spec asks for some"),
    printcolumn(name = "Ends", type_ = "string", json_path = ".status.run.ends", description = "When traffic ends or has ended, to the second"),
    printcolumn(name = "Stalled", type_ = "string", json_path = ".status.conditions[?(@.type==\"Stalled\")].status", description = "True if nothing goes on until somebody changes something: the condition Stalled says what"),
    printcolumn(name = "Shards", type_ = "integer", json_path = ".status.stream.shards", priority = 1, description = "Open shards"),
    printcolumn(name = "Throttled", type_ = "integer", json_path = ".status.traffic.throttled", priority = 1, description = "Refusals for want of throughput"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", priority = 1, description = "Time since creation")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.region) == has(oldSelf.region) && (!has(self.region) || self.region == oldSelf.region)").message("region: fixed from creation"),
    validation = Rule::new("has(self.stream.name) == has(oldSelf.stream.name) && (!has(self.stream.name) || self.stream.name == oldSelf.stream.name)").message("stream.name: fixed from creation"),
    validation = Rule::new("!has(self.phases) || self.phases.all(p, p.recordsPerSecond <= self.generator.ratePerTask * self.generator.maxTasks)").message("phases: recordsPerSecond of each phase is at most generator.ratePerTask × generator.maxTasks"),
    validation = Rule::new("!has(self.phases) || self.phases.map(p, duration(p.duration)).sum() <= duration(self.limits.maxDuration)").message("phases: durations add up to at most limits.maxDuration")
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
    /// The traffic, phase after phase. Default: 100, 10,000, 50,000 and 100 records per second, two minutes each. An explicit null is
    /// not the default: the plan refuses it.
    #[serde(default = "default_phases", deserialize_with = "null_as_empty")]
    #[schemars(length(min = 1, max = 20), extend("nullable" = true))]
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
    /// Where the run can be watched in AWS. An explicit null is mode None.
    #[serde(default, deserialize_with = "null_as_none")]
    #[schemars(extend("nullable" = true))]
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
    #[schemars(extend("nullable" = true))]
    pub mode: DashboardMode,
}

/// Which dashboard a run has.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DashboardMode {
    #[default]
    CloudWatch,
    None,
}

/// The API server keeps an explicit null where the schema allows it, and would put the default in its place elsewhere: here that
/// is an event of 50,000 records per second which nobody asked for. A list without phases is what no manifest can hold otherwise.
fn null_as_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PhaseSpec>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Who writes null where a dashboard could be wants none, and none is what costs nothing.
fn null_as_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DashboardSpec, D::Error> {
    let none = DashboardSpec { mode: DashboardMode::None };
    Ok(Option::deserialize(deserializer)?.unwrap_or(none))
}

fn default_max_duration() -> DurationText {
    DurationText::seconds(30 * 60)
}

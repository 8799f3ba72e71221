//! The custom resource: its spec, and its status, which contains the pinned spec. Pure. The CRD's
//! schema and its CEL rules are generated from these types.
//!
//! ```text
//! mod         the whole spec                 phases      the traffic
//! generator   the tasks that publish         cohort      runs that start together
//! status      the state of the run
//! ```
//!
//! Defaults are part of the schema, so `spec: {}` is stored with every default filled in. Derived
//! values are stored in status, never in spec.

mod cohort;
mod generator;
mod phases;
pub mod status;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::duration::DurationText;

pub use cohort::CohortSpec;
pub use generator::{Architecture, FargateSpec, GeneratorSpec, RecordSizeMode, RecordSizeSpec, RecordsSpec};
use phases::default_phases;
pub use phases::{PhaseSpec, RampShape, RampSpec};
use status::KinesisDemoStatus;

/// The API group.
pub const GROUP: &str = "kinesisdemo.io";

/// Set before the operator creates anything in AWS, removed when everything is deleted.
pub const FINALIZER: &str = "kinesisdemo.io/cleanup";

/// Carries a [`crate::request::RunRequest`] as JSON.
pub const REQUEST_ANNOTATION: &str = "kinesisdemo.io/request";

/// With the value `true`, a deleted object is released although its AWS resources remain. For
/// objects whose credentials no longer exist.
pub const ABANDON_ANNOTATION: &str = "kinesisdemo.io/abandon-resources";

/// The spec of a KinesisDemo. Every field has a default. An empty spec runs the original demo on a
/// cold stream and enables nothing that needs a billing commitment.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "kinesisdemo.io",
    version = "v1alpha1",
    kind = "KinesisDemo",
    namespaced,
    status = "KinesisDemoStatus",
    derive = "PartialEq",
    // kube forwards a schemars attribute only in this form.
    attr = "cfg_attr(all(), schemars(transform = crate::schema::rewrite))",
    shortname = "kd",
    category = "aws",
    category = "demo",
    doc = "A viral event on an Amazon Kinesis on-demand stream: the stream, its warm throughput, a fleet of traffic generators and a schedule of phases.",
    validation = Rule::new("size(self.metadata.name) <= 63").message("metadata.name: at most 63 characters"),
    printcolumn(name = "Run", type_ = "integer", json_path = ".status.run.number", description = "The run's number"),
    printcolumn(name = "Stage", type_ = "string", json_path = ".status.stage", description = "The stage of the run"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase.name", description = "The current traffic phase"),
    printcolumn(name = "Rate", type_ = "integer", json_path = ".status.traffic.rate", description = "Records accepted per second between status.traffic.rateFrom and rateUntil"),
    printcolumn(name = "Target", type_ = "integer", json_path = ".status.traffic.target", description = "Records scheduled per second in the same window"),
    printcolumn(name = "Tasks", type_ = "integer", json_path = ".status.generators.running", description = "Generator tasks running"),
    printcolumn(name = "Warm", type_ = "integer", json_path = ".status.stream.warm.current", description = "Current warm throughput in MiB/s, if the spec requests any"),
    printcolumn(name = "Ends", type_ = "string", json_path = ".status.run.ends", description = "When traffic ends or ended, to the second"),
    printcolumn(name = "Cost", type_ = "string", json_path = ".status.cost.soFarUsd", description = "What the run has cost so far in US dollars, or would have cost on AWS, without the minimum of On-demand Advantage"),
    printcolumn(name = "Stalled", type_ = "string", json_path = ".status.conditions[?(@.type==\"Stalled\")].status", description = "True if nothing will happen until somebody changes something: the condition Stalled says what"),
    printcolumn(name = "Estimate", type_ = "string", json_path = ".status.cost.estimate.expectedUsd", priority = 1, description = "What the run was expected to cost in US dollars, without the minimum of On-demand Advantage"),
    printcolumn(name = "Shards", type_ = "integer", json_path = ".status.stream.shards", priority = 1, description = "Open shards"),
    printcolumn(name = "Throttled", type_ = "integer", json_path = ".status.traffic.throttled", priority = 1, description = "Throttled records, counted once per attempt"),
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
    /// The AWS region. Default: the operator's setting. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), pattern(r"^[a-z]{2}(-[a-z]+)+-[0-9]$"))]
    pub region: Option<String>,
    /// The stream that receives the traffic.
    #[serde(default)]
    pub stream: StreamSpec,
    /// Billing settings that the run requires of the account.
    #[serde(default)]
    pub billing: BillingSpec,
    /// The traffic phases, in order. Default: 100, 10,000, 50,000 and 100 records per second, two
    /// minutes each. An explicit null does not select the default: it is rejected.
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
    /// Limits that end the run.
    #[serde(default)]
    pub limits: LimitsSpec,
    /// What happens to the resources when the run is over.
    #[serde(default)]
    pub cleanup: CleanupSpec,
    /// The run's dashboard in AWS. An explicit null means mode None.
    #[serde(default, deserialize_with = "null_as_none")]
    #[schemars(extend("nullable" = true))]
    pub dashboard: DashboardSpec,
    /// The cohort: objects of this namespace whose traffic starts at the same instant. Without it,
    /// the run starts by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cohort: Option<CohortSpec>,
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
            cohort: None,
        }
    }
}

/// The stream that receives the traffic.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamSpec {
    /// The stream's name. Default: derived from the object's name, uid and run number. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), pattern(r"^[a-zA-Z0-9_.-]+$"))]
    pub name: Option<String>,
    /// Warm throughput: capacity that the stream has before the traffic starts.
    #[serde(default)]
    pub warm_throughput: WarmThroughputSpec,
}

/// Warm throughput: capacity that the stream has before the traffic starts. Requires On-demand
/// Advantage in the account and region.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.mode == 'Fixed') == has(self.mibPerSecond)").message("stream.warmThroughput.mibPerSecond: required with mode Fixed, not allowed otherwise"))]
pub struct WarmThroughputSpec {
    /// None: the stream starts cold. Fixed: the stream has `mibPerSecond` MiB/s.
    #[serde(default)]
    pub mode: WarmThroughputMode,
    /// Warm throughput in MiB/s. Only with mode Fixed.
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

/// Billing settings that the run requires of the account.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BillingSpec {
    /// On-demand Advantage. Ignore: required only if warm throughput is requested. Require: the run
    /// starts only if it is enabled. The operator never enables it.
    #[serde(default)]
    pub advantage: AdvantagePolicy,
}

/// Whether a run requires On-demand Advantage.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdvantagePolicy {
    #[default]
    Ignore,
    Require,
}

/// Limits that end the run.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("duration(self.maxDuration) >= duration('10s') && duration(self.maxDuration) <= duration('48h')").message("limits.maxDuration: at least 10s and at most 48h"))]
pub struct LimitsSpec {
    /// The maximum time from the creation of the first AWS resource until traffic ends. Then the
    /// tasks stop by themselves, and a scheduled action in AWS scales the service to zero.
    #[serde(default = "default_max_duration")]
    pub max_duration: DurationText,
}

impl Default for LimitsSpec {
    fn default() -> Self {
        Self { max_duration: default_max_duration() }
    }
}

/// What happens to the resources when the run is over.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CleanupSpec {
    /// The stream. Delete: deleted with its data. Retain: kept, its warm throughput released.
    #[serde(default)]
    pub stream: CleanupPolicy,
}

/// What happens to a resource.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CleanupPolicy {
    #[default]
    Delete,
    Retain,
}

/// The run's dashboard in AWS.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DashboardSpec {
    /// CloudWatch: a dashboard that is deleted with the run, and up to six metrics that the
    /// operator publishes (shards, warm throughput, tasks, target rate). Three dashboards per
    /// account are free, each further one costs $3.00 a month; a metric costs $0.30 a month; both
    /// are billed by the hour (us-east-1, November 2026). None: neither.
    #[serde(default)]
    #[schemars(extend("nullable" = true))]
    pub mode: DashboardMode,
}

/// Whether a run has a dashboard.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DashboardMode {
    #[default]
    CloudWatch,
    None,
}

/// Reads an explicit null as an empty list. The API server keeps a null where the schema is
/// nullable; where it is not, it would insert the default, here an unrequested event of 50,000
/// records per second. No manifest can contain an empty list otherwise, so the plan can reject it.
fn null_as_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PhaseSpec>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads an explicit null as mode None: the user wants no dashboard, and None costs nothing.
fn null_as_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DashboardSpec, D::Error> {
    let none = DashboardSpec { mode: DashboardMode::None };
    Ok(Option::deserialize(deserializer)?.unwrap_or(none))
}

fn default_max_duration() -> DurationText {
    DurationText::seconds(30 * 60)
}

//! The status of a KinesisDemo: the state of the run and what the operator has measured. It is an
//! API, not a log.

mod cohort;
mod control;
mod cost;
mod resources;
mod run;
mod seen;
mod traffic;

use std::fmt;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions::Condition;
use crate::request::LastRequest;
pub use cohort::{CohortMember, CohortState, CohortStatus};
pub use control::{Assignment, ControlStatus, FoldedPhase, Interruption};
pub use cost::{CostStatus, EstimateStatus, Meter, UsdText};
pub use resources::{LeakedResources, ResourceState, ResourceStatus, ResourceType};
pub use run::{Effective, PastRun, RunLoad, RunStatus};
pub use seen::{DashboardStatus, GeneratorsStatus, StreamStatus, TaskFailure, WarmStatus};
pub use traffic::{LatencyStatus, PhaseReport, PhaseStatus, TotalsStatus, TrafficStatus};

/// The observed state of a KinesisDemo.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KinesisDemoStatus {
    /// The generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// The stage of the run. The operator acts by this field; the others describe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// The conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The run: its number, its times and its settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunStatus>,
    /// The AWS resources of the run, and whether they still exist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()]))]
    pub resources: Vec<ResourceStatus>,
    /// The claims from which the operator generates the tasks' control document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<ControlStatus>,
    /// The current traffic phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<PhaseStatus>,
    /// Every phase of the run: its times and its measurements.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub phases: Vec<PhaseReport>,
    /// The stream as last observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamStatus>,
    /// The generator tasks as last observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generators: Option<GeneratorsStatus>,
    /// The record totals of the whole run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<TrafficStatus>,
    /// What the run costs on AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostStatus>,
    /// The run's CloudWatch dashboard, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dashboard: Option<DashboardStatus>,
    /// The last request and its outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_request: Option<LastRequest>,
    /// The ids of processed requests, newest first. A request with one of these ids is not
    /// processed again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 64)))]
    pub answered_requests: Vec<String>,
    /// The previous runs, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    pub history: Vec<PastRun>,
    /// Resources that previous runs could not delete. The operator keeps trying.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    pub leaked_resources: Vec<LeakedResources>,
}

impl KinesisDemoStatus {
    /// The run's number; zero before the first run.
    pub fn run_number(&self) -> u32 {
        self.run.as_ref().map_or(0, |run| run.number)
    }

    /// The rate to compare `status.traffic.rate` with: what the schedule requested in the same
    /// window, or the phase's rate before any rate is known.
    pub fn target(&self) -> Option<u64> {
        let in_window = self.traffic.as_ref().and_then(|traffic| traffic.target);
        in_window.or_else(|| self.phase.as_ref().map(|phase| phase.records_per_second.into()))
    }

    /// Whether the run's stream is deleted. Its last known capacity is then meaningless.
    pub fn is_stream_deleted(&self) -> bool {
        let of_run = |resource: &&ResourceStatus| resource.type_ == ResourceType::Stream;
        let removed =
            self.resources.iter().find(of_run).is_some_and(|stream| stream.state == ResourceState::Deleted);
        removed || self.stream.as_ref().is_some_and(|stream| stream.status == StreamStatus::DELETED)
    }

    /// Descriptions, for people, of the AWS resources of this and of previous runs that still
    /// exist: types, ARNs, and why a deletion failed.
    pub fn present_resources(&self) -> Vec<String> {
        let earlier = self.leaked_resources.iter().flat_map(|leaked| &leaked.resources);
        let present = |resource: &&ResourceStatus| resource.state == ResourceState::Present;
        self.resources.iter().chain(earlier).filter(present).map(ResourceStatus::describe).collect()
    }

    /// Whether any AWS resource of this or of a previous run may still exist.
    pub fn has_leaked_resources(&self) -> bool {
        let is_present = |resource: &ResourceStatus| resource.state == ResourceState::Present;
        self.resources.iter().any(is_present)
            || self.leaked_resources.iter().any(|leaked| leaked.resources.iter().any(is_present))
    }
}

/// The stage of a run.
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
    /// Whether the run has begun and is not over.
    pub fn is_active(self) -> bool {
        self != Self::Pending && !self.is_terminal()
    }

    /// Whether the run is over.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Aborted)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The variants' names are the wire format.
        fmt::Debug::fmt(self, f)
    }
}

/// How a run ended, or will have ended once its resources are deleted.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Succeeded,
    Failed,
    Aborted,
}

impl Outcome {
    /// The terminal stage for this outcome.
    pub fn stage(self) -> Stage {
        match self {
            Self::Succeeded => Stage::Succeeded,
            Self::Failed => Stage::Failed,
            Self::Aborted => Stage::Aborted,
        }
    }
}

//! The status of a KinesisDemo: an API, not a log. What the operator knows, where the run is, and what it has measured.

mod control;
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
pub use control::{Assignment, ControlStatus, FoldedPhase, Interruption};
pub use resources::{Leftover, ResourceState, ResourceStatus, ResourceType};
pub use run::{Effective, PastRun, RunLoad, RunStatus};
pub use seen::{DashboardStatus, GeneratorsStatus, StreamStatus, TaskFailure, WarmStatus};
pub use traffic::{LatencyStatus, PhaseReport, PhaseStatus, TotalsStatus, TrafficStatus};

/// What the operator says about a KinesisDemo.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KinesisDemoStatus {
    /// The generation of the spec that this status speaks about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
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
    /// The run's number; zero before the first run.
    pub fn run_number(&self) -> u32 {
        self.run.as_ref().map_or(0, |run| run.number)
    }

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
    /// Whether the run has begun and is not over.
    pub fn goes_on(self) -> bool {
        self != Self::Pending && !self.is_terminal()
    }

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

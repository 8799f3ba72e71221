//! The traffic: phases, their rates and ramps.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::control::Content;
use crate::duration::DurationText;

/// A phase of the traffic.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("duration(self.duration) >= duration('1s') && duration(self.duration) <= duration('24h')").message("phases[].duration: at least 1s and at most 24h"),
    validation = Rule::new("!has(self.ramp.over) || duration(self.ramp.over) <= duration(self.duration)").message("phases[].ramp.over: at most the phase's duration")
)]
pub struct PhaseSpec {
    /// The phase's name, as shown in status, metrics and reports.
    #[schemars(length(min = 1, max = 40), pattern("^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub name: String,
    /// How long the phase lasts, for example 2m or 1m30s.
    pub duration: DurationText,
    /// The records per second of all tasks together.
    #[schemars(range(min = 0, max = 5_000_000))]
    pub records_per_second: i32,
    /// The kind of posts: Baseline, BreakingNews, Viral or Decline.
    #[serde(default)]
    pub content: Content,
    /// How the rate changes from the previous phase (zero before the first) to this one.
    #[serde(default)]
    pub ramp: RampSpec,
}

/// How the rate changes at the beginning of a phase.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(self.shape == 'Linear') == has(self.over)").message("phases[].ramp.over: required with shape Linear, not allowed otherwise"),
    validation = Rule::new("!has(self.over) || duration(self.over) >= duration('1s')").message("phases[].ramp.over: at least 1s")
)]
pub struct RampSpec {
    /// Step: immediately. Linear: in a straight line, over the first part of the phase.
    #[serde(default)]
    pub shape: RampShape,
    /// How long a Linear ramp takes, for example 20s. Only with shape Linear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<DurationText>,
}

/// How a rate changes.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RampShape {
    #[default]
    Step,
    Linear,
}

/// The phases of the original demo: a viral event of eight minutes.
pub(super) fn default_phases() -> Vec<PhaseSpec> {
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

//! The stream and the tasks of a run over time, as steps. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::MicroTime;
use crate::demo::status::KinesisDemoStatus;

/// The stream and the tasks from an instant on, until the next step.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CapacityStep {
    /// When the operator first observed these values.
    pub at: MicroTime,
    /// Open shards. Absent while the stream does not exist or was not observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards: Option<u32>,
    /// The requested warm throughput in MiB/s, if the spec requests any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_target: Option<u32>,
    /// The current warm throughput in MiB/s, if the spec requests any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_current: Option<u32>,
    /// The desired count of the ECS service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks_desired: Option<u32>,
    /// Running tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks_running: Option<u32>,
}

impl CapacityStep {
    /// What a status shows, observed at `at`.
    pub fn of(status: &KinesisDemoStatus, at: MicroTime) -> Self {
        let stream = status.stream.as_ref().filter(|_| !status.is_stream_deleted());
        let warm = stream.and_then(|stream| stream.warm).filter(|warm| warm.target > 0);
        let generators = status.generators.as_ref();
        Self {
            at,
            // A stream that is being created has none yet.
            shards: stream.map(|stream| stream.shards).filter(|shards| *shards > 0),
            warm_target: warm.map(|warm| warm.target),
            warm_current: warm.map(|warm| warm.current),
            tasks_desired: generators.map(|generators| generators.desired),
            tasks_running: generators.map(|generators| generators.running),
        }
    }

    /// Whether two steps have the same values.
    pub fn is_like(&self, other: &Self) -> bool {
        Self { at: other.at, ..*self } == *other
    }
}

//! What exists in ECS, and how it changes with time. In: an instant, and the reports of what runs
//! tasks. Out: what the runner must do. Pure except for the random number generator in the state.
//!
//! ```text
//! data:  account ─► service, task ─► task_definition
//! time:  step ─► rollout (services), lifecycle (tasks), visibility (what reads see)
//!        record (reports) ─► lifecycle, rollout
//! ```
//!
//! Every instant here is model time. Views convert it with `ModelClock::wall_at`. Durations in real
//! time (stop timeouts, protection, read lag) are converted with `Speed::model_time` when they are
//! added to an instant.

mod account;
mod lifecycle;
mod reports;
mod rollout;
mod service;
mod task;
mod task_definition;
mod visibility;

use jiff::Timestamp;

pub use account::{EcsCluster, EcsState, Region};
pub use lifecycle::{Effect, request_stop};
pub use reports::record;
pub use service::{
    Counts, Deployment, LaunchKind, Published, Rollout, Service, ServiceSettings, ServiceStatus,
};
pub use task::{Container, Task, TaskStatus};
pub use task_definition::{
    AwsLogs, ContainerSpec, Definition, DefinitionBody, DefinitionStatus, Family, family_and_revision,
};

/// Advances all regions to `now`.
pub fn step(state: &mut EcsState, now: Timestamp) -> Vec<Effect> {
    let mut effects = Vec::new();
    let regions: Vec<String> = state.regions.keys().cloned().collect();
    for region in &regions {
        rollout::step_services(state, region, now);
        lifecycle::step_tasks(state, region, now, &mut effects);
        visibility::publish_counts(state, region, now);
        visibility::collect_garbage(state, region, now);
    }
    effects
}

//! Applies the read lag to task counts, and removes expired stopped tasks, inactive services and
//! deleted task definitions. In: the state and an instant. Out: the changed state. Pure except for
//! the state's random number generator.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::account::{EcsState, Region};
use super::service::Counts;
use super::task::TaskStatus;
use super::task_definition::{Definition, DefinitionStatus};
use crate::services::ecs::model::time::{later, read_lag};

/// "Stopped tasks appear in the returned results for at least one hour" (ListTasks, DescribeTasks).
const STOPPED_KEPT: SignedDuration = SignedDuration::from_hours(1);
/// The maximum number of stopped tasks per region. Our choice, to bound memory in a long run.
const MAX_STOPPED: usize = 5_000;
/// How long an INACTIVE service can still be described. AWS says only that it "in the future may be
/// cleaned up"; the duration is our choice.
const INACTIVE_KEPT: SignedDuration = SignedDuration::from_hours(1);

/// Queues the current counts; they become visible to reads after the read lag.
pub fn publish_counts(state: &mut EcsState, region_name: &str, now: Timestamp) {
    let speed = state.speed;
    let EcsState { regions, rng, .. } = state;
    let Some(region) = regions.get_mut(region_name) else { return };
    let Region { services, tasks, .. } = region;
    let mut counts_by_cluster: BTreeMap<&str, BTreeMap<String, Counts>> = BTreeMap::new();
    for task in tasks.values() {
        let Some((_, deployment)) = &task.service else { continue };
        let counts =
            counts_by_cluster.entry(&task.cluster).or_default().entry(deployment.clone()).or_default();
        match task.status {
            TaskStatus::Running => counts.running += 1,
            TaskStatus::Provisioning | TaskStatus::Pending if task.should_run() => counts.pending += 1,
            _ => {}
        }
    }
    for service in services.values_mut() {
        let of_cluster = counts_by_cluster.get(service.cluster.as_str());
        let counts: BTreeMap<String, Counts> = service
            .deployments
            .iter()
            .map(|deployment| {
                let counts = of_cluster.and_then(|counts| counts.get(&deployment.id)).copied();
                (deployment.id.clone(), counts.unwrap_or_default())
            })
            .collect();
        let published = &mut service.published;
        while published.upcoming.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, counts)) = published.upcoming.pop_front() {
                published.visible = counts;
            }
        }
        let latest = published.upcoming.back().map_or(&published.visible, |(_, counts)| counts);
        if *latest != counts {
            let visible_at = later(now, speed.model_time(read_lag(rng)));
            // A later value never becomes visible before an earlier one.
            let visible_at = published.upcoming.back().map_or(visible_at, |(at, _)| visible_at.max(*at));
            published.upcoming.push_back((visible_at, counts));
        }
    }
}

/// Removes what AWS would no longer return.
pub fn collect_garbage(state: &mut EcsState, region_name: &str, now: Timestamp) {
    let region = state.region(region_name);
    region.tasks.retain(|_, task| task.stopped_at.is_none_or(|at| now.duration_since(at) < STOPPED_KEPT));
    let mut stopped: Vec<(Timestamp, String)> =
        region.tasks.values().filter_map(|task| task.stopped_at.map(|at| (at, task.id.clone()))).collect();
    if stopped.len() > MAX_STOPPED {
        stopped.sort();
        for (_, id) in &stopped[..stopped.len() - MAX_STOPPED] {
            region.tasks.remove(id);
        }
    }
    region
        .services
        .retain(|_, service| service.inactive_at.is_none_or(|at| now.duration_since(at) < INACTIVE_KEPT));
    let Region { families, services, tasks, .. } = region;
    let in_use = |definition: &Definition| {
        let arn = &definition.body.arn;
        tasks.values().any(|task| task.definition.arn == *arn && task.status != TaskStatus::Stopped)
            || services
                .values()
                .flat_map(|service| &service.deployments)
                .any(|deployment| deployment.definition.arn == *arn)
    };
    for family in families.values_mut() {
        family.revisions.retain(|_, definition| {
            definition.status != DefinitionStatus::DeleteInProgress || in_use(definition)
        });
    }
}

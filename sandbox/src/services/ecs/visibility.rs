//! What the world shows and forgets as time passes: counts that readers see a moment late, stopped tasks and services that are
//! gone some day. In: the world and an instant. Out: the changed world. Pure but for the world's own random numbers.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::lifecycle::read_lag;
use super::world::{Counts, Definition, DefinitionStatus, EcsState, Region, TaskStatus, later};

/// "Stopped tasks appear in the returned results for at least one hour" (ListTasks, DescribeTasks).
const STOPPED_KEPT: SignedDuration = SignedDuration::from_hours(1);
/// How many stopped tasks a region keeps at most. Ours, so that a long run cannot fill the machine.
const STOPPED_AT_MOST: usize = 5_000;
/// How long an INACTIVE service can still be described; AWS says "in the future may be cleaned up". Ours.
const INACTIVE_KEPT: SignedDuration = SignedDuration::from_hours(1);

/// Queues the current counts for readers, who see them a moment later.
pub(super) fn publish(world: &mut EcsState, region_name: &str, now: Timestamp) {
    let pace = world.pace;
    let EcsState { regions, rng, .. } = world;
    let Some(region) = regions.get_mut(region_name) else { return };
    let Region { services, tasks, .. } = region;
    let mut counted: BTreeMap<&str, BTreeMap<String, Counts>> = BTreeMap::new();
    for task in tasks.values() {
        let Some((_, deployment)) = &task.service else { continue };
        let counts = counted.entry(&task.cluster).or_default().entry(deployment.clone()).or_default();
        match task.status {
            TaskStatus::Running => counts.running += 1,
            TaskStatus::Provisioning | TaskStatus::Pending if task.wanted() => counts.pending += 1,
            _ => {}
        }
    }
    for service in services.values_mut() {
        let of_cluster = counted.get(service.cluster.as_str());
        let counts: BTreeMap<String, Counts> = service
            .deployments
            .iter()
            .map(|deployment| {
                let held = of_cluster.and_then(|counts| counts.get(&deployment.id)).copied();
                (deployment.id.clone(), held.unwrap_or_default())
            })
            .collect();
        let published = &mut service.published;
        while published.coming.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, counts)) = published.coming.pop_front() {
                published.visible = counts;
            }
        }
        let latest = published.coming.back().map_or(&published.visible, |(_, counts)| counts);
        if *latest != counts {
            let visible_at = later(now, pace.real(read_lag(rng)));
            // A later value never shows before an earlier one.
            let after = published.coming.back().map_or(visible_at, |(at, _)| visible_at.max(*at));
            published.coming.push_back((after, counts));
        }
    }
}

/// Removes what AWS would no longer show.
pub(super) fn forget(world: &mut EcsState, region_name: &str, now: Timestamp) {
    let region = world.region(region_name);
    region.tasks.retain(|_, task| task.stopped_at.is_none_or(|at| now.duration_since(at) < STOPPED_KEPT));
    let mut stopped: Vec<(Timestamp, String)> =
        region.tasks.values().filter_map(|task| task.stopped_at.map(|at| (at, task.id.clone()))).collect();
    if stopped.len() > STOPPED_AT_MOST {
        stopped.sort();
        for (_, id) in &stopped[..stopped.len() - STOPPED_AT_MOST] {
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

//! How many tasks, and which of them send. In: what the schedule needs soon, the tasks as seen, the slots as claimed. Out:
//! the holders of the slots and the size of the service.
//!
//! Growing: tasks are asked for ahead of the phase, start idle, and get slots once they run. Shrinking: out of the slots
//! first; when that counts and their last requests are done, the survivors are protected and the service is made smaller.

use std::time::Duration;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::TaskId;
use kinesis_demo_api::status::ControlStatus;
use kinesis_demo_api::timeline::Timeline;

use super::control::Standing;
use super::{Case, Effect};
use crate::aws::{TaskSeen, TaskState};
use crate::run::decide::measure::slowest_start;
use crate::run::observe::World;

/// How long survivors of a scale-in are protected: longer than ECS takes to choose and stop the others.
pub(super) const PROTECTION_MINUTES: u32 = 5;

/// How many tasks the schedule needs from now until those that would be asked for now could send.
pub(super) fn tasks_needed(case: &Case<'_>, timeline: &Timeline, world: &World) -> u32 {
    let lead = case.subject.settings.timings.lead(slowest_start(case, world));
    timeline.tasks_needed(case.now, case.now + lead)
}

/// The running tasks, the longest running first.
pub(super) fn running(world: &World) -> Vec<&TaskSeen> {
    let mut running: Vec<_> = world.tasks.iter().filter(|task| task.state == TaskState::Running).collect();
    running.sort_by(|a, b| (a.started_at, &a.id).cmp(&(b.started_at, &b.id)));
    running
}

/// Who holds which slot under the claimed version.
pub(super) fn holders(control: &ControlStatus) -> Vec<(u32, TaskId)> {
    let mut holders: Vec<_> = control
        .assignments
        .iter()
        .filter(|held| held.until.is_none())
        .map(|held| (held.slot, held.task.clone()))
        .collect();
    holders.sort();
    holders
}

/// Who should hold the slots, if that differs from who does.
pub(super) fn wanted_holders(
    case: &Case<'_>,
    control: &ControlStatus,
    timeline: &Timeline,
    world: &World,
    needed: u32,
) -> Option<Vec<(u32, TaskId)>> {
    let running = running(world);
    let held = holders(control);
    let mut wanted = held.clone();
    wanted.retain(|(_, task)| running.iter().any(|seen| seen.id == *task));
    wanted.truncate(needed as usize);

    let missing = (needed as usize).saturating_sub(wanted.len());
    let spare: Vec<&TaskId> = running
        .iter()
        .map(|seen| &seen.id)
        .filter(|id| !wanted.iter().any(|(_, task)| task == *id))
        .take(missing)
        .collect();
    // One version for all newcomers: each version takes seconds to count, so a version per task would take minutes.
    if wanted.len() < held.len() || spare.len() == missing || growth_is_urgent(case, timeline, wanted.len()) {
        for task in spare {
            let slot = (0..).find(|slot| !wanted.iter().any(|(taken, _)| taken == slot)).unwrap_or_default();
            wanted.push((slot, task.clone()));
        }
    }
    wanted.sort();
    (wanted != held).then_some(wanted)
}

/// Whether a phase that needs more than `admitted` tasks begins before a later version could count.
fn growth_is_urgent(case: &Case<'_>, timeline: &Timeline, admitted: usize) -> bool {
    let timings = &case.subject.settings.timings;
    let horizon: MicroTime = case.now + timings.change_takes() + timings.poll_every * 2;
    timeline.tasks_needed(case.now, horizon) as usize > admitted
}

/// The size that the service should have, if that differs from the size it has.
pub(super) fn wanted_size(
    case: &Case<'_>,
    control: &ControlStatus,
    standing: &Standing,
    world: &World,
    needed: u32,
) -> Option<u32> {
    let size = world.service.present()?.desired;
    if size < needed {
        return Some(needed);
    }
    let drained_by = |until: MicroTime| until + drain_takes(case) <= case.now;
    let drained = control.assignments.iter().filter_map(|held| held.until).all(drained_by);
    let published = matches!(standing, Standing::Published(_)) && case.now >= control.effective_at;
    let admitted = u32::try_from(holders(control).len()).unwrap_or(u32::MAX);
    (size > needed && admitted <= needed && published && drained).then_some(needed)
}

fn drain_takes(case: &Case<'_>) -> Duration {
    case.subject.settings.timings.drain
}

/// The writes that bring the service to `size`.
pub(super) fn resize(case: &Case<'_>, control: &ControlStatus, world: &World, size: u32) -> Vec<Effect> {
    let (cluster, service) = (case.names.cluster.clone(), case.names.service.clone());
    let shrinks = world.service.present().is_some_and(|seen| seen.desired > size);
    let survivors: Vec<String> = running(world)
        .into_iter()
        .filter(|seen| holders(control).iter().any(|(_, task)| *task == seen.id))
        .map(|seen| seen.arn.clone())
        .collect();
    let mut effects = Vec::new();
    if shrinks && !survivors.is_empty() {
        effects.push(Effect::ProtectTasks {
            cluster: cluster.clone(),
            arns: survivors,
            minutes: PROTECTION_MINUTES,
        });
    }
    effects.push(Effect::ResizeService { cluster, service, desired: size });
    effects
}

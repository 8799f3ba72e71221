//! How many tasks, and which of them send. In: what the schedule needs soon, the tasks as seen, the slots as claimed. Out:
//! the holders of the slots and the size of the service.
//!
//! Growing: tasks are asked for ahead of the phase, start idle, and get slots once they run. Shrinking: out of the slots
//! first; when that counts and their last requests are done, the survivors are protected and the service is made smaller.

use std::time::Duration;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::TaskId;
use kinesis_demo_api::status::{Assignment, ControlStatus};
use kinesis_demo_api::timeline::Timeline;

use super::parameter::ParameterState;
use super::{Effect, RunContext};
use crate::aws::{TaskDescription, TaskState};
use crate::reconcile::observe::ObservedState;
use crate::reconcile::stages::traffic_status::slowest_start;

/// How long survivors of a scale-in are protected: longer than ECS takes to choose and stop the others.
pub(super) const PROTECTION_MINUTES: u32 = 5;

/// How many tasks the schedule needs from now until those that would be asked for now could send.
pub(super) fn tasks_needed(ctx: &RunContext<'_>, timeline: &Timeline, state: &ObservedState) -> u32 {
    let lead = ctx.timings.lead(slowest_start(ctx, state));
    timeline.tasks_needed(ctx.now, ctx.now + lead)
}

/// The running tasks, the longest running first; none if the tasks could not be seen.
pub(super) fn running(state: &ObservedState) -> Vec<&TaskDescription> {
    let mut running: Vec<_> =
        state.seen_tasks().iter().filter(|task| task.state == TaskState::Running).collect();
    running.sort_by(|a, b| (a.started_at, &a.id).cmp(&(b.started_at, &b.id)));
    running
}

/// The tasks that have a slot and have written no ledger line for so long that they must be hanging.
/// A task with a slot writes a line each interval, whether or not it has news.
pub(super) fn silent_tasks(
    ctx: &RunContext<'_>,
    control: &ControlStatus,
    timeline: &Timeline,
    state: &ObservedState,
) -> Vec<TaskId> {
    let timings = ctx.timings;
    // Judged at the instant up to which this leader has read the log to its end.
    let Some(read_at) = state.log_read_at else { return Vec::new() };
    let heard_after = read_at - timings.silence();
    let records =
        |until| (0..timeline.phases.len()).map(|index| timeline.scheduled(index, until)).sum::<u64>();
    if records(read_at) == records(heard_after) {
        return Vec::new();
    }
    let open = || control.assignments.iter().filter(|held| held.until.is_none());
    let line_at = |held: &Assignment| {
        state.known_ledgers.of(&held.task).map(|line| line.at).filter(|at| *at >= held.from)
    };
    let is_heard = |held: &&Assignment| line_at(held).is_some_and(|at| at >= heard_after);
    let is_new = |held: &&Assignment| held.from >= heard_after;
    let mut silent: Vec<TaskId> =
        open().filter(|held| !is_heard(held) && !is_new(held)).map(|held| held.task.clone()).collect();
    silent.retain(|task| running(state).iter().any(|seen| seen.id == *task));
    if !open().any(|held| is_heard(&held)) {
        // All at once: it may be the log that is silent, or the image that hangs. One is tried first,
        // and heard of before any other.
        silent.truncate(if open().any(|held| is_new(&held)) { 0 } else { 1 });
    }
    let replaced = ctx.object.status.generators.as_ref().map_or(0, |held| held.replaced);
    silent.truncate(most_replacements(ctx).saturating_sub(replaced) as usize);
    silent
}

/// How many tasks of a run may be replaced because they are silent: as many as it has, twice.
fn most_replacements(ctx: &RunContext<'_>) -> u32 {
    ctx.plan.most_tasks.saturating_mul(2).max(3)
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

/// Who should hold the slots, if that differs from who does. Only a complete list of tasks may take a
/// slot away. A task of `silent` loses its slot to a task that runs without one.
pub(super) fn wanted_holders(
    ctx: &RunContext<'_>,
    control: &ControlStatus,
    timeline: &Timeline,
    state: &ObservedState,
    needed: u32,
    silent: &[TaskId],
) -> Option<Vec<(u32, TaskId)>> {
    state.tasks.present()?;
    let running = running(state);
    let held = holders(control);
    let mut wanted = held.clone();
    wanted.retain(|(_, task)| running.iter().any(|seen| seen.id == *task));
    wanted.truncate(needed as usize);

    let missing = (needed as usize).saturating_sub(wanted.len());
    let mut spare: Vec<&TaskId> = running
        .iter()
        .map(|seen| &seen.id)
        .filter(|id| !wanted.iter().any(|(_, task)| task == *id) && !silent.contains(id))
        .filter(|id| !has_fallen_silent(ctx, control, state, id))
        .collect();
    let beyond = spare.split_off(missing.min(spare.len()));
    // One version for all newcomers: each version takes seconds to count, so a version per task would take minutes.
    if wanted.len() < held.len() || spare.len() == missing || growth_is_urgent(ctx, timeline, wanted.len()) {
        for task in spare {
            let slot = (0..).find(|slot| !wanted.iter().any(|(taken, _)| taken == slot)).unwrap_or_default();
            wanted.push((slot, task.clone()));
        }
    }
    let hanging = wanted.iter_mut().filter(|(_, task)| silent.contains(task));
    for ((_, task), spare) in hanging.zip(beyond) {
        *task = spare.clone();
    }
    wanted.sort();
    (wanted != held).then_some(wanted)
}

/// Whether a task lost a slot and has written nothing since well before that: it gets none again.
fn has_fallen_silent(
    ctx: &RunContext<'_>,
    control: &ControlStatus,
    state: &ObservedState,
    task: &TaskId,
) -> bool {
    let mut tenures = control.assignments.iter().filter(|held| held.task == *task);
    state.log_read_at.is_some()
        && tenures.any(|held| {
            let heard_at = state.known_ledgers.of(task).map_or(held.from, |line| line.at.max(held.from));
            held.until.is_some_and(|until| heard_at + ctx.timings.silence() < until)
        })
}

/// Whether a phase that needs more than `admitted` tasks begins before a later version could count.
fn growth_is_urgent(ctx: &RunContext<'_>, timeline: &Timeline, admitted: usize) -> bool {
    let timings = ctx.timings;
    let horizon: MicroTime = ctx.now + timings.change_takes() + timings.poll_every * 2;
    timeline.tasks_needed(ctx.now, horizon) as usize > admitted
}

/// The size that the service should have, if that differs from the size it has: `wanted` tasks, of
/// which `needed` send.
pub(super) fn wanted_size(
    ctx: &RunContext<'_>,
    control: &ControlStatus,
    parameter: &ParameterState,
    state: &ObservedState,
    wanted: u32,
    needed: u32,
) -> Option<u32> {
    let size = state.service.present()?.desired;
    if size < wanted {
        return Some(wanted);
    }
    let drained_by = |until: MicroTime| until + drain_takes(ctx) <= ctx.now;
    let drained = control.assignments.iter().filter_map(|held| held.until).all(drained_by);
    let published = matches!(parameter, ParameterState::Published(_)) && ctx.now >= control.effective_at;
    let admitted = u32::try_from(holders(control).len()).unwrap_or(u32::MAX);
    // Which tasks survive is said by protecting them, so they must be seen.
    let seen = state.tasks.present().is_some();
    (size > wanted && admitted <= needed && published && drained && seen).then_some(wanted)
}

fn drain_takes(ctx: &RunContext<'_>) -> Duration {
    ctx.timings.drain
}

/// The writes that bring the service to `size`.
pub(super) fn resize(
    ctx: &RunContext<'_>,
    control: &ControlStatus,
    state: &ObservedState,
    size: u32,
) -> Vec<Effect> {
    let shrinks = state.service.present().is_some_and(|seen| seen.desired > size);
    let survivors: Vec<String> = running(state)
        .into_iter()
        .filter(|seen| holders(control).iter().any(|(_, task)| *task == seen.id))
        .map(|seen| seen.arn.clone())
        .collect();
    let mut effects = Vec::new();
    if shrinks && !survivors.is_empty() {
        effects.push(Effect::ProtectTasks {
            cluster: ctx.names.cluster.clone(),
            arns: survivors,
            minutes: PROTECTION_MINUTES,
        });
    }
    effects.push(ctx.resize(size));
    effects
}

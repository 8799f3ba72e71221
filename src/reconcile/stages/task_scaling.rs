//! How many tasks run, and which of them send. In: the coming needs of the schedule, the tasks, the
//! claimed slots. Out: the holders of the slots and the size of the service.
//!
//! Scale-out: tasks are requested ahead of the phase, start idle, and get slots once they run.
//! Scale-in: tasks lose their slots first. When that is in effect and their last requests are done,
//! the remaining tasks are protected and the service is made smaller.

use std::time::Duration;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::TaskId;
use kinesis_demo_api::status::{Assignment, ControlStatus};
use kinesis_demo_api::timeline::Timeline;

use super::parameter::ParameterState;
use super::{Effect, RunContext};
use crate::aws::{TaskDescription, TaskState};
use crate::reconcile::observed::ObservedState;
use crate::reconcile::stages::traffic_status::slowest_start;

/// How long the remaining tasks of a scale-in are protected: longer than ECS takes to select and
/// stop the others.
pub(super) const PROTECTION_MINUTES: u32 = 5;

/// How many tasks the schedule needs from now until a task requested now could send.
pub(super) fn tasks_needed(ctx: &RunContext<'_>, timeline: &Timeline, state: &ObservedState) -> u32 {
    let lead = ctx.timings.lead(slowest_start(ctx, state));
    timeline.tasks_needed(ctx.now, ctx.now + lead)
}

/// The running tasks, the oldest first; empty if the tasks could not be read.
pub(super) fn running(state: &ObservedState) -> Vec<&TaskDescription> {
    let mut running: Vec<_> =
        state.seen_tasks().iter().filter(|task| task.state == TaskState::Running).collect();
    running.sort_by(|a, b| (a.started_at, &a.id).cmp(&(b.started_at, &b.id)));
    running
}

/// The tasks that have a slot and have written no ledger line for so long that they must be
/// hanging. A task with a slot writes a line each interval, even without progress.
pub(super) fn silent_tasks(
    ctx: &RunContext<'_>,
    control: &ControlStatus,
    timeline: &Timeline,
    state: &ObservedState,
) -> Vec<TaskId> {
    let timings = ctx.timings;
    // Judged at the instant up to which this leader has read the log completely.
    let Some(read_at) = state.log_read_at else { return Vec::new() };
    let heard_after = read_at - timings.silence();
    let records =
        |until| (0..timeline.phases.len()).map(|index| timeline.scheduled(index, until)).sum::<u64>();
    if records(read_at) == records(heard_after) {
        return Vec::new();
    }
    let open = || control.assignments.iter().filter(|assignment| assignment.until.is_none());
    let line_at = |assignment: &Assignment| {
        state.known_ledgers.of(&assignment.task).map(|line| line.at).filter(|at| *at >= assignment.from)
    };
    let is_heard = |assignment: &&Assignment| line_at(assignment).is_some_and(|at| at >= heard_after);
    let is_new = |assignment: &&Assignment| assignment.from >= heard_after;
    let mut silent: Vec<TaskId> = open()
        .filter(|assignment| !is_heard(assignment) && !is_new(assignment))
        .map(|assignment| assignment.task.clone())
        .collect();
    silent.retain(|task| running(state).iter().any(|seen| seen.id == *task));
    if !open().any(|assignment| is_heard(&assignment)) {
        // If all tasks are silent, either the log is delayed or the image hangs. One task is
        // replaced first, and the next only after that one has written a line.
        silent.truncate(if open().any(|assignment| is_new(&assignment)) { 0 } else { 1 });
    }
    let replaced = ctx.object.status.generators.as_ref().map_or(0, |generators| generators.replaced);
    silent.truncate(most_replacements(ctx).saturating_sub(replaced) as usize);
    silent
}

/// How many silent tasks of a run may be replaced: twice as many as it has.
fn most_replacements(ctx: &RunContext<'_>) -> u32 {
    ctx.plan.most_tasks.saturating_mul(2).max(3)
}

/// The task of each slot under the claimed version.
pub(super) fn holders(control: &ControlStatus) -> Vec<(u32, TaskId)> {
    let mut holders: Vec<_> = control
        .assignments
        .iter()
        .filter(|assignment| assignment.until.is_none())
        .map(|assignment| (assignment.slot, assignment.task.clone()))
        .collect();
    holders.sort();
    holders
}

/// The tasks that should have the slots, if they differ from the current ones. Only a complete list
/// of tasks may take a slot away. A task of `silent` loses its slot to a running task without one.
pub(super) fn desired_holders(
    ctx: &RunContext<'_>,
    control: &ControlStatus,
    timeline: &Timeline,
    state: &ObservedState,
    needed: u32,
    silent: &[TaskId],
) -> Option<Vec<(u32, TaskId)>> {
    state.tasks.present()?;
    let running = running(state);
    let current = holders(control);
    let mut desired = current.clone();
    desired.retain(|(_, task)| running.iter().any(|seen| seen.id == *task));
    desired.truncate(needed as usize);

    let missing = (needed as usize).saturating_sub(desired.len());
    let mut spare: Vec<&TaskId> = running
        .iter()
        .map(|seen| &seen.id)
        .filter(|id| !desired.iter().any(|(_, task)| task == *id) && !silent.contains(id))
        .filter(|id| !has_fallen_silent(ctx, control, state, id))
        .collect();
    let beyond = spare.split_off(missing.min(spare.len()));
    // One version for all new tasks: each version takes seconds to take effect, so one per task
    // would take minutes.
    if desired.len() < current.len()
        || spare.len() == missing
        || growth_is_urgent(ctx, timeline, desired.len())
    {
        for task in spare {
            let slot = (0..).find(|slot| !desired.iter().any(|(taken, _)| taken == slot)).unwrap_or_default();
            desired.push((slot, task.clone()));
        }
    }
    let hanging = desired.iter_mut().filter(|(_, task)| silent.contains(task));
    for ((_, task), spare) in hanging.zip(beyond) {
        *task = spare.clone();
    }
    desired.sort();
    (desired != current).then_some(desired)
}

/// Whether a task lost a slot and had written nothing since well before that. It gets no slot
/// again.
fn has_fallen_silent(
    ctx: &RunContext<'_>,
    control: &ControlStatus,
    state: &ObservedState,
    task: &TaskId,
) -> bool {
    let mut assignments = control.assignments.iter().filter(|assignment| assignment.task == *task);
    state.log_read_at.is_some()
        && assignments.any(|assignment| {
            let heard_at =
                state.known_ledgers.of(task).map_or(assignment.from, |line| line.at.max(assignment.from));
            assignment.until.is_some_and(|until| heard_at + ctx.timings.silence() < until)
        })
}

/// Whether a phase that needs more than `admitted` tasks starts before a later version could take
/// effect.
fn growth_is_urgent(ctx: &RunContext<'_>, timeline: &Timeline, admitted: usize) -> bool {
    let timings = ctx.timings;
    let horizon: MicroTime = ctx.now + timings.change_takes() + timings.poll_every * 2;
    timeline.tasks_needed(ctx.now, horizon) as usize > admitted
}

/// The size that the service should have, if it differs from the current one. `desired` tasks
/// should run, and `needed` of them send.
pub(super) fn desired_size(
    ctx: &RunContext<'_>,
    control: &ControlStatus,
    parameter: &ParameterState,
    state: &ObservedState,
    desired: u32,
    needed: u32,
) -> Option<u32> {
    let size = state.service.present()?.desired;
    if size < desired {
        return Some(desired);
    }
    let drained_by = |until: MicroTime| until + drain_takes(ctx) <= ctx.now;
    let drained = control.assignments.iter().filter_map(|assignment| assignment.until).all(drained_by);
    let published = matches!(parameter, ParameterState::Published(_)) && ctx.now >= control.effective_at;
    let admitted = u32::try_from(holders(control).len()).unwrap_or(u32::MAX);
    // The remaining tasks are selected by protecting them, so they must be known.
    let seen = state.tasks.present().is_some();
    (size > desired && admitted <= needed && published && drained && seen).then_some(desired)
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

//! Why tasks stopped unexpectedly. The run's log group is deleted with the run, so status keeps
//! ECS's reason and the last log lines. In: the tasks, and the end of a log. Out: status and an
//! Event.

use kinesis_demo_api::KinesisDemoStatus;
use kinesis_demo_api::ledger::LedgerLine;
use kinesis_demo_api::status::TaskFailure;

use super::{DecisionBuilder, RunContext};
use crate::aws::{TaskDescription, TaskStop};
use crate::kubernetes::events::RunEvent;
use crate::reconcile::observe::{Observed, ObservedState};

/// The schema's limits.
const LINES_KEPT: usize = 5;
const LONGEST_LINE: usize = 256;
const LONGEST_MESSAGE: usize = 1024;

/// How many log delays to wait for a log that cannot be read.
const PATIENCE_IN_DELAYS: u32 = 4;

/// Records tasks that stopped without a request, and the end of the last one's log. A crash loop is
/// reported once per reason, and counted.
pub(super) fn note_failures(ctx: &RunContext<'_>, state: &ObservedState, builder: &mut DecisionBuilder) {
    let Some(generators) = &mut builder.status.generators else { return };
    let delay = ctx.timings.log_delay;
    if let Some(failure) = generators.last_failure.as_mut().filter(|failure| failure.last_lines.is_none()) {
        failure.last_lines = match &state.failed_task_log {
            Observed::Present(lines) => Some(last_lines(lines)),
            Observed::Absent => Some(Vec::new()),
            _ if ctx.now >= failure.at + delay * PATIENCE_IN_DELAYS => Some(Vec::new()),
            Observed::Unread | Observed::Refused(_) => None,
        };
        if failure.last_lines.is_some() {
            builder.run_events.push(RunEvent::task_failed(ctx.run.number, failure));
        }
    }
    let failures: Vec<TaskFailure> =
        state.seen_tasks().iter().filter_map(|task| failure_of(ctx, task)).collect();
    generators.failed = generators.failed.max(u32::try_from(failures.len()).unwrap_or(u32::MAX));
    let newest = failures.into_iter().max_by(|a, b| (a.at, &a.task).cmp(&(b.at, &b.task)));
    let is_reported = |failure: &TaskFailure| failure.last_lines.is_some();
    let is_news = |found: &TaskFailure| {
        let last = generators.last_failure.as_ref();
        last.is_none_or(|last| is_reported(last) && found.at > last.at && found.message != last.message)
    };
    if let Some(found) = newest.filter(is_news) {
        generators.last_failure = Some(found);
    }
}

/// The failure of a task of this run that stopped unexpectedly before its own deadline.
fn failure_of(ctx: &RunContext<'_>, task: &TaskDescription) -> Option<TaskFailure> {
    let stop: &TaskStop = task.stop.as_ref().filter(|stop| !stop.is_requested())?;
    let at = stop.at.unwrap_or(ctx.now);
    (at < ctx.deadline_at).then(|| TaskFailure {
        task: task.arn.rsplit('/').next().unwrap_or(&task.arn).to_owned(),
        at,
        message: stop.describe().chars().take(LONGEST_MESSAGE).collect(),
        last_lines: None,
    })
}

/// The last lines that are not ledger lines.
fn last_lines(log: &[String]) -> Vec<String> {
    let lines: Vec<&String> = log.iter().filter(|line| LedgerLine::parse(line).is_none()).collect();
    let kept = lines.iter().skip(lines.len().saturating_sub(LINES_KEPT));
    kept.map(|line| line.trim().chars().take(LONGEST_LINE).collect()).collect()
}

/// Whether the end of a failed task's log is still to be read.
pub(super) fn failure_log_is_pending(status: &KinesisDemoStatus) -> bool {
    let failure = status.generators.as_ref().and_then(|generators| generators.last_failure.as_ref());
    failure.is_some_and(|failure| failure.last_lines.is_none())
}

/// The last failure of a task, as a clause for the end of a message.
pub fn failure_clause(status: &KinesisDemoStatus) -> String {
    let failure = status.generators.as_ref().and_then(|generators| generators.last_failure.as_ref());
    failure.map(|failure| format!("; {}", failure.describe())).unwrap_or_default()
}

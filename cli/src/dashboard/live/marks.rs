//! What happened between two statuses of one run. In: both. Out: the marks that the operator
//! records of it, as far as a status tells; the others come with the record. Pure.

use std::time::Duration;

use kinesis_demo_api::run_record::{CapacityStep, Mark, MarkKind};
use kinesis_demo_api::{KinesisDemoStatus, MicroTime, Stage};

/// Two marks of one kind within this time are the same: the operator may have seen it earlier.
const SAME: Duration = Duration::from_millis(1_500);
/// The same if their texts are alike, too. A split may have grown since it was recorded.
const SAME_TEXT: Duration = Duration::from_secs(15);

/// Whether two marks, one stored and one observed, are of the same event.
pub(super) fn is_same(stored: &Mark, observed: &Mark) -> bool {
    let apart = stored.at.since(observed.at).max(observed.at.since(stored.at));
    let is_alike = stored.text == observed.text;
    stored.kind == observed.kind
        && match stored.kind {
            // Of each phase once, and recorded at the instant at which it began.
            MarkKind::Throttle => is_alike,
            _ => apart <= SAME || (is_alike && apart <= SAME_TEXT),
        }
}

/// Appends the marks of what changed since `before`, observed at `now`; of what the status tells
/// with its instant if there is no status before.
pub(super) fn append(
    marks: &mut Vec<Mark>,
    before: Option<&KinesisDemoStatus>,
    status: &KinesisDemoStatus,
    now: MicroTime,
) {
    // The record of a run begins with its first resource, after it was pending.
    if let (Some(stage), Some(run)) = (status.stage, &status.run)
        && stage != Stage::Pending
        && before.is_none_or(|before| before.stage != status.stage)
    {
        marks.push(Mark::stage(stage, run));
    }
    let started_at = status.run.as_ref().and_then(|run| run.started_at);
    if let Some(last) = &status.last_request {
        let known = before.and_then(|before| before.last_request.as_ref()).map(|last| last.id.as_str());
        if known != Some(last.id.as_str()) && Some(last.at) >= started_at {
            marks.push(Mark::request(last));
        }
    }
    let lapses =
        |status: &KinesisDemoStatus| status.control.as_ref().map_or(0, |control| control.interruptions.len());
    let new = status.control.iter().flat_map(|control| &control.interruptions);
    for lapse in new.skip(before.map_or(0, lapses)) {
        marks.push(Mark::interruption(*lapse, before.map_or(lapse.until, |_| now)));
    }
    let Some(before) = before else { return };
    for (phase, earlier) in status.phases.iter().zip(&before.phases) {
        if earlier.totals.throttled == 0 && phase.totals.throttled > 0 {
            marks.push(Mark::throttled(&phase.name, now));
        }
    }
    for mark in Mark::of_capacity(&CapacityStep::of(before, now), &CapacityStep::of(status, now)) {
        if !marks.last_mut().is_some_and(|last| last.absorb(&mark)) {
            marks.push(mark);
        }
    }
    // A failure is told once the log of the task was read.
    let failure = |status: &KinesisDemoStatus| {
        let failure = status.generators.as_ref()?.last_failure.clone()?;
        failure.last_lines.is_some().then_some(failure)
    };
    if let Some(failed) = failure(status).filter(|failed| failure(before).as_ref() != Some(failed)) {
        marks.push(Mark::task_failure(&failed, now));
    }
}

//! What happened between two statuses of one run. In: both. Out: marks. Pure.

use kinesis_demo_api::run_record::{Mark, MarkKind};
use kinesis_demo_api::status::WarmStatus;
use kinesis_demo_api::{KinesisDemoStatus, MicroTime};

use crate::render::number::span;

/// Two marks of one kind within this time are the same: the operator may have seen it earlier.
const SAME_MICROS: u64 = 1_500_000;
/// The longest text of a mark, in characters.
const LONGEST: usize = 160;

/// Whether two marks, one stored and one observed, are of the same event.
pub(super) fn is_same(stored: &Mark, observed: &Mark) -> bool {
    stored.kind == observed.kind && stored.at.as_micros().abs_diff(observed.at.as_micros()) <= SAME_MICROS
}

/// The marks of what changed since `before`; of what the status tells with its instant if there is
/// no status before.
pub(super) fn between(
    before: Option<&KinesisDemoStatus>,
    status: &KinesisDemoStatus,
    now: MicroTime,
) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut mark = |at: MicroTime, kind: MarkKind, text: String| {
        marks.push(Mark { at, kind, text: text.chars().take(LONGEST).collect() });
    };
    if let (Some(stage), Some(run)) = (status.stage, &status.run)
        && before.is_none_or(|before| before.stage != status.stage)
    {
        mark(run.stage_entered_at, MarkKind::Stage, stage.to_string());
    }
    let started_at = status.run.as_ref().and_then(|run| run.started_at);
    if let Some(last) = &status.last_request {
        let known = before.and_then(|before| before.last_request.as_ref()).map(|last| last.id.as_str());
        let verb = last.verb.map(|verb| format!("{verb:?} ").to_lowercase()).unwrap_or_default();
        if known != Some(last.id.as_str()) && Some(last.at) >= started_at {
            mark(last.at, MarkKind::Request, format!("{verb}request: {:?}", last.outcome).to_lowercase());
        }
    }
    let lapses =
        |status: &KinesisDemoStatus| status.control.as_ref().map_or(0, |control| control.interruptions.len());
    for lapse in
        status.control.iter().flat_map(|control| &control.interruptions).skip(before.map_or(0, lapses))
    {
        let length = span(lapse.until.since(lapse.from));
        mark(lapse.from, MarkKind::Lapse, format!("traffic interrupted for {length}: control had lapsed"));
    }
    let Some(before) = before else { return marks };
    for (phase, earlier) in status.phases.iter().zip(&before.phases) {
        if earlier.totals.throttled == 0 && phase.totals.throttled > 0 {
            let at = status.traffic.as_ref().and_then(|traffic| traffic.rate_until).unwrap_or(now);
            let at = at.max(phase.starts_at).min(phase.ends_at);
            mark(at, MarkKind::Throttle, format!("{}: first records throttled", phase.name));
        }
    }
    if let (Some(stream), Some(earlier)) = (&status.stream, &before.stream)
        && !status.is_stream_deleted()
    {
        if stream.shards != earlier.shards && earlier.shards > 0 {
            mark(now, MarkKind::Split, format!("{} → {} shards", earlier.shards, stream.shards));
        }
        let reached = |warm: Option<WarmStatus>| {
            warm.is_some_and(|warm| warm.target > 0 && warm.current >= warm.target)
        };
        if reached(stream.warm) && !reached(earlier.warm) {
            let target = stream.warm.map_or(0, |warm| warm.target);
            mark(now, MarkKind::Warm, format!("warm throughput {target} MiB/s reached"));
        }
    }
    if let (Some(tasks), Some(earlier)) = (&status.generators, &before.generators) {
        for (count, earlier, what) in [
            (tasks.failed, earlier.failed, "stopped unexpectedly"),
            (tasks.replaced, earlier.replaced, "replaced"),
        ] {
            if count > earlier {
                mark(now, MarkKind::Tasks, format!("{} tasks {what}", count - earlier));
            }
        }
    }
    marks
}

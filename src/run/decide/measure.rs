//! What was seen, written into status: the stream, the tasks, the books.

use std::time::Duration;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::books::{Evidence, latency_status, total};
use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::status::{
    ControlStatus, GeneratorsStatus, PhaseReport, PhaseStatus, StreamStatus, TrafficStatus, WarmStatus,
};
use kinesis_demo_api::timeline::Timeline;

use super::{Case, Draft};
use crate::aws::{StreamState, TaskState};
use crate::run::build::control::slots;
use crate::run::notices::Notice;
use crate::run::observe::{LedgersSeen, World};

/// What we call a stream that AWS no longer has a word for.
const GONE: &str = "DELETED";

/// Notes the stream, if it was looked at.
pub(super) fn note_stream(case: &Case<'_>, world: &World, draft: &mut Draft) {
    if world.stream.is_absent()
        && let Some(held) = &mut draft.status.stream
    {
        held.status = GONE.into();
    }
    let Some(seen) = world.stream.present() else { return };
    draft.status.stream = Some(StreamStatus {
        name: case.names.stream.clone(),
        arn: seen.arn.clone(),
        status: stream_word(seen.state).into(),
        shards: seen.open_shards,
        warm: seen.warm.map(|warm| WarmStatus { target: warm.target, current: warm.current }),
    });
    if matches!(seen.state, StreamState::Active | StreamState::Updating) {
        let message = format!("{} open shards", seen.open_shards);
        draft.found(ConditionType::StreamReady, ConditionStatus::True, Reason::Active, message);
    }
    match (case.plan.warm_mib_per_second, seen.warm) {
        (None, _) => {
            draft.found(ConditionType::WarmThroughputReady, ConditionStatus::True, Reason::NotRequested, "")
        }
        (Some(wanted), Some(warm)) if warm.current >= wanted && warm.target >= wanted => {
            let message = format!("{} MiB/s", warm.current);
            draft.found(ConditionType::WarmThroughputReady, ConditionStatus::True, Reason::Reached, message);
        }
        (Some(_), _) => {}
    }
}

fn stream_word(state: StreamState) -> &'static str {
    match state {
        StreamState::Creating => "CREATING",
        StreamState::Active => "ACTIVE",
        StreamState::Updating => "UPDATING",
        StreamState::Deleting => "DELETING",
    }
}

/// The longest time that a task of this run took to start, as far as seen.
pub(super) fn slowest_start(case: &Case<'_>, world: &World) -> Option<Duration> {
    let seen = world.tasks.iter().filter_map(|task| Some(task.started_at?.since(task.created_at?))).max();
    let held = case.subject.status.generators.as_ref().and_then(|held| held.slowest_start_seconds);
    seen.max(held.map(|seconds| Duration::from_secs(seconds.into())))
}

/// Notes the tasks.
pub(super) fn note_generators(
    case: &Case<'_>,
    world: &World,
    control: Option<&ControlStatus>,
    needed: u32,
    draft: &mut Draft,
) {
    let running = world.tasks.iter().filter(|task| task.state == TaskState::Running).count();
    let admitted = control.map_or(0, |control| slots(control).into_iter().flatten().count());
    let desired = world.service.present().map_or(0, |service| service.desired);
    draft.status.generators = Some(GeneratorsStatus {
        desired,
        running: count(running),
        admitted: count(admitted),
        slowest_start_seconds: slowest_start(case, world)
            .map(|slowest| u32::try_from(slowest.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)),
    });
    let (status, reason) = match (count(running), control.is_some()) {
        (running, _) if running >= needed => (ConditionStatus::True, Reason::TasksRunning),
        (_, false) => (ConditionStatus::False, Reason::TasksStarting),
        (_, true) => (ConditionStatus::False, Reason::TasksShort),
    };
    draft.found(ConditionType::GeneratorsReady, status, reason, format!("{running} of {needed} tasks run"));
}

fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}

/// Notes which phase it is, and every phase's instants.
pub(super) fn note_phase(case: &Case<'_>, timeline: &Timeline, draft: &mut Draft) {
    let of = timeline.phases.len();
    if let Some((index, window)) = timeline.phase_at(case.now) {
        let entered = draft.status.phase.as_ref().is_none_or(|held| held.name != window.name);
        if entered {
            draft.notices.push(Notice::phase_started(
                case.run.number,
                &window.name,
                index + 1,
                of,
                window.rate,
            ));
        }
        draft.status.phase = Some(PhaseStatus {
            name: window.name.clone(),
            index: count(index + 1),
            of: count(of),
            starts_at: window.starts_at,
            ends_at: window.ends_at,
            records_per_second: window.rate,
        });
    }
    let held = std::mem::take(&mut draft.status.phases);
    draft.status.phases = (timeline.phases.iter())
        .map(|window| {
            let measured = held.iter().find(|report| report.name == window.name);
            PhaseReport {
                name: window.name.clone(),
                records_per_second: window.rate,
                tasks: window.tasks,
                starts_at: window.starts_at,
                ends_at: window.ends_at,
                books: measured.map(|report| report.books.clone()).unwrap_or_default(),
                latency_ms: measured.and_then(|report| report.latency_ms),
            }
        })
        .collect();
    if let Some(run) = &mut draft.status.run {
        run.ends_at = timeline.ends_at().map(|ends_at| ends_at.min(case.deadline_at));
    }
}

/// Notes the books, if the ledgers were read; settled ones also without, as far as they are known.
pub(super) fn note_traffic(
    case: &Case<'_>,
    world: &World,
    control: &ControlStatus,
    settled: bool,
    draft: &mut Draft,
) {
    let timings = &case.subject.settings.timings;
    let until: MicroTime = case.traffic_ends_at(control).min(case.now);
    let (ledgers, unheard_for) = match &world.ledgers {
        LedgersSeen::Read(ledgers) => (ledgers, timings.ledger_every),
        LedgersSeen::Refused { known, .. } if settled => (known, until.since(control.traffic_starts_at)),
        LedgersSeen::Unread | LedgersSeen::Refused { .. } => return,
    };
    let timeline = case.timeline(control);
    let evidence = Evidence {
        timeline: &timeline,
        assignments: &control.assignments,
        folded: &control.folded,
        ledgers,
        cap_per_task: case.plan.cap_per_task,
        unheard_for,
        until,
    };
    let mut phases = evidence.books();
    if !settled {
        // Until the last word is in, what is missing is mostly on its way.
        phases.iter_mut().for_each(|phase| (phase.books.unoffered, phase.books.unreported) = (0, 0));
    }
    for (report, measured) in draft.status.phases.iter_mut().zip(&phases) {
        report.books = measured.books.clone();
        report.latency_ms = latency_status(&measured.latency);
    }
    let books = total(phases.iter().map(|phase| &phase.books));
    let rate = evidence.rate(case.now, timings.ledger_every, timings.log_delay).filter(|_| !settled);
    let mut traffic = TrafficStatus { books, sampled_at: case.now, settled, ..TrafficStatus::default() };
    traffic.set_rate(rate);
    draft.status.traffic = Some(traffic);
}

//! What was seen, written into status: the stream, the tasks, the books.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kinesis_demo_api::MicroTime;
use kinesis_demo_api::accounting::{latency_status, total};
use kinesis_demo_api::conditions::{self, ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::status::{
    ControlStatus, GeneratorsStatus, PhaseReport, PhaseStatus, Stage, StreamStatus, TrafficStatus, WarmStatus,
};
use kinesis_demo_api::timeline::Timeline;

use super::task_failures::{failure_clause, note_failures};
use super::{Case, Draft};
use crate::aws::{StreamState, TaskState, Warm};
use crate::reconcile::error::reason;
use crate::reconcile::observe::{Observed, ObservedState};
use crate::reconcile::resources::control::slots;
use crate::reconcile::run_event::Notice;

/// Notes the stream, if it was looked at. A look that was refused keeps what was known of it.
pub(super) fn note_stream(case: &Case<'_>, state: &ObservedState, draft: &mut Draft) {
    use ConditionStatus::{False, True, Unknown};
    use ConditionType::{StreamReady, WarmThroughputReady};

    let seen = match &state.stream {
        Observed::Unread => return,
        Observed::Refused(error) => {
            draft.found(StreamReady, Unknown, reason(error), error.to_string());
            if case.plan.warm_mib_per_second.is_some() {
                draft.found(WarmThroughputReady, Unknown, reason(error), error.to_string());
            }
            return;
        }
        Observed::Present(seen) if !case.is_another_stream(seen) => seen,
        Observed::Absent | Observed::Present(_) => {
            if let Some(held) = &mut draft.status.stream {
                held.set_deleted();
                let message = format!("stream {} is not there", case.names.stream);
                draft.found(StreamReady, False, Reason::Lost, message.clone());
                if case.plan.warm_mib_per_second.is_some() {
                    draft.found(WarmThroughputReady, False, Reason::Lost, message);
                }
            }
            return;
        }
    };
    let held = draft.status.stream.as_ref();
    let made_at = held.and_then(|held| held.created_at);
    let warm_requests = held.map_or(0, |held| held.warm_requests);
    draft.status.stream = Some(StreamStatus {
        name: case.names.stream.clone(),
        created_at: made_at.or(seen.created_at),
        arn: seen.arn.clone(),
        status: stream_word(seen.state).into(),
        shards: seen.open_shards,
        warm: (seen.warm.filter(|_| case.plan.warm_mib_per_second.is_some()))
            .map(|warm| WarmStatus { target: warm.target, current: warm.current }),
        warm_requests,
    });
    match seen.state {
        StreamState::Active | StreamState::Updating => {
            let message = format!("{} open shards", seen.open_shards);
            draft.found(StreamReady, True, Reason::Active, message);
        }
        StreamState::Creating => {
            let message = format!("stream {} is being created", case.names.stream);
            draft.found(StreamReady, False, Reason::Creating, message);
        }
        StreamState::Deleting => {
            let message = format!("stream {} is being deleted", case.names.stream);
            draft.found(StreamReady, False, Reason::Lost, message);
        }
    }
    let Some(wanted) = case.plan.warm_mib_per_second else {
        return draft.found(WarmThroughputReady, True, Reason::NotRequested, "");
    };
    let warm = seen.warm.unwrap_or(Warm { target: 0, current: 0 });
    if warm.current >= wanted && warm.target >= wanted {
        draft.found(WarmThroughputReady, True, Reason::Reached, format!("{} MiB/s", warm.current));
    } else if case.subject.status.stage > Some(Stage::Warming) {
        let message = format!(
            "the stream has {} of {wanted} MiB/s, and its target is {} MiB/s: somebody changed it",
            warm.current, warm.target
        );
        draft.found(WarmThroughputReady, False, Reason::Lost, message);
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
pub(super) fn slowest_start(case: &Case<'_>, state: &ObservedState) -> Option<Duration> {
    let seen =
        state.seen_tasks().iter().filter_map(|task| Some(task.started_at?.since(task.created_at?))).max();
    let held = case.subject.status.generators.as_ref().and_then(|held| held.slowest_start_seconds);
    seen.max(held.map(|seconds| Duration::from_secs(seconds.into())))
}

/// Notes the tasks. What could not be seen stays as it was seen last.
pub(super) fn note_generators(
    case: &Case<'_>,
    state: &ObservedState,
    control: Option<&ControlStatus>,
    needed: u32,
    draft: &mut Draft,
) {
    let held = draft.status.generators.take().unwrap_or_default();
    let running = state.tasks.present().map_or(held.running, |tasks| {
        count(tasks.iter().filter(|task| task.state == TaskState::Running).count())
    });
    let desired = match &state.service {
        Observed::Present(service) => service.desired,
        Observed::Absent => 0,
        Observed::Unread | Observed::Refused(_) => held.desired,
    };
    let admitted = control.map_or(0, |control| slots(control).into_iter().flatten().count());
    draft.status.generators = Some(GeneratorsStatus {
        desired,
        running,
        admitted: count(admitted),
        slowest_start_seconds: slowest_start(case, state)
            .map(|slowest| u32::try_from(slowest.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)),
        ..held
    });
    note_failures(case, state, draft);
    if let Some(error) = state.tasks.refusal().or_else(|| state.service.refusal()) {
        let message = format!("{error}; {running} of {needed} tasks ran when they were last seen");
        draft.found(ConditionType::GeneratorsReady, ConditionStatus::Unknown, reason(error), message);
        return;
    }
    let (status, why) = match control.is_some() {
        _ if running >= needed => (ConditionStatus::True, Reason::TasksRunning),
        false => (ConditionStatus::False, Reason::TasksStarting),
        true => (ConditionStatus::False, Reason::TasksShort),
    };
    let failure = match status {
        ConditionStatus::True => String::new(),
        _ => failure_clause(&draft.status),
    };
    let message = format!("{running} of {needed} tasks run{failure}");
    draft.found(ConditionType::GeneratorsReady, status, why, message);
}

/// Notes whether our clock and AWS's agree: the operator judges by its own, and the tasks send by theirs.
pub(super) fn note_clock(state: &ObservedState, draft: &mut Draft) {
    use ConditionType::ClockSkew;
    let Some(skew) = state.clock_skew else { return };
    let Some(differs) = skew.differs() else {
        // A single answer tells a second's worth: until more narrow it down, what was known stands.
        let is_known = conditions::find(&draft.status.conditions, ClockSkew)
            .is_some_and(|held| held.status != ConditionStatus::Unknown);
        if skew.agrees() || !is_known {
            draft.found(ClockSkew, ConditionStatus::False, Reason::ClocksAgree, "");
        }
        return;
    };
    let message = clock_message(&differs);
    // How far is told anew with every look; that it is off, once.
    if !conditions::is_true(&draft.status.conditions, ClockSkew) {
        draft.notices.push(Notice::clocks_differ(&message));
    }
    draft.found(ClockSkew, ConditionStatus::True, Reason::ClocksDiffer, message);
}

/// What is said of a clock that is off.
pub(super) fn clock_message(differs: &str) -> String {
    format!("the operator's clock is {differs} AWS's; set the clock of its node (NTP)")
}

/// Tells, once per phase, that fewer tasks send than the phase needs at this instant.
pub(super) fn note_short_fleet(case: &Case<'_>, timeline: &Timeline, draft: &mut Draft) {
    let needed_now = timeline.tasks_needed(case.now, case.now);
    let Some(generators) = &draft.status.generators else { return };
    let (running, phase) = (generators.running, draft.status.phase.as_ref().map(|held| held.name.clone()));
    let Some(phase) = phase.filter(|_| running < needed_now) else { return };
    let Some(report) = draft.status.phases.iter_mut().find(|report| report.name == phase) else { return };
    if !std::mem::replace(&mut report.fleet_was_short, true) {
        draft.notices.push(Notice::fleet_is_short(case.run.number, &phase, running, needed_now));
    }
}

fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}

/// Notes which phase it is, and every phase's instants.
pub(super) fn note_phase(case: &Case<'_>, timeline: &Timeline, draft: &mut Draft) {
    let of = timeline.phases.len();
    if let Some((index, window)) = timeline.phase_at(case.now) {
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
    let runs = case.subject.status.stage == Some(Stage::Running);
    draft.status.phases = (timeline.phases.iter().enumerate())
        .map(|(index, window)| {
            let measured = held.iter().find(|report| report.name == window.name);
            let had_begun = measured.is_some_and(|report| report.begun);
            // Once in a run, though the schedule may move a boundary to and fro.
            let begins = !had_begun && runs && case.now >= window.starts_at && case.now < window.ends_at;
            if begins {
                draft.notices.push(Notice::phase_started(
                    case.run.number,
                    &window.name,
                    index + 1,
                    of,
                    window.rate,
                ));
            }
            PhaseReport {
                name: window.name.clone(),
                records_per_second: window.rate,
                tasks: window.tasks,
                starts_at: window.starts_at,
                ends_at: window.ends_at,
                begun: had_begun || begins,
                fleet_was_short: measured.is_some_and(|report| report.fleet_was_short),
                books: measured.map(|report| report.books.clone()).unwrap_or_default(),
                latency_ms: measured.and_then(|report| report.latency_ms),
            }
        })
        .collect();
    if let Some(run) = &mut draft.status.run {
        run.ends_at = timeline.ends_at().map(|ends_at| ends_at.min(case.deadline_at));
        run.ends = run.ends_at.map(|ends_at| Time(ends_at.next_whole_second()));
    }
}

/// Notes the totals, if the log was read to its end; settled ones also without, as far as they are known.
pub(super) fn note_traffic(
    case: &Case<'_>,
    state: &ObservedState,
    control: &ControlStatus,
    settled: bool,
    draft: &mut Draft,
) {
    let timings = case.timings;
    let until: MicroTime = case.traffic_ends_at(control).min(case.now);
    if let Observed::Refused(error) = &state.ledgers {
        let type_ = ConditionType::TrafficDelivered;
        draft.found(type_, ConditionStatus::Unknown, reason(error), error.to_string());
    }
    let (ledgers, unheard_for) = match &state.ledgers {
        Observed::Present(ledgers) => {
            let type_ = ConditionType::TrafficDelivered;
            draft.found(type_, ConditionStatus::Unknown, Reason::Running, "");
            (ledgers, timings.ledger_every)
        }
        _ if settled => (&state.known_ledgers, until.since(control.traffic_starts_at)),
        _ => return,
    };
    let timeline = case.timeline(control);
    let evidence = case.evidence(control, &timeline, ledgers, unheard_for, until);
    let mut phases = evidence.books();
    if !settled {
        // Until the last word is in, what is missing is mostly on its way.
        phases.iter_mut().for_each(|phase| (phase.books.unoffered, phase.books.unreported) = (0, 0));
    }
    for (report, measured) in draft.status.phases.iter_mut().zip(&phases) {
        if report.books.throttled == 0 && measured.books.throttled > 0 {
            draft.notices.push(Notice::throttling_began(case.run.number, &report.name));
        }
        report.books = measured.books.clone();
        report.latency_ms = latency_status(&measured.latency);
    }
    let books = total(phases.iter().map(|phase| &phase.books));
    let rate = evidence.rate(case.now, timings.ledger_every, timings.log_delay).filter(|_| !settled);
    let mut traffic = TrafficStatus { books, sampled_at: case.now, settled, ..TrafficStatus::default() };
    traffic.set_rate(rate);
    draft.status.traffic = Some(traffic);
}

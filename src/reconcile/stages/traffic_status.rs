//! Writes the observed state into status: the stream, the tasks, the totals.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kinesis_demo_api::MicroTime;
use kinesis_demo_api::accounting::{latency_status, total};
use kinesis_demo_api::conditions::{self, ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::control::ControlState;
use kinesis_demo_api::status::{
    ControlStatus, GeneratorsStatus, PhaseReport, PhaseStatus, Stage, StreamStatus, TrafficStatus, WarmStatus,
};
use kinesis_demo_api::timeline::Timeline;

use super::task_failures::{failure_clause, note_failures};
use super::{DecisionBuilder, RunContext};
use crate::aws::{StreamState, TaskState, Warm};
use crate::kubernetes::events::RunEvent;
use crate::reconcile::error::reason;
use crate::reconcile::observe::{Observed, ObservedState};
use crate::reconcile::resources::control::slots;

/// Records the stream, if it was read. A refused read keeps the known values.
pub(super) fn note_stream(ctx: &RunContext<'_>, state: &ObservedState, builder: &mut DecisionBuilder) {
    use ConditionStatus::{False, True, Unknown};
    use ConditionType::{StreamReady, WarmThroughputReady};

    let seen = match &state.stream {
        Observed::Unread => return,
        Observed::Refused(error) => {
            builder.found(StreamReady, Unknown, reason(error), error.to_string());
            if ctx.plan.warm_mib_per_second.is_some() {
                builder.found(WarmThroughputReady, Unknown, reason(error), error.to_string());
            }
            return;
        }
        Observed::Present(seen) if !ctx.is_another_stream(seen) => seen,
        Observed::Absent | Observed::Present(_) => {
            if let Some(stream) = &mut builder.status.stream {
                stream.set_deleted();
                let message = format!("stream {} does not exist", ctx.names.stream);
                builder.found(StreamReady, False, Reason::Lost, message.clone());
                if ctx.plan.warm_mib_per_second.is_some() {
                    builder.found(WarmThroughputReady, False, Reason::Lost, message);
                }
            }
            return;
        }
    };
    let known = builder.status.stream.as_ref();
    let created_at = known.and_then(|stream| stream.created_at);
    let warm_requests = known.map_or(0, |stream| stream.warm_requests);
    builder.status.stream = Some(StreamStatus {
        name: ctx.names.stream.clone(),
        created_at: created_at.or(seen.created_at),
        arn: seen.arn.clone(),
        status: stream_word(seen.state).into(),
        shards: seen.open_shards,
        warm: (seen.warm.filter(|_| ctx.plan.warm_mib_per_second.is_some()))
            .map(|warm| WarmStatus { target: warm.target, current: warm.current }),
        warm_requests,
    });
    match seen.state {
        StreamState::Active | StreamState::Updating => {
            let message = format!("{} open shards", seen.open_shards);
            builder.found(StreamReady, True, Reason::Active, message);
        }
        StreamState::Creating => {
            let message = format!("stream {} is being created", ctx.names.stream);
            builder.found(StreamReady, False, Reason::Creating, message);
        }
        StreamState::Deleting => {
            let message = format!("stream {} is being deleted", ctx.names.stream);
            builder.found(StreamReady, False, Reason::Lost, message);
        }
    }
    let Some(requested) = ctx.plan.warm_mib_per_second else {
        return builder.found(WarmThroughputReady, True, Reason::NotRequested, "");
    };
    let warm = seen.warm.unwrap_or(Warm { target: 0, current: 0 });
    if warm.current >= requested && warm.target >= requested {
        builder.found(WarmThroughputReady, True, Reason::Reached, format!("{} MiB/s", warm.current));
    } else if ctx.object.status.stage > Some(Stage::Warming) {
        let message = format!(
            "the stream has {} of {requested} MiB/s, and its target is {} MiB/s: someone changed it",
            warm.current, warm.target
        );
        builder.found(WarmThroughputReady, False, Reason::Lost, message);
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

/// The longest time that a task of this run took to start, as far as known.
pub(super) fn slowest_start(ctx: &RunContext<'_>, state: &ObservedState) -> Option<Duration> {
    let seen =
        state.seen_tasks().iter().filter_map(|task| Some(task.started_at?.since(task.created_at?))).max();
    let known = ctx.object.status.generators.as_ref().and_then(|generators| generators.slowest_start_seconds);
    seen.max(known.map(|seconds| Duration::from_secs(seconds.into())))
}

/// Records the tasks. Values that could not be read stay as they were.
pub(super) fn note_generators(
    ctx: &RunContext<'_>,
    state: &ObservedState,
    control: Option<&ControlStatus>,
    needed: u32,
    builder: &mut DecisionBuilder,
) {
    let known = builder.status.generators.take().unwrap_or_default();
    let running = state.tasks.present().map_or(known.running, |tasks| {
        count(tasks.iter().filter(|task| task.state == TaskState::Running).count())
    });
    let desired = match &state.service {
        Observed::Present(service) => service.desired,
        Observed::Absent => 0,
        Observed::Unread | Observed::Refused(_) => known.desired,
    };
    let admitted = control.map_or(0, |control| slots(control).into_iter().flatten().count());
    builder.status.generators = Some(GeneratorsStatus {
        desired,
        running,
        admitted: count(admitted),
        slowest_start_seconds: slowest_start(ctx, state)
            .map(|slowest| u32::try_from(slowest.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)),
        ..known
    });
    note_failures(ctx, state, builder);
    if let Some(error) = state.tasks.refusal().or_else(|| state.service.refusal()) {
        let message = format!("{error}; {running} of {needed} tasks ran at the last successful read");
        builder.found(ConditionType::GeneratorsReady, ConditionStatus::Unknown, reason(error), message);
        return;
    }
    let (status, why) = match control.is_some() {
        _ if running >= needed => (ConditionStatus::True, Reason::TasksRunning),
        false => (ConditionStatus::False, Reason::TasksStarting),
        true => (ConditionStatus::False, Reason::TasksMissing),
    };
    let failure = match status {
        ConditionStatus::True => String::new(),
        _ => failure_clause(&builder.status),
    };
    let message = format!("{running} of {needed} tasks run{failure}");
    builder.found(ConditionType::GeneratorsReady, status, why, message);
}

/// Records whether our clock and AWS's agree: the operator works by its own clock, and the tasks
/// send by theirs.
pub(super) fn note_clock(state: &ObservedState, builder: &mut DecisionBuilder) {
    use ConditionType::ClockSkew;
    let Some(skew) = state.clock_skew else { return };
    let Some(differs) = skew.differs() else {
        // A single response gives the difference only to a second. Until more responses narrow it
        // down, the known state stays.
        let is_known = conditions::find(&builder.status.conditions, ClockSkew)
            .is_some_and(|condition| condition.status != ConditionStatus::Unknown);
        if skew.agrees() || !is_known {
            builder.found(ClockSkew, ConditionStatus::False, Reason::ClocksAgree, "");
        }
        return;
    };
    let message = clock_message(&differs);
    // The condition shows the current difference; the Event is published once.
    if !conditions::is_true(&builder.status.conditions, ClockSkew) {
        builder.run_events.push(RunEvent::clocks_differ(&message));
    }
    builder.found(ClockSkew, ConditionStatus::True, Reason::ClocksDiffer, message);
}

/// The message for a clock that is off.
pub(super) fn clock_message(differs: &str) -> String {
    format!("the operator's clock is {differs} AWS's; set the clock of its node (NTP)")
}

/// Reports, once per phase, that fewer tasks run than the phase needs now.
pub(super) fn note_task_shortage(ctx: &RunContext<'_>, timeline: &Timeline, builder: &mut DecisionBuilder) {
    let needed_now = timeline.tasks_needed(ctx.now, ctx.now);
    let Some(generators) = &builder.status.generators else { return };
    let (running, phase) =
        (generators.running, builder.status.phase.as_ref().map(|phase| phase.name.clone()));
    let Some(phase) = phase.filter(|_| running < needed_now) else { return };
    let Some(report) = builder.status.phases.iter_mut().find(|report| report.name == phase) else { return };
    if !std::mem::replace(&mut report.tasks_were_missing, true) {
        builder.run_events.push(RunEvent::tasks_are_missing(ctx.run.number, &phase, running, needed_now));
    }
}

fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}

/// Records the current phase, the instants of every phase, and the end.
pub(super) fn note_phase(
    ctx: &RunContext<'_>,
    control: &ControlStatus,
    timeline: &Timeline,
    builder: &mut DecisionBuilder,
) {
    let of = timeline.phases.len();
    if let Some((index, window)) = timeline.phase_at(ctx.now) {
        builder.status.phase = Some(PhaseStatus {
            name: window.name.clone(),
            index: count(index + 1),
            of: count(of),
            starts_at: window.starts_at,
            ends_at: window.ends_at,
            records_per_second: window.rate,
        });
    }
    let reports = std::mem::take(&mut builder.status.phases);
    let runs = ctx.object.status.stage == Some(Stage::Running);
    builder.status.phases = (timeline.phases.iter().enumerate())
        .map(|(index, window)| {
            let measured = reports.iter().find(|report| report.name == window.name);
            let had_begun = measured.is_some_and(|report| report.begun);
            // Once per run, although the schedule may move a boundary back and forth.
            let begins = !had_begun && runs && ctx.now >= window.starts_at && ctx.now < window.ends_at;
            if begins {
                builder.run_events.push(RunEvent::phase_started(
                    ctx.run.number,
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
                tasks_were_missing: measured.is_some_and(|report| report.tasks_were_missing),
                totals: measured.map(|report| report.totals.clone()).unwrap_or_default(),
                latency_ms: measured.and_then(|report| report.latency_ms),
            }
        })
        .collect();
    note_end(ctx, control, timeline, builder);
}

/// Records when the traffic ends. Tasks continue to send until they have read the stop. So the
/// traffic ended when the schedule had reached the number of records that are known to count.
fn note_end(
    ctx: &RunContext<'_>,
    control: &ControlStatus,
    timeline: &Timeline,
    builder: &mut DecisionBuilder,
) {
    let ends_at = timeline.ends_at().map(|_| {
        let last = ctx.traffic_ends_at(control);
        match control.state {
            ControlState::Run => last,
            ControlState::Stop => {
                let counts = total(builder.status.phases.iter().map(|report| &report.totals)).scheduled;
                timeline.due_at(counts, control.effective_at.min(last), last)
            }
        }
    });
    if let Some(run) = &mut builder.status.run {
        run.ends_at = ends_at;
        run.ends = ends_at.map(|ends_at| Time(ends_at.next_whole_second()));
    }
}

/// Records the totals, if the log was read completely. Settled totals are recorded in any case, as
/// far as known.
pub(super) fn note_traffic(
    ctx: &RunContext<'_>,
    state: &ObservedState,
    control: &ControlStatus,
    settled: bool,
    builder: &mut DecisionBuilder,
) {
    let timings = ctx.timings;
    let until: MicroTime = ctx.traffic_ends_at(control).min(ctx.now);
    if let Observed::Refused(error) = &state.ledgers {
        let type_ = ConditionType::TrafficDelivered;
        builder.found(type_, ConditionStatus::Unknown, reason(error), error.to_string());
    }
    let (ledgers, unreported_for) = match &state.ledgers {
        Observed::Present(ledgers) => {
            let type_ = ConditionType::TrafficDelivered;
            builder.found(type_, ConditionStatus::Unknown, Reason::Running, "");
            (ledgers, timings.ledger_every)
        }
        _ if settled => (&state.known_ledgers, until.since(control.traffic_starts_at)),
        _ => return,
    };
    let timeline = ctx.timeline(control);
    let accounting_inputs = ctx.accounting_inputs(control, &timeline, ledgers, unreported_for, until);
    let mut phases = accounting_inputs.totals();
    if !settled {
        // Until the final ledger lines are read, missing records are mostly just not reported yet.
        phases.iter_mut().for_each(|phase| (phase.totals.unoffered, phase.totals.unreported) = (0, 0));
    }
    for (report, measured) in builder.status.phases.iter_mut().zip(&phases) {
        if report.totals.throttled == 0 && measured.totals.throttled > 0 {
            builder.run_events.push(RunEvent::throttling_began(ctx.run.number, &report.name));
        }
        report.totals = measured.totals.clone();
        report.latency_ms = latency_status(&measured.latency);
    }
    note_end(ctx, control, &timeline, builder);
    let totals = total(phases.iter().map(|phase| &phase.totals));
    let rate = accounting_inputs.rate(ctx.now, timings.ledger_every, timings.log_delay).filter(|_| !settled);
    let mut traffic = TrafficStatus { totals, sampled_at: ctx.now, settled, ..TrafficStatus::default() };
    traffic.set_rate(rate);
    builder.status.traffic = Some(traffic);
}

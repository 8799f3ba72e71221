//! The end of the traffic: nobody sends any more, everybody finishes what is in flight and says a last word, then the tasks
//! go. Only then is anything removed.

use std::time::Duration;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::control::ControlState;
use kinesis_demo_api::status::{ControlStatus, Outcome, Stage};

use super::control::{publication, stop};
use super::fleet::running;
use super::measure::{note_generators, note_phase, note_traffic};
use super::{Case, Draft, Effect};
use crate::aws::{AwsErrorClass, ServiceState, TaskState};
use crate::run::observe::{LedgersSeen, World};
use crate::run::verdict;

/// How long a run whose traffic is over waits for a log that cannot be read. What its tasks did since the last reading then counts as
/// unreported.
const LOG_PATIENCE: Duration = Duration::from_secs(600);

/// After SIGTERM a task has 30 s; ECS takes a while to notice. Beyond this the service is removed with whatever runs.
const STOP_TIMEOUT: Duration = Duration::from_secs(150);

pub(super) fn decide_draining(case: &Case<'_>, world: &World, mut draft: Draft) -> Draft {
    let timings = &case.subject.settings.timings;
    let control = case.subject.status.control.as_ref();
    draft.status.phase = None;
    note_generators(case, world, control, 0, &mut draft);
    draft.wake_at(case.now + timings.poll_every);

    if let Some(control) = control {
        let timeline = case.timeline(control);
        if control.state == ControlState::Run {
            let ends_at = timeline.ends_at().unwrap_or(case.now).min(case.deadline_at);
            draft.status.control = Some(stop(case, control, ends_at));
            draft.progress("stopping the traffic");
            return draft;
        }
        note_phase(case, &timeline, &mut draft);
        draft.status.phase = None;
        // The window between the last send and here was spent under an earlier version; the stop itself needs no notice.
        if world.parameter.present().is_some() {
            draft.effects.extend(publication(case, control, world));
        }
        if !everybody_is_silent(case, world, control) {
            note_traffic(case, world, control, false, &mut draft);
            draft.progress("waiting for what is in flight");
            return draft;
        }
    }

    let alive = world.tasks.iter().any(|task| task.state != TaskState::Stopped);
    let service = world.service.present().filter(|seen| seen.state == ServiceState::Active);
    let service_is_empty =
        service.is_none_or(|seen| seen.desired == 0 && seen.running == 0 && seen.pending == 0);
    let out_of_time = case.now >= case.run.stage_entered_at + timings.drain + STOP_TIMEOUT;
    if (alive || !service_is_empty) && !out_of_time {
        if service.is_some_and(|seen| seen.desired > 0) {
            let arns: Vec<String> = running(world).into_iter().map(|seen| seen.arn.clone()).collect();
            let (cluster, service) = (case.names.cluster.clone(), case.names.service.clone());
            if !arns.is_empty() {
                draft.effects.push(Effect::ReleaseTasks { cluster: cluster.clone(), arns });
            }
            draft.effects.push(Effect::ResizeService { cluster, service, desired: 0 });
        }
        if let Some(control) = control {
            note_traffic(case, world, control, false, &mut draft);
        }
        draft.progress("waiting for the tasks to stop");
        return draft;
    }
    draft.found(
        ConditionType::GeneratorsReady,
        ConditionStatus::False,
        Reason::Released,
        "all tasks have stopped",
    );
    let quiet_at = case.run.quiet_at.unwrap_or(case.now);
    if let Some(run) = &mut draft.status.run {
        run.quiet_at = Some(quiet_at);
    }
    match control {
        Some(control) => settle(case, world, control, quiet_at, draft),
        None => enter_cleanup(case, draft),
    }
}

/// Whether every running task has said its last word since the traffic stopped, or has had the time to.
fn everybody_is_silent(case: &Case<'_>, world: &World, control: &ControlStatus) -> bool {
    let timings = &case.subject.settings.timings;
    if case.now >= control.effective_at + timings.read_lease + timings.drain {
        return true;
    }
    let Some(ledgers) = world.ledgers.read() else { return false };
    let stopped_at = case.traffic_ends_at(control).min(control.effective_at);
    control.assignments.iter().filter(|held| running(world).iter().any(|seen| seen.id == held.task)).all(
        |held| {
            // A tenure that ended earlier was followed by a last word of its own.
            let spoke_after = held.until.map_or(stopped_at, |until| until.min(stopped_at));
            ledgers.of(&held.task).is_some_and(|line| line.is_final && line.at >= spoke_after)
        },
    )
}

/// Closes the books once every task's last word is in, or cannot come any more.
fn settle(
    case: &Case<'_>,
    world: &World,
    control: &ControlStatus,
    quiet_at: MicroTime,
    mut draft: Draft,
) -> Draft {
    let timings = &case.subject.settings.timings;
    let give_up_at = quiet_at + timings.log_delay + LOG_PATIENCE;
    let ledgers = match &world.ledgers {
        LedgersSeen::Read(ledgers) => ledgers,
        // What is still there costs money. A log that is gone does not come back.
        LedgersSeen::Refused { known, why }
            if why.class == AwsErrorClass::NotFound || case.now >= give_up_at =>
        {
            known
        }
        LedgersSeen::Unread | LedgersSeen::Refused { .. } => {
            draft.progress("reading the ledgers");
            return draft;
        }
    };
    let everybody_spoke = control
        .assignments
        .iter()
        .all(|held| ledgers.of(&held.task).is_some_and(|line| line.is_final && line.at >= held.from));
    let in_time = case.now < quiet_at + timings.log_delay;
    note_traffic(case, world, control, !in_time || everybody_spoke, &mut draft);
    if !everybody_spoke && in_time {
        draft.progress("waiting for the last words of the tasks");
        return draft;
    }
    if let Some(run) = &mut draft.status.run
        && run.outcome == Some(Outcome::Succeeded)
        && let Some(traffic) = &draft.status.traffic
        && let Some((reason, message)) = verdict::failure(&traffic.books)
    {
        run.outcome = Some(Outcome::Failed);
        run.reason = Some(reason);
        run.message = Some(message);
    }
    enter_cleanup(case, draft)
}

fn enter_cleanup(case: &Case<'_>, mut draft: Draft) -> Draft {
    if let Some(traffic) = &mut draft.status.traffic {
        traffic.set_rate(None);
    }
    draft.enter(Stage::CleaningUp, case.now, "");
    draft
}

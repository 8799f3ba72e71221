//! Claims on the control document: what the next version says and when it takes effect. In: the
//! claims so far, and the document in the parameter. Out: the next claims, and the write that makes
//! the parameter agree with them.
//!
//! Two versions must never be in effect at once. So a version takes effect only a read lease and a
//! clock skew after it was published, it is published only if there is time for that, and no
//! version follows before the previous one is in effect.

use std::time::Duration;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::{ControlDocument, ControlState, TaskId};
use kinesis_demo_api::interruptions::{TooManyInterruptions, with_interruption};
use kinesis_demo_api::status::{Assignment, ControlStatus, Interruption, Stage};

use super::parameter::ParameterState;
use super::task_scaling::holders;
use super::{Effect, RunContext};
use crate::reconcile::observe::{Observed, ObservedState};

/// The version that this leader has published, if it is the claimed one and still valid. The tasks
/// have it, so it may be written back unchanged.
fn published_by_us<'a>(ctx: &RunContext<'a>, control: &ControlStatus) -> Option<&'a ControlDocument> {
    ctx.known.map(|known| &known.document).filter(|known| {
        (known.version, known.effective_at, known.state)
            == (control.version, control.effective_at, control.state)
            && ctx.now <= known.valid_until
    })
}

/// The document that is in the parameter, as far as this leader knows. Only a known document is
/// overwritten without a read.
fn in_place<'a>(ctx: &RunContext<'a>) -> Option<&'a ControlDocument> {
    ctx.known.filter(|known| known.in_place).map(|known| &known.document)
}

/// What a reconcile does for the tasks before any read.
#[derive(Debug, PartialEq)]
pub enum FirstStep {
    /// Nothing is due.
    None,
    /// Store these claims first.
    Claim(Box<ControlStatus>),
    /// Apply these writes: they carry out claims, and no read can change them.
    Apply(Vec<Effect>),
}

/// What is due before any read: the renewal of a version that this leader has read or written, and,
/// when the traffic ends, `Stop` and a service of size zero.
pub fn first_step(ctx: &RunContext<'_>) -> FirstStep {
    let Some(control) = &ctx.object.status.control else { return FirstStep::None };
    let draining = match ctx.object.status.stage {
        Some(Stage::Running) if control.state == ControlState::Run => false,
        Some(Stage::Draining) => true,
        _ => return FirstStep::None,
    };
    if draining && control.state == ControlState::Run {
        let ends_at = ctx.timeline(control).ends_at().unwrap_or(ctx.now).min(ctx.deadline_at);
        return FirstStep::Claim(Box::new(stop(ctx, control, ends_at)));
    }
    if !draining {
        return renewal(ctx, control);
    }
    // After `Stop` no task sends, whatever the parameter contains. That this leader knows a
    // document proves that the parameter exists: overwriting a missing one would create it without
    // tags.
    let desired = ctx.document(control);
    // While `Stop` cannot be written, the tasks continue under the document they have. So the end
    // is claimed again.
    let tasks_run = ctx.object.status.generators.as_ref().is_none_or(|generators| generators.running > 0);
    if tasks_run
        && in_place(ctx).is_some_and(|document| lets_send(ctx, document))
        && ctx.now > control.effective_at + ctx.timings.publish_within
    {
        return FirstStep::Claim(Box::new(redated_stop(ctx, control)));
    }
    let is_due = in_place(ctx).is_some_and(|known| *known != desired && known.epoch <= desired.epoch);
    let stop = is_due.then(|| write(ctx, &desired)).flatten();
    let effects: Vec<Effect> = stop.into_iter().chain(size_zero(ctx, control)).collect();
    if effects.is_empty() { FirstStep::None } else { FirstStep::Apply(effects) }
}

/// Whether tasks may still send under `document`.
fn lets_send(ctx: &RunContext<'_>, document: &ControlDocument) -> bool {
    document.state == ControlState::Run && ctx.now <= document.valid_until
}

/// Whether `Stop` should have been written by now but could not be. Then only the service can stop
/// the tasks.
pub(super) fn stop_is_late(ctx: &RunContext<'_>) -> bool {
    let publish_within = ctx.timings.publish_within;
    // A write without a response may have happened. Until a read proves it, it counts as late.
    let last = ctx.known.map(|known| &known.document);
    last.is_some_and(|last| lets_send(ctx, last)) && ctx.now > ctx.run.stage_entered_at + publish_within
}

/// The renewal of the version that the tasks follow: the claimed one, or the previous one until the
/// claimed one is published. This leader must have read or written it.
fn renewal(ctx: &RunContext<'_>, control: &ControlStatus) -> FirstStep {
    let timings = ctx.timings;
    let Some(known) = in_place(ctx) else { return FirstStep::None };
    let is_ours = known.epoch == control.epoch && control.epoch == ctx.object.epoch;
    if !is_ours || known.state != ControlState::Run || ctx.now > known.valid_until {
        return FirstStep::None;
    }
    let desired = ctx.document(control);
    let is_claimed = known.version == control.version && known.effective_at == control.effective_at;
    let is_before = known.version + 1 == control.version && known.ends_by == desired.ends_by;
    if !is_claimed && !is_before {
        return FirstStep::None;
    }
    let renew_at = known.valid_until - (timings.valid_for - timings.renew_every);
    if desired.valid_until > known.valid_until && (is_claimed || ctx.now >= renew_at) {
        // The same version. Only its validity, the visible part of the schedule, and the read
        // interval and lease change.
        let ControlDocument { valid_until, segments, read_every_seconds, read_lease_seconds, .. } = desired;
        let renewed = ControlDocument {
            valid_until,
            segments,
            read_every_seconds,
            read_lease_seconds,
            ..known.clone()
        };
        return write(ctx, &renewed).map_or(FirstStep::None, |effect| FirstStep::Apply(vec![effect]));
    }
    // A document that was shortened to fit is valid for less than was claimed. Claiming again at
    // once would gain nothing.
    let claimed_at = control.valid_until - timings.valid_for;
    let may_claim = ctx.now >= claimed_at + timings.renew_every / 2;
    match ctx.now >= renew_at && may_claim {
        true => FirstStep::Claim(Box::new(renewed(ctx, control))),
        false => FirstStep::None,
    }
}

/// Scales the service to zero once every task has had time to finish, even if little is known about
/// them.
fn size_zero(ctx: &RunContext<'_>, control: &ControlStatus) -> Option<Effect> {
    let timings = ctx.timings;
    let generators = ctx.object.status.generators.as_ref()?;
    let drain_is_over = ctx.now >= control.effective_at + timings.read_lease + timings.drain;
    (drain_is_over && generators.desired > 0).then(|| ctx.resize(0))
}

fn write(ctx: &RunContext<'_>, document: &ControlDocument) -> Option<Effect> {
    let text = document.to_text().ok()?;
    Some(Effect::WriteParameter { name: ctx.names.parameter.clone(), text, tags: ctx.tags() })
}

/// The same version, valid for longer.
fn renewed(ctx: &RunContext<'_>, control: &ControlStatus) -> ControlStatus {
    ControlStatus { epoch: ctx.object.epoch, valid_until: ctx.now + ctx.timings.valid_for, ..control.clone() }
}

/// The first version: traffic starts at this instant, with `tasks` in the slots.
pub(super) fn first_claim(ctx: &RunContext<'_>, tasks: &[TaskId], starts_at: MicroTime) -> ControlStatus {
    let timings = ctx.timings;
    let assignments = tasks.iter().zip(0..).map(|(task, slot)| Assignment {
        slot,
        task: task.clone(),
        from: starts_at,
        until: None,
    });
    ControlStatus {
        epoch: ctx.object.epoch,
        version: 1,
        state: ControlState::Run,
        effective_at: starts_at,
        valid_until: ctx.now + timings.valid_for,
        traffic_starts_at: starts_at,
        interruptions: Vec::new(),
        assignments: assignments.collect(),
        folded: Vec::new(),
    }
}

/// What happens to the claims.
#[derive(Debug, PartialEq)]
pub(super) enum ControlUpdate {
    /// They stay; the parameter must be made to agree with them.
    Stand,
    /// New claims, to be stored before anything else happens. The schedule moves by this time.
    Claim(Box<ControlStatus>, Duration),
    /// Nothing may be written until more is known.
    Wait,
    /// The traffic was interrupted more often than status can record: the schedule cannot be
    /// followed.
    GiveUp(TooManyInterruptions),
}

impl ControlUpdate {
    fn redated(claim: Result<(ControlStatus, Duration), TooManyInterruptions>) -> Self {
        match claim {
            Ok((claim, moved)) => Self::Claim(Box::new(claim), moved),
            Err(too_many) => Self::GiveUp(too_many),
        }
    }
}

/// Keeps the claims valid: takes over what an earlier leader published, redates an unpublished
/// version whose time has run out, and moves the schedule by a time in which no document was valid.
pub(super) fn control_update(
    ctx: &RunContext<'_>,
    control: &ControlStatus,
    parameter: &ParameterState,
) -> ControlUpdate {
    let timings = ctx.timings;
    match parameter {
        ParameterState::Unknown | ParameterState::Foreign(_) => ControlUpdate::Wait,
        // A version that the tasks already have is written back unchanged, whatever replaced it.
        ParameterState::Ahead(_) | ParameterState::Unpublished(_)
            if control.epoch == ctx.object.epoch && published_by_us(ctx, control).is_some() =>
        {
            ControlUpdate::Stand
        }
        ParameterState::Published(document)
            if ctx.now > document.valid_until
                && control.epoch == ctx.object.epoch
                && published_by_us(ctx, control).is_some() =>
        {
            ControlUpdate::Stand
        }
        ParameterState::Ahead(document) => {
            let base = ControlStatus { version: control.version.max(document.version), ..control.clone() };
            ControlUpdate::redated(redated(ctx, &base, Some(document)))
        }
        ParameterState::Unpublished(document) => {
            let notice =
                if control.version == 1 { timings.start_notice() } else { timings.read_lease + timings.skew };
            if ctx.now + notice <= control.effective_at && control.epoch == ctx.object.epoch {
                return ControlUpdate::Stand;
            }
            // A new leader keeps the instant at which the other members of the cohort start.
            if ctx.now + notice <= control.effective_at && control.version == 1 && ctx.run.cohort.is_some() {
                return ControlUpdate::Claim(Box::new(renewed(ctx, control)), Duration::ZERO);
            }
            ControlUpdate::redated(redated(ctx, control, document.as_ref()))
        }
        ParameterState::Published(document) => {
            if ctx.now > document.valid_until {
                return ControlUpdate::redated(redated(ctx, control, Some(document)));
            }
            // Tasks that have read someone else's document with our version number do not treat
            // ours as its renewal. They follow a new number.
            let contradicts = !document.agrees_with(&ctx.document(control));
            if contradicts && control.epoch == ctx.object.epoch && may_change(ctx, control, parameter) {
                let claim = change_slots(ctx, control, &holders(control));
                return ControlUpdate::Claim(Box::new(claim), Duration::ZERO);
            }
            // From then on `first_step` renews it.
            if control.epoch != ctx.object.epoch {
                return ControlUpdate::Claim(Box::new(renewed(ctx, control)), Duration::ZERO);
            }
            ControlUpdate::Stand
        }
    }
}

/// The claims of `control` as a version that can still be published in time. Changes planned for
/// the old instant happen at the new one. If `document` allows no sending for some time before
/// that, the schedule moves by that time.
fn redated(
    ctx: &RunContext<'_>,
    control: &ControlStatus,
    document: Option<&ControlDocument>,
) -> Result<(ControlStatus, Duration), TooManyInterruptions> {
    let timings = ctx.timings;
    let never_sent = document.is_some_and(|document| document.version == 0) && control.version == 1;
    let effective_at = ctx.now + if never_sent { timings.start_takes() } else { timings.change_takes() };
    let published = document.is_some_and(|document| document.version >= control.version);
    // A number that no task has read is used again. A task treats a gap between numbers as a
    // version that it has missed, and stops sending until the next one is in effect.
    let mut claim = ControlStatus {
        epoch: ctx.object.epoch,
        version: control.version.saturating_add(u64::from(published)),
        effective_at,
        valid_until: ctx.now + timings.valid_for,
        ..control.clone()
    };
    if !published {
        for assignment in &mut claim.assignments {
            if assignment.from == control.effective_at {
                assignment.from = effective_at;
            }
            if assignment.until == Some(control.effective_at) {
                assignment.until = Some(effective_at);
            }
        }
    }
    if never_sent {
        claim.traffic_starts_at = effective_at;
        return Ok((claim, Duration::ZERO));
    }
    // From here on no task sends. Without a document the tasks stop when their read lease ends, or
    // when the document that they read last expires. What they do not send until then is not sent
    // later.
    let last_valid = ctx.known.map_or(control.valid_until, |known| known.document.valid_until);
    let unread = || last_valid.min(ctx.now + timings.read_lease);
    let silent_from = document.map_or_else(unread, |document| match document.state {
        ControlState::Run => document.valid_until,
        ControlState::Stop => control.effective_at,
    });
    let last_interruption =
        claim.interruptions.last().map_or(claim.traffic_starts_at, |interruption| interruption.until);
    // What this leader has written itself counts, even if the parameter shows something older
    // again.
    let known = ctx.known.map(|known| &known.document).filter(|known| known.state == ControlState::Run);
    let known_until = known.map_or(MicroTime::from_micros(i64::MIN), |known| known.valid_until);
    let silent_from = silent_from.max(last_interruption).max(known_until);
    let moved = effective_at.since(silent_from);
    if !moved.is_zero() {
        claim.interruptions =
            with_interruption(&claim.interruptions, Interruption { from: silent_from, until: effective_at })?;
    }
    Ok((claim, moved))
}

/// The interval at which the tasks should read from now on, if it is longer than the current one.
/// It changes only while no version waits to take effect, because each version takes effect after
/// the longest lease that a task may have.
pub(super) fn longer_interval(
    ctx: &RunContext<'_>,
    control: &ControlStatus,
    parameter: &ParameterState,
) -> Option<u32> {
    let current = ctx.timings.read_every.as_secs();
    let is_settled = matches!(parameter, ParameterState::Published(_)) && ctx.now >= control.effective_at;
    (is_settled && u64::from(ctx.desired_read_every) > current).then_some(ctx.desired_read_every)
}

/// Whether a new version may be claimed: the previous one is published, in effect, and valid until
/// the new one takes effect.
pub(super) fn may_change(ctx: &RunContext<'_>, control: &ControlStatus, parameter: &ParameterState) -> bool {
    let timings = ctx.timings;
    matches!(parameter, ParameterState::Published(document)
        if ctx.now >= control.effective_at && document.valid_until >= ctx.now + timings.change_takes())
}

/// The next version, under which exactly `holders` (slot and task) send.
pub(super) fn change_slots(
    ctx: &RunContext<'_>,
    control: &ControlStatus,
    holders: &[(u32, TaskId)],
) -> ControlStatus {
    let timings = ctx.timings;
    let effective_at = ctx.now + timings.change_takes();
    let mut claim = ControlStatus {
        epoch: ctx.object.epoch,
        version: control.version + 1,
        effective_at,
        valid_until: ctx.now + timings.valid_for,
        ..control.clone()
    };
    let stays = |assignment: &Assignment| {
        holders.iter().any(|(slot, task)| *slot == assignment.slot && *task == assignment.task)
    };
    for assignment in claim.assignments.iter_mut().filter(|assignment| assignment.until.is_none()) {
        if !stays(assignment) {
            assignment.until = Some(effective_at);
        }
    }
    for (slot, task) in holders {
        let known = |assignment: &Assignment| {
            assignment.until.is_none() && assignment.slot == *slot && assignment.task == *task
        };
        if !control.assignments.iter().any(known) {
            claim.assignments.push(Assignment {
                slot: *slot,
                task: task.clone(),
                from: effective_at,
                until: None,
            });
        }
    }
    claim
}

/// The version under which no task sends any more.
pub(super) fn stop(ctx: &RunContext<'_>, control: &ControlStatus, ends_at: MicroTime) -> ControlStatus {
    let timings = ctx.timings;
    let mut claim = ControlStatus {
        epoch: ctx.object.epoch,
        version: control.version + 1,
        state: ControlState::Stop,
        effective_at: ctx.now,
        valid_until: ctx.now + timings.valid_for,
        ..control.clone()
    };
    // A task that does not read it stops when its read lease ends.
    let silent_at = ends_at.min(ctx.now + timings.read_lease);
    for assignment in claim
        .assignments
        .iter_mut()
        .filter(|assignment| assignment.until.is_none_or(|until| until > silent_at))
    {
        assignment.until = Some(silent_at.max(assignment.from));
    }
    claim
}

/// What `stop` claimed, with new times from now: the document was not published before the old
/// ones.
fn redated_stop(ctx: &RunContext<'_>, control: &ControlStatus) -> ControlStatus {
    let timings = ctx.timings;
    let ends_at = ctx.timeline(control).ends_at().unwrap_or(ctx.now).min(ctx.deadline_at);
    let [before, now] = [control.effective_at, ctx.now].map(|at| ends_at.min(at + timings.read_lease));
    let mut claim = ControlStatus {
        epoch: ctx.object.epoch,
        effective_at: ctx.now,
        valid_until: ctx.now + timings.valid_for,
        ..control.clone()
    };
    for assignment in &mut claim.assignments {
        if assignment.until == Some(before.max(assignment.from)) {
            assignment.until = Some(now.max(assignment.from));
        }
    }
    claim
}

/// The write that makes the parameter agree with the claims, if it does not.
pub(super) fn publication(
    ctx: &RunContext<'_>,
    control: &ControlStatus,
    state: &ObservedState,
) -> Option<Effect> {
    let desired = ctx.document(control);
    match &state.parameter {
        Observed::Present(document) if document.as_ref() == Some(&desired) => None,
        Observed::Present(_) => write(ctx, &desired),
        Observed::Absent => {
            let text = desired.to_text().ok()?;
            Some(Effect::CreateParameter { name: ctx.names.parameter.clone(), text, tags: ctx.tags() })
        }
        Observed::Unread | Observed::Refused(_) => None,
    }
}

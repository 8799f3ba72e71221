//! Claims on the control document: what the next version says and from when on it counts. In: the claims so far, the
//! document as it stands in the parameter. Out: the next claims, and the write that makes the parameter agree with them.
//!
//! Never may two versions be in force at once. So a version counts only a read lease and a skew after it was published, is
//! published only if there is time for that, and no version follows before the one before it counts.

use std::time::Duration;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::{ControlDocument, ControlState, TaskId};
use kinesis_demo_api::interruptions::{TooManyInterruptions, with_interruption};
use kinesis_demo_api::status::{Assignment, ControlStatus, Interruption, Stage};

use super::parameter::ParameterState;
use super::task_scaling::holders;
use super::{Effect, RunContext};
use crate::reconcile::observe::{Observed, ObservedState};

/// The version that this leader knows to have been published, if it is the claimed one and still
/// valid. The tasks hold it: it may be put back as it is.
fn published_by_us<'a>(ctx: &RunContext<'a>, control: &ControlStatus) -> Option<&'a ControlDocument> {
    ctx.known.map(|known| &known.document).filter(|known| {
        (known.version, known.effective_at, known.state)
            == (control.version, control.effective_at, control.state)
            && ctx.now <= known.valid_until
    })
}

/// The document that the parameter holds, as far as this leader knows: only that is written over
/// without a look.
fn in_place<'a>(ctx: &RunContext<'a>) -> Option<&'a ControlDocument> {
    ctx.known.filter(|known| known.in_place).map(|known| &known.document)
}

/// What a reconcile does for the tasks before it looks at anything.
#[derive(Debug, PartialEq)]
pub enum FirstStep {
    /// Nothing is due.
    Look,
    /// These claims are stored first.
    Claim(Box<ControlStatus>),
    /// These writes carry out what was claimed; no look can change them.
    Apply(Vec<Effect>),
}

/// What is due before any look: the renewal of a version that this leader itself has read or written,
/// and, when the traffic ends, `Stop` and a service of size zero.
pub fn first_step(ctx: &RunContext<'_>) -> FirstStep {
    let Some(control) = &ctx.object.status.control else { return FirstStep::Look };
    let draining = match ctx.object.status.stage {
        Some(Stage::Running) if control.state == ControlState::Run => false,
        Some(Stage::Draining) => true,
        _ => return FirstStep::Look,
    };
    if draining && control.state == ControlState::Run {
        let ends_at = ctx.timeline(control).ends_at().unwrap_or(ctx.now).min(ctx.deadline_at);
        return FirstStep::Claim(Box::new(stop(ctx, control, ends_at)));
    }
    if !draining {
        return renewal(ctx, control);
    }
    // Nobody sends after `Stop`, whatever the parameter holds. That this leader knows a document says
    // that the parameter is there: writing over one that is not there would make one without tags.
    let wanted = ctx.document(control);
    // While `Stop` cannot be written the tasks go on under what they hold: the end moves with them.
    let tasks_run = ctx.object.status.generators.as_ref().is_none_or(|held| held.running > 0);
    if tasks_run
        && in_place(ctx).is_some_and(|held| lets_send(ctx, held))
        && ctx.now > control.effective_at + ctx.timings.publish_within
    {
        return FirstStep::Claim(Box::new(stop_anew(ctx, control)));
    }
    let is_due = in_place(ctx).is_some_and(|known| *known != wanted && known.epoch <= wanted.epoch);
    let stop = is_due.then(|| write(ctx, &wanted)).flatten();
    let effects: Vec<Effect> = stop.into_iter().chain(size_zero(ctx, control)).collect();
    if effects.is_empty() { FirstStep::Look } else { FirstStep::Apply(effects) }
}

/// Whether tasks may still send under `document`.
fn lets_send(ctx: &RunContext<'_>, document: &ControlDocument) -> bool {
    document.state == ControlState::Run && ctx.now <= document.valid_until
}

/// Whether `Stop` should have been written by now and could not be: then only the service stops the
/// tasks.
pub(super) fn stop_is_late(ctx: &RunContext<'_>) -> bool {
    let publish_within = ctx.timings.publish_within;
    // A write without an answer may have been done: a look tells, and until then it counts as late.
    let last = ctx.known.map(|known| &known.document);
    last.is_some_and(|last| lets_send(ctx, last)) && ctx.now > ctx.run.stage_entered_at + publish_within
}

/// The renewal of the version that the tasks obey: the claimed one, or the one before it while the
/// claimed one is not published yet. It must be one that this leader itself has read or written.
fn renewal(ctx: &RunContext<'_>, control: &ControlStatus) -> FirstStep {
    let timings = ctx.timings;
    let Some(known) = in_place(ctx) else { return FirstStep::Look };
    let is_ours = known.epoch == control.epoch && control.epoch == ctx.object.epoch;
    if !is_ours || known.state != ControlState::Run || ctx.now > known.valid_until {
        return FirstStep::Look;
    }
    let wanted = ctx.document(control);
    let is_claimed = known.version == control.version && known.effective_at == control.effective_at;
    let is_before = known.version + 1 == control.version && known.ends_by == wanted.ends_by;
    if !is_claimed && !is_before {
        return FirstStep::Look;
    }
    let renew_at = known.valid_until - (timings.valid_for - timings.renew_every);
    if wanted.valid_until > known.valid_until && (is_claimed || ctx.now >= renew_at) {
        // The same version: only how long it is valid, what of the schedule that shows, and how often
        // it is read is new.
        let ControlDocument { valid_until, segments, read_every_seconds, read_lease_seconds, .. } = wanted;
        let renewed = ControlDocument {
            valid_until,
            segments,
            read_every_seconds,
            read_lease_seconds,
            ..known.clone()
        };
        return write(ctx, &renewed).map_or(FirstStep::Look, |effect| FirstStep::Apply(vec![effect]));
    }
    // A document that its size cuts short is valid for less than was claimed: nothing is gained by
    // claiming more at once.
    let claimed_at = control.valid_until - timings.valid_for;
    let may_claim = ctx.now >= claimed_at + timings.renew_every / 2;
    match ctx.now >= renew_at && may_claim {
        true => FirstStep::Claim(Box::new(renewed(ctx, control))),
        false => FirstStep::Look,
    }
}

/// Takes the service to zero once every task has had the time to finish, however little is known of it.
fn size_zero(ctx: &RunContext<'_>, control: &ControlStatus) -> Option<Effect> {
    let timings = ctx.timings;
    let held = ctx.object.status.generators.as_ref()?;
    let everybody_had_time = ctx.now >= control.effective_at + timings.read_lease + timings.drain;
    (everybody_had_time && held.desired > 0).then(|| ctx.resize(0))
}

fn write(ctx: &RunContext<'_>, document: &ControlDocument) -> Option<Effect> {
    let text = document.to_text().ok()?;
    Some(Effect::WriteParameter { name: ctx.names.parameter.clone(), text, tags: ctx.tags() })
}

/// The same version, valid for longer.
fn renewed(ctx: &RunContext<'_>, control: &ControlStatus) -> ControlStatus {
    ControlStatus { epoch: ctx.object.epoch, valid_until: ctx.now + ctx.timings.valid_for, ..control.clone() }
}

/// The first version: traffic starts, with `tasks` in the slots.
pub(super) fn first_claim(ctx: &RunContext<'_>, tasks: &[TaskId]) -> ControlStatus {
    let timings = ctx.timings;
    let starts_at = ctx.now + timings.start_takes();
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

/// What becomes of the claims.
#[derive(Debug, PartialEq)]
pub(super) enum ControlUpdate {
    /// They stand; the parameter must be made to agree with them.
    Stand,
    /// New claims, to be stored before anything else happens; the schedule moved by so much.
    Claim(Box<ControlStatus>, Duration),
    /// Nothing may be written until more is known.
    Wait,
    /// The traffic was interrupted more often than the status holds: the schedule cannot be followed.
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

/// Keeps the claims alive: takes over what an earlier leader published, dates an unpublished version anew when its time has run out,
/// and moves the schedule by a stretch in which control had lapsed.
pub(super) fn control_update(
    ctx: &RunContext<'_>,
    control: &ControlStatus,
    parameter: &ParameterState,
) -> ControlUpdate {
    let timings = ctx.timings;
    match parameter {
        ParameterState::Unknown | ParameterState::Foreign(_) => ControlUpdate::Wait,
        // What the tasks hold already is put back as it is, whatever was written over it.
        ParameterState::Ahead(_) | ParameterState::Unpublished(_)
            if control.epoch == ctx.object.epoch && published_by_us(ctx, control).is_some() =>
        {
            ControlUpdate::Stand
        }
        ParameterState::Published(held)
            if ctx.now > held.valid_until
                && control.epoch == ctx.object.epoch
                && published_by_us(ctx, control).is_some() =>
        {
            ControlUpdate::Stand
        }
        ParameterState::Ahead(held) => {
            let base = ControlStatus { version: control.version.max(held.version), ..control.clone() };
            ControlUpdate::redated(redated(ctx, &base, Some(held)))
        }
        ParameterState::Unpublished(held) => {
            let run_event = if control.version == 1 { timings.read_every } else { timings.read_lease };
            if ctx.now + run_event + timings.skew <= control.effective_at && control.epoch == ctx.object.epoch
            {
                return ControlUpdate::Stand;
            }
            ControlUpdate::redated(redated(ctx, control, held.as_ref()))
        }
        ParameterState::Published(held) => {
            if ctx.now > held.valid_until {
                return ControlUpdate::redated(redated(ctx, control, Some(held)));
            }
            // Tasks that have read what somebody wrote under our number do not take ours for a renewal
            // of it: they follow a new number.
            let contradicts = !held.agrees_with(&ctx.document(control));
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

/// The claims of `control` as a version that can still be published in time; what was to happen at the old instant
/// happens at the new one. If nothing may be sent under `held` for a while before that, the schedule moves by that while.
fn redated(
    ctx: &RunContext<'_>,
    control: &ControlStatus,
    held: Option<&ControlDocument>,
) -> Result<(ControlStatus, Duration), TooManyInterruptions> {
    let timings = ctx.timings;
    let never_sent = held.is_some_and(|held| held.version == 0) && control.version == 1;
    let effective_at = ctx.now + if never_sent { timings.start_takes() } else { timings.change_takes() };
    let published = held.is_some_and(|held| held.version >= control.version);
    // A number that nobody has read is used again: a task takes a gap between numbers for a version that it has missed, and
    // stops sending until the next one counts.
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
    // From here on nobody sends. Without any document the tasks stop when their read lease lapses, or
    // with the validity of what they read last: what they do not send until then is not made up for.
    let last_valid = ctx.known.map_or(control.valid_until, |known| known.document.valid_until);
    let unread = || last_valid.min(ctx.now + timings.read_lease);
    let silent_from = held.map_or_else(unread, |held| match held.state {
        ControlState::Run => held.valid_until,
        ControlState::Stop => control.effective_at,
    });
    let last_stop = claim.interruptions.last().map_or(claim.traffic_starts_at, |stop| stop.until);
    // What this leader wrote itself holds, though the parameter shows something older again.
    let known = ctx.known.map(|known| &known.document).filter(|known| known.state == ControlState::Run);
    let known_until = known.map_or(MicroTime::from_micros(i64::MIN), |known| known.valid_until);
    let silent_from = silent_from.max(last_stop).max(known_until);
    let moved = effective_at.since(silent_from);
    if !moved.is_zero() {
        claim.interruptions =
            with_interruption(&claim.interruptions, Interruption { from: silent_from, until: effective_at })?;
    }
    Ok((claim, moved))
}

/// How often the tasks are to read from now on, if that is less often than now. It changes only while
/// no version waits to count: each version counts after the longest lease that a task may hold.
pub(super) fn longer_interval(
    ctx: &RunContext<'_>,
    control: &ControlStatus,
    parameter: &ParameterState,
) -> Option<u32> {
    let held = ctx.timings.read_every.as_secs();
    let is_settled = matches!(parameter, ParameterState::Published(_)) && ctx.now >= control.effective_at;
    (is_settled && u64::from(ctx.wanted_read_every) > held).then_some(ctx.wanted_read_every)
}

/// Whether a new version may be claimed: the one before it is published, counts, and lasts until the new one does.
pub(super) fn may_change(ctx: &RunContext<'_>, control: &ControlStatus, parameter: &ParameterState) -> bool {
    let timings = ctx.timings;
    matches!(parameter, ParameterState::Published(held)
        if ctx.now >= control.effective_at && held.valid_until >= ctx.now + timings.change_takes())
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
    let stays =
        |held: &Assignment| holders.iter().any(|(slot, task)| *slot == held.slot && *task == held.task);
    for held in claim.assignments.iter_mut().filter(|held| held.until.is_none()) {
        if !stays(held) {
            held.until = Some(effective_at);
        }
    }
    for (slot, task) in holders {
        let known = |held: &Assignment| held.until.is_none() && held.slot == *slot && held.task == *task;
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

/// The version under which nobody sends any more.
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
    // Whoever does not read it stops when its read lease lapses.
    let silent_at = ends_at.min(ctx.now + timings.read_lease);
    for held in claim.assignments.iter_mut().filter(|held| held.until.is_none_or(|until| until > silent_at)) {
        held.until = Some(silent_at.max(held.from));
    }
    claim
}

/// The claim of `stop`, as of now: it was not published in time.
fn stop_anew(ctx: &RunContext<'_>, control: &ControlStatus) -> ControlStatus {
    let timings = ctx.timings;
    let ends_at = ctx.timeline(control).ends_at().unwrap_or(ctx.now).min(ctx.deadline_at);
    let [before, now] = [control.effective_at, ctx.now].map(|at| ends_at.min(at + timings.read_lease));
    let mut claim = ControlStatus {
        epoch: ctx.object.epoch,
        effective_at: ctx.now,
        valid_until: ctx.now + timings.valid_for,
        ..control.clone()
    };
    for held in &mut claim.assignments {
        if held.until == Some(before.max(held.from)) {
            held.until = Some(now.max(held.from));
        }
    }
    claim
}

/// The write that makes the parameter say what was claimed, if it does not.
pub(super) fn publication(
    ctx: &RunContext<'_>,
    control: &ControlStatus,
    state: &ObservedState,
) -> Option<Effect> {
    let wanted = ctx.document(control);
    match &state.parameter {
        Observed::Present(held) if held.as_ref() == Some(&wanted) => None,
        Observed::Present(_) => write(ctx, &wanted),
        Observed::Absent => {
            let text = wanted.to_text().ok()?;
            Some(Effect::CreateParameter { name: ctx.names.parameter.clone(), text, tags: ctx.tags() })
        }
        Observed::Unread | Observed::Refused(_) => None,
    }
}

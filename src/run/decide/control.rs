//! Claims on the control document: what the next version says and from when on it counts. In: the claims so far, the
//! document as it stands in the parameter. Out: the next claims, and the write that makes the parameter agree with them.
//!
//! Never may two versions be in force at once. So a version counts only a read lease and a skew after it was published, is
//! published only if there is time for that, and no version follows before the one before it counts.

use std::time::Duration;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::{ControlDocument, ControlState, TaskId};
use kinesis_demo_api::status::{Assignment, ControlStatus, Stop};

use super::{Case, Effect};
use crate::run::observe::{Seen, World};

/// How the parameter stands to what was claimed.
#[derive(Debug, PartialEq)]
pub(super) enum Standing {
    /// The claimed version is published; its validity may still have to be renewed.
    Published(ControlDocument),
    /// The parameter holds something older, or nothing.
    Unpublished(Option<ControlDocument>),
    /// The parameter holds something newer than our claims: our view is stale, or another leader writes.
    Superseded(ControlDocument),
}

pub(super) fn standing(control: &ControlStatus, world: &World) -> Standing {
    let held = world.parameter.present().and_then(|text| ControlDocument::parse(text).ok());
    let is_ours =
        |held: &ControlDocument| held.version == control.version && held.effective_at == control.effective_at;
    match held {
        Some(held) if held.epoch > control.epoch => Standing::Superseded(held),
        // Under an earlier epoch too: a new leader takes the version over as it is.
        Some(held) if is_ours(&held) => Standing::Published(held),
        Some(held) if held.version >= control.version => Standing::Superseded(held),
        older => Standing::Unpublished(older),
    }
}

/// The first version: traffic starts, with `tasks` in the slots.
pub(super) fn first_claim(case: &Case<'_>, tasks: &[TaskId]) -> ControlStatus {
    let timings = &case.subject.settings.timings;
    let starts_at = case.now + timings.start_takes();
    let assignments = tasks.iter().zip(0..).map(|(task, slot)| Assignment {
        slot,
        task: task.clone(),
        from: starts_at,
        until: None,
    });
    ControlStatus {
        epoch: case.subject.epoch,
        version: 1,
        state: ControlState::Run,
        effective_at: starts_at,
        valid_until: case.now + timings.valid_for,
        traffic_starts_at: starts_at,
        stops: Vec::new(),
        assignments: assignments.collect(),
        folded: Vec::new(),
    }
}

/// What became of the claims in this pass.
#[derive(Debug, PartialEq)]
pub(super) enum Upkeep {
    /// They stand; the parameter must be made to agree with them.
    Stand,
    /// New claims, to be stored before anything else happens; the schedule moved by so much.
    Claim(Box<ControlStatus>, Duration),
    /// Somebody newer writes: nothing is to be done but to read again.
    Yield,
}

/// Keeps the claims alive: renews them, dates an unpublished version anew when its time has run out, and moves the schedule
/// by a stretch in which control had lapsed.
pub(super) fn upkeep(case: &Case<'_>, control: &ControlStatus, standing: &Standing) -> Upkeep {
    let timings = &case.subject.settings.timings;
    match standing {
        Standing::Superseded(held) if held.epoch > case.subject.epoch => Upkeep::Yield,
        Standing::Superseded(held) => {
            let base = ControlStatus { version: control.version.max(held.version), ..control.clone() };
            let (claim, moved) = redated(case, &base, Some(held));
            Upkeep::Claim(Box::new(claim), moved)
        }
        Standing::Unpublished(held) => {
            let notice = if control.version == 1 { timings.read_every } else { timings.read_lease };
            if case.now + notice + timings.skew <= control.effective_at && control.epoch == case.subject.epoch
            {
                return Upkeep::Stand;
            }
            let (claim, moved) = redated(case, control, held.as_ref());
            Upkeep::Claim(Box::new(claim), moved)
        }
        Standing::Published(held) => {
            if case.now > held.valid_until {
                let (claim, moved) = redated(case, control, Some(held));
                return Upkeep::Claim(Box::new(claim), moved);
            }
            let renew_at =
                control.valid_until.min(held.valid_until) - (timings.valid_for - timings.renew_every);
            let claimed_ahead = control.valid_until > held.valid_until && case.document(control) != *held;
            if control.epoch != case.subject.epoch || (case.now >= renew_at && !claimed_ahead) {
                let claim = ControlStatus {
                    epoch: case.subject.epoch,
                    valid_until: case.now + timings.valid_for,
                    ..control.clone()
                };
                return Upkeep::Claim(Box::new(claim), Duration::ZERO);
            }
            Upkeep::Stand
        }
    }
}

/// The claims of `control` as a version that can still be published in time; what was to happen at the old instant
/// happens at the new one. If nothing may be sent under `held` for a while before that, the schedule moves by that while.
fn redated(
    case: &Case<'_>,
    control: &ControlStatus,
    held: Option<&ControlDocument>,
) -> (ControlStatus, Duration) {
    let timings = &case.subject.settings.timings;
    let never_sent = held.is_some_and(|held| held.version == 0) && control.version == 1;
    let effective_at = case.now + if never_sent { timings.start_takes() } else { timings.change_takes() };
    let published = held.is_some_and(|held| held.version >= control.version);
    // A number that nobody has read is used again: a task takes a gap between numbers for a version that it has missed, and
    // stops sending until the next one counts.
    let mut claim = ControlStatus {
        epoch: case.subject.epoch,
        version: control.version + u64::from(published),
        effective_at,
        valid_until: case.now + timings.valid_for,
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
        return (claim, Duration::ZERO);
    }
    // Without any document the tasks stop when their read lease lapses: nobody knows when exactly.
    let silent_from = held.map_or(case.now, |held| match held.state {
        ControlState::Run => held.valid_until,
        ControlState::Stop => control.effective_at,
    });
    let last_stop = claim.stops.last().map_or(claim.traffic_starts_at, |stop| stop.until);
    let silent_from = silent_from.max(last_stop);
    let moved = effective_at.since(silent_from);
    if !moved.is_zero() {
        claim.stops.push(Stop { from: silent_from, until: effective_at });
    }
    (claim, moved)
}

/// Whether a new version may be claimed: the one before it is published, counts, and lasts until the new one does.
pub(super) fn may_change(case: &Case<'_>, control: &ControlStatus, standing: &Standing) -> bool {
    let timings = &case.subject.settings.timings;
    matches!(standing, Standing::Published(held)
        if case.now >= control.effective_at && held.valid_until >= case.now + timings.change_takes())
}

/// The next version, under which exactly `holders` (slot and task) send.
pub(super) fn change_slots(
    case: &Case<'_>,
    control: &ControlStatus,
    holders: &[(u32, TaskId)],
) -> ControlStatus {
    let timings = &case.subject.settings.timings;
    let effective_at = case.now + timings.change_takes();
    let mut claim = ControlStatus {
        epoch: case.subject.epoch,
        version: control.version + 1,
        effective_at,
        valid_until: case.now + timings.valid_for,
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
pub(super) fn stop(case: &Case<'_>, control: &ControlStatus, ends_at: MicroTime) -> ControlStatus {
    let timings = &case.subject.settings.timings;
    let mut claim = ControlStatus {
        epoch: case.subject.epoch,
        version: control.version + 1,
        state: ControlState::Stop,
        effective_at: case.now,
        valid_until: case.now + timings.valid_for,
        ..control.clone()
    };
    // Whoever does not read it stops when its read lease lapses.
    let silent_at = ends_at.min(case.now + timings.read_lease);
    for held in claim.assignments.iter_mut().filter(|held| held.until.is_none_or(|until| until > silent_at)) {
        held.until = Some(silent_at.max(held.from));
    }
    claim
}

/// The write that makes the parameter say what was claimed, if it does not.
pub(super) fn publication(case: &Case<'_>, control: &ControlStatus, world: &World) -> Option<Effect> {
    let wanted = case.document(control);
    let text = wanted.to_text().ok()?;
    let name = case.names.parameter.clone();
    match &world.parameter {
        Seen::Present(held) if ControlDocument::parse(held).is_ok_and(|held| held == wanted) => None,
        Seen::Present(_) => Some(Effect::WriteParameter { name, text }),
        Seen::Absent => Some(Effect::CreateParameter { name, text, tags: case.tags() }),
        Seen::Unread => None,
    }
}

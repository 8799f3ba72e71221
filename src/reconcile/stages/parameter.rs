//! What the control parameter was seen to hold, against what was claimed and what this leader knows. In: a look. Out: whose
//! document it is, and whether it outranks ours. Pure: what follows from it is decided in `control`.

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::{ControlDocument, Segment};
use kinesis_demo_api::ledger::ControlVersion;
use kinesis_demo_api::status::ControlStatus;

use super::RunContext;
use crate::reconcile::observe::{Observed, ObservedState};

/// What the parameter holds, against what was claimed.
#[derive(Debug, PartialEq)]
pub(super) enum ParameterState {
    /// It could not be read.
    Unknown,
    /// The claimed version is published; its validity may still have to be renewed.
    Published(ControlDocument),
    /// It holds something older, nothing, or no document of this run.
    Unpublished(Option<ControlDocument>),
    /// It holds a version from before our view of the claims, which our epoch outranks.
    Ahead(ControlDocument),
    /// It holds a document that outranks ours and that we did not write: another leader's, or forged.
    Foreign(ControlDocument),
}

pub(super) fn parameter_state(
    ctx: &RunContext<'_>,
    control: &ControlStatus,
    state: &ObservedState,
) -> ParameterState {
    let held = match &state.parameter {
        Observed::Unread | Observed::Refused(_) => return ParameterState::Unknown,
        Observed::Absent => return ParameterState::Unpublished(None),
        Observed::Present(held) => held.clone(),
    };
    let epoch = ctx.object.epoch;
    let is_claimed =
        |held: &ControlDocument| held.version == control.version && held.effective_at == control.effective_at;
    match held {
        Some(held) if held.run != ctx.run.number => ParameterState::Unpublished(None),
        Some(held) if held.epoch > epoch => ParameterState::Foreign(held),
        Some(held) if held.epoch == epoch && held.version > control.version => ParameterState::Foreign(held),
        // A version was claimed with every later end of its validity that was ever written.
        Some(held) if held.epoch == epoch && is_claimed(&held) && held.valid_until > control.valid_until => {
            ParameterState::Foreign(held)
        }
        // Under an earlier epoch too: a new leader takes the version over as it is.
        Some(held) if is_claimed(&held) => ParameterState::Published(held),
        // A leader before us may have been one version further than our view of its claims.
        Some(held) if (control.version..=control.version.saturating_add(1)).contains(&held.version) => {
            ParameterState::Ahead(held)
        }
        Some(held) if held.version > control.version => ParameterState::Unpublished(None),
        older => ParameterState::Unpublished(older),
    }
}

/// Where a document that outranks ours was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outranked {
    /// The parameter holds it.
    ByParameter(ControlVersion),
    /// A task with a slot says that it holds it. What the parameter held for a moment can be seen only so: a renewal
    /// writes over it without a look.
    ByTask(ControlVersion),
}

/// The document that outranks ours, if there is one: only the Lease tells whose it is.
pub fn outranked(ctx: &RunContext<'_>, state: &ObservedState) -> Option<Outranked> {
    let control = ctx.object.status.control.as_ref()?;
    if let ParameterState::Foreign(held) = parameter_state(ctx, control, state) {
        return Some(Outranked::ByParameter(ControlVersion::from(&held)));
    }
    let ours = ControlVersion { epoch: ctx.object.epoch, version: control.version };
    let with_slots = control.assignments.iter().filter(|held| held.until.is_none_or(|until| ctx.now < until));
    let held = with_slots.filter_map(|held| state.known_ledgers.of(&held.task)?.control).max()?;
    (held > ours).then_some(Outranked::ByTask(held))
}

/// What a look at the parameter found, against what this leader claimed or knows.
#[derive(Debug, PartialEq)]
pub enum SeenDocument {
    /// It was not looked at.
    Unknown,
    /// The claimed version, or the one that this leader knows to have been there, as it was claimed.
    Trusted(Box<ControlDocument>),
    /// Something else, or nothing.
    Other,
}

/// Judges what the parameter was seen to hold. What somebody else wrote is never taken for ours, even
/// under our numbers.
pub fn seen_document(ctx: &RunContext<'_>, state: &ObservedState) -> SeenDocument {
    let held = match &state.parameter {
        Observed::Unread | Observed::Refused(_) => return SeenDocument::Unknown,
        Observed::Absent => return SeenDocument::Other,
        Observed::Present(held) => held,
    };
    let (Some(held), Some(control)) = (held, &ctx.object.status.control) else {
        return SeenDocument::Other;
    };
    let wanted = ctx.document(control);
    let known = ctx.known.map(|known| &known.document);
    let planned: Vec<Segment> = ctx
        .timeline(control)
        .segments_from(MicroTime::from_micros(i64::MIN), ctx.plan.cap_per_task)
        .chain(known.into_iter().flat_map(|known| known.segments.iter().cloned()))
        .collect();
    let ours = [Some(&wanted), known].into_iter().flatten();
    let is_older = known.is_some_and(|known| {
        (known.version, known.effective_at) == (held.version, held.effective_at)
            && held.valid_until < known.valid_until
    });
    let is_ours = ours.into_iter().any(|ours| is_same_version(ours, held))
        && held.valid_until <= control.valid_until
        && !is_older
        && held.segments.iter().all(|segment| planned.contains(segment));
    match is_ours {
        true => SeenDocument::Trusted(Box::new(held.clone())),
        false => SeenDocument::Other,
    }
}

/// Whether both are one version. One that an earlier leader claimed is taken over as it is.
fn is_same_version(ours: &ControlDocument, held: &ControlDocument) -> bool {
    held.epoch <= ours.epoch
        && ControlDocument { epoch: ours.epoch, ..held.clone() }.is_same_but_for_validity(ours)
}

/// Whether somebody else has changed or removed what this leader knows to have been there.
pub(super) fn was_displaced(ctx: &RunContext<'_>, state: &ObservedState) -> bool {
    let was_ours = match (ctx.known, &ctx.object.status.control) {
        (Some(known), _) => known.in_place,
        // A new leader knows what was claimed: under that number it can only be somebody else's.
        (None, Some(control)) => {
            matches!(parameter_state(ctx, control, state), ParameterState::Published(_))
        }
        (None, None) => false,
    };
    was_ours && seen_document(ctx, state) == SeenDocument::Other
}

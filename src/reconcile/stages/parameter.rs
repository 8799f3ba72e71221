//! Compares the content of the control parameter with the claims and with what this leader knows.
//! In: the result of reading it. Out: whose document it is, and whether it outranks ours. Pure:
//! `control` decides what follows from it.

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::{ControlDocument, Segment};
use kinesis_demo_api::ledger::ControlVersion;
use kinesis_demo_api::status::ControlStatus;

use super::RunContext;
use crate::reconcile::observe::{Observed, ObservedState};

/// The content of the parameter, compared with the claims.
#[derive(Debug, PartialEq)]
pub(super) enum ParameterState {
    /// It could not be read.
    Unknown,
    /// The claimed version is published. Its validity may still have to be renewed.
    Published(ControlDocument),
    /// It contains something older, nothing, or no document of this run.
    Unpublished(Option<ControlDocument>),
    /// It contains a version that is newer than our view of the claims, but our epoch outranks it.
    Ahead(ControlDocument),
    /// It contains a document that outranks ours and that we did not write: from another leader, or
    /// forged.
    Foreign(ControlDocument),
}

pub(super) fn parameter_state(
    ctx: &RunContext<'_>,
    control: &ControlStatus,
    state: &ObservedState,
) -> ParameterState {
    let document = match &state.parameter {
        Observed::Unread | Observed::Refused(_) => return ParameterState::Unknown,
        Observed::Absent => return ParameterState::Unpublished(None),
        Observed::Present(document) => document.clone(),
    };
    let epoch = ctx.object.epoch;
    let is_claimed = |document: &ControlDocument| {
        document.version == control.version && document.effective_at == control.effective_at
    };
    match document {
        Some(document) if document.run != ctx.run.number => ParameterState::Unpublished(None),
        Some(document) if document.epoch > epoch => ParameterState::Foreign(document),
        Some(document) if document.epoch == epoch && document.version > control.version => {
            ParameterState::Foreign(document)
        }
        // Every validity that was ever written for a version was claimed first.
        Some(document)
            if document.epoch == epoch
                && is_claimed(&document)
                && document.valid_until > control.valid_until =>
        {
            ParameterState::Foreign(document)
        }
        // Under an earlier epoch, too: a new leader takes the version over unchanged.
        Some(document) if is_claimed(&document) => ParameterState::Published(document),
        // An earlier leader may have been one version ahead of our view of its claims.
        Some(document)
            if (control.version..=control.version.saturating_add(1)).contains(&document.version) =>
        {
            ParameterState::Ahead(document)
        }
        Some(document) if document.version > control.version => ParameterState::Unpublished(None),
        older => ParameterState::Unpublished(older),
    }
}

/// Where a document that outranks ours was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outranked {
    /// In the parameter.
    ByParameter(ControlVersion),
    /// A task with a slot reports that it has it. This is the only way to see a document that was
    /// in the parameter only for a moment, because a renewal overwrites the parameter without a
    /// read.
    ByTask(ControlVersion),
}

/// The document that outranks ours, if there is one. Only the Lease says whose it is.
pub fn outranked(ctx: &RunContext<'_>, state: &ObservedState) -> Option<Outranked> {
    let control = ctx.object.status.control.as_ref()?;
    if let ParameterState::Foreign(document) = parameter_state(ctx, control, state) {
        return Some(Outranked::ByParameter(ControlVersion::from(&document)));
    }
    let ours = ControlVersion { epoch: ctx.object.epoch, version: control.version };
    let with_slots =
        control.assignments.iter().filter(|assignment| assignment.until.is_none_or(|until| ctx.now < until));
    let reported =
        with_slots.filter_map(|assignment| state.known_ledgers.of(&assignment.task)?.control).max()?;
    (reported > ours).then_some(Outranked::ByTask(reported))
}

/// The document that was read from the parameter, compared with the claims and what this leader
/// knows.
#[derive(Debug, PartialEq)]
pub enum SeenDocument {
    /// The parameter was not read.
    Unknown,
    /// The claimed version, or the one that this leader knows to have been there, as it was
    /// claimed.
    Trusted(Box<ControlDocument>),
    /// Something else, or nothing.
    Other,
}

/// Checks the document that was read from the parameter. A document written by someone else is
/// never taken for ours, even under our numbers.
pub fn seen_document(ctx: &RunContext<'_>, state: &ObservedState) -> SeenDocument {
    let found = match &state.parameter {
        Observed::Unread | Observed::Refused(_) => return SeenDocument::Unknown,
        Observed::Absent => return SeenDocument::Other,
        Observed::Present(found) => found,
    };
    let (Some(found), Some(control)) = (found, &ctx.object.status.control) else {
        return SeenDocument::Other;
    };
    let desired = ctx.document(control);
    let known = ctx.known.map(|known| &known.document);
    let planned: Vec<Segment> = ctx
        .timeline(control)
        .segments_from(MicroTime::from_micros(i64::MIN), ctx.plan.cap_per_task)
        .chain(known.into_iter().flat_map(|known| known.segments.iter().cloned()))
        .collect();
    let ours = [Some(&desired), known].into_iter().flatten();
    let is_older = known.is_some_and(|known| {
        (known.version, known.effective_at) == (found.version, found.effective_at)
            && found.valid_until < known.valid_until
    });
    let is_ours = ours.into_iter().any(|ours| is_same_version(ours, found))
        && found.valid_until <= control.valid_until
        && !is_older
        && found.segments.iter().all(|segment| planned.contains(segment));
    match is_ours {
        true => SeenDocument::Trusted(Box::new(found.clone())),
        false => SeenDocument::Other,
    }
}

/// Whether both are the same version. A version that an earlier leader claimed is taken over
/// unchanged.
fn is_same_version(ours: &ControlDocument, found: &ControlDocument) -> bool {
    found.epoch <= ours.epoch
        && ControlDocument { epoch: ours.epoch, ..found.clone() }.is_same_but_for_validity(ours)
}

/// Whether someone else changed or deleted a document that this leader knows to have been there.
pub(super) fn was_displaced(ctx: &RunContext<'_>, state: &ObservedState) -> bool {
    let was_ours = match (ctx.known, &ctx.object.status.control) {
        (Some(known), _) => known.in_place,
        // A new leader knows what was claimed. Other content under that number was written by
        // someone else.
        (None, Some(control)) => {
            matches!(parameter_state(ctx, control, state), ParameterState::Published(_))
        }
        (None, None) => false,
    };
    was_ours && seen_document(ctx, state) == SeenDocument::Other
}

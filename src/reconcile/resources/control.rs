//! The control document as a projection of the claims in status. In: the claims and the timeline.
//! Out: the document that they define. It is the same whoever builds it and whenever.

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::{ControlDocument, ControlState, SCHEMA, Segment, TaskId};
use kinesis_demo_api::status::ControlStatus;
use kinesis_demo_api::timeline::Timeline;

use super::parameter::whole_seconds;
use crate::settings::Timings;

/// The document that `control` defines for run number `run`.
pub fn document(
    control: &ControlStatus,
    timeline: &Timeline,
    run: u32,
    cap_per_task: u32,
    deadline_at: MicroTime,
    timings: &Timings,
) -> ControlDocument {
    let claimed_at = control.valid_until - timings.valid_for;
    let mut document = ControlDocument {
        schema: SCHEMA,
        epoch: control.epoch,
        version: control.version,
        run,
        state: control.state,
        effective_at: control.effective_at,
        valid_until: control.valid_until,
        ends_by: timeline.ends_at().unwrap_or(control.effective_at).min(deadline_at),
        read_every_seconds: whole_seconds(timings.read_every),
        read_lease_seconds: whole_seconds(timings.read_lease),
        slots: slots(control),
        segments: match control.state {
            ControlState::Run => segments(timeline, claimed_at, control.valid_until, cap_per_task),
            ControlState::Stop => Vec::new(),
        },
    };
    // A hundred slots and very short phases may not fit. Then the document covers a shorter time,
    // but is never wrong.
    while document.to_text().is_err() && document.segments.len() > 1 {
        document.segments.pop();
        if let Some(last) = document.segments.last() {
            document.valid_until = document.valid_until.min(last.span.until);
        }
    }
    document
}

/// The segments from `claimed_at` until `valid_until`, and the one after them.
fn segments(
    timeline: &Timeline,
    claimed_at: MicroTime,
    valid_until: MicroTime,
    cap_per_task: u32,
) -> Vec<Segment> {
    let mut beyond = 0;
    timeline
        .segments_from(claimed_at, cap_per_task)
        .take_while(|segment| {
            beyond += u32::from(segment.span.from > valid_until);
            beyond <= 1
        })
        .collect()
}

/// The tasks that send under the claimed version: those whose slot assignment has no end.
pub fn slots(control: &ControlStatus) -> Vec<Option<TaskId>> {
    let mut slots = Vec::new();
    for assignment in control.assignments.iter().filter(|assignment| assignment.until.is_none()) {
        let index = assignment.slot as usize;
        if slots.len() <= index {
            slots.resize(index + 1, None);
        }
        if let Some(slot) = slots.get_mut(index) {
            *slot = Some(assignment.task.clone());
        }
    }
    slots
}

//! Traffic flows. Keeps control alive, the fleet ahead of the schedule, the books up to date; ends the traffic when the
//! schedule does.

use kinesis_demo_api::conditions::Reason;
use kinesis_demo_api::status::Outcome;

use super::control::{Standing, Upkeep, change_slots, may_change, publication, standing, upkeep};
use super::fleet::{resize, tasks_needed, wanted_holders, wanted_size};
use super::measure::{note_generators, note_phase, note_stream, note_traffic};
use super::{Case, Draft};
use crate::run::notices::Notice;
use crate::run::observe::World;

pub(super) fn decide_running(case: &Case<'_>, world: &World, mut draft: Draft) -> Draft {
    let timings = &case.subject.settings.timings;
    let Some(control) = &case.subject.status.control else {
        return draft.end(
            Outcome::Failed,
            Reason::StartTimeout,
            "the claims on the control document are lost",
            case.now,
        );
    };
    let timeline = case.timeline(control);
    let needed = tasks_needed(case, &timeline, world);
    note_stream(case, world, &mut draft);
    note_generators(case, world, Some(control), needed, &mut draft);
    note_phase(case, &timeline, &mut draft);
    note_traffic(case, world, control, false, &mut draft);

    let ends_at = timeline.ends_at().unwrap_or(case.now);
    if case.now >= ends_at {
        return draft.end(Outcome::Succeeded, Reason::Completed, "the schedule is complete", case.now);
    }
    let standing: Standing = standing(control, world);
    let mut claimed = false;
    match upkeep(case, control, &standing) {
        Upkeep::Yield => {
            draft.progress("another operator leads; waiting for its view");
            return draft.wait_until(case.now + timings.poll_every);
        }
        Upkeep::Claim(claim, moved) => {
            if !moved.is_zero() {
                draft.notices.push(Notice::schedule_moved(moved.as_secs()));
            }
            draft.status.control = Some(*claim);
            claimed = true;
        }
        Upkeep::Stand => draft.effects.extend(publication(case, control, world)),
    }
    if !claimed
        && may_change(case, control, &standing)
        && let Some(holders) = wanted_holders(case, control, &timeline, world, needed)
    {
        let claim = change_slots(case, control, &holders);
        draft.notices.push(Notice::slots_changed(holders.len(), claim.version));
        draft.status.control = Some(claim);
    }
    if let Some(size) = wanted_size(case, control, &standing, world, needed) {
        draft.notices.push(Notice::resized(world.service.present().map_or(0, |seen| seen.desired), size));
        draft.effects.extend(resize(case, control, world, size));
    }
    if let Some((index, window)) = timeline.phase_at(case.now) {
        draft.progress(format!("phase {} ({} of {})", window.name, index + 1, timeline.phases.len()));
    }
    draft.wake_at(timeline.next_boundary(case.now).unwrap_or(ends_at));
    draft.wait_until(case.now + timings.poll_every)
}

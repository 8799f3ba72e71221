//! Runs that start together (`gathering` finds them). In: a run of a cohort, and the other members
//! as the watch shows them. Out: whether it waits for them, goes on, or ends. Pure.
//!
//! A cohort has a round: one run of each member, found while all are Pending and stored in the
//! status of each (`status.run.cohort.members`). The members wait for each other three times:
//!
//! ```text
//! Pending   until all have what they need    nothing was created yet, so waiting costs nothing
//! Warming   until all streams are ready      no task runs yet
//! Starting  until the first tasks of all run
//! ```
//!
//! After the last wait, each member computes the same instant from what all have stored: the latest
//! `since`, plus a fixed time. A member that could not claim this instant in time (the operator was
//! gone) stores a new `since`, unless another member has claimed. So either all start at one
//! instant, or those that did start are ended with the others.

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::conditions::Reason;
use kinesis_demo_api::status::{CohortMember, CohortState, CohortStatus, Outcome};

use super::{DecisionBuilder, RunContext};
use crate::reconcile::cohort::Peer;

/// Which member of the round is over before it started, and why.
pub(super) fn ended_member(members: &[CohortMember], own: &str, others: &[&Peer]) -> Option<String> {
    members.iter().filter(|member| member.uid != own).find_map(|member| {
        let CohortMember { name, run, .. } = member;
        match others.iter().find(|peer| peer.member.uid == member.uid) {
            None => Some(format!("{name} was deleted, or its spec no longer parses")),
            Some(peer) if peer.member.run != *run => Some(format!("run {run} of {name} is over")),
            Some(peer) => match &peer.ended {
                _ if peer.deleting => Some(format!("{name} was deleted")),
                Some((reason, message)) => Some(format!("run {run} of {name} ended: {reason}: {message}")),
                None => None,
            },
        }
    })
}

/// A run of a cohort that has begun, and the other members; `None` without a cohort, or as long as
/// not all objects were listed.
struct Begun<'a> {
    own: &'a CohortStatus,
    others: Vec<(&'a CohortMember, Option<&'a Peer>)>,
}

fn begun<'a>(ctx: &RunContext<'a>) -> Option<Begun<'a>> {
    let own = ctx.run.cohort.as_ref()?;
    let peers = ctx.object.peers?;
    let others = own.members.iter().filter(|member| member.uid != ctx.object.uid);
    let peer = |member: &CohortMember| peers.iter().find(|peer| peer.member.uid == member.uid);
    Some(Begun { own, others: others.map(|member| (member, peer(member))).collect() })
}

impl Begun<'_> {
    /// The members that are not as far as `state`.
    fn behind(&self, state: CohortState) -> Vec<String> {
        let is_behind = |(_, peer): &&(&CohortMember, Option<&Peer>)| {
            peer.is_none_or(|peer| !peer.has_reached(&self.own.members, state))
        };
        let text = |(member, peer): &(&CohortMember, Option<&Peer>)| match peer {
            Some(peer) => format!("{} ({})", member.name, peer.stage),
            None => member.name.clone(),
        };
        self.others.iter().filter(is_behind).map(text).collect()
    }

    /// The instant at which another member starts its traffic.
    fn claimed(&self) -> Option<MicroTime> {
        self.others.iter().find_map(|(_, peer)| {
            let cohort = peer.filter(|peer| peer.has_reached(&self.own.members, CohortState::Started))?;
            cohort.cohort.as_ref()?.starts_at
        })
    }

    /// Why this run cannot go on with that member.
    fn problem_with(
        &self,
        ctx: &RunContext<'_>,
        member: &CohortMember,
        peer: Option<&Peer>,
    ) -> Option<String> {
        let name = &member.name;
        let own_start = self.own.starts_at;
        let all: Vec<&Peer> = peer.into_iter().collect();
        let ended = || ended_member(std::slice::from_ref(member), ctx.object.uid, &all);
        let Some(peer) = peer.filter(|peer| peer.member.run == member.run) else {
            // After the start, a member may be deleted or rerun.
            return if own_start.is_some_and(|at| ctx.now > at) { None } else { ended() };
        };
        let start = peer.cohort.as_ref().and_then(|cohort| cohort.starts_at);
        if own_start.is_some() && start == own_start {
            let missed = peer.ended.as_ref().filter(|(reason, _)| *reason == Reason::CohortStartMissed);
            return missed.map(|(_, message)| format!("{name} did not start in time: {message}"));
        }
        if let Some(why) = ended() {
            return Some(why);
        }
        if !peer.has_reached(&self.own.members, CohortState::Checked) {
            return Some(format!("{name} has left the cohort: its spec was edited"));
        }
        if let Some((reason, message)) = &peer.stalled {
            return Some(format!("{name} cannot go on: {reason}: {message}"));
        }
        // Its claim may become visible later than the instant itself.
        own_start
            .filter(|at| ctx.now > *at + ctx.timings.renew_every)
            .map(|_| format!("{name} did not start with the others ({})", peer.stage))
    }

    /// The instant from which all are ready.
    fn ready_at(&self) -> MicroTime {
        let since = |(_, peer): &(&CohortMember, Option<&Peer>)| Some(peer.as_ref()?.cohort.as_ref()?.since);
        self.others.iter().filter_map(since).max().map_or(self.own.since, |since| since.max(self.own.since))
    }
}

/// Why a run must end because of another member: it ended before all started, it is blocked, or it
/// did not start at the agreed instant.
pub(super) fn broken(ctx: &RunContext<'_>) -> Option<(Reason, String)> {
    let begun = begun(ctx)?;
    let why = begun.others.iter().find_map(|(member, peer)| begun.problem_with(ctx, member, *peer))?;
    Some((Reason::CohortMemberEnded, format!("cohort {}: {why}", begun.own.name)))
}

/// Stores how far this run is.
fn reach(builder: &mut DecisionBuilder, state: CohortState, now: MicroTime) {
    let cohort = builder.status.run.as_mut().and_then(|run| run.cohort.as_mut());
    if let Some(cohort) = cohort.filter(|cohort| cohort.state != state) {
        cohort.state = state;
        cohort.since = now;
    }
}

/// Whether a run with a ready stream has to wait for the streams of the other members. If so, the
/// decision to wait.
pub(super) fn wait_for_streams(
    ctx: &RunContext<'_>,
    mut builder: DecisionBuilder,
) -> Result<DecisionBuilder, Box<DecisionBuilder>> {
    let Some(own) = &ctx.run.cohort else { return Ok(builder) };
    reach(&mut builder, CohortState::Warm, ctx.now);
    let behind = begun(ctx).map(|begun| begun.behind(CohortState::Warm));
    if behind.as_ref().is_some_and(Vec::is_empty) {
        return Ok(builder);
    }
    let waits =
        format!("cohort {}: waiting for the streams of {}", own.name, behind.unwrap_or_default().join(", "));
    let since = if own.state == CohortState::Warm { own.since } else { ctx.now };
    Err(Box::new(wait(ctx, builder, since + ctx.timings.cohort_warm_timeout(), waits)))
}

/// Waits until `until` at the latest.
fn wait(
    ctx: &RunContext<'_>,
    mut builder: DecisionBuilder,
    until: MicroTime,
    what: String,
) -> DecisionBuilder {
    if ctx.now >= until {
        return builder.end(Outcome::Failed, Reason::CohortIncomplete, what, ctx.now);
    }
    builder.wait_for_cohort(what);
    builder.wake_at(until);
    builder.wait_until(ctx.now + ctx.timings.poll_every)
}

/// What a run with running tasks does.
pub(super) enum Start {
    /// It starts its traffic at this instant.
    At(MicroTime, Box<DecisionBuilder>),
    /// It waits, or it ends.
    Not(Box<DecisionBuilder>),
}

/// When a run starts whose first tasks run: as soon as possible without a cohort, and otherwise at
/// the instant that follows from what all members have stored.
pub(super) fn start(ctx: &RunContext<'_>, mut builder: DecisionBuilder) -> Start {
    let timings = ctx.timings;
    let Some(own) = &ctx.run.cohort else {
        return Start::At(ctx.now + timings.start_takes(), Box::new(builder));
    };
    reach(&mut builder, CohortState::Ready, ctx.now);
    let until = ctx.run.stage_entered_at + timings.start_timeout * 2;
    let Some(begun) = begun(ctx).filter(|_| own.state == CohortState::Ready) else {
        let what = format!("cohort {}: the tasks run; waiting for the other members", own.name);
        return Start::Not(Box::new(wait(ctx, builder, until, what)));
    };
    if let Some(starts_at) = begun.claimed() {
        if ctx.now + timings.start_notice() <= starts_at {
            return Start::At(starts_at, Box::new(builder));
        }
        let message = format!(
            "cohort {}: the other members start at {starts_at}, and it is too late to start with them (the operator was not running, or too slow)",
            own.name
        );
        return Start::Not(Box::new(builder.end(
            Outcome::Failed,
            Reason::CohortStartMissed,
            message,
            ctx.now,
        )));
    }
    let behind = begun.behind(CohortState::Ready);
    if !behind.is_empty() {
        let what = format!("cohort {}: the tasks run; waiting for those of {}", own.name, behind.join(", "));
        return Start::Not(Box::new(wait(ctx, builder, until, what)));
    }
    let starts_at = begun.ready_at() + timings.cohort_start_takes();
    if ctx.now + timings.start_takes() <= starts_at {
        return Start::At(starts_at, Box::new(builder));
    }
    // Another member may have claimed this instant, and its claim may not be visible yet. Once
    // nobody can claim it any more, a later instant is agreed.
    let is_past = ctx.now + timings.start_notice() > starts_at;
    if let Some(cohort) = builder.status.run.as_mut().and_then(|run| run.cohort.as_mut()).filter(|_| is_past)
    {
        cohort.since = ctx.now;
    }
    let what = format!("cohort {}: agreeing on the start", own.name);
    builder.wake_at(starts_at - timings.start_notice() + std::time::Duration::from_millis(1));
    Start::Not(Box::new(wait(ctx, builder, until, what)))
}

/// Records the instant at which this run starts with its cohort.
pub(super) fn note_start(builder: &mut DecisionBuilder, starts_at: MicroTime, now: MicroTime) {
    reach(builder, CohortState::Started, now);
    if let Some(cohort) = builder.status.run.as_mut().and_then(|run| run.cohort.as_mut()) {
        cohort.starts_at = Some(starts_at);
    }
}

/// The tasks that ran have stopped: the run is not ready any more.
pub(super) fn note_not_ready(builder: &mut DecisionBuilder, now: MicroTime) {
    let cohort = builder.status.run.as_ref().and_then(|run| run.cohort.as_ref());
    if cohort.is_some_and(|cohort| cohort.state == CohortState::Ready) {
        reach(builder, CohortState::Warm, now);
    }
}

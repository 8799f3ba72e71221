//! Runs that start together. In: a run of a cohort, and the other members as the watch shows them.
//! Out: whether it waits for them, goes on, or ends. Pure.
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

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::demo::CohortSpec;
use kinesis_demo_api::plan::Plan;
use kinesis_demo_api::status::{CohortMember, CohortState, CohortStatus, Outcome, RunLoad, Stage};
use kinesis_demo_api::{KinesisDemoStatus, MicroTime};

use super::{Decision, DecisionBuilder, ObjectContext, RunContext};
use crate::reconcile::cohort::{Peer, Round};
use crate::reconcile::next_step::with_next_step;
use crate::reconcile::queue::Capacity;

/// Why a member cannot begin now.
#[derive(Debug, PartialEq)]
pub enum Incomplete {
    /// The members contradict each other, or ask for more than this operator allows.
    Refused(String),
    /// Not all members are there.
    Waits(String),
    /// The run is over.
    Ended(Reason, String),
}

/// Finds the members that begin together with `object`, whose spec is planned as `plan`.
pub fn gather(
    object: &ObjectContext<'_>,
    cohort: &CohortSpec,
    plan: &Plan,
    peers: &[Peer],
    capacity: Capacity,
    now: MicroTime,
) -> Result<Round, Incomplete> {
    let stored = object.status.run.as_ref().and_then(|run| run.cohort.as_ref());
    let stored = stored.filter(|stored| stored.name == cohort.name);
    let number = object.status.run_number().max(1);
    let own = CohortMember { name: object.name.to_owned(), uid: object.uid.to_owned(), run: number };
    let others: Vec<&Peer> = peers.iter().filter(|peer| peer.member.uid != object.uid).collect();
    if let Some(round) = stored.filter(|stored| !stored.members.is_empty()) {
        if let Some(why) = ended_member(&round.members, &own.uid, &others) {
            let why = format!("cohort {}: {why}", cohort.name);
            return Err(Incomplete::Ended(Reason::CohortMemberEnded, why));
        }
        let has_begun =
            |peer: &&&Peer| peer.stage.is_active() && peer.has_reached(&round.members, CohortState::Checked);
        if others.iter().any(|peer| has_begun(&peer)) {
            let loads = object.status.run.as_ref().and_then(|run| run.load.clone()).into_iter().collect();
            return Ok(Round {
                members: round.members.clone(),
                loads,
                requested_at: now,
                has_begun: true,
                others_are_checked: are_checked(&round.members, &own.uid, &others),
            });
        }
    }
    let load = load(plan, capacity.reads.interval(plan.most_tasks));
    let gathered = complete_round(object, own, load, cohort, &others, capacity);
    let waits_since =
        stored.filter(|stored| stored.state == CohortState::Gathering).map(|stored| stored.since);
    match gathered {
        Err(Incomplete::Waits(what)) if waits_since.is_some_and(|since| is_late(object, since, now)) => {
            Err(Incomplete::Ended(Reason::CohortIncomplete, too_late(object, &what)))
        }
        Ok(round) => {
            let checked = stored.filter(|stored| stored.members == round.members);
            match checked.filter(|_| !round.others_are_checked) {
                Some(checked) if is_late(object, checked.since, now) => {
                    let what = unchecked_message(cohort, &round, &others);
                    Err(Incomplete::Ended(Reason::CohortIncomplete, too_late(object, &what)))
                }
                _ => Ok(round),
            }
        }
        other => other,
    }
}

fn is_late(object: &ObjectContext<'_>, since: MicroTime, now: MicroTime) -> bool {
    now >= since + object.settings.timings.cohort_timeout
}

fn too_late(object: &ObjectContext<'_>, what: &str) -> String {
    let seconds = object.settings.timings.cohort_timeout.as_secs();
    format!("not all members of the cohort were there within {seconds} s: {what}")
}

fn load(plan: &Plan, read_every_seconds: u32) -> RunLoad {
    RunLoad { region: plan.region.clone(), tasks: plan.most_tasks, read_every_seconds }
}

/// The round of the members that are Pending now, if there are as many as the cohort has.
fn complete_round(
    object: &ObjectContext<'_>,
    own: CohortMember,
    own_load: RunLoad,
    cohort: &CohortSpec,
    others: &[&Peer],
    capacity: Capacity,
) -> Result<Round, Incomplete> {
    let name = &cohort.name;
    let size = usize::try_from(cohort.size).unwrap_or_default();
    if size > capacity.runs_of_a_region() {
        return Err(Incomplete::Refused(format!(
            "cohort {name} has {size} members, but this operator allows {} active runs in a Region (--max-runs); make it smaller, or raise the limit",
            capacity.runs_of_a_region()
        )));
    }
    let named = others.iter().filter(|peer| peer.spec.as_ref().is_some_and(|spec| spec.name == *name));
    let (pending, elsewhere): (Vec<&Peer>, Vec<&Peer>) =
        named.copied().partition(|peer| peer.stage == Stage::Pending && !peer.is_ending());
    let mut members: Vec<CohortMember> = pending.iter().map(|peer| peer.member.clone()).collect();
    members.push(own.clone());
    members.sort();
    let names = members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>().join(", ");
    let another_size = pending.iter().find_map(|peer| {
        let size = peer.spec.as_ref()?.size;
        (size != cohort.size).then_some((&peer.member.name, size))
    });
    if let Some((other, other_size)) = another_size {
        return Err(Incomplete::Refused(format!(
            "cohort {name} has {size} members according to {}, but {other_size} according to {other}; give all members the same cohort.size",
            own.name
        )));
    }
    if members.len() > size {
        return Err(Incomplete::Refused(format!(
            "cohort {name} has {size} members, but {} objects name it: {names}; remove some, or raise cohort.size in all of them",
            members.len()
        )));
    }
    if let Some(stream) = object.spec.stream.name.as_ref() {
        let other = pending.iter().find(|peer| peer.stream_name.as_ref() == Some(stream));
        if let Some(other) = other {
            return Err(Incomplete::Refused(format!(
                "{} and {} of cohort {name} name the same stream {stream}; each member needs a stream of its own",
                own.name, other.member.name
            )));
        }
    }
    if members.len() < size {
        let elsewhere = elsewhere_clause(&elsewhere);
        return Err(Incomplete::Waits(format!(
            "cohort {name}: {} of {size} members are there ({names}){elsewhere}",
            members.len()
        )));
    }
    let blocked = pending.iter().find_map(|peer| match (&peer.stalled, &peer.load) {
        (Some((reason, message)), _) => {
            Some(format!("{} cannot begin: {reason}: {message}", peer.member.name))
        }
        (None, None) => Some(format!("{} was not checked yet", peer.member.name)),
        (None, Some(_)) => None,
    });
    if let Some(blocked) = blocked {
        return Err(Incomplete::Waits(format!("cohort {name}: {blocked}")));
    }
    let load_of = |member: &CohortMember| match member.uid == own.uid {
        true => Some(own_load.clone()),
        false => pending.iter().find(|peer| peer.member == *member).and_then(|peer| peer.load.clone()),
    };
    let loads: Vec<RunLoad> = members.iter().filter_map(load_of).collect();
    let another_region = loads.iter().find(|load| load.region != own_load.region);
    if let Some(another) = another_region {
        return Err(Incomplete::Refused(format!(
            "the members of cohort {name} are in {} and {}; give all of them the same region",
            own_load.region, another.region
        )));
    }
    let tasks = loads.iter().fold(0_u32, |sum, load| sum.saturating_add(load.tasks));
    if tasks > capacity.reads.most_tasks() {
        return Err(Incomplete::Refused(format!(
            "the members of cohort {name} need {tasks} tasks together, but a Region has room for {} (its control parameters may be read only so often); lower their rates, or raise generator.ratePerTask",
            capacity.reads.most_tasks()
        )));
    }
    let requested = pending.iter().map(|peer| peer.requested_at);
    let own_request = object.status.run.as_ref().map(|run| run.stage_entered_at);
    let others_are_checked = are_checked(&members, &own.uid, others);
    Ok(Round {
        requested_at: requested.chain(own_request).max().unwrap_or(MicroTime::from_micros(0)),
        members,
        loads,
        has_begun: false,
        others_are_checked,
    })
}

/// What the objects of the cohort do that are not Pending.
fn elsewhere_clause(elsewhere: &[&Peer]) -> String {
    let text = |peer: &&Peer| {
        let CohortMember { name, run, .. } = &peer.member;
        match peer.is_ending() {
            _ if peer.deleting => format!("; {name} is being deleted"),
            true => format!("; run {run} of {name} is over or ending ({}): rerun it, too", peer.stage),
            false => format!("; {name} is in run {run} ({})", peer.stage),
        }
    };
    elsewhere.iter().map(text).collect()
}

/// Whether all members other than `own` have what they need, in this round.
fn are_checked(members: &[CohortMember], own: &str, others: &[&Peer]) -> bool {
    members.iter().filter(|member| member.uid != own).all(|member| {
        let peer = others.iter().find(|peer| peer.member == *member);
        peer.is_some_and(|peer| !peer.is_ending() && peer.has_reached(members, CohortState::Checked))
    })
}

fn unchecked_message(cohort: &CohortSpec, round: &Round, others: &[&Peer]) -> String {
    let late = others.iter().filter(|peer| {
        round.members.contains(&peer.member) && !peer.has_reached(&round.members, CohortState::Checked)
    });
    let names = late.map(|peer| peer.member.name.as_str()).collect::<Vec<_>>().join(", ");
    format!("cohort {}: {names} has not passed its checks", cohort.name)
}

/// Which member of the round is over before it started, and why.
fn ended_member(members: &[CohortMember], own: &str, others: &[&Peer]) -> Option<String> {
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

/// The decision to wait until all members are there.
pub fn decide_gathering(
    object: &ObjectContext<'_>,
    plan: &Plan,
    what: String,
    capacity: Capacity,
    now: MicroTime,
) -> Decision {
    let mut builder = accepted(object);
    if let (Some(run), Some(cohort)) = (&mut builder.status.run, &object.spec.cohort) {
        run.load = Some(load(plan, capacity.reads.interval(plan.most_tasks)));
        let waits_already = run
            .cohort
            .as_ref()
            .filter(|stored| stored.state == CohortState::Gathering && stored.name == cohort.name);
        let since = waits_already.map_or(now, |stored| stored.since);
        run.cohort = Some(CohortStatus {
            name: cohort.name.clone(),
            state: CohortState::Gathering,
            since,
            members: Vec::new(),
            starts_at: None,
        });
        builder.wake_at(since + object.settings.timings.cohort_timeout);
    }
    builder.wait_for_cohort(what);
    builder.wait_until(now + object.settings.timings.poll_every).finish(object, now)
}

fn accepted(object: &ObjectContext<'_>) -> DecisionBuilder {
    let mut builder = DecisionBuilder::new(object.status);
    builder.found(ConditionType::SpecAccepted, ConditionStatus::True, Reason::Accepted, "");
    builder
}

/// The decision for a cohort that cannot be admitted. Each member says why.
pub fn decide_cohort_refused(
    object: &ObjectContext<'_>,
    plan: &Plan,
    why: String,
    capacity: Capacity,
    now: MicroTime,
) -> Decision {
    let mut builder = accepted(object);
    if let Some(run) = &mut builder.status.run {
        run.load = Some(load(plan, capacity.reads.interval(plan.most_tasks)));
        run.cohort = None;
    }
    let recheck_at = now + object.settings.timings.renew_every;
    builder.block(Reason::CohortRefused, why, Some(recheck_at)).finish(object, now)
}

/// The end of a run that has created nothing.
pub fn decide_cohort_ended(
    object: &ObjectContext<'_>,
    reason: Reason,
    why: &str,
    now: MicroTime,
) -> Decision {
    let message = with_next_step(reason, why);
    let builder = DecisionBuilder::new(object.status).decided(Outcome::Failed, reason, message);
    let builder = match object.status.has_leaked_resources() {
        false => builder.over(now),
        true => {
            let left = object.status.present_resources().join("; ");
            builder.over_with_leaked_resources(format!("still there: {left}"), now)
        }
    };
    builder.finish(object, now)
}

/// Whether this run was found to have what it needs in this round.
pub fn is_checked(status: &KinesisDemoStatus, round: &Round) -> bool {
    let stored = status.run.as_ref().and_then(|run| run.cohort.as_ref());
    stored.is_some_and(|stored| stored.state == CohortState::Checked && stored.members == round.members)
}

/// The decision to wait for the checks of the other members. Nothing is read from AWS.
pub fn decide_checked(object: &ObjectContext<'_>, now: MicroTime) -> Decision {
    let mut builder = accepted(object);
    wait_for_checks(object, &mut builder, now);
    builder.finish(object, now)
}

fn wait_for_checks(object: &ObjectContext<'_>, builder: &mut DecisionBuilder, now: MicroTime) {
    let timings = &object.settings.timings;
    let cohort = builder.status.run.as_ref().and_then(|run| run.cohort.clone());
    if let Some(cohort) = cohort {
        builder
            .wait_for_cohort(format!("cohort {}: waiting for the checks of the other members", cohort.name));
        builder.wake_at(cohort.since + timings.cohort_timeout);
    }
    builder.wake_at(now + timings.poll_every);
}

/// The run has what it needs: it waits for the others.
pub(super) fn note_checked(
    object: &ObjectContext<'_>,
    cohort: &CohortSpec,
    round: &Round,
    load: RunLoad,
    builder: &mut DecisionBuilder,
    now: MicroTime,
) {
    if let Some(run) = &mut builder.status.run {
        run.load = Some(load);
        let stored = run
            .cohort
            .take()
            .filter(|stored| stored.state == CohortState::Checked && stored.members == round.members);
        run.cohort = Some(stored.unwrap_or_else(|| CohortStatus {
            name: cohort.name.clone(),
            state: CohortState::Checked,
            since: now,
            members: round.members.clone(),
            starts_at: None,
        }));
    }
    wait_for_checks(object, builder, now);
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

//! The beginning of a cohort. In: a Pending object that names a cohort, and the other members as
//! the watch shows them. Out: the runs that begin together, or why none begins, and the decisions
//! that follow from that. Pure.

use kinesis_demo_api::KinesisDemoStatus;
use kinesis_demo_api::MicroTime;
use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::demo::CohortSpec;
use kinesis_demo_api::plan::Plan;
use kinesis_demo_api::status::{CohortMember, CohortState, CohortStatus, Outcome, RunLoad, Stage};

use super::cohort::ended_member;
use super::{Decision, DecisionBuilder, ObjectContext};
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

/// The run's use of shared capacity.
pub(super) fn load(plan: &Plan, read_every_seconds: u32) -> RunLoad {
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

//! The objects of a cohort as the watch shows them. In: objects. Out: what a decision about one of
//! them needs to know of the others. No I/O.

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason, find};
use kinesis_demo_api::demo::CohortSpec;
use kinesis_demo_api::status::{CohortMember, CohortState, CohortStatus, RunLoad};
use kinesis_demo_api::{KinesisDemo, MicroTime, Stage};
use kube::ResourceExt;

/// An object that names a cohort, or whose run belongs to one.
#[derive(Clone, Debug, PartialEq)]
pub struct Peer {
    pub namespace: String,
    /// The object, and the run that it is at.
    pub member: CohortMember,
    pub deleting: bool,
    /// The cohort that the spec names.
    pub spec: Option<CohortSpec>,
    pub stream_name: Option<String>,
    pub stage: Stage,
    pub requested_at: MicroTime,
    /// The run's use of shared capacity, once its spec was accepted.
    pub load: Option<RunLoad>,
    /// How far the run is.
    pub cohort: Option<CohortStatus>,
    /// Whether its outcome is decided, and why.
    pub ended: Option<(Reason, String)>,
    /// What somebody must change before the run goes on. A refused cohort does not count: each
    /// member judges the cohort itself.
    pub stalled: Option<(Reason, String)>,
    /// Whether it waits for the others, or was refused with them.
    pub waits: bool,
}

impl Peer {
    /// The cohort's view of `object`; `None` if it has nothing to do with any cohort.
    pub fn of(object: &KinesisDemo) -> Option<Self> {
        let status = object.status.as_ref();
        let run = status.and_then(|status| status.run.as_ref());
        let cohort = run.and_then(|run| run.cohort.clone());
        if object.spec.cohort.is_none() && cohort.is_none() {
            return None;
        }
        let conditions = status.map(|status| status.conditions.as_slice()).unwrap_or_default();
        let stage = status.and_then(|status| status.stage).unwrap_or_default();
        let stalled = find(conditions, ConditionType::Stalled)
            .filter(|condition| condition.status == ConditionStatus::True && !stage.is_terminal());
        let refused = stalled.is_some_and(|condition| condition.reason == Reason::CohortRefused);
        let waits = find(conditions, ConditionType::Reconciling)
            .is_some_and(|condition| condition.reason == Reason::WaitingForCohort);
        let ended = run
            .filter(|run| run.outcome.is_some())
            .map(|run| (run.reason.unwrap_or(Reason::Failed), run.message.clone().unwrap_or_default()));
        Some(Self {
            namespace: object.namespace()?,
            member: CohortMember {
                name: object.name_any(),
                uid: object.uid()?,
                run: run.map_or(1, |run| run.number),
            },
            deleting: object.metadata.deletion_timestamp.is_some(),
            spec: object.spec.cohort.clone(),
            stream_name: object.spec.stream.name.clone(),
            stage,
            requested_at: requested_at(object),
            load: run.and_then(|run| run.load.clone()),
            cohort,
            ended,
            stalled: stalled
                .filter(|_| !refused)
                .map(|condition| (condition.reason, condition.message.clone())),
            waits: waits || refused,
        })
    }

    /// Whether the run belongs to this round, and is at least as far as `state`.
    pub fn has_reached(&self, members: &[CohortMember], state: CohortState) -> bool {
        self.cohort.as_ref().is_some_and(|cohort| cohort.members == members && cohort.state >= state)
    }

    /// Whether the run, or its object, is over or about to end.
    pub fn is_ending(&self) -> bool {
        self.deleting || self.ended.is_some() || self.stage.is_terminal()
    }

    /// Whether a change of `other` may let this run go on.
    pub fn waits_for(&self, other: &Self) -> bool {
        let name = |peer: &Self| match &peer.cohort {
            Some(cohort) => Some(cohort.name.clone()),
            None => peer.spec.as_ref().map(|spec| spec.name.clone()),
        };
        self.waits
            && self.namespace == other.namespace
            && self.member.uid != other.member.uid
            && name(self) == name(other)
    }
}

/// When the current run of `object` was requested.
pub fn requested_at(object: &KinesisDemo) -> MicroTime {
    let run = object.status.as_ref().and_then(|status| status.run.as_ref());
    run.map_or(MicroTime::from_micros(i64::MAX), |run| run.stage_entered_at)
}

/// The cohort's members at one instant, as the queue admits them.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    /// All members, by name.
    pub members: Vec<CohortMember>,
    /// The load of each member, in the same order.
    pub loads: Vec<RunLoad>,
    /// When the last member was requested.
    pub requested_at: MicroTime,
    /// Whether a member has begun already. Then the others have their slots.
    pub has_begun: bool,
    /// Whether all members other than this one have what they need.
    pub others_are_checked: bool,
}

//! Limits concurrent runs. In: the objects from the watch, and the runs that this leader has
//! admitted since. Out: whether another run may start now, and how often its tasks may read. No
//! I/O.
//!
//! The watch lags behind our own writes, and several reconciles run at the same time. So a slot is
//! taken here at once, before the object shows it, and counts until the object is seen to have
//! started.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason, find};
use kinesis_demo_api::status::{CohortState, Effective, RunLoad, RunStatus};
use kinesis_demo_api::{KinesisDemo, MicroTime, Stage};
use kube::ResourceExt;

use super::cohort::{Peer, Round, requested_at};
use super::read_budget::ReadBudget;
use super::write_budget::WriteBudget;
use crate::settings::Timings;

/// The position in the queue: the run that was requested first comes first. A cohort has the
/// position of its last member.
type Rank = (MicroTime, String);

/// Where a run is, as far as the queue is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It waits for its turn.
    Waits,
    /// It was admitted with its cohort, and waits for the other members. It has a slot of its own
    /// once one of them has begun.
    Checked,
    /// It has begun.
    Active,
}

/// An object whose run is active or queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedRun {
    rank: Rank,
    place: Place,
    load: Option<RunLoad>,
    namespace: String,
    name: String,
    /// The name and the size of the cohort that a queued run waits with.
    cohort: Option<(String, usize)>,
    /// The uids of the runs that an active run was admitted with.
    admitted_with: Vec<String>,
}

impl QueuedRun {
    /// The queue's view of `object`; `None` if its run is neither active nor queued.
    pub fn of(object: &KinesisDemo) -> Option<Self> {
        let status = object.status.as_ref()?;
        let has_condition = |type_, reason| {
            find(&status.conditions, type_).is_some_and(|condition| {
                condition.status == ConditionStatus::True && condition.reason == reason
            })
        };
        let round = status.run.as_ref().and_then(|run| run.cohort.as_ref());
        let is_checked = round.is_some_and(|round| round.state == CohortState::Checked);
        let place = match status.stage.unwrap_or_default() {
            Stage::Pending if is_checked => Place::Checked,
            Stage::Pending
                if object.metadata.deletion_timestamp.is_none()
                    && has_condition(ConditionType::Reconciling, Reason::Queued) =>
            {
                Place::Waits
            }
            stage if !stage.is_active() => return None,
            _ if has_condition(ConditionType::Stalled, Reason::StatusOfAnotherObject) => return None,
            _ => Place::Active,
        };
        // In CleaningUp its tasks have stopped, so none reads.
        let reads = status.stage != Some(Stage::CleaningUp);
        let size = |size: i32| usize::try_from(size).unwrap_or_default();
        let members = round.map(|round| round.members.as_slice()).unwrap_or_default();
        Some(Self {
            rank: (requested_at(object), object.uid()?),
            place,
            load: status.run.as_ref().filter(|_| reads).and_then(load_of),
            namespace: object.namespace()?,
            name: object.name_any(),
            cohort: object.spec.cohort.as_ref().map(|cohort| (cohort.name.clone(), size(cohort.size))),
            admitted_with: members.iter().map(|member| member.uid.clone()).collect(),
        })
    }

    fn uid(&self) -> &str {
        &self.rank.1
    }
}

/// The load of a run. A run that an earlier version of the operator started has no load in its
/// status: its tasks read as often as that version had them read, and their number follows from the
/// pinned spec.
fn load_of(run: &RunStatus) -> Option<RunLoad> {
    const READ_EVERY_BEFORE: u32 = 3;
    if run.load.is_some() {
        return run.load.clone();
    }
    let Effective { region, spec, .. } = run.effective.as_ref()?;
    let highest = spec.phases.iter().map(|phase| phase.records_per_second.max(0).unsigned_abs()).max();
    let per_task = spec.generator.rate_per_task.max(1).unsigned_abs();
    let tasks = highest.unwrap_or_default().div_ceil(per_task).max(1);
    Some(RunLoad { region: region.clone(), tasks, read_every_seconds: READ_EVERY_BEFORE })
}

/// Lists the objects that the operator is responsible for.
pub trait RunLister: Send + Sync {
    /// Those whose runs are active or queued. `None` before all objects were listed once: until
    /// then the number of active runs is unknown.
    fn entries(&self) -> Option<Vec<QueuedRun>>;
    /// Those of a namespace that belong to a cohort. `None` before all objects were listed once.
    fn peers(&self, namespace: &str) -> Option<Vec<Peer>>;
}

/// The limits on active runs in total, and on active runs and their tasks per Region.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    pub runs: usize,
    pub reads: ReadBudget,
    pub writes: WriteBudget,
}

impl Capacity {
    /// The limits for this many active runs, in all Regions together.
    pub fn new(runs: usize, timings: &Timings) -> Self {
        let writes = WriteBudget::new(timings);
        Self { runs, reads: ReadBudget::new(runs.min(writes.most_runs()), timings), writes }
    }

    /// The most active runs in one Region.
    pub fn runs_of_a_region(self) -> usize {
        self.runs.min(self.writes.most_runs())
    }

    /// Whether `candidate` fits beside the active runs of its Region, once all tasks read at the
    /// longest interval.
    fn has_room_for(self, candidate: &Candidate<'_>, runs: usize, their_tasks: u32) -> bool {
        runs.saturating_add(candidate.uids.len()) <= self.writes.most_runs()
            && their_tasks.saturating_add(candidate.tasks) <= self.reads.most_tasks()
    }
}

/// The slot of an admitted run.
#[derive(Clone, Debug)]
struct Slot {
    load: RunLoad,
    /// The uids that were admitted with it, in order; only its own without a cohort.
    group: Arc<[String]>,
    /// Its settings are being pinned: it is about to begin.
    begins: bool,
}

/// The slots of admitted runs, by uid.
#[derive(Default)]
pub struct Queue(Mutex<HashMap<String, Slot>>);

impl Queue {
    /// Admits the run of `object`, which has at most `tasks` tasks in `region`. Returns how often
    /// these may read their control parameter, in seconds. `None` if the run has to wait.
    pub fn admit(
        &self,
        object: &KinesisDemo,
        (region, tasks): (&str, u32),
        entries: &[QueuedRun],
        capacity: Capacity,
    ) -> Option<u32> {
        let own: Rank = (requested_at(object), object.uid()?);
        let load = RunLoad { region: region.to_owned(), tasks, read_every_seconds: 0 };
        self.admit_all(&own, &[(own.1.clone(), load)], entries, capacity)
    }

    /// Admits all members of a cohort, or none: its runs never wait for each other's slots.
    pub fn admit_cohort(&self, round: &Round, entries: &[QueuedRun], capacity: Capacity) -> Option<u32> {
        let members = round.members.iter().map(|member| member.uid.clone());
        let slots: Vec<(String, RunLoad)> = members.zip(round.loads.iter().cloned()).collect();
        let last = slots.iter().map(|(uid, _)| uid).max()?.clone();
        self.admit_all(&(round.requested_at, last), &slots, entries, capacity)
    }

    /// Admits these runs of one Region at once. They read at the same interval.
    fn admit_all(
        &self,
        rank: &Rank,
        runs: &[(String, RunLoad)],
        entries: &[QueuedRun],
        capacity: Capacity,
    ) -> Option<u32> {
        let region = runs.first()?.1.region.as_str();
        let mut admitted = self.lock();
        let is_admitted = |(uid, load): &(String, RunLoad)| {
            admitted.get(uid).is_some_and(|slot| {
                (slot.load.region.as_str(), slot.load.tasks) == (load.region.as_str(), load.tasks)
                    && slot.group.iter().eq(runs.iter().map(|(uid, _)| uid))
            })
        };
        if runs.iter().all(is_admitted) {
            return runs.first().and_then(|(uid, _)| Some(admitted.get(uid)?.load.read_every_seconds));
        }
        // A spec was edited after admission, or the cohort has other members now.
        for (uid, _) in runs {
            remove_group(&mut admitted, uid);
        }
        let snapshot = QueueSnapshot { admitted: &admitted, entries, capacity };
        let own = Candidate {
            rank: rank.clone(),
            uids: runs.iter().map(|(uid, _)| uid.as_str()).collect(),
            region,
            tasks: runs.iter().fold(0, |sum, (_, load)| sum.saturating_add(load.tasks)),
        };
        let interval = snapshot.admission_interval(own)?.max(snapshot.desired_interval(region));
        let group: Arc<[String]> = runs.iter().map(|(uid, _)| uid.clone()).collect();
        for (uid, load) in runs {
            let load = RunLoad { read_every_seconds: interval, ..load.clone() };
            admitted.insert(uid.clone(), Slot { load, group: Arc::clone(&group), begins: false });
        }
        Some(interval)
    }

    /// The run is about to begin. From here on the others of its cohort keep their slots, too.
    /// Returns false if the cohort has lost its slots.
    pub fn begin(&self, uid: &str) -> bool {
        self.lock().get_mut(uid).map(|slot| slot.begins = true).is_some()
    }

    /// How often the tasks of runs in `region` should read from now on, in seconds. Counts the
    /// active runs, and the next queued runs that have room.
    pub fn desired_interval(&self, region: &str, entries: &[QueuedRun], capacity: Capacity) -> u32 {
        QueueSnapshot { admitted: &self.lock(), entries, capacity }.desired_interval(region)
    }

    /// The queued objects that may start now, though they may not have been reconciled yet.
    pub fn next_in_turn(&self, entries: &[QueuedRun], capacity: Capacity) -> Vec<Next> {
        let admitted = self.lock();
        let snapshot = QueueSnapshot { admitted: &admitted, entries, capacity };
        let next = snapshot.walk(snapshot.candidates().into_iter()).startable;
        let is_next = |entry: &&QueuedRun| next.iter().any(|(uid, _)| *uid == entry.uid());
        let to_next = |entry: &QueuedRun| Next {
            uid: entry.uid().to_owned(),
            namespace: entry.namespace.clone(),
            name: entry.name.clone(),
        };
        snapshot.waiting().into_iter().filter(is_next).map(to_next).collect()
    }

    /// Frees a slot: the run did not start, or the object itself shows by now that it did.
    pub fn release(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// Frees the slots of this run and of all that were admitted with it: the run cannot start.
    /// They keep their slots if one of them is about to begin.
    pub fn give_up(&self, uid: &str) {
        remove_group(&mut self.lock(), uid);
    }

    /// Frees the slot of a run that was about to begin and could not, and those of its cohort.
    pub fn fail_to_begin(&self, uid: &str) {
        let mut admitted = self.lock();
        if let Some(slot) = admitted.get_mut(uid) {
            slot.begins = false;
        }
        remove_group(&mut admitted, uid);
    }

    /// Drops the state of all objects except these uids: the others were deleted.
    pub fn keep_only(&self, uids: &HashSet<String>) {
        self.lock().retain(|uid, _| uids.contains(uid));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Frees the slots that were admitted with that of `uid`, unless one of them is about to begin.
fn remove_group(admitted: &mut HashMap<String, Slot>, uid: &str) {
    let Some(group) = admitted.get(uid).map(|slot| Arc::clone(&slot.group)) else { return };
    let begins = |uid: &String| admitted.get(uid).is_some_and(|slot| slot.begins);
    if !group.iter().any(begins) {
        admitted.retain(|uid, _| !group.contains(uid));
    }
}

/// The queue at one instant.
struct QueueSnapshot<'a> {
    admitted: &'a HashMap<String, Slot>,
    entries: &'a [QueuedRun],
    capacity: Capacity,
}

impl<'a> QueueSnapshot<'a> {
    /// The runs that have begun, and those that have slots because a run that was admitted with
    /// them has begun: a new leader knows of these slots, too.
    fn started(&self) -> Vec<&'a QueuedRun> {
        let active = || self.entries.iter().filter(|entry| entry.place == Place::Active);
        let reserved: HashSet<&str> =
            active().flat_map(|entry| &entry.admitted_with).map(String::as_str).collect();
        let has_slot = |entry: &&QueuedRun| match entry.place {
            Place::Active => true,
            Place::Checked => reserved.contains(entry.uid()),
            Place::Waits => false,
        };
        let not_counted = |entry: &&QueuedRun| !self.admitted.contains_key(entry.uid());
        self.entries.iter().filter(has_slot).filter(not_counted).collect()
    }

    fn count_active(&self) -> usize {
        self.started().len() + self.admitted.len()
    }

    /// The loads of the active and the admitted runs.
    fn active_loads(&self) -> Vec<&'a RunLoad> {
        let started = self.started().into_iter().filter_map(|entry| entry.load.as_ref());
        started.chain(self.admitted.values().map(|slot| &slot.load)).collect()
    }

    /// The queued runs, in order.
    fn waiting(&self) -> Vec<&'a QueuedRun> {
        let mut waiting: Vec<&QueuedRun> = self
            .entries
            .iter()
            .filter(|entry| entry.place == Place::Waits && !self.admitted.contains_key(entry.uid()))
            .collect();
        waiting.sort_by(|one, other| one.rank.cmp(&other.rank));
        waiting
    }

    /// The queued runs, in order, and each cohort as one. A cohort takes its turn when all its
    /// members are queued.
    fn candidates(&self) -> Vec<Candidate<'a>> {
        let mut cohorts: BTreeMap<(&str, &str), (usize, Vec<&'a QueuedRun>)> = BTreeMap::new();
        let mut candidates = Vec::new();
        for entry in self.waiting() {
            match &entry.cohort {
                None => candidates.push(Candidate::of(&[entry])),
                Some((cohort, size)) => {
                    let members = cohorts.entry((&entry.namespace, cohort));
                    members.or_insert_with(|| (*size, Vec::new())).1.push(entry);
                }
            }
        }
        let complete = cohorts.into_values().filter(|(size, members)| members.len() == *size);
        candidates.extend(complete.map(|(_, members)| Candidate::of(&members)));
        candidates.sort_by(|one, other| one.rank.cmp(&other.rank));
        candidates
    }

    /// How often the tasks of these runs may read, if they may start now. No run that was requested
    /// earlier for the same Region is overtaken.
    fn admission_interval(&self, own: Candidate<'_>) -> Option<u32> {
        let is_earlier = |candidate: &Candidate<'_>| {
            candidate.rank < own.rank && !candidate.uids.iter().any(|uid| own.uids.contains(uid))
        };
        let own_uid = own.uids.first().copied()?;
        let earlier: Vec<Candidate<'_>> = self.candidates().into_iter().filter(is_earlier).collect();
        let walk = self.walk(earlier.into_iter().chain([own]));
        walk.startable.into_iter().find(|(uid, _)| *uid == own_uid).map(|(_, interval)| interval)
    }

    /// How often tasks in `region` should read: given the active runs, and the next queued runs
    /// that will have room.
    fn desired_interval(&self, region: &str) -> u32 {
        let walk = self.walk(self.candidates().into_iter());
        self.capacity.reads.interval(walk.regions.get(region).map_or(0, |region| region.tasks))
    }

    /// Goes through these runs in order, and finds which could start now and which have room in
    /// their Region.
    ///
    /// A run without room in its Region blocks the later runs of that Region, but not those of
    /// other Regions. A run that has room only once the others read less often keeps its slot, and
    /// so do the runs behind it: runs of other Regions must not take these slots in the meantime.
    fn walk<'c>(&self, candidates: impl Iterator<Item = Candidate<'c>>) -> QueueWalk<'c> {
        let mut walk = QueueWalk::default();
        for load in self.active_loads() {
            walk.region(&load.region).start(load.clone());
        }
        let mut slots = self.capacity.runs.saturating_sub(self.count_active());
        for candidate in candidates {
            let (name, tasks, runs) = (candidate.region, candidate.tasks, candidate.uids.len());
            // More runs than may ever be active at once: the cohort will be refused.
            if runs > self.capacity.runs {
                continue;
            }
            let region = walk.region(name);
            // The first queued run of a Region counts before a slot is free, so that the other runs
            // read less often by then.
            let is_next = !region.has_queued || slots >= runs;
            region.has_queued = true;
            if region.is_full
                || !is_next
                || !self.capacity.has_room_for(&candidate, region.runs, region.tasks)
            {
                region.is_full = true;
                continue;
            }
            let interval = match slots >= runs && !region.is_waiting {
                true => self.capacity.reads.admit(tasks, &region.reading.iter().collect::<Vec<_>>()),
                false => None,
            };
            match interval {
                Some(read_every_seconds) => {
                    region.count(runs, tasks);
                    region.reading.push(RunLoad { region: name.to_owned(), tasks, read_every_seconds });
                    walk.startable.extend(candidate.uids.iter().map(|uid| (*uid, read_every_seconds)));
                }
                None => {
                    region.is_waiting = true;
                    region.count(runs, tasks);
                }
            }
            slots = slots.saturating_sub(runs);
        }
        walk
    }
}

/// What a walk through the queue found.
#[derive(Default)]
struct QueueWalk<'c> {
    /// The runs that could start now, by uid, and how often the tasks of each may read.
    startable: Vec<(&'c str, u32)>,
    regions: HashMap<String, RegionWalk>,
}

impl QueueWalk<'_> {
    fn region(&mut self, name: &str) -> &mut RegionWalk {
        self.regions.entry(name.to_owned()).or_default()
    }
}

/// A Region during a walk.
#[derive(Default)]
struct RegionWalk {
    /// The active runs, and the queued ones that could start now.
    reading: Vec<RunLoad>,
    /// The number of these, and of the queued runs that have room once the tasks read less often or
    /// a slot is free.
    runs: usize,
    /// The tasks of all of these.
    tasks: u32,
    has_queued: bool,
    /// A queued run waits until the tasks read less often, or for a slot. So do those behind it.
    is_waiting: bool,
    is_full: bool,
}

impl RegionWalk {
    fn start(&mut self, load: RunLoad) {
        self.count(1, load.tasks);
        self.reading.push(load);
    }

    fn count(&mut self, runs: usize, tasks: u32) {
        self.runs += runs;
        self.tasks = self.tasks.saturating_add(tasks);
    }
}

/// Runs that start together or not at all: one, or those of a cohort.
struct Candidate<'a> {
    rank: Rank,
    uids: Vec<&'a str>,
    region: &'a str,
    /// The tasks of all of them.
    tasks: u32,
}

impl<'a> Candidate<'a> {
    fn of(members: &[&'a QueuedRun]) -> Self {
        let loads = || members.iter().filter_map(|entry| entry.load.as_ref());
        let last = members.iter().map(|entry| entry.rank.0).max();
        let uid = members.iter().map(|entry| entry.uid()).max();
        Self {
            rank: (last.unwrap_or(MicroTime::from_micros(0)), uid.unwrap_or_default().to_owned()),
            uids: members.iter().map(|entry| entry.uid()).collect(),
            region: loads().next().map_or("", |load| load.region.as_str()),
            tasks: loads().fold(0, |sum, load| sum.saturating_add(load.tasks)),
        }
    }
}

/// An object that may start now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    pub uid: String,
    pub namespace: String,
    pub name: String,
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;

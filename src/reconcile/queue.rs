//! Limits concurrent runs. In: the objects from the watch, and the runs that this leader has
//! admitted since. Out: whether another run may start now, and how often its tasks may read. No
//! I/O.
//!
//! The watch lags behind our own writes, and several reconciles run at the same time. So a slot is
//! taken here at once, before the object shows it, and counts until the object is seen to have
//! started.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason, find};
use kinesis_demo_api::status::{Effective, RunLoad, RunStatus};
use kinesis_demo_api::{KinesisDemo, MicroTime, Stage};
use kube::ResourceExt;

use super::read_budget::ReadBudget;
use super::write_budget::WriteBudget;
use crate::settings::Timings;

/// The position in the queue: the run that was requested first comes first.
type Rank = (MicroTime, String);

/// An object whose run is active or queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedRun {
    rank: Rank,
    waits: bool,
    load: Option<RunLoad>,
    namespace: String,
    name: String,
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
        let waits = match status.stage.unwrap_or_default() {
            Stage::Pending
                if object.metadata.deletion_timestamp.is_none()
                    && has_condition(ConditionType::Reconciling, Reason::Queued) =>
            {
                true
            }
            stage if !stage.is_active() => return None,
            _ if has_condition(ConditionType::Stalled, Reason::StatusOfAnotherObject) => return None,
            _ => false,
        };
        // In CleaningUp its tasks have stopped, so none reads.
        let reads = status.stage != Some(Stage::CleaningUp);
        Some(Self {
            rank: (requested_at(object), object.uid()?),
            waits,
            load: status.run.as_ref().filter(|_| reads).and_then(load_of),
            namespace: object.namespace()?,
            name: object.name_any(),
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

fn requested_at(object: &KinesisDemo) -> MicroTime {
    let run = object.status.as_ref().and_then(|status| status.run.as_ref());
    run.map_or(MicroTime::from_micros(i64::MAX), |run| run.stage_entered_at)
}

/// Lists the objects that the operator is responsible for.
pub trait RunLister: Send + Sync {
    /// Those whose runs are active or queued. `None` before all objects were listed once: until
    /// then the number of active runs is unknown.
    fn entries(&self) -> Option<Vec<QueuedRun>>;
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

    /// Whether a run of this many tasks fits beside the active runs of its Region, once all tasks
    /// read at the longest interval.
    fn has_room_for(self, tasks: u32, runs: usize, their_tasks: u32) -> bool {
        runs < self.writes.most_runs() && their_tasks.saturating_add(tasks) <= self.reads.most_tasks()
    }
}

/// The slots of admitted runs, by uid.
#[derive(Default)]
pub struct Queue(Mutex<HashMap<String, RunLoad>>);

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
        let mut admitted = self.lock();
        if let Some(load) = admitted.get(&own.1) {
            if (load.region.as_str(), load.tasks) == (region, tasks) {
                return Some(load.read_every_seconds);
            }
            // Its spec was edited after admission.
            admitted.remove(&own.1);
        }
        let snapshot = QueueSnapshot { admitted: &admitted, entries, capacity };
        let interval =
            snapshot.admission_interval(&own, region, tasks)?.max(snapshot.desired_interval(region));
        let load = RunLoad { region: region.to_owned(), tasks, read_every_seconds: interval };
        admitted.insert(own.1, load);
        Some(interval)
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
        let waiting = snapshot.waiting();
        let next = snapshot.walk(waiting.iter().map(|entry| Candidate::of(entry))).startable;
        let is_next = |entry: &&&QueuedRun| next.iter().any(|(uid, _)| *uid == entry.uid());
        let to_next = |entry: &&QueuedRun| Next {
            uid: entry.uid().to_owned(),
            namespace: entry.namespace.clone(),
            name: entry.name.clone(),
        };
        waiting.iter().filter(is_next).map(to_next).collect()
    }

    /// Frees a slot: the run did not start, or the object itself shows by now that it did.
    pub fn release(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// Drops the state of all objects except these uids: the others were deleted.
    pub fn keep_only(&self, uids: &HashSet<String>) {
        self.lock().retain(|uid, _| uids.contains(uid));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, RunLoad>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The queue at one instant.
struct QueueSnapshot<'a> {
    admitted: &'a HashMap<String, RunLoad>,
    entries: &'a [QueuedRun],
    capacity: Capacity,
}

impl<'a> QueueSnapshot<'a> {
    fn started(&self) -> impl Iterator<Item = &'a QueuedRun> {
        self.entries.iter().filter(|entry| !entry.waits)
    }

    fn count_active(&self) -> usize {
        let started = self.started().filter(|entry| !self.admitted.contains_key(entry.uid())).count();
        started + self.admitted.len()
    }

    /// The loads of the active and the admitted runs.
    fn active_loads(&self) -> Vec<&'a RunLoad> {
        let started = self.started().filter(|entry| !self.admitted.contains_key(entry.uid()));
        started.filter_map(|entry| entry.load.as_ref()).chain(self.admitted.values()).collect()
    }

    /// The queued runs, in order.
    fn waiting(&self) -> Vec<&'a QueuedRun> {
        let mut waiting: Vec<&QueuedRun> = self
            .entries
            .iter()
            .filter(|entry| entry.waits && !self.admitted.contains_key(entry.uid()))
            .collect();
        waiting.sort_by(|one, other| one.rank.cmp(&other.rank));
        waiting
    }

    /// How often the tasks of this run may read, if it may start now. No run that was requested
    /// earlier for the same Region is overtaken.
    fn admission_interval(&self, own: &Rank, region: &str, tasks: u32) -> Option<u32> {
        let waiting = self.waiting();
        let earlier = waiting.iter().filter(|entry| entry.rank < *own).map(|entry| Candidate::of(entry));
        let walk = self.walk(earlier.chain([Candidate { uid: &own.1, region, tasks }]));
        walk.startable.into_iter().find(|(uid, _)| *uid == own.1).map(|(_, interval)| interval)
    }

    /// How often tasks in `region` should read: given the active runs, and the next queued runs
    /// that will have room.
    fn desired_interval(&self, region: &str) -> u32 {
        let walk = self.walk(self.waiting().into_iter().map(Candidate::of));
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
        for Candidate { uid, region: name, tasks } in candidates {
            let region = walk.region(name);
            // The first queued run of a Region counts before a slot is free, so that the other runs
            // read less often by then.
            let is_next = !region.has_queued || slots > 0;
            region.has_queued = true;
            if region.is_full || !is_next || !self.capacity.has_room_for(tasks, region.runs, region.tasks) {
                region.is_full = true;
                continue;
            }
            let interval = match slots > 0 && !region.is_waiting {
                true => self.capacity.reads.admit(tasks, &region.reading.iter().collect::<Vec<_>>()),
                false => None,
            };
            match interval {
                Some(read_every_seconds) => {
                    region.start(RunLoad { region: name.to_owned(), tasks, read_every_seconds });
                    walk.startable.push((uid, read_every_seconds));
                }
                None => {
                    region.is_waiting = true;
                    region.count(tasks);
                }
            }
            slots = slots.saturating_sub(1);
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
        self.count(load.tasks);
        self.reading.push(load);
    }

    fn count(&mut self, tasks: u32) {
        self.runs += 1;
        self.tasks = self.tasks.saturating_add(tasks);
    }
}

/// A run that could start.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    uid: &'a str,
    region: &'a str,
    tasks: u32,
}

impl<'a> Candidate<'a> {
    fn of(entry: &'a QueuedRun) -> Self {
        let (region, tasks) = entry.load.as_ref().map_or(("", 0), |load| (load.region.as_str(), load.tasks));
        Self { uid: entry.uid(), region, tasks }
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

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

use super::read_budget::{ReadBudget, total};
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
        let next = snapshot.startable(&waiting.iter().map(|entry| Candidate::of(entry)).collect::<Vec<_>>());
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
        let mut candidates: Vec<Candidate<'_>> =
            waiting.iter().filter(|entry| entry.rank < *own).map(|entry| Candidate::of(entry)).collect();
        candidates.push(Candidate { uid: &own.1, region, tasks });
        self.startable(&candidates).into_iter().find(|(uid, _)| *uid == own.1).map(|(_, interval)| interval)
    }

    /// Which of these could start now, in this order, and how often the tasks of each may read. A
    /// run without room in its Region blocks the later runs of that Region, but not those of other
    /// Regions. A run that has room only once the others read less often keeps its slot: runs of
    /// other Regions must not take it in the meantime.
    fn startable<'c>(&self, candidates: &[Candidate<'c>]) -> Vec<(&'c str, u32)> {
        let mut count = self.count_active();
        let mut loads: Vec<RunLoad> = self.active_loads().into_iter().cloned().collect();
        let (mut full, mut next) = (HashSet::new(), Vec::new());
        for Candidate { uid, region, tasks } in candidates {
            if count >= self.capacity.runs {
                break;
            }
            if full.contains(region) {
                continue;
            }
            let in_region: Vec<&RunLoad> = loads.iter().filter(|load| load.region == *region).collect();
            if !self.capacity.has_room_for(*tasks, in_region.len(), total(&in_region)) {
                full.insert(*region);
                continue;
            }
            count += 1;
            let Some(interval) = self.capacity.reads.admit(*tasks, &in_region) else {
                full.insert(*region);
                continue;
            };
            next.push((*uid, interval));
            loads.push(RunLoad { region: (*region).to_owned(), tasks: *tasks, read_every_seconds: interval });
        }
        next
    }

    /// How often tasks in `region` should read: given the active runs, and the next queued runs
    /// that will have room. The first queued run of a Region counts before a slot is free, so that
    /// the other runs read less often by then.
    fn desired_interval(&self, region: &str) -> u32 {
        let mut regions: HashMap<&str, (usize, u32)> = HashMap::new();
        for load in self.active_loads() {
            let (runs, tasks) = regions.entry(load.region.as_str()).or_default();
            (*runs, *tasks) = (*runs + 1, tasks.saturating_add(load.tasks));
        }
        let mut slots = self.capacity.runs.saturating_sub(self.count_active());
        let (mut seen, mut full) = (HashSet::new(), HashSet::new());
        for next in self.waiting().into_iter().map(Candidate::of) {
            let (runs, tasks) = regions.entry(next.region).or_default();
            let is_first = seen.insert(next.region);
            let is_next = is_first || slots > 0;
            if full.contains(next.region)
                || !is_next
                || !self.capacity.has_room_for(next.tasks, *runs, *tasks)
            {
                full.insert(next.region);
                continue;
            }
            (*runs, *tasks) = (*runs + 1, tasks.saturating_add(next.tasks));
            slots = slots.saturating_sub(1);
        }
        self.capacity.reads.interval(regions.get(region).map_or(0, |(_, tasks)| *tasks))
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

//! Which runs go on at once. In: the objects as the watch holds them, and the runs that this leader has let begin since. Out: whether one
//! more may begin now, and how often its tasks may read. No I/O.
//!
//! The watch lags behind our own writes, and several reconciles go on at the same time: a place is taken here, at once, before the object
//! says so, and counts until the object itself is seen to have begun.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason, find};
use kinesis_demo_api::status::{Effective, RunLoad, RunStatus};
use kinesis_demo_api::{KinesisDemo, MicroTime, Stage};
use kube::ResourceExt;

use super::read_budget::{ReadBudget, total};
use super::write_budget::WriteBudget;
use crate::settings::Timings;

/// Whose turn it is: whose run was asked for first.
type Rank = (MicroTime, String);

/// An object whose run goes on, or waits for its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedRun {
    rank: Rank,
    waits: bool,
    load: Option<RunLoad>,
    namespace: String,
    name: String,
}

impl QueuedRun {
    /// What `object` is to the queue; `None` if it neither goes on nor waits.
    pub fn of(object: &KinesisDemo) -> Option<Self> {
        let status = object.status.as_ref()?;
        let says = |type_, reason| {
            find(&status.conditions, type_)
                .is_some_and(|held| held.status == ConditionStatus::True && held.reason == reason)
        };
        let waits = match status.stage.unwrap_or_default() {
            Stage::Pending
                if object.metadata.deletion_timestamp.is_none()
                    && says(ConditionType::Reconciling, Reason::Queued) =>
            {
                true
            }
            stage if !stage.is_active() => return None,
            _ if says(ConditionType::Stalled, Reason::StatusOfAnotherObject) => return None,
            _ => false,
        };
        // Its tasks are gone.
        let reads = status.stage != Some(Stage::CleaningUp);
        Some(Self {
            rank: (asked_at(object), object.uid()?),
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

/// What a run takes. One that an earlier version of the operator began has not stated it: its tasks read as
/// often as they did then, and are as many as its pinned spec needs.
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

fn asked_at(object: &KinesisDemo) -> MicroTime {
    let run = object.status.as_ref().and_then(|status| status.run.as_ref());
    run.map_or(MicroTime::from_micros(i64::MAX), |run| run.stage_entered_at)
}

/// Lists the objects that the operator answers for.
pub trait RunLister: Send + Sync {
    /// Those whose runs go on or wait. `None` before all objects were listed once: nobody knows then how
    /// many runs go on.
    fn entries(&self) -> Option<Vec<QueuedRun>>;
}

/// How many runs go on at once, and how many of them, with how many tasks, in each Region.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    pub runs: usize,
    pub reads: ReadBudget,
    pub writes: WriteBudget,
}

impl Capacity {
    /// For so many runs at once, in all Regions together.
    pub fn new(runs: usize, timings: &Timings) -> Self {
        let writes = WriteBudget::new(timings);
        Self { runs, reads: ReadBudget::new(runs.min(writes.most_runs()), timings), writes }
    }

    /// The most runs that go on at once in one Region.
    pub fn runs_of_a_region(self) -> usize {
        self.runs.min(self.writes.most_runs())
    }

    /// Whether a run of so many tasks has room beside these runs of its Region, once all read as
    /// rarely as they may.
    fn has_room_for(self, tasks: u32, runs: usize, their_tasks: u32) -> bool {
        runs < self.writes.most_runs() && their_tasks.saturating_add(tasks) <= self.reads.most_tasks()
    }
}

/// The places that were taken, by uid.
#[derive(Default)]
pub struct Queue(Mutex<HashMap<String, RunLoad>>);

impl Queue {
    /// Takes a place for the run of `object`, whose tasks are `tasks` in `region` at the most: answers how
    /// often these may read their control parameter, in seconds. `None` if it is not its turn yet.
    pub fn admit(
        &self,
        object: &KinesisDemo,
        (region, tasks): (&str, u32),
        entries: &[QueuedRun],
        capacity: Capacity,
    ) -> Option<u32> {
        let own: Rank = (asked_at(object), object.uid()?);
        let mut taken = self.lock();
        if let Some(held) = taken.get(&own.1) {
            if (held.region.as_str(), held.tasks) == (region, tasks) {
                return Some(held.read_every_seconds);
            }
            // Its spec was edited since.
            taken.remove(&own.1);
        }
        let turn = QueueSnapshot { taken: &taken, entries, capacity };
        let interval = turn.interval_of(&own, region, tasks)?.max(turn.wanted_interval(region));
        let load = RunLoad { region: region.to_owned(), tasks, read_every_seconds: interval };
        taken.insert(own.1, load);
        Some(interval)
    }

    /// How often the tasks of runs in `region` should read from now on, in seconds: of those that go on,
    /// and of whoever is next and has room.
    pub fn wanted_interval(&self, region: &str, entries: &[QueuedRun], capacity: Capacity) -> u32 {
        QueueSnapshot { taken: &self.lock(), entries, capacity }.wanted_interval(region)
    }

    /// The objects whose turn it is, though they may not know yet.
    pub fn next_in_turn(&self, entries: &[QueuedRun], capacity: Capacity) -> Vec<Next> {
        let taken = self.lock();
        let turn = QueueSnapshot { taken: &taken, entries, capacity };
        let waiting = turn.waiting();
        let next = turn.beginning(&waiting.iter().map(|entry| Candidate::of(entry)).collect::<Vec<_>>());
        let is_next = |entry: &&&QueuedRun| next.iter().any(|(uid, _)| *uid == entry.uid());
        let told = |entry: &&QueuedRun| Next {
            uid: entry.uid().to_owned(),
            namespace: entry.namespace.clone(),
            name: entry.name.clone(),
        };
        waiting.iter().filter(is_next).map(told).collect()
    }

    /// Gives a place back: the run did not begin, or the object itself says by now that it did.
    pub fn release(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// Forgets all objects but those with these uids: the others are gone.
    pub fn keep_only(&self, uids: &HashSet<String>) {
        self.lock().retain(|uid, _| uids.contains(uid));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, RunLoad>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The queue as it is at one instant.
struct QueueSnapshot<'a> {
    taken: &'a HashMap<String, RunLoad>,
    entries: &'a [QueuedRun],
    capacity: Capacity,
}

impl<'a> QueueSnapshot<'a> {
    fn begun(&self) -> impl Iterator<Item = &'a QueuedRun> {
        self.entries.iter().filter(|entry| !entry.waits)
    }

    fn count_going_on(&self) -> usize {
        let begun = self.begun().filter(|entry| !self.taken.contains_key(entry.uid())).count();
        begun + self.taken.len()
    }

    /// What the runs take that go on, or were let begin.
    fn going_on(&self) -> Vec<&'a RunLoad> {
        let begun = self.begun().filter(|entry| !self.taken.contains_key(entry.uid()));
        begun.filter_map(|entry| entry.load.as_ref()).chain(self.taken.values()).collect()
    }

    /// Who waits, in the order of their turns.
    fn waiting(&self) -> Vec<&'a QueuedRun> {
        let mut waiting: Vec<&QueuedRun> = self
            .entries
            .iter()
            .filter(|entry| entry.waits && !self.taken.contains_key(entry.uid()))
            .collect();
        waiting.sort_by(|one, other| one.rank.cmp(&other.rank));
        waiting
    }

    /// How often the tasks of this run may read, if it is its turn: nobody who waits longer for the same is
    /// passed by.
    fn interval_of(&self, own: &Rank, region: &str, tasks: u32) -> Option<u32> {
        let waiting = self.waiting();
        let mut candidates: Vec<Candidate<'_>> =
            waiting.iter().filter(|entry| entry.rank < *own).map(|entry| Candidate::of(entry)).collect();
        candidates.push(Candidate { uid: &own.1, region, tasks });
        self.beginning(&candidates).into_iter().find(|(uid, _)| *uid == own.1).map(|(_, interval)| interval)
    }

    /// Which of these could begin now, in this order, and how often the tasks of each may read.
    /// Whoever finds no room in a Region lets nobody pass there; other Regions do not wait for it.
    /// A place is kept for whoever has room as soon as others read less often: runs of other
    /// Regions must not take it meanwhile.
    fn beginning<'c>(&self, candidates: &[Candidate<'c>]) -> Vec<(&'c str, u32)> {
        let mut count = self.count_going_on();
        let mut loads: Vec<RunLoad> = self.going_on().into_iter().cloned().collect();
        let (mut full, mut next) = (HashSet::new(), Vec::new());
        for Candidate { uid, region, tasks } in candidates {
            if count >= self.capacity.runs {
                break;
            }
            if full.contains(region) {
                continue;
            }
            let held: Vec<&RunLoad> = loads.iter().filter(|load| load.region == *region).collect();
            if !self.capacity.has_room_for(*tasks, held.len(), total(&held)) {
                full.insert(*region);
                continue;
            }
            count += 1;
            let Some(interval) = self.capacity.reads.admit(*tasks, &held) else {
                full.insert(*region);
                continue;
            };
            next.push((*uid, interval));
            loads.push(RunLoad { region: (*region).to_owned(), tasks: *tasks, read_every_seconds: interval });
        }
        next
    }

    /// How often tasks in `region` should read: those of runs that go on, and of those that are
    /// next and for which there will be room. Whoever is first in its Region counts before a place
    /// is free: the others read less often by then.
    fn wanted_interval(&self, region: &str) -> u32 {
        let mut regions: HashMap<&str, (usize, u32)> = HashMap::new();
        for load in self.going_on() {
            let (runs, tasks) = regions.entry(load.region.as_str()).or_default();
            (*runs, *tasks) = (*runs + 1, tasks.saturating_add(load.tasks));
        }
        let mut places = self.capacity.runs.saturating_sub(self.count_going_on());
        let (mut passed, mut full) = (HashSet::new(), HashSet::new());
        for next in self.waiting().into_iter().map(Candidate::of) {
            let (runs, tasks) = regions.entry(next.region).or_default();
            let is_first = passed.insert(next.region);
            let is_next = is_first || places > 0;
            if full.contains(next.region)
                || !is_next
                || !self.capacity.has_room_for(next.tasks, *runs, *tasks)
            {
                full.insert(next.region);
                continue;
            }
            (*runs, *tasks) = (*runs + 1, tasks.saturating_add(next.tasks));
            places = places.saturating_sub(1);
        }
        self.capacity.reads.interval(regions.get(region).map_or(0, |(_, tasks)| *tasks))
    }
}

/// Somebody who wants to begin.
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

/// An object whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    pub uid: String,
    pub namespace: String,
    pub name: String,
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;

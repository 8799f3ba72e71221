//! Which runs go on at once. In: the objects as the watch holds them, and the runs that this leader has let begin since. Out: whether one
//! more may begin now, and how often its tasks may read. No I/O.
//!
//! The watch lags behind our own writes, and several reconciles go on at the same time: a place is taken here, at once, before the object
//! says so, and counts until the object itself is seen to have begun.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason, find};
use kinesis_demo_api::status::RunLoad;
use kinesis_demo_api::{KinesisDemo, MicroTime, Stage};
use kube::ResourceExt;

use super::read_budget::{ReadBudget, total};

/// Whose turn it is: whose run was asked for first.
type Rank = (MicroTime, String);

/// An object whose run goes on, or waits for its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    rank: Rank,
    waits: bool,
    load: Option<RunLoad>,
    namespace: String,
    name: String,
}

impl Entry {
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
            Stage::Pending => return None,
            stage if stage.is_terminal() => return None,
            _ if says(ConditionType::Stalled, Reason::StatusOfAnotherObject) => return None,
            _ => false,
        };
        Some(Self {
            rank: (asked_at(object), object.uid()?),
            waits,
            load: status.run.as_ref().and_then(|run| run.load.clone()),
            namespace: object.namespace()?,
            name: object.name_any(),
        })
    }

    fn uid(&self) -> &str {
        &self.rank.1
    }

    fn load_in(&self, region: &str) -> Option<&RunLoad> {
        self.load.as_ref().filter(|load| load.region == region)
    }
}

fn asked_at(object: &KinesisDemo) -> MicroTime {
    let run = object.status.as_ref().and_then(|status| status.run.as_ref());
    run.map_or(MicroTime::from_micros(i64::MAX), |run| run.stage_entered_at)
}

/// Lists the objects that the operator answers for.
pub trait Roll: Send + Sync {
    /// Those whose runs go on or wait.
    fn entries(&self) -> Vec<Entry>;
}

/// How many runs go on at once, and how many tasks in each Region.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    pub runs: usize,
    pub reads: ReadBudget,
}

/// The places that were taken, by uid.
#[derive(Default)]
pub struct Queue(Mutex<HashMap<String, RunLoad>>);

impl Queue {
    /// Takes a place for the run of `object`, whose tasks are `tasks` in `region` at the most: answers how
    /// often these may read their control parameter, in seconds. `None` if it is not its turn yet.
    pub fn take_place(
        &self,
        object: &KinesisDemo,
        (region, tasks): (&str, u32),
        entries: &[Entry],
        capacity: Capacity,
    ) -> Option<u32> {
        let own: Rank = (asked_at(object), object.uid()?);
        let mut taken = self.lock();
        if let Some(held) = taken.get(&own.1) {
            return Some(held.read_every_seconds);
        }
        let interval = Turn { taken: &taken, entries, capacity }.interval_of(&own, region, tasks)?;
        let load = RunLoad { region: region.to_owned(), tasks, read_every_seconds: interval };
        taken.insert(own.1, load);
        Some(interval)
    }

    /// How often the tasks of runs in `region` should read from now on, in seconds: of those that go on,
    /// and of whoever is next and has room.
    pub fn wanted_interval(&self, region: &str, entries: &[Entry], capacity: Capacity) -> u32 {
        let taken = self.lock();
        let turn = Turn { taken: &taken, entries, capacity };
        let going_on = turn.going_on();
        let mut loads: Vec<&RunLoad> =
            going_on.iter().copied().filter(|load| load.region == region).collect();
        let places = capacity.runs.saturating_sub(turn.count_going_on());
        for next in turn.waiting().into_iter().take(places) {
            let Some(load) = next.load_in(region) else { continue };
            if total(&loads).saturating_add(load.tasks) > capacity.reads.most_tasks() {
                break;
            }
            loads.push(load);
        }
        capacity.reads.interval(total(&loads))
    }

    /// The objects (namespace and name) whose turn it is, though they may not know yet.
    pub fn next_in_turn(&self, entries: &[Entry], capacity: Capacity) -> Vec<(String, String)> {
        let taken = self.lock();
        let turn = Turn { taken: &taken, entries, capacity };
        let waiting = turn.waiting();
        let has_turn = |entry: &&&Entry| {
            let load = entry.load.as_ref();
            load.is_none_or(|load| turn.interval_of(&entry.rank, &load.region, load.tasks).is_some())
        };
        let next = waiting.iter().take(capacity.runs).take_while(has_turn);
        next.map(|entry| (entry.namespace.clone(), entry.name.clone())).collect()
    }

    /// Gives a place back: the run did not begin, or the object itself says by now that it did.
    pub fn leave(&self, uid: &str) {
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
struct Turn<'a> {
    taken: &'a HashMap<String, RunLoad>,
    entries: &'a [Entry],
    capacity: Capacity,
}

impl<'a> Turn<'a> {
    fn begun(&self) -> impl Iterator<Item = &'a Entry> {
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
    fn waiting(&self) -> Vec<&'a Entry> {
        let mut waiting: Vec<&Entry> = self
            .entries
            .iter()
            .filter(|entry| entry.waits && !self.taken.contains_key(entry.uid()))
            .collect();
        waiting.sort_by(|one, other| one.rank.cmp(&other.rank));
        waiting
    }

    /// How often the tasks of this run may read, if it is its turn: nobody who waits longer is passed by.
    fn interval_of(&self, own: &Rank, region: &str, tasks: u32) -> Option<u32> {
        let earlier: Vec<&Entry> = self.waiting().into_iter().filter(|entry| entry.rank < *own).collect();
        if self.count_going_on() + earlier.len() >= self.capacity.runs {
            return None;
        }
        let mut loads: Vec<&RunLoad> =
            self.going_on().into_iter().filter(|load| load.region == region).collect();
        loads.extend(earlier.iter().filter_map(|entry| entry.load_in(region)));
        self.capacity.reads.admit(tasks, &loads)
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;

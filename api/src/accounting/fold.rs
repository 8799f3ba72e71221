//! Folding the record of who had which slot: it is bounded, and a run in which tasks die every few seconds would fill it.
//! In: the evidence, the instant before which nothing more will be reported. Out: fewer assignments, and what the others
//! leave open. Pure. The books are the same before and after.

use std::collections::{BTreeMap, BTreeSet};

use super::AccountingInputs;
use crate::MicroTime;
use crate::control::TaskId;
use crate::status::{Assignment, FoldedPhase};

/// How many assignments the status holds (its schema's bound). A run whose record is as long even when folded must end.
pub const MAX_ASSIGNMENTS: usize = 1_000;

/// The record of who had which slot, after folding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folding {
    /// The assignments that can still change something, in their order.
    pub assignments: Vec<Assignment>,
    /// What the others leave open, by phase; with what was folded before.
    pub folded: Vec<FoldedPhase>,
}

impl AccountingInputs<'_> {
    /// Takes out the assignments of tasks whose every slot ended, and of which nothing more can be reported, before
    /// `settled_before`: every line that was written by then was read, and no rate is asked for that reaches further back.
    /// What they leave open is added to `folded`.
    ///
    /// An assignment stays as long as the share of a task that stays depends on it. So the record may remain long while a
    /// task that still has its slot has not been heard of for long.
    pub fn fold(&self, settled_before: MicroTime) -> Folding {
        let mut ended: BTreeMap<&TaskId, MicroTime> = BTreeMap::new();
        let mut stays_from = settled_before.min(self.until);
        for task in self.tasks() {
            let until = self.ended_at(task).filter(|until| *until <= stays_from);
            match until.filter(|_| self.says_no_more(task, settled_before)) {
                Some(until) => drop(ended.insert(task, until)),
                None => stays_from = stays_from.min(self.silent_from(task).unwrap_or(stays_from)),
            }
        }
        // A task that stays keeps those whose slots overlap the time for which its share is still asked, and so on.
        loop {
            let kept: Vec<_> =
                ended.iter().filter(|(_, until)| **until > stays_from).map(|(task, _)| *task).collect();
            for task in &kept {
                ended.remove(task);
                stays_from = stays_from.min(self.silent_from(task).unwrap_or(stays_from));
            }
            if kept.is_empty() {
                break;
            }
        }
        let ended: BTreeSet<&TaskId> = ended.into_keys().collect();
        Folding { folded: self.folded_with(&ended), assignments: self.without(&ended) }
    }

    /// When the last slot of `task` ended; `None` while it has one.
    fn ended_at(&self, task: &TaskId) -> Option<MicroTime> {
        let own = self.assignments.iter().filter(|held| held.task == *task);
        own.map(|held| held.until)
            .try_fold(MicroTime::from_micros(i64::MIN), |last, until| Some(last.max(until?)))
    }

    /// Whether what `task` leaves open is known for good.
    fn says_no_more(&self, task: &TaskId, settled_before: MicroTime) -> bool {
        let known_by = self.silent_from(task).map(|from| from + self.unheard_for);
        known_by.is_none_or(|known_by| known_by <= settled_before.min(self.until))
    }

    fn folded_with(&self, ended: &BTreeSet<&TaskId>) -> Vec<FoldedPhase> {
        let mut sums: BTreeMap<usize, u64> = BTreeMap::new();
        for (index, count) in ended.iter().flat_map(|task| self.unheard_of(task)) {
            *sums.entry(index).or_default() += count;
        }
        let phases = self.timeline.phases.iter().enumerate().map(|(index, window)| {
            let before = self.folded.iter().filter(|folded| folded.phase == window.name);
            let unreported =
                before.map(|folded| folded.unreported).sum::<u64>() + sums.get(&index).unwrap_or(&0);
            FoldedPhase { phase: window.name.clone(), unreported }
        });
        phases.filter(|folded| folded.unreported > 0).collect()
    }

    fn without(&self, ended: &BTreeSet<&TaskId>) -> Vec<Assignment> {
        self.assignments.iter().filter(|held| !ended.contains(&held.task)).cloned().collect()
    }
}

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;

//! Folds old slot assignments into sums, because their list is bounded and a run in which tasks die
//! every few seconds would fill it. In: the accounting inputs, and the instant before which nothing
//! more will be reported. Out: fewer assignments, and the unreported records of the others. Pure.
//! The totals are the same before and after.

use std::collections::{BTreeMap, BTreeSet};

use super::AccountingInputs;
use crate::MicroTime;
use crate::control::TaskId;
use crate::demo::status::{Assignment, FoldedPhase};

/// The maximum number of assignments in status (its schema's limit). A run that reaches it even
/// after folding must end.
pub const MAX_ASSIGNMENTS: usize = 1_000;

/// The result of folding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folding {
    /// The assignments that can still affect the totals, in their order.
    pub assignments: Vec<Assignment>,
    /// The unreported records of all folded assignments, by phase, including earlier folds.
    pub folded: Vec<FoldedPhase>,
}

impl AccountingInputs<'_> {
    /// Removes the assignments of tasks whose slots all ended and about which nothing more can be
    /// reported, before `settled_before`: every line written by then was read, and no rate window
    /// begins earlier. Their unreported records are added to `folded`.
    ///
    /// An assignment is kept while the share of a kept task depends on it. So the list may stay
    /// long while a task with a slot has not reported for a long time.
    pub fn fold(&self, settled_before: MicroTime) -> Folding {
        let mut ended: BTreeMap<&TaskId, MicroTime> = BTreeMap::new();
        let mut stays_from = settled_before.min(self.until);
        for task in self.tasks() {
            let until = self.ended_at(task).filter(|until| *until <= stays_from);
            match until.filter(|_| self.is_settled(task, settled_before)) {
                Some(until) => drop(ended.insert(task, until)),
                None => stays_from = stays_from.min(self.silent_from(task).unwrap_or(stays_from)),
            }
        }
        // A kept task needs every assignment that overlaps the time for which its share is still
        // computed. Keeping these tasks may extend that time, so repeat.
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
        let own = self.assignments.iter().filter(|assignment| assignment.task == *task);
        own.map(|assignment| assignment.until)
            .try_fold(MicroTime::from_micros(i64::MIN), |last, until| Some(last.max(until?)))
    }

    /// Whether the unreported records of `task` can no longer change.
    fn is_settled(&self, task: &TaskId, settled_before: MicroTime) -> bool {
        let settled_at = self.silent_from(task).map(|from| from + self.unreported_for);
        settled_at.is_none_or(|settled_at| settled_at <= settled_before.min(self.until))
    }

    fn folded_with(&self, ended: &BTreeSet<&TaskId>) -> Vec<FoldedPhase> {
        let mut sums: BTreeMap<usize, u64> = BTreeMap::new();
        for (index, count) in ended.iter().flat_map(|task| self.unreported_of(task)) {
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
        self.assignments.iter().filter(|assignment| !ended.contains(&assignment.task)).cloned().collect()
    }
}

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;

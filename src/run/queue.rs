//! How many runs go on at once. In: the objects as the watch holds them, and the runs that this leader has let begin since. Out: whether one
//! more may begin now, or how many are before it. No I/O.
//!
//! The watch lags behind our own writes, and several passes go on at the same time: a place is taken here, at once, before the object says
//! so, and counts until the object itself is seen to have begun.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason, find};
use kinesis_demo_api::{KinesisDemo, MicroTime, Stage};
use kube::ResourceExt;

/// Whose turn it is: whose run was asked for first.
type Rank = (MicroTime, String);

/// What the queue needs to know of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    rank: Rank,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Its run has begun and is not over.
    Begun,
    /// It was told to wait its turn.
    Waits,
    /// Neither: it is over, or something else stands in its way.
    Aside,
}

impl Entry {
    /// What `object` is to the queue; none if it has no uid yet.
    pub fn of(object: &KinesisDemo) -> Option<Self> {
        let status = object.status.as_ref();
        let is_queued = || {
            let conditions = status.map_or(&[][..], |status| &status.conditions);
            find(conditions, ConditionType::Reconciling)
                .is_some_and(|held| held.status == ConditionStatus::True && held.reason == Reason::Queued)
        };
        let is_anothers = || {
            let conditions = status.map_or(&[][..], |status| &status.conditions);
            find(conditions, ConditionType::Stalled)
                .is_some_and(|held| held.reason == Reason::StatusOfAnotherObject)
        };
        let state = match status.and_then(|status| status.stage).unwrap_or_default() {
            Stage::Pending if object.metadata.deletion_timestamp.is_none() && is_queued() => State::Waits,
            Stage::Pending => State::Aside,
            stage if stage.is_terminal() || is_anothers() => State::Aside,
            _ => State::Begun,
        };
        let asked_at = status.and_then(|status| status.run.as_ref()).map(|run| run.stage_entered_at);
        Some(Self { rank: (asked_at.unwrap_or(MicroTime::from_micros(i64::MAX)), object.uid()?), state })
    }
}

/// All objects that the operator answers for, as far as it knows.
pub trait Roll: Send + Sync {
    /// An entry for each.
    fn entries(&self) -> Vec<Entry>;
}

/// The places that were taken, by uid.
#[derive(Default)]
pub struct Queue(Mutex<HashSet<String>>);

impl Queue {
    /// Takes a place for the run of `object`, or says how many runs are before it: those that go on, and those that wait longer.
    pub fn take_place(&self, object: &KinesisDemo, entries: &[Entry], most: usize) -> Result<(), usize> {
        let Some(Entry { rank: own, .. }) = Entry::of(object) else { return Err(entries.len()) };
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let others = || entries.iter().filter(|entry| entry.rank.1 != own.1);
        // Whoever left without giving its place back.
        taken.retain(|uid| entries.iter().any(|entry| entry.rank.1 == *uid));
        let begun =
            others().filter(|entry| entry.state == State::Begun || taken.contains(&entry.rank.1)).count();
        let earlier = others().filter(|entry| {
            entry.state == State::Waits && entry.rank < own && !taken.contains(&entry.rank.1)
        });
        let before = begun + earlier.count();
        if before >= most && !taken.contains(&own.1) {
            return Err(before);
        }
        taken.insert(own.1);
        Ok(())
    }

    /// Gives a place back: the run did not begin, or the object itself says by now that it did.
    pub fn leave(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(uid: &str, second: &str, mut status: serde_json::Value) -> KinesisDemo {
        status["run"] = json!({"number": 1, "stageEnteredAt": format!("2026-11-23T10:00:{second}Z")});
        serde_json::from_value(json!({
            "apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemo", "metadata": {"name": uid, "uid": uid},
            "spec": {}, "status": status,
        }))
        .unwrap()
    }

    fn fresh(uid: &str, second: &str) -> KinesisDemo {
        object(uid, second, json!({"stage": "Pending"}))
    }

    fn queued(uid: &str, second: &str) -> KinesisDemo {
        let condition = json!({"type": "Reconciling", "status": "True", "reason": "Queued", "message": "",
            "lastTransitionTime": "2026-11-23T10:00:00Z"});
        object(uid, second, json!({"stage": "Pending", "conditions": [condition]}))
    }

    fn running(uid: &str) -> KinesisDemo {
        object(uid, "00", json!({"stage": "Running"}))
    }

    fn over(uid: &str) -> KinesisDemo {
        object(uid, "00", json!({"stage": "Succeeded"}))
    }

    fn entries(objects: &[&KinesisDemo]) -> Vec<Entry> {
        objects.iter().filter_map(|object| Entry::of(object)).collect()
    }

    #[test]
    fn runs_that_go_on_take_places_and_those_that_are_over_do_not() {
        let (new, queue) = (fresh("new", "09"), Queue::default());
        let seen = entries(&[&running("a"), &over("b"), &new]);
        assert_eq!(queue.take_place(&new, &seen, 1), Err(1));
        assert_eq!(queue.take_place(&new, &seen, 2), Ok(()));
    }

    #[test]
    fn a_place_is_taken_before_the_watch_shows_it() {
        let (one, two, queue) = (fresh("one", "01"), fresh("two", "02"), Queue::default());
        let seen = entries(&[&one, &two]);
        assert_eq!(queue.take_place(&two, &seen, 1), Ok(()));
        assert_eq!(queue.take_place(&one, &seen, 1), Err(1));
        // Asking again is no second place.
        assert_eq!(queue.take_place(&two, &seen, 1), Ok(()));
        queue.leave("two");
        assert_eq!(queue.take_place(&one, &seen, 1), Ok(()));
    }

    #[test]
    fn who_waits_longer_goes_first() {
        let (early, late, queue) = (queued("z", "01"), queued("a", "02"), Queue::default());
        let seen = entries(&[&early, &late, &over("done")]);
        assert_eq!(queue.take_place(&late, &seen, 1), Err(1));
        assert_eq!(queue.take_place(&fresh("new", "03"), &seen, 2), Err(2));
        assert_eq!(queue.take_place(&early, &seen, 1), Ok(()));
        assert_eq!(queue.take_place(&late, &seen, 2), Ok(()));
    }

    #[test]
    fn what_something_else_stands_in_the_way_of_holds_nobody_up() {
        let (blocked, new, queue) = (fresh("blocked", "01"), fresh("new", "02"), Queue::default());
        assert_eq!(queue.take_place(&new, &entries(&[&blocked, &new]), 1), Ok(()));
    }

    #[test]
    fn the_place_of_an_object_that_is_gone_is_free() {
        let (gone, new, queue) = (fresh("gone", "01"), fresh("new", "02"), Queue::default());
        assert_eq!(queue.take_place(&gone, &entries(&[&gone, &new]), 1), Ok(()));
        assert_eq!(queue.take_place(&new, &entries(&[&new]), 1), Ok(()));
    }
}

use serde_json::json;

use super::*;
use crate::settings::Timings;

fn object(uid: &str, second: &str, mut status: serde_json::Value) -> KinesisDemo {
    let load = status["load"].take();
    status["run"] =
        json!({"number": 1, "stageEnteredAt": format!("2026-11-23T10:00:{second}Z"), "load": load});
    serde_json::from_value(json!({
        "apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemo",
        "metadata": {"name": uid, "namespace": "demos", "uid": uid}, "spec": {}, "status": status,
    }))
    .unwrap()
}

fn load(tasks: u32, seconds: u32) -> serde_json::Value {
    json!({"region": "eu-west-1", "tasks": tasks, "readEverySeconds": seconds})
}

fn fresh(uid: &str, second: &str) -> KinesisDemo {
    object(uid, second, json!({"stage": "Pending"}))
}

fn queued_with(uid: &str, second: &str, tasks: u32) -> KinesisDemo {
    let condition = json!({"type": "Reconciling", "status": "True", "reason": "Queued", "message": "",
        "lastTransitionTime": "2026-11-23T10:00:00Z"});
    object(uid, second, json!({"stage": "Pending", "conditions": [condition], "load": load(tasks, 3)}))
}

fn queued(uid: &str, second: &str) -> KinesisDemo {
    queued_with(uid, second, 1)
}

fn running_with(uid: &str, tasks: u32, seconds: u32) -> KinesisDemo {
    object(uid, "00", json!({"stage": "Running", "load": load(tasks, seconds)}))
}

fn running(uid: &str) -> KinesisDemo {
    running_with(uid, 1, 3)
}

fn over(uid: &str) -> KinesisDemo {
    object(uid, "00", json!({"stage": "Succeeded", "load": load(100, 3)}))
}

fn entries(objects: &[&KinesisDemo]) -> Vec<Entry> {
    objects.iter().filter_map(|object| Entry::of(object)).collect()
}

fn capacity(runs: usize) -> Capacity {
    Capacity { runs, reads: ReadBudget::new(10, &Timings::aws()) }
}

/// Takes a place for one task.
fn take(queue: &Queue, object: &KinesisDemo, seen: &[Entry], runs: usize) -> Option<u32> {
    queue.take_place(object, ("eu-west-1", 1), seen, capacity(runs))
}

#[test]
fn runs_that_go_on_take_places_and_those_that_are_over_do_not() {
    let (new, queue) = (fresh("new", "09"), Queue::default());
    let seen = entries(&[&running("a"), &over("b"), &new]);
    assert_eq!(take(&queue, &new, &seen, 1), None);
    assert_eq!(take(&queue, &new, &seen, 2), Some(3));
}

#[test]
fn a_place_is_taken_before_the_watch_shows_it() {
    let (one, two, queue) = (fresh("one", "01"), fresh("two", "02"), Queue::default());
    let seen = entries(&[&one, &two]);
    assert_eq!(take(&queue, &two, &seen, 1), Some(3));
    assert_eq!(take(&queue, &one, &seen, 1), None);
    // Asking again is no second place; nor is being seen to have begun.
    assert_eq!(take(&queue, &two, &entries(&[&running("two")]), 1), Some(3));
    queue.leave("two");
    assert_eq!(take(&queue, &one, &seen, 1), Some(3));
}

#[test]
fn who_waits_longer_goes_first() {
    let (early, late, queue) = (queued("z", "01"), queued("a", "02"), Queue::default());
    let seen = entries(&[&early, &late, &over("done")]);
    assert_eq!(take(&queue, &late, &seen, 1), None);
    assert_eq!(take(&queue, &fresh("new", "03"), &seen, 2), None);
    assert_eq!(queue.next_in_turn(&seen, capacity(1)), [("demos".to_owned(), "z".to_owned())]);
    assert_eq!(take(&queue, &early, &seen, 1), Some(3));
    assert_eq!(queue.next_in_turn(&seen, capacity(1)), []);
    assert_eq!(take(&queue, &late, &seen, 2), Some(3));
}

#[test]
fn what_something_else_stands_in_the_way_of_holds_nobody_up() {
    let (blocked, new, queue) = (fresh("blocked", "01"), fresh("new", "02"), Queue::default());
    assert_eq!(take(&queue, &new, &entries(&[&blocked, &new]), 1), Some(3));
}

#[test]
fn the_place_of_an_object_that_is_gone_is_free() {
    let (gone, new, queue) = (fresh("gone", "01"), fresh("new", "02"), Queue::default());
    assert_eq!(take(&queue, &gone, &entries(&[&gone, &new]), 1), Some(3));
    queue.keep_only(&HashSet::from(["new".to_owned()]));
    assert_eq!(take(&queue, &new, &entries(&[&new]), 1), Some(3));
}

/// 500 tasks are asked for, 250 can read often enough: the others wait, each Region for itself.
#[test]
fn runs_wait_for_each_others_tasks() {
    let queue = Queue::default();
    let waiting: Vec<KinesisDemo> =
        (1..=5).map(|number| queued_with(&format!("run-{number}"), &format!("0{number}"), 100)).collect();
    let mut seen = entries(&waiting.iter().collect::<Vec<_>>());
    let place = |object: &KinesisDemo, seen: &[Entry]| {
        queue.take_place(object, ("eu-west-1", 100), seen, capacity(10))
    };
    assert_eq!(queue.wanted_interval("eu-west-1", &seen, capacity(10)), 8, "two of them have room");
    assert_eq!(place(&waiting[0], &seen), Some(4));
    assert_eq!(place(&waiting[1], &seen), None, "not before the first reads less often");
    queue.leave("run-1");
    seen = entries(&[&running_with("run-1", 100, 8), &waiting[1], &waiting[2], &waiting[3], &waiting[4]]);
    assert_eq!(queue.next_in_turn(&seen, capacity(10)), [("demos".to_owned(), "run-2".to_owned())]);
    assert_eq!(place(&waiting[1], &seen), Some(8));
    assert_eq!(place(&waiting[2], &seen), None, "there is no room");
    assert_eq!(queue.next_in_turn(&seen, capacity(10)), []);
    // What waits for room in one Region does not make the tasks of another read less often.
    assert_eq!(queue.wanted_interval("us-east-1", &seen, capacity(10)), 3);
}

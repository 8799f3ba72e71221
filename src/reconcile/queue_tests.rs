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

fn entries(objects: &[&KinesisDemo]) -> Vec<QueuedRun> {
    objects.iter().filter_map(|object| QueuedRun::of(object)).collect()
}

fn capacity(runs: usize) -> Capacity {
    Capacity { runs, reads: ReadBudget::new(10, &Timings::aws()) }
}

/// The names of those whose turn it is.
fn next(queue: &Queue, seen: &[QueuedRun], runs: usize) -> Vec<String> {
    queue.next_in_turn(seen, capacity(runs)).into_iter().map(|next| next.name).collect()
}

/// Takes a place for one task.
fn take(queue: &Queue, object: &KinesisDemo, seen: &[QueuedRun], runs: usize) -> Option<u32> {
    queue.admit(object, ("eu-west-1", 1), seen, capacity(runs))
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
    queue.release("two");
    assert_eq!(take(&queue, &one, &seen, 1), Some(3));
}

#[test]
fn who_waits_longer_goes_first() {
    let (early, late, queue) = (queued("z", "01"), queued("a", "02"), Queue::default());
    let seen = entries(&[&early, &late, &over("done")]);
    assert_eq!(take(&queue, &late, &seen, 1), None);
    assert_eq!(take(&queue, &fresh("new", "03"), &seen, 2), None);
    assert_eq!(next(&queue, &seen, 1), ["z"]);
    assert_eq!(take(&queue, &early, &seen, 1), Some(3));
    assert_eq!(next(&queue, &seen, 1), [] as [&str; 0]);
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
    let place = |object: &KinesisDemo, seen: &[QueuedRun]| {
        queue.admit(object, ("eu-west-1", 100), seen, capacity(10))
    };
    assert_eq!(queue.wanted_interval("eu-west-1", &seen, capacity(10)), 8, "two of them have room");
    assert_eq!(place(&waiting[0], &seen), Some(8), "as often as it can beside the next");
    queue.release("run-1");
    let hasty = entries(&[&running_with("run-1", 100, 4), &waiting[1]]);
    assert_eq!(place(&waiting[1], &hasty), None, "not before the first reads less often");
    seen = entries(&[&running_with("run-1", 100, 8), &waiting[1], &waiting[2], &waiting[3], &waiting[4]]);
    assert_eq!(next(&queue, &seen, 10), ["run-2"]);
    assert_eq!(place(&waiting[1], &seen), Some(8));
    assert_eq!(place(&waiting[2], &seen), None, "there is no room");
    assert_eq!(next(&queue, &seen, 10), [] as [&str; 0]);
    // What waits for room in one Region does not make the tasks of another read less often.
    assert_eq!(queue.wanted_interval("us-east-1", &seen, capacity(10)), 3);
}

/// Who finds no room in a Region holds up nobody in another, and is not passed by in its own.
#[test]
fn each_region_has_its_own_order() {
    let queue = Queue::default();
    let in_region = |mut object: KinesisDemo, region: &str| {
        let load = object.status.as_mut().unwrap().run.as_mut().unwrap().load.as_mut().unwrap();
        region.clone_into(&mut load.region);
        object
    };
    let going_on: Vec<KinesisDemo> =
        (0..5).map(|number| running_with(&format!("on-{number}"), 50, 10)).collect();
    let waiting = [
        queued_with("large", "01", 50),
        queued_with("small", "02", 1),
        queued_with("larger", "03", 100),
        in_region(queued_with("elsewhere", "04", 100), "us-west-2"),
    ];
    let seen = entries(&going_on.iter().chain(&waiting).collect::<Vec<_>>());
    assert_eq!(next(&queue, &seen, 10), ["elsewhere"]);
    assert_eq!(queue.admit(&waiting[1], ("eu-west-1", 1), &seen, capacity(10)), None);
    assert_eq!(queue.admit(&waiting[3], ("us-west-2", 100), &seen, capacity(10)), Some(4));
    assert_eq!(queue.wanted_interval("us-west-2", &seen, capacity(10)), 4);
    assert_eq!(queue.wanted_interval("eu-west-1", &seen, capacity(10)), 10);
}

#[test]
fn a_place_is_for_the_spec_that_it_was_taken_for() {
    let (object, queue) = (fresh("edited", "01"), Queue::default());
    let take = |tasks| queue.admit(&object, ("eu-west-1", tasks), &[], capacity(1));
    assert_eq!((take(1), take(100), take(1)), (Some(3), Some(4), Some(3)));
}

/// What an earlier version of the operator began, and what has no tasks any more.
#[test]
fn a_run_weighs_what_its_tasks_read() {
    let mut earlier = object("earlier", "00", json!({"stage": "Running"}));
    let effective = json!({
        "accountId": "000000000000", "region": "eu-west-1", "cluster": "c", "streamName": "s", "baseName": "b",
        "spec": {"phases": [
            {"name": "low", "duration": "1m", "recordsPerSecond": 100},
            {"name": "high", "duration": "1m", "recordsPerSecond": 362_000},
        ]},
    });
    let run = earlier.status.as_mut().unwrap().run.as_mut().unwrap();
    run.effective = Some(serde_json::from_value(effective).unwrap());
    let queue = Queue::default();
    let beside = |other: &KinesisDemo| {
        let place = queue.admit(&fresh("new", "09"), ("eu-west-1", 100), &entries(&[other]), capacity(10));
        queue.release("new");
        place
    };
    assert_eq!(beside(&earlier), None, "73 tasks that read each 3 s");
    assert_eq!(beside(&running_with("cleaning", 73, 3)), None);
    let cleaning = object("cleaning", "00", json!({"stage": "CleaningUp", "load": load(73, 3)}));
    assert_eq!(beside(&cleaning), Some(4));
}

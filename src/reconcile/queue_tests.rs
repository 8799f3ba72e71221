use std::time::Duration;

use kinesis_demo_api::demo::CohortSpec;
use kinesis_demo_api::status::CohortMember;
use proptest::prelude::*;
use serde_json::json;

use super::*;

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
    Capacity { runs, ..Capacity::new(10, &Timings::aws()) }
}

/// The names of the objects that may start now.
fn next(queue: &Queue, seen: &[QueuedRun], runs: usize) -> Vec<String> {
    queue.next_in_turn(seen, capacity(runs)).into_iter().map(|next| next.name).collect()
}

/// Admits a run with one task.
fn take(queue: &Queue, object: &KinesisDemo, seen: &[QueuedRun], runs: usize) -> Option<u32> {
    queue.admit(object, ("eu-west-1", 1), seen, capacity(runs))
}

#[test]
fn active_runs_take_slots_and_finished_runs_do_not() {
    let (new, queue) = (fresh("new", "09"), Queue::default());
    let seen = entries(&[&running("a"), &over("b"), &new]);
    assert_eq!(take(&queue, &new, &seen, 1), None);
    assert_eq!(take(&queue, &new, &seen, 2), Some(3));
}

#[test]
fn a_slot_is_taken_before_the_watch_shows_it() {
    let (one, two, queue) = (fresh("one", "01"), fresh("two", "02"), Queue::default());
    let seen = entries(&[&one, &two]);
    assert_eq!(take(&queue, &two, &seen, 1), Some(3));
    assert_eq!(take(&queue, &one, &seen, 1), None);
    // A second admission takes no second slot, and neither does an object that shows it has
    // started.
    assert_eq!(take(&queue, &two, &entries(&[&running("two")]), 1), Some(3));
    queue.release("two");
    assert_eq!(take(&queue, &one, &seen, 1), Some(3));
}

#[test]
fn the_run_that_waits_longest_starts_first() {
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
fn a_pending_object_that_is_not_queued_blocks_no_other() {
    let (blocked, new, queue) = (fresh("blocked", "01"), fresh("new", "02"), Queue::default());
    assert_eq!(take(&queue, &new, &entries(&[&blocked, &new]), 1), Some(3));
}

#[test]
fn the_slot_of_a_deleted_object_is_free() {
    let (deleted, new, queue) = (fresh("deleted", "01"), fresh("new", "02"), Queue::default());
    assert_eq!(take(&queue, &deleted, &entries(&[&deleted, &new]), 1), Some(3));
    queue.keep_only(&HashSet::from(["new".to_owned()]));
    assert_eq!(take(&queue, &new, &entries(&[&new]), 1), Some(3));
}

/// 500 tasks are requested and 250 can read often enough. The others wait, per Region.
#[test]
fn runs_wait_for_each_others_tasks() {
    let queue = Queue::default();
    let waiting: Vec<KinesisDemo> =
        (1..=5).map(|number| queued_with(&format!("run-{number}"), &format!("0{number}"), 100)).collect();
    let mut seen = entries(&waiting.iter().collect::<Vec<_>>());
    let admit = |object: &KinesisDemo, seen: &[QueuedRun]| {
        queue.admit(object, ("eu-west-1", 100), seen, capacity(10))
    };
    assert_eq!(queue.desired_interval("eu-west-1", &seen, capacity(10)), 8, "two of them have room");
    assert_eq!(admit(&waiting[0], &seen), Some(8), "as often as possible beside the next run");
    queue.release("run-1");
    let hasty = entries(&[&running_with("run-1", 100, 4), &waiting[1]]);
    assert_eq!(admit(&waiting[1], &hasty), None, "not before the first run reads less often");
    seen = entries(&[&running_with("run-1", 100, 8), &waiting[1], &waiting[2], &waiting[3], &waiting[4]]);
    assert_eq!(next(&queue, &seen, 10), ["run-2"]);
    assert_eq!(admit(&waiting[1], &seen), Some(8));
    assert_eq!(admit(&waiting[2], &seen), None, "there is no room");
    assert_eq!(next(&queue, &seen, 10), [] as [&str; 0]);
    // Queued runs of one Region do not make the tasks of another read less often.
    assert_eq!(queue.desired_interval("us-east-1", &seen, capacity(10)), 3);
}

/// A run without room in its Region blocks no run of another Region, and is not overtaken in its
/// own.
#[test]
fn each_region_has_its_own_order() {
    let queue = Queue::default();
    let active: Vec<KinesisDemo> =
        (0..5).map(|number| running_with(&format!("on-{number}"), 50, 10)).collect();
    let waiting = [
        queued_with("large", "01", 50),
        queued_with("small", "02", 1),
        queued_with("larger", "03", 100),
        in_region(queued_with("elsewhere", "04", 100), "us-west-2"),
    ];
    let seen = entries(&active.iter().chain(&waiting).collect::<Vec<_>>());
    assert_eq!(next(&queue, &seen, 10), ["elsewhere"]);
    assert_eq!(queue.admit(&waiting[1], ("eu-west-1", 1), &seen, capacity(10)), None);
    assert_eq!(queue.admit(&waiting[3], ("us-west-2", 100), &seen, capacity(10)), Some(4));
    assert_eq!(queue.desired_interval("us-west-2", &seen, capacity(10)), 4);
    assert_eq!(queue.desired_interval("eu-west-1", &seen, capacity(10)), 10);
}

#[test]
fn a_slot_is_valid_only_for_its_spec() {
    let (object, queue) = (fresh("edited", "01"), Queue::default());
    let take = |tasks| queue.admit(&object, ("eu-west-1", tasks), &[], capacity(1));
    assert_eq!((take(1), take(100), take(1)), (Some(3), Some(4), Some(3)));
}

/// Includes a run that an earlier version of the operator started, and a run without tasks.
#[test]
fn the_load_of_a_run_is_what_its_tasks_read() {
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
        let interval = queue.admit(&fresh("new", "09"), ("eu-west-1", 100), &entries(&[other]), capacity(10));
        queue.release("new");
        interval
    };
    assert_eq!(beside(&earlier), None, "73 tasks that each read every 3 s");
    assert_eq!(beside(&running_with("cleaning", 73, 3)), None);
    let cleaning = object("cleaning", "00", json!({"stage": "CleaningUp", "load": load(73, 3)}));
    assert_eq!(beside(&cleaning), Some(4));
}

fn in_region(mut object: KinesisDemo, region: &str) -> KinesisDemo {
    let load = object.status.as_mut().unwrap().run.as_mut().unwrap().load.as_mut().unwrap();
    region.clone_into(&mut load.region);
    object
}

/// The first run of a Region keeps its slot against the runs of other Regions while the tasks of
/// its own Region change to longer intervals.
#[test]
fn the_first_run_of_a_region_keeps_its_slot_while_others_slow_down() {
    let queue = Queue::default();
    let first = queued_with("first", "01", 50);
    let [later, later_too] =
        ["later", "later-too"].map(|name| in_region(queued_with(name, "02", 1), "us-west-2"));
    let hasty = running_with("going-on", 75, 3);
    let desired = |seen: &[QueuedRun]| queue.desired_interval("eu-west-1", seen, capacity(2));
    let seen = entries(&[&hasty, &first, &later]);
    assert_eq!((next(&queue, &seen, 2), desired(&seen)), (vec![], 5), "its slot is kept");
    let other = in_region(running_with("other", 1, 3), "us-west-2");
    let seen = entries(&[&hasty, &other, &first, &later_too]);
    assert_eq!((next(&queue, &seen, 2), desired(&seen)), (vec![], 5), "even though no slot is free yet");
    let seen = entries(&[&running_with("going-on", 75, 5), &first, &later_too]);
    assert_eq!(next(&queue, &seen, 2), ["first"]);
    // A run without any room keeps no slot from others.
    let seen = entries(&[&running_with("going-on", 226, 10), &first, &later]);
    assert_eq!((next(&queue, &seen, 2), desired(&seen)), (vec!["later".to_owned()], 10));
}

/// The write budget limits the runs of a Region. Other Regions do not wait for them.
#[test]
fn a_region_allows_as_many_runs_as_can_be_renewed() {
    let queue = Queue::default();
    let active: Vec<KinesisDemo> = (0..15).map(|number| running(&format!("on-{number}"))).collect();
    let waiting =
        [queued("next", "01"), queued("after", "02"), in_region(queued("elsewhere", "03"), "us-west-2")];
    let next = |active: &[KinesisDemo]| {
        let seen = entries(&active.iter().chain(&waiting).collect::<Vec<_>>());
        let next = queue.next_in_turn(&seen, Capacity::new(60, &Timings::aws()));
        next.into_iter().map(|next| next.name).collect::<Vec<_>>()
    };
    assert_eq!(next(&active), ["elsewhere"]);
    assert_eq!(next(&active[1..]), ["next", "elsewhere"]);
    let mut cleaning = active;
    cleaning[0] = object("on-0", "00", json!({"stage": "CleaningUp", "load": load(1, 3)}));
    assert_eq!(next(&cleaning), ["next", "elsewhere"], "a run in CleaningUp is not renewed");
}

/// How long a run lasts, and how soon the others read less often once a run waits for it.
const RUN_TAKES: u32 = 6;
const STRETCH_TAKES: u32 = 2;

/// A requested run: when, where, and its number of tasks.
#[derive(Clone, Debug)]
struct RequestedRun {
    at: u32,
    region: usize,
    tasks: u32,
}

fn requested_run() -> impl Strategy<Value = RequestedRun> {
    let tasks = prop_oneof![Just(1_u32), 1..=100_u32, Just(100_u32)];
    (0..60_u32, 0..3_usize, tasks).prop_map(|(at, region, tasks)| RequestedRun { at, region, tasks })
}

/// When each of `all`, in the order of their requests, started.
fn start_times(all: &[RequestedRun], capacity: Capacity) -> Vec<Option<u32>> {
    const REGIONS: [&str; 3] = ["eu-west-1", "us-east-1", "us-west-2"];
    let queue = Queue::default();
    let mut started: Vec<Option<u32>> = vec![None; all.len()];
    let mut active: HashMap<usize, (RunLoad, u32)> = HashMap::new();
    let name = |number: usize| format!("run-{number:04}");
    let load_of = |number: usize, read_every_seconds| RunLoad {
        region: REGIONS[all[number].region].to_owned(),
        tasks: all[number].tasks,
        read_every_seconds,
    };
    let rank =
        |number: usize| MicroTime::from_micros(0) + Duration::from_secs(u64::try_from(number).unwrap());
    for now in 0..4_000 {
        active.retain(|_, (_, began_at)| now < *began_at + RUN_TAKES);
        let seen = |active: &HashMap<usize, (RunLoad, u32)>| -> Vec<QueuedRun> {
            let entry = |number: usize, waits: bool, load: RunLoad| QueuedRun {
                rank: (rank(number), name(number)),
                place: if waits { Place::Waits } else { Place::Active },
                load: Some(load),
                namespace: "demos".into(),
                name: name(number),
                cohort: None,
                admitted_with: Vec::new(),
            };
            let waiting =
                (0..all.len()).filter(|number| all[*number].at <= now && started[*number].is_none());
            let waiting = waiting.map(|number| entry(number, true, load_of(number, 3)));
            waiting
                .chain(active.iter().map(|(number, (load, _))| entry(*number, false, load.clone())))
                .collect()
        };
        let entries = seen(&active);
        if now % STRETCH_TAKES == 0 {
            for (load, _) in active.values_mut() {
                let desired = queue.desired_interval(&load.region, &entries, capacity);
                load.read_every_seconds = load.read_every_seconds.max(desired);
            }
        }
        let entries = seen(&active);
        let next = queue.next_in_turn(&entries, capacity);
        for number in (0..all.len()).filter(|number| next.iter().any(|next| next.name == name(*number))) {
            let mut object = fresh(&name(number), "00");
            object.status.as_mut().unwrap().run.as_mut().unwrap().stage_entered_at = rank(number);
            let load = load_of(number, 3);
            let interval = queue.admit(&object, (&load.region, load.tasks), &entries, capacity);
            if let Some(seconds) = interval {
                started[number] = Some(now);
                active.insert(number, (load_of(number, seconds), now));
            }
        }
        // From here on the objects themselves show that they have started.
        active.keys().for_each(|number| queue.release(&name(*number)));
        if started.iter().all(Option::is_some) {
            break;
        }
    }
    started
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Whatever is requested, in whichever Regions: every run starts once the earlier ones have
    /// ended, whatever is requested later.
    #[test]
    fn every_run_starts_however_many_come_later(
        requested in prop::collection::vec(requested_run(), 1..12),
        runs in 1..5_usize,
        of_a_region in 1..3_u64,
        others in 0..3_usize,
    ) {
        // Small runs of one Region are requested without end.
        let without_end = (0..200).map(|at| RequestedRun { at, region: others, tasks: 1 });
        let mut all: Vec<RequestedRun> = requested.into_iter().chain(without_end).collect();
        all.sort_by_key(|requested| requested.at);
        let writes = WriteBudget::new(&Timings { renew_every: Duration::from_secs(of_a_region), ..Timings::aws() });
        let capacity = Capacity { runs, writes, ..Capacity::new(10, &Timings::aws()) };
        let started = start_times(&all, capacity);
        for (number, (requested, started)) in all.iter().zip(&started).enumerate() {
            let before = u32::try_from(number).unwrap();
            let at_the_latest = requested.at + (before + 1) * (RUN_TAKES + STRETCH_TAKES);
            prop_assert!(started.is_some_and(|started| started <= at_the_latest), "{number} {requested:?}: {started:?}");
        }
    }
}

/// A run of a cohort, or by itself, in a simulation.
#[derive(Clone, Debug)]
struct Simulated {
    cohort: usize,
    place: Option<Place>,
    began_at: Option<u32>,
}

/// Cohorts of these sizes (1: a run by itself) request runs in one Region, and the operator is
/// replaced at these times. Every run takes its steps by itself: it waits, is checked, begins.
/// Returns the most slots that were in use at once, and when each run began.
fn cohorts_begin(sizes: &[usize], runs: usize, new_leaders: &HashSet<u32>) -> (usize, Vec<Option<u32>>) {
    let mut all: Vec<Simulated> = sizes
        .iter()
        .enumerate()
        .flat_map(|(cohort, size)| {
            vec![Simulated { cohort, place: Some(Place::Waits), began_at: None }; *size]
        })
        .collect();
    let name = |number: usize| format!("run-{number:02}");
    let one = RunLoad { region: "eu-west-1".into(), tasks: 1, read_every_seconds: 3 };
    // The members of a cohort are requested one after the other, between those of others.
    let requested_at = |number: usize| MicroTime::from_micros(i64::try_from(number * 7 % 13).unwrap());
    let members_of = |all: &[Simulated], cohort: usize| -> Vec<usize> {
        (0..all.len()).filter(|number| all[*number].cohort == cohort).collect()
    };
    let entries = |all: &[Simulated]| -> Vec<QueuedRun> {
        let entry = |(number, run): (usize, &Simulated)| {
            let members = members_of(all, run.cohort);
            let in_cohort = members.len() > 1;
            Some(QueuedRun {
                rank: (requested_at(number), name(number)),
                place: run.place?,
                load: Some(one.clone()),
                namespace: "demos".into(),
                name: name(number),
                cohort: in_cohort.then(|| (format!("cohort-{}", run.cohort), members.len())),
                admitted_with: members.into_iter().map(name).filter(|_| in_cohort).collect(),
            })
        };
        all.iter().enumerate().filter_map(entry).collect()
    };
    let (mut queue, mut most) = (Queue::default(), 0);
    for now in 0..400 {
        if new_leaders.contains(&now) {
            queue = Queue::default();
        }
        for number in 0..all.len() {
            let members = members_of(&all, all[number].cohort);
            let is = |member: &usize, place| all[*member].place == Some(place);
            let Some(place) = all[number].place else { continue };
            if place == Place::Active {
                if all[number].began_at.is_some_and(|began_at| now >= began_at + RUN_TAKES) {
                    all[number].place = None;
                }
                continue;
            }
            let member = |member: &usize| CohortMember { name: name(*member), uid: name(*member), run: 1 };
            let round = Round {
                members: members.iter().map(member).collect(),
                loads: vec![one.clone(); members.len()],
                requested_at: members.iter().map(|member| requested_at(*member)).max().unwrap(),
                has_begun: members.iter().any(|member| is(member, Place::Active)),
                others_are_checked: members
                    .iter()
                    .all(|member| *member == number || !is(member, Place::Waits)),
            };
            let seen = entries(&all);
            let has_slot = round.has_begun || queue.admit_cohort(&round, &seen, capacity(runs)).is_some();
            all[number].place = Some(match place {
                _ if !has_slot => Place::Waits,
                Place::Waits if members.len() > 1 => Place::Checked,
                _ if !round.others_are_checked => place,
                _ => Place::Active,
            });
            if all[number].place == Some(Place::Active) {
                assert!(round.has_begun || queue.begin(&name(number)), "{number} has no slot");
                all[number].began_at = Some(now);
                queue.release(&name(number));
            }
            let seen = entries(&all);
            let admitted = queue.lock();
            let snapshot = QueueSnapshot { admitted: &admitted, entries: &seen, capacity: capacity(runs) };
            most = most.max(snapshot.count_active());
        }
    }
    (most, all.into_iter().map(|run| run.began_at).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whoever leads, and however the members' steps mix: no more runs than allowed have slots,
    /// each run begins, and the members of a cohort begin together.
    #[test]
    fn cohorts_begin_as_a_whole_and_never_block_each_other(
        sizes in prop::collection::vec(1..4_usize, 1..8),
        runs in 3..6_usize,
        new_leaders in prop::collection::hash_set(0..60_u32, 0..30),
    ) {
        let (most, began) = cohorts_begin(&sizes, runs, &new_leaders);
        prop_assert!(most <= runs, "{most} of {runs} slots in use");
        let mut began = began.into_iter();
        for size in &sizes {
            let cohort: Vec<_> = began.by_ref().take(*size).collect();
            let first = cohort.iter().flatten().min();
            prop_assert!(
                cohort.iter().all(|at| at.is_some_and(|at| at <= first.unwrap() + 1)),
                "{sizes:?}: {cohort:?}"
            );
        }
    }
}

/// A cohort that waits for its second slot keeps both from runs that were requested later.
#[test]
fn a_cohort_takes_its_turn_as_one_run() {
    let in_cohort = |mut object: KinesisDemo| {
        object.spec.cohort = Some(CohortSpec { name: "pair".into(), size: 2 });
        object
    };
    let queue = Queue::default();
    let (a, b) = (in_cohort(queued("a", "01")), in_cohort(queued("b", "02")));
    let (early, late) = (queued("early", "01"), queued("late", "03"));
    let seen = entries(&[&a, &late]);
    assert_eq!(next(&queue, &seen, 2), ["late"], "a cohort without its members does not block others");
    let seen = entries(&[&a, &b, &early, &late]);
    assert_eq!(next(&queue, &seen, 1), ["early"], "a cohort that can never be admitted, too");
    assert_eq!(next(&queue, &seen, 2), ["early"]);
    assert_eq!(next(&queue, &seen, 3), ["a", "early", "b"]);
    assert_eq!(next(&queue, &seen, 4), ["a", "early", "b", "late"]);
}

//! Tests of the fake's tasks: they start, follow the control document to the record, count their
//! records, stop and are replaced.

use kinesis_demo_api::control::gate::GapRule;
use kinesis_demo_api::control::{Content, ControlDocument, ControlState, SCHEMA, Segment};
use kinesis_demo_api::ledger::{Counters, Ledgers};
use kinesis_demo_api::schedule::ScheduleSegment;

use super::tests::{T0, a_definition, a_fake, a_service, a_stream, owned, s};
use super::*;
use kinesis_demo_operator::aws::{NewTaskDefinition, TaskState};

/// A fake in which `tasks` tasks run at T0 + 100 s. The stream and everything else that they need
/// exists.
async fn with_tasks(tasks: u32) -> (FakeAws, ManualClock, Aws) {
    let (fake, clock, aws) = a_fake();
    start_tasks(&fake, &clock, &aws, tasks).await;
    (fake, clock, aws)
}

async fn start_tasks(fake: &FakeAws, clock: &ManualClock, aws: &Aws, tasks: u32) {
    aws.logs.create_log_group("/kd/log", &owned()).await.unwrap();
    aws.streams.create_stream(&a_stream(None)).await.unwrap();
    aws.task_definitions.register_task_definition(&a_definition()).await.unwrap();
    aws.services.create_service(&a_service()).await.unwrap();
    aws.services.resize_service("default", "kd-service", tasks).await.unwrap();
    clock.advance_to(T0 + s(100));
    assert_eq!(fake.running_tasks().len(), usize::try_from(tasks).unwrap());
}

/// A document with 101 records a second from T0 + 110 s to T0 + 170 s, shared by all running tasks.
fn a_document(fake: &FakeAws) -> ControlDocument {
    ControlDocument {
        schema: SCHEMA,
        epoch: 1,
        version: 1,
        run: 1,
        state: ControlState::Run,
        effective_at: T0 + s(105),
        valid_until: T0 + s(300),
        ends_by: T0 + s(300),
        read_every_seconds: 3,
        read_lease_seconds: 15,
        slots: fake.running_tasks().into_iter().map(Some).collect(),
        segments: vec![Segment {
            phase: "calm".into(),
            span: ScheduleSegment::whole(T0 + s(110), T0 + s(170), [101, 101]),
            content: Content::Baseline,
            cap_per_task: 1_000,
        }],
    }
}

async fn publish(aws: &Aws, document: &ControlDocument) {
    aws.parameters.overwrite_parameter("/kd/control", &document.to_text().unwrap()).await.unwrap();
}

async fn totals(aws: &Aws) -> (Counters, usize) {
    let mut ledgers = Ledgers::default();
    let page = aws.logs.fetch_ledger_page("/kd/log", T0, None).await.unwrap();
    page.lines.into_iter().for_each(|line| ledgers.take(line));
    (ledgers.phase("calm").counters, ledgers.iter().filter(|line| line.is_final).count())
}

#[tokio::test]
async fn tasks_start_after_a_delay_up_to_the_capacity() {
    let (fake, clock, aws) = with_tasks(2).await;
    fake.set_capacity(3);
    aws.services.resize_service("default", "kd-service", 5).await.unwrap();
    let seen = aws.services.fetch_service("default", "kd-service").await.unwrap().unwrap();
    assert_eq!((seen.desired, seen.running, seen.pending), (5, 2, 1));
    assert!(seen.last_event.unwrap().contains("unable to place a task"));
    clock.advance(s(24));
    let states = |tasks: Vec<kinesis_demo_operator::aws::TaskDescription>| {
        tasks.into_iter().map(|task| task.state).collect::<Vec<_>>()
    };
    let tasks = aws.tasks.fetch_tasks("default", "kd-service").await.unwrap();
    assert_eq!(states(tasks), [TaskState::Running, TaskState::Running, TaskState::Starting]);
    clock.advance(s(1));
    fake.set_capacity(10);
    let tasks = aws.tasks.fetch_tasks("default", "kd-service").await.unwrap();
    assert_eq!(tasks[2].started_at, Some(T0 + s(125)));
    assert_eq!((tasks.len(), fake.running_tasks().len()), (5, 3));
    clock.advance(s(25));
    assert_eq!(fake.running_tasks().len(), 5);
}

#[tokio::test]
async fn shares_add_up_to_the_schedule_exactly() {
    let (fake, clock, aws) = with_tasks(3).await;
    publish(&aws, &a_document(&fake)).await;
    clock.advance_to(T0 + s(140));
    assert_eq!(fake.records_arrived(T0, T0 + s(110)), 0);
    assert_eq!(fake.records_arrived(T0, T0 + s(140)), 3_030);
    clock.advance_to(T0 + s(200));
    assert_eq!(fake.records_arrived(T0, T0 + s(200)), 6_060);
    assert_eq!(fake.stored("posts"), 6_060);
    let seconds = fake.records_by_second();
    assert_eq!(seconds.len(), 60);
    assert!(seconds.values().all(|records| *records == 101), "{seconds:?}");
    assert_eq!(fake.sent().len(), 3, "one stretch per task");
    let (counters, finals) = totals(&aws).await;
    assert_eq!((counters.offered, counters.accepted, finals), (6_060, 6_060, 3));
}

#[tokio::test]
async fn a_new_version_takes_effect_at_one_instant_on_all_tasks() {
    let (fake, clock, aws) = with_tasks(4).await;
    let first = a_document(&fake);
    publish(&aws, &first).await;
    clock.advance_to(T0 + s(120));
    let mut second = ControlDocument { version: 2, effective_at: T0 + s(140), ..first };
    second.slots[0] = None;
    publish(&aws, &second).await;
    clock.advance_to(T0 + s(200));
    assert_eq!(fake.mixed_versions(), []);
    assert_eq!(fake.records_arrived(T0 + s(130), T0 + s(150)), 2_020);
    let shares: Vec<_> = fake.sent().iter().map(|sent| (sent.version.1, sent.from, sent.share.of)).collect();
    assert_eq!(shares.iter().filter(|share| **share == (1, T0 + s(110), 4)).count(), 4);
    assert_eq!(shares.iter().filter(|share| **share == (2, T0 + s(140), 3)).count(), 3);
    assert_eq!(shares.len(), 7);
}

#[tokio::test]
async fn a_task_that_missed_a_version_waits_for_the_newer_one() {
    for (rule, within_the_gap) in [(GapRule::Obey, 0), (GapRule::Ignore, 10 * 101)] {
        let (fake, clock, aws) = a_fake();
        fake.set_gap_rule(rule);
        start_tasks(&fake, &clock, &aws, 2).await;
        let first = a_document(&fake);
        publish(&aws, &first).await;
        clock.advance_to(T0 + s(120));
        // Version 2 was never seen, so it is unknown whether it has taken effect.
        publish(&aws, &ControlDocument { version: 3, effective_at: T0 + s(150), ..first }).await;
        clock.advance_to(T0 + s(170));
        // The last read of version 1 allows 15 s more.
        assert_eq!(fake.records_arrived(T0 + s(110), T0 + s(130)), 20 * 101, "{rule:?}");
        assert_eq!(fake.records_arrived(T0 + s(140), T0 + s(150)), within_the_gap, "{rule:?}");
        assert_eq!(fake.records_arrived(T0 + s(150), T0 + s(170)), 20 * 101, "{rule:?}");
    }
}

#[tokio::test]
async fn a_document_above_the_plans_rate_is_ignored() {
    let (fake, clock, aws) = with_tasks(2).await;
    let first = a_document(&fake);
    publish(&aws, &first).await;
    clock.advance_to(T0 + s(120));
    let mut forged = ControlDocument { epoch: 1_000_000_000, version: 2, ..first };
    forged.segments[0].span.rate = [200_001, 200_001];
    publish(&aws, &forged).await;
    clock.advance_to(T0 + s(170));
    assert_eq!(
        fake.records_arrived(T0, T0 + s(130)),
        2_020,
        "as before, while the read lease of the last valid document lasts"
    );
    assert_eq!(fake.records_arrived(T0 + s(135), T0 + s(170)), 0);
}

#[tokio::test]
async fn a_task_with_a_slot_writes_regular_lines_until_the_final_one() {
    let (fake, clock, aws) = with_tasks(1).await;
    let mut calm = a_document(&fake);
    calm.segments[0].span.rate = [0, 0];
    calm.segments.push(Segment {
        span: ScheduleSegment::whole(T0 + s(170), T0 + s(171), [101, 101]),
        ..calm.segments[0].clone()
    });
    publish(&aws, &calm).await;
    for second in (115..=165).step_by(5) {
        clock.advance_to(T0 + s(second));
        let page = aws.logs.fetch_ledger_page("/kd/log", T0, None).await.unwrap();
        let newest = page.lines.iter().max_by_key(|line| line.sequence).unwrap();
        // Five seconds to the next line, three until it can be read.
        assert!(!newest.is_final && T0 + s(second) <= newest.at + s(8), "{second}: {newest:?}");
    }
    clock.advance_to(T0 + s(250));
    let page = aws.logs.fetch_ledger_page("/kd/log", T0, None).await.unwrap();
    let newest = page.lines.iter().max_by_key(|line| line.sequence).unwrap();
    assert!(newest.is_final && newest.at <= T0 + s(176), "{newest:?}");
    assert_eq!(newest.phases["calm"].counters.accepted, 101);
}

#[tokio::test]
async fn nothing_is_sent_without_renewal_or_after_stop() {
    let (fake, clock, aws) = with_tasks(2).await;
    let lease = ControlDocument { valid_until: T0 + s(120), ..a_document(&fake) };
    publish(&aws, &lease).await;
    clock.advance_to(T0 + s(130));
    assert_eq!(fake.records_arrived(T0, T0 + s(130)), 1_010, "until the lease lapsed");
    publish(&aws, &ControlDocument { valid_until: T0 + s(300), ..lease.clone() }).await;
    clock.advance_to(T0 + s(140));
    let renewed = fake.records_arrived(T0 + s(130), T0 + s(140));
    assert!(
        (700..1_010).contains(&renewed),
        "no task sends what was due before it read the renewal: {renewed}"
    );
    publish(&aws, &ControlDocument { version: 2, state: ControlState::Stop, ..lease }).await;
    clock.advance_to(T0 + s(160));
    let after = fake.records_arrived(T0 + s(140), T0 + s(160));
    assert!(after <= 303, "{after} records after Stop was published");
    assert_eq!(fake.records_arrived(T0 + s(144), T0 + s(160)), 0);
}

#[tokio::test]
async fn a_task_that_cannot_read_stops_at_the_end_of_its_read_lease() {
    let (fake, clock, aws) = with_tasks(1).await;
    publish(&aws, &a_document(&fake)).await;
    clock.advance_to(T0 + s(120));
    aws.parameters.delete_parameter("/kd/control").await.unwrap();
    clock.advance_to(T0 + s(160));
    let last = fake.sent().last().unwrap().until;
    assert!(last > T0 + s(130) && last <= T0 + s(135), "{last}");
}

#[tokio::test]
async fn the_deadline_ends_sending_and_the_process() {
    let (fake, clock, aws) = with_tasks(1).await;
    let far = T0 + s(2_000);
    let mut document = ControlDocument { valid_until: far, ends_by: far, ..a_document(&fake) };
    document.segments[0].span.until = far;
    publish(&aws, &document).await;
    clock.advance_to(T0 + s(1_002));
    assert_eq!(fake.sent().last().unwrap().until, T0 + s(1_000));
    assert_eq!(totals(&aws).await.1, 0, "the final line is not delivered yet");
    clock.advance_to(T0 + s(1_006));
    assert_eq!(totals(&aws).await.1, 1);
}

#[tokio::test]
async fn lines_arrive_late_and_a_killed_task_has_no_final_line() {
    let (fake, clock, aws) = with_tasks(2).await;
    publish(&aws, &a_document(&fake)).await;
    clock.advance_to(T0 + s(118));
    let (early, _) = totals(&aws).await;
    assert!(early.accepted < fake.stored("posts"), "{early:?}");
    clock.advance_to(T0 + s(140));
    let killed_task = fake.running_tasks()[0].clone();
    assert!(fake.kill_task(&killed_task, FinalLine::Missing));
    assert!(!fake.kill_task(&killed_task, FinalLine::Missing));
    let tasks = aws.tasks.fetch_tasks("default", "kd-service").await.unwrap();
    let killed = tasks.iter().find(|task| task.id == killed_task).unwrap();
    assert_eq!(killed.state, TaskState::Stopped);
    assert_eq!(
        killed.stop.as_ref().map(|stop| stop.reason.as_str()),
        Some("Essential container in task exited")
    );
    assert_eq!(tasks.iter().filter(|task| task.state == TaskState::Starting).count(), 1, "replaced");
    aws.services.resize_service("default", "kd-service", 0).await.unwrap();
    clock.advance_to(T0 + s(200));
    let (counters, finals) = totals(&aws).await;
    assert_eq!(finals, 1);
    assert_eq!(counters.offered, counters.settled());
    assert!(counters.offered <= 3_030 && counters.offered > 3_030 - 51 * 6, "{}", counters.offered);
    assert!(aws.tasks.fetch_tasks("default", "kd-service").await.unwrap().len() == 3);
    clock.advance(s(3_600));
    assert!(aws.tasks.fetch_tasks("default", "kd-service").await.unwrap().is_empty(), "forgotten");
}

#[tokio::test]
async fn scale_in_spares_protected_tasks_until_protection_ends() {
    let (fake, clock, aws) = with_tasks(10).await;
    let tasks = aws.tasks.fetch_tasks("default", "kd-service").await.unwrap();
    let spared: Vec<_> = tasks.iter().step_by(2).map(|task| task.arn.clone()).collect();
    aws.tasks.protect_tasks("default", &spared, 1).await.unwrap();
    aws.services.resize_service("default", "kd-service", 4).await.unwrap();
    let stopping = |tasks: Vec<kinesis_demo_operator::aws::TaskDescription>| {
        tasks
            .into_iter()
            .filter(|task| task.state != TaskState::Running)
            .map(|task| task.arn)
            .collect::<Vec<_>>()
    };
    let stopped = stopping(aws.tasks.fetch_tasks("default", "kd-service").await.unwrap());
    assert_eq!(stopped.len(), 5, "the sixth waits for a protection to end");
    assert!(stopped.iter().all(|arn| !spared.contains(arn)));
    clock.advance(s(60));
    assert_eq!(fake.running_tasks().len(), 4);

    let survivors: Vec<_> =
        spared.iter().filter(|arn| fake.running_tasks().contains(&TaskId::from_arn(arn))).cloned().collect();
    aws.tasks.protect_tasks("default", &survivors, 10).await.unwrap();
    aws.tasks.release_tasks("default", &survivors[..1]).await.unwrap();
    aws.services.resize_service("default", "kd-service", 3).await.unwrap();
    assert!(!fake.running_tasks().contains(&TaskId::from_arn(&survivors[0])));
}

#[tokio::test]
async fn tasks_selected_for_scale_in_depend_on_the_seed() {
    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..8 {
        let (fake, clock, aws) = with_tasks(6).await;
        let placed = fake.running_tasks();
        fake.set_seed(seed);
        aws.services.resize_service("default", "kd-service", 3).await.unwrap();
        clock.advance(s(10));
        orders.insert(placed.iter().map(|task| fake.running_tasks().contains(task)).collect::<Vec<_>>());
    }
    assert!(orders.len() > 2, "{orders:?}");
}

#[tokio::test]
async fn a_full_stream_throttles_and_the_books_balance() {
    let (fake, clock, aws) = with_tasks(3).await;
    fake.set_stream_capacity(Some(50));
    publish(&aws, &a_document(&fake)).await;
    clock.advance_to(T0 + s(180));
    aws.services.resize_service("default", "kd-service", 0).await.unwrap();
    clock.advance(s(10));
    let (counters, finals) = totals(&aws).await;
    assert_eq!((finals, counters.offered, counters.offered), (3, 6_060, counters.settled()));
    assert_eq!(counters.accepted, fake.stored("posts"));
    assert!((3_000..=3_050).contains(&counters.accepted), "{counters:?}");
    assert_eq!(counters.throttled, counters.failed);
}

#[tokio::test]
async fn tasks_without_a_log_group_or_a_usable_environment_never_run() {
    let (fake, clock, aws) = with_tasks(1).await;
    aws.logs.delete_log_group("/kd/log").await.unwrap();
    aws.services.resize_service("default", "kd-service", 2).await.unwrap();
    clock.advance(s(25));
    let tasks = aws.tasks.fetch_tasks("default", "kd-service").await.unwrap();
    assert!(tasks[1].stop.as_ref().unwrap().reason.contains("log group"), "{tasks:?}");
    assert_eq!(fake.running_tasks().len(), 1);

    let (fake, clock, aws) = a_fake();
    let mut bare: NewTaskDefinition = a_definition();
    bare.environment.remove("KINESISDEMO_STREAM");
    aws.logs.create_log_group("/kd/log", &owned()).await.unwrap();
    aws.task_definitions.register_task_definition(&bare).await.unwrap();
    aws.services.create_service(&a_service()).await.unwrap();
    aws.services.resize_service("default", "kd-service", 1).await.unwrap();
    clock.advance(s(60));
    assert!(fake.running_tasks().is_empty());
    assert_eq!(
        aws.tasks.fetch_tasks("default", "kd-service").await.unwrap().len(),
        3,
        "started again and again"
    );
}

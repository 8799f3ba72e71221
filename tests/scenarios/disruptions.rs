//! The status reports what really happened: resources that vanish during a run, control documents
//! that the operator did not write, tasks that hang, clocks that are off.

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::control::ControlDocument;
use kinesis_demo_api::status::{Outcome, ResourceState, Stage};
use kinesis_demo_operator::aws::{Aws, AwsErrorClass, ClockSkew, NewStream, Regions, Tags};
use kinesis_demo_operator::clock::Clock;
use kinesis_demo_testing::totals::assert_balanced;

use crate::harness::{Harness, s, settings, warm_spec};

pub const NAME: &str = "kd-viral-event-5f3c2a1b-r1";
pub const PARAMETER: &str = "/kinesisdemo/kd-viral-event-5f3c2a1b-r1/control";
pub const SCHEDULED: u64 = 120 * 60_200;

pub fn aws(harness: &Harness) -> Aws {
    harness.aws.in_region("us-east-1")
}

pub fn event_count(harness: &Harness, reason: &str) -> usize {
    harness.cluster.run_events().iter().filter(|run_event| run_event.reason == reason).count()
}

pub fn stored(harness: &Harness) -> u64 {
    harness.aws.records_by_second().values().sum()
}

pub async fn document(harness: &Harness) -> ControlDocument {
    let text = aws(harness).parameters.fetch_parameter(PARAMETER).await.unwrap().unwrap();
    ControlDocument::parse(&text).unwrap()
}

#[tokio::test]
async fn a_stream_deleted_during_a_run_fails_it_and_is_not_recreated() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("spike").await;
    let arn = harness.status().stream.unwrap().arn;
    aws(&harness).streams.delete_stream(&arn).await.unwrap();
    let from = harness.clock.now();
    harness.run_until_stage(Stage::Draining).await;
    assert!(harness.clock.now().since(from) < s(30));
    harness.run_to_end().await;
    let run = harness.status().run.unwrap();
    assert_eq!((run.outcome, run.reason), (Some(Outcome::Failed), Some(Reason::StreamDeleted)));
    assert!(run.message.unwrap().contains(NAME));
    assert_eq!(harness.aws.call_counts()["CreateStream"], 1);
    assert_eq!(harness.condition(ConditionType::StreamReady).status, ConditionStatus::False);
    assert_balanced(&harness.totals());
    harness.assert_nothing_left();
}

#[tokio::test]
async fn a_service_deleted_during_a_run_fails_it_and_is_not_recreated() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("spike").await;
    aws(&harness).services.delete_service("default", NAME).await.unwrap();
    harness.run_to_end().await;
    let run = harness.status().run.unwrap();
    assert_eq!((run.outcome, run.reason), (Some(Outcome::Failed), Some(Reason::ServiceDeleted)));
    assert_eq!(harness.aws.call_counts()["CreateService"], 1);
    harness.assert_nothing_left();
}

#[tokio::test]
async fn a_parameter_deleted_during_a_run_is_restored_with_its_tags() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("spike").await;
    harness.clock.advance(s(2));
    aws(&harness).parameters.delete_parameter(PARAMETER).await.unwrap();
    harness.run_until_phase("peak").await;
    let tags = harness.aws.parameter_tags(PARAMETER).expect("the parameter was not restored");
    assert_eq!(tags["kinesisdemo.io/owner"], "5f3c2a1b-9d2e-4c7a-8f10-1234567890ab");
    assert_eq!(event_count(&harness, "ControlRestored"), 1);
    harness.run_to_end().await;
    let totals = harness.totals();
    assert_balanced(&totals);
    assert!(totals.offered <= totals.scheduled, "{totals:?}");
    assert_eq!((harness.outcome(), stored(&harness)), (Some(Outcome::Succeeded), SCHEDULED));
    harness.assert_nothing_left();
}

/// A renewal writes without reading first, so it may overwrite a parameter that was just deleted.
#[tokio::test]
async fn a_parameter_is_restored_with_its_tags_whenever_it_is_deleted() {
    for steps in 0..24 {
        let mut harness = Harness::new(warm_spec());
        harness.run_until_phase("spike").await;
        for _ in 0..steps {
            harness.step().await;
        }
        aws(&harness).parameters.delete_parameter(PARAMETER).await.unwrap();
        harness.run_until_phase("peak").await;
        let tags = harness.aws.parameter_tags(PARAMETER).expect("the parameter was not restored");
        assert_eq!(
            tags.get("kinesisdemo.io/owner").map(String::as_str),
            Some("5f3c2a1b-9d2e-4c7a-8f10-1234567890ab"),
            "deleted after {steps} steps"
        );
        assert_eq!(event_count(&harness, "ControlRestored"), 1, "deleted after {steps} steps");
        harness.run_to_end().await;
        let ended = (harness.outcome(), stored(&harness));
        assert_eq!(ended, (Some(Outcome::Succeeded), SCHEDULED), "deleted after {steps} steps");
        harness.assert_nothing_left();
    }
}

#[tokio::test]
async fn a_scale_to_zero_deleted_during_a_run_is_restored() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("spike").await;
    aws(&harness).scaling.delete_scheduled_scale_to_zero("default", NAME).await.unwrap();
    harness.run_until_phase("decline").await;
    let restored =
        aws(&harness).scaling.fetch_scheduled_scale_to_zero("default", NAME).await.unwrap().unwrap();
    let deadline_at = harness.status().run.unwrap().deadline_at.unwrap();
    assert_eq!(restored.action_at.map(|at| deadline_at.since(at) < s(1)), Some(true));
    assert_eq!(event_count(&harness, "ScaleToZeroRestored"), 1);
    harness.run_to_end().await;
    assert_eq!((harness.outcome(), stored(&harness)), (Some(Outcome::Succeeded), SCHEDULED));
    harness.assert_nothing_left();
}

#[tokio::test]
async fn a_hanging_task_loses_its_slot_to_a_running_task() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("peak").await;
    let hanging = harness.aws.running_tasks().swap_remove(3);
    harness.aws.hang_task(&hanging);
    harness.run_until_phase("decline").await;
    assert_eq!(event_count(&harness, "SilentTasksReplaced"), 1);
    let control = harness.status().control.unwrap();
    let lost_at =
        control.assignments.iter().find(|assignment| assignment.task == hanging).unwrap().until.unwrap();
    let peak = harness.status().phases[2].starts_at;
    // The silence limit, the start of a task and the change of slots add up to this.
    assert!((s(45)..s(115)).contains(&lost_at.since(peak)), "{:?}", lost_at.since(peak));
    harness.run_to_end().await;
    assert_balanced(&harness.totals());
    harness.assert_nothing_left();
}

#[tokio::test]
async fn if_all_tasks_hang_only_one_is_replaced_at_first() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("peak").await;
    let mut most_desired = 0;
    while harness.status().stage == Some(Stage::Running) {
        for task in harness.aws.running_tasks() {
            harness.aws.hang_task(&task);
        }
        harness.step().await;
        most_desired = most_desired.max(harness.status().generators.unwrap().desired);
    }
    assert!(most_desired <= 11, "{most_desired} tasks at once");
    harness.run_to_end().await;
    let run = harness.status().run.unwrap();
    assert_eq!((run.outcome, run.reason), (Some(Outcome::Failed), Some(Reason::ScheduleNotOffered)));
    assert_balanced(&harness.totals());
    harness.assert_nothing_left();
}

#[tokio::test]
async fn warm_throughput_released_by_someone_else_is_reported() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("baseline").await;
    assert_eq!(harness.condition(ConditionType::WarmThroughputReady).status, ConditionStatus::True);
    let arn = harness.status().stream.unwrap().arn;
    aws(&harness).streams.update_warm_throughput(&arn, 0).await.unwrap();
    harness.run_until_phase("spike").await;
    let warm = harness.condition(ConditionType::WarmThroughputReady);
    assert_eq!((warm.status, warm.reason), (ConditionStatus::False, Reason::Lost));
}

#[tokio::test]
async fn denied_reads_keep_the_last_known_state_and_are_reported() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("peak").await;
    let known = harness.status();
    for operation in ["DescribeStreamSummary", "ListTasks"] {
        harness.aws.fail(operation, AwsErrorClass::Denied, u32::MAX);
    }
    let from = harness.clock.now();
    while harness.clock.now() < from + s(60) {
        assert!(harness.step().await);
    }
    let status = harness.status();
    assert_eq!(status.stream, known.stream);
    assert_eq!(status.generators.unwrap().running, known.generators.unwrap().running);
    for (type_, operation) in
        [(ConditionType::StreamReady, "DescribeStreamSummary"), (ConditionType::GeneratorsReady, "ListTasks")]
    {
        let condition = harness.condition(type_);
        assert_eq!(
            (condition.status, condition.reason),
            (ConditionStatus::Unknown, Reason::AccessDenied),
            "{type_}"
        );
        assert!(condition.message.contains(operation), "{}", condition.message);
    }
    assert_eq!(
        status.control.unwrap().assignments.iter().filter(|assignment| assignment.until.is_none()).count(),
        10
    );
}

#[tokio::test]
async fn clock_skew_sets_a_condition_and_emits_one_event() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("baseline").await;
    assert_eq!(harness.condition(ConditionType::ClockSkew).status, ConditionStatus::False);
    harness.aws.set_clock_skew(Some(ClockSkew { at_least: 2_900_000, at_most: 3_100_000 }));
    harness.run_until_phase("spike").await;
    let skew = harness.condition(ConditionType::ClockSkew);
    assert_eq!((skew.status, skew.reason), (ConditionStatus::True, Reason::ClocksDiffer));
    assert!(skew.message.contains("3.0 s ahead of AWS's"), "{}", skew.message);
    harness.run_to_end().await;
    assert_eq!(event_count(&harness, "ClocksDiffer"), 1);
    assert!(harness.status().run.unwrap().message.unwrap().contains("ahead of AWS's"));
}

#[tokio::test]
async fn the_current_version_is_renewed_while_publishing_fails() {
    let mut harness = Harness::new(warm_spec());
    harness
        .run_until(s(7_200), |status| status.control.as_ref().is_some_and(|control| control.version == 2))
        .await;
    harness.aws.fail_for("GetParameter", AwsErrorClass::Transient, s(120));
    harness.run_to_end().await;
    assert_eq!(harness.status().control.unwrap().interruptions, [], "control lapsed");
    assert_eq!(event_count(&harness, "ControlRestored"), 0, "no other writer was involved");
    harness.assert_nothing_left();
}

#[tokio::test]
async fn a_new_leader_reads_the_parameter_before_it_writes_it() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("spike").await;
    harness.restart();
    let from = harness.aws.calls().len();
    harness.run_until_phase("peak").await;
    let calls = harness.aws.calls();
    let first = calls.iter().skip(from).find(|call| call.target == PARAMETER).unwrap();
    assert_eq!(first.operation, "GetParameter");
}

#[tokio::test]
async fn the_local_lease_survives_every_denied_or_slow_read() {
    for operation in [
        "GetParameter",
        "DescribeStreamSummary",
        "DescribeServices",
        "ListTasks",
        "DescribeTasks",
        "FilterLogEvents",
    ] {
        for slow in [false, true] {
            let mut settings = settings();
            settings.timings = kinesis_demo_operator::settings::Timings::local();
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_time().start_paused(true).build().unwrap();
            // Paused time needs a runtime of its own: the runtime of this test has real time.
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    runtime.block_on(async move {
                        let mut harness = Harness::with(warm_spec(), settings);
                        harness.run_until_phase("peak").await;
                        match slow {
                            true => harness.aws.delay_for(operation, s(20), s(90)),
                            false => harness.aws.fail(operation, AwsErrorClass::Denied, u32::MAX),
                        }
                        harness.run_until_stage(Stage::Draining).await;
                        let control = harness.status().control.unwrap();
                        assert_eq!(control.interruptions, [], "{operation}, slow: {slow}");
                        // A change of slots that was in progress waits for the parameter.
                        let least =
                            if operation == "GetParameter" { SCHEDULED / 100 * 99 } else { SCHEDULED };
                        let arrived = harness.aws.records_by_second().values().sum::<u64>();
                        assert!(arrived >= least, "{operation}, slow: {slow}: {arrived}");
                    });
                });
            });
        }
    }
}

#[tokio::test]
async fn each_event_of_a_cold_run_is_emitted_once() {
    let mut harness = Harness::new(Default::default());
    harness.aws.set_stream_capacity(Some(4_000));
    harness.run_to_end().await;
    // The spike and the peak are throttled.
    assert_eq!(event_count(&harness, "ThrottlingBegan"), 2);
    assert_eq!(event_count(&harness, "PhaseStarted"), 4);
    let delivered = harness.condition(ConditionType::TrafficDelivered);
    assert_eq!((delivered.status, delivered.reason), (ConditionStatus::False, Reason::PartlyDelivered));
    let totals = harness.totals();
    assert!(
        delivered.message.contains(&format!("{} of {SCHEDULED}", totals.accepted)),
        "{}",
        delivered.message
    );
    assert_eq!(harness.outcome(), Some(Outcome::Succeeded));
}

#[tokio::test]
async fn a_phase_is_announced_once_even_if_the_schedule_moves() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("spike").await;
    harness.aws.fail_for("PutParameter", AwsErrorClass::Transient, s(240));
    harness.run_to_end().await;
    assert_eq!(event_count(&harness, "PhaseStarted"), 4);
    let interruptions = harness.status().control.unwrap().interruptions;
    assert_eq!(interruptions.len(), 1, "adjacent interruptions must be merged: {interruptions:?}");
    assert_eq!((harness.outcome(), stored(&harness)), (Some(Outcome::Succeeded), SCHEDULED));
    assert!(harness.status().resources.iter().all(|resource| resource.state == ResourceState::Deleted));

    let mut harness = Harness::new(warm_spec());
    harness.run_until_stage(Stage::Running).await;
    harness.request(r#"{"verb":"abort","run":1,"id":"early"}"#);
    harness.run_to_end().await;
    assert_eq!(event_count(&harness, "PhaseStarted"), 0, "no phase had begun");
}

#[tokio::test]
async fn a_request_is_handled_only_once_even_after_other_requests() {
    let mut harness = Harness::new(warm_spec());
    harness.run_to_end().await;
    let request = |harness: &Harness, verb: &str, id: &str| {
        harness.request(&format!(r#"{{"verb":"{verb}","id":"{id}"}}"#));
    };
    request(&harness, "rerun", "A");
    harness.run_until_stage(Stage::Provisioning).await;
    request(&harness, "abort", "B");
    harness.run_until_stage(Stage::Aborted).await;
    harness.run_to_end().await;
    request(&harness, "rerun", "A");
    harness.run_to_end().await;
    assert_eq!((harness.status().stage, harness.status().run.unwrap().number), (Some(Stage::Aborted), 2));
    assert_eq!(harness.status().last_request.unwrap().id, "B");
}

#[tokio::test]
async fn a_leader_that_cannot_read_the_parameter_publishes_nothing() {
    // A new leader during a run.
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("spike").await;
    harness.restart();
    harness.aws.fail("GetParameter", AwsErrorClass::Denied, u32::MAX);
    let from = harness.clock.now();
    while harness.clock.now() < from + s(120) {
        assert!(harness.step().await);
    }
    assert!(harness.aws.parameter_writes(PARAMETER).iter().all(|(at, _)| *at < from));
    // The first version of a run.
    let mut harness = Harness::new(warm_spec());
    harness.run_until_stage(Stage::Starting).await;
    harness.aws.fail("GetParameter", AwsErrorClass::Denied, u32::MAX);
    harness.run_until_stage(Stage::Running).await;
    let from = harness.clock.now();
    while harness.clock.now() < from + s(120) {
        assert!(harness.step().await);
    }
    assert_eq!(harness.aws.parameter_writes(PARAMETER).len(), 1, "more than the idle document was written");
    assert_eq!(stored(&harness), 0);
}

#[tokio::test]
async fn the_service_goes_to_zero_if_the_stop_cannot_be_written() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("peak").await;
    harness.aws.fail("PutParameter", AwsErrorClass::Denied, u32::MAX);
    harness.request(r#"{"verb":"abort","run":1,"id":"stop"}"#);
    let requested_at = harness.clock.now();
    harness.run_to_end().await;
    assert_eq!(harness.status().stage, Some(Stage::Aborted));
    assert_eq!(harness.aws.records_arrived(requested_at + s(100), requested_at + s(3_600)), 0);
    let totals = harness.totals();
    assert_balanced(&totals);
    assert!(totals.offered <= totals.scheduled, "{totals:?}");
    assert_eq!(totals.accepted, stored(&harness));
    harness.assert_nothing_left();
}

#[tokio::test]
async fn other_credentials_create_nothing_and_mark_nothing_deleted() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("spike").await;
    // The other account has neither the parameter nor the scheduled action.
    harness.aws.set_account_id("123456789012");
    aws(&harness).parameters.delete_parameter(PARAMETER).await.unwrap();
    aws(&harness).scaling.delete_scheduled_scale_to_zero("default", NAME).await.unwrap();
    let from = harness.aws.calls().len();
    let until = harness.clock.now() + s(30);
    while harness.clock.now() < until {
        assert!(harness.step().await);
    }
    let writes = harness.aws.calls().into_iter().skip(from).filter(|call| call.is_write);
    let writes: Vec<_> =
        writes.map(|call| call.operation).filter(|name| name.starts_with("PutSch")).collect();
    assert_eq!(writes, [] as [&str; 0]);
    assert_eq!(harness.status().stage, Some(Stage::Running));
}

/// Someone deletes the stream and creates another one with the same name, untagged or with all tags
/// copied, before or after the operator noticed the deletion. The run fails, and the other stream
/// is left alone.
#[tokio::test]
async fn a_stream_recreated_by_someone_else_is_not_ours() {
    for (pause, copies_tags) in [(s(25), false), (s(25), true), (s(45), false), (s(120), true)] {
        let mut harness = Harness::new(warm_spec());
        harness.run_until_phase("spike").await;
        let arn = harness.status().stream.unwrap().arn;
        let tags = aws(&harness).streams.fetch_stream_tags(&arn).await.unwrap();
        aws(&harness).streams.delete_stream(&arn).await.unwrap();
        // In one case the operator is down in the meantime.
        match copies_tags {
            true => harness.clock.advance(pause),
            false => harness.run_for(pause).await,
        }
        let others = Tags::from([("team".into(), "other".into())]);
        let tags = if copies_tags { tags } else { others };
        let theirs = NewStream { name: NAME.into(), warm_mib_per_second: None, tags };
        aws(&harness).streams.create_stream(&theirs).await.unwrap();
        harness.run_to_end().await;
        let status = harness.status();
        assert_eq!(status.run.unwrap().reason, Some(Reason::StreamDeleted), "{pause:?}");
        assert_eq!(harness.condition(ConditionType::CleanedUp).status, ConditionStatus::True);
        assert_eq!(harness.aws.snapshot().streams.len(), 1, "the other stream was removed");
    }
}

/// No operator leads from the middle of a phase until long after the scheduled end. The missing
/// part of the schedule runs after that.
#[tokio::test]
async fn a_schedule_that_ended_without_a_leader_is_completed_later() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("peak").await;
    harness.clock.advance(s(900));
    harness.restart();
    harness.run_to_end().await;
    let status = harness.status();
    assert_eq!((harness.outcome(), stored(&harness)), (Some(Outcome::Succeeded), SCHEDULED));
    assert_eq!(status.control.unwrap().interruptions.len(), 1);
    assert_eq!((event_count(&harness, "ControlLapsed"), event_count(&harness, "ScheduleMoved")), (1, 1));
    harness.assert_nothing_left();
}

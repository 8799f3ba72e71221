//! The end tells what happened: things that vanish in mid-run, documents that we did not write, tasks
//! that hang, clocks that are off.

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::control::ControlDocument;
use kinesis_demo_api::status::{Outcome, ResourceState, Stage};
use kinesis_demo_operator::aws::{Aws, AwsErrorClass, ClockSkew, NewStream, Regions, Tags};
use kinesis_demo_operator::clock::Clock;

use crate::harness::{Theatre, assert_balanced, s, settings, warm_spec};

pub const NAME: &str = "kd-viral-event-5f3c2a1b-r1";
pub const PARAMETER: &str = "/kinesisdemo/kd-viral-event-5f3c2a1b-r1/control";
pub const SCHEDULED: u64 = 120 * 60_200;

pub fn aws(theatre: &Theatre) -> Aws {
    theatre.aws.in_region("us-east-1")
}

pub fn told(theatre: &Theatre, reason: &str) -> usize {
    theatre.cluster.notices().iter().filter(|notice| notice.reason == reason).count()
}

pub fn stored(theatre: &Theatre) -> u64 {
    theatre.aws.records_by_second().values().sum()
}

pub async fn document(theatre: &Theatre) -> ControlDocument {
    let text = aws(theatre).parameters.fetch_parameter(PARAMETER).await.unwrap().unwrap();
    ControlDocument::parse(&text).unwrap()
}

#[tokio::test]
async fn a_stream_that_is_deleted_in_mid_run_fails_it_and_is_not_made_anew() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_phase("spike").await;
    let arn = theatre.status().stream.unwrap().arn;
    aws(&theatre).streams.delete_stream(&arn).await.unwrap();
    let from = theatre.clock.now();
    theatre.play_until_stage(Stage::Draining).await;
    assert!(theatre.clock.now().since(from) < s(30));
    theatre.play_out().await;
    let run = theatre.status().run.unwrap();
    assert_eq!((run.outcome, run.reason), (Some(Outcome::Failed), Some(Reason::StreamGone)));
    assert!(run.message.unwrap().contains(NAME));
    assert_eq!(theatre.aws.call_counts()["CreateStream"], 1);
    assert_eq!(theatre.condition(ConditionType::StreamReady).status, ConditionStatus::False);
    assert_balanced(&theatre.books());
    theatre.assert_nothing_left();
}

#[tokio::test]
async fn a_service_that_is_deleted_in_mid_run_fails_it_and_is_not_made_anew() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_phase("spike").await;
    aws(&theatre).services.delete_service("default", NAME).await.unwrap();
    theatre.play_out().await;
    let run = theatre.status().run.unwrap();
    assert_eq!((run.outcome, run.reason), (Some(Outcome::Failed), Some(Reason::ServiceGone)));
    assert_eq!(theatre.aws.call_counts()["CreateService"], 1);
    theatre.assert_nothing_left();
}

#[tokio::test]
async fn a_parameter_that_is_deleted_in_mid_run_is_put_back_with_its_tags() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_phase("spike").await;
    theatre.clock.advance(s(2));
    aws(&theatre).parameters.delete_parameter(PARAMETER).await.unwrap();
    theatre.play_until_phase("peak").await;
    let tags = theatre.aws.parameter_tags(PARAMETER).expect("it is there again");
    assert_eq!(tags["kinesisdemo.io/owner"], "5f3c2a1b-9d2e-4c7a-8f10-1234567890ab");
    assert_eq!(told(&theatre, "ControlPutBack"), 1);
    theatre.play_out().await;
    let totals = theatre.books();
    assert_balanced(&totals);
    assert!(totals.offered <= totals.scheduled, "{totals:?}");
    assert_eq!((theatre.outcome(), stored(&theatre)), (Some(Outcome::Succeeded), SCHEDULED));
    theatre.assert_nothing_left();
}

/// A renewal looks at nothing first, so it may write over a parameter that has just been removed.
#[tokio::test]
async fn a_parameter_is_put_back_with_its_tags_whenever_it_is_deleted() {
    for passes in 0..24 {
        let mut theatre = Theatre::new(warm_spec());
        theatre.play_until_phase("spike").await;
        for _ in 0..passes {
            theatre.pass().await;
        }
        aws(&theatre).parameters.delete_parameter(PARAMETER).await.unwrap();
        theatre.play_until_phase("peak").await;
        let tags = theatre.aws.parameter_tags(PARAMETER).expect("it is there again");
        assert_eq!(
            tags.get("kinesisdemo.io/owner").map(String::as_str),
            Some("5f3c2a1b-9d2e-4c7a-8f10-1234567890ab"),
            "deleted after {passes} passes"
        );
        assert_eq!(told(&theatre, "ControlPutBack"), 1, "deleted after {passes} passes");
        theatre.play_out().await;
        let ended = (theatre.outcome(), stored(&theatre));
        assert_eq!(ended, (Some(Outcome::Succeeded), SCHEDULED), "deleted after {passes} passes");
        theatre.assert_nothing_left();
    }
}

#[tokio::test]
async fn a_scale_to_zero_that_is_deleted_in_mid_run_is_put_back() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_phase("spike").await;
    aws(&theatre).scaling.delete_ceiling("default", NAME).await.unwrap();
    theatre.play_until_phase("decline").await;
    let there = aws(&theatre).scaling.fetch_ceiling("default", NAME).await.unwrap().unwrap();
    let deadline_at = theatre.status().run.unwrap().deadline_at.unwrap();
    assert_eq!(there.action_at.map(|at| deadline_at.since(at) < s(1)), Some(true));
    assert_eq!(told(&theatre, "ScaleToZeroPutBack"), 1);
    theatre.play_out().await;
    assert_eq!((theatre.outcome(), stored(&theatre)), (Some(Outcome::Succeeded), SCHEDULED));
    theatre.assert_nothing_left();
}

#[tokio::test]
async fn a_task_that_hangs_loses_its_slot_to_one_that_runs() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_phase("peak").await;
    let hanging = theatre.aws.running_tasks().swap_remove(3);
    theatre.aws.hang_task(&hanging);
    theatre.play_until_phase("decline").await;
    assert_eq!(told(&theatre, "SilentTasksReplaced"), 1);
    let control = theatre.status().control.unwrap();
    let lost_at = control.assignments.iter().find(|held| held.task == hanging).unwrap().until.unwrap();
    let peak = theatre.status().phases[2].starts_at;
    // Silence, a task's start, a change of slots.
    assert!((s(45)..s(115)).contains(&lost_at.since(peak)), "{:?}", lost_at.since(peak));
    theatre.play_out().await;
    assert_balanced(&theatre.books());
    theatre.assert_nothing_left();
}

#[tokio::test]
async fn if_all_tasks_hang_one_is_tried_first_and_replacements_are_bounded() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_phase("peak").await;
    let mut most_desired = 0;
    while theatre.status().stage == Some(Stage::Running) {
        for task in theatre.aws.running_tasks() {
            theatre.aws.hang_task(&task);
        }
        theatre.pass().await;
        most_desired = most_desired.max(theatre.status().generators.unwrap().desired);
    }
    assert!(most_desired <= 11, "{most_desired} tasks at once");
    theatre.play_out().await;
    let run = theatre.status().run.unwrap();
    assert_eq!((run.outcome, run.reason), (Some(Outcome::Failed), Some(Reason::ScheduleNotOffered)));
    assert_balanced(&theatre.books());
    theatre.assert_nothing_left();
}

#[tokio::test]
async fn warm_throughput_that_somebody_releases_is_told() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_phase("baseline").await;
    assert_eq!(theatre.condition(ConditionType::WarmThroughputReady).status, ConditionStatus::True);
    let arn = theatre.status().stream.unwrap().arn;
    aws(&theatre).streams.update_warm_throughput(&arn, 0).await.unwrap();
    theatre.play_until_phase("spike").await;
    let warm = theatre.condition(ConditionType::WarmThroughputReady);
    assert_eq!((warm.status, warm.reason), (ConditionStatus::False, Reason::Lost));
}

#[tokio::test]
async fn looks_that_are_refused_keep_what_was_known_and_say_so() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_phase("peak").await;
    let known = theatre.status();
    for operation in ["DescribeStreamSummary", "ListTasks"] {
        theatre.aws.fail(operation, AwsErrorClass::Denied, u32::MAX);
    }
    let from = theatre.clock.now();
    while theatre.clock.now() < from + s(60) {
        assert!(theatre.pass().await);
    }
    let status = theatre.status();
    assert_eq!(status.stream, known.stream);
    assert_eq!(status.generators.unwrap().running, known.generators.unwrap().running);
    for (type_, operation) in
        [(ConditionType::StreamReady, "DescribeStreamSummary"), (ConditionType::GeneratorsReady, "ListTasks")]
    {
        let held = theatre.condition(type_);
        assert_eq!((held.status, held.reason), (ConditionStatus::Unknown, Reason::AccessDenied), "{type_}");
        assert!(held.message.contains(operation), "{}", held.message);
    }
    assert_eq!(status.control.unwrap().assignments.iter().filter(|held| held.until.is_none()).count(), 10);
}

#[tokio::test]
async fn a_clock_that_is_off_is_a_condition_and_one_event() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_phase("baseline").await;
    assert_eq!(theatre.condition(ConditionType::ClockSkew).status, ConditionStatus::False);
    theatre.aws.set_clock_skew(Some(ClockSkew { at_least: 2_900_000, at_most: 3_100_000 }));
    theatre.play_until_phase("spike").await;
    let skew = theatre.condition(ConditionType::ClockSkew);
    assert_eq!((skew.status, skew.reason), (ConditionStatus::True, Reason::ClocksDiffer));
    assert!(skew.message.contains("3.0 s ahead of AWS's"), "{}", skew.message);
    theatre.play_out().await;
    assert_eq!(told(&theatre, "ClocksDiffer"), 1);
    assert!(theatre.status().run.unwrap().message.unwrap().contains("ahead of AWS's"));
}

#[tokio::test]
async fn the_version_that_tasks_obey_is_renewed_while_the_next_one_cannot_be_published() {
    let mut theatre = Theatre::new(warm_spec());
    theatre
        .play_until(s(7_200), |status| status.control.as_ref().is_some_and(|held| held.version == 2))
        .await;
    theatre.aws.fail_for("GetParameter", AwsErrorClass::Transient, s(120));
    theatre.play_out().await;
    assert_eq!(theatre.status().control.unwrap().stops, [], "control lapsed");
    assert_eq!(told(&theatre, "ControlPutBack"), 0, "nobody else wrote it");
    theatre.assert_nothing_left();
}

#[tokio::test]
async fn a_new_leader_reads_the_parameter_before_it_writes_it() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_phase("spike").await;
    theatre.restart();
    let from = theatre.aws.calls().len();
    theatre.play_until_phase("peak").await;
    let calls = theatre.aws.calls();
    let first = calls.iter().skip(from).find(|call| call.target == PARAMETER).unwrap();
    assert_eq!(first.operation, "GetParameter");
}

#[tokio::test]
async fn the_laptops_lease_outlives_every_look_that_is_refused_or_slow() {
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
            // A runtime of its own has paused time: this test's own thread does not.
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    runtime.block_on(async move {
                        let mut theatre = Theatre::with(warm_spec(), settings);
                        theatre.play_until_phase("peak").await;
                        match slow {
                            true => theatre.aws.delay_for(operation, s(20), s(90)),
                            false => theatre.aws.fail(operation, AwsErrorClass::Denied, u32::MAX),
                        }
                        theatre.play_until_stage(Stage::Draining).await;
                        let control = theatre.status().control.unwrap();
                        assert_eq!(control.stops, [], "{operation}, slow: {slow}");
                        // A change of slots that was under way waits for the parameter.
                        let least =
                            if operation == "GetParameter" { SCHEDULED / 100 * 99 } else { SCHEDULED };
                        let arrived = theatre.aws.records_by_second().values().sum::<u64>();
                        assert!(arrived >= least, "{operation}, slow: {slow}: {arrived}");
                    });
                });
            });
        }
    }
}

#[tokio::test]
async fn events_of_a_cold_run_are_told_once_each() {
    let mut theatre = Theatre::new(Default::default());
    theatre.aws.set_stream_capacity(Some(4_000));
    theatre.play_out().await;
    // The spike and the peak are throttled.
    assert_eq!(told(&theatre, "ThrottlingBegan"), 2);
    assert_eq!(told(&theatre, "PhaseStarted"), 4);
    let delivered = theatre.condition(ConditionType::TrafficDelivered);
    assert_eq!((delivered.status, delivered.reason), (ConditionStatus::False, Reason::PartlyDelivered));
    let totals = theatre.books();
    assert!(
        delivered.message.contains(&format!("{} of {SCHEDULED}", totals.accepted)),
        "{}",
        delivered.message
    );
    assert_eq!(theatre.outcome(), Some(Outcome::Succeeded));
}

#[tokio::test]
async fn a_phase_is_announced_once_however_the_schedule_moves() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_phase("spike").await;
    theatre.aws.fail_for("PutParameter", AwsErrorClass::Transient, s(240));
    theatre.play_out().await;
    assert_eq!(told(&theatre, "PhaseStarted"), 4);
    let stops = theatre.status().control.unwrap().stops;
    assert_eq!(stops.len(), 1, "touching interruptions are one: {stops:?}");
    assert_eq!((theatre.outcome(), stored(&theatre)), (Some(Outcome::Succeeded), SCHEDULED));
    assert!(theatre.status().resources.iter().all(|held| held.state == ResourceState::Deleted));

    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_stage(Stage::Running).await;
    theatre.request(r#"{"verb":"abort","run":1,"id":"early"}"#);
    theatre.play_out().await;
    assert_eq!(told(&theatre, "PhaseStarted"), 0, "no phase had begun");
}

#[tokio::test]
async fn each_request_is_answered_once_whatever_came_between() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_out().await;
    let request = |theatre: &Theatre, verb: &str, id: &str| {
        theatre.request(&format!(r#"{{"verb":"{verb}","id":"{id}"}}"#));
    };
    request(&theatre, "rerun", "A");
    theatre.play_until_stage(Stage::Provisioning).await;
    request(&theatre, "abort", "B");
    theatre.play_until_stage(Stage::Aborted).await;
    theatre.play_out().await;
    request(&theatre, "rerun", "A");
    theatre.play_out().await;
    assert_eq!((theatre.status().stage, theatre.status().run.unwrap().number), (Some(Stage::Aborted), 2));
    assert_eq!(theatre.status().last_request.unwrap().id, "B");
}

#[tokio::test]
async fn a_leader_that_may_not_read_the_parameter_publishes_nothing() {
    // A new leader in mid-run.
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_phase("spike").await;
    theatre.restart();
    theatre.aws.fail("GetParameter", AwsErrorClass::Denied, u32::MAX);
    let from = theatre.clock.now();
    while theatre.clock.now() < from + s(120) {
        assert!(theatre.pass().await);
    }
    assert!(theatre.aws.parameter_writes(PARAMETER).iter().all(|(at, _)| *at < from));
    // The first version of a run.
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_stage(Stage::Starting).await;
    theatre.aws.fail("GetParameter", AwsErrorClass::Denied, u32::MAX);
    theatre.play_until_stage(Stage::Running).await;
    let from = theatre.clock.now();
    while theatre.clock.now() < from + s(120) {
        assert!(theatre.pass().await);
    }
    assert_eq!(theatre.aws.parameter_writes(PARAMETER).len(), 1, "the idle document");
    assert_eq!(stored(&theatre), 0);
}

#[tokio::test]
async fn a_stop_that_cannot_be_written_is_counted_as_it_went_and_the_service_goes_to_zero() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_phase("peak").await;
    theatre.aws.fail("PutParameter", AwsErrorClass::Denied, u32::MAX);
    theatre.request(r#"{"verb":"abort","run":1,"id":"stop"}"#);
    let asked_at = theatre.clock.now();
    theatre.play_out().await;
    assert_eq!(theatre.status().stage, Some(Stage::Aborted));
    assert_eq!(theatre.aws.arrivals(asked_at + s(100), asked_at + s(3_600)), 0);
    let totals = theatre.books();
    assert_balanced(&totals);
    assert!(totals.offered <= totals.scheduled, "{totals:?}");
    assert_eq!(totals.accepted, stored(&theatre));
    theatre.assert_nothing_left();
}

#[tokio::test]
async fn under_other_credentials_nothing_is_made_and_nothing_is_taken_for_gone() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_phase("spike").await;
    // The other account has none of it.
    theatre.aws.set_account_id("123456789012");
    aws(&theatre).parameters.delete_parameter(PARAMETER).await.unwrap();
    aws(&theatre).scaling.delete_ceiling("default", NAME).await.unwrap();
    let from = theatre.aws.calls().len();
    let until = theatre.clock.now() + s(30);
    while theatre.clock.now() < until {
        assert!(theatre.pass().await);
    }
    let made = theatre.aws.calls().into_iter().skip(from).filter(|call| call.is_write);
    let made: Vec<_> = made.map(|call| call.operation).filter(|name| name.starts_with("PutSch")).collect();
    assert_eq!(made, [] as [&str; 0]);
    assert_eq!(theatre.status().stage, Some(Stage::Running));
}

/// Somebody deletes the stream and makes another of its name, untagged or with all tags copied, before or after the operator
/// has noticed: the run fails, and the other stream is left alone.
#[tokio::test]
async fn a_stream_made_anew_by_somebody_is_not_ours() {
    for (pause, copies_tags) in [(s(25), false), (s(25), true), (s(45), false), (s(120), true)] {
        let mut theatre = Theatre::new(warm_spec());
        theatre.play_until_phase("spike").await;
        let arn = theatre.status().stream.unwrap().arn;
        let tags = aws(&theatre).streams.fetch_stream_tags(&arn).await.unwrap();
        aws(&theatre).streams.delete_stream(&arn).await.unwrap();
        let due = theatre.clock.now() + pause;
        // The operator is away meanwhile, or not.
        match copies_tags {
            true => theatre.clock.advance(pause),
            false => while theatre.clock.now() < due && theatre.pass().await {},
        }
        let tags = if copies_tags { tags } else { Tags::new() };
        let theirs = NewStream { name: NAME.into(), warm_mib_per_second: None, tags };
        aws(&theatre).streams.create_stream(&theirs).await.unwrap();
        theatre.play_out().await;
        let status = theatre.status();
        assert_eq!(status.run.unwrap().reason, Some(Reason::StreamGone), "{pause:?}");
        assert_eq!(theatre.condition(ConditionType::CleanedUp).status, ConditionStatus::True);
        assert_eq!(theatre.aws.snapshot().streams.len(), 1, "the other stream is left alone");
    }
}

/// Nobody leads from the middle of a phase until long after the schedule's end: what was not sent comes then.
#[tokio::test]
async fn a_schedule_whose_end_passed_while_nobody_led_is_played_to_its_end() {
    let mut theatre = Theatre::new(warm_spec());
    theatre.play_until_phase("peak").await;
    theatre.clock.advance(s(900));
    theatre.restart();
    theatre.play_out().await;
    let status = theatre.status();
    assert_eq!((theatre.outcome(), stored(&theatre)), (Some(Outcome::Succeeded), SCHEDULED));
    assert_eq!(status.control.unwrap().stops.len(), 1);
    assert_eq!((told(&theatre, "ControlLapsed"), told(&theatre, "ScheduleMoved")), (1, 1));
    theatre.assert_nothing_left();
}

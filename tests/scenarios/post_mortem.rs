//! A run that failed says why after everything of it is gone: ECS's reason, the end of the task's
//! log, and what to do next.

use kinesis_demo_api::conditions::{ConditionType, Reason};
use kinesis_demo_api::control::TaskId;
use kinesis_demo_api::status::{Outcome, Stage, TaskFailure};
use kinesis_demo_operator::aws::fake::LastWord;

use crate::harness::{Harness, s, warm_spec};

const NO_IMAGE: &str = "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref generator:1: not found";
const PANIC: &str = "thread 'main' panicked at src/main.rs:7:5: no room";

fn failure(harness: &Harness) -> TaskFailure {
    harness.status().generators.unwrap().last_failure.expect("a task failed")
}

/// The notes of the Events about failed tasks.
fn told(harness: &Harness) -> Vec<String> {
    let events = harness.cluster.run_events();
    events.into_iter().filter(|event| event.reason == "TaskFailed").map(|event| event.note).collect()
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_in_the_condition_the_event_and_the_end() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.set_start_failure(Some(NO_IMAGE));
    harness.play_until_stage(Stage::Starting).await;
    harness
        .play_until(s(300), |status| {
            let generators = status.generators.as_ref();
            generators
                .is_some_and(|held| held.last_failure.as_ref().is_some_and(|held| held.last_lines.is_some()))
        })
        .await;
    let message = harness.condition(ConditionType::GeneratorsReady).message;
    assert!(message.contains(NO_IMAGE) && message.contains("TaskFailedToStart"), "{message}");

    harness.play_out().await;
    let run = harness.status().run.unwrap();
    assert_eq!((run.outcome, run.reason), (Some(Outcome::Failed), Some(Reason::StartTimeout)));
    let message = run.message.unwrap();
    assert!(message.contains(NO_IMAGE) && message.contains(". Next: mend what ECS names"), "{message}");
    // Each try fails alike: it is told once, and counted.
    assert_eq!(told(&harness).len(), 1, "{:?}", told(&harness));
    assert!(told(&harness)[0].contains(NO_IMAGE), "{:?}", told(&harness));
    assert!(harness.status().generators.unwrap().failed > 3);
    assert_eq!(failure(&harness).last_lines, Some(vec![]), "a task that never started has no log");
    harness.assert_nothing_left();
}

#[tokio::test]
async fn the_end_of_a_failed_tasks_log_outlives_the_log() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.set_last_line(PANIC);
    harness.play_until_phase("peak").await;
    let task: TaskId = harness.status().control.unwrap().assignments[0].task.clone();
    assert!(harness.aws.kill_task(&task, LastWord::Unspoken));
    harness.play_out().await;
    let failure = failure(&harness);
    assert_eq!(TaskId::from_arn(&failure.task), task);
    assert_eq!(
        failure.message,
        "Essential container in task exited (EssentialContainerExited, exit code 137)"
    );
    assert_eq!(failure.last_lines, Some(vec![PANIC.to_owned()]), "without the ledger's lines");
    assert_eq!(told(&harness).len(), 1, "{:?}", told(&harness));
    assert!(told(&harness)[0].contains(PANIC), "{:?}", told(&harness));
    // Tasks that were scaled in did what was asked of them.
    assert_eq!(harness.status().generators.unwrap().failed, 1);
    harness.assert_nothing_left();
}

#[tokio::test]
async fn a_run_without_a_failed_task_has_none_and_says_nothing() {
    let mut harness = Harness::new(warm_spec());
    harness.play_out().await;
    let generators = harness.status().generators.unwrap();
    assert_eq!((generators.failed, generators.last_failure), (0, None));
    assert_eq!(told(&harness), [] as [&str; 0]);
    assert_eq!(harness.aws.call_counts().get("GetLogEvents"), None);
}

#[tokio::test]
async fn a_log_that_may_not_be_read_holds_nothing_up() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.set_last_line(PANIC);
    harness.aws.fail("GetLogEvents", kinesis_demo_operator::aws::AwsErrorClass::Denied, u32::MAX);
    harness.play_until_phase("baseline").await;
    let task: TaskId = harness.status().control.unwrap().assignments[0].task.clone();
    assert!(harness.aws.kill_task(&task, LastWord::Spoken));
    harness.play_out().await;
    assert_eq!(harness.outcome(), Some(Outcome::Succeeded), "{:?}", harness.status().run);
    assert_eq!(failure(&harness).last_lines, Some(vec![]));
    assert_eq!(told(&harness).len(), 1, "{:?}", told(&harness));
    harness.assert_nothing_left();
}

#[tokio::test]
async fn the_end_of_the_log_is_read_though_the_run_ends_right_after_the_failure() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.set_start_failure(Some(NO_IMAGE));
    harness
        .play_until(s(300), |status| {
            status.generators.as_ref().is_some_and(|held| held.last_failure.is_some())
        })
        .await;
    harness.request(r#"{"verb":"abort","run":1,"id":"now"}"#);
    harness.play_out().await;
    assert_eq!(harness.outcome(), Some(Outcome::Aborted));
    assert!(failure(&harness).last_lines.is_some());
    assert_eq!(told(&harness).len(), 1, "{:?}", told(&harness));
    harness.assert_nothing_left();
}

/// AWS takes the calls, and the stream's target stays what it was.
#[tokio::test]
async fn warm_throughput_is_not_asked_for_without_end() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.cap_warm_throughput(40);
    harness.play_out().await;
    let run = harness.status().run.unwrap();
    assert_eq!((run.outcome, run.reason), (Some(Outcome::Failed), Some(Reason::WarmThroughputTimeout)));
    let message = run.message.unwrap();
    assert!(
        message.starts_with(
            "AWS took 3 requests for 100 MiB/s of warm throughput, and the stream's target is 40 MiB/s"
        ),
        "{message}"
    );
    harness.assert_nothing_left();
}

//! After everything of a failed run is deleted, its status still says why it failed: the reason
//! from ECS, the end of the task's log, and what to do next.

use kinesis_demo_api::conditions::{ConditionType, Reason};
use kinesis_demo_api::control::TaskId;
use kinesis_demo_api::status::{Outcome, Stage, TaskFailure};
use kinesis_demo_testing::aws::FinalLine;

use crate::harness::{Harness, s, warm_spec};

const NO_IMAGE: &str = "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref generator:1: not found";
const PANIC: &str = "thread 'main' panicked at src/main.rs:7:5: no room";

fn failure(harness: &Harness) -> TaskFailure {
    harness.status().generators.unwrap().last_failure.expect("a task failed")
}

/// The notes of the `TaskFailed` Events.
fn failure_notes(harness: &Harness) -> Vec<String> {
    let events = harness.cluster.run_events();
    events.into_iter().filter(|event| event.reason == "TaskFailed").map(|event| event.note).collect()
}

#[tokio::test]
async fn an_image_pull_failure_is_in_condition_event_and_message() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.set_start_failure(Some(NO_IMAGE));
    harness.run_until_stage(Stage::Starting).await;
    harness
        .run_until(s(300), |status| {
            let generators = status.generators.as_ref();
            generators.is_some_and(|generators| {
                generators.last_failure.as_ref().is_some_and(|failure| failure.last_lines.is_some())
            })
        })
        .await;
    let message = harness.condition(ConditionType::GeneratorsReady).message;
    assert!(message.contains(NO_IMAGE) && message.contains("TaskFailedToStart"), "{message}");

    harness.run_to_end().await;
    let run = harness.status().run.unwrap();
    assert_eq!((run.outcome, run.reason), (Some(Outcome::Failed), Some(Reason::StartTimeout)));
    let message = run.message.unwrap();
    assert!(message.contains(NO_IMAGE) && message.contains(". Next: fix what ECS reports"), "{message}");
    // Every attempt fails in the same way: one Event is emitted, and the failures are counted.
    assert_eq!(failure_notes(&harness).len(), 1, "{:?}", failure_notes(&harness));
    assert!(failure_notes(&harness)[0].contains(NO_IMAGE), "{:?}", failure_notes(&harness));
    assert!(harness.status().generators.unwrap().failed > 3);
    assert_eq!(failure(&harness).last_lines, Some(vec![]), "a task that never started cannot have a log");
    harness.assert_nothing_left();
}

#[tokio::test]
async fn the_last_log_lines_of_a_failed_task_are_kept_in_the_status() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.set_last_line(PANIC);
    harness.run_until_phase("peak").await;
    let task: TaskId = harness.status().control.unwrap().assignments[0].task.clone();
    assert!(harness.aws.kill_task(&task, FinalLine::Missing));
    harness.run_to_end().await;
    let failure = failure(&harness);
    assert_eq!(TaskId::from_arn(&failure.task), task);
    assert_eq!(
        failure.message,
        "Essential container in task exited (EssentialContainerExited, exit code 137)"
    );
    assert_eq!(failure.last_lines, Some(vec![PANIC.to_owned()]), "the last lines must leave out the ledger");
    assert_eq!(failure_notes(&harness).len(), 1, "{:?}", failure_notes(&harness));
    assert!(failure_notes(&harness)[0].contains(PANIC), "{:?}", failure_notes(&harness));
    // Tasks stopped by scale-in do not count as failed.
    assert_eq!(harness.status().generators.unwrap().failed, 1);
    harness.assert_nothing_left();
}

#[tokio::test]
async fn a_run_without_failures_reports_none() {
    let mut harness = Harness::new(warm_spec());
    harness.run_to_end().await;
    let generators = harness.status().generators.unwrap();
    assert_eq!((generators.failed, generators.last_failure), (0, None));
    assert_eq!(failure_notes(&harness), [] as [&str; 0]);
    assert_eq!(harness.aws.call_counts().get("GetLogEvents"), None);
}

#[tokio::test]
async fn a_task_log_that_cannot_be_read_does_not_delay_the_run() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.set_last_line(PANIC);
    harness.aws.fail("GetLogEvents", kinesis_demo_operator::aws::AwsErrorClass::Denied, u32::MAX);
    harness.run_until_phase("baseline").await;
    let task: TaskId = harness.status().control.unwrap().assignments[0].task.clone();
    assert!(harness.aws.kill_task(&task, FinalLine::Written));
    harness.run_to_end().await;
    assert_eq!(harness.outcome(), Some(Outcome::Succeeded), "{:?}", harness.status().run);
    assert_eq!(failure(&harness).last_lines, Some(vec![]));
    assert_eq!(failure_notes(&harness).len(), 1, "{:?}", failure_notes(&harness));
    harness.assert_nothing_left();
}

#[tokio::test]
async fn the_last_log_lines_are_read_even_if_the_run_ends_at_once() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.set_start_failure(Some(NO_IMAGE));
    harness
        .run_until(s(300), |status| {
            status.generators.as_ref().is_some_and(|generators| generators.last_failure.is_some())
        })
        .await;
    harness.request(r#"{"verb":"abort","run":1,"id":"now"}"#);
    harness.run_to_end().await;
    assert_eq!(harness.outcome(), Some(Outcome::Aborted));
    assert!(failure(&harness).last_lines.is_some());
    assert_eq!(failure_notes(&harness).len(), 1, "{:?}", failure_notes(&harness));
    harness.assert_nothing_left();
}

/// AWS accepts the calls, but the stream's target stays unchanged.
#[tokio::test]
async fn warm_throughput_requests_are_bounded() {
    let mut harness = Harness::new(warm_spec());
    harness.aws.cap_warm_throughput(40);
    harness.run_to_end().await;
    let run = harness.status().run.unwrap();
    assert_eq!((run.outcome, run.reason), (Some(Outcome::Failed), Some(Reason::WarmThroughputTimeout)));
    let message = run.message.unwrap();
    assert!(
        message.starts_with(
            "AWS accepted 3 requests for 100 MiB/s of warm throughput, but the stream's target is 40 MiB/s"
        ),
        "{message}"
    );
    harness.assert_nothing_left();
}

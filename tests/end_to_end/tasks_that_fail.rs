//! Generator processes that hang or are killed repeatedly.

use std::sync::Arc;
use std::time::Duration;

use kinesis_demo_api::Stage;
use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_testing::totals::assert_balanced;
use nix::sys::signal::Signal;

use crate::faults::{ENDS_WITHIN, FaultyCluster, Run, accepted, condition};

/// From the last log line of a task until another task has its slot: the silence limit, a task
/// start, a change of slots.
const REPLACED_WITHIN: Duration = Duration::from_secs(40);

pub async fn a_task_hangs(on: Arc<FaultyCluster>) {
    let run = Run::apply(&on, "hanging", &[(60, 100)]).await;
    let status = run.wait_for_traffic().await;
    let hanging = status.control.unwrap().assignments[0].task.clone();
    assert_eq!(run.signal_tasks(Signal::SIGSTOP).await, 1);
    let status = run
        .wait(REPLACED_WITHIN, |status| {
            status.generators.as_ref().is_some_and(|generators| generators.replaced == 1)
        })
        .await;
    let before = accepted(&status);
    let status = run.wait(Duration::from_secs(30), |status| accepted(status) > before).await;
    let holders = status.control.unwrap().assignments;
    let has_slot = |assignment: &&kinesis_demo_api::status::Assignment| assignment.until.is_none();
    assert!(holders.iter().filter(has_slot).all(|assignment| assignment.task != hanging), "{holders:?}");
    run.wait_for_event("SilentTasksReplaced").await;
    let ended = run.wait_until_over(ENDS_WITHIN).await;
    // The records that the task did not send before it was replaced are missing, and this is
    // reported.
    ended.assert_failed(Reason::ScheduleNotOffered);
    assert!(ended.stored > 2_000, "only {} of 6000 records", ended.stored);
    run.assert_nothing_left().await;
}

pub async fn tasks_are_killed_repeatedly(on: Arc<FaultyCluster>) {
    let run = Run::apply(&on, "killed", &[(30, 100)]).await;
    run.wait_for_traffic().await;
    let mut kills = 0;
    let killing = async {
        loop {
            kills += run.signal_tasks(Signal::SIGKILL).await;
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
    };
    tokio::select! {
        () = killing => {}
        _ = run.wait_for_stage(ENDS_WITHIN, Stage::Draining) => {}
    }
    assert!(kills >= 3, "{kills} kills");
    let ended = run.wait_until_over(ENDS_WITHIN).await;
    assert_balanced(ended.totals());
    ended.assert_failed(Reason::ScheduleNotOffered);
    assert_eq!(condition(&ended.status, ConditionType::TrafficDelivered).status, ConditionStatus::False);
    run.assert_nothing_left().await;
    // The log group is deleted with everything else, but the status still says how the tasks ended.
    let generators = ended.status.generators.unwrap();
    let failure = generators.last_failure.clone().unwrap();
    assert!(generators.failed >= 3, "{generators:?}");
    assert!(failure.message.contains("exit code 137"), "{failure:?}");
    assert!(
        !failure.last_lines.as_ref().unwrap().is_empty(),
        "the last log lines of the generator are missing"
    );
    assert!(ended.status.run.unwrap().message.unwrap().contains(&failure.task));
    run.wait_for_event("TaskFailed").await;
}

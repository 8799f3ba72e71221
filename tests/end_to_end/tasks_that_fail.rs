//! Generator processes that hang, or are killed again and again.

use std::sync::Arc;
use std::time::Duration;

use kinesis_demo_api::Stage;
use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use nix::sys::signal::Signal;

use crate::faults::{ENDS_WITHIN, FaultyCluster, Run, accepted, condition};
use crate::local_cluster::assert_balanced;

/// From a task's last line until another has its slot: silence, a start, a change of slots.
const REPLACED_WITHIN: Duration = Duration::from_secs(40);

pub async fn a_task_hangs(on: Arc<FaultyCluster>) {
    let run = Run::apply(&on, "hanging", &[(60, 100)]).await;
    let status = run.wait_for_traffic().await;
    let hanging = status.control.unwrap().assignments[0].task.clone();
    assert_eq!(run.signal_tasks(Signal::SIGSTOP).await, 1);
    let status = run
        .wait(REPLACED_WITHIN, |status| status.generators.as_ref().is_some_and(|held| held.replaced == 1))
        .await;
    let before = accepted(&status);
    let status = run.wait(Duration::from_secs(30), |status| accepted(status) > before).await;
    let holders = status.control.unwrap().assignments;
    let has_slot = |held: &&kinesis_demo_api::status::Assignment| held.until.is_none();
    assert!(holders.iter().filter(has_slot).all(|held| held.task != hanging), "{holders:?}");
    run.wait_for_event("SilentTasksReplaced").await;
    let ended = run.wait_until_over(ENDS_WITHIN).await;
    // What it did not send while nobody knew is missing, and is told.
    ended.assert_failed(Reason::ScheduleNotOffered);
    assert!(ended.stored > 2_000, "{} of 6000 records", ended.stored);
    run.assert_nothing_left().await;
}

pub async fn tasks_are_killed_again_and_again(on: Arc<FaultyCluster>) {
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
    // The log group is gone with all else; how the tasks ended is still known.
    let generators = ended.status.generators.unwrap();
    let failure = generators.last_failure.clone().unwrap();
    assert!(generators.failed >= 3, "{generators:?}");
    assert!(failure.message.contains("exit code 137"), "{failure:?}");
    assert!(!failure.last_lines.as_ref().unwrap().is_empty(), "what the generator logs besides its ledger");
    assert!(ended.status.run.unwrap().message.unwrap().contains(&failure.task));
    run.wait_for_event("TaskFailed").await;
}

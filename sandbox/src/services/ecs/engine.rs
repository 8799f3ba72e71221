//! The loop that advances ECS in time and has the runner carry out the effects. In: the clock's
//! ticks and the runner's reports. Out: tasks launched and ended. The only link between the state
//! and the runner.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Ecs;
use super::launch::{TaskEnvironment, prepare};
use super::state::{self, Effect};
use crate::task_runner::{StartFailure, TaskReport, TaskRunner};

/// The tick interval. It is short compared with the modelled delays at usual speeds, and long
/// compared with the work of one tick.
const TICK: Duration = Duration::from_millis(25);
/// The time limit for tasks to end when the sandbox stops, in real time. Remaining tasks are
/// killed.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// The background loop of ECS. Dropping it ends the tasks in the background; [`Engine::stop`] also
/// waits until they have ended.
pub struct Engine {
    pub(super) stopping: CancellationToken,
    pub(super) task: JoinHandle<()>,
}

impl Engine {
    /// Ends all tasks: SIGTERM, then SIGKILL. Returns when none is left.
    pub async fn stop(mut self) {
        self.stopping.cancel();
        if let Err(error) = (&mut self.task).await {
            tracing::warn!(%error, "the ECS loop panicked; tasks may still be running");
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

/// Runs until `stop`, then ends all tasks.
pub(super) async fn run(
    ecs: Arc<Ecs>,
    runner: Arc<dyn TaskRunner>,
    mut reports: mpsc::UnboundedReceiver<TaskReport>,
    environment: TaskEnvironment,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => {}
            Some(report) = reports.recv() => ecs.record(report),
        }
        // Record all reports first, so that the step sees the current state.
        while let Ok(report) = reports.try_recv() {
            ecs.record(report);
        }
        let now = ecs.clock.now();
        let effects = state::step(&mut ecs.lock(), now);
        for effect in effects {
            match effect {
                Effect::Start { region, task } => match prepare(&ecs, &region, &task, &environment) {
                    Ok(launch) => runner.launch(launch).await,
                    Err(reason) => {
                        ecs.record(TaskReport::FailedToStart {
                            task,
                            failure: StartFailure::of_task(reason),
                        });
                    }
                },
                Effect::Terminate { task } => runner.terminate(&task),
                Effect::Kill { task } => runner.kill(&task),
            }
        }
    }
    end_all(&ecs, runner.as_ref(), reports, ticks).await;
}

async fn end_all(
    ecs: &Ecs,
    runner: &dyn TaskRunner,
    mut reports: mpsc::UnboundedReceiver<TaskReport>,
    mut ticks: tokio::time::Interval,
) {
    runner.remaining_tasks().iter().for_each(|task| runner.terminate(task));
    let timeout = tokio::time::sleep(SHUTDOWN_TIMEOUT);
    tokio::pin!(timeout);
    let mut killed = false;
    while !runner.remaining_tasks().is_empty() {
        tokio::select! {
            Some(report) = reports.recv() => ecs.record(report),
            _ = ticks.tick() => {}
            () = &mut timeout, if !killed => {
                killed = true;
                runner.remaining_tasks().iter().for_each(|task| runner.kill(task));
            }
        }
    }
    while let Ok(report) = reports.try_recv() {
        ecs.record(report);
    }
}

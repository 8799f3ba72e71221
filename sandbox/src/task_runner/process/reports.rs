//! Reports in the order of the runner's contract: a container that ends while its task is still
//! being started is reported after the start. In: reports. Out: the same, in order. No I/O.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use crate::task_runner::TaskReport;

/// The channel to ECS, and what is held back for tasks that are being started.
#[derive(Debug)]
pub(super) struct Reports {
    sender: mpsc::UnboundedSender<TaskReport>,
    held: Mutex<HashMap<String, Vec<TaskReport>>>,
}

impl Reports {
    pub fn new(sender: mpsc::UnboundedSender<TaskReport>) -> Self {
        Self { sender, held: Mutex::default() }
    }

    /// Holds back the exits of a task until [`Reports::start`].
    pub fn hold(&self, task: &str) {
        self.lock().insert(task.to_owned(), Vec::new());
    }

    /// Reports how the start of a task ended, and then the exits that were held back.
    pub fn start(&self, report: TaskReport) {
        // Released under the lock, so that no later exit overtakes one that was held back.
        let mut held = self.lock();
        let exits = held.remove(report.task()).unwrap_or_default();
        self.send(report);
        exits.into_iter().for_each(|exit| self.send(exit));
    }

    /// Reports that a container ended.
    pub fn exit(&self, report: TaskReport) {
        let mut held = self.lock();
        match held.get_mut(report.task()) {
            Some(exits) => exits.push(report),
            None => self.send(report),
        }
    }

    fn send(&self, report: TaskReport) {
        // Fails only if the sandbox is stopping.
        let _ = self.sender.send(report);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<TaskReport>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task_runner::ContainerExit;

    #[test]
    fn no_exit_is_reported_before_the_start() {
        let (sender, mut received) = mpsc::unbounded_channel();
        let reports = Reports::new(sender);
        let started = |task: &str| TaskReport::Started { task: task.to_owned() };
        let exited = |task: &str, container| TaskReport::Exited {
            task: task.to_owned(),
            container,
            exit: ContainerExit { code: Some(0), reason: None },
        };
        reports.hold("a");
        reports.exit(exited("a", 0));
        reports.exit(exited("b", 0));
        reports.start(started("a"));
        reports.exit(exited("a", 1));
        let all: Vec<TaskReport> = std::iter::from_fn(|| received.try_recv().ok()).collect();
        assert_eq!(all, [exited("b", 0), started("a"), exited("a", 0), exited("a", 1)]);
    }
}

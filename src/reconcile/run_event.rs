//! Events: one constructor for each kind of Event that users see. Pure.

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::conditions::Reason;
use kinesis_demo_api::control::TaskId;
use kinesis_demo_api::status::{Interruption, Outcome, ResourceType, Stage, TaskFailure};

use crate::aws::AwsError;
use crate::kubernetes::events::{RunEvent, Severity};

impl RunEvent {
    fn normal(reason: impl ToString, action: &str, note: String) -> Self {
        Self { severity: Severity::Normal, reason: reason.to_string(), action: action.to_owned(), note }
    }

    fn warning(reason: impl ToString, action: &str, note: String) -> Self {
        Self { severity: Severity::Warning, reason: reason.to_string(), action: action.to_owned(), note }
    }

    /// The run entered a stage. The reason names the stage.
    pub fn entered(run: u32, stage: Stage, detail: &str) -> Self {
        let note = match detail {
            "" => format!("run {run} entered {stage}"),
            _ => of_run(run, detail),
        };
        let action = format!("EnterStage/run-{run}");
        match stage {
            Stage::Failed => Self::warning(stage, &action, note),
            _ => Self::normal(stage, &action, note),
        }
    }

    /// A traffic phase started.
    pub fn phase_started(run: u32, name: &str, index: usize, of: usize, rate: u32) -> Self {
        let action = format!("StartPhase/run-{run}/{name}");
        Self::normal(
            "PhaseStarted",
            &action,
            format!("phase {name} ({index} of {of}): {rate} records per second"),
        )
    }

    /// The outcome of the run was decided.
    pub fn decided(run: u32, outcome: Outcome, reason: Reason, message: &str) -> Self {
        let note = of_run(run, message);
        let action = format!("EndTraffic/run-{run}");
        match outcome {
            Outcome::Failed => Self::warning(reason, &action, note),
            _ => Self::normal(reason, &action, note),
        }
    }

    /// The run is blocked until someone acts.
    pub fn blocked(reason: Reason, message: &str) -> Self {
        Self::warning(reason, "CheckPrerequisites", message.to_owned())
    }

    /// AWS refused a call.
    pub fn refused(reason: Reason, error: &AwsError) -> Self {
        let AwsError { operation, code, class, .. } = error;
        let action = format!("CallAws/{operation}/{}", code.as_deref().unwrap_or(class.name()));
        Self::warning(reason, &action, error.to_string())
    }

    /// No task sends, because the control document was not renewed in time.
    pub fn control_lapsed(from: MicroTime) -> Self {
        Self::warning(
            "ControlLapsed",
            &format!("RenewControl/{from}"),
            format!(
                "no task has sent since {from}: the control document was not renewed in time; the schedule is paused"
            ),
        )
    }

    /// Traffic continues after the control document had expired, so the schedule moved.
    pub fn schedule_moved(interruption: Interruption) -> Self {
        Self::warning(
            "ScheduleMoved",
            &format!("ResumeTraffic/{}", interruption.from),
            interruption.describe(),
        )
    }

    /// The tasks that hold slots changed.
    pub fn slots_changed(admitted: usize, version: u64) -> Self {
        Self::normal(
            "SlotsChanged",
            &format!("PublishControl/version-{version}"),
            match admitted {
                1 => format!("1 task sends from control version {version} on"),
                _ => format!("{admitted} tasks send from control version {version} on"),
            },
        )
    }

    /// The desired count of the service changed.
    pub fn resized(from: u32, to: u32) -> Self {
        Self::normal(
            "ServiceResized",
            &format!("ResizeService/{from}-to-{to}"),
            format!("generator tasks: {from} to {to}"),
        )
    }

    /// CloudWatch rejected the dashboard or the operator's metrics. The run continues without them.
    pub fn dashboard_not_published(run: u32, phases: u32, problem: &str) -> Self {
        Self::warning(
            "DashboardNotPublished",
            &format!("PublishDashboard/run-{run}/phase-{phases}"),
            format!("{problem}; the run continues without it, and the operator retries"),
        )
    }

    /// Someone else changed or deleted the control parameter. It was written again.
    pub fn control_restored(parameter: &str, version: u64) -> Self {
        Self::warning(
            "ControlRestored",
            &format!("PublishControl/version-{version}"),
            format!("someone else changed or deleted parameter {parameter}; the operator wrote it again"),
        )
    }

    /// Someone else changed or deleted the scheduled scale-to-zero. It was created again.
    pub fn scale_to_zero_restored(service: &str) -> Self {
        Self::warning(
            "ScaleToZeroRestored",
            "PutScheduledAction",
            format!(
                "someone else changed or deleted the scheduled scale-to-zero of service {service}; the operator created it again"
            ),
        )
    }

    /// Tasks that hang lost their slots to other tasks.
    pub fn silent_tasks_replaced(tasks: &[TaskId], version: u64) -> Self {
        let names: Vec<&str> = tasks.iter().map(TaskId::as_str).collect();
        Self::warning(
            "SilentTasksReplaced",
            &format!("PublishControl/version-{version}"),
            match names.as_slice() {
                [name] => {
                    format!("task {name} no longer writes ledger lines; another task sends in its place")
                }
                _ => format!(
                    "tasks {} no longer write ledger lines; other tasks send in their place",
                    names.join(", ")
                ),
            },
        )
    }

    /// A task stopped without a request to stop.
    pub fn task_failed(run: u32, failure: &TaskFailure) -> Self {
        let action = format!("RunTask/run-{run}/{}", failure.task);
        Self::warning("TaskFailed", &action, failure.describe())
    }

    /// The stream throttles records of a phase for the first time in it.
    pub fn throttling_began(run: u32, phase: &str) -> Self {
        Self::warning(
            "ThrottlingBegan",
            &format!("SendRecords/run-{run}/{phase}"),
            format!("phase {phase}: the stream throttles records; the tasks retry them for a limited time"),
        )
    }

    /// Fewer tasks run than the phase needs.
    pub fn tasks_are_missing(run: u32, phase: &str, running: u32, needed: u32) -> Self {
        Self::warning(
            "TasksMissing",
            &format!("ScaleService/run-{run}/{phase}"),
            match running {
                0 => {
                    format!(
                        "no task runs, and the phase needs {needed}; records that are not sent now are not sent later"
                    )
                }
                1 => format!(
                    "1 of {needed} tasks runs; it sends up to its cap, and the rest is not sent later"
                ),
                _ => format!(
                    "{running} of {needed} tasks run; they send up to their cap, and the rest is not sent later"
                ),
            },
        )
    }

    /// Scheduled records are missing from the records that are known to have been sent.
    pub fn records_missing(run: u32, message: &str) -> Self {
        Self::warning("RecordsMissing", &format!("SettleTotals/run-{run}"), message.to_owned())
    }

    /// A run has ended, and some of its resources could not be deleted.
    pub fn removal_failed(run: u32, message: &str) -> Self {
        Self::warning(Reason::RemovalFailed, &format!("CleanUp/run-{run}"), message.to_owned())
    }

    /// The operator's clock and AWS's differ.
    pub fn clocks_differ(message: &str) -> Self {
        Self::warning(Reason::ClocksDiffer, "CompareClocks", message.to_owned())
    }

    /// A request was answered.
    pub fn request_answered(id: &str, accepted: bool, message: &str) -> Self {
        let action = format!("AnswerRequest/{id}");
        match accepted {
            true => Self::normal("RequestAccepted", &action, message.to_owned()),
            false => Self::warning("RequestRefused", &action, message.to_owned()),
        }
    }

    /// A resource no longer exists.
    pub fn removed(resource: ResourceType, arn: &str) -> Self {
        let name = arn.rsplit([':', '/']).next().unwrap_or(arn);
        Self::normal(
            "ResourceRemoved",
            &format!("CleanUp/{resource:?}/{name}"),
            format!("{resource} {arn} no longer exists"),
        )
    }

    /// A resource with one of our names belongs to someone else and was left alone.
    pub fn left_alone(resource: ResourceType, arn: &str) -> Self {
        Self::warning(
            Reason::OwnershipConflict,
            &format!("CleanUp/{resource:?}"),
            format!("{resource} {arn} does not carry this object's tag and was left alone"),
        )
    }

    /// The object is deleted, but its resources are not.
    pub fn abandoned(resources: &str) -> Self {
        Self::warning(Reason::ResourcesAbandoned, "CleanUp", format!("left behind on request: {resources}"))
    }
}

/// A message about a run, which it names once.
fn of_run(run: u32, message: &str) -> String {
    match message.strip_prefix(&format!("run {run} ")) {
        Some(_) => message.to_owned(),
        None => format!("run {run}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(run_event: &RunEvent) -> (&str, &str) {
        (&run_event.reason, &run_event.note)
    }

    #[test]
    fn an_event_names_its_run_once_and_does_not_repeat_its_reason() {
        let aborted = "run 1 was aborted on request";
        let decided = RunEvent::decided(1, Outcome::Aborted, Reason::AbortRequested, aborted);
        assert_eq!(note(&decided), ("AbortRequested", aborted));
        assert_eq!(note(&RunEvent::entered(1, Stage::Draining, aborted)), ("Draining", aborted));
        assert_eq!(note(&RunEvent::entered(1, Stage::Aborted, aborted)), ("Aborted", aborted));
        assert_eq!(note(&RunEvent::entered(12, Stage::Draining, "run 1 of 2")).1, "run 12: run 1 of 2");
        assert_eq!(note(&RunEvent::entered(1, Stage::Warming, "")), ("Warming", "run 1 entered Warming"));
        let complete =
            RunEvent::decided(2, Outcome::Succeeded, Reason::Completed, "the schedule is complete");
        assert_eq!(note(&complete), ("Completed", "run 2: the schedule is complete"));
    }

    #[test]
    fn events_use_singular_and_plural_correctly() {
        let table = [
            (RunEvent::slots_changed(0, 3), "0 tasks send from control version 3 on"),
            (RunEvent::slots_changed(1, 3), "1 task sends from control version 3 on"),
            (RunEvent::slots_changed(2, 3), "2 tasks send from control version 3 on"),
            (
                RunEvent::tasks_are_missing(1, "peak", 0, 1),
                "no task runs, and the phase needs 1; records that are not sent now are not sent later",
            ),
            (
                RunEvent::tasks_are_missing(1, "peak", 1, 4),
                "1 of 4 tasks runs; it sends up to its cap, and the rest is not sent later",
            ),
            (
                RunEvent::tasks_are_missing(1, "peak", 3, 4),
                "3 of 4 tasks run; they send up to their cap, and the rest is not sent later",
            ),
        ];
        for (run_event, expected) in table {
            assert_eq!(run_event.note, expected);
        }
        let tasks = ["0f", "1a"].map(|id| TaskId::from_arn(&format!("arn:aws:ecs:r:a:task/c/{id}{:030}", 0)));
        let one = RunEvent::silent_tasks_replaced(&tasks[..1], 2).note;
        assert!(one.ends_with("no longer writes ledger lines; another task sends in its place"), "{one}");
        let two = RunEvent::silent_tasks_replaced(&tasks, 2).note;
        assert!(two.ends_with("no longer write ledger lines; other tasks send in their place"), "{two}");
    }
}

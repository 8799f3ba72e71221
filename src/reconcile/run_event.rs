//! Events: one constructor for each thing that users are told about. Pure.

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::conditions::Reason;
use kinesis_demo_api::control::TaskId;
use kinesis_demo_api::status::{Interruption, Outcome, ResourceType, Stage, TaskFailure};

use crate::aws::AwsError;

/// Whether an Event reports progress or a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Normal,
    Warning,
}

/// An Event to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEvent {
    pub severity: Severity,
    /// One word, PascalCase.
    pub reason: String,
    /// What was done, one word, and the occasion: events that differ in neither reason nor action are counted up by the API as
    /// one series, and keep the first one's note.
    pub action: String,
    /// For people.
    pub note: String,
}

impl RunEvent {
    fn normal(reason: impl ToString, action: &str, note: String) -> Self {
        Self { severity: Severity::Normal, reason: reason.to_string(), action: action.to_owned(), note }
    }

    fn warning(reason: impl ToString, action: &str, note: String) -> Self {
        Self { severity: Severity::Warning, reason: reason.to_string(), action: action.to_owned(), note }
    }

    /// The run entered a stage.
    pub fn entered(run: u32, stage: Stage, detail: &str) -> Self {
        let note = if detail.is_empty() {
            format!("run {run}: {stage}")
        } else {
            format!("run {run}: {stage}: {detail}")
        };
        let action = format!("EnterStage/run-{run}");
        match stage {
            Stage::Failed => Self::warning(stage, &action, note),
            _ => Self::normal(stage, &action, note),
        }
    }

    /// A traffic phase began.
    pub fn phase_started(run: u32, name: &str, index: usize, of: usize, rate: u32) -> Self {
        let action = format!("StartPhase/run-{run}/{name}");
        Self::normal(
            "PhaseStarted",
            &action,
            format!("phase {name} ({index} of {of}): {rate} records per second"),
        )
    }

    /// The run was decided.
    pub fn decided(run: u32, outcome: Outcome, reason: Reason, message: &str) -> Self {
        let note = format!("run {run}: {message}");
        let action = format!("EndTraffic/run-{run}");
        match outcome {
            Outcome::Failed => Self::warning(reason, &action, note),
            _ => Self::normal(reason, &action, note),
        }
    }

    /// Something stands in the way, and nothing will happen until it is out of it.
    pub fn blocked(reason: Reason, message: &str) -> Self {
        Self::warning(reason, "CheckPrerequisites", message.to_owned())
    }

    /// AWS refused a call.
    pub fn refused(reason: Reason, error: &AwsError) -> Self {
        let AwsError { operation, code, class, .. } = error;
        let action = format!("CallAws/{operation}/{}", code.as_deref().unwrap_or(class.name()));
        Self::warning(reason, &action, error.to_string())
    }

    /// Nobody sends any more, because the control document could not be renewed in time.
    pub fn control_lapsed(from: MicroTime) -> Self {
        Self::warning(
            "ControlLapsed",
            &format!("RenewControl/{from}"),
            format!(
                "no task sends since {from}: the control document was not renewed in time; the schedule waits"
            ),
        )
    }

    /// Traffic goes on after control had lapsed; the schedule moved.
    pub fn schedule_moved(stop: Interruption) -> Self {
        let seconds = stop.until.since(stop.from).as_secs();
        Self::warning(
            "ScheduleMoved",
            &format!("ResumeTraffic/{}", stop.from),
            format!("control had lapsed; the remaining schedule moved by {seconds} s"),
        )
    }

    /// Tasks got or lost slots.
    pub fn slots_changed(admitted: usize, version: u64) -> Self {
        Self::normal(
            "SlotsChanged",
            &format!("PublishControl/version-{version}"),
            format!("{admitted} tasks send from control version {version} on"),
        )
    }

    /// The service got another size.
    pub fn resized(from: u32, to: u32) -> Self {
        Self::normal(
            "ServiceResized",
            &format!("ResizeService/{from}-to-{to}"),
            format!("generator tasks: {from} to {to}"),
        )
    }

    /// CloudWatch did not take the dashboard, or the operator's metrics. The run goes on without.
    pub fn not_shown(run: u32, phases: u32, problem: &str) -> Self {
        Self::warning(
            "DashboardNotPublished",
            &format!("PublishDashboard/run-{run}/phase-{phases}"),
            format!("{problem}; the run goes on without, and it is tried again"),
        )
    }

    /// Somebody changed or removed the control parameter; it says again what it should.
    pub fn control_put_back(parameter: &str, version: u64) -> Self {
        Self::warning(
            "ControlPutBack",
            &format!("PublishControl/version-{version}"),
            format!("parameter {parameter} was changed or removed by somebody else; it is written again"),
        )
    }

    /// Somebody changed or removed the scheduled scale-to-zero; it is there again.
    pub fn ceiling_put_back(service: &str) -> Self {
        Self::warning(
            "ScaleToZeroPutBack",
            "PutScheduledAction",
            format!(
                "the scheduled scale-to-zero of service {service} was changed or removed by somebody else; it is made again"
            ),
        )
    }

    /// Tasks that hang lost their slots to others.
    pub fn silent_tasks_replaced(tasks: &[TaskId], version: u64) -> Self {
        let names: Vec<&str> = tasks.iter().map(TaskId::as_str).collect();
        Self::warning(
            "SilentTasksReplaced",
            &format!("PublishControl/version-{version}"),
            format!("tasks {} write no ledger lines any more; others send in their place", names.join(", ")),
        )
    }

    /// A task stopped though nobody had asked it to.
    pub fn task_failed(run: u32, failure: &TaskFailure) -> Self {
        let action = format!("RunTask/run-{run}/{}", failure.task);
        Self::warning("TaskFailed", &action, failure.describe())
    }

    /// The stream refuses records of a phase for want of throughput, for the first time in it.
    pub fn throttling_began(run: u32, phase: &str) -> Self {
        Self::warning(
            "ThrottlingBegan",
            &format!("SendRecords/run-{run}/{phase}"),
            format!(
                "phase {phase}: the stream refuses records for want of throughput; they are sent again for a while"
            ),
        )
    }

    /// The fleet has fewer tasks than the phase needs.
    pub fn fleet_is_short(run: u32, phase: &str, running: u32, needed: u32) -> Self {
        Self::warning(
            "FleetShort",
            &format!("ScaleService/run-{run}/{phase}"),
            format!(
                "{running} of {needed} tasks run; they send up to their cap, and the rest is not made up for"
            ),
        )
    }

    /// Records that the schedule asked for are missing from what is known to have been sent.
    pub fn records_missing(run: u32, message: &str) -> Self {
        Self::warning("RecordsMissing", &format!("SettleTotals/run-{run}"), message.to_owned())
    }

    /// A run is over, and something of it is left.
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

    /// A resource is gone.
    pub fn removed(resource: ResourceType, arn: &str) -> Self {
        let name = arn.rsplit([':', '/']).next().unwrap_or(arn);
        Self::normal(
            "ResourceRemoved",
            &format!("CleanUp/{resource:?}/{name}"),
            format!("{resource} {arn} is gone"),
        )
    }

    /// A resource that looked like ours is somebody else's and was left alone.
    pub fn left_alone(resource: ResourceType, arn: &str) -> Self {
        Self::warning(
            Reason::OwnershipConflict,
            &format!("CleanUp/{resource:?}"),
            format!("{resource} {arn} does not carry this object's tag and was left alone"),
        )
    }

    /// The object goes without its resources being removed.
    pub fn abandoned(resources: &str) -> Self {
        Self::warning(Reason::ResourcesAbandoned, "CleanUp", format!("left behind on request: {resources}"))
    }
}

//! What to do next. In: the object, its plan, what was observed. Out: a decision. Pure: no client, no clock, no randomness.
//!
//! Effects carry out what the stored status already says; what a pass newly claims is carried out by a later pass, once it
//! is stored. So a crash between any two lines is harmless.

mod cleanup;
mod control;
mod dashboard;
mod draft;
mod drain;
mod fleet;
mod intake;
mod measure;
mod pending;
mod provision;
mod running;
mod start;
mod warm;

use kinesis_demo_api::allowance::Allowance;
use kinesis_demo_api::conditions::Reason;
use kinesis_demo_api::control::{ControlDocument, ControlState};
use kinesis_demo_api::plan::{Defaults, Plan};
use kinesis_demo_api::status::{ControlStatus, Effective, Outcome, RunStatus, Stage};
use kinesis_demo_api::timeline::Timeline;
use kinesis_demo_api::{KinesisDemoSpec, KinesisDemoStatus, MicroTime};

pub use dashboard::with_missed;
pub use draft::Draft;
pub use intake::{decide_first_visit, first_visit, intake};
pub use pending::{decide_pending, decide_queued, decide_refused};

use super::build::control::document;
use super::build::names::Names;
use super::build::tags::Owner;
use super::notices::Notice;
use super::observe::{Observed, World};
use crate::aws::{AwsError, NewService, NewStream, NewTaskDefinition, RunMetric, Tags};
use crate::settings::Settings;

/// What one reconcile concluded. Built by `decide`, executed by `act` and `report`.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub status: KinesisDemoStatus,
    pub effects: Vec<Effect>,
    pub notices: Vec<Notice>,
    pub finalizer: FinalizerChange,
    pub wake: Wake,
}

/// When to look again. A watched change may always come sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    At(MicroTime),
    OnChange,
}

/// What becomes of our finalizer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FinalizerChange {
    #[default]
    Keep,
    Add,
    Remove,
}

/// One write to AWS. Each is safe to repeat.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    CreateLogGroup { name: String, tags: Tags },
    CreateStream(NewStream),
    CreateParameter { name: String, text: String, tags: Tags },
    RegisterTaskDefinition(Box<NewTaskDefinition>),
    CreateService(Box<NewService>),
    PutCeiling { cluster: String, service: String, max_tasks: u32, at: MicroTime },
    UpdateWarmThroughput { arn: String, mib_per_second: u32 },
    WriteParameter { name: String, text: String },
    ResizeService { cluster: String, service: String, desired: u32 },
    ProtectTasks { cluster: String, arns: Vec<String>, minutes: u32 },
    ReleaseTasks { cluster: String, arns: Vec<String> },
    DeleteCeiling { cluster: String, service: String },
    DeleteService { cluster: String, service: String },
    DeregisterTaskDefinition { arn: String },
    DeleteTaskDefinition { arn: String },
    DeleteParameter { name: String },
    DeleteLogGroup { name: String },
    DeleteStream { arn: String },
    PutDashboard { name: String, body: String },
    PutMetrics { run_name: String, at: MicroTime, data: Vec<(RunMetric, u32)> },
    DeleteDashboard { name: String },
}

impl Effect {
    /// Whether it removes something that the run made.
    pub fn is_removal(&self) -> bool {
        matches!(
            self,
            Self::DeleteCeiling { .. }
                | Self::DeleteService { .. }
                | Self::DeregisterTaskDefinition { .. }
                | Self::DeleteTaskDefinition { .. }
                | Self::DeleteParameter { .. }
                | Self::DeleteLogGroup { .. }
                | Self::DeleteStream { .. }
                | Self::DeleteDashboard { .. }
        )
    }

    /// Whether a run goes on as well without it: it only shows what happens.
    pub fn is_dispensable(&self) -> bool {
        matches!(self, Self::PutDashboard { .. } | Self::PutMetrics { .. })
    }
}

/// The object that a decision is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
    pub uid: &'a str,
    pub generation: Option<i64>,
    pub deleting: bool,
    pub has_finalizer: bool,
    /// The request annotation's text.
    pub request: Option<&'a str>,
    /// Whether the annotation says to let the object go without removing what it made.
    pub abandon: bool,
    pub spec: &'a KinesisDemoSpec,
    pub status: &'a KinesisDemoStatus,
    /// The leadership under which we write.
    pub epoch: u64,
    pub settings: &'a Settings,
}

impl Subject<'_> {
    /// Whose the resources of `run` are.
    pub fn owner(&self, run: u32) -> Owner {
        Owner { uid: self.uid.to_owned(), object: format!("{}/{}", self.namespace, self.name), run }
    }
}

/// A subject whose run has begun: everything about it is pinned.
pub struct Case<'a> {
    pub subject: Subject<'a>,
    pub run: &'a RunStatus,
    pub effective: &'a Effective,
    pub deadline_at: MicroTime,
    pub plan: &'a Plan,
    pub names: &'a Names,
    pub now: MicroTime,
}

impl Case<'_> {
    fn owner(&self) -> Owner {
        self.subject.owner(self.run.number)
    }

    /// The tags of everything this run makes.
    fn tags(&self) -> Tags {
        self.owner().tags(self.deadline_at)
    }

    /// The schedule under `control`.
    fn timeline(&self, control: &ControlStatus) -> Timeline {
        Timeline::new(&self.plan.phases, control.traffic_starts_at, &control.stops)
    }

    /// The document that `control` means.
    fn document(&self, control: &ControlStatus) -> ControlDocument {
        document(
            control,
            &self.timeline(control),
            self.run.number,
            self.plan.cap_per_task,
            self.deadline_at,
            &self.subject.settings.timings,
        )
    }

    /// The last instant at which any task may send under `control`.
    fn traffic_ends_at(&self, control: &ControlStatus) -> MicroTime {
        let timings = &self.subject.settings.timings;
        let scheduled =
            self.timeline(control).ends_at().unwrap_or(control.traffic_starts_at).min(self.deadline_at);
        match control.state {
            ControlState::Run => scheduled,
            ControlState::Stop => scheduled.min(control.effective_at + timings.read_lease),
        }
    }
}

/// The next step of a run whose settings are pinned.
pub fn decide(case: &Case<'_>, observed: &Observed) -> Decision {
    let world: &World = &observed.world;
    let draft = Draft::new(case.subject.status);
    if let Some(message) = foreign_account(case, world) {
        let recheck_at = case.now + case.subject.settings.timings.renew_every;
        return draft
            .block(Reason::AccountNotAllowed, message, Some(recheck_at))
            .finish(&case.subject, case.now);
    }
    let mut draft = match case.subject.status.stage.unwrap_or_default() {
        Stage::Provisioning => provision::decide_provisioning(case, world, draft),
        Stage::Warming => warm::decide_warming(case, world, draft),
        Stage::Starting => start::decide_starting(case, world, draft),
        Stage::Running => running::decide_running(case, world, draft),
        Stage::Draining => drain::decide_draining(case, world, draft),
        Stage::CleaningUp => cleanup::decide_cleaning_up(case, world, draft),
        Stage::Pending | Stage::Succeeded | Stage::Failed | Stage::Aborted => draft,
    };
    dashboard::show(case, &mut draft);
    draft.finish(&case.subject, case.now)
}

/// What is said when the credentials have become another account's: what is not there is not gone then, and nothing may be made.
fn foreign_account(case: &Case<'_>, world: &World) -> Option<String> {
    let (pinned, found) = (&case.effective.account_id, world.account_id.as_ref()?);
    (pinned != found).then(|| {
        format!(
            "this run was begun in AWS account {pinned}, but the operator's credentials now belong to {found}; nothing is touched until they are {pinned}'s again"
        )
    })
}

/// What the operator allows, widened to what was accepted when the run began.
pub fn pinned_defaults(defaults: &Defaults, effective: &Effective) -> Defaults {
    Defaults {
        region: effective.region.clone(),
        regions: vec![effective.region.clone()],
        allowance: Allowance::everything(),
        max_records_per_second: u32::MAX,
        max_tasks: u32::MAX,
        max_warm_mib_per_second: u32::MAX,
        ..defaults.clone()
    }
}

/// A request that AWS calls wrong stays wrong: before the traffic ends, it ends the run. While things are being removed it is
/// tried again.
pub fn decide_invalid(case: &Case<'_>, error: &AwsError) -> Option<Decision> {
    let stage = case.subject.status.stage.unwrap_or_default();
    matches!(stage, Stage::Provisioning | Stage::Warming | Stage::Starting).then(|| {
        let draft = Draft::new(case.subject.status).end(
            Outcome::Failed,
            Reason::RequestRefused,
            error.to_string(),
            case.now,
        );
        draft.finish(&case.subject, case.now)
    })
}

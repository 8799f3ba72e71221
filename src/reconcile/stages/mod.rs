//! What to do next. In: the object, its plan, what was observed. Out: a decision. Pure: no client, no clock, no randomness.
//!
//! Effects carry out what the stored status already says; what a pass newly claims is carried out by a later pass, once it
//! is stored. So a crash between any two lines is harmless.

mod cleanup;
pub mod control;
mod dashboard;
mod decision_builder;
mod drain;
pub mod parameter;
mod pending;
mod provision;
mod requests;
mod running;
mod start;
pub mod task_failures;
mod task_scaling;
mod traffic_status;
mod warm;

use std::collections::BTreeSet;
use std::time::Duration;

use kinesis_demo_api::accounting::AccountingInputs;
use kinesis_demo_api::allow_list::AllowList;
use kinesis_demo_api::conditions::{self, ConditionType, Reason};
use kinesis_demo_api::control::{ControlDocument, ControlState};
use kinesis_demo_api::ledger::Ledgers;
use kinesis_demo_api::plan::{Defaults, Plan};
use kinesis_demo_api::status::{ControlStatus, Effective, Outcome, ResourceType, RunStatus, Stage};
use kinesis_demo_api::timeline::Timeline;
use kinesis_demo_api::{KinesisDemoSpec, KinesisDemoStatus, MicroTime};

pub use cleanup::{Removal, decide_leftovers, left_message};
pub use dashboard::with_missed;
pub use decision_builder::DecisionBuilder;
pub use pending::{
    decide_pending, decide_preflight_refused, decide_queued, decide_refused, decide_unreadable,
};
pub use requests::{decide_first_visit, first_visit, intake};

use super::memory::KnownDocument;
use super::observe::ObservedState;
use super::resources::control::document;
use super::resources::names::Names;
use super::resources::tags::Owner;
use super::run_event::RunEvent;
use crate::aws::{AwsError, NewService, NewStream, NewTaskDefinition, RunMetric, StreamDescription, Tags};
use crate::settings::{Settings, Timings};

/// What one reconcile concluded. Built by `decide`, executed by `act` and `report`.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub status: KinesisDemoStatus,
    pub effects: Vec<Effect>,
    pub run_events: Vec<RunEvent>,
    pub finalizer: FinalizerChange,
    pub wake: Wake,
    /// What is removed without having been seen, because the look at it was refused: AWS's answer to
    /// the removal tells whether it is gone.
    pub unseen: BTreeSet<ResourceType>,
    /// The earlier run whose leftovers the removals are about; otherwise they are the run's own.
    pub leftover_run: Option<u32>,
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
    PutLogRetention { name: String },
    CreateStream(NewStream),
    CreateParameter { name: String, text: String, tags: Tags },
    RegisterTaskDefinition(Box<NewTaskDefinition>),
    CreateService(Box<NewService>),
    PutScheduledScaleToZero { cluster: String, service: String, max_tasks: u32, at: MicroTime },
    UpdateWarmThroughput { arn: String, mib_per_second: u32 },
    WriteParameter { name: String, text: String, tags: Tags },
    ResizeService { cluster: String, service: String, desired: u32 },
    ProtectTasks { cluster: String, arns: Vec<String>, minutes: u32 },
    ReleaseTasks { cluster: String, arns: Vec<String> },
    DeleteScheduledScaleToZero { cluster: String, service: String },
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
        self.removes().is_some()
    }

    /// Whether it makes something: an answer that the thing exists already is as good as success.
    pub fn is_creation(&self) -> bool {
        matches!(
            self,
            Self::CreateLogGroup { .. }
                | Self::CreateStream(_)
                | Self::CreateParameter { .. }
                | Self::CreateService(_)
        )
    }

    /// Whether what comes after it in a reconcile must not be done without it.
    pub fn is_needed_by_the_next(&self) -> bool {
        matches!(
            self,
            Self::CreateLogGroup { .. }
                | Self::CreateStream(_)
                | Self::RegisterTaskDefinition(_)
                | Self::CreateService(_)
                | Self::ProtectTasks { .. }
        )
    }

    /// Whether a run goes on as well without it: it only shows what happens.
    pub fn is_optional(&self) -> bool {
        matches!(self, Self::PutDashboard { .. } | Self::PutMetrics { .. })
    }

    /// The kind of thing that a removal removes.
    pub fn removes(&self) -> Option<ResourceType> {
        Some(match self {
            Self::DeleteScheduledScaleToZero { .. } => ResourceType::ScheduledScaleToZero,
            Self::DeleteService { .. } => ResourceType::Service,
            Self::DeregisterTaskDefinition { .. } | Self::DeleteTaskDefinition { .. } => {
                ResourceType::TaskDefinition
            }
            Self::DeleteParameter { .. } => ResourceType::ControlParameter,
            Self::DeleteLogGroup { .. } => ResourceType::LogGroup,
            Self::DeleteStream { .. } | Self::UpdateWarmThroughput { mib_per_second: 0, .. } => {
                ResourceType::Stream
            }
            Self::DeleteDashboard { .. } => ResourceType::Dashboard,
            _ => return None,
        })
    }

    /// The API operation that it comes down to, and what that is about.
    pub fn name(&self) -> (&'static str, String) {
        let (operation, target) = match self {
            Self::CreateLogGroup { name, .. } => ("CreateLogGroup", name),
            Self::PutLogRetention { name } => ("PutRetentionPolicy", name),
            Self::CreateStream(stream) => ("CreateStream", &stream.name),
            Self::CreateParameter { name, .. } | Self::WriteParameter { name, .. } => ("PutParameter", name),
            Self::RegisterTaskDefinition(definition) => ("RegisterTaskDefinition", &definition.family),
            Self::CreateService(service) => ("CreateService", &service.name),
            Self::PutScheduledScaleToZero { service, .. } => ("PutScheduledAction", service),
            Self::UpdateWarmThroughput { arn, .. } => ("UpdateStreamWarmThroughput", arn),
            Self::ResizeService { service, .. } => ("UpdateService", service),
            Self::ProtectTasks { cluster, .. } | Self::ReleaseTasks { cluster, .. } => {
                ("UpdateTaskProtection", cluster)
            }
            Self::DeleteScheduledScaleToZero { service, .. } => ("DeregisterScalableTarget", service),
            Self::DeleteService { service, .. } => ("DeleteService", service),
            Self::DeregisterTaskDefinition { arn } => ("DeregisterTaskDefinition", arn),
            Self::DeleteTaskDefinition { arn } => ("DeleteTaskDefinitions", arn),
            Self::DeleteParameter { name } => ("DeleteParameter", name),
            Self::DeleteLogGroup { name } => ("DeleteLogGroup", name),
            Self::DeleteStream { arn } => ("DeleteStream", arn),
            Self::PutDashboard { name, .. } => ("PutDashboard", name),
            Self::PutMetrics { run_name, .. } => ("PutMetricData", run_name),
            Self::DeleteDashboard { name } => ("DeleteDashboards", name),
        };
        (operation, target.clone())
    }

    /// Under what its retries are paced: another size of a service is another write.
    pub fn key(&self) -> String {
        let (operation, target) = self.name();
        match self {
            Self::ResizeService { desired, .. } => format!("{operation} {target} {desired}"),
            Self::ProtectTasks { .. } => format!("{operation} {target} on"),
            _ => format!("{operation} {target}"),
        }
    }
}

/// The object that a decision is about.
#[derive(Clone, Copy, Debug)]
pub struct ObjectContext<'a> {
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
    /// Why the stored spec does not parse, if so; `spec` is then the one that the run has pinned.
    pub unreadable: Option<&'a str>,
    pub status: &'a KinesisDemoStatus,
    /// The leadership under which we write.
    pub epoch: u64,
    pub settings: &'a Settings,
}

impl ObjectContext<'_> {
    /// Whose the resources of `run` are.
    pub fn owner(&self, run: u32) -> Owner {
        Owner { uid: self.uid.to_owned(), object: format!("{}/{}", self.namespace, self.name), run }
    }
}

/// A subject whose run has begun: everything about it is pinned.
pub struct RunContext<'a> {
    pub object: ObjectContext<'a>,
    pub run: &'a RunStatus,
    pub effective: &'a Effective,
    pub deadline_at: MicroTime,
    pub plan: &'a Plan,
    pub names: &'a Names,
    /// The spans that the run's control is built from, as often as its tasks read.
    pub timings: &'a Timings,
    /// How often they should read from now on, in seconds, by what all runs of the Region ask for.
    pub wanted_read_every: u32,
    /// The control document as this leader knows it.
    pub known: Option<&'a KnownDocument>,
    pub now: MicroTime,
}

impl RunContext<'_> {
    fn owner(&self) -> Owner {
        self.object.owner(self.run.number)
    }

    /// The tags of everything this run makes.
    fn tags(&self) -> Tags {
        self.owner().tags(self.deadline_at)
    }

    /// Whether a stream of the run's name is not the one that the run made: somebody deleted that,
    /// and made another.
    fn is_another_stream(&self, seen: &StreamDescription) -> bool {
        let made_at = self.object.status.stream.as_ref().and_then(|held| held.created_at);
        is_later(made_at, seen.created_at)
    }

    /// The write that gives the service this size.
    fn resize(&self, desired: u32) -> Effect {
        let Names { cluster, service, .. } = self.names;
        Effect::ResizeService { cluster: cluster.clone(), service: service.clone(), desired }
    }

    /// The write that has AWS itself take the service to zero at the deadline.
    fn put_scheduled_scale_to_zero(&self) -> Effect {
        let Names { cluster, service, .. } = self.names;
        let (cluster, service) = (cluster.clone(), service.clone());
        Effect::PutScheduledScaleToZero {
            cluster,
            service,
            max_tasks: self.plan.most_tasks,
            at: self.deadline_at,
        }
    }

    /// The schedule under `control`.
    fn timeline(&self, control: &ControlStatus) -> Timeline {
        Timeline::new(&self.plan.phases, control.traffic_starts_at, &control.interruptions)
    }

    /// The document that `control` means.
    fn document(&self, control: &ControlStatus) -> ControlDocument {
        document(
            control,
            &self.timeline(control),
            self.run.number,
            self.plan.cap_per_task,
            self.deadline_at,
            self.timings,
        )
    }

    /// What tells what became of the records that were due by `until`. A task that has said nothing
    /// for `unreported_for` may have sent more than it said.
    fn accounting_inputs<'e>(
        &self,
        control: &'e ControlStatus,
        timeline: &'e Timeline,
        ledgers: &'e Ledgers,
        unreported_for: Duration,
        until: MicroTime,
    ) -> AccountingInputs<'e> {
        let ControlStatus { assignments, folded, .. } = control;
        let cap_per_task = self.plan.cap_per_task;
        // After the schedule's end it changes nothing.
        let cancelled_from = (control.state == ControlState::Stop).then_some(control.effective_at);
        AccountingInputs {
            timeline,
            assignments,
            folded,
            ledgers,
            cap_per_task,
            unreported_for,
            until,
            cancelled_from,
        }
    }

    /// The last instant at which any task may send under `control`.
    fn traffic_ends_at(&self, control: &ControlStatus) -> MicroTime {
        let timings = self.timings;
        let scheduled =
            self.timeline(control).ends_at().unwrap_or(control.traffic_starts_at).min(self.deadline_at);
        match control.state {
            ControlState::Run => scheduled,
            ControlState::Stop => scheduled.min(control.effective_at + timings.read_lease),
        }
    }
}

/// Whether a thing that is seen was made after the one that is known. Deletion and creation together
/// take longer than AWS's timestamps are rough.
fn is_later(known: Option<MicroTime>, seen: Option<MicroTime>) -> bool {
    known.zip(seen).is_some_and(|(known, seen)| seen > known + Duration::from_secs(1))
}

/// The next step of a run whose settings are pinned.
pub fn decide(ctx: &RunContext<'_>, state: &ObservedState) -> Decision {
    let mut builder = DecisionBuilder::new(ctx.object.status);
    let stage = ctx.object.status.stage.unwrap_or_default();
    if stage == Stage::Provisioning
        && let Some(message) = foreign_account(&ctx.effective.account_id, state)
    {
        let recheck_at = ctx.now + ctx.timings.renew_every;
        return builder
            .block(Reason::AccountNotAllowed, message, Some(recheck_at))
            .finish(&ctx.object, ctx.now);
    }
    if matches!(stage, Stage::Provisioning | Stage::Warming | Stage::Starting) {
        read_less_often(ctx, &mut builder);
    }
    let mut builder = match stage {
        Stage::Provisioning => provision::decide_provisioning(ctx, state, builder),
        Stage::Warming => warm::decide_warming(ctx, state, builder),
        Stage::Starting => start::decide_starting(ctx, state, builder),
        Stage::Running => running::decide_running(ctx, state, builder),
        Stage::Draining => drain::decide_draining(ctx, state, builder),
        Stage::CleaningUp => cleanup::decide_cleaning_up(ctx, state, builder),
        Stage::Pending | Stage::Succeeded | Stage::Failed | Stage::Aborted => builder,
    };
    traffic_status::note_clock(state, &mut builder);
    dashboard::show(ctx, &mut builder);
    builder.finish(&ctx.object, ctx.now)
}

/// Before its first version counts a run may read less often at any time: its tasks send nothing yet.
fn read_less_often(ctx: &RunContext<'_>, builder: &mut DecisionBuilder) {
    if let Some(load) = builder.status.run.as_mut().and_then(|run| run.load.as_mut()) {
        load.read_every_seconds = load.read_every_seconds.max(ctx.wanted_read_every);
    }
}

/// What is said when the credentials have become another account's: nothing may be made then, and
/// what is not there is not gone.
fn foreign_account(pinned: &str, state: &ObservedState) -> Option<String> {
    let found = state.account_id.present()?;
    (pinned != found).then(|| {
        format!(
            "this run was begun in AWS account {pinned}, but the operator's credentials now belong to {found}; nothing is touched until they are {pinned}'s again"
        )
    })
}

/// What AWS refused last, if the conditions say that something is refused.
fn stored_refusal(status: &KinesisDemoStatus) -> Option<&str> {
    let summary = [ConditionType::Reconciling, ConditionType::Ready];
    summary.into_iter().find_map(|type_| {
        let held = conditions::find(&status.conditions, type_)?;
        held.reason.is_refusal().then_some(held.message.as_str())
    })
}

/// What AWS refuses, as a clause for the end of a message: in this look, or when last written.
fn refusal_clause(ctx: &RunContext<'_>, state: &ObservedState) -> String {
    let seen = state.refusals().first().map(ToString::to_string);
    let refused = seen.or_else(|| stored_refusal(ctx.object.status).map(str::to_owned));
    refused.map(|words| format!("; {words}")).unwrap_or_default()
}

/// The claims as a decision: they are stored, and nothing else changes.
pub fn decide_claim(ctx: &RunContext<'_>, control: ControlStatus) -> Decision {
    let mut builder = DecisionBuilder::new(ctx.object.status);
    builder.keep_summary();
    builder.status.control = Some(control);
    builder.wait_until(ctx.now).finish(&ctx.object, ctx.now)
}

/// Nothing is known yet: it is looked at again, and nothing is written but what a first visit writes.
pub fn decide_later(object: &ObjectContext<'_>, at: MicroTime, now: MicroTime) -> Decision {
    let mut builder = DecisionBuilder::new(object.status);
    builder.keep_summary();
    builder.wait_until(at).finish(object, now)
}

/// Nothing is to be done until something changes.
pub fn decide_nothing(object: &ObjectContext<'_>, now: MicroTime) -> Decision {
    let mut builder = DecisionBuilder::new(object.status);
    builder.keep_summary();
    builder.finish(object, now)
}

/// What the operator allows, widened to what was accepted when the run began.
pub fn pinned_defaults(defaults: &Defaults, effective: &Effective) -> Defaults {
    Defaults {
        region: effective.region.clone(),
        regions: vec![effective.region.clone()],
        allow_list: AllowList::everything(),
        max_records_per_second: u32::MAX,
        max_tasks: u32::MAX,
        max_warm_mib_per_second: u32::MAX,
        ..defaults.clone()
    }
}

/// A request that AWS calls wrong stays wrong: before the traffic ends, it ends the run. While things are being removed it is
/// tried again.
pub fn decide_invalid(object: &ObjectContext<'_>, error: &AwsError, now: MicroTime) -> Option<Decision> {
    let stage = object.status.stage.unwrap_or_default();
    matches!(stage, Stage::Provisioning | Stage::Warming | Stage::Starting).then(|| {
        let builder = DecisionBuilder::new(object.status).end(
            Outcome::Failed,
            Reason::RequestRefused,
            error.to_string(),
            now,
        );
        builder.finish(object, now)
    })
}

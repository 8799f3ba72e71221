//! What to do next. In: the object, its plan, the observed state. Out: a decision. Pure: no client,
//! no clock, no randomness.
//!
//! Effects carry out what the stored status already says. New claims are stored first, and a later
//! reconcile carries them out. So a crash between any two lines is harmless.

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
use kinesis_demo_api::conditions::{self, ConditionType, Reason};
use kinesis_demo_api::control::{ControlDocument, ControlState};
use kinesis_demo_api::ledger::Ledgers;
use kinesis_demo_api::plan::Plan;
use kinesis_demo_api::status::{ControlStatus, Effective, Outcome, ResourceType, RunStatus, Stage};
use kinesis_demo_api::timeline::Timeline;
use kinesis_demo_api::{KinesisDemoSpec, KinesisDemoStatus, MicroTime};

pub use cleanup::{Removal, decide_leftovers, left_message};
pub use dashboard::with_optional_failures;
pub use decision_builder::DecisionBuilder;
pub use pending::{
    decide_pending, decide_preflight_refused, decide_queued, decide_refused, decide_unreadable,
};
pub use requests::{decide_before_stage, decide_first_visit, first_visit};

use super::memory::KnownDocument;
use super::observe::ObservedState;
use super::resources::control::document;
use super::resources::names::Names;
use super::resources::tags::Owner;
use crate::aws::{AwsError, NewService, NewStream, NewTaskDefinition, RunMetric, StreamDescription, Tags};
use crate::kubernetes::events::RunEvent;
use crate::settings::{Settings, Timings};

/// The result of one reconcile. Built by `decide`, executed by `act` and `status`.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub status: KinesisDemoStatus,
    pub effects: Vec<Effect>,
    pub run_events: Vec<RunEvent>,
    pub finalizer: FinalizerChange,
    pub wake: Wake,
    /// Resources that are removed although they could not be read: AWS's response to the removal
    /// says whether they still exist.
    pub unseen: BTreeSet<ResourceType>,
    /// The earlier run whose leftovers are removed. `None`: the removals are about the current run.
    pub leftover_run: Option<u32>,
}

/// When to reconcile again. A watched change may always trigger a reconcile earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    At(MicroTime),
    OnChange,
}

/// The change to our finalizer.
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
    /// Whether it removes something that the run created.
    pub fn is_removal(&self) -> bool {
        self.removes().is_some()
    }

    /// Whether it creates a resource. Then a response that the resource exists already counts as
    /// success.
    pub fn is_creation(&self) -> bool {
        matches!(
            self,
            Self::CreateLogGroup { .. }
                | Self::CreateStream(_)
                | Self::CreateParameter { .. }
                | Self::CreateService(_)
        )
    }

    /// Whether later effects of the reconcile must not be applied without it.
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

    /// Whether the run does not need it: it only shows what happens.
    pub fn is_optional(&self) -> bool {
        matches!(self, Self::PutDashboard { .. } | Self::PutMetrics { .. })
    }

    /// The type of resource that it removes.
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

    /// The API operation, and its target.
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

    /// The backoff key. A service size is part of it, because another size is another write.
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
    /// Whether the annotation says to delete the object without removing its resources.
    pub abandon: bool,
    pub spec: &'a KinesisDemoSpec,
    /// Why the stored spec does not parse, if so. Then `spec` is the one that the run has pinned.
    pub unreadable: Option<&'a str>,
    pub status: &'a KinesisDemoStatus,
    /// The current epoch (leadership term), under which we write.
    pub epoch: u64,
    pub settings: &'a Settings,
}

impl ObjectContext<'_> {
    /// The owner of the resources of `run`.
    pub fn owner(&self, run: u32) -> Owner {
        Owner { uid: self.uid.to_owned(), object: format!("{}/{}", self.namespace, self.name), run }
    }
}

/// The context of a run that has started: all its settings are pinned.
pub struct RunContext<'a> {
    pub object: ObjectContext<'a>,
    pub run: &'a RunStatus,
    pub effective: &'a Effective,
    pub deadline_at: MicroTime,
    pub plan: &'a Plan,
    pub names: &'a Names,
    /// The timings of the run, adjusted to how often its tasks read.
    pub timings: &'a Timings,
    /// How often the tasks should read from now on, in seconds, given all runs of the Region.
    pub desired_read_every: u32,
    /// The control document as this leader knows it.
    pub known: Option<&'a KnownDocument>,
    pub now: MicroTime,
}

impl RunContext<'_> {
    fn owner(&self) -> Owner {
        self.object.owner(self.run.number)
    }

    /// The tags of all resources of this run.
    fn tags(&self) -> Tags {
        self.owner().tags(self.deadline_at)
    }

    /// Whether a stream with the run's stream name is not the one that the run created: someone
    /// deleted that one and created another.
    fn is_another_stream(&self, seen: &StreamDescription) -> bool {
        let created_at = self.object.status.stream.as_ref().and_then(|stream| stream.created_at);
        is_later(created_at, seen.created_at)
    }

    /// The write that sets the service to this size.
    fn resize(&self, desired: u32) -> Effect {
        let Names { cluster, service, .. } = self.names;
        Effect::ResizeService { cluster: cluster.clone(), service: service.clone(), desired }
    }

    /// The write that makes AWS itself scale the service to zero at the deadline.
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

    /// The control document that `control` defines.
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

    /// The inputs for the accounting of the records that were due by `until`. A task without a
    /// ledger line for `unreported_for` may have sent more than it reported.
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
        // After the end of the schedule this changes nothing.
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

/// Whether the resource that was read was created after the known one. A deletion and a new
/// creation take longer than the resolution of AWS's timestamps.
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

/// Before its first version is in effect, a run may switch to a longer interval at any time: its
/// tasks do not send yet.
fn read_less_often(ctx: &RunContext<'_>, builder: &mut DecisionBuilder) {
    if let Some(load) = builder.status.run.as_mut().and_then(|run| run.load.as_mut()) {
        load.read_every_seconds = load.read_every_seconds.max(ctx.desired_read_every);
    }
}

/// The message if the credentials now belong to another account. Then nothing may be created, and a
/// missing resource does not count as deleted.
fn foreign_account(pinned: &str, state: &ObservedState) -> Option<String> {
    let found = state.account_id.present()?;
    (pinned != found).then(|| {
        format!(
            "this run started in AWS account {pinned}, but the operator's credentials now belong to {found}; the operator changes nothing until they belong to {pinned} again"
        )
    })
}

/// The last AWS error, if the conditions report one.
fn stored_refusal(status: &KinesisDemoStatus) -> Option<&str> {
    let summary = [ConditionType::Reconciling, ConditionType::Ready];
    summary.into_iter().find_map(|type_| {
        let condition = conditions::find(&status.conditions, type_)?;
        condition.reason.is_refusal().then_some(condition.message.as_str())
    })
}

/// The current AWS error, or else the stored one, as a clause for the end of a message.
fn refusal_clause(ctx: &RunContext<'_>, state: &ObservedState) -> String {
    let seen = state.refusals().first().map(ToString::to_string);
    let refused = seen.or_else(|| stored_refusal(ctx.object.status).map(str::to_owned));
    refused.map(|error| format!("; {error}")).unwrap_or_default()
}

/// A decision that only stores these claims.
pub fn decide_claim(ctx: &RunContext<'_>, control: ControlStatus) -> Decision {
    let mut builder = DecisionBuilder::new(ctx.object.status);
    builder.keep_summary();
    builder.status.control = Some(control);
    builder.wait_until(ctx.now).finish(&ctx.object, ctx.now)
}

/// Nothing is known yet: reconcile again, and write nothing that a first reconcile does not write.
pub fn decide_later(object: &ObjectContext<'_>, at: MicroTime, now: MicroTime) -> Decision {
    let mut builder = DecisionBuilder::new(object.status);
    builder.keep_summary();
    builder.wait_until(at).finish(object, now)
}

/// Nothing to do until something changes.
pub fn decide_nothing(object: &ObjectContext<'_>, now: MicroTime) -> Decision {
    let mut builder = DecisionBuilder::new(object.status);
    builder.keep_summary();
    builder.finish(object, now)
}

/// An invalid request stays invalid. Until the traffic starts, it ends the run. `None` in later
/// stages: there the effect is retried.
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

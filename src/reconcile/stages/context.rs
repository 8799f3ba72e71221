//! What a decision is about: an object, and the run that it has started. In: both as stored. Out:
//! what the stages derive from them alike. Pure.

use std::time::Duration;

use kinesis_demo_api::accounting::AccountingInputs;
use kinesis_demo_api::control::{ControlDocument, ControlState};
use kinesis_demo_api::ledger::Ledgers;
use kinesis_demo_api::plan::Plan;
use kinesis_demo_api::status::{ControlStatus, Effective, RunStatus};
use kinesis_demo_api::timeline::Timeline;
use kinesis_demo_api::{KinesisDemoSpec, KinesisDemoStatus, MicroTime};

use super::effect::Effect;
use crate::aws::{StreamDescription, Tags};
use crate::reconcile::cohort::Peer;
use crate::reconcile::memory::KnownDocument;
use crate::reconcile::resources::control::document;
use crate::reconcile::resources::names::Names;
use crate::reconcile::resources::tags::Owner;
use crate::settings::{Settings, Timings};

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
    /// The objects of the namespace that belong to cohorts. `None` if this object belongs to none,
    /// or as long as not all objects were listed.
    pub peers: Option<&'a [Peer]>,
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
    pub(super) fn owner(&self) -> Owner {
        self.object.owner(self.run.number)
    }

    /// The tags of all resources of this run.
    pub(super) fn tags(&self) -> Tags {
        self.owner().tags(self.deadline_at)
    }

    /// Whether a stream with the run's stream name is not the one that the run created: someone
    /// deleted that one and created another.
    pub(super) fn is_another_stream(&self, seen: &StreamDescription) -> bool {
        let created_at = self.object.status.stream.as_ref().and_then(|stream| stream.created_at);
        is_later(created_at, seen.created_at)
    }

    /// The write that sets the service to this size.
    pub(super) fn resize(&self, desired: u32) -> Effect {
        let Names { cluster, service, .. } = self.names;
        Effect::ResizeService { cluster: cluster.clone(), service: service.clone(), desired }
    }

    /// The write that makes AWS itself scale the service to zero at the deadline.
    pub(super) fn put_scheduled_scale_to_zero(&self) -> Effect {
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
    pub(super) fn timeline(&self, control: &ControlStatus) -> Timeline {
        Timeline::new(&self.plan.phases, control.traffic_starts_at, &control.interruptions)
    }

    /// The control document that `control` defines.
    pub(super) fn document(&self, control: &ControlStatus) -> ControlDocument {
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
    pub(super) fn accounting_inputs<'e>(
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
    pub(super) fn traffic_ends_at(&self, control: &ControlStatus) -> MicroTime {
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
pub(super) fn is_later(known: Option<MicroTime>, seen: Option<MicroTime>) -> bool {
    known.zip(seen).is_some_and(|(known, seen)| seen > known + Duration::from_secs(1))
}

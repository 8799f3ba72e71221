//! The results of reads. In: AWS responses. Out: for each resource, whether it exists, does not
//! exist, or is unknown. Types only: nothing here does I/O.

use std::sync::Arc;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::ControlDocument;
use kinesis_demo_api::ledger::Ledgers;

use crate::aws::{
    Advantage, AwsError, AwsResult, ClockSkew, LogGroupDescription, ScheduledActionDescription,
    ServiceDescription, StreamDescription, Tags, TaskDefinitionDescription, TaskDescription,
};
use crate::registry::ImageLookup;

/// The result of reading one resource. Only `Absent` means that it does not exist.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Observed<T> {
    /// It was not read: the stage did not need it, or not yet.
    #[default]
    Unread,
    /// It does not exist.
    Absent,
    /// It exists.
    Present(T),
    /// The read was refused, or got no response in time: nothing is known.
    Refused(AwsError),
}

impl<T> Observed<T> {
    /// The resource, if it was read and exists.
    pub fn present(&self) -> Option<&T> {
        match self {
            Self::Present(thing) => Some(thing),
            Self::Unread | Self::Absent | Self::Refused(_) => None,
        }
    }

    /// Replaces `Absent` by `Refused`: nothing is known.
    pub(super) fn doubt(&mut self, why: &AwsError) {
        if self.is_absent() {
            *self = Self::Refused(why.clone());
        }
    }

    /// Whether it was read and does not exist.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Why it could not be read.
    pub fn refusal(&self) -> Option<&AwsError> {
        match self {
            Self::Refused(error) => Some(error),
            Self::Unread | Self::Absent | Self::Present(_) => None,
        }
    }
}

impl<T> From<AwsResult<Option<T>>> for Observed<T> {
    fn from(response: AwsResult<Option<T>>) -> Self {
        match response {
            Ok(Some(thing)) => Self::Present(thing),
            Ok(None) => Self::Absent,
            Err(error) => Self::Refused(error),
        }
    }
}

/// Everything that one reconcile read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObservedState {
    pub account_id: Observed<String>,
    pub advantage: Option<Advantage>,
    pub cluster_is_active: Option<bool>,
    pub image: Option<ImageLookup>,
    pub stream: Observed<StreamDescription>,
    /// Read together with the stream when ownership matters. The same holds for the other tags.
    pub stream_tags: Observed<Tags>,
    pub log_group: Observed<LogGroupDescription>,
    pub log_group_tags: Observed<Tags>,
    /// The control document in the parameter; `None` if its text is not a control document.
    pub parameter: Observed<Option<ControlDocument>>,
    pub parameter_tags: Observed<Tags>,
    pub task_definition: Observed<TaskDefinitionDescription>,
    pub inactive_task_definitions: Observed<Vec<String>>,
    pub service: Observed<ServiceDescription>,
    pub scale_to_zero: Observed<ScheduledActionDescription>,
    /// All tasks of the service, or none: never a part of them.
    pub tasks: Observed<Vec<TaskDescription>>,
    /// The end of the log of the task that failed last; `Absent` if it has no log.
    pub failed_task_log: Observed<Vec<String>>,
    pub dashboard: Observed<()>,
    /// The latest ledger of every task. `Unread` while pages of the log remain.
    pub ledgers: Observed<Arc<Ledgers>>,
    /// The ledgers that this leader has read so far, whatever this reconcile read.
    pub known_ledgers: Arc<Ledgers>,
    /// The instant up to which this leader has read the log completely.
    pub log_read_at: Option<MicroTime>,
    /// The difference between our clock and AWS's, from these responses and earlier ones.
    pub clock_skew: Option<ClockSkew>,
    /// Whether the Lease says that this operator leads. Read only if a foreign control document was
    /// found.
    pub leads: Option<bool>,
}

impl ObservedState {
    /// The tasks; empty if they could not be read.
    pub fn seen_tasks(&self) -> &[TaskDescription] {
        self.tasks.present().map_or(&[], Vec::as_slice)
    }

    /// The errors of the reads that were refused.
    pub fn refusals(&self) -> Vec<&AwsError> {
        [
            self.account_id.refusal(),
            self.stream.refusal(),
            self.stream_tags.refusal(),
            self.log_group.refusal(),
            self.log_group_tags.refusal(),
            self.parameter.refusal(),
            self.parameter_tags.refusal(),
            self.task_definition.refusal(),
            self.inactive_task_definitions.refusal(),
            self.service.refusal(),
            self.scale_to_zero.refusal(),
            self.tasks.refusal(),
            self.failed_task_log.refusal(),
            self.dashboard.refusal(),
            self.ledgers.refusal(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

//! What looks at the outside found. In: answers. Out: for each thing, whether it is there, is not, or
//! is not known. Types only: nothing here looks.

use std::sync::Arc;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::ControlDocument;
use kinesis_demo_api::ledger::Ledgers;

use crate::aws::{
    Advantage, AwsError, AwsResult, ClockSkew, LogGroupDescription, ScheduledActionDescription,
    ServiceDescription, StreamDescription, Tags, TaskDefinitionDescription, TaskDescription,
};
use crate::registry::ImageLookup;

/// What a look at one thing found. Only `Absent` means that it is gone.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Observed<T> {
    /// It was not looked at: the stage did not need to know, or not yet.
    #[default]
    Unread,
    /// It is not there.
    Absent,
    /// It is there.
    Present(T),
    /// The look was refused, or got no answer in time: nothing is known.
    Refused(AwsError),
}

impl<T> Observed<T> {
    /// The thing, if it was seen.
    pub fn present(&self) -> Option<&T> {
        match self {
            Self::Present(thing) => Some(thing),
            Self::Unread | Self::Absent | Self::Refused(_) => None,
        }
    }

    /// Takes back that it is not there: nothing is known.
    pub(super) fn doubt(&mut self, why: &AwsError) {
        if self.is_absent() {
            *self = Self::Refused(why.clone());
        }
    }

    /// Whether it was looked for and is not there.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Why it could not be looked at.
    pub fn refusal(&self) -> Option<&AwsError> {
        match self {
            Self::Refused(error) => Some(error),
            Self::Unread | Self::Absent | Self::Present(_) => None,
        }
    }
}

impl<T> From<AwsResult<Option<T>>> for Observed<T> {
    fn from(answer: AwsResult<Option<T>>) -> Self {
        match answer {
            Ok(Some(thing)) => Self::Present(thing),
            Ok(None) => Self::Absent,
            Err(error) => Self::Refused(error),
        }
    }
}

/// What was seen of the outside.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObservedState {
    pub account_id: Observed<String>,
    pub advantage: Option<Advantage>,
    pub cluster_is_active: Option<bool>,
    pub image: Option<ImageLookup>,
    pub stream: Observed<StreamDescription>,
    /// Read together with the stream when ownership matters; so for the other tags.
    pub stream_tags: Observed<Tags>,
    pub log_group: Observed<LogGroupDescription>,
    pub log_group_tags: Observed<Tags>,
    /// The control document that the parameter holds; none if its text is no document.
    pub parameter: Observed<Option<ControlDocument>>,
    pub parameter_tags: Observed<Tags>,
    pub task_definition: Observed<TaskDefinitionDescription>,
    pub inactive_task_definitions: Observed<Vec<String>>,
    pub service: Observed<ServiceDescription>,
    pub scale_to_zero: Observed<ScheduledActionDescription>,
    /// All tasks of the service, or nothing: never a part.
    pub tasks: Observed<Vec<TaskDescription>>,
    /// How the log of the task that failed last ends; none if it has no log.
    pub failed_task_log: Observed<Vec<String>>,
    pub dashboard: Observed<()>,
    /// The latest ledger of every task. `Unread` while pages of the log remain.
    pub ledgers: Observed<Arc<Ledgers>>,
    /// The ledgers as far as this leader has read them, whatever this look found.
    pub known_ledgers: Arc<Ledgers>,
    /// Up to when this leader has read the log to its end.
    pub log_read_at: Option<MicroTime>,
    /// How far our clock is from AWS's, by the answers to these looks and earlier ones.
    pub clock_skew: Option<ClockSkew>,
    /// Whether the Lease says that this operator leads, where a foreign control document made it ask.
    pub leads: Option<bool>,
}

impl ObservedState {
    /// The tasks that were seen; none if they could not be.
    pub fn seen_tasks(&self) -> &[TaskDescription] {
        self.tasks.present().map_or(&[], Vec::as_slice)
    }

    /// The looks that were refused.
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

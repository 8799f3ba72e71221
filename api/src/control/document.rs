//! The document that controls what a run's tasks send. In: the operator's decisions. Out: one JSON
//! text of at most 4 KiB, and the rules by which a task obeys it. Pure.
//!
//! Only the tasks in `slots` send. A version applies from `effectiveAt` on all tasks at once. It
//! ends when a later version takes effect, when `validUntil` or `endsBy` passes, or when the task's
//! last successful read is older than the read lease. Of two documents, the one with the greater
//! (epoch, version, validUntil) is newer.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::MicroTime;
use crate::schedule::{ScheduleSegment, Share};

/// The only schema version of the document so far. Tasks do not obey a document with another one.
pub const SCHEMA: u32 = 1;

/// The size limit of a standard-tier parameter (Systems Manager API reference, PutParameter,
/// `Value`).
pub const MAX_BYTES: usize = 4096;

/// The first characters of an ECS task id: enough to distinguish the tasks of one run, and short
/// enough for a hundred slots.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct TaskId(#[schemars(length(min = 1, max = 8))] String);

impl TaskId {
    const LENGTH: usize = 8;

    /// The id of a task, from its ARN (`arn:aws:ecs:…:task/cluster/0123…`) or from its full id.
    pub fn from_arn(arn: &str) -> Self {
        let full = arn.rsplit('/').next().unwrap_or(arn);
        Self(full.chars().take(Self::LENGTH).collect())
    }

    /// The id's characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether the run's tasks may send at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ControlState {
    /// Send what the segments schedule.
    Run,
    /// Send nothing from the moment this is read; finish what is in flight.
    Stop,
}

/// What kind of posts a phase publishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Content {
    /// Everyday posts.
    #[default]
    Baseline,
    /// A story breaks: urgent posts, few hashtags, growing engagement.
    BreakingNews,
    /// Everybody posts about it: many hashtags and mentions, high engagement.
    Viral,
    /// The story fades: follow-ups and summaries.
    Decline,
}

/// A segment of the schedule, as a task receives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Segment {
    /// The phase of the segment.
    pub phase: String,
    /// The interval and the rate of all tasks together.
    #[serde(flatten)]
    pub span: ScheduleSegment,
    /// The kind of posts.
    pub content: Content,
    /// The maximum records per second of a single task, so that tasks are not overloaded when
    /// others are missing.
    pub cap_per_task: u32,
}

/// Operators never set a longer interval. The cap ensures that a forged document cannot keep tasks
/// from reading the next one.
const LONGEST_READ_EVERY: Duration = Duration::from_secs(10);

/// The control document of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ControlDocument {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The leader epoch in which the version was claimed.
    pub epoch: u64,
    /// The version number; it increases with every change in this run.
    pub version: u64,
    /// The run's number.
    pub run: u32,
    /// Whether tasks may send at all. `Stop` applies as soon as it is read.
    pub state: ControlState,
    /// When this version takes effect and replaces the previous one.
    pub effective_at: MicroTime,
    /// The end of the operator's own lease. Nothing is sent from here on unless a later document
    /// extends it.
    pub valid_until: MicroTime,
    /// The end of the run. Nothing is sent from here on, whatever `validUntil` says.
    pub ends_by: MicroTime,
    /// How often a task reads the document.
    pub read_every_seconds: u32,
    /// A task whose last successful read is older than this sends nothing.
    pub read_lease_seconds: u32,
    /// The tasks that send. A `null` is a slot whose task died and has not been replaced yet.
    pub slots: Vec<Option<TaskId>>,
    /// The current and the next segments of the schedule, in order, without overlap.
    pub segments: Vec<Segment>,
}

/// Why a text is not a valid control document.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Not JSON with the expected fields.
    #[error("parse the control document")]
    Malformed(#[source] serde_json::Error),
    /// The schema version is not supported by this generator.
    #[error("the control document has schema {0}; this generator supports schema {SCHEMA}")]
    UnknownSchema(u32),
    /// Larger than a standard-tier parameter allows.
    #[error("the control document has {0} bytes; a standard-tier parameter holds at most {MAX_BYTES}")]
    TooLarge(usize),
}

impl ControlDocument {
    /// Parses a document.
    pub fn parse(text: &str) -> Result<Self, ControlError> {
        let document: Self = serde_json::from_str(text).map_err(ControlError::Malformed)?;
        if document.schema != SCHEMA {
            return Err(ControlError::UnknownSchema(document.schema));
        }
        Ok(document)
    }

    /// Serializes the document.
    pub fn to_text(&self) -> Result<String, ControlError> {
        let text = serde_json::to_string(self).map_err(ControlError::Malformed)?;
        if text.len() > MAX_BYTES {
            return Err(ControlError::TooLarge(text.len()));
        }
        Ok(text)
    }

    /// The sort key of documents. The document with the greater key is newer.
    pub fn order(&self) -> (u64, u64, MicroTime) {
        (self.epoch, self.version, self.valid_until)
    }

    /// Whether both are the same version. A renewal may have a later `validUntil` and further
    /// segments.
    pub fn is_renewal_of(&self, other: &Self) -> bool {
        (self.epoch, self.version) == (other.epoch, other.version)
    }

    /// Whether both differ at most in what a renewal may change: the validity, the part of the
    /// schedule that the document therefore contains, and the read interval and lease.
    pub fn is_same_but_for_validity(&self, other: &Self) -> bool {
        let Self { valid_until, read_every_seconds, read_lease_seconds, .. } = *other;
        let segments = other.segments.clone();
        Self { valid_until, read_every_seconds, read_lease_seconds, segments, ..self.clone() } == *other
    }

    /// Whether one may be a renewal of the other: their segments are equal wherever they overlap.
    /// Two documents of one version that disagree cannot both be the operator's.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let overlap =
            |one: &Segment, two: &Segment| one.span.from < two.span.until && two.span.from < one.span.until;
        self.is_same_but_for_validity(other)
            && self
                .segments
                .iter()
                .all(|ours| other.segments.iter().all(|theirs| ours == theirs || !overlap(ours, theirs)))
    }

    /// The share of `task`, if it has a slot.
    pub fn share_of(&self, task: &TaskId) -> Option<Share> {
        let filled = || self.slots.iter().flatten();
        let position = filled().position(|holder| holder == task)?;
        Some(Share { position: u32::try_from(position).ok()?, of: u32::try_from(filled().count()).ok()? })
    }

    /// How often to read the document.
    pub fn read_every(&self) -> Duration {
        Duration::from_secs(u64::from(self.read_every_seconds.max(1))).min(LONGEST_READ_EVERY)
    }

    /// How long a successful read allows sending.
    pub fn read_lease(&self) -> Duration {
        Duration::from_secs(u64::from(self.read_lease_seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Part;

    fn a_document() -> ControlDocument {
        let at = |second: i64| MicroTime::from_micros((1_700_000_000 + second) * 1_000_000);
        ControlDocument {
            schema: SCHEMA,
            epoch: 4,
            version: 7,
            run: 3,
            state: ControlState::Run,
            effective_at: at(10),
            valid_until: at(60),
            ends_by: at(500),
            read_every_seconds: 3,
            read_lease_seconds: 15,
            slots: vec![
                Some(TaskId::from_arn("arn:aws:ecs:r:a:task/c/a1b2c3d4e5f6")),
                None,
                Some(TaskId::from_arn("0f0f0f0f11")),
            ],
            segments: vec![Segment {
                phase: "spike".into(),
                span: ScheduleSegment::whole(at(10), at(130), [10_000, 10_000]),
                content: Content::BreakingNews,
                cap_per_task: 10_000,
            }],
        }
    }

    #[test]
    fn a_document_round_trips_through_its_text() {
        let text = a_document().to_text().unwrap();
        assert_eq!(ControlDocument::parse(&text).unwrap(), a_document());
        assert!(text.contains(r#""slots":["a1b2c3d4",null,"0f0f0f0f"]"#), "{text}");
        assert!(
            text.contains(r#""rate":[10000,10000],"content":"BreakingNews","capPerTask":10000"#),
            "{text}"
        );
    }

    #[test]
    fn filled_slots_share_the_records_of_empty_ones() {
        let document = a_document();
        assert_eq!(document.share_of(&TaskId::from_arn("0f0f0f0f99")), Some(Share { position: 1, of: 2 }));
        assert_eq!(document.share_of(&TaskId::from_arn("deadbeef")), None);
    }

    #[test]
    fn documents_are_ordered_by_epoch_then_version_then_renewal() {
        let old = a_document();
        let renewed =
            ControlDocument { valid_until: old.valid_until + Duration::from_secs(15), ..old.clone() };
        let next = ControlDocument {
            version: 8,
            valid_until: old.valid_until - Duration::from_secs(30),
            ..old.clone()
        };
        let new_leader = ControlDocument { epoch: 5, version: 1, ..old.clone() };
        assert!(old.order() < renewed.order());
        assert!(renewed.order() < next.order());
        assert!(next.order() < new_leader.order());
        assert!(renewed.is_renewal_of(&old) && !next.is_renewal_of(&old));
    }

    #[test]
    fn an_unknown_schema_or_invalid_json_is_an_error() {
        let foreign = a_document().to_text().unwrap().replace("\"schema\":1", "\"schema\":2");
        assert!(matches!(ControlDocument::parse(&foreign), Err(ControlError::UnknownSchema(2))));
        assert!(matches!(ControlDocument::parse("{"), Err(ControlError::Malformed(_))));
    }

    #[test]
    fn a_hundred_slots_and_two_segments_fit_a_standard_parameter() {
        let mut document = a_document();
        document.slots = (0..100).map(|n| Some(TaskId::from_arn(&format!("{n:08x}")))).collect();
        document.segments[0].phase = "p".repeat(63);
        let day = Duration::from_secs(86_400);
        document.segments[0].span.part = Some(Part { after: day - Duration::from_micros(1), of: day });
        document.segments.push(document.segments[0].clone());
        assert!(document.to_text().unwrap().len() <= MAX_BYTES);
        document.slots = (0..1000).map(|n| Some(TaskId::from_arn(&format!("{n:08x}")))).collect();
        assert!(matches!(document.to_text(), Err(ControlError::TooLarge(_))));
    }
}

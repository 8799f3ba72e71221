//! Conditions: their types, their closed set of reasons, and how a set of them changes. In: what holds now. Out: the list
//! as status stores it. Pure.

use std::fmt;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::MicroTime;

/// What a condition speaks about. `Ready`, `Reconciling` and `Stalled` follow kstatus.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ConditionType {
    /// The run does what was asked: traffic flows, or it is over and was not a failure.
    Ready,
    /// The operator is working towards the next stage.
    Reconciling,
    /// Nothing will happen until somebody changes something.
    Stalled,
    /// The run is over, whatever its outcome.
    Finished,
    /// The run's outcome.
    Succeeded,
    /// The spec is understood and in force.
    SpecAccepted,
    /// The stream exists and is ACTIVE.
    StreamReady,
    /// The stream has the warm throughput that was asked for.
    WarmThroughputReady,
    /// The tasks that the phase needs run and have their slots.
    GeneratorsReady,
    /// Nothing that the run made is left, but what was to be retained.
    CleanedUp,
    /// The schedule was offered and accepted: the message has the share, and what became of the rest.
    TrafficDelivered,
    /// The operator's clock and AWS's differ by more than a task may tolerate. True is abnormal.
    ClockSkew,
}

/// A condition's value.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

/// Why a condition has its value: the closed set that alerts and scripts may rely on.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    // The stages, for the summarising conditions.
    Pending,
    Provisioning,
    Warming,
    Starting,
    Running,
    Draining,
    CleaningUp,
    Succeeded,
    Failed,
    Aborted,
    // The spec.
    Accepted,
    Invalid,
    ChangeDeferred,
    // The resources.
    NotStarted,
    NotRequested,
    Creating,
    Active,
    Reached,
    Rising,
    TasksStarting,
    TasksRunning,
    TasksShort,
    Released,
    Lost,
    NothingLeft,
    ResourcesPresent,
    ResourcesAbandoned,
    // What stands in the way.
    Queued,
    AccountNotAllowed,
    ImageMissing,
    ArchitectureMissing,
    AdvantageRequired,
    SettingsMissing,
    ClusterMissing,
    OwnershipConflict,
    AccessDenied,
    QuotaExceeded,
    RequestRefused,
    Throttled,
    AwsUnavailable,
    // What ended the run.
    Completed,
    AbortRequested,
    ObjectDeleted,
    DeadlineExceeded,
    StreamTimeout,
    ProvisioningTimeout,
    WarmThroughputTimeout,
    StartTimeout,
    NothingDelivered,
    StreamGone,
    ServiceGone,
    ControlOverwritten,
    ScheduleNotOffered,
    TooManyInterruptions,
    // What became of the traffic.
    Delivered,
    PartlyDelivered,
    LogUnreadable,
    // What is left.
    RemovalFailed,
    StatusOfAnotherObject,
    // The clock.
    ClocksAgree,
    ClocksDiffer,
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The variants' names are the words on the wire.
        fmt::Debug::fmt(self, f)
    }
}

impl Reason {
    /// Whether it says that AWS refused a call, or did not answer one.
    pub fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::AccessDenied
                | Self::QuotaExceeded
                | Self::RequestRefused
                | Self::Throttled
                | Self::AwsUnavailable
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The variants' names are the words on the wire.
        fmt::Debug::fmt(self, f)
    }
}

/// One condition, in the shape of Kubernetes' own.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What the condition speaks about.
    #[serde(rename = "type")]
    pub type_: ConditionType,
    /// True, False or Unknown.
    pub status: ConditionStatus,
    /// Why, in one word.
    pub reason: Reason,
    /// Why, for people: what was attempted, on what, and what to do next.
    #[schemars(length(max = 2048))]
    pub message: String,
    /// When the status last changed.
    #[schemars(length(max = 64))]
    pub last_transition_time: Time,
    /// The generation of the spec that this was judged by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
}

/// What holds now, before it is known when it began to.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What it speaks about.
    pub type_: ConditionType,
    /// True, False or Unknown.
    pub status: ConditionStatus,
    /// Why, in one word.
    pub reason: Reason,
    /// Why, for people.
    pub message: String,
}

impl Finding {
    /// A finding.
    pub fn new(
        type_: ConditionType,
        status: ConditionStatus,
        reason: Reason,
        message: impl Into<String>,
    ) -> Self {
        Self { type_, status, reason, message: message.into() }
    }
}

/// The conditions as they are after `findings`, in the order of their types. Types that no finding speaks about stay as they
/// are; a transition's time changes only with the status.
pub fn updated(
    held: &[Condition],
    findings: &[Finding],
    generation: Option<i64>,
    now: MicroTime,
) -> Vec<Condition> {
    let mut conditions = held.to_vec();
    for finding in findings {
        let Finding { type_, status, reason, message } = finding.clone();
        let message = shortened(message);
        match conditions.iter_mut().find(|condition| condition.type_ == type_) {
            Some(condition) => {
                if condition.status != status {
                    condition.last_transition_time = Time(now.whole_second());
                }
                condition.status = status;
                condition.reason = reason;
                condition.message = message;
                condition.observed_generation = generation;
            }
            None => conditions.push(Condition {
                type_,
                status,
                reason,
                message,
                last_transition_time: Time(now.whole_second()),
                observed_generation: generation,
            }),
        }
    }
    conditions.sort_by_key(|condition| condition.type_);
    conditions
}

/// The schema's bound on a message.
const LONGEST_MESSAGE: usize = 2048;

fn shortened(message: String) -> String {
    match message.char_indices().nth(LONGEST_MESSAGE - 1) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message,
    }
}

/// The condition of that type, if it is set.
pub fn find(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the condition of that type is set and True.
pub fn is_true(conditions: &[Condition], type_: ConditionType) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == ConditionStatus::True)
}

/// The time of the last transition of a condition.
pub fn since(conditions: &[Condition], type_: ConditionType) -> Option<Timestamp> {
    find(conditions, type_).map(|condition| condition.last_transition_time.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: MicroTime = MicroTime::from_micros(1_700_000_000_900_000);
    const LATER: MicroTime = MicroTime::from_micros(1_700_000_009_900_000);

    fn ready(status: ConditionStatus, message: &str) -> Vec<Finding> {
        vec![Finding::new(ConditionType::Ready, status, Reason::Running, message)]
    }

    #[test]
    fn the_transition_time_moves_with_the_status_only() {
        let first = updated(&[], &ready(ConditionStatus::False, "a"), Some(1), T0);
        let second = updated(&first, &ready(ConditionStatus::False, "b"), Some(2), LATER);
        let third = updated(&second, &ready(ConditionStatus::True, "c"), Some(2), LATER);
        assert_eq!(since(&second, ConditionType::Ready), Some(T0.whole_second()));
        assert_eq!(find(&second, ConditionType::Ready).unwrap().message, "b");
        assert_eq!(since(&third, ConditionType::Ready), Some(LATER.whole_second()));
        assert!(is_true(&third, ConditionType::Ready) && !is_true(&second, ConditionType::Ready));
    }

    #[test]
    fn other_conditions_stay_and_the_same_finding_changes_nothing() {
        let stalled =
            [Finding::new(ConditionType::Stalled, ConditionStatus::True, Reason::OwnershipConflict, "x")];
        let both =
            updated(&updated(&[], &stalled, Some(1), T0), &ready(ConditionStatus::False, "a"), Some(1), T0);
        assert_eq!(both.len(), 2);
        assert_eq!(updated(&both, &ready(ConditionStatus::False, "a"), Some(1), LATER), both);
    }

    #[test]
    fn a_message_is_cut_at_the_schemas_bound() {
        let long = updated(&[], &ready(ConditionStatus::False, &"ü".repeat(5000)), None, T0);
        assert_eq!(long[0].message.chars().count(), LONGEST_MESSAGE);
    }
}

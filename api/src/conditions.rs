//! Conditions: their types, their closed set of reasons, and how a list of them is updated. In:
//! findings about the current state. Out: the list as stored in status. Pure.

use std::fmt;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::MicroTime;

/// The type of a condition. `Ready`, `Reconciling` and `Stalled` follow kstatus.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ConditionType {
    /// The run is as requested: traffic flows, or the run is over and did not fail.
    Ready,
    /// The operator is working towards the next stage.
    Reconciling,
    /// Nothing will happen until somebody changes something.
    Stalled,
    /// The run is over, with any outcome.
    Finished,
    /// The run's outcome.
    Succeeded,
    /// The spec is valid and in use.
    SpecAccepted,
    /// The stream exists and is ACTIVE.
    StreamReady,
    /// The stream has the requested warm throughput.
    WarmThroughputReady,
    /// The tasks that the phase needs are running and have slots.
    GeneratorsReady,
    /// None of the run's resources is left, except those to be retained.
    CleanedUp,
    /// The scheduled records were offered and accepted. The message has the percentage and the
    /// outcome of the others.
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

/// Why a condition has its status. A closed set that alerts and scripts may rely on.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    // The stages, for the conditions that summarise the run.
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
    TasksMissing,
    Released,
    Lost,
    NothingLeft,
    ResourcesPresent,
    ResourcesAbandoned,
    // What blocks the run.
    Queued,
    WaitingForCohort,
    CohortRefused,
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
    CohortIncomplete,
    CohortMemberEnded,
    CohortStartMissed,
    NothingDelivered,
    StreamDeleted,
    ServiceDeleted,
    ControlOverwritten,
    ScheduleNotOffered,
    TooManyInterruptions,
    // The result of the traffic.
    Delivered,
    PartlyDelivered,
    LogUnreadable,
    // Remaining resources.
    RemovalFailed,
    StatusOfAnotherObject,
    // The clock.
    ClocksAgree,
    ClocksDiffer,
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The variants' names are the wire format.
        fmt::Debug::fmt(self, f)
    }
}

impl Reason {
    /// Whether it means that AWS rejected a call or did not respond.
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
        // The variants' names are the wire format.
        fmt::Debug::fmt(self, f)
    }
}

/// A condition, with the fields of Kubernetes' own type.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// The condition's type.
    #[serde(rename = "type")]
    pub type_: ConditionType,
    /// True, False or Unknown.
    pub status: ConditionStatus,
    /// The reason for the status.
    pub reason: Reason,
    /// Why, for people: what was attempted, on what, and what to do next.
    #[schemars(length(max = 2048))]
    pub message: String,
    /// When the status last changed.
    #[schemars(length(max = 64))]
    pub last_transition_time: Time,
    /// The generation of the spec that the status is based on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
}

/// A condition without its transition time: its current status, before it is compared with the
/// stored one.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The condition's type.
    pub type_: ConditionType,
    /// True, False or Unknown.
    pub status: ConditionStatus,
    /// The reason for the status.
    pub reason: Reason,
    /// Why, for people.
    pub message: String,
}

impl Finding {
    /// Creates a finding.
    pub fn new(
        type_: ConditionType,
        status: ConditionStatus,
        reason: Reason,
        message: impl Into<String>,
    ) -> Self {
        Self { type_, status, reason, message: message.into() }
    }
}

/// Applies `findings` to `current`, sorted by type. Types without a finding are unchanged. The
/// transition time changes only with the status.
pub fn updated(
    current: &[Condition],
    findings: &[Finding],
    generation: Option<i64>,
    now: MicroTime,
) -> Vec<Condition> {
    let mut conditions = current.to_vec();
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

/// The schema's limit for a message.
const LONGEST_MESSAGE: usize = 2048;

fn shortened(message: String) -> String {
    match message.char_indices().nth(LONGEST_MESSAGE - 1) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message,
    }
}

/// The condition of type `type_`, if it is set.
pub fn find(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the condition of type `type_` is set and True.
pub fn is_true(conditions: &[Condition], type_: ConditionType) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == ConditionStatus::True)
}

/// The time of the last transition of the condition of type `type_`.
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
    fn the_transition_time_changes_only_with_the_status() {
        let first = updated(&[], &ready(ConditionStatus::False, "a"), Some(1), T0);
        let second = updated(&first, &ready(ConditionStatus::False, "b"), Some(2), LATER);
        let third = updated(&second, &ready(ConditionStatus::True, "c"), Some(2), LATER);
        assert_eq!(since(&second, ConditionType::Ready), Some(T0.whole_second()));
        assert_eq!(find(&second, ConditionType::Ready).unwrap().message, "b");
        assert_eq!(since(&third, ConditionType::Ready), Some(LATER.whole_second()));
        assert!(is_true(&third, ConditionType::Ready) && !is_true(&second, ConditionType::Ready));
    }

    #[test]
    fn other_conditions_stay_and_a_repeated_finding_is_a_no_op() {
        let stalled =
            [Finding::new(ConditionType::Stalled, ConditionStatus::True, Reason::OwnershipConflict, "x")];
        let both =
            updated(&updated(&[], &stalled, Some(1), T0), &ready(ConditionStatus::False, "a"), Some(1), T0);
        assert_eq!(both.len(), 2);
        assert_eq!(updated(&both, &ready(ConditionStatus::False, "a"), Some(1), LATER), both);
    }

    #[test]
    fn a_message_is_truncated_to_the_schemas_limit() {
        let long = updated(&[], &ready(ConditionStatus::False, &"ü".repeat(5000)), None, T0);
        assert_eq!(long[0].message.chars().count(), LONGEST_MESSAGE);
    }
}

//! A CloudFormation stack, its events, and what they mean for us. In: data from AWS. Out: whether a
//! stack can be updated, the first failure, lines for people. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

/// A tag of the stack and of every resource in it (foundation/template.yaml).
pub const PART_OF_TAG: (&str, &str) = ("app.kubernetes.io/part-of", "kinesis-demo");
/// The tag's value is the stack's name.
pub const FOUNDATION_TAG: &str = "kinesisdemo.io/foundation";
/// The beginning of the template's description. It identifies a stack that was deployed without our
/// tags.
pub const DESCRIPTION: &str = "What KinesisDemo runs in an AWS account";
/// The output with the chart's values.
pub const VALUES_OUTPUT: &str = "HelmValues";

const STACK_TYPE: &str = "AWS::CloudFormation::Stack";
const CLUSTER_TYPE: &str = "AWS::ECS::Cluster";

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stack {
    #[serde(rename = "stackName")]
    pub name: String,
    #[serde(rename = "stackId")]
    pub id: String,
    pub status: String,
    #[serde(rename = "statusReason", skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// When its last operation started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Timestamp>,
    pub parameters: BTreeMap<String, String>,
    pub outputs: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
}

/// One event of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackEvent {
    pub id: String,
    pub at: Timestamp,
    pub logical_id: String,
    /// In the stack's own events, this is the stack's ID.
    pub physical_id: Option<String>,
    pub type_: String,
    pub status: String,
    pub reason: Option<String>,
}

/// What can be done with a stack in its current status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StackStatus {
    /// It can be updated.
    Ready,
    /// An operation is in progress.
    InProgress,
    /// The stack no longer exists.
    Deleted,
    /// It cannot be updated; the text says why.
    Stuck(&'static str),
}

/// Maps a status code (CloudFormation user guide, "Understand CloudFormation stack creation events"
/// and "Stack status codes").
#[must_use]
pub fn operation_state(status: &str) -> StackStatus {
    match status {
        "CREATE_COMPLETE"
        | "UPDATE_COMPLETE"
        | "UPDATE_FAILED"
        | "UPDATE_ROLLBACK_COMPLETE"
        | "IMPORT_COMPLETE"
        | "IMPORT_ROLLBACK_COMPLETE" => StackStatus::Ready,
        "DELETE_COMPLETE" => StackStatus::Deleted,
        "REVIEW_IN_PROGRESS" => {
            StackStatus::Stuck("it was created by a change set that was never executed, and has no resources")
        }
        status if status.ends_with("_IN_PROGRESS") => StackStatus::InProgress,
        "CREATE_FAILED" => StackStatus::Stuck("its creation failed, and some resources may remain"),
        "ROLLBACK_COMPLETE" => {
            StackStatus::Stuck("its creation failed and was rolled back: only its name remains")
        }
        "ROLLBACK_FAILED" => {
            StackStatus::Stuck("its creation failed and could not be rolled back: some resources remain")
        }
        "DELETE_FAILED" => StackStatus::Stuck("its deletion failed, and some resources remain"),
        "UPDATE_ROLLBACK_FAILED" => StackStatus::Stuck("an update failed and could not be rolled back"),
        _ => StackStatus::Stuck("CloudFormation cannot update a stack in this state"),
    }
}

/// Whether an operation that ended with this status succeeded.
#[must_use]
pub fn is_deployed(status: &str) -> bool {
    matches!(status, "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE")
}

impl Stack {
    /// Whether the stack is one of ours: only those are changed or deleted.
    #[must_use]
    pub fn is_foundation(&self) -> bool {
        self.tags.contains_key(FOUNDATION_TAG)
            || self.description.as_ref().is_some_and(|text| text.starts_with(DESCRIPTION))
    }

    /// The chart's values, if the stack has that output.
    #[must_use]
    pub fn values(&self) -> Option<&str> {
        self.outputs.get(VALUES_OUTPUT).map(String::as_str)
    }
}

impl StackEvent {
    /// Whether the event is about the stack as a whole.
    #[must_use]
    pub fn is_of_stack(&self, stack_id: &str) -> bool {
        self.type_ == STACK_TYPE && self.physical_id.as_deref() == Some(stack_id)
    }

    /// `05:48:45Z  Vpc  AWS::EC2::VPC  CREATE_FAILED  why`.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { at, logical_id, type_, status, reason, .. } = self;
        let at = at.strftime("%H:%M:%SZ");
        let reason = reason.as_deref().map(|reason| format!("  {reason}")).unwrap_or_default();
        format!("{at}  {logical_id:<26}  {type_:<39}  {status}{reason}")
    }

    fn is_failure(&self) -> bool {
        // CloudFormation cancels operations that run in parallel with a failure; a cancelled one is
        // not the cause.
        let cancelled = self.reason.as_deref().is_some_and(|reason| reason.contains(" cancelled"));
        self.status.ends_with("_FAILED") && !cancelled
    }
}

/// The last event before the most recently started operation. `events` is oldest first; None if
/// that operation is the first.
#[must_use]
pub fn before_last_operation<'a>(events: &'a [StackEvent], stack_id: &str) -> Option<&'a StackEvent> {
    let began = events.iter().rposition(|event| {
        event.is_of_stack(stack_id)
            && event.status.ends_with("_IN_PROGRESS")
            && event.reason.as_deref() == Some("User Initiated")
    });
    events.get(began?.checked_sub(1)?)
}

/// The first failure of an operation: of a resource, or else of the stack as a whole.
#[must_use]
pub fn first_failure<'a>(events: &'a [StackEvent], stack_id: &str) -> Option<&'a StackEvent> {
    let failed = |event: &&StackEvent| event.is_failure();
    let of_stack = |event: &&StackEvent| event.is_of_stack(stack_id);
    let of_resource = events.iter().filter(failed).find(|event| !of_stack(event));
    of_resource.or_else(|| {
        events.iter().find(|event| {
            of_stack(event)
                && event.reason.is_some()
                && (event.is_failure() || event.status.contains("ROLLBACK"))
        })
    })
}

/// The resources that an operation failed to delete, each with its last event.
#[must_use]
pub fn undeleted<'a>(events: &'a [StackEvent], stack_id: &str) -> Vec<&'a StackEvent> {
    let mut last: BTreeMap<&str, &StackEvent> = BTreeMap::new();
    for event in events.iter().filter(|event| !event.is_of_stack(stack_id)) {
        last.insert(&event.logical_id, event);
    }
    last.into_values().filter(|event| event.status == "DELETE_FAILED").collect()
}

/// Describes a failure for people.
#[must_use]
pub fn described(event: &StackEvent) -> String {
    let StackEvent { logical_id, type_, status, reason, .. } = event;
    format!("{logical_id} ({type_}) {status}: {}", reason.as_deref().unwrap_or("no reason given"))
}

/// When an account uses ECS for the first time, ECS creates its service-linked role together with
/// the first cluster, and the cluster's creation may come too early.
#[must_use]
pub fn lacks_service_linked_role(event: &StackEvent) -> bool {
    let reason = event.reason.as_deref().unwrap_or_default().to_lowercase().replace('-', " ");
    event.type_ == CLUSTER_TYPE && reason.contains("service linked role")
}

/// When the stack entered its current status.
#[must_use]
pub fn since(stack: &Stack, events: &[StackEvent]) -> Option<Timestamp> {
    let entered = events.iter().rev().find(|event| event.is_of_stack(&stack.id));
    entered.filter(|event| event.status == stack.status).map(|event| event.at).or(stack.changed_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::foundation::fake::{event, stack_event};

    const ID: &str = crate::foundation::fake::STACK_ID;

    #[test]
    fn a_status_determines_what_can_be_done() {
        for status in ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"] {
            assert_eq!(operation_state(status), StackStatus::Ready, "{status}");
        }
        for status in [
            "CREATE_IN_PROGRESS",
            "ROLLBACK_IN_PROGRESS",
            "DELETE_IN_PROGRESS",
            "UPDATE_IN_PROGRESS",
            "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
            "UPDATE_ROLLBACK_IN_PROGRESS",
            "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
        ] {
            assert_eq!(operation_state(status), StackStatus::InProgress, "{status}");
        }
        for status in [
            "CREATE_FAILED",
            "ROLLBACK_COMPLETE",
            "ROLLBACK_FAILED",
            "DELETE_FAILED",
            "UPDATE_ROLLBACK_FAILED",
            // No operation ends this status by itself: watching it would never end.
            "REVIEW_IN_PROGRESS",
            "SOMETHING_NEW",
        ] {
            assert!(matches!(operation_state(status), StackStatus::Stuck(_)), "{status}");
        }
        assert_eq!(operation_state("DELETE_COMPLETE"), StackStatus::Deleted);
        // The stack is as it was before: usable, but not what was requested.
        assert!(!is_deployed("UPDATE_ROLLBACK_COMPLETE"));
    }

    #[test]
    fn an_event_is_one_line() {
        let failed = event("Cluster", "AWS::ECS::Cluster", "CREATE_FAILED", Some("Limit exceeded"));
        assert_eq!(
            failed.line(),
            "10:00:00Z  Cluster                     AWS::ECS::Cluster                        CREATE_FAILED  Limit exceeded"
        );
        let created = event("Vpc", "AWS::EC2::VPC", "CREATE_COMPLETE", None);
        assert!(created.line().ends_with("  CREATE_COMPLETE"));
    }

    #[test]
    fn the_first_failure_is_the_cause_and_cancellations_are_not() {
        let events = [
            stack_event("CREATE_IN_PROGRESS", Some("User Initiated")),
            event("Vpc", "AWS::EC2::VPC", "CREATE_FAILED", Some("Resource creation cancelled")),
            event("Cluster", "AWS::ECS::Cluster", "CREATE_FAILED", Some("Limit exceeded")),
            event("TaskRole", "AWS::IAM::Role", "CREATE_FAILED", Some("Denied")),
            stack_event(
                "ROLLBACK_IN_PROGRESS",
                Some("The following resource(s) failed to create: [Cluster]."),
            ),
        ];
        assert_eq!(
            described(first_failure(&events, ID).unwrap()),
            "Cluster (AWS::ECS::Cluster) CREATE_FAILED: Limit exceeded"
        );
        // Rejected as a whole, before any resource.
        let whole = [events[0].clone(), stack_event("ROLLBACK_IN_PROGRESS", Some("Validation failed"))];
        assert_eq!(
            first_failure(&whole, ID).and_then(|event| event.reason.as_deref()),
            Some("Validation failed")
        );
        assert_eq!(first_failure(&events[..1], ID), None);
    }

    #[test]
    fn an_operation_starts_at_its_user_initiated_event() {
        let events = [
            stack_event("CREATE_IN_PROGRESS", Some("User Initiated")),
            stack_event("CREATE_COMPLETE", None),
            stack_event("UPDATE_IN_PROGRESS", Some("User Initiated")),
            event("Vpc", "AWS::EC2::VPC", "UPDATE_FAILED", Some("no")),
            stack_event("UPDATE_ROLLBACK_IN_PROGRESS", Some("failed to update: [Vpc]")),
        ];
        assert_eq!(before_last_operation(&events, ID).unwrap().status, "CREATE_COMPLETE");
        assert_eq!(before_last_operation(&events[..2], ID), None);
        assert_eq!(before_last_operation(&[], ID), None);
    }

    #[test]
    fn a_resource_deleted_on_retry_does_not_remain() {
        let events = [
            event("Vpc", "AWS::EC2::VPC", "DELETE_FAILED", Some("has dependencies")),
            event("Cluster", "AWS::ECS::Cluster", "DELETE_FAILED", Some("has services")),
            event("Vpc", "AWS::EC2::VPC", "DELETE_COMPLETE", None),
            stack_event("DELETE_FAILED", Some("failed to delete: [Cluster]")),
        ];
        let left: Vec<&str> = undeleted(&events, ID).iter().map(|event| event.logical_id.as_str()).collect();
        assert_eq!(left, ["Cluster"]);
    }

    #[test]
    fn the_missing_ecs_role_is_recognised_by_its_message() {
        let message = "Resource handler returned message: \"Invalid request provided: CreateCluster Invalid Request: Unable to assume the service linked \
                     role. Please verify that the ECS service linked role exists.\"";
        assert!(lacks_service_linked_role(&event(
            "Cluster",
            "AWS::ECS::Cluster",
            "CREATE_FAILED",
            Some(message)
        )));
        assert!(!lacks_service_linked_role(&event("Vpc", "AWS::EC2::VPC", "CREATE_FAILED", Some(message))));
        assert!(!lacks_service_linked_role(&event("Cluster", "AWS::ECS::Cluster", "CREATE_FAILED", None)));
    }

    #[test]
    fn a_status_began_with_the_event_that_reported_it() {
        let stack = Stack {
            id: ID.into(),
            status: "CREATE_COMPLETE".into(),
            changed_at: Some(Timestamp::UNIX_EPOCH),
            ..Stack::default()
        };
        let entered = stack_event("CREATE_COMPLETE", None);
        assert_eq!(since(&stack, std::slice::from_ref(&entered)), Some(entered.at));
        assert_eq!(since(&stack, &[]), Some(Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn a_stack_is_ours_by_its_tag_or_its_description() {
        let foreign = Stack { description: Some("A shop".into()), ..Stack::default() };
        assert!(!foreign.is_foundation());
        let tagged = Stack { tags: [(FOUNDATION_TAG.into(), "x".into())].into(), ..foreign.clone() };
        assert!(tagged.is_foundation());
        let by_hand = Stack { description: Some(format!("{DESCRIPTION}: a network")), ..Stack::default() };
        assert!(by_hand.is_foundation());
    }
}

//! Checks a request against the constraints of its service's model, and words the error as that
//! service does. In: a request, and the model. Out: nothing, or an error. No I/O.
//!
//! Constraints that AWS does not enforce, or is not known to enforce, are listed in
//! [`NOT_ENFORCED`] and are not checked.

use serde_json::Value;

use super::Operation;
use crate::call::AwsError;
use crate::constraints::{
    Constraint, Part, Rule, RuleKind, Step, Violation, plain, validation_message, violations,
};
use crate::models;

/// How a service words a violation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wording {
    /// "1 validation error detected: …", from the framework behind most services.
    Common,
    /// Its own wording, from the time of the query protocol. The service itself reports missing
    /// members.
    CloudWatch,
    /// Its own wording. Of its model, only the values of enums are enforced here; lengths and
    /// counts have their own rules and texts, which are next to the operations.
    Ecs,
}

/// Constraints that are not checked here: service, operation, path (including everything below it),
/// and the reason.
const NOT_ENFORCED: [(&str, &str, &str, &str); 9] = [
    (
        "ecs",
        "RegisterTaskDefinition",
        "",
        "Fargate's rules and texts for definitions are in `ecs/ops/fargate`",
    ),
    (
        "ecs",
        "CreateService",
        "",
        "the tables reject unsupported members by name; `ecs/ops/service_settings` checks the others",
    ),
    (
        "ecs",
        "UpdateService",
        "",
        "the tables reject unsupported members by name; `ecs/ops/service_settings` checks the others",
    ),
    ("logs", "PutLogEvents", "sequenceToken", "AWS ignores it"),
    ("logs", "PutLogEvents", "entity", "AWS accepts the events and returns rejectedEntityInfo"),
    (
        "monitoring",
        "PutMetricData",
        "EntityMetricData.Entity",
        "without StrictEntityValidation AWS accepts the data",
    ),
    (
        "monitoring",
        "PutDashboard",
        "Tags",
        "it is not known which error AWS returns; the service checks tags",
    ),
    ("monitoring", "TagResource", "Tags", "it is not known which error AWS returns; the service checks tags"),
    ("ssm", "PutParameter", "Type", "AWS lists the values in another order; the service checks them"),
];

/// Why a member's constraints are not checked; `None` if they are. Paths do not contain list
/// positions.
pub(super) fn not_enforced(service: &str, operation: &str, path: &str) -> Option<&'static str> {
    let covers = |prefix: &str| {
        prefix.is_empty()
            || path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    NOT_ENFORCED
        .iter()
        .find(|(of, named, prefix, _)| *of == service && *named == operation && covers(prefix))
        .map(|(.., why)| *why)
}

/// Rejects a request that violates its model's constraints.
pub(super) fn check(service: &str, operation: &Operation, input: &Value) -> Result<(), AwsError> {
    let Some(Rule { kind: RuleKind::Structure(members), .. }) = models::input(service, operation.name) else {
        return Ok(());
    };
    let wording = match service {
        "ecs" => Wording::Ecs,
        "monitoring" => Wording::CloudWatch,
        _ => Wording::Common,
    };
    let mut found = violations(input, members.iter().map(|(name, rule)| (name.as_str(), rule)));
    found.retain(|violation| {
        wording.reports(violation)
            && not_enforced(service, operation.name, &table_path(&violation.path)).is_none()
    });
    match (found.first(), wording) {
        (None, _) => Ok(()),
        (Some(_), Wording::Common) => Err(AwsError::client(operation.error_code, validation_message(&found))),
        (Some(first), Wording::CloudWatch) => {
            Err(AwsError::client(operation.error_code, cloudwatch_message(first)))
        }
        (Some(first), Wording::Ecs) => Err(AwsError::client(operation.error_code, ecs_message(first))),
    }
}

impl Wording {
    fn reports(self, violation: &Violation<'_>) -> bool {
        let (constraint, is_list) = (&violation.constraint, violation.value.is_array());
        match self {
            Self::Common => true,
            // The query protocol cannot distinguish an empty list from a missing one.
            Self::CloudWatch => match constraint {
                Constraint::NotNull => false,
                Constraint::LeastLength(_) => !is_list,
                _ => true,
            },
            Self::Ecs => matches!(broken(constraint), Constraint::Values(_)),
        }
    }
}

/// The violated constraint, of the member itself or of one of its items.
fn broken<'a, 'b>(constraint: &'b Constraint<'a>) -> &'b Constraint<'a> {
    match constraint {
        Constraint::Parts(Part { broken, .. }) => broken,
        other => other,
    }
}

/// A path in the form of the tables.
fn table_path(path: &[Step<'_>]) -> String {
    let names = path.iter().filter_map(|step| match step {
        Step::Member(name) => Some(*name),
        Step::Item(_) | Step::Key(_) => None,
    });
    names.collect::<Vec<_>>().join(".")
}

/// "The parameter MetricData.member.20.Dimensions.member.4.Value must be shorter than 257
/// characters" (aws/amazon-cloudwatch-agent, issue 240); the other texts are the same as in
/// `cloudwatch/ops/put_metric_data`.
fn cloudwatch_message(violation: &Violation<'_>) -> String {
    let mut path = String::new();
    for step in &violation.path {
        let dot = if path.is_empty() { "" } else { "." };
        match step {
            Step::Member(name) | Step::Key(name) => path.push_str(&format!("{dot}{name}")),
            Step::Item(position) => path.push_str(&format!("{dot}member.{position}")),
        }
    }
    let mut shown = plain(violation.value);
    if let Constraint::Parts(part) = &violation.constraint {
        path.push_str(&format!(".member.{}", part.position));
        shown.clone_from(&part.shown);
    }
    match broken(&violation.constraint) {
        Constraint::MostLength(most) if violation.value.is_array() && !is_part(violation) => {
            format!("The collection {path} must not have a size greater than {most}.")
        }
        Constraint::MostLength(most) => {
            format!("The parameter {path} must be shorter than {} characters.", most + 1.0)
        }
        _ => format!("The value {shown} for parameter {path} is invalid."),
    }
}

fn is_part(violation: &Violation<'_>) -> bool {
    matches!(violation.constraint, Constraint::Parts(_))
}

/// "include should be one of [ATTACHMENTS,SETTINGS,STATISTICS,TAGS]"
/// (hashicorp/terraform-provider-aws, issue 23342), "Invalid setting 'value'"
/// (terraform-aws-modules/terraform-aws-ecs, issue 264).
fn ecs_message(violation: &Violation<'_>) -> String {
    let path = table_path(&violation.path);
    let member = path.rsplit('.').next().unwrap_or_default();
    match broken(&violation.constraint) {
        _ if path.starts_with("settings.") => format!("Invalid setting '{member}'"),
        Constraint::Values(values) => format!("{member} should be one of [{}]", values.join(",")),
        _ => format!("Invalid {member}"),
    }
}

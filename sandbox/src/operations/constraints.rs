//! Whether a request keeps the constraints of its service's model, and what it is told in the words
//! of that service. In: a request, and the model. Out: nothing, or a refusal. No I/O.
//!
//! A constraint that AWS does not enforce, or of which that is not known, is in [`LEFT`] and
//! refuses nothing.

use serde_json::Value;

use super::Operation;
use crate::constraints::{Constraint, Kind, Part, Rule, Step, Violation, plain, told, violations};
use crate::models;
use crate::services::AwsError;

/// How a service words what a member does not keep.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wording {
    /// "1 validation error detected: …", of the framework behind most services.
    Common,
    /// Its own, from the time of the query protocol. What is missing the service itself refuses.
    CloudWatch,
    /// Its own. Of its model only the values of enums are enforced as such; lengths and counts have
    /// rules and texts of their own, which lie with the operations.
    Ecs,
}

/// Members, with all that they hold, whose constraints refuse nothing here, by service, operation
/// and path; and why.
const LEFT: [(&str, &str, &str, &str); 9] = [
    ("ecs", "RegisterTaskDefinition", "", "Fargate's rules and texts for definitions are in `ecs/fargate`"),
    (
        "ecs",
        "CreateService",
        "",
        "what of a service is not offered is named; the rest `ecs/service_settings` reads",
    ),
    (
        "ecs",
        "UpdateService",
        "",
        "what of a service is not offered is named; the rest `ecs/service_settings` reads",
    ),
    ("logs", "PutLogEvents", "sequenceToken", "AWS ignores it"),
    ("logs", "PutLogEvents", "entity", "AWS takes the events and answers rejectedEntityInfo"),
    (
        "monitoring",
        "PutMetricData",
        "EntityMetricData.Entity",
        "without StrictEntityValidation AWS takes the data",
    ),
    ("monitoring", "PutDashboard", "Tags", "which error carries it is not known; the service reads tags"),
    ("monitoring", "TagResource", "Tags", "which error carries it is not known; the service reads tags"),
    ("ssm", "PutParameter", "Type", "AWS lists the values in another order, which the service knows"),
];

/// Why a member's constraints refuse nothing, if they do not. Lists do not show in paths.
pub(super) fn left(service: &str, operation: &str, path: &str) -> Option<&'static str> {
    let holds = |left: &str| {
        left.is_empty()
            || path.strip_prefix(left).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    LEFT.iter()
        .find(|(of, named, left, _)| *of == service && *named == operation && holds(left))
        .map(|(.., why)| *why)
}

/// Refuses a request that does not keep its model's constraints.
pub(super) fn check(service: &str, operation: &Operation, input: &Value) -> Result<(), AwsError> {
    let Some(Rule { kind: Kind::Structure(members), .. }) = models::input(service, operation.name) else {
        return Ok(());
    };
    let wording = match service {
        "ecs" => Wording::Ecs,
        "monitoring" => Wording::CloudWatch,
        _ => Wording::Common,
    };
    let mut found = violations(input, members.iter().map(|(name, rule)| (name.as_str(), rule)));
    found.retain(|violation| {
        wording.tells(violation) && left(service, operation.name, &table_path(&violation.path)).is_none()
    });
    match (found.first(), wording) {
        (None, _) => Ok(()),
        (Some(_), Wording::Common) => Err(AwsError::client(operation.refusal, told(&found))),
        (Some(first), Wording::CloudWatch) => {
            Err(AwsError::client(operation.refusal, told_by_cloudwatch(first)))
        }
        (Some(first), Wording::Ecs) => Err(AwsError::client(operation.refusal, told_by_ecs(first))),
    }
}

impl Wording {
    fn tells(self, violation: &Violation<'_>) -> bool {
        let (constraint, is_list) = (&violation.constraint, violation.value.is_array());
        match self {
            Self::Common => true,
            // An empty list cannot be told from none in the query protocol.
            Self::CloudWatch => match constraint {
                Constraint::NotNull => false,
                Constraint::LeastLength(_) => !is_list,
                _ => true,
            },
            Self::Ecs => matches!(broken(constraint), Constraint::Values(_)),
        }
    }
}

/// The constraint itself, of a member or of what it holds.
fn broken<'a, 'b>(constraint: &'b Constraint<'a>) -> &'b Constraint<'a> {
    match constraint {
        Constraint::Parts(Part { broken, .. }) => broken,
        other => other,
    }
}

/// A path as the tables have it.
fn table_path(path: &[Step<'_>]) -> String {
    let names = path.iter().filter_map(|step| match step {
        Step::Member(name) => Some(*name),
        Step::Item(_) | Step::Key(_) => None,
    });
    names.collect::<Vec<_>>().join(".")
}

/// "The parameter MetricData.member.20.Dimensions.member.4.Value must be shorter than 257
/// characters" (aws/amazon-cloudwatch-agent, issue 240); the other texts are those of
/// `cloudwatch/ingestion`.
fn told_by_cloudwatch(violation: &Violation<'_>) -> String {
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
fn told_by_ecs(violation: &Violation<'_>) -> String {
    let path = table_path(&violation.path);
    let member = path.rsplit('.').next().unwrap_or_default();
    match broken(&violation.constraint) {
        _ if path.starts_with("settings.") => format!("Invalid setting '{member}'"),
        Constraint::Values(values) => format!("{member} should be one of [{}]", values.join(",")),
        _ => format!("Invalid {member}"),
    }
}

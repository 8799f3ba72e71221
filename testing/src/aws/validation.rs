//! Constraints of AWS's service models that a run's names and tags could violate (botocore's
//! models, `min` and `pattern`). In: a request's members. Out: nothing, or AWS's error.

use super::{ApiError, api_error};
use kinesis_demo_operator::aws::Tags;

/// A name's member in the request, the characters that it may have, and its maximum length.
pub(super) struct NameRule {
    member: &'static str,
    /// As the error message quotes it.
    pattern: &'static str,
    punctuation: &'static str,
    max_length: usize,
    /// The error code of a violation.
    code: &'static str,
}

pub(super) const STREAM_NAME: NameRule = NameRule {
    member: "streamName",
    pattern: "[a-zA-Z0-9_.-]+",
    punctuation: "_.-",
    max_length: 128,
    code: "ValidationException",
};

pub(super) const LOG_GROUP_NAME: NameRule = NameRule {
    member: "logGroupName",
    pattern: r"[\.\-_/#A-Za-z0-9]+",
    punctuation: ".-_/#",
    max_length: 512,
    code: "InvalidParameterException",
};

impl NameRule {
    /// Rejects a name that violates the rule.
    pub(super) fn check(&self, name: &str) -> Result<(), ApiError> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || self.punctuation.contains(c);
        let constraint = if !name.chars().all(is_allowed) {
            format!("Member must satisfy regular expression pattern: {}", self.pattern)
        } else if name.len() > self.max_length {
            format!("Member must have length less than or equal to {}", self.max_length)
        } else {
            return Ok(());
        };
        Err(violation(self.code, name, self.member, &constraint))
    }
}

/// Rejects an empty map of tags, which Kinesis and CloudWatch Logs do not accept.
pub(super) fn check_tags(code: &'static str, tags: &Tags) -> Result<(), ApiError> {
    if tags.is_empty() {
        return Err(violation(code, "{}", "tags", "Member must have length greater than or equal to 1"));
    }
    Ok(())
}

/// The error of the framework behind most services.
pub(super) fn violation(code: &'static str, value: &str, member: &str, constraint: &str) -> ApiError {
    let text = format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {constraint}"
    );
    api_error(code, text)
}

/// Whether ECS accepts the name of a service or a family: up to 255 letters, digits, hyphens and
/// underscores (CreateService and RegisterTaskDefinition references).
pub(super) fn is_ecs_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

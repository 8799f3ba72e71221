//! Checks the parameters of a request. In: the parameters of an operation and a request. Out: the
//! same parameters, or AWS's error. Pure.
//!
//! Kinesis does this itself, unlike the other services, because the order in which AWS reports its
//! violations is known. Constraints are those of the service model; a test compares them.
//! ferrokinesis checks types, with AWS's error texts. `constraints` checks the constraints, both
//! here and in the fast path of `PutRecords`.

pub mod fields;

use std::sync::LazyLock;

use ferrokinesis::validation::{FieldDef, FieldType, check_types};
use serde_json::Value;

use super::errors;
use crate::call::AwsError;
use crate::constraints::{self, Pattern, Rule, RuleKind, violations};
use crate::operations::{is_unset, not_supported};
use crate::parameters::Usage::{self, Rejected, Supported};
use crate::parameters::first_rejected;
use fields::{MOST_DATA, MOST_RECORDS, hash_key, partition_key, stream_arn, stream_name, string};

/// A parameter of a request.
pub struct Parameter {
    pub name: &'static str,
    pub rule: FieldDef,
    pub constraints: Rule,
    pub usage: Usage,
}

impl Parameter {
    pub fn new(name: &'static str, rule: FieldDef, usage: Usage) -> Self {
        Self { name, constraints: constraints_of(&rule), rule, usage }
    }
}

/// Parameters with the effect that AWS documents.
pub fn supported(members: Vec<(&'static str, FieldDef)>) -> Vec<Parameter> {
    members.into_iter().map(|(name, rule)| Parameter::new(name, rule, Supported)).collect()
}

/// The same, plus the `StreamId` that all operations of the model have.
pub fn with_id(members: Vec<(&'static str, FieldDef)>) -> Vec<Parameter> {
    let mut members = supported(members);
    let rule = string().regex(fields::STREAM_ID).len_gte(1).len_lte(24);
    let usage = Rejected("AWS reserves it for future use; name the stream by StreamName or an ARN");
    members.push(Parameter::new("StreamId", rule, usage));
    members
}

/// The parameters of an operation on a stream, plus the stream's name and ARN.
pub fn on_stream(mut members: Vec<(&'static str, FieldDef)>) -> Vec<Parameter> {
    members.push(("StreamARN", stream_arn()));
    members.push(("StreamName", stream_name()));
    with_id(members)
}

/// The rules of the parameters of `PutRecords`, which are checked one by one.
pub struct PutRules {
    /// `StreamName`
    pub stream_name: Rule,
    /// `StreamARN`
    pub stream_arn: Rule,
    /// `PartitionKey`
    pub key: Rule,
    /// `ExplicitHashKey`
    pub hash: Rule,
    /// The maximum number of records.
    pub most_records: usize,
    /// The maximum size of `Data`, in bytes.
    pub most_data: usize,
}

/// See [`PutRules`].
pub static PUT_RULES: LazyLock<PutRules> = LazyLock::new(|| PutRules {
    stream_name: constraints_of(&stream_name()),
    stream_arn: constraints_of(&stream_arn()),
    key: constraints_of(&partition_key()),
    hash: constraints_of(&hash_key()),
    most_records: MOST_RECORDS,
    most_data: MOST_DATA,
});

/// The constraints in the form that is common to all services.
fn constraints_of(rule: &FieldDef) -> Rule {
    let length = |length: usize| length as f64;
    let lengths = |bounds: Option<(usize, usize)>| Rule {
        kind: RuleKind::Text,
        least: bounds.map(|(least, _)| length(least)),
        most: bounds.map(|(_, most)| length(most)),
        ..Rule::default()
    };
    let kind = match &rule.field_type {
        FieldType::Boolean | FieldType::Timestamp => RuleKind::Plain,
        FieldType::Short | FieldType::Integer | FieldType::Long | FieldType::Double => RuleKind::Number,
        FieldType::String => RuleKind::Text,
        FieldType::Blob => RuleKind::Blob,
        FieldType::List { children } if rule.child_lengths.is_none() => {
            RuleKind::List(Box::new(constraints_of(children)))
        }
        FieldType::List { .. } => RuleKind::List(Box::new(lengths(rule.child_lengths))),
        FieldType::Map { .. } => RuleKind::Map(
            Box::new(lengths(rule.child_key_lengths)),
            Box::new(lengths(rule.child_value_lengths)),
        ),
        FieldType::Structure { children } => RuleKind::Structure(
            children.iter().map(|(name, child)| (name.clone(), constraints_of(child))).collect(),
        ),
    };
    Rule {
        kind,
        required: rule.not_null,
        least: rule.greater_than_or_equal.or(rule.length_greater_than_or_equal.map(length)),
        most: rule.less_than_or_equal.or(rule.length_less_than_or_equal.map(length)),
        pattern: rule.regex.as_deref().and_then(Pattern::new),
        values: rule.enum_values.clone(),
    }
}

/// The request's parameters, checked against the model.
pub fn check(parameters: &[Parameter], operation: &str, input: &Value) -> Result<Value, AwsError> {
    let rules: Vec<(&str, &FieldDef)> =
        parameters.iter().map(|parameter| (parameter.name, &parameter.rule)).collect();
    let mistyped = |error: ferrokinesis::error::KinesisErrorResponse| {
        AwsError::client(&error.body.error_type, error.body.message.unwrap_or_default())
    };
    let checked = check_types(input, &rules).map_err(mistyped)?;
    let found =
        violations(&checked, parameters.iter().map(|parameter| (parameter.name, &parameter.constraints)));
    if !found.is_empty() {
        return Err(errors::validation(constraints::validation_message(&found)));
    }
    let known = |name: &str| parameters.iter().find(|parameter| parameter.name == name);
    for (name, value) in input.as_object().into_iter().flatten() {
        let unknown = match known(name) {
            Some(parameter) => {
                unknown_member(&parameter.constraints, value).map(|below| format!("{name}.{below}"))
            }
            None => (!is_unset(value)).then(|| name.clone()),
        };
        if let Some(unknown) = unknown {
            return Err(errors::invalid(not_supported(operation, &unknown)));
        }
    }
    match first_rejected(&checked, parameters.iter().map(|parameter| (parameter.name, parameter.usage))) {
        Some(message) => Err(errors::invalid(message)),
        None => Ok(checked),
    }
}

/// The first member below a value that no model knows and that is not empty. Its path contains no
/// list positions.
fn unknown_member(rule: &Rule, value: &Value) -> Option<String> {
    match (&rule.kind, value) {
        (RuleKind::List(item), Value::Array(items)) => {
            items.iter().find_map(|value| unknown_member(item, value))
        }
        (RuleKind::Structure(members), Value::Object(given)) => {
            given.iter().find_map(|(name, value)| match members.iter().find(|(member, _)| member == name) {
                Some((_, rule)) => unknown_member(rule, value).map(|below| format!("{name}.{below}")),
                None => (!is_unset(value)).then(|| name.clone()),
            })
        }
        _ => None,
    }
}

//! Log groups and their retention. In: one region's groups and a request. Out: the response. No
//! I/O.

use serde_json::Value;

use crate::call::AwsError;
use crate::operations::NOT_SUPPORTED;
use crate::parameters::TAGS_PER_RESOURCE;
use crate::services::logs::request::Request;
use crate::services::logs::state::{Group, Groups, existing};
use crate::services::logs::{errors, view};

/// PutRetentionPolicy reference, retentionInDays.
const RETENTION_DAYS: [i64; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

pub fn create_log_group(groups: &mut Groups, request: Request<'_>) -> Result<Value, AwsError> {
    let name = request.group_name()?;
    let tags = request.input.tag_map("tags")?;
    if tags.len() > TAGS_PER_RESOURCE {
        return Err(request.input.invalid("A log group can have at most 50 tags"));
    }
    let class = match request.input.text("logGroupClass")?.unwrap_or("STANDARD") {
        class @ "STANDARD" => class,
        // Groups of the other classes differ in how they are stored and read.
        other => return Err(request.input.invalid(format!("the log group class {other} {NOT_SUPPORTED}"))),
    };
    if groups.contains_key(name) {
        return Err(errors::group_exists());
    }
    groups.insert(name.to_owned(), Group::new(request.wall, class, tags));
    Ok(Value::Null)
}

pub fn delete_log_group(groups: &mut Groups, request: Request<'_>) -> Result<Value, AwsError> {
    let name = request.group_name()?;
    existing(groups, name)?;
    groups.remove(name);
    Ok(Value::Null)
}

pub fn put_retention_policy(groups: &mut Groups, request: Request<'_>) -> Result<Value, AwsError> {
    let days = request.input.required_integer("retentionInDays")?;
    let group = existing(groups, request.group_name()?)?;
    if !RETENTION_DAYS.contains(&days) {
        return Err(request.input.invalid(format!(
            "1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: {RETENTION_DAYS:?}"
        )));
    }
    group.retention_days = Some(days);
    Ok(Value::Null)
}

pub fn delete_retention_policy(groups: &mut Groups, request: Request<'_>) -> Result<Value, AwsError> {
    existing(groups, request.group_name()?)?.retention_days = None;
    Ok(Value::Null)
}

pub fn describe_log_groups(groups: &mut Groups, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
    let (prefix, pattern) = (input.text("logGroupNamePrefix")?, input.text("logGroupNamePattern")?);
    if prefix.is_some() && pattern.is_some() {
        return Err(input
            .invalid("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."));
    }
    let class = input.text("logGroupClass")?;
    let matching = groups
        .iter()
        .filter(|(_, group)| class.is_none_or(|class| group.class == class))
        .filter(|(name, _)| prefix.is_none_or(|prefix| name.starts_with(prefix)))
        .filter(|(name, _)| pattern.is_none_or(|pattern| name.contains(pattern)))
        .map(|(name, group)| (name.clone(), view::group(request, name, group)));
    request.paged("logGroups", matching)
}

//! Log groups and streams: their data and the operations on them. In: one region's groups and a
//! request. Out: the response. No I/O.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::events::Event;
use super::{GROUP_BYTES, Groups, INVALID_REQUEST, Request};
use crate::arn::Arn;
use crate::call::AwsError;
use crate::operations::NOT_SUPPORTED;
use crate::paging::page;
use crate::parameters::{TAGS_PER_RESOURCE, Tags};

/// PutRetentionPolicy reference, retentionInDays.
const RETENTION_DAYS: [i64; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];
/// The bytes that AWS adds to each event's size (PutLogEvents reference).
pub(super) const EVENT_OVERHEAD: usize = 26;

#[derive(Debug, Default)]
pub(super) struct Stream {
    pub created: i64,
    pub first_event: Option<i64>,
    pub last_event: Option<i64>,
    pub last_ingestion: Option<i64>,
}

#[derive(Debug)]
pub(super) struct Group {
    created: i64,
    class: String,
    retention_days: Option<i64>,
    tags: Tags,
    pub streams: BTreeMap<String, Stream>,
    /// In the order of arrival.
    pub events: VecDeque<Event>,
    bytes: usize,
    arrivals: u64,
}

impl Group {
    pub fn create_stream(&mut self, name: &str, wall: i64) -> Result<(), AwsError> {
        if name.is_empty() || name.len() > 512 || name.contains([':', '*']) {
            return Err(AwsError::client(
                INVALID_REQUEST,
                format!(
                    "1 validation error detected: Value '{name}' at 'logStreamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [^:*]*"
                ),
            ));
        }
        if self.streams.contains_key(name) {
            return Err(AwsError::client(
                "ResourceAlreadyExistsException",
                "The specified log stream already exists",
            ));
        }
        self.streams.insert(name.to_owned(), Stream { created: wall, ..Stream::default() });
        Ok(())
    }

    /// Appends an event to an existing stream, and removes the oldest events while the group
    /// exceeds its limit.
    pub fn append(&mut self, stream: &str, timestamp: i64, message: String, wall: i64, now: Timestamp) {
        let Some(stream_state) = self.streams.get_mut(stream) else { return };
        stream_state.first_event =
            Some(stream_state.first_event.map_or(timestamp, |first| first.min(timestamp)));
        stream_state.last_event = Some(stream_state.last_event.map_or(timestamp, |last| last.max(timestamp)));
        stream_state.last_ingestion = Some(wall);
        self.bytes += message.len() + EVENT_OVERHEAD;
        self.arrivals += 1;
        self.events.push_back(Event {
            stream: stream.to_owned(),
            timestamp,
            arrival: self.arrivals,
            message,
            ingested: wall,
            visible_at: now.saturating_add(super::INGESTION_DELAY).unwrap_or(now),
        });
        while self.bytes > GROUP_BYTES {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.message.len() + EVENT_OVERHEAD;
        }
    }

    pub fn state(&self, name: &str) -> Value {
        json!({
            "logGroupName": name,
            "retentionInDays": self.retention_days,
            "tags": self.tags,
            "streams": self.streams.keys().collect::<Vec<_>>(),
            "events": self.events.len(),
            "storedBytes": self.bytes,
        })
    }
}

/// The group with this name, or AWS's error.
pub(super) fn existing<'a>(groups: &'a mut Groups, name: &str) -> Result<&'a mut Group, AwsError> {
    groups.get_mut(name).ok_or_else(no_such_group)
}

pub(super) fn no_such_stream() -> AwsError {
    AwsError::client("ResourceNotFoundException", "The specified log stream does not exist.")
}

/// The group given by name in `logGroupName`, or by name or ARN in `logGroupIdentifier`.
pub(super) fn requested_group<'a>(
    groups: &'a mut Groups,
    request: Request<'_>,
) -> Result<(String, &'a mut Group), AwsError> {
    let input = request.input;
    let name = match (input.text("logGroupName")?, input.text("logGroupIdentifier")?) {
        (Some(name), None) => name,
        (None, Some(identifier)) if identifier.starts_with("arn:") => name_in_arn(request, identifier)?,
        (None, Some(name)) => name,
        _ => {
            return Err(input
                .invalid("Exactly one of the parameters logGroupName and logGroupIdentifier is required"));
        }
    };
    Ok((name.to_owned(), existing(groups, name)?))
}

fn no_such_group() -> AwsError {
    AwsError::client("ResourceNotFoundException", "The specified log group does not exist.")
}

/// The name of the group in an ARN. Groups of another Region or account are not found, because
/// accounts cannot be linked.
fn name_in_arn<'a>(request: Request<'_>, arn: &'a str) -> Result<&'a str, AwsError> {
    let named = Arn::parse(arn).and_then(|arn| arn.resource.strip_prefix("log-group:"));
    let name = named.ok_or_else(|| request.input.invalid("Invalid resource ARN."))?;
    Arn::own(arn, "logs", request.region, request.account).ok_or_else(no_such_group)?;
    Ok(name.strip_suffix(":*").unwrap_or(name))
}

fn arn(request: Request<'_>, name: &str) -> String {
    format!("arn:aws:logs:{}:{}:log-group:{name}", request.region, request.account)
}

fn checked_group_name<'a>(request: Request<'a>) -> Result<&'a str, AwsError> {
    let name = request.input.required_text("logGroupName")?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | '#');
    if name.is_empty() || name.len() > 512 || !name.chars().all(allowed) {
        return Err(request.input.invalid(format!(
            "1 validation error detected: Value '{name}' at 'logGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+"
        )));
    }
    Ok(name)
}

pub(super) fn create_log_group(groups: &mut Groups, request: Request<'_>) -> Result<Value, AwsError> {
    let name = checked_group_name(request)?;
    let tags = request.input.tag_map("tags")?;
    if tags.len() > TAGS_PER_RESOURCE {
        return Err(request.input.invalid("A log group can have at most 50 tags"));
    }
    let class = match request.input.text("logGroupClass")?.unwrap_or("STANDARD") {
        class @ "STANDARD" => class.to_owned(),
        // Groups of the other classes differ in how they are stored and read.
        other => return Err(request.input.invalid(format!("the log group class {other} {NOT_SUPPORTED}"))),
    };
    if groups.contains_key(name) {
        return Err(AwsError::client(
            "ResourceAlreadyExistsException",
            "The specified log group already exists",
        ));
    }
    let group = Group {
        created: request.wall,
        class,
        retention_days: None,
        tags,
        streams: BTreeMap::new(),
        events: VecDeque::new(),
        bytes: 0,
        arrivals: 0,
    };
    groups.insert(name.to_owned(), group);
    Ok(Value::Null)
}

pub(super) fn delete_log_group(groups: &mut Groups, request: Request<'_>) -> Result<Value, AwsError> {
    let name = checked_group_name(request)?;
    existing(groups, name)?;
    groups.remove(name);
    Ok(Value::Null)
}

pub(super) fn put_retention_policy(groups: &mut Groups, request: Request<'_>) -> Result<Value, AwsError> {
    let days = request.input.required_integer("retentionInDays")?;
    let group = existing(groups, checked_group_name(request)?)?;
    if !RETENTION_DAYS.contains(&days) {
        return Err(request.input.invalid(format!(
            "1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: {RETENTION_DAYS:?}"
        )));
    }
    group.retention_days = Some(days);
    Ok(Value::Null)
}

pub(super) fn delete_retention_policy(groups: &mut Groups, request: Request<'_>) -> Result<Value, AwsError> {
    existing(groups, checked_group_name(request)?)?.retention_days = None;
    Ok(Value::Null)
}

pub(super) fn describe_log_groups(groups: &mut Groups, request: Request<'_>) -> Result<Value, AwsError> {
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
        .map(|(name, group)| {
            let arn = arn(request, name);
            let mut view = json!({
                "logGroupName": name,
                "creationTime": group.created,
                "metricFilterCount": 0,
                "arn": format!("{arn}:*"),
                "logGroupArn": arn,
                "storedBytes": group.bytes,
                "logGroupClass": group.class,
            });
            if let Some(days) = group.retention_days {
                view["retentionInDays"] = Value::from(days);
            }
            (name.clone(), view)
        });
    paged(request, "logGroups", matching)
}

/// "If you don't specify a value, the default is up to 50" (DescribeLogGroups, DescribeLogStreams).
fn paged(
    request: Request<'_>,
    member: &str,
    items: impl IntoIterator<Item = (String, Value)>,
) -> Result<Value, AwsError> {
    let limit = request.input.bounded("limit", 1..=50, 50)? as usize;
    let (items, next) = page(items, request.input.text("nextToken")?, limit)
        .map_err(|_| request.input.invalid("The specified nextToken is invalid."))?;
    let mut output = json!({ member: items });
    if let Some(next) = next {
        output["nextToken"] = Value::from(next);
    }
    Ok(output)
}

pub(super) fn create_log_stream(groups: &mut Groups, request: Request<'_>) -> Result<Value, AwsError> {
    let group = existing(groups, checked_group_name(request)?)?;
    group.create_stream(request.input.required_text("logStreamName")?, request.wall)?;
    Ok(Value::Null)
}

pub(super) fn delete_log_stream(groups: &mut Groups, request: Request<'_>) -> Result<Value, AwsError> {
    let group = existing(groups, checked_group_name(request)?)?;
    let name = request.input.required_text("logStreamName")?;
    group.streams.remove(name).ok_or_else(no_such_stream)?;
    group.events.retain(|event| event.stream != name);
    group.bytes = group.events.iter().map(|event| event.message.len() + EVENT_OVERHEAD).sum();
    Ok(Value::Null)
}

pub(super) fn describe_log_streams(groups: &mut Groups, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
    let (group_name, group) = requested_group(groups, request)?;
    let prefix = input.text("logStreamNamePrefix")?;
    let by_time = match input.text("orderBy")?.unwrap_or("LogStreamName") {
        "LogStreamName" => false,
        "LastEventTime" => true,
        other => return Err(input.invalid(format!("{other} is not an order of log streams"))),
    };
    if by_time && prefix.is_some() {
        return Err(input.invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
    }
    let arn = arn(request, &group_name);
    let mut streams: Vec<(String, Value)> = group
        .streams
        .iter()
        .filter(|(name, _)| prefix.is_none_or(|prefix| name.starts_with(prefix)))
        .map(|(name, stream)| {
            let mut view = json!({
                "logStreamName": name,
                "creationTime": stream.created,
                "arn": format!("{arn}:log-stream:{name}"),
                // "As of June 17, 2019 this is always 0" (LogStream data type, storedBytes).
                "storedBytes": 0,
            });
            let times = [
                ("firstEventTimestamp", stream.first_event),
                ("lastEventTimestamp", stream.last_event),
                ("lastIngestionTime", stream.last_ingestion),
            ];
            for (member, time) in times {
                if let Some(time) = time {
                    view[member] = Value::from(time);
                }
            }
            let key = if by_time {
                format!("{:020} {name}", stream.last_event.unwrap_or_default())
            } else {
                name.clone()
            };
            (key, view)
        })
        .collect();
    streams.sort_by(|(left, _), (right, _)| left.cmp(right));
    if input.flag("descending")?.unwrap_or(false) {
        // Pagination needs ascending keys, so the reversed order gets new ones.
        streams.reverse();
        streams = streams
            .into_iter()
            .enumerate()
            .map(|(index, (_, view))| (format!("{index:012}"), view))
            .collect();
    }
    paged(request, "logStreams", streams)
}

fn tagged<'a>(groups: &'a mut Groups, request: Request<'_>) -> Result<&'a mut Tags, AwsError> {
    let name = name_in_arn(request, request.input.required_text("resourceArn")?)?;
    existing(groups, name).map(|group| &mut group.tags)
}

pub(super) fn tag_resource(groups: &mut Groups, request: Request<'_>) -> Result<Value, AwsError> {
    let added = request.input.tag_map("tags")?;
    let tags = tagged(groups, request)?;
    let mut merged = tags.clone();
    merged.extend(added);
    if merged.len() > TAGS_PER_RESOURCE {
        return Err(AwsError::client("TooManyTagsException", "A resource can have no more than 50 tags."));
    }
    *tags = merged;
    Ok(Value::Null)
}

pub(super) fn untag_resource(groups: &mut Groups, request: Request<'_>) -> Result<Value, AwsError> {
    let keys = request.input.texts("tagKeys")?;
    tagged(groups, request)?.retain(|key, _| !keys.contains(&key.as_str()));
    Ok(Value::Null)
}

pub(super) fn list_tags_for_resource(groups: &mut Groups, request: Request<'_>) -> Result<Value, AwsError> {
    Ok(json!({"tags": tagged(groups, request)?}))
}

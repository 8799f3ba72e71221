//! Log streams. In: one region's groups and a request. Out: the response. No I/O.

use serde_json::Value;

use crate::call::AwsError;
use crate::services::logs::request::Request;
use crate::services::logs::state::{Groups, existing};
use crate::services::logs::view;

pub fn create_log_stream(groups: &mut Groups, request: Request<'_>) -> Result<Value, AwsError> {
    let group = existing(groups, request.group_name()?)?;
    group.create_stream(request.input.required_text("logStreamName")?, request.wall)?;
    Ok(Value::Null)
}

pub fn delete_log_stream(groups: &mut Groups, request: Request<'_>) -> Result<Value, AwsError> {
    let group = existing(groups, request.group_name()?)?;
    let name = request.input.required_text("logStreamName")?;
    group.delete_stream(name)?;
    Ok(Value::Null)
}

pub fn describe_log_streams(groups: &mut Groups, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
    let (group_name, group) = request.group(groups)?;
    let prefix = input.text("logStreamNamePrefix")?;
    let by_time = match input.text("orderBy")?.unwrap_or("LogStreamName") {
        "LogStreamName" => false,
        "LastEventTime" => true,
        other => return Err(input.invalid(format!("{other} is not an order of log streams"))),
    };
    if by_time && prefix.is_some() {
        return Err(input.invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
    }
    let arn = request.arn(&group_name);
    let mut streams: Vec<(String, Value)> = group
        .streams
        .iter()
        .filter(|(name, _)| prefix.is_none_or(|prefix| name.starts_with(prefix)))
        .map(|(name, stream)| {
            let key = if by_time {
                format!("{:020} {name}", stream.last_event.unwrap_or_default())
            } else {
                name.clone()
            };
            (key, view::stream(&arn, name, stream))
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
    request.paged("logStreams", streams)
}

//! How groups, streams and events become responses. In: the state and a request. Out: JSON. Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::request::Request;
use super::state::{Event, Group, Groups, LogStreamState};

/// `LogGroup`.
pub fn group(request: Request<'_>, name: &str, group: &Group) -> Value {
    let arn = request.arn(name);
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
    view
}

/// `LogStream`, in the group with this ARN.
pub fn stream(group_arn: &str, name: &str, stream: &LogStreamState) -> Value {
    let mut view = json!({
        "logStreamName": name,
        "creationTime": stream.created,
        "arn": format!("{group_arn}:log-stream:{name}"),
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
    view
}

/// `OutputLogEvent`, of one stream.
pub fn event(event: &Event) -> Value {
    json!({"timestamp": event.timestamp, "message": event.message, "ingestionTime": event.ingested})
}

/// `FilteredLogEvent`, of any stream.
pub fn filtered_event(event: &Event) -> Value {
    json!({
        "logStreamName": event.stream,
        "timestamp": event.timestamp,
        "message": event.message,
        "ingestionTime": event.ingested,
        // As on AWS: 56 digits, increasing with the event's order.
        "eventId": format!("{:056}", (event.timestamp as u128) << 64 | u128::from(event.arrival)),
    })
}

/// All regions, for `GET /_sandbox/state`.
pub fn all(regions: &BTreeMap<String, Groups>) -> Value {
    let view = |(name, group): (&String, &Group)| {
        json!({
            "logGroupName": name,
            "retentionInDays": group.retention_days,
            "tags": group.tags,
            "streams": group.streams.keys().collect::<Vec<_>>(),
            "events": group.events.len(),
            "storedBytes": group.bytes,
        })
    };
    let regions: BTreeMap<&String, Vec<Value>> =
        regions.iter().map(|(region, groups)| (region, groups.iter().map(view).collect())).collect();
    json!({ "logGroups": regions })
}

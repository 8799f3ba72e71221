//! Reading events. In: `GetLogEvents`, `FilterLogEvents`. Out: the events whose ingestion delay is
//! over. No I/O.
//!
//! Within a read, events are ordered by their timestamp, then by arrival. A token contains the last
//! event of its page, so pages neither repeat nor skip events that existed when the first page was
//! read.

use serde_json::{Value, json};

use crate::call::AwsError;
use crate::services::logs::model::filter_pattern::FilterPattern;
use crate::services::logs::request::Request;
use crate::services::logs::state::{EVENT_OVERHEAD, Event, Group, Groups};
use crate::services::logs::{errors, view};

/// "The maximum is as many log events as can fit in a response size of 1 MB, up to 10,000" (both
/// operations).
const PAGE_EVENTS: i64 = 10_000;
const PAGE_BYTES: usize = 1_048_576;

/// "Setting startFromHead to false is supported only when startTime is on or after Jan 1, 2024
/// 00:00:00 UTC" (FilterLogEvents).
const OLDEST_FIRST_UNTIL: i64 = 1_704_067_200_000;
/// The prefix of tokens of a search that starts with the latest event.
const LATEST_FIRST: &str = "b/";

/// The sort key of an event: its timestamp, then its arrival.
type EventKey = (i64, u64);

fn event_key(event: &Event) -> EventKey {
    (event.timestamp, event.arrival)
}

fn token((timestamp, arrival): EventKey) -> String {
    format!("{timestamp:016}{arrival:020}")
}

fn parse_token(token: &str) -> Result<EventKey, AwsError> {
    let parse = || {
        let (timestamp, arrival) = token.split_at_checked(16)?;
        Some((timestamp.parse().ok()?, arrival.parse().ok()?))
    };
    parse().ok_or_else(errors::invalid_next_token)
}

/// The visible events of the requested time range that match `matches`, in order. `startTime` is
/// inclusive. `endTime` is exclusive in GetLogEvents and inclusive in FilterLogEvents, as each
/// reference says.
fn visible<'a>(
    group: &'a Group,
    request: Request<'_>,
    end_inclusive: bool,
    matches: impl Fn(&Event) -> bool,
) -> Result<Vec<&'a Event>, AwsError> {
    let start = request.input.integer("startTime")?.unwrap_or(i64::MIN);
    let end = request.input.integer("endTime")?.unwrap_or(i64::MAX);
    let mut events: Vec<&Event> = group
        .events
        .iter()
        .filter(|event| event.visible_at <= request.now)
        .filter(|event| event.timestamp >= start)
        .filter(|event| event.timestamp < end || (end_inclusive && event.timestamp == end))
        .filter(|event| matches(event))
        .collect();
    events.sort_by_key(|event| event_key(event));
    Ok(events)
}

/// The first events, limited to what one response may contain.
fn page_of<'a>(events: impl Iterator<Item = &'a Event>, limit: usize) -> Vec<&'a Event> {
    let mut bytes = 0;
    events
        .take(limit)
        .take_while(|event| {
            bytes += event.message.len() + EVENT_OVERHEAD;
            bytes <= PAGE_BYTES
        })
        .collect()
}

pub fn get_log_events(groups: &mut Groups, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
    let limit = input.bounded("limit", 1..=PAGE_EVENTS, PAGE_EVENTS)? as usize;
    let from_head = input.flag("startFromHead")?.unwrap_or(false);
    let (_, group) = request.group(groups)?;
    let stream = input.required_text("logStreamName")?;
    if !group.streams.contains_key(stream) {
        return Err(errors::stream_not_found());
    }
    let events = visible(group, request, false, |event| event.stream == stream)?;

    let page: Vec<&Event>;
    let (before, after);
    match input.text("nextToken")?.map(|token| (token, token.split_once('/'))) {
        None => {
            page = if from_head {
                page_of(events.into_iter(), limit)
            } else {
                let mut latest = page_of(events.into_iter().rev(), limit);
                latest.reverse();
                latest
            };
            // If the page is empty, the forward token starts at the beginning.
            (before, after) = ((0, 0), (0, 0));
        }
        Some((_, Some(("f", rest)))) => {
            let start = parse_token(rest)?;
            page = page_of(events.into_iter().filter(|event| event_key(event) > start), limit);
            (before, after) = (start, start);
        }
        Some((_, Some(("b", rest)))) => {
            let end = parse_token(rest)?;
            let mut earlier = page_of(events.into_iter().rev().filter(|event| event_key(event) < end), limit);
            earlier.reverse();
            page = earlier;
            (before, after) = (end, end);
        }
        Some(_) => return Err(errors::invalid_next_token()),
    }
    // "If you have reached the end of the stream, it returns the same token you passed in"
    // (GetLogEvents reference).
    let first = page.first().map_or(before, |event| event_key(event));
    let last = page.last().map_or(after, |event| event_key(event));
    let events: Vec<Value> = page.iter().map(|event| view::event(event)).collect();
    Ok(json!({
        "events": events,
        "nextForwardToken": format!("f/{}", token(last)),
        "nextBackwardToken": format!("b/{}", token(first)),
    }))
}

pub fn filter_log_events(groups: &mut Groups, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
    let limit = input.bounded("limit", 1..=PAGE_EVENTS, PAGE_EVENTS)? as usize;
    let pattern = FilterPattern::parse(input.text("filterPattern")?.unwrap_or_default())?;
    let names = input.texts("logStreamNames")?;
    let prefix = input.text("logStreamNamePrefix")?;
    if !names.is_empty() && prefix.is_some() {
        return Err(
            input.invalid("The parameters logStreamNames and logStreamNamePrefix are mutually exclusive")
        );
    }
    if names.len() > 100 {
        return Err(input.invalid("A search covers at most 100 named log streams"));
    }
    let from_head = input.flag("startFromHead")?.unwrap_or(true);
    if !from_head && input.integer("startTime")?.is_none_or(|start| start < OLDEST_FIRST_UNTIL) {
        return Err(input.invalid(
            "startFromHead can be false only with a startTime on or after Jan 1, 2024 00:00:00 UTC",
        ));
    }
    let (_, group) = request.group(groups)?;
    if names.iter().any(|name| !group.streams.contains_key(*name)) {
        return Err(errors::stream_not_found());
    }
    // "If you provide both nextToken and startFromHead, the direction of the nextToken is used"
    // (FilterLogEvents).
    let (from_head, after) = match input.text("nextToken")? {
        None => (from_head, None),
        Some(token) => match token.strip_prefix(LATEST_FIRST) {
            Some(rest) => (false, Some(parse_token(rest)?)),
            None => (true, Some(parse_token(token)?)),
        },
    };
    let is_searched = |stream: &str| {
        (names.is_empty() || names.contains(&stream))
            && prefix.is_none_or(|prefix| stream.starts_with(prefix))
    };
    let mut events =
        visible(group, request, true, |event| is_searched(&event.stream) && pattern.matches(&event.message))?;
    if !from_head {
        events.reverse();
    }
    let is_after_token = |event: &&Event| {
        after.is_none_or(|after| if from_head { event_key(event) > after } else { event_key(event) < after })
    };
    let rest: Vec<&Event> = events.into_iter().filter(is_after_token).collect();
    let page = page_of(rest.iter().copied(), limit);
    let mut output = json!({
        "events": page.iter().map(|event| view::filtered_event(event)).collect::<Vec<_>>(),
        "searchedLogStreams": [],
    });
    if let (true, Some(last)) = (page.len() < rest.len(), page.last()) {
        let direction = if from_head { "" } else { LATEST_FIRST };
        output["nextToken"] = Value::from(format!("{direction}{}", token(event_key(last))));
    }
    Ok(output)
}

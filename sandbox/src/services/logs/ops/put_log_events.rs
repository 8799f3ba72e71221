//! `PutLogEvents`. In: one region's groups and a request. Out: which events were rejected. No I/O.
//!
//! Limits: PutLogEvents reference.

use serde_json::{Value, json};

use crate::call::AwsError;
use crate::parameters::Parameters;
use crate::services::logs::errors::{self, INVALID_REQUEST};
use crate::services::logs::request::Request;
use crate::services::logs::state::{EVENT_OVERHEAD, Groups, existing};

/// "The maximum batch size is 1,048,576 bytes", including 26 bytes for each message.
const BATCH_BYTES: usize = 1_048_576;
/// "The maximum number of log events in a batch is 10,000."
const BATCH_EVENTS: usize = 10_000;
/// "Each log event can be no larger than 1 MB."
const EVENT_BYTES: usize = 1_048_576;
const HOUR: i64 = 3_600_000;
/// "None of the log events in the batch can be more than 2 hours in the future" and "older than 14
/// days".
const FUTURE: i64 = 2 * HOUR;
const PAST: i64 = 14 * 24 * HOUR;
/// "A batch of log events in a single request cannot span more than 24 hours."
const SPAN: i64 = 24 * HOUR;

pub fn put_log_events(groups: &mut Groups, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
    let group = existing(groups, input.required_text("logGroupName")?)?;
    let stream = input.required_text("logStreamName")?;
    if !group.streams.contains_key(stream) {
        return Err(errors::stream_not_found());
    }
    let batch = input
        .list("logEvents")?
        .iter()
        .map(|event| {
            let event = Parameters::new(event, INVALID_REQUEST);
            Ok((event.required_integer("timestamp")?, event.required_text("message")?))
        })
        .collect::<Result<Vec<(i64, &str)>, AwsError>>()?;
    check_batch(input, &batch)?;

    // The positions refer to the batch as it was sent; the events between them are accepted.
    let too_old_until = batch.iter().take_while(|(at, _)| *at < request.wall - PAST).count();
    let too_new_from = batch.iter().take_while(|(at, _)| *at <= request.wall + FUTURE).count();
    for (at, message) in &batch[too_old_until..too_new_from.max(too_old_until)] {
        group.append(stream, *at, (*message).to_owned(), request.wall, request.now);
    }
    // Since 2023, sequence tokens are accepted and ignored but still returned (PutLogEvents
    // reference).
    let mut output = json!({"nextSequenceToken": format!("{:056}", group.events.len())});
    let mut rejected = serde_json::Map::new();
    if too_new_from < batch.len() {
        rejected.insert("tooNewLogEventStartIndex".to_owned(), Value::from(too_new_from));
    }
    if too_old_until > 0 {
        rejected.insert("tooOldLogEventEndIndex".to_owned(), Value::from(too_old_until));
    }
    if !rejected.is_empty() {
        output["rejectedLogEventsInfo"] = Value::Object(rejected);
    }
    Ok(output)
}

fn check_batch(input: Parameters<'_>, batch: &[(i64, &str)]) -> Result<(), AwsError> {
    if batch.is_empty() || batch.len() > BATCH_EVENTS {
        return Err(input.invalid(
            "1 validation error detected: Value at 'logEvents' failed to satisfy constraint: Member must have length between 1 and 10000, inclusive",
        ));
    }
    if let Some((_, long)) = batch.iter().find(|(_, message)| message.len() > EVENT_BYTES) {
        return Err(
            input.invalid(format!("Log event too large: {} bytes exceeds limit of 1048576", long.len()))
        );
    }
    if batch.iter().any(|(at, message)| *at < 0 || message.is_empty()) {
        return Err(input.invalid("Log events need a timestamp of 0 or more and a message that is not empty"));
    }
    let bytes: usize = batch.iter().map(|(_, message)| message.len() + EVENT_OVERHEAD).sum();
    if bytes > BATCH_BYTES {
        return Err(input.invalid(format!("Upload too large: {bytes} bytes exceeds limit of 1048576")));
    }
    if batch.windows(2).any(|pair| pair[0].0 > pair[1].0) {
        return Err(
            input.invalid("Log events in a single PutLogEvents request must be in chronological order.")
        );
    }
    let span = batch.last().map_or(0, |last| last.0) - batch.first().map_or(0, |first| first.0);
    if span > SPAN {
        return Err(input.invalid(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        ));
    }
    Ok(())
}

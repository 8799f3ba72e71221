//! What exists in CloudWatch Logs: groups, streams and events by region, limited in memory. With
//! time, an event becomes visible to reads. No I/O.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use super::errors;
use crate::call::AwsError;
use crate::parameters::Tags;

/// The time after its arrival until an event appears in reads, in model time. AWS specifies no
/// figure ("near real time", Logs user guide, concepts); tailing a group shows a few seconds.
pub const INGESTION_DELAY: SignedDuration = SignedDuration::from_secs(2);
/// The maximum bytes per group; the oldest events are removed first. Our choice, to bound memory in
/// a long run.
const GROUP_BYTES: usize = 64 * 1024 * 1024;
/// The bytes that AWS adds to each event's size (PutLogEvents reference).
pub const EVENT_OVERHEAD: usize = 26;

/// One region's groups, by name.
pub type Groups = BTreeMap<String, Group>;

/// A log group.
#[derive(Debug)]
pub struct Group {
    pub created: i64,
    pub class: String,
    pub retention_days: Option<i64>,
    pub tags: Tags,
    pub streams: BTreeMap<String, LogStreamState>,
    /// In the order of arrival.
    pub events: VecDeque<Event>,
    /// The size of the events.
    pub bytes: usize,
    ingested: u64,
}

/// A log stream.
#[derive(Debug, Default)]
pub struct LogStreamState {
    pub created: i64,
    pub first_event: Option<i64>,
    pub last_event: Option<i64>,
    pub last_ingestion: Option<i64>,
}

/// One event.
#[derive(Debug)]
pub struct Event {
    pub stream: String,
    /// The sender's timestamp, in milliseconds.
    pub timestamp: i64,
    /// The sequence number of its arrival at the group; unique within the group.
    pub arrival: u64,
    pub message: String,
    pub ingested: i64,
    /// The model time at which it becomes visible to reads.
    pub visible_at: Timestamp,
}

impl Event {
    /// Its size, as AWS counts it.
    fn bytes(&self) -> usize {
        self.message.len() + EVENT_OVERHEAD
    }
}

/// The group with this name, or AWS's error.
pub fn existing<'a>(groups: &'a mut Groups, name: &str) -> Result<&'a mut Group, AwsError> {
    groups.get_mut(name).ok_or_else(errors::group_not_found)
}

impl Group {
    /// An empty group.
    pub fn new(created: i64, class: &str, tags: Tags) -> Self {
        Self {
            created,
            class: class.to_owned(),
            retention_days: None,
            tags,
            streams: BTreeMap::new(),
            events: VecDeque::new(),
            bytes: 0,
            ingested: 0,
        }
    }

    pub fn create_stream(&mut self, name: &str, wall: i64) -> Result<(), AwsError> {
        if name.is_empty() || name.len() > 512 || name.contains([':', '*']) {
            return Err(errors::pattern_violated(name, "logStreamName", "[^:*]*"));
        }
        if self.streams.contains_key(name) {
            return Err(errors::stream_exists());
        }
        self.streams.insert(name.to_owned(), LogStreamState { created: wall, ..LogStreamState::default() });
        Ok(())
    }

    /// Deletes a stream and its events.
    pub fn delete_stream(&mut self, name: &str) -> Result<(), AwsError> {
        self.streams.remove(name).ok_or_else(errors::stream_not_found)?;
        self.events.retain(|event| event.stream != name);
        self.bytes = self.events.iter().map(Event::bytes).sum();
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
        self.ingested += 1;
        self.events.push_back(Event {
            stream: stream.to_owned(),
            timestamp,
            arrival: self.ingested,
            message,
            ingested: wall,
            visible_at: now.saturating_add(INGESTION_DELAY).unwrap_or(now),
        });
        while self.bytes > GROUP_BYTES {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.bytes();
        }
    }
}

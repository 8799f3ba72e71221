//! CloudWatch Logs. In: log operations, and lines of ECS containers. Out: AWS's responses. Keeps
//! groups, streams and events by region in memory, limited per group.
//!
//! Reads see an event only after an ingestion delay in model time, because AWS's reads lag behind
//! its writes.

mod events;
mod groups;
mod operations;
mod pattern;
mod reads;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::call::{AwsError, Call};
use crate::clock::ModelClock;
use crate::operations::Operation;
use crate::parameters::Parameters;
use crate::services::Service;
use crate::task_runner::{ContainerLogs, LogStream};
use groups::Group;

/// The time after its arrival until an event appears in reads, in model time. AWS specifies no
/// figure ("near real time", Logs user guide, concepts); tailing a group shows a few seconds.
pub const INGESTION_DELAY: SignedDuration = SignedDuration::from_secs(2);
/// The maximum bytes per group; the oldest events are removed first. Our choice, to bound memory in
/// a long run.
pub const GROUP_BYTES: usize = 64 * 1024 * 1024;

const INVALID_REQUEST: &str = "InvalidParameterException";

type Groups = BTreeMap<String, Group>;

/// The modelled CloudWatch Logs.
#[derive(Debug)]
pub struct Logs {
    clock: ModelClock,
    regions: Mutex<BTreeMap<String, Groups>>,
}

/// A request, with its model time and real time.
#[derive(Clone, Copy)]
struct Request<'a> {
    input: Parameters<'a>,
    region: &'a str,
    account: &'a str,
    /// Model time: determines what reads see.
    now: Timestamp,
    /// Real time in milliseconds: the timestamps of events and responses.
    wall: i64,
}

impl Logs {
    /// Creates the service, with no groups in any region.
    pub fn new(clock: ModelClock) -> Self {
        Self { clock, regions: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Groups>> {
        self.regions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ContainerLogs for Logs {
    /// As the awslogs driver does before the container starts.
    fn create_stream(&self, stream: &LogStream) -> Result<(), AwsError> {
        let LogStream { region, group, name } = stream;
        let wall = self.clock.moment().wall.as_millisecond();
        let mut regions = self.lock();
        let group = groups::existing(regions.entry(region.clone()).or_default(), group)?;
        match group.create_stream(name, wall) {
            Err(error) if error.code == "ResourceAlreadyExistsException" => Ok(()),
            other => other,
        }
    }

    fn append(&self, stream: &LogStream, line: String, written: Option<Timestamp>) {
        let LogStream { region, group, name } = stream;
        let moment = self.clock.moment();
        let mut regions = self.lock();
        if let Some(group) = regions.get_mut(region).and_then(|groups| groups.get_mut(group)) {
            let wall = moment.wall.as_millisecond();
            group.append(name, written.map_or(wall, Timestamp::as_millisecond), line, wall, moment.model);
        }
    }
}

#[async_trait]
impl Service for Logs {
    fn operations(&self) -> Option<&'static [Operation]> {
        Some(operations::OPERATIONS)
    }

    async fn call(&self, call: Call<'_>) -> Result<Value, AwsError> {
        let request = Request {
            input: Parameters::new(call.input, INVALID_REQUEST),
            region: &call.caller.region,
            account: &call.caller.account,
            now: call.now,
            wall: self.clock.wall_at(call.now).as_millisecond(),
        };
        let mut regions = self.lock();
        let groups = regions.entry(call.caller.region.clone()).or_default();
        match call.operation {
            "CreateLogGroup" => groups::create_log_group(groups, request),
            "DeleteLogGroup" => groups::delete_log_group(groups, request),
            "PutRetentionPolicy" => groups::put_retention_policy(groups, request),
            "DeleteRetentionPolicy" => groups::delete_retention_policy(groups, request),
            "DescribeLogGroups" => groups::describe_log_groups(groups, request),
            "CreateLogStream" => groups::create_log_stream(groups, request),
            "DeleteLogStream" => groups::delete_log_stream(groups, request),
            "DescribeLogStreams" => groups::describe_log_streams(groups, request),
            "TagResource" => groups::tag_resource(groups, request),
            "UntagResource" => groups::untag_resource(groups, request),
            "ListTagsForResource" => groups::list_tags_for_resource(groups, request),
            "PutLogEvents" => events::put_log_events(groups, request),
            "GetLogEvents" => reads::get_log_events(groups, request),
            "FilterLogEvents" => reads::filter_log_events(groups, request),
            other => Err(crate::operations::unknown("logs", other)),
        }
    }

    fn state(&self, _now: Timestamp) -> Value {
        let regions = self.lock();
        let groups_by_region: BTreeMap<_, _> = regions
            .iter()
            .map(|(region, groups)| {
                let groups: Vec<Value> = groups.iter().map(|(name, group)| group.state(name)).collect();
                (region.clone(), groups)
            })
            .collect();
        json!({"logGroups": groups_by_region})
    }
}

#[cfg(test)]
mod tests;

//! CloudWatch Logs. In: log operations, and lines of ECS containers. Out: AWS's answers. Holds groups, streams and events
//! by region in memory, bounded per group.
//!
//! Reads see an event only after an ingestion delay in model time, as AWS's reads trail its writes.

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

use crate::clock::ModelClock;
use crate::operations::Operation;
use crate::parameters::Members;
use crate::services::{AwsError, Call, Service};
use groups::Group;

/// How long after its arrival an event shows up in reads, in model time. AWS promises no figure ("near real time", Logs user
/// guide, concepts); a few seconds is what tailing a group shows.
pub const INGESTION_DELAY: SignedDuration = SignedDuration::from_secs(2);
/// The bytes one group may hold; the oldest events go first. Ours, so that a long run cannot fill the machine.
pub const GROUP_BYTES: usize = 64 * 1024 * 1024;

const REFUSAL: &str = "InvalidParameterException";

type Groups = BTreeMap<String, Group>;

/// The modelled CloudWatch Logs.
#[derive(Debug)]
pub struct Logs {
    clock: ModelClock,
    regions: Mutex<BTreeMap<String, Groups>>,
}

/// A request and the two times it is answered at.
#[derive(Clone, Copy)]
struct Request<'a> {
    input: Members<'a>,
    region: &'a str,
    account: &'a str,
    /// Model time: decides what reads see.
    now: Timestamp,
    /// Callers' time in milliseconds: what events and answers are stamped with.
    wall: i64,
}

impl Logs {
    /// No groups in any region.
    pub fn new(clock: ModelClock) -> Self {
        Self { clock, regions: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Groups>> {
        self.regions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the stream a container's lines go to, as the awslogs driver does before the container starts.
    pub fn create_container_stream(&self, region: &str, group: &str, stream: &str) -> Result<(), AwsError> {
        let wall = self.clock.moment().wall.as_millisecond();
        let mut regions = self.lock();
        let group = groups::existing(regions.entry(region.to_owned()).or_default(), group)?;
        match group.create_stream(stream, wall) {
            Err(error) if error.code == "ResourceAlreadyExistsException" => Ok(()),
            other => other,
        }
    }

    /// Appends one line of a container, stamped with `written`, or with now. A group deleted meanwhile loses the line, as it does
    /// on AWS.
    pub fn append_container_line(
        &self,
        region: &str,
        group: &str,
        stream: &str,
        line: String,
        written: Option<Timestamp>,
    ) {
        let moment = self.clock.moment();
        let mut regions = self.lock();
        if let Some(group) = regions.get_mut(region).and_then(|groups| groups.get_mut(group)) {
            let wall = moment.wall.as_millisecond();
            group.append(stream, written.map_or(wall, Timestamp::as_millisecond), line, wall, moment.model);
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
            input: Members::new(call.input, REFUSAL),
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
        let held: BTreeMap<_, _> = regions
            .iter()
            .map(|(region, groups)| {
                let groups: Vec<Value> = groups.iter().map(|(name, group)| group.state(name)).collect();
                (region.clone(), groups)
            })
            .collect();
        json!({"logGroups": held})
    }
}

#[cfg(test)]
mod tests;

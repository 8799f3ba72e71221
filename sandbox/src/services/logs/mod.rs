//! CloudWatch Logs. In: log operations, and lines of ECS containers. Out: AWS's responses. Keeps
//! groups, streams and events by region in memory, limited per group.
//!
//! Reads see an event only after an ingestion delay in model time, because AWS's reads lag behind
//! its writes.

mod errors;
mod model;
mod ops;
mod request;
mod state;
mod view;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use crate::call::{AwsError, Call};
use crate::clock::ModelClock;
use crate::operations::Operation;
use crate::services::Service;
use crate::task_runner::{ContainerLogs, LogStream};
use errors::ALREADY_EXISTS;
use ops::{groups, put_log_events, read_events, streams, tags};
use request::Request;
use state::{Groups, existing};

/// The modelled CloudWatch Logs.
#[derive(Debug)]
pub struct Logs {
    clock: ModelClock,
    regions: Mutex<BTreeMap<String, Groups>>,
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
        let group = existing(regions.entry(region.clone()).or_default(), group)?;
        match group.create_stream(name, wall) {
            Err(error) if error.code == ALREADY_EXISTS => Ok(()),
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
        Some(ops::OPERATIONS)
    }

    async fn call(&self, call: Call<'_>) -> Result<Value, AwsError> {
        let request = Request::new(&call, &self.clock);
        let mut regions = self.lock();
        let groups = regions.entry(call.caller.region.clone()).or_default();
        match call.operation {
            "CreateLogGroup" => groups::create_log_group(groups, request),
            "DeleteLogGroup" => groups::delete_log_group(groups, request),
            "PutRetentionPolicy" => groups::put_retention_policy(groups, request),
            "DeleteRetentionPolicy" => groups::delete_retention_policy(groups, request),
            "DescribeLogGroups" => groups::describe_log_groups(groups, request),
            "CreateLogStream" => streams::create_log_stream(groups, request),
            "DeleteLogStream" => streams::delete_log_stream(groups, request),
            "DescribeLogStreams" => streams::describe_log_streams(groups, request),
            "TagResource" => tags::tag_resource(groups, request),
            "UntagResource" => tags::untag_resource(groups, request),
            "ListTagsForResource" => tags::list_tags_for_resource(groups, request),
            "PutLogEvents" => put_log_events::put_log_events(groups, request),
            "GetLogEvents" => read_events::get_log_events(groups, request),
            "FilterLogEvents" => read_events::filter_log_events(groups, request),
            other => Err(crate::operations::unknown("logs", other)),
        }
    }

    fn state(&self, _now: Timestamp) -> Value {
        view::all(&self.lock())
    }
}

#[cfg(test)]
mod tests;

//! A call of Kinesis, and what its operations read from it alike. In: a call whose parameters have
//! been checked. Out: streams, quantities. Pure.

use serde_json::Value;

use super::errors;
use super::model::stream::Stream;
use super::state::KinesisState;
use crate::arn::Arn;
use crate::call::{AwsError, Caller};
use crate::clock::{ModelClock, Moment};

/// A request, and the clock that converts its instants.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The checked parameters.
    pub input: &'a Value,
    pub caller: &'a Caller,
    pub clock: &'a ModelClock,
    pub now: Moment,
}

impl Request<'_> {
    /// A parameter that must be a natural number.
    pub fn number(&self, name: &str) -> Option<u32> {
        self.input[name].as_u64().and_then(|number| u32::try_from(number).ok())
    }

    /// The size of a page: the requested one, but at most `most`.
    pub fn page_size(&self, name: &str, most: usize) -> usize {
        let requested = self.input[name].as_u64().and_then(|requested| usize::try_from(requested).ok());
        requested.unwrap_or(most).clamp(1, most)
    }

    /// The stream that the request names.
    pub fn stream<'s>(&self, state: &'s mut KinesisState) -> Result<&'s mut Stream, AwsError> {
        let arn = self.input["StreamARN"].as_str().or(self.input["ResourceARN"].as_str());
        let name = stream_name(self.input["StreamName"].as_str(), arn, self.caller)?;
        state.stream(self.caller, &name)
    }

    /// The named stream if it can be changed, i.e. is ACTIVE.
    pub fn active_stream<'s>(&self, state: &'s mut KinesisState) -> Result<&'s mut Stream, AwsError> {
        let stream = self.stream(state)?;
        if stream.is_active() {
            return Ok(stream);
        }
        Err(errors::not_active(&stream.spec.name, &self.caller.account, stream.status()))
    }

    /// The named stream if it can be read.
    pub fn readable_stream<'s>(&self, state: &'s mut KinesisState) -> Result<&'s mut Stream, AwsError> {
        let stream = self.stream(state)?;
        if stream.is_creating() {
            return Err(errors::stream_not_found(&stream.spec.name, &self.caller.account));
        }
        Ok(stream)
    }

    /// Returns the response, or the dry-run error if the caller only wants to know whether the call
    /// would succeed.
    pub fn unless_dry_run(&self, response: Value) -> Result<Value, AwsError> {
        if self.input["DryRun"].as_bool() == Some(true) { Err(errors::dry_run()) } else { Ok(response) }
    }
}

/// The stream that a request names, by name, ARN or both.
pub fn stream_name(name: Option<&str>, arn: Option<&str>, caller: &Caller) -> Result<String, AwsError> {
    let Some(arn) = arn else {
        let missing = || errors::invalid("Either StreamName or StreamARN must be provided.");
        return name.map(str::to_owned).ok_or_else(missing);
    };
    let named = arn.split_once(":stream/").map_or("", |(_, named)| named);
    if name.is_some_and(|name| name != named) {
        return Err(errors::invalid("StreamARN and StreamName do not refer to the same stream."));
    }
    let own = Arn::own_of(arn, "kinesis", caller).and_then(|arn| arn.resource.strip_prefix("stream/"));
    own.map(str::to_owned).ok_or_else(|| errors::stream_not_found(named, &caller.account))
}

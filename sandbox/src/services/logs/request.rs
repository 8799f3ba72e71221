//! A call of CloudWatch Logs, and what its operations read from it alike. In: a call. Out: groups,
//! ARNs, pages. No I/O.

use jiff::Timestamp;
use serde_json::Value;

use super::errors::{self, INVALID_REQUEST};
use super::state::{Group, Groups, existing};
use crate::arn::Arn;
use crate::call::{AwsError, Call};
use crate::clock::ModelClock;
use crate::paging::page_response;
use crate::parameters::Parameters;

/// A request, with its model time and real time.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub input: Parameters<'a>,
    pub region: &'a str,
    pub account: &'a str,
    /// Model time: determines what reads see.
    pub now: Timestamp,
    /// Real time in milliseconds: the timestamps of events and responses.
    pub wall: i64,
}

impl<'a> Request<'a> {
    pub fn new(call: &Call<'a>, clock: &ModelClock) -> Self {
        Self {
            input: Parameters::new(call.input, INVALID_REQUEST),
            region: &call.caller.region,
            account: &call.caller.account,
            now: call.now,
            wall: clock.wall_at(call.now).as_millisecond(),
        }
    }

    /// The ARN of a group of the caller.
    pub fn arn(&self, group: &str) -> String {
        format!("arn:aws:logs:{}:{}:log-group:{group}", self.region, self.account)
    }

    pub fn group_name(&self) -> Result<&'a str, AwsError> {
        let name = self.input.required_text("logGroupName")?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | '#');
        if name.is_empty() || name.len() > 512 || !name.chars().all(allowed) {
            return Err(errors::pattern_violated(name, "logGroupName", "[\\.\\-_/#A-Za-z0-9]+"));
        }
        Ok(name)
    }

    /// The group given by name in `logGroupName`, or by name or ARN in `logGroupIdentifier`.
    pub fn group<'g>(&self, groups: &'g mut Groups) -> Result<(String, &'g mut Group), AwsError> {
        let input = self.input;
        let name = match (input.text("logGroupName")?, input.text("logGroupIdentifier")?) {
            (Some(name), None) => name,
            (None, Some(identifier)) if identifier.starts_with("arn:") => self.name_in_arn(identifier)?,
            (None, Some(name)) => name,
            _ => {
                return Err(input.invalid(
                    "Exactly one of the parameters logGroupName and logGroupIdentifier is required",
                ));
            }
        };
        Ok((name.to_owned(), existing(groups, name)?))
    }

    /// The name of the group in an ARN. Groups of another Region or account are not found, because
    /// accounts cannot be linked.
    pub fn name_in_arn<'n>(&self, arn: &'n str) -> Result<&'n str, AwsError> {
        let named = Arn::parse(arn).and_then(|arn| arn.resource.strip_prefix("log-group:"));
        let name = named.ok_or_else(|| self.input.invalid("Invalid resource ARN."))?;
        Arn::own(arn, "logs", self.region, self.account).ok_or_else(errors::group_not_found)?;
        Ok(name.strip_suffix(":*").unwrap_or(name))
    }

    /// "If you don't specify a value, the default is up to 50" (DescribeLogGroups,
    /// DescribeLogStreams).
    pub fn paged(
        &self,
        member: &str,
        items: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<Value, AwsError> {
        let limit = self.input.bounded("limit", 1..=50, 50)? as usize;
        page_response(member, items, "nextToken", self.input.text("nextToken")?, limit)
            .map_err(|_| errors::invalid_next_token())
    }
}

//! A call of Parameter Store, and what its operations read from it alike. In: a call. Out: names,
//! selectors, pages. No I/O.

use jiff::Timestamp;
use serde_json::Value;

use super::errors::{self, INVALID_REQUEST};
use super::state::ParameterStore;
use crate::arn::Arn;
use crate::call::{AwsError, Call, Caller};
use crate::clock::ModelClock;
use crate::paging::page_response;
use crate::parameters::Parameters;

/// A request, with its real time.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub input: Parameters<'a>,
    pub caller: &'a Caller,
    /// Real time: the timestamps of parameters.
    pub wall: Timestamp,
}

impl<'a> Request<'a> {
    pub fn new(call: &Call<'a>, clock: &ModelClock) -> Self {
        let input = Parameters::new(call.input, INVALID_REQUEST);
        Self { input, caller: call.caller, wall: clock.wall_at(call.now) }
    }

    /// The ARN of a parameter of the caller.
    pub fn arn(&self, name: &str) -> String {
        let Caller { region, account } = self.caller;
        format!("arn:aws:ssm:{region}:{account}:parameter/{}", name.trim_start_matches('/'))
    }

    /// A parameter's name from a name or an ARN, and the selector after the colon. ARNs of another
    /// Region or account are not found, because parameters are not shared.
    pub fn name_and_selector<'n>(
        &self,
        store: &ParameterStore,
        reference: &'n str,
    ) -> Result<(String, Option<&'n str>), AwsError> {
        let (plain, is_arn) = match reference.starts_with("arn:") {
            true => {
                let own = Arn::own_of(reference, "ssm", self.caller);
                let name = own.and_then(|arn| arn.resource.strip_prefix("parameter/"));
                (name.ok_or_else(errors::parameter_not_found)?, true)
            }
            false => (reference, false),
        };
        let (name, selector) = plain.split_once(':').map_or((plain, None), |(name, rest)| (name, Some(rest)));
        // An ARN omits the leading slash of a hierarchical name.
        let slashed = format!("/{name}");
        let name = if is_arn && store.contains_key(&slashed) { slashed } else { name.to_owned() };
        Ok((name, selector))
    }

    /// "Up to 10 names" (GetParameters and DeleteParameters references).
    pub fn up_to_ten_names(&self) -> Result<Vec<&'a str>, AwsError> {
        let names = self.input.texts("Names")?;
        if names.is_empty() || names.len() > 10 {
            return Err(self.input.invalid(format!(
                "1 validation error detected: Value '{names:?}' at 'names' failed to satisfy constraint: Member must have length between 1 and 10, inclusive"
            )));
        }
        Ok(names)
    }

    /// One page of items under `member`, with up to `largest` items.
    pub fn paged(
        &self,
        member: &str,
        largest: i64,
        items: impl Iterator<Item = (String, Value)>,
    ) -> Result<Value, AwsError> {
        let size = self.input.bounded("MaxResults", 1..=largest, largest)? as usize;
        page_response(member, items, "NextToken", self.input.text("NextToken")?, size)
            .map_err(|_| errors::invalid_next_token())
    }
}

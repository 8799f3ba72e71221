//! What a user asks of a run in flight: the request annotation. In: its text. Out: a verb with its preconditions. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::MicroTime;

/// The longest annotation that is read; a longer one is refused unread.
const MAX_BYTES: usize = 1024;

/// What is asked for.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verb {
    /// Stop the traffic, remove what the run made, end as Aborted.
    Abort,
    /// Begin the next run of a finished object.
    Rerun,
}

/// A request, as the annotation carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What is asked for.
    pub verb: Verb,
    /// The run it is meant for. A request for another run is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<u32>,
    /// Names the request: each id is done once.
    pub id: String,
}

impl Request {
    /// Reads the annotation's text. The error is a sentence for the user.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("the request has {} bytes, at most {MAX_BYTES} are read", text.len()));
        }
        let request: Self = serde_json::from_str(text).map_err(|error| {
            format!(
                "{error}; a request looks like {{\"verb\":\"abort\",\"run\":1,\"id\":\"any-unique-text\"}}"
            )
        })?;
        if request.id.is_empty() || request.id.len() > 64 {
            return Err("the request's id must have 1 to 64 characters".into());
        }
        Ok(request)
    }
}

/// Whether a request was done.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequestOutcome {
    Accepted,
    Refused,
}

/// The last request and what came of it.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastRequest {
    /// The request's id.
    #[schemars(length(max = 64))]
    pub id: String,
    /// What was asked for; absent if the text could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verb: Option<Verb>,
    /// Accepted or Refused.
    pub outcome: RequestOutcome,
    /// Why it was refused, or what it did.
    #[schemars(length(max = 2048))]
    pub message: String,
    /// When it was answered.
    pub at: MicroTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_verb_run_and_id() {
        let request = Request::parse(r#"{"verb":"abort","run":3,"id":"x1"}"#).unwrap();
        assert_eq!(request, Request { verb: Verb::Abort, run: Some(3), id: "x1".into() });
        assert_eq!(Request::parse(r#"{"verb":"rerun","id":"x2"}"#).unwrap().run, None);
    }

    #[test]
    fn an_unreadable_request_is_told_why() {
        assert!(Request::parse("abort").unwrap_err().contains("looks like"));
        assert!(Request::parse(r#"{"verb":"explode","id":"x"}"#).unwrap_err().contains("explode"));
        assert!(Request::parse(r#"{"verb":"abort","id":""}"#).unwrap_err().contains("1 to 64"));
        assert!(
            Request::parse(&format!(r#"{{"verb":"abort","id":"{}"}}"#, "x".repeat(2000)))
                .unwrap_err()
                .contains("bytes")
        );
    }
}

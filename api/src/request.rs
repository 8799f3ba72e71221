//! A user's request to a run: the request annotation. In: its text. Out: a verb with its
//! preconditions. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::MicroTime;

/// The maximum size of the annotation. A longer one is rejected without parsing.
const MAX_BYTES: usize = 1024;

/// What is requested.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verb {
    /// Stop the traffic, delete the run's resources, and end as Aborted.
    Abort,
    /// Start the next run of an object whose run is over.
    Rerun,
}

/// A request, as the annotation carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// What is requested.
    pub verb: Verb,
    /// The run that the request is for. A request for another run is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<u32>,
    /// Identifies the request. Each id is processed once.
    pub id: String,
}

impl RunRequest {
    /// Parses the annotation. The error is a sentence for the user.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("the request has {} bytes; the limit is {MAX_BYTES}", text.len()));
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

/// Whether a request was accepted.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequestOutcome {
    Accepted,
    Refused,
}

/// The last request and its outcome.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastRequest {
    /// The request's id.
    #[schemars(length(max = 64))]
    pub id: String,
    /// What was requested. Absent if the annotation could not be parsed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verb: Option<Verb>,
    /// Accepted or Refused.
    pub outcome: RequestOutcome,
    /// Why it was refused, or what it did.
    #[schemars(length(max = 2048))]
    pub message: String,
    /// When it was processed.
    pub at: MicroTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_a_verb_a_run_and_an_id() {
        let request = RunRequest::parse(r#"{"verb":"abort","run":3,"id":"x1"}"#).unwrap();
        assert_eq!(request, RunRequest { verb: Verb::Abort, run: Some(3), id: "x1".into() });
        assert_eq!(RunRequest::parse(r#"{"verb":"rerun","id":"x2"}"#).unwrap().run, None);
    }

    #[test]
    fn an_invalid_request_is_rejected_with_the_reason() {
        assert!(RunRequest::parse("abort").unwrap_err().contains("looks like"));
        assert!(RunRequest::parse(r#"{"verb":"explode","id":"x"}"#).unwrap_err().contains("explode"));
        assert!(RunRequest::parse(r#"{"verb":"abort","id":""}"#).unwrap_err().contains("1 to 64"));
        assert!(
            RunRequest::parse(&format!(r#"{{"verb":"abort","id":"{}"}}"#, "x".repeat(2000)))
                .unwrap_err()
                .contains("bytes")
        );
    }
}

//! Records which AWS calls were made, for checking IAM permissions: each distinct call once, as a
//! line of JSON, in the order of first occurrence. In: decoded requests. Out: lines appended to a
//! file. Values, records and everything that differs between calls are omitted.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The maximum number of lines, which keeps the file small. A run has fewer distinct calls.
const MAX_LINES: usize = 20_000;

/// How often the data plane is recorded: its requests are many, large and alike.
const RECORDS_EVERY: Duration = Duration::from_secs(1);

/// Members that do not affect permissions: contents, and values that are new in every call.
const LEFT_OUT: [&str; 9] = [
    "Records",
    "MetricData",
    "Value",
    "DashboardBody",
    "Data",
    "startTime",
    "nextToken",
    "clientToken",
    "Version",
];

/// The recorded calls.
pub struct Recording(Mutex<State>);

struct State {
    file: File,
    seen: HashSet<String>,
    records_at: Option<Instant>,
}

/// The parts of a request that are recorded.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The `User-Agent`, which identifies our own programs.
    pub user_agent: &'a str,
    /// The signing name.
    pub service: &'a str,
    /// The operation.
    pub operation: &'a str,
    /// The region of the request's signature.
    pub region: &'a str,
}

impl Recording {
    /// Records to `path`, which is created or truncated.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = File::create(path)?;
        Ok(Self(Mutex::new(State { file, seen: HashSet::new(), records_at: None })))
    }

    /// Records a call whose members were decoded.
    pub fn note(&self, request: Request<'_>, input: &Value) {
        let mut input = input.clone();
        if let Some(members) = input.as_object_mut() {
            members.retain(|member, _| !LEFT_OUT.contains(&member.as_str()));
        }
        self.write(&line(request, &input));
    }

    /// Records a `PutRecords`, at most once per [`RECORDS_EVERY`].
    pub fn note_records(&self, request: Request<'_>, members: impl FnOnce() -> Option<Value>) {
        {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if state.records_at.is_some_and(|at| at.elapsed() < RECORDS_EVERY) {
                return;
            }
            state.records_at = Some(Instant::now());
        }
        if let Some(members) = members() {
            self.note(request, &members);
        }
    }

    fn write(&self, line: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.seen.len() >= MAX_LINES || !state.seen.insert(line.to_owned()) {
            return;
        }
        if let Err(error) = writeln!(state.file, "{line}") {
            tracing::warn!(%error, "could not record a call");
        }
    }
}

fn line(request: Request<'_>, input: &Value) -> String {
    let Request { user_agent, service, operation, region } = request;
    let principal = match user_agent {
        agent if agent.contains("app/kinesis-demo-operator") => "operator",
        agent if agent.contains("app/kinesis-demo-generator") => "task",
        _ => "other",
    };
    json!({ "principal": principal, "service": service, "operation": operation, "region": region, "input": input })
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(user_agent: &'a str, operation: &'a str) -> Request<'a> {
        Request { user_agent, service: "ssm", operation, region: "us-east-1" }
    }

    fn recorded(notes: impl Fn(&Recording)) -> Vec<Value> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("calls.jsonl");
        notes(&Recording::create(&path).unwrap());
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_call_is_written_once_without_its_contents() {
        let lines = recorded(|recording| {
            for value in ["1", "2"] {
                let input = json!({"Name": "/kinesisdemo/a", "Value": value});
                recording.note(request("aws-sdk-rust/1 app/kinesis-demo-operator", "PutParameter"), &input);
            }
        });
        let expected = json!({
            "principal": "operator", "service": "ssm", "operation": "PutParameter", "region": "us-east-1",
            "input": {"Name": "/kinesisdemo/a"},
        });
        assert_eq!(lines, [expected]);
    }

    #[test]
    fn callers_are_identified_by_their_user_agent() {
        let lines = recorded(|recording| {
            for agent in ["app/kinesis-demo-operator", "app/kinesis-demo-generator", "aws-cli/2"] {
                recording.note(request(agent, "GetParameter"), &json!({}));
            }
        });
        let principals: Vec<_> = lines.iter().map(|line| &line["principal"]).collect();
        assert_eq!(principals, ["operator", "task", "other"]);
    }

    #[test]
    fn put_records_is_recorded_without_its_records() {
        let members = json!({
            "Records": [{"Data": "eA==", "PartitionKey": "k"}], "StreamARN": "arn:aws:kinesis:us-east-1:0:stream/s"
        });
        let lines = recorded(|recording| {
            for _ in 0..2 {
                recording.note_records(request("app/kinesis-demo-generator", "PutRecords"), || {
                    Some(members.clone())
                });
            }
        });
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["input"], json!({"StreamARN": "arn:aws:kinesis:us-east-1:0:stream/s"}));
    }
}

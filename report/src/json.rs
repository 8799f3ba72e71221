//! Reports for programs. In: a record. Out: JSON, the verdict first, then the whole record. Pure.

use kinesis_demo_api::{KinesisDemoRun, KinesisDemoRunSpec, KinesisDemoRunStatus};
use serde::Serialize;

use crate::facts::{VERSION, left};
use crate::plot::says;
use crate::text::is_harmful;

/// The report of a run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    verdict: String,
    report_version: &'static str,
    name: Option<&'a str>,
    namespace: Option<&'a str>,
    /// What was left; absent while the run is not over.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<Vec<String>>,
    spec: &'a KinesisDemoRunSpec,
    status: Option<&'a KinesisDemoRunStatus>,
}

/// The report, with a final newline.
#[must_use]
pub fn report(run: &KinesisDemoRun) -> String {
    let report = Report {
        verdict: says(run),
        report_version: VERSION,
        name: run.metadata.name.as_deref(),
        namespace: run.metadata.namespace.as_deref(),
        left: left(run),
        spec: &run.spec,
        status: run.status.as_ref(),
    };
    pretty(&report)
}

/// As JSON with indentation. What a terminal could obey is escaped, which JSON does not require of
/// all of it; it can only be within strings.
pub(crate) fn pretty(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_else(|error| {
        serde_json::json!({"error": format!("could not write the report: {error}")}).to_string()
    });
    let mut safe = String::with_capacity(text.len() + 1);
    for letter in text.chars() {
        if letter != '\n' && is_harmful(letter) {
            let mut units = [0; 2];
            for unit in letter.encode_utf16(&mut units) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            safe.push(letter);
        }
    }
    safe + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_a_terminal_stay_text() {
        let value = serde_json::json!({"a": "\u{9b}2J\u{202e}\u{e0001}\u{1b}[0m"});
        let text = pretty(&value);
        assert_eq!(text, "{\n  \"a\": \"\\u009b2J\\u202e\\udb40\\udc01\\u001b[0m\"\n}\n");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}

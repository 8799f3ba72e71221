//! Reports for programs. In: a record. Out: JSON, the verdict first, then the whole record. Pure.

use kinesis_demo_api::{KinesisDemoRun, KinesisDemoRunSpec, KinesisDemoRunStatus};
use serde::Serialize;

use crate::facts::{VERSION, left};
use crate::plot::says;

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

/// As JSON for people, too.
pub(crate) fn pretty(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).map_or_else(
        |error| format!("{}\n", serde_json::json!({"error": format!("could not write the report: {error}")})),
        |text| text + "\n",
    )
}

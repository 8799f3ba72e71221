//! Several KinesisDemos in one demo. In: the report of each. Out: one report with all, and one
//! summary that compares them. Pure.

use jiff::Timestamp;
use kinesis_demo_api::status::TotalsStatus;
use kinesis_demo_api::{KinesisDemo, KinesisDemoRun};
use kinesis_demo_report::verdict::{Side, between};
use serde::Serialize;

use super::report::Report;
use super::summary::summary;

/// What `report.json` has for a manifest with several KinesisDemos.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JointReport {
    /// The comparison of two runs in a sentence.
    pub verdict: Option<String>,
    /// How far apart the first records of the streams arrived, in steps of 100 ms.
    pub starts_within_ms: Option<u64>,
    pub demos: Vec<NamedReport>,
    /// What was left behind by any of them; empty after a clean demo.
    pub leaked: Vec<String>,
}

/// The report of one of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NamedReport {
    pub name: String,
    #[serde(flatten)]
    pub report: Report,
    /// The record of the run: its settings, the operator's version, the traffic over time.
    pub record: Option<KinesisDemoRun>,
    #[serde(skip)]
    pub first_record_at: Option<Timestamp>,
    /// The object at its end.
    #[serde(skip)]
    pub demo: Option<KinesisDemo>,
}

/// One report of all.
#[must_use]
pub fn joint_report(demos: Vec<NamedReport>, leaked: Vec<String>) -> JointReport {
    let sides: Vec<Side> = demos.iter().filter_map(side).collect();
    let verdict = match sides.as_slice() {
        [one, other] => Some(between(one, other)),
        _ => None,
    };
    let first: Option<Vec<Timestamp>> = demos.iter().map(|demo| demo.first_record_at).collect();
    let starts_within_ms = first.and_then(|first| {
        let apart = first.iter().max()?.duration_since(*first.iter().min()?);
        u64::try_from(apart.as_millis()).ok()
    });
    JointReport { verdict, starts_within_ms, demos, leaked }
}

fn side(demo: &NamedReport) -> Option<Side> {
    let status = demo.demo.as_ref()?.status.as_ref()?;
    let totals = status.traffic.as_ref().map_or_else(TotalsStatus::default, |traffic| traffic.totals.clone());
    Some(Side {
        name: demo.name.clone(),
        outcome: status.run.as_ref().and_then(|run| run.outcome),
        totals,
        phases: status.phases.clone(),
    })
}

/// The summary of each run, and how they compare.
#[must_use]
pub fn joint_summary(joint: &JointReport, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = joint.verdict.iter().map(|verdict| format!("Compared: {verdict}")).collect();
    if let Some(apart) = joint.starts_within_ms {
        lines.push(format!("Started: their first records arrived within {apart} ms of each other"));
    }
    lines.push(String::new());
    for NamedReport { name, report, demo, .. } in &joint.demos {
        // What was left is not known by run: it is listed once, below.
        let mut own = summary(&Report { leaked: Vec::new(), ..report.clone() }, demo.as_ref(), width);
        own.pop();
        lines.push(format!("── {name} ──"));
        lines.extend(own);
        lines.push(String::new());
    }
    match joint.leaked.as_slice() {
        [] => lines.push("Left behind: nothing".into()),
        left => {
            lines.push("Left behind:".into());
            lines.extend(left.iter().map(|line| format!("  {line}")));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn demo(name: &str, accepted: u64, throttled: u64) -> NamedReport {
        let totals = json!({
            "scheduled": 1000, "offered": 1000, "accepted": accepted, "throttled": throttled,
            "failed": 1000 - accepted, "dropped": 0, "unknown": 0, "unoffered": 0, "unreported": 0,
            "rate": 0, "sampledAt": "2026-11-22T10:01:00Z", "settled": true,
        });
        let object = json!({
            "apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemo",
            "metadata": {"name": name}, "spec": {},
            "status": {"stage": "Succeeded", "traffic": totals,
                "run": {"number": 1, "stageEnteredAt": "2026-11-22T10:00:00Z", "outcome": "Succeeded"}},
        });
        let report = Report {
            outcome: "Succeeded".into(),
            phases: Vec::new(),
            unreported: 0,
            stored: accepted,
            tasks: Vec::new(),
            stream: Vec::new(),
            leaked: Vec::new(),
        };
        let first_record_at = Some("2026-11-22T10:00:10.1Z".parse().unwrap());
        let demo = Some(serde_json::from_value(object).unwrap());
        NamedReport { name: name.into(), report, record: None, first_record_at, demo }
    }

    #[test]
    fn two_runs_are_compared_in_a_sentence() {
        let cold = demo("cold", 220, 5_000);
        let mut warm = demo("warm", 1_000, 0);
        warm.first_record_at = Some("2026-11-22T10:00:10.2Z".parse().unwrap());
        let joint = joint_report(vec![cold, warm], Vec::new());
        assert_eq!(
            joint_summary(&joint, 120),
            [
                "Compared: cold delivered 22 % of 1,000 records, throttled; warm delivered all, none throttled",
                "Started: their first records arrived within 100 ms of each other",
                "",
                "── cold ──",
                "Delivered 22 % of 1,000 records: throttled, 780 failed; sufficient warm throughput prevents this.",
                "Outcome: Succeeded",
                "",
                "── warm ──",
                "Delivered all 1,000 records.",
                "Outcome: Succeeded",
                "",
                "Left behind: nothing",
            ]
        );
        let written = serde_json::to_value(&joint).unwrap();
        assert_eq!(written["demos"][0]["name"], "cold");
        assert_eq!(written["demos"][1]["outcome"], "Succeeded");
        assert_eq!(written["startsWithinMs"], 100);
    }

    #[test]
    fn what_is_left_is_listed_once() {
        let one = demo("one", 1_000, 0);
        let joint = joint_report(vec![one], vec!["stream s".into()]);
        let lines = joint_summary(&joint, 120);
        assert_eq!(lines.iter().filter(|line| line.contains("stream s")).count(), 1);
        assert_eq!(joint.verdict, None);
    }
}

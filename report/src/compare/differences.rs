//! What is compared. In: two records. Out: named values of each, paired by name. Pure.

use kinesis_demo_api::KinesisDemoRun;
use serde::Serialize;

use crate::facts::{capacity, outcome};
use crate::phases::{HEADER, rows};
use crate::text::{clean, grouped, percent};
use crate::verdict::is_warm;

/// A value of each of two runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub what: String,
    /// Absent where the run does not have it.
    pub a: Option<String>,
    pub b: Option<String>,
}

impl Difference {
    pub fn differs(&self) -> bool {
        self.a != self.b
    }
}

/// Values by name.
pub type Values = Vec<(String, String)>;

/// The most important measurements of a run.
pub fn measurements(run: &KinesisDemoRun) -> Values {
    let status = run.status.clone().unwrap_or_default();
    let totals = status.totals.unwrap_or_default();
    let p99 = status.phases.iter().filter_map(|phase| Some(phase.latency_ms?.p99)).max();
    let mut values = vec![
        ("Delivered", percent(totals.accepted, totals.scheduled).unwrap_or_else(|| "-".to_owned())),
        ("Throttled", grouped(totals.throttled)),
        ("Failed", grouped(totals.failed)),
        ("Dropped", grouped(totals.dropped)),
        ("Accepted", grouped(totals.accepted)),
        ("Scheduled", grouped(totals.scheduled)),
        ("Unoffered", grouped(totals.unoffered)),
        ("Unreported", grouped(totals.unreported)),
        ("Unknown", grouped(totals.unknown)),
        ("Highest p99 of a phase, ms", p99.map_or_else(|| "-".to_owned(), |millis| grouped(millis.into()))),
        ("Warm throughput requested", if is_warm(run) { "yes" } else { "no" }.to_owned()),
    ];
    values.extend(capacity(run));
    values.push(("Outcome", outcome(run)));
    values.push(("Operator", clean(&run.spec.operator_version, 64)));
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What is compared of each phase, as columns of its table.
const OF_PHASES: [&str; 4] = ["Delivered", "Throttled", "Failed", "p99 ms"];

/// The measurements of each phase, such as `spike: Throttled`. Phases of one name are numbered.
pub fn phase_measurements(run: &KinesisDemoRun) -> Values {
    let mut values = Values::new();
    let mut seen: Vec<String> = Vec::new();
    let phases = run.status.as_ref().map_or(0, |status| status.phases.len());
    for phase in rows(run).into_iter().take(phases) {
        let [name, ..] = &phase.cells;
        let before = seen.iter().filter(|one| *one == name).count();
        let shown = if before == 0 { name.clone() } else { format!("{name} {}", before + 1) };
        seen.push(name.clone());
        for (title, cell) in HEADER.iter().zip(&phase.cells).filter(|(title, _)| OF_PHASES.contains(title)) {
            values.push((format!("{shown}: {}", title.trim_end_matches(" ms").to_lowercase()), cell.clone()));
        }
    }
    values
}

/// Pairs two lists by name, in the order of the first; what only the second has comes last.
pub fn of_lists(a: &[(String, String)], b: &[(String, String)]) -> Vec<Difference> {
    let value = |list: &[(String, String)], name: &str| {
        list.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
    };
    let of_first = a.iter().map(|(name, first)| Difference {
        what: name.clone(),
        a: Some(first.clone()),
        b: value(b, name),
    });
    let only_second = b
        .iter()
        .filter(|(name, _)| value(a, name).is_none())
        .map(|(name, second)| Difference { what: name.clone(), a: None, b: Some(second.clone()) });
    of_first.chain(only_second).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_paired_by_name() {
        let list = |items: &[(&str, &str)]| -> Values {
            items.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let paired = of_lists(&list(&[("x", "1"), ("y", "2")]), &list(&[("z", "3"), ("x", "1")]));
        let shown: Vec<_> = paired
            .iter()
            .map(|one| (one.what.as_str(), one.a.as_deref(), one.b.as_deref(), one.differs()))
            .collect();
        assert_eq!(
            shown,
            [("x", Some("1"), Some("1"), false), ("y", Some("2"), None, true), ("z", None, Some("3"), true)]
        );
    }
}

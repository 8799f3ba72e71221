//! docs/reference/metrics.md. In: the operator's own registry, with one object that has a value for
//! every metric. Out: each family with its type, labels and description.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use kinesis_demo_api::KinesisDemo;
use kinesis_demo_operator::aws::client::{CallObserver, CallOutcome};
use kinesis_demo_operator::metrics::OperatorMetrics;
use kube::core::DeserializeGuard;
use kube::runtime::reflector;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};

use super::conditions::condition_types;

const HEAD: &str = "# Metrics

Generated from the operator's registry by `make generate`; do not edit. Every replica serves `/metrics` in the OpenMetrics
format on port 8080 of its Pod. Only the leader has metrics of objects and runs, until the object is deleted. `namespace` and `name` are the object's, so
Prometheus must scrape with `honor_labels: true` (the chart's ServiceMonitor does).

How to scrape, alert and visualise them: [Alerts and dashboards](../howto/monitor.md).

| Metric | Type | Labels | Meaning |
|---|---|---|---|
";

/// A running object, as an operator left it.
const OBJECT: &str = include_str!("../../../tests/gitops/objects/running.yaml");

/// Labels with a fixed set of values, all of which the page shows.
const CLOSED: [&str; 3] = ["kind", "state", "type"];

/// A family of metrics in the OpenMetrics format.
#[derive(Debug, Default, PartialEq)]
struct Family {
    name: String,
    kind: String,
    help: String,
    /// Each label with its values in the samples.
    labels: Vec<(String, Vec<String>)>,
    samples: usize,
}

/// The page.
pub fn page() -> anyhow::Result<String> {
    let mut page = HEAD.to_owned();
    for family in families(&exposition()?)? {
        ensure!(
            family.samples > 0,
            "{} has no value, so its labels are unknown: give it one in `exposition` (xtask/src/docs/metrics.rs), or in {}",
            family.name,
            "tests/gitops/objects/running.yaml"
        );
        page.push_str(&row(&family));
    }
    Ok(page)
}

/// What the operator serves when every metric has a value.
fn exposition() -> anyhow::Result<String> {
    let metrics = OperatorMetrics::default();
    metrics.reconciled("ok", Duration::ZERO);
    metrics.called("kinesis", "DescribeStreamSummary", CallOutcome::Ok, Duration::ZERO);
    let (objects, mut writer) = reflector::store();
    writer.apply_watcher_event(&Event::Apply(DeserializeGuard(Ok(object()?))));
    metrics.runs.watch(objects);
    metrics.text().context("encode the operator's metrics")
}

/// The recorded object, with a condition of each type.
fn object() -> anyhow::Result<KinesisDemo> {
    let mut object: Value = serde_saphyr::from_str(OBJECT).context("read the recorded object")?;
    let condition = |type_: String| {
        json!({"type": type_, "status": "True", "reason": "Running", "message": "",
               "lastTransitionTime": "2026-11-23T03:17:24Z"})
    };
    let conditions: Vec<Value> = condition_types().into_iter().map(|(type_, _)| condition(type_)).collect();
    *object.pointer_mut("/status/conditions").context("the recorded object has no conditions")? =
        conditions.into();
    serde_json::from_value(object).context("the recorded object does not match the types")
}

/// Reads the OpenMetrics format, in which the samples of a family follow its type.
fn families(text: &str) -> anyhow::Result<Vec<Family>> {
    let mut families: Vec<Family> = Vec::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            // The library ends every description with a full stop.
            let help = help.strip_suffix('.').unwrap_or(help).to_owned();
            families.push(Family { name: name.to_owned(), help, ..Family::default() });
            continue;
        }
        let kind = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '));
        let Some(family) = families.last_mut() else { bail!("a line before the first family: {line}") };
        match kind {
            Some((_, kind)) => kind.clone_into(&mut family.kind),
            None if line.starts_with('#') => {}
            None => {
                family.samples += 1;
                add_labels(family, line);
            }
        }
    }
    Ok(families)
}

fn add_labels(family: &mut Family, sample: &str) {
    let inside = sample.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}'));
    for pair in inside.map_or("", |(pairs, _)| pairs).split("\",") {
        let Some((key, value)) = pair.split_once("=\"") else { continue };
        let value = value.trim_end_matches('"').to_owned();
        match family.labels.iter_mut().find(|(known, _)| known == key) {
            // The bounds of a histogram's buckets.
            _ if key == "le" => {}
            Some((_, values)) if values.contains(&value) => {}
            Some((_, values)) => values.push(value),
            None => family.labels.push((key.to_owned(), vec![value])),
        }
    }
}

fn row(family: &Family) -> String {
    let Family { name, kind, help, labels, .. } = family;
    let suffix = if kind == "counter" { "_total" } else { "" };
    let labels = labels.iter().map(|(key, values)| match CLOSED.contains(&key.as_str()) {
        true => format!("`{key}`: {}", values.join(", ")),
        false => format!("`{key}`"),
    });
    let labels = labels.collect::<Vec<_>>().join("; ");
    format!("| `{name}{suffix}` | {kind} | {labels} | {help} |\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP calls Calls.
# TYPE calls counter
calls_total{service=\"ecs\",kind=\"read\"} 1
calls_total{service=\"ssm\",kind=\"write\"} 1
calls_total{service=\"ssm\",kind=\"read\"} 1
# HELP took_seconds Time.
# TYPE took_seconds histogram
# UNIT took_seconds seconds
took_seconds_sum 0.5
took_seconds_bucket{le=\"+Inf\"} 1
# HELP idle Nothing.
# TYPE idle gauge
# EOF
";

    #[test]
    fn families_have_their_labels_and_the_values_of_closed_ones() {
        let rows: Vec<String> = families(TEXT).unwrap().iter().map(row).collect();
        assert_eq!(
            rows,
            [
                "| `calls_total` | counter | `service`; `kind`: read, write | Calls |\n",
                "| `took_seconds` | histogram |  | Time |\n",
                "| `idle` | gauge |  | Nothing |\n",
            ]
        );
        let samples: Vec<usize> = families(TEXT).unwrap().iter().map(|family| family.samples).collect();
        assert_eq!(samples, [3, 2, 0]);
    }
}

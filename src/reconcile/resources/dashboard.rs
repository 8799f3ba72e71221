//! The run's CloudWatch dashboard. In: the pinned settings and the phases that have started. Out:
//! the body as JSON ("Dashboard body structure and syntax", CloudWatch API reference). Pure.
//!
//! Dashboards are global, so every metric widget names its Region. Points are one minute apart: the
//! reference allows no finer period on a dashboard. The generator publishes rates, one per task and
//! window of ten seconds, and the windows of all tasks start at the same instants. So the sum over
//! a minute, divided by its six windows, is the rate of all tasks.

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::demo::{PhaseSpec, WarmThroughputMode};
use kinesis_demo_api::status::{Effective, PhaseReport};
use serde_json::{Value, json};

use crate::aws::{METRICS_NAMESPACE, RUN_DIMENSION, RunMetric};

/// The generator's metrics and their dimension (`generator/src/metrics.rs`).
const SENT: &str = "MessagesPerSecond";
const THROTTLED: &str = "ThrottleExceptionsPerSecond";
const LATENCY: &str = "AverageLatency";
const PHASE_DIMENSION: &str = "DemoPhase";

/// The length of a point, and the number of the generator's windows in it
/// (`--metrics-every-seconds`, 10).
const PERIOD_SECONDS: u32 = 60;
const WINDOWS_PER_PERIOD: u32 = 6;

/// The grid has 24 columns ("width", valid values 1-24).
const WHOLE: u32 = 24;
const HALF: u32 = 12;
const HEIGHT: u32 = 7;

/// One color per phase, repeated; neighbours differ.
const BANDS: [&str; 4] = ["#98df8a", "#ffbb78", "#ff9896", "#aec7e8"];
const TARGET: &str = "#7f7f7f";
const ACHIEVED: &str = "#1f77b4";
const MEDIAN: &str = "#1f77b4";
const SLOWEST: &str = "#d62728";

/// What the dashboard shows.
pub struct DashboardView<'a> {
    /// `namespace/name`.
    pub object: &'a str,
    /// The run's number.
    pub run: u32,
    /// The run's settings.
    pub effective: &'a Effective,
    /// The phases that have started.
    pub phases: &'a [PhaseReport],
}

/// The dashboard's body.
pub fn body(view: &DashboardView<'_>) -> String {
    let header = json!({
        "type": "text", "x": 0, "y": 0, "width": WHOLE, "height": header_height(view),
        "properties": {"markdown": header(view)},
    });
    let below = header_height(view);
    let graphs = [
        (0, 0, HALF, traffic(view)),
        (HALF, 0, HALF, scaling(view)),
        (0, HEIGHT, HALF, throttles(view)),
        (HALF, HEIGHT, HALF, latency(view)),
        (0, 2 * HEIGHT, WHOLE, incoming(view)),
    ]
    .map(|(x, y, width, properties)| {
        json!({"type": "metric", "x": x, "y": below + y, "width": width, "height": HEIGHT, "properties": properties})
    });
    let widgets: Vec<Value> = std::iter::once(header).chain(graphs).collect();
    json!({"start": start(view), "periodOverride": "inherit", "widgets": widgets}).to_string()
}

/// The time range: as long as the run may last.
fn start(view: &DashboardView<'_>) -> String {
    let seconds = view.effective.spec.limits.max_duration.value().as_secs();
    format!("-PT{}H", seconds.div_ceil(3600).max(1))
}

fn phases<'a>(view: &DashboardView<'a>) -> &'a [PhaseSpec] {
    &view.effective.spec.phases
}

fn header_height(view: &DashboardView<'_>) -> u32 {
    // A line of a table takes about two thirds of a grid unit; headings take two.
    3 + u32::try_from(phases(view).len()).unwrap_or(0) * 2 / 3
}

fn header(view: &DashboardView<'_>) -> String {
    let Effective { account_id, region, stream_name, .. } = view.effective;
    let mut text = format!(
        "# KinesisDemo {} run {}\nStream **{stream_name}** in {region}, account {account_id}. This dashboard is deleted with the run.\n\n\
         Phase | Records per second | Lasts | Begins\n--- | --- | --- | ---\n",
        view.object, view.run
    );
    for phase in phases(view) {
        let started = view.phases.iter().find(|started| started.name == phase.name);
        let begins = started.map_or_else(|| "not yet".to_owned(), |started| instant(started.starts_at));
        let PhaseSpec { name, records_per_second, duration, .. } = phase;
        text.push_str(&format!("{name} | {records_per_second} | {duration} | {begins}\n"));
    }
    text
}

/// The target rate and the rate that the tasks achieved.
fn traffic(view: &DashboardView<'_>) -> Value {
    let mut metrics = vec![operator_metric(
        view,
        RunMetric::TargetRecordsPerSecond,
        json!({"label": "target", "color": TARGET}),
    )];
    metrics.extend(rate_of_all_tasks(view, SENT, "sent", "accepted", ACHIEVED));
    graph(view, "Traffic: target and achieved", metrics, json!({"left": axis("records per second")}))
}

/// Tasks, shards and warm throughput over time.
fn scaling(view: &DashboardView<'_>) -> Value {
    let mut metrics = vec![
        operator_metric(view, RunMetric::DesiredTasks, json!({"label": "tasks desired"})),
        operator_metric(view, RunMetric::RunningTasks, json!({"label": "tasks running"})),
        operator_metric(view, RunMetric::OpenShards, json!({"label": "open shards"})),
    ];
    let mut axes = json!({"left": axis("tasks, shards")});
    if view.effective.spec.stream.warm_throughput.mode == WarmThroughputMode::Fixed {
        let right = |label: &str| json!({"label": label, "yAxis": "right"});
        metrics.push(operator_metric(
            view,
            RunMetric::WarmThroughputTarget,
            right("warm throughput requested"),
        ));
        metrics.push(operator_metric(view, RunMetric::WarmThroughputCurrent, right("warm throughput")));
        axes["right"] = axis("MiB/s");
    }
    graph(view, "Scaling: tasks, shards, warm throughput", metrics, axes)
}

/// Throttled records, as the tasks and as Kinesis count them.
fn throttles(view: &DashboardView<'_>) -> Value {
    let mut metrics = rate_of_all_tasks(view, THROTTLED, "refused", "seen by the tasks", SLOWEST);
    metrics.extend(stream_rate(
        view,
        "PutRecords.ThrottledRecords",
        "throttled",
        "throttled records (Kinesis)",
        "",
    ));
    metrics.extend(stream_rate(
        view,
        "WriteProvisionedThroughputExceeded",
        "exceeded",
        "write throughput exceeded (Kinesis)",
        "",
    ));
    graph(view, "Throttled records", metrics, json!({"left": axis("records per second")}))
}

/// The time from when a record was due until Kinesis confirmed it.
fn latency(view: &DashboardView<'_>) -> Value {
    let of_each_phase = |stat: &'static str, color: &'static str| {
        phases(view).iter().map(move |phase| {
            let drawn = json!({"stat": stat, "label": format!("{stat} {}", phase.name), "color": color});
            generator_metric(view, LATENCY, phase, drawn)
        })
    };
    let metrics = of_each_phase("p50", MEDIAN).chain(of_each_phase("p99", SLOWEST)).collect();
    graph(view, "Latency: half and 99 of 100 records", metrics, json!({"left": axis("milliseconds")}))
}

/// The records that arrived, as Kinesis counts them.
fn incoming(view: &DashboardView<'_>) -> Value {
    let mut metrics = stream_rate(view, "IncomingRecords", "records", "records per second", "");
    metrics.extend(stream_rate(view, "IncomingBytes", "bytes", "MiB/s", "/1048576"));
    if let Some(drawn) = metrics.last_mut().and_then(|last| last.get_mut(0)) {
        drawn["yAxis"] = json!("right");
    }
    let axes = json!({"left": axis("records per second"), "right": axis("MiB/s")});
    graph(view, "Arriving at the stream", metrics, axes)
}

fn graph(view: &DashboardView<'_>, title: &str, metrics: Vec<Value>, axes: Value) -> Value {
    json!({
        "title": title,
        "view": "timeSeries",
        "stacked": false,
        "region": view.effective.region,
        "period": PERIOD_SECONDS,
        "stat": "Average",
        "metrics": metrics,
        "yAxis": axes,
        "annotations": {"vertical": bands(view)},
    })
}

fn axis(label: &str) -> Value {
    json!({"label": label, "min": 0, "showUnits": false})
}

/// Each phase that has started, from its planned start to its planned end.
fn bands(view: &DashboardView<'_>) -> Vec<Value> {
    view.phases
        .iter()
        .zip(BANDS.iter().cycle())
        .map(|(phase, color)| {
            json!([
                {"label": phase.name, "color": color, "value": instant(phase.starts_at)},
                {"value": instant(phase.ends_at)},
            ])
        })
        .collect()
}

fn instant(at: MicroTime) -> String {
    format!("{:.0}", at.timestamp())
}

/// One of the operator's metrics.
fn operator_metric(view: &DashboardView<'_>, metric: RunMetric, drawn: Value) -> Value {
    json!([METRICS_NAMESPACE, metric.name(), RUN_DIMENSION, view.effective.base_name, drawn])
}

/// One of the generator's metrics, in one phase.
fn generator_metric(view: &DashboardView<'_>, metric: &str, phase: &PhaseSpec, drawn: Value) -> Value {
    let run = &view.effective.base_name;
    json!([METRICS_NAMESPACE, metric, RUN_DIMENSION, run, PHASE_DIMENSION, phase.name, drawn])
}

/// The rate of all tasks in all phases, as one line. Its parts are not drawn. Only their ids start
/// with `id`.
fn rate_of_all_tasks(
    view: &DashboardView<'_>,
    metric: &str,
    id: &str,
    label: &str,
    color: &str,
) -> Vec<Value> {
    let sum = json!([{
        "expression": format!("SUM(METRICS(\"{id}_\"))/{WINDOWS_PER_PERIOD}"), "id": format!("all_{id}"), "label": label,
        "color": color,
    }]);
    let parts = phases(view).iter().enumerate().map(|(number, phase)| {
        let drawn = json!({"stat": "Sum", "id": format!("{id}_{number}"), "visible": false});
        generator_metric(view, metric, phase, drawn)
    });
    std::iter::once(sum).chain(parts).collect()
}

/// One of Kinesis's own counts per minute, as a rate per second; `then` is applied to it.
fn stream_rate(view: &DashboardView<'_>, metric: &str, id: &str, label: &str, then: &str) -> Vec<Value> {
    let stream = &view.effective.stream_name;
    vec![
        json!(["AWS/Kinesis", metric, "StreamName", stream, {"stat": "Sum", "id": id, "visible": false}]),
        json!([{"expression": format!("{id}/PERIOD({id}){then}"), "id": format!("{id}_rate"), "label": label}]),
    ]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use kinesis_demo_api::KinesisDemoSpec;
    use kinesis_demo_api::demo::WarmThroughputSpec;
    use kinesis_demo_api::plan::{Defaults, Plan};
    use kinesis_demo_api::timeline::Timeline;

    use super::*;
    use crate::reconcile::resources::names::base_name;

    /// 2026-11-01T08:00:00Z.
    const T0: MicroTime = MicroTime::from_micros(1_793_520_000_000_000);

    fn effective(mode: WarmThroughputMode) -> Effective {
        let mut spec = KinesisDemoSpec::default();
        let mib_per_second = (mode == WarmThroughputMode::Fixed).then_some(100);
        spec.stream.warm_throughput = WarmThroughputSpec { mode, mib_per_second };
        Effective {
            account_id: "123456789012".into(),
            region: "eu-west-1".into(),
            cluster: "default".into(),
            stream_name: "social-media-stream".into(),
            base_name: base_name("viral-event", "5f3c2a1b-9d2e-4c7a-8f10-1234567890ab", 3),
            object_uid: None,
            spec,
        }
    }

    fn reports(effective: &Effective) -> Vec<PhaseReport> {
        let defaults = Defaults {
            region: effective.region.clone(),
            image: Some("generator:1".into()),
            subnets: vec!["subnet-0a1b2c3d".into()],
            security_groups: vec![],
        };
        let plan = Plan::new(&effective.spec, &defaults).unwrap();
        let windows = Timeline::new(&plan.phases, T0, &[]).phases.into_iter();
        windows
            .map(|window| PhaseReport {
                name: window.name,
                records_per_second: window.rate,
                tasks: window.tasks,
                starts_at: window.starts_at,
                ends_at: window.ends_at,
                begun: false,
                tasks_were_missing: false,
                totals: Default::default(),
                latency_ms: None,
            })
            .collect()
    }

    fn shown(mode: WarmThroughputMode, started: usize) -> Value {
        let effective = effective(mode);
        let phases = &reports(&effective)[..started];
        let view = DashboardView { object: "demos/viral-event", run: 3, effective: &effective, phases };
        serde_json::from_str(&body(&view)).unwrap()
    }

    /// The sandbox's own check and the emulators use this file, too
    /// (`sandbox/src/services/cloudwatch`, `tests/foundation`).
    #[test]
    fn the_dashboard_in_the_second_phase_matches_its_test_data() {
        let actual = shown(WarmThroughputMode::Fixed, 2);
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("src/reconcile/resources/testdata/dashboard.json");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, format!("{actual:#}\n")).unwrap();
        }
        let expected: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(actual, expected, "UPDATE=1 writes {}", path.display());
    }

    #[test]
    fn a_started_phase_has_a_band_in_every_graph() {
        for started in 0..=4 {
            let body = shown(WarmThroughputMode::Fixed, started);
            let graphs: Vec<&Value> = body["widgets"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|widget| widget["type"] == "metric")
                .collect();
            assert_eq!(graphs.len(), 5);
            for graph in graphs {
                assert_eq!(graph["properties"]["region"], "eu-west-1");
                assert_eq!(graph["properties"]["annotations"]["vertical"].as_array().unwrap().len(), started);
            }
            let text = body["widgets"][0]["properties"]["markdown"].as_str().unwrap();
            assert_eq!(text.matches("not yet").count(), 4 - started);
        }
        let bands =
            &shown(WarmThroughputMode::Fixed, 2)["widgets"][1]["properties"]["annotations"]["vertical"];
        assert_eq!(
            *bands,
            json!([
                [{"label": "baseline", "color": BANDS[0], "value": "2026-11-01T08:00:00Z"}, {"value": "2026-11-01T08:02:00Z"}],
                [{"label": "spike", "color": BANDS[1], "value": "2026-11-01T08:02:00Z"}, {"value": "2026-11-01T08:04:00Z"}],
            ])
        );
    }

    #[test]
    fn a_cold_run_shows_no_warm_throughput() {
        assert!(shown(WarmThroughputMode::Fixed, 0).to_string().contains("WarmThroughputCurrent"));
        let cold = shown(WarmThroughputMode::None, 0).to_string();
        assert!(!cold.contains("WarmThroughput") && cold.contains("OpenShards"), "{cold}");
    }

    #[test]
    fn metric_ids_are_valid_and_unique_within_a_graph() {
        for widget in shown(WarmThroughputMode::Fixed, 4)["widgets"].as_array().unwrap() {
            let metrics = widget["properties"]["metrics"].as_array().cloned().unwrap_or_default();
            let drawn = metrics.iter().filter_map(|metric| metric.as_array()?.last()?["id"].as_str());
            let mut ids: Vec<&str> = drawn.collect();
            let count = ids.len();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), count);
            for id in ids {
                let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
                assert!(
                    id.starts_with(|c: char| c.is_ascii_lowercase()) && id.chars().all(is_allowed),
                    "{id}"
                );
                assert!(
                    !(id.starts_with("all_") && (id.contains("sent_") || id.contains("refused_"))),
                    "{id} would count itself"
                );
            }
        }
    }

    #[test]
    fn the_largest_plan_stays_within_the_limits_of_a_graph() {
        let mut effective = effective(WarmThroughputMode::Fixed);
        let phase = effective.spec.phases[0].clone();
        effective.spec.phases =
            (0..20).map(|number| PhaseSpec { name: format!("p{number}"), ..phase.clone() }).collect();
        effective.spec.limits.max_duration = kinesis_demo_api::duration::DurationText::seconds(40 * 60);
        let phases = &reports(&effective);
        let view = DashboardView { object: "demos/viral-event", run: 3, effective: &effective, phases };
        let body: Value = serde_json::from_str(&body(&view)).unwrap();
        for widget in body["widgets"].as_array().unwrap() {
            // "Each graph can have up to 500 metrics" (CloudWatch quotas).
            assert!(widget["properties"]["metrics"].as_array().map_or(0, Vec::len) <= 500);
        }
        assert_eq!(body["start"], "-PT1H");
    }
}

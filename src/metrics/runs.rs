//! The metrics of each object. In: the watch's objects at the moment of the scrape, so that the
//! metrics of a deleted object vanish by themselves. Out: gauges with the object's namespace and
//! name. No I/O.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use futures::FutureExt;
use kinesis_demo_api::conditions::ConditionStatus;
use kinesis_demo_api::{KinesisDemo, KinesisDemoStatus, MicroTime, Stage};
use kube::core::DeserializeGuard;
use kube::runtime::reflector::Store;
use kube::{Resource, ResourceExt};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::reconcile::cohort::Peer;
use crate::reconcile::queue::{QueuedRun, RunLister};

/// The objects of one watch.
pub type Objects = Store<DeserializeGuard<KinesisDemo>>;

/// The number of objects that have their own metrics. The limit keeps a script that creates
/// thousands of objects from flooding the monitoring. The count by stage covers all objects.
const MOST_OBJECTS: usize = 500;

/// The watches of the reported objects; none before the operator leads.
#[derive(Default)]
pub struct Runs(Mutex<Vec<Objects>>);

impl Runs {
    /// Adds the objects of another watch.
    pub fn watch(&self, objects: Objects) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(objects);
    }

    /// The uids of all existing objects.
    pub fn uids(&self) -> HashSet<String> {
        let watches = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        watches.iter().flat_map(Store::state).filter_map(|object| object.meta().uid.clone()).collect()
    }
}

impl Runs {
    /// What `view` shows of the objects that parse. `None` before all were listed.
    fn listed<T>(&self, view: impl Fn(&KinesisDemo) -> Option<T>) -> Option<Vec<T>> {
        let watches = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Each namespace has its own watch. All must be listed, because an unlisted watch looks
        // empty.
        let listed =
            |watch: &Objects| watch.wait_until_ready().now_or_never().is_some_and(|ready| ready.is_ok());
        if watches.is_empty() || !watches.iter().all(listed) {
            return None;
        }
        let objects = watches.iter().flat_map(Store::state);
        Some(objects.filter_map(|object| object.0.as_ref().ok().and_then(&view)).collect())
    }
}

impl RunLister for Runs {
    fn entries(&self) -> Option<Vec<QueuedRun>> {
        self.listed(QueuedRun::of)
    }

    fn peers(&self, namespace: &str) -> Option<Vec<Peer>> {
        self.listed(|object| Peer::of(object).filter(|peer| peer.namespace == namespace))
    }
}

impl fmt::Debug for Runs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Runs")
    }
}

impl Collector for Runs {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let watches = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let stored: Vec<_> = watches.iter().flat_map(Store::state).collect();
        let objects: Vec<&KinesisDemo> = stored.iter().filter_map(|object| object.0.as_ref().ok()).collect();
        for MetricFamily { name, help, samples } in families(&objects) {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for Sample { labels, value } in samples {
                ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[derive(Debug, PartialEq)]
struct Sample {
    labels: Vec<(&'static str, String)>,
    value: i64,
}

#[derive(Debug, PartialEq)]
struct MetricFamily {
    name: &'static str,
    help: &'static str,
    samples: Vec<Sample>,
}

/// One value of an object, with the labels that distinguish it from the object's other values.
type NamedValue = (&'static str, Vec<(&'static str, String)>, i64);

/// Every family in which an object can have a value, without the prefix.
const RUN_FAMILIES: [(&str, &str); 10] = [
    ("run_info", "The run's stage and traffic phase"),
    ("run_target_records_per_second", "Scheduled records per second in the same window"),
    ("run_accepted_records_per_second", "Records accepted per second, in one window of all tasks"),
    ("run_records", "The run's totals, by kind; a rerun starts at zero"),
    ("run_tasks", "Generator tasks: desired, running and admitted to a slot"),
    ("run_shards", "Open shards of the stream"),
    ("run_warm_mib_per_second", "Warm throughput of the stream: target and current"),
    ("run_stage_entered_timestamp_seconds", "When the run entered its stage"),
    ("run_deadline_timestamp_seconds", "When limits.maxDuration ends the run"),
    ("run_condition", "The object's conditions: 1 True, 0 False, -1 Unknown"),
];

fn families(objects: &[&KinesisDemo]) -> Vec<MetricFamily> {
    let mut by_name: BTreeMap<&str, Vec<Sample>> = BTreeMap::new();
    let mut ordered: Vec<(String, String, &KinesisDemo)> = objects
        .iter()
        .map(|object| (object.namespace().unwrap_or_default(), object.name_any(), *object))
        .collect();
    ordered.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
    for (namespace, name, object) in ordered.into_iter().take(MOST_OBJECTS) {
        for (family, more, value) in object.status.as_ref().map(values).unwrap_or_default() {
            let mut labels = vec![("namespace", namespace.clone()), ("name", name.clone())];
            labels.extend(more);
            by_name.entry(family).or_default().push(Sample { labels, value });
        }
    }
    let counted =
        MetricFamily { name: "objects", help: "KinesisDemo objects, by stage", samples: by_stage(objects) };
    let runs = RUN_FAMILIES.into_iter().map(|(name, help)| MetricFamily {
        name,
        help,
        samples: by_name.remove(name).unwrap_or_default(),
    });
    std::iter::once(counted).chain(runs).collect()
}

fn by_stage(objects: &[&KinesisDemo]) -> Vec<Sample> {
    let mut counts: BTreeMap<Stage, i64> = BTreeMap::new();
    for object in objects {
        let stage = object.status.as_ref().and_then(|status| status.stage).unwrap_or_default();
        *counts.entry(stage).or_default() += 1;
    }
    let sample = |(stage, value): (Stage, i64)| Sample { labels: vec![("stage", stage.to_string())], value };
    counts.into_iter().map(sample).collect()
}

fn values(status: &KinesisDemoStatus) -> Vec<NamedValue> {
    let mut values: Vec<NamedValue> = Vec::new();
    let phase = status.phase.as_ref();
    let labels = vec![
        ("stage", status.stage.unwrap_or_default().to_string()),
        ("phase", phase.map(|phase| phase.name.clone()).unwrap_or_default()),
    ];
    values.push(("run_info", labels, 1));
    if let Some(target) = status.target() {
        values.push(("run_target_records_per_second", vec![], gauge(target)));
    }
    if let Some(traffic) = &status.traffic {
        values.push(("run_accepted_records_per_second", vec![], gauge(traffic.rate)));
        let totals = &traffic.totals;
        let kinds = [
            ("scheduled", totals.scheduled),
            ("offered", totals.offered),
            ("accepted", totals.accepted),
            ("throttled", totals.throttled),
            ("failed", totals.failed),
            ("dropped", totals.dropped),
            ("unknown", totals.unknown),
            ("unoffered", totals.unoffered),
            ("unreported", totals.unreported),
        ];
        values.extend(
            kinds.map(|(kind, records)| ("run_records", vec![("kind", kind.into())], gauge(records))),
        );
    }
    if let Some(generators) = &status.generators {
        let states = [
            ("desired", generators.desired),
            ("running", generators.running),
            ("admitted", generators.admitted),
        ];
        values
            .extend(states.map(|(state, tasks)| ("run_tasks", vec![("state", state.into())], tasks.into())));
    }
    if let Some(stream) = &status.stream {
        values.push(("run_shards", vec![], stream.shards.into()));
        if let Some(warm) = stream.warm {
            let states = [("target", warm.target), ("current", warm.current)];
            values.extend(
                states.map(|(state, mib)| {
                    ("run_warm_mib_per_second", vec![("state", state.into())], mib.into())
                }),
            );
        }
    }
    if let Some(run) = &status.run {
        values.push(("run_stage_entered_timestamp_seconds", vec![], seconds(run.stage_entered_at)));
        if let Some(deadline_at) = run.deadline_at {
            values.push(("run_deadline_timestamp_seconds", vec![], seconds(deadline_at)));
        }
    }
    for condition in &status.conditions {
        let value = match condition.status {
            ConditionStatus::True => 1,
            ConditionStatus::False => 0,
            ConditionStatus::Unknown => -1,
        };
        values.push(("run_condition", vec![("type", condition.type_.to_string())], value));
    }
    values
}

fn gauge(records: u64) -> i64 {
    i64::try_from(records).unwrap_or(i64::MAX)
}

fn seconds(at: MicroTime) -> i64 {
    at.timestamp().as_second()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::runtime::reflector::store;
    use kube::runtime::watcher::Event;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;
    use serde_json::json;

    fn running(name: &str) -> KinesisDemo {
        serde_json::from_value(json!({
            "apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemo",
            "metadata": {"name": name, "namespace": "demos"}, "spec": {},
            "status": {
                "stage": "Running",
                "run": {"number": 1, "stageEnteredAt": "2026-11-22T10:00:00.5Z", "deadlineAt": "2026-11-22T10:30:00Z"},
                "phase": {"name": "peak", "index": 3, "of": 4, "startsAt": "2026-11-22T10:00:00Z",
                          "endsAt": "2026-11-22T10:02:00Z", "recordsPerSecond": 50000},
                "traffic": {"scheduled": 11, "offered": 10, "accepted": 9, "throttled": 8, "failed": 7, "dropped": 6, "unknown": 5,
                            "unoffered": 4, "unreported": 3, "rate": 39000, "target": 40000,
                            "rateFrom": "2026-11-22T10:00:48Z", "rateUntil": "2026-11-22T10:00:58Z", "sampledAt": "2026-11-22T10:01:00Z", "settled": false},
                "generators": {"desired": 10, "running": 9, "admitted": 8},
                "stream": {"name": "s", "arn": "a", "status": "ACTIVE", "shards": 100, "warm": {"target": 100, "current": 60}},
                "conditions": [{"type": "Stalled", "status": "False", "reason": "Running", "message": "",
                                "lastTransitionTime": "2026-11-22T10:00:00Z"},
                               {"type": "Succeeded", "status": "Unknown", "reason": "Running", "message": "",
                                "lastTransitionTime": "2026-11-22T10:00:00Z"}],
            },
        }))
        .unwrap()
    }

    #[test]
    fn the_target_is_the_phases_until_a_rate_is_known() {
        let mut early = running("viral");
        early.status.as_mut().unwrap().traffic.as_mut().unwrap().set_rate(None);
        let exposed = families(&[&early]);
        let value = |name: &str| exposed.iter().find(|family| family.name == name).unwrap().samples[0].value;
        assert_eq!(value("run_target_records_per_second"), 50_000);
        assert_eq!(value("run_accepted_records_per_second"), 0);
    }

    fn text(runs: Runs) -> String {
        let mut registry = Registry::with_prefix("kinesisdemo");
        registry.register_collector(Box::new(runs));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn an_object_has_metrics_while_the_watch_stores_it() {
        let (reader, mut writer) = store();
        let runs = Runs::default();
        runs.watch(reader);
        let runs = std::sync::Arc::new(runs);
        let scrape = || {
            let mut registry = Registry::with_prefix("kinesisdemo");
            registry.register_collector(Box::new(std::sync::Arc::clone(&runs)));
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            text
        };
        writer.apply_watcher_event(&Event::Apply(DeserializeGuard(Ok(running("viral")))));
        assert!(
            scrape().contains("kinesisdemo_run_shards{namespace=\"demos\",name=\"viral\"} 100\n"),
            "{}",
            scrape()
        );
        writer.apply_watcher_event(&Event::Delete(DeserializeGuard(Ok(running("viral")))));
        assert!(!scrape().contains("viral"), "{}", scrape());
    }

    #[test]
    fn every_family_has_values() {
        let (reader, mut writer) = store();
        let runs = Runs::default();
        runs.watch(reader);
        writer.apply_watcher_event(&Event::Apply(DeserializeGuard(Ok(running("viral")))));
        let text = text(runs);
        let at = "namespace=\"demos\",name=\"viral\"";
        for line in [
            "kinesisdemo_objects{stage=\"Running\"} 1".to_owned(),
            format!("kinesisdemo_run_info{{{at},stage=\"Running\",phase=\"peak\"}} 1"),
            format!("kinesisdemo_run_target_records_per_second{{{at}}} 40000"),
            format!("kinesisdemo_run_accepted_records_per_second{{{at}}} 39000"),
            format!("kinesisdemo_run_records{{{at},kind=\"scheduled\"}} 11"),
            format!("kinesisdemo_run_records{{{at},kind=\"unreported\"}} 3"),
            format!("kinesisdemo_run_tasks{{{at},state=\"desired\"}} 10"),
            format!("kinesisdemo_run_tasks{{{at},state=\"admitted\"}} 8"),
            format!("kinesisdemo_run_warm_mib_per_second{{{at},state=\"current\"}} 60"),
            format!("kinesisdemo_run_stage_entered_timestamp_seconds{{{at}}} 1795341600"),
            format!("kinesisdemo_run_deadline_timestamp_seconds{{{at}}} 1795343400"),
            format!("kinesisdemo_run_condition{{{at},type=\"Stalled\"}} 0"),
            format!("kinesisdemo_run_condition{{{at},type=\"Succeeded\"}} -1"),
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn metrics_per_object_are_bounded_and_the_count_is_not() {
        let many: Vec<_> = (0..MOST_OBJECTS + 1).map(|number| running(&format!("n{number:04}"))).collect();
        let exposed = families(&many.iter().collect::<Vec<_>>());
        let samples =
            |name: &str| exposed.iter().find(|family| family.name == name).map(|family| &family.samples);
        assert_eq!(samples("run_info").map(Vec::len), Some(MOST_OBJECTS));
        assert_eq!(samples("objects").unwrap()[0].value, 501);
    }
}

use std::sync::Mutex;

use kinesis_demo_api::ledger::{Counters, Latencies};
use tokio::time::sleep;

use super::*;
use crate::fake::{T0, TokioClock};

const TEN_SECONDS: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Sink {
    data: Mutex<Vec<Datum>>,
    is_broken: Mutex<bool>,
}

#[async_trait]
impl MetricSink for Sink {
    async fn put(&self, data: Vec<Datum>) -> Result<(), PublishError> {
        if *self.is_broken.lock().unwrap() {
            return Err(PublishError("broken".into()));
        }
        self.data.lock().unwrap().extend(data);
        Ok(())
    }
}

#[test]
fn a_window_becomes_six_metrics() {
    let mut latency = Latencies::default();
    latency.record(Duration::from_micros(100), 10);
    latency.record(Duration::from_micros(200), 5);
    let window = Window {
        counters: Counters {
            offered: 30,
            accepted: 15,
            failed: 5,
            throttled: 40,
            retried: 35,
            ..Counters::default()
        },
        requests: 4,
        latency,
    };
    let data = metric_data("peak", &window, T0, TEN_SECONDS);
    let seen: Vec<_> = data.iter().map(|datum| (datum.metric.name(), datum.value.clone())).collect();
    let expected = [
        ("MessagesPerSecond", MetricValue::Rate(1.5)),
        ("BatchesPerSecond", MetricValue::Rate(0.4)),
        ("ThrottleExceptionsPerSecond", MetricValue::Rate(4.0)),
        ("RetriesPerSecond", MetricValue::Rate(3.5)),
        ("AverageLatency", MetricValue::Counted(vec![(0.1, 10.0), (0.2, 5.0)])),
        ("SuccessRate", MetricValue::Statistics { count: 20.0, sum: 1_500.0, min: 0.0, max: 100.0 }),
    ];
    assert_eq!(seen, expected);
    assert!(data.iter().all(|datum| datum.phase == "peak" && datum.at == T0));
}

#[test]
fn metrics_without_measurements_are_not_published() {
    let offered_only =
        Window { counters: Counters { offered: 3, ..Counters::default() }, ..Window::default() };
    let names: Vec<_> =
        metric_data("peak", &offered_only, T0, TEN_SECONDS).iter().map(|d| d.metric.name()).collect();
    assert_eq!(
        names,
        ["MessagesPerSecond", "BatchesPerSecond", "ThrottleExceptionsPerSecond", "RetriesPerSecond"]
    );
}

#[test]
fn many_latencies_are_split_into_several_data_points() {
    let mut latency = Latencies::default();
    (1..=400).for_each(|step| latency.record(Duration::from_micros(step * step), step));
    let values: Vec<_> = latency.values().collect();
    assert!(values.len() > MAX_VALUES, "{}", values.len());
    let window = Window { latency, ..Window::default() };
    let data = metric_data("peak", &window, T0, TEN_SECONDS);
    let parts: Vec<_> = data
        .iter()
        .filter(|datum| datum.metric == Metric::AverageLatency && datum.at == T0)
        .map(|datum| match &datum.value {
            MetricValue::Counted(values) => values.clone(),
            other => panic!("percentiles need counted values, not {other:?}"),
        })
        .collect();
    assert!(parts.iter().all(|part| part.len() <= MAX_VALUES));
    let all: f64 = parts.iter().flatten().map(|(_, count)| count).sum();
    assert_eq!((parts.iter().flatten().count(), all), (values.len(), (1..=400).sum::<u64>() as f64));
}

#[test]
fn windows_start_at_the_same_instants_for_every_task() {
    for (micros, expected) in [(0, 0), (9_999_999, 0), (10_000_000, 10_000_000), (-1, -10_000_000)] {
        assert_eq!(
            window_start(MicroTime::from_micros(micros), TEN_SECONDS),
            MicroTime::from_micros(expected)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn each_window_is_published_once_and_the_last_one_on_shutdown() {
    let (sink, recorder) = (Arc::new(Sink::default()), Arc::new(Recorder::default()));
    let publisher = Publisher {
        sink: Arc::clone(&sink) as _,
        recorder: Arc::clone(&recorder),
        clock: TokioClock::new(),
        length: TEN_SECONDS,
    };
    let (stop, stop_receiver) = watch::channel(false);
    let publishing = tokio::spawn(publisher.publish_until(stop_receiver));
    let accept = |records: u64| {
        let mut totals = recorder.totals();
        let phase = totals.phase("peak");
        totals.offered(phase, records);
        (0..records).for_each(|_| totals.accepted(phase, Duration::from_millis(5)));
    };
    accept(20);
    sleep(Duration::from_secs(11)).await;
    // Nothing happens in the second window; publishing fails in the third.
    sleep(Duration::from_secs(10)).await;
    accept(30);
    *sink.is_broken.lock().unwrap() = true;
    sleep(Duration::from_secs(10)).await;
    *sink.is_broken.lock().unwrap() = false;
    accept(40);
    stop.send(true).unwrap();
    publishing.await.unwrap();
    let data = sink.data.lock().unwrap();
    let rates = data.iter().filter(|datum| datum.metric == Metric::MessagesPerSecond);
    let rates: Vec<_> = rates.map(|datum| (datum.at.since(T0).as_secs(), datum.value.clone())).collect();
    assert_eq!(rates, [(0, MetricValue::Rate(2.0)), (30, MetricValue::Rate(4.0))]);
    assert_eq!(data.len(), 12);
}

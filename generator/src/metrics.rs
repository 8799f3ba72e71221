//! Numbers for dashboards and alarms; the books are the ledger's. In: windows of the recorder. Out: six metrics per phase,
//! to CloudWatch. Touches the outside through [`MetricSink`] only.
//!
//! All tasks put to the same metrics, in windows that begin at the same instants: the sum over a window is the fleet's rate.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kinesis_demo_api::MicroTime;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::error::{PublishError, chain};
use crate::recorder::{Recorder, Window};

/// Where metrics go.
#[async_trait]
pub trait MetricSink: Send + Sync {
    /// Publishes data points.
    async fn put(&self, data: Vec<Datum>) -> Result<(), PublishError>;
}

/// One data point.
#[derive(Clone, Debug, PartialEq)]
pub struct Datum {
    /// Which of the six.
    pub metric: Metric,
    /// The phase that it is about.
    pub phase: String,
    /// The beginning of its window.
    pub at: MicroTime,
    /// What was measured.
    pub value: Value,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A rate over the window.
    Rate(f64),
    /// Values, and how many records had each: CloudWatch finds percentiles in these, and in no set of statistics.
    Counted(Vec<(f64, f64)>),
    /// Many values at once, so that the average over tasks weighs each record the same.
    Statistics {
        /// How many.
        count: f64,
        /// All together.
        sum: f64,
        /// The lowest.
        min: f64,
        /// The highest.
        max: f64,
    },
}

/// The six metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Records confirmed per second.
    MessagesPerSecond,
    /// Requests per second.
    BatchesPerSecond,
    /// Refusals for want of throughput, in records per second.
    ThrottleExceptionsPerSecond,
    /// Records sent again per second.
    RetriesPerSecond,
    /// Milliseconds from the instant a record was due until it was confirmed; percentiles too, whatever its name says (it is the
    /// original demo's).
    AverageLatency,
    /// Percent of the settled records that were confirmed.
    SuccessRate,
}

impl Metric {
    /// Its name in CloudWatch.
    pub fn name(self) -> &'static str {
        match self {
            Self::MessagesPerSecond => "MessagesPerSecond",
            Self::BatchesPerSecond => "BatchesPerSecond",
            Self::ThrottleExceptionsPerSecond => "ThrottleExceptionsPerSecond",
            Self::RetriesPerSecond => "RetriesPerSecond",
            Self::AverageLatency => "AverageLatency",
            Self::SuccessRate => "SuccessRate",
        }
    }
}

/// The most different values of one data point (CloudWatch API reference, MetricDatum, `Values`).
const MOST_VALUES: usize = 150;

/// The data points of a phase's window that began at `at` and is `length` long.
pub fn data_of(phase: &str, window: &Window, at: MicroTime, length: Duration) -> Vec<Datum> {
    let rate = |count: u64| Value::Rate(count as f64 / length.as_secs_f64());
    let counters = &window.counters;
    let mut values = vec![
        (Metric::MessagesPerSecond, rate(counters.accepted)),
        (Metric::BatchesPerSecond, rate(window.requests)),
        (Metric::ThrottleExceptionsPerSecond, rate(counters.throttled)),
        (Metric::RetriesPerSecond, rate(counters.retried)),
    ];
    let latencies: Vec<_> =
        window.latency.values().map(|(latency, count)| (latency.as_secs_f64() * 1e3, count as f64)).collect();
    // Data points of the same metric and instant add up.
    values.extend(
        latencies.chunks(MOST_VALUES).map(|some| (Metric::AverageLatency, Value::Counted(some.to_vec()))),
    );
    let settled = counters.settled();
    if settled > 0 {
        let percent = |is_so: bool| if is_so { 100.0 } else { 0.0 };
        let value = Value::Statistics {
            count: settled as f64,
            sum: counters.accepted as f64 * 100.0,
            min: percent(counters.accepted == settled),
            max: percent(counters.accepted > 0),
        };
        values.push((Metric::SuccessRate, value));
    }
    values.into_iter().map(|(metric, value)| Datum { metric, phase: phase.to_owned(), at, value }).collect()
}

/// Publishes the recorder's windows until `stop` says so, and then the last one.
pub struct Publisher {
    /// Where they go.
    pub sink: Arc<dyn MetricSink>,
    /// Where they come from.
    pub recorder: Arc<Recorder>,
    /// Tells where windows begin.
    pub clock: Arc<dyn Clock>,
    /// How long a window is.
    pub length: Duration,
}

impl Publisher {
    /// Runs until `stop` turns true or its sender is gone.
    pub async fn publish_until(self, mut stop: watch::Receiver<bool>) {
        let mut is_failing = false;
        loop {
            let window = window_at(self.clock.now().wall, self.length);
            let ends_in = (window + self.length).since(self.clock.now().wall);
            let is_last = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => true,
                () = tokio::time::sleep(ends_in) => false,
            };
            let windows = self.recorder.books().take_windows();
            let data: Vec<_> =
                windows.iter().flat_map(|(phase, seen)| data_of(phase, seen, window, self.length)).collect();
            if !data.is_empty() {
                let outcome = self.sink.put(data).await;
                // Only the change is logged; what could not be published is gone either way.
                match &outcome {
                    Ok(()) if is_failing => info!("metrics are published again"),
                    Err(error) if !is_failing => warn!(error = chain(error), "metrics cannot be published"),
                    _ => {}
                }
                is_failing = outcome.is_err();
            }
            if is_last {
                return;
            }
        }
    }
}

/// The beginning of the window that holds `at`, the same for every task.
fn window_at(at: MicroTime, length: Duration) -> MicroTime {
    let length = i64::try_from(length.as_micros()).unwrap_or(i64::MAX).max(1);
    MicroTime::from_micros(at.as_micros() - at.as_micros().rem_euclid(length))
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;

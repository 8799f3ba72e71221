//! Metrics for dashboards and alarms; exact totals are in the ledger. In: windows of the recorder.
//! Out: six metrics per phase, to CloudWatch. Touches the outside only through [`MetricSink`].
//!
//! All tasks publish to the same metrics, in windows that start at the same instants, so the sum
//! over a window is the rate of all tasks together.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kinesis_demo_api::MicroTime;
use kinesis_demo_api::error_chain::error_chain;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::error::PublishError;
use crate::recorder::{Recorder, Window};

/// Publishes metrics.
#[async_trait]
pub trait MetricSink: Send + Sync {
    /// Publishes data points.
    async fn put(&self, data: Vec<Datum>) -> Result<(), PublishError>;
}

/// One data point.
#[derive(Clone, Debug, PartialEq)]
pub struct Datum {
    /// Which of the six metrics.
    pub metric: Metric,
    /// The phase it belongs to.
    pub phase: String,
    /// The start of its window.
    pub at: MicroTime,
    /// What was measured.
    pub value: MetricValue,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricValue {
    /// A rate over the window.
    Rate(f64),
    /// Values and the number of records with each value. CloudWatch computes percentiles from
    /// these, but not from a statistic set.
    Counted(Vec<(f64, f64)>),
    /// A statistic set, so that an average over tasks weights every record equally.
    Statistics {
        /// Number of values.
        count: f64,
        /// Their sum.
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
    /// Records rejected per second because throughput was exceeded.
    ThrottleExceptionsPerSecond,
    /// Records retried per second.
    RetriesPerSecond,
    /// Milliseconds from a record's due time to its confirmation. It has percentiles too; the name
    /// is the original demo's.
    AverageLatency,
    /// Percentage of the settled records that were confirmed.
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

/// The maximum number of distinct values per data point (CloudWatch API reference, MetricDatum,
/// `Values`).
const MAX_VALUES: usize = 150;

/// The data points of a phase's window that started at `at` and is `length` long.
pub fn metric_data(phase: &str, window: &Window, at: MicroTime, length: Duration) -> Vec<Datum> {
    let rate = |count: u64| MetricValue::Rate(count as f64 / length.as_secs_f64());
    let counters = &window.counters;
    let mut values = vec![
        (Metric::MessagesPerSecond, rate(counters.accepted)),
        (Metric::BatchesPerSecond, rate(window.requests)),
        (Metric::ThrottleExceptionsPerSecond, rate(counters.throttled)),
        (Metric::RetriesPerSecond, rate(counters.retried)),
    ];
    let latencies: Vec<_> =
        window.latency.values().map(|(latency, count)| (latency.as_secs_f64() * 1e3, count as f64)).collect();
    // CloudWatch merges data points of the same metric and instant.
    values.extend(
        latencies
            .chunks(MAX_VALUES)
            .map(|chunk| (Metric::AverageLatency, MetricValue::Counted(chunk.to_vec()))),
    );
    let settled = counters.settled();
    if settled > 0 {
        let percent = |holds: bool| if holds { 100.0 } else { 0.0 };
        let value = MetricValue::Statistics {
            count: settled as f64,
            sum: counters.accepted as f64 * 100.0,
            min: percent(counters.accepted == settled),
            max: percent(counters.accepted > 0),
        };
        values.push((Metric::SuccessRate, value));
    }
    values.into_iter().map(|(metric, value)| Datum { metric, phase: phase.to_owned(), at, value }).collect()
}

/// Publishes the recorder's windows until `stop` turns true, then the last one.
pub struct Publisher {
    /// Publishes the metrics.
    pub sink: Arc<dyn MetricSink>,
    /// The source of the windows.
    pub recorder: Arc<Recorder>,
    /// Determines where windows start.
    pub clock: Arc<dyn Clock>,
    /// The length of a window.
    pub length: Duration,
}

impl Publisher {
    /// Runs until `stop` turns true or its sender is dropped.
    pub async fn publish_until(self, mut stop: watch::Receiver<bool>) {
        let mut is_failing = false;
        loop {
            let window = window_start(self.clock.now().wall, self.length);
            let ends_in = (window + self.length).since(self.clock.now().wall);
            let is_last = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => true,
                () = tokio::time::sleep(ends_in) => false,
            };
            let windows = self.recorder.totals().take_windows();
            let data: Vec<_> = windows
                .iter()
                .flat_map(|(phase, seen)| metric_data(phase, seen, window, self.length))
                .collect();
            if !data.is_empty() {
                let outcome = self.sink.put(data).await;
                // Logs only changes. Data that could not be published is lost in either case.
                match &outcome {
                    Ok(()) if is_failing => info!("publishing metrics again"),
                    Err(error) if !is_failing => warn!(
                        error = error_chain(error),
                        "could not publish metrics; ledger counts are not affected"
                    ),
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

/// The start of the window that contains `at`, the same for every task.
fn window_start(at: MicroTime, length: Duration) -> MicroTime {
    let length = i64::try_from(length.as_micros()).unwrap_or(i64::MAX).max(1);
    MicroTime::from_micros(at.as_micros() - at.as_micros().rem_euclid(length))
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;

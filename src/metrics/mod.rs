//! The operator's metrics about itself and about its objects. In: outcomes and the watch. Out: the
//! text of `/metrics`. Every label set of the operator's own metrics is small and closed. Only the
//! metrics in [`runs`] name objects.

pub mod exposition;
pub mod runs;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::aws::client::{CallObserver, CallOutcome};
use runs::Runs;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReconcileLabels {
    /// `ok`, or the error's category.
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CallLabels {
    service: String,
    operation: String,
    outcome: &'static str,
}

/// The registry and its instruments.
pub struct OperatorMetrics {
    registry: Registry,
    reconciles: Family<ReconcileLabels, Counter>,
    reconcile_seconds: Histogram,
    calls: Family<CallLabels, Counter>,
    call_seconds: Histogram,
    leader: Gauge,
    /// The metrics of objects.
    pub runs: Arc<Runs>,
}

impl Default for OperatorMetrics {
    fn default() -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.005, 2.0, 12));
        let metrics = Self {
            registry: Registry::with_prefix("kinesisdemo"),
            reconciles: Family::default(),
            reconcile_seconds: seconds(),
            calls: Family::default(),
            call_seconds: seconds(),
            leader: Gauge::default(),
            runs: Arc::default(),
        };
        let Self { mut registry, reconciles, reconcile_seconds, calls, call_seconds, leader, runs } = metrics;
        registry.register("reconciles", "Reconciles of objects, by outcome", reconciles.clone());
        registry.register_with_unit(
            "reconcile_duration",
            "How long a reconcile took",
            Unit::Seconds,
            reconcile_seconds.clone(),
        );
        registry.register("aws_calls", "Calls to AWS, by service, operation and outcome", calls.clone());
        registry.register_with_unit(
            "aws_call_duration",
            "How long a call to AWS took",
            Unit::Seconds,
            call_seconds.clone(),
        );
        registry.register("leader", "1 while this operator leads", leader.clone());
        registry.register_collector(Box::new(Arc::clone(&runs)));
        Self { registry, reconciles, reconcile_seconds, calls, call_seconds, leader, runs }
    }
}

impl OperatorMetrics {
    /// Counts a reconcile.
    pub fn reconciled(&self, outcome: &'static str, took: Duration) {
        self.reconciles.get_or_create(&ReconcileLabels { outcome }).inc();
        self.reconcile_seconds.observe(took.as_secs_f64());
    }

    /// Records whether this operator leads.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// The text of `/metrics`, in the OpenMetrics format.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl CallObserver for OperatorMetrics {
    fn called(&self, service: &str, operation: &str, outcome: CallOutcome, latency: Duration) {
        let labels =
            CallLabels { service: service.into(), operation: operation.into(), outcome: outcome.as_str() };
        self.calls.get_or_create(&labels).inc();
        self.call_seconds.observe(latency.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_contains_instruments_with_their_labels() {
        let metrics = OperatorMetrics::default();
        metrics.reconciled("ok", Duration::from_millis(20));
        metrics.leads(true);
        let text = metrics.text().unwrap();
        assert!(text.contains("kinesisdemo_reconciles_total{outcome=\"ok\"} 1"), "{text}");
        assert!(text.contains("kinesisdemo_leader 1"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn the_page_in_the_chart_tests_has_our_families() {
        const PAGE: &str = include_str!("../../tests/chart/monitoring/metrics.txt");
        let families = |page: &str| -> Vec<String> {
            let mut names: Vec<_> =
                page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).map(str::to_owned).collect();
            names.sort();
            names
        };
        // A counter family appears only after its first count.
        let metrics = OperatorMetrics::default();
        metrics.reconciled("ok", Duration::ZERO);
        metrics.called("kinesis", "DescribeStreamSummary", CallOutcome::Ok, Duration::ZERO);
        assert_eq!(families(PAGE), families(&metrics.text().unwrap()));
    }
}

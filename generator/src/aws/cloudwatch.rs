//! [`MetricSink`] over PutMetricData. Touches the outside: CloudWatch.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit, StatisticSet};
use aws_smithy_types::DateTime;

use crate::error::PublishError;
use crate::metrics::{Datum, Metric, MetricSink, MetricValue};

/// The maximum number of data points per request (CloudWatch API reference, PutMetricData).
const MAX_DATA: usize = 1000;

/// High resolution, because windows can be shorter than a minute (PutMetricData,
/// `StorageResolution`).
const EVERY_SECOND: i32 = 1;

/// Publishes the metrics of one run.
pub struct CloudWatchMetrics {
    client: Client,
    namespace: String,
    run_name: String,
}

impl CloudWatchMetrics {
    /// Metrics in `namespace` with the run's name as a dimension. The task is not a dimension,
    /// since CloudWatch bills every distinct combination.
    pub fn new(client: Client, namespace: String, run_name: String) -> Self {
        Self { client, namespace, run_name }
    }

    fn metric_datum(&self, datum: Datum) -> MetricDatum {
        let Datum { metric, phase, at, value } = datum;
        let since_1970 = Duration::from_micros(u64::try_from(at.as_micros()).unwrap_or(0));
        let metric_datum = MetricDatum::builder()
            .metric_name(metric.name())
            .dimensions(Dimension::builder().name("RunName").value(&self.run_name).build())
            .dimensions(Dimension::builder().name("DemoPhase").value(phase).build())
            .timestamp(DateTime::from(SystemTime::UNIX_EPOCH + since_1970))
            .storage_resolution(EVERY_SECOND)
            .unit(unit(metric));
        match value {
            MetricValue::Rate(rate) => metric_datum.value(rate),
            MetricValue::Counted(values) => {
                let (values, counts) = values.into_iter().unzip();
                metric_datum.set_values(Some(values)).set_counts(Some(counts))
            }
            MetricValue::Statistics { count, sum, min, max } => metric_datum.statistic_values(
                StatisticSet::builder().sample_count(count).sum(sum).minimum(min).maximum(max).build(),
            ),
        }
        .build()
    }
}

#[async_trait]
impl MetricSink for CloudWatchMetrics {
    async fn put(&self, data: Vec<Datum>) -> Result<(), PublishError> {
        let mut data = data.into_iter().map(|datum| self.metric_datum(datum)).peekable();
        while data.peek().is_some() {
            let chunk = data.by_ref().take(MAX_DATA).collect();
            let request =
                self.client.put_metric_data().namespace(&self.namespace).set_metric_data(Some(chunk));
            request.send().await.map_err(|error| PublishError(error.into()))?;
        }
        Ok(())
    }
}

fn unit(metric: Metric) -> StandardUnit {
    match metric {
        Metric::AverageLatency => StandardUnit::Milliseconds,
        Metric::SuccessRate => StandardUnit::Percent,
        Metric::MessagesPerSecond
        | Metric::BatchesPerSecond
        | Metric::ThrottleExceptionsPerSecond
        | Metric::RetriesPerSecond => StandardUnit::CountSecond,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudwatch::operation::put_metric_data::{PutMetricDataError, PutMetricDataOutput};
    use aws_sdk_cloudwatch::types::error::InternalServiceFault;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};
    use kinesis_demo_api::MicroTime;

    use super::*;

    fn datum(metric: Metric, value: MetricValue) -> Datum {
        Datum { metric, phase: "peak".into(), at: MicroTime::from_micros(1_700_000_000_000_000), value }
    }

    fn metrics(client: Client) -> CloudWatchMetrics {
        CloudWatchMetrics::new(client, "KinesisDemo".into(), "kd-x-r1".into())
    }

    #[tokio::test]
    async fn data_points_have_run_phase_and_window_start() {
        let put = mock!(Client::put_metric_data)
            .match_requests(|request| {
                let data = request.metric_data();
                let names = |datum: &MetricDatum| {
                    let pairs = datum.dimensions().iter().map(|d| format!("{:?}={:?}", d.name(), d.value()));
                    pairs.collect::<Vec<_>>().join(" ")
                };
                let statistics = data[2].statistic_values().unwrap();
                request.namespace() == Some("KinesisDemo")
                    && data.len() == 3
                    && data.iter().all(|datum| {
                        names(datum) == r#"Some("RunName")=Some("kd-x-r1") Some("DemoPhase")=Some("peak")"#
                    })
                    && data.iter().all(|datum| datum.timestamp().unwrap().secs() == 1_700_000_000)
                    && data.iter().all(|datum| datum.storage_resolution() == Some(1))
                    && data[0].metric_name() == Some("MessagesPerSecond")
                    && (data[0].unit(), data[0].value()) == (Some(&StandardUnit::CountSecond), Some(4_990.5))
                    && data[1].unit() == Some(&StandardUnit::Milliseconds)
                    && (data[1].values(), data[1].counts()) == (&[5.0, 20.0], &[9.0, 1.0])
                    && data[1].statistic_values().is_none()
                    && data[2].unit() == Some(&StandardUnit::Percent)
                    && (statistics.sample_count(), statistics.maximum()) == (Some(2.0), Some(100.0))
            })
            .then_output(|| PutMetricDataOutput::builder().build());
        let client = mock_client!(aws_sdk_cloudwatch, [&put]);
        let data = vec![
            datum(Metric::MessagesPerSecond, MetricValue::Rate(4_990.5)),
            datum(Metric::AverageLatency, MetricValue::Counted(vec![(5.0, 9.0), (20.0, 1.0)])),
            datum(
                Metric::SuccessRate,
                MetricValue::Statistics { count: 2.0, sum: 100.0, min: 0.0, max: 100.0 },
            ),
        ];
        metrics(client).put(data).await.unwrap();
        assert_eq!(put.num_calls(), 1);
    }

    #[tokio::test]
    async fn data_is_split_into_requests_and_errors_are_returned() {
        let put = mock!(Client::put_metric_data).then_output(|| PutMetricDataOutput::builder().build());
        let failing = mock!(Client::put_metric_data)
            .then_error(|| PutMetricDataError::InternalServiceFault(InternalServiceFault::builder().build()));
        let second = mock!(Client::put_metric_data).then_output(|| PutMetricDataOutput::builder().build());
        let client = mock_client!(aws_sdk_cloudwatch, RuleMode::Sequential, [&put, &second, &failing]);
        let metrics = metrics(client);
        metrics.put(vec![datum(Metric::SuccessRate, MetricValue::Rate(1.0)); MAX_DATA + 1]).await.unwrap();
        assert_eq!((put.num_calls(), second.num_calls()), (1, 1));
        assert!(metrics.put(vec![datum(Metric::SuccessRate, MetricValue::Rate(1.0))]).await.is_err());
    }
}

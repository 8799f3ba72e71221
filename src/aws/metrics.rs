//! The operator's own CloudWatch metrics. In: the values of a run. Out: one PutMetricData.

use async_trait::async_trait;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use aws_smithy_types::DateTime;
use kinesis_demo_api::MicroTime;

use super::client::Api;
use super::{AwsResult, METRICS_NAMESPACE, Metrics, RUN_DIMENSION, RunMetric};

/// CloudWatch metrics in one region.
pub struct CloudWatchMetrics(Api<Client>);

impl CloudWatchMetrics {
    pub(super) fn new(api: Api<Client>) -> Self {
        Self(api)
    }
}

#[async_trait]
impl Metrics for CloudWatchMetrics {
    async fn put_run_metrics(
        &self,
        run_name: &str,
        at: MicroTime,
        data: &[(RunMetric, u32)],
    ) -> AwsResult<()> {
        let Self(api) = self;
        let run = Dimension::builder().name(RUN_DIMENSION).value(run_name).build();
        // The default storage resolution is one minute, which is as fine as the dashboard shows.
        let data = data.iter().map(|(metric, value)| {
            MetricDatum::builder()
                .metric_name(metric.name())
                .dimensions(run.clone())
                .timestamp(DateTime::from_millis(at.as_micros().div_euclid(1000)))
                .unit(unit(*metric))
                .value(f64::from(*value))
                .build()
        });
        let request = api
            .client
            .put_metric_data()
            .namespace(METRICS_NAMESPACE)
            .set_metric_data(Some(data.collect()))
            .send();
        api.call("PutMetricData", run_name, request).await.map(drop)
    }
}

/// CloudWatch has no unit for MiB: its megabyte is 10^6 bytes. Warm throughput therefore has no
/// unit.
fn unit(metric: RunMetric) -> StandardUnit {
    match metric {
        RunMetric::WarmThroughputTarget | RunMetric::WarmThroughputCurrent => StandardUnit::None,
        RunMetric::OpenShards | RunMetric::DesiredTasks | RunMetric::RunningTasks => StandardUnit::Count,
        RunMetric::TargetRecordsPerSecond => StandardUnit::CountSecond,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudwatch::config::retry::RetryConfig;
    use aws_sdk_cloudwatch::operation::put_metric_data::PutMetricDataOutput;
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};

    use super::*;
    use crate::aws::AwsErrorClass;
    use crate::aws::client::tests::{refused_in_cbor, unobserved};

    fn metrics(rules: &[&Rule]) -> CloudWatchMetrics {
        CloudWatchMetrics::new(unobserved(mock_client!(
            aws_sdk_cloudwatch,
            RuleMode::Sequential,
            rules,
            |config| { config.retry_config(RetryConfig::disabled()) }
        )))
    }

    #[tokio::test]
    async fn one_request_carries_all_values_with_the_run_as_dimension() {
        let put = mock!(Client::put_metric_data).then_compute_output(|request| {
            assert_eq!(request.namespace(), Some("KinesisDemo"));
            let seen: Vec<_> = request
                .metric_data()
                .iter()
                .map(|datum| {
                    let dimensions: Vec<_> =
                        datum.dimensions().iter().map(|d| (d.name(), d.value())).collect();
                    assert_eq!(dimensions, [(Some("RunName"), Some("kd-x-r1"))]);
                    assert_eq!(datum.timestamp().unwrap().to_millis().unwrap(), 1_700_000_000_250);
                    (datum.metric_name().unwrap(), datum.value().unwrap(), datum.unit().unwrap().as_str())
                })
                .collect();
            assert_eq!(
                seen,
                [
                    ("WarmThroughputTarget", 100.0, "None"),
                    ("OpenShards", 8.0, "Count"),
                    ("TargetRecordsPerSecond", 50_000.0, "Count/Second"),
                ]
            );
            PutMetricDataOutput::builder().build()
        });
        let data = [
            (RunMetric::WarmThroughputTarget, 100),
            (RunMetric::OpenShards, 8),
            (RunMetric::TargetRecordsPerSecond, 50_000),
        ];
        let at = MicroTime::from_micros(1_700_000_000_250_900);
        metrics(&[&put]).put_run_metrics("kd-x-r1", at, &data).await.unwrap();
        assert_eq!(put.num_calls(), 1);
    }

    #[tokio::test]
    async fn an_error_names_the_run() {
        let denied = mock!(Client::put_metric_data)
            .then_http_response(|| refused_in_cbor(403, "AccessDeniedException", Some("AccessDenied")));
        let at = MicroTime::from_micros(0);
        let error = metrics(&[&denied]).put_run_metrics("kd-x-r1", at, &[]).await.unwrap_err();
        assert_eq!((error.class, error.target.as_str()), (AwsErrorClass::Denied, "kd-x-r1"));
    }
}

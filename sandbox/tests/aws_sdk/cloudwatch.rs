//! Tests of CloudWatch through the Rust SDK (rpc-v2-cbor, gzip for large bodies), and in JSON and
//! the query protocol, which other SDKs use.

use std::time::Duration;

use aws_sdk_cloudwatch::error::ProvideErrorMetadata as _;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{
    Dimension, Metric, MetricDataQuery, MetricDatum, MetricStat, ScanBy, StandardUnit, Statistic,
};
use serde_json::{Value, json};

use crate::test_sandbox::{TestSandbox, config};

fn run() -> Dimension {
    Dimension::builder().name("Run").value("7").build()
}

fn query(statistic: &str) -> MetricDataQuery {
    let metric =
        Metric::builder().namespace("KinesisDemo").metric_name("RecordsSent").dimensions(run()).build();
    let wanted = MetricStat::builder().metric(metric).period(1).stat(statistic).build();
    MetricDataQuery::builder().id("sent").metric_stat(wanted).build()
}

#[tokio::test]
async fn metrics_are_read_as_they_were_published() {
    let sandbox = TestSandbox::start().await;
    let client = aws_sdk_cloudwatch::Client::new(&config(&sandbox.running, "us-east-1").await);
    let start = sandbox.clock.moment().wall.as_second() - 600;
    let datum = |second: i64| {
        MetricDatum::builder()
            .metric_name("RecordsSent")
            .dimensions(run())
            .timestamp(DateTime::from_secs(start + second))
            .unit(StandardUnit::Count)
            .storage_resolution(1)
    };
    client
        .put_metric_data()
        .namespace("KinesisDemo")
        .metric_data(datum(0).value(2.5).build())
        .send()
        .await
        .unwrap();
    // 300 data points exceed 10 KiB, from which the SDK compresses.
    let many = (1..=300).map(|second| datum(second).values(1.0).counts(f64::from(3)).build()).collect();
    client.put_metric_data().namespace("KinesisDemo").set_metric_data(Some(many)).send().await.unwrap();
    sandbox.advance(3);
    let read = client
        .get_metric_data()
        .metric_data_queries(query("Sum"))
        .metric_data_queries(
            MetricDataQuery::builder()
                .id("most")
                .metric_stat(query("p99").metric_stat().unwrap().clone())
                .build(),
        )
        .start_time(DateTime::from_secs(start))
        .end_time(DateTime::from_secs(start + 301))
        .scan_by(ScanBy::TimestampAscending)
        .send()
        .await
        .unwrap();
    let sums = &read.metric_data_results()[0];
    assert_eq!(sums.values().len(), 301);
    assert_eq!((sums.values()[0], sums.values()[1]), (2.5, 3.0));
    assert_eq!(sums.timestamps()[1], DateTime::from_secs(start + 1));
    assert_eq!(read.metric_data_results()[1].values()[300], 1.0);

    let statistics = client
        .get_metric_statistics()
        .namespace("KinesisDemo")
        .metric_name("RecordsSent")
        .dimensions(run())
        .period(3600)
        .start_time(DateTime::from_secs(start - 3600))
        .end_time(DateTime::from_secs(start + 3600))
        .statistics(Statistic::SampleCount)
        .send()
        .await
        .unwrap();
    let counted: f64 = statistics.datapoints().iter().filter_map(|point| point.sample_count()).sum();
    assert_eq!(counted, 901.0);
    assert_eq!(statistics.datapoints()[0].unit(), Some(&StandardUnit::Count));

    sandbox.advance(60);
    let listed = client.list_metrics().namespace("KinesisDemo").send().await.unwrap();
    assert_eq!(listed.metrics()[0].dimensions()[0].value(), Some("7"));
    sandbox.running.stop().await;
}

#[tokio::test]
async fn errors_are_the_sdks_modelled_errors() {
    let sandbox = TestSandbox::start().await;
    let client = aws_sdk_cloudwatch::Client::new(&config(&sandbox.running, "us-east-1").await);
    let missing =
        client.get_dashboard().dashboard_name("none").send().await.unwrap_err().into_service_error();
    assert!(missing.is_dashboard_not_found_error(), "{missing:?}");
    let invalid = client.put_dashboard().dashboard_name("a").dashboard_body("{}").send().await.unwrap_err();
    let invalid = invalid.into_service_error();
    assert!(invalid.is_dashboard_invalid_input_error(), "{invalid:?}");
    assert!(invalid.message().unwrap().contains("widgets"));
    let datum = MetricDatum::builder().metric_name("a").value(f64::NAN).build();
    let nan = client
        .put_metric_data()
        .namespace("n")
        .metric_data(datum)
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert!(nan.is_invalid_parameter_value_exception(), "{nan:?}");
    sandbox.running.stop().await;
}

#[tokio::test]
async fn dashboards_are_written_listed_read_and_deleted() {
    let sandbox = TestSandbox::start().await;
    let client = aws_sdk_cloudwatch::Client::new(&config(&sandbox.running, "us-east-1").await);
    let body = r#"{"widgets":[{"type":"text","properties":{"markdown":"run 7"}}]}"#;
    let put = client.put_dashboard().dashboard_name("run-7").dashboard_body(body).send().await.unwrap();
    assert!(put.dashboard_validation_messages().is_empty());
    let got = client.get_dashboard().dashboard_name("run-7").send().await.unwrap();
    assert_eq!(got.dashboard_body(), Some(body));
    let listed = client.list_dashboards().send().await.unwrap();
    let entry = &listed.dashboard_entries()[0];
    assert_eq!((entry.dashboard_name(), entry.size()), (Some("run-7"), Some(body.len() as i64)));
    let modified = entry.last_modified().unwrap().to_millis().unwrap();
    assert!((modified - sandbox.clock.moment().wall.as_millisecond()).abs() < 1000);
    client.delete_dashboards().dashboard_names("run-7").send().await.unwrap();
    assert!(client.list_dashboards().send().await.unwrap().dashboard_entries().is_empty());
    sandbox.running.stop().await;
}

/// Sends raw requests in the other two protocols: JSON 1.0 and the query protocol with XML.
#[tokio::test]
async fn json_and_query_clients_see_the_same_metrics() {
    let sandbox = TestSandbox::start().await;
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/20261122/us-east-1/monitoring/aws4_request, SignedHeaders=host, Signature=0",
        sandbox.running.access_key_id()
    );
    let post = async |headers: &[(&str, &str)], body: String| {
        let mut request = reqwest::Client::new()
            .post(sandbox.running.endpoint_url())
            .header("authorization", authorization.as_str())
            .header("x-amz-date", "20261122T100000Z")
            .timeout(Duration::from_secs(10))
            .body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let error =
            response.headers().get("x-amzn-query-error").map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), error, response.text().await.unwrap())
    };
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let put = "Action=PutMetricData&Version=2010-08-01&Namespace=Demo&MetricData.member.1.MetricName=rate\
               &MetricData.member.1.Value=2.5";
    let (status, _, body) = post(&form, put.into()).await;
    assert_eq!(status, 200, "{body}");
    assert!(body.starts_with("<PutMetricDataResponse xmlns="), "{body}");
    sandbox.advance(60);

    let json_headers = |operation: &'static str| {
        [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", operation)]
    };
    let headers = json_headers("GraniteServiceVersion20100801.ListMetrics");
    let (status, _, body) = post(&headers, json!({"Namespace": "Demo"}).to_string()).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["Metrics"][0]["MetricName"]), (200, &json!("rate")));

    let now = sandbox.clock.moment().wall.as_second();
    let headers = json_headers("GraniteServiceVersion20100801.GetMetricStatistics");
    let read = json!({"Namespace": "Demo", "MetricName": "rate", "Period": 3600, "StartTime": now - 3600, "EndTime": now + 60, "Statistics": ["Sum"]});
    let (_, _, body) = post(&headers, read.to_string()).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["Datapoints"][0]["Sum"], 2.5);

    let headers = json_headers("GraniteServiceVersion20100801.GetDashboard");
    let (status, error, body) = post(&headers, json!({"DashboardName": "none"}).to_string()).await;
    assert_eq!((status, error.as_deref()), (404, Some("ResourceNotFound;Sender")), "{body}");
    let (status, _, body) =
        post(&form, "Action=GetDashboard&Version=2010-08-01&DashboardName=none".into()).await;
    assert_eq!(status, 404);
    assert!(body.contains("<Code>ResourceNotFound</Code>"), "{body}");
    sandbox.running.stop().await;
}

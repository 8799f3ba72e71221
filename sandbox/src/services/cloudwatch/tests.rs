//! Tests of CloudWatch through `Service::call`, with a manual clock.

use jiff::SignedDuration;
use serde_json::json;

use super::*;
use crate::call::Caller;

struct Harness {
    cloudwatch: CloudWatch,
    start: Timestamp,
}

impl Harness {
    fn new() -> Self {
        let clock = ModelClock::manual(1);
        Self { start: clock.now(), cloudwatch: CloudWatch::new(clock) }
    }

    /// Calls at `seconds` after the start.
    async fn at(&self, seconds: i64, operation: &str, input: Value) -> Result<Value, AwsError> {
        let caller = Caller { account: "000000000000".into(), region: "us-east-1".into() };
        let now = self.start + SignedDuration::from_secs(seconds);
        self.cloudwatch.call(Call { operation, input: &input, caller: &caller, now }).await
    }

    /// A round minute in the recent past, as epoch seconds.
    fn minute(&self) -> i64 {
        self.start.as_second().div_euclid(3600) * 3600 - 3600
    }

    async fn put(&self, data: Value) -> Result<Value, AwsError> {
        self.at(0, "PutMetricData", json!({"Namespace": "Demo", "MetricData": data})).await
    }

    async fn error_for(&self, datum: Value) -> AwsError {
        self.put(json!([datum])).await.unwrap_err()
    }

    async fn series(&self, statistic: &str, period: i64) -> Vec<(i64, f64)> {
        let from = self.minute();
        let query = json!({"Id": "m1", "MetricStat": {
            "Metric": {"Namespace": "Demo", "MetricName": "rate", "Dimensions": [{"Name": "Run", "Value": "1"}]},
            "Period": period, "Stat": statistic,
        }});
        let input = json!({
            "MetricDataQueries": [query], "StartTime": from, "EndTime": from + 3600, "ScanBy": "TimestampAscending",
        });
        let response = self.at(5, "GetMetricData", input).await.unwrap();
        let result = &response["MetricDataResults"][0];
        let times = result["Timestamps"].as_array().unwrap().iter().map(|at| at.as_i64().unwrap() - from);
        times.zip(result["Values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap())).collect()
    }

    fn datum(&self, second: i64, value: Value) -> Value {
        let mut datum = json!({
            "MetricName": "rate", "Dimensions": [{"Name": "Run", "Value": "1"}], "Timestamp": self.minute() + second,
            "StorageResolution": 1,
        });
        datum.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        datum
    }
}

#[tokio::test]
async fn data_is_aggregated_by_aligned_periods() {
    let harness = Harness::new();
    let data = json!([
        harness.datum(0, json!({"Value": 1.0})),
        harness.datum(9, json!({"Value": 2.0})),
        harness.datum(10, json!({"Values": [1.0, 5.0], "Counts": [2.0, 1.0]})),
        harness.datum(
            65,
            json!({"StatisticValues": {"SampleCount": 2.0, "Sum": 6.0, "Minimum": 2.0, "Maximum": 4.0}})
        ),
    ]);
    assert_eq!(harness.put(data).await.unwrap(), Value::Null);
    assert_eq!(harness.series("Sum", 10).await, [(0, 3.0), (10, 7.0), (60, 6.0)]);
    assert_eq!(harness.series("SampleCount", 60).await, [(0, 5.0), (60, 2.0)]);
    assert_eq!(harness.series("p50", 60).await, [(0, 1.0)]);
    assert_eq!(harness.series("Maximum", 3600).await, [(0, 5.0)]);
}

#[tokio::test]
async fn points_and_new_metrics_appear_after_their_delays() {
    let harness = Harness::new();
    harness.put(json!([{"MetricName": "rate", "Value": 1}])).await.unwrap();
    let now = harness.start.as_second();
    let query = json!({"Id": "a", "MetricStat": {"Metric": {"Namespace": "Demo", "MetricName": "rate"}, "Period": 60, "Stat": "Sum"}});
    let read = json!({"MetricDataQueries": [query], "StartTime": now - 120, "EndTime": now + 120});
    let values = |response: Value| response["MetricDataResults"][0]["Values"].as_array().unwrap().len();
    assert_eq!(values(harness.at(1, "GetMetricData", read.clone()).await.unwrap()), 0);
    assert_eq!(values(harness.at(2, "GetMetricData", read).await.unwrap()), 1);
    let list = json!({"Namespace": "Demo"});
    assert_eq!(harness.at(59, "ListMetrics", list.clone()).await.unwrap(), json!({"Metrics": []}));
    let listed = harness.at(60, "ListMetrics", list).await.unwrap();
    assert_eq!(listed, json!({"Metrics": [{"Namespace": "Demo", "MetricName": "rate", "Dimensions": []}]}));
}

#[tokio::test]
async fn data_points_are_paginated() {
    let harness = Harness::new();
    let data: Vec<Value> = (0..5).map(|second| harness.datum(second, json!({"Value": second}))).collect();
    harness.put(json!(data)).await.unwrap();
    let from = harness.minute();
    let query = json!({"Id": "a", "MetricStat": {"Metric": {"Namespace": "Demo", "MetricName": "rate", "Dimensions": [{"Name": "Run", "Value": "1"}]}, "Period": 1, "Stat": "Sum"}});
    let mut read =
        json!({"MetricDataQueries": [query], "StartTime": from, "EndTime": from + 60, "MaxDatapoints": 3});
    let first = harness.at(5, "GetMetricData", read.clone()).await.unwrap();
    assert_eq!(first["MetricDataResults"][0]["Values"], json!([4.0, 3.0, 2.0]));
    assert_eq!(first["MetricDataResults"][0]["StatusCode"], "PartialData");
    read["NextToken"] = first["NextToken"].clone();
    let second = harness.at(5, "GetMetricData", read).await.unwrap();
    assert_eq!(second["MetricDataResults"][0]["Values"], json!([1.0, 0.0]));
    assert_eq!(second.get("NextToken"), None);
}

#[tokio::test]
async fn a_request_beyond_the_limits_is_rejected_as_a_whole() {
    let harness = Harness::new();
    let dimensions =
        |count: usize| (0..count).map(|n| json!({"Name": format!("d{n}"), "Value": "v"})).collect::<Vec<_>>();
    let values = |count: usize| vec![1.0; count];
    let plain = |extra: Value| {
        let mut datum = json!({"MetricName": "rate"});
        datum.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        datum
    };
    let now = harness.start.as_second();
    let invalid = "InvalidParameterValueException";
    let cases = [
        (plain(json!({"Value": "NaN"})), invalid),
        (plain(json!({"Value": "Infinity"})), invalid),
        (plain(json!({"Value": 1e109})), invalid),
        (plain(json!({"Values": values(151)})), invalid),
        (plain(json!({"Values": [1.0, 2.0], "Counts": [1.0]})), invalid),
        (plain(json!({"Value": 1, "Dimensions": dimensions(31)})), invalid),
        (plain(json!({"Value": 1, "Timestamp": now - 14 * 86_400 - 1})), invalid),
        (plain(json!({"Value": 1, "Timestamp": now + 7_201})), invalid),
        (plain(json!({"Value": 1, "Unit": "Furlongs"})), invalid),
        (plain(json!({"Value": 1, "StorageResolution": 5})), invalid),
        (plain(json!({"Value": 1, "Values": [1.0]})), "InvalidParameterCombinationException"),
        (plain(json!({})), "MissingRequiredParameterException"),
        (json!({"Value": 1}), "MissingRequiredParameterException"),
    ];
    for (datum, code) in cases {
        assert_eq!(harness.error_for(datum.clone()).await.code, code, "{datum}");
    }
    let accepted = [
        plain(json!({"Values": values(150)})),
        plain(json!({"Value": 1, "Dimensions": dimensions(30)})),
        plain(json!({"Value": 1, "Timestamp": now - 14 * 86_400 + 1})),
        plain(json!({"Value": 1, "Timestamp": now + 7_199})),
    ];
    for datum in accepted {
        harness.put(json!([datum])).await.unwrap();
    }
    let datum = plain(json!({"Value": 1}));
    assert!(harness.put(json!(vec![datum.clone(); 1000])).await.is_ok());
    assert_eq!(harness.put(json!(vec![datum.clone(); 1001])).await.unwrap_err().code, invalid);
    let reserved = json!({"Namespace": "AWS/Kinesis", "MetricData": [datum]});
    assert_eq!(harness.at(0, "PutMetricData", reserved).await.unwrap_err().code, invalid);
}

#[tokio::test]
async fn statistics_have_their_unit_and_at_most_1440_points() {
    let harness = Harness::new();
    harness.put(json!([harness.datum(0, json!({"Value": 4, "Unit": "Count"}))])).await.unwrap();
    let mut read = json!({
        "Namespace": "Demo", "MetricName": "rate", "Dimensions": [{"Name": "Run", "Value": "1"}], "Period": 60,
        "StartTime": harness.minute(), "EndTime": harness.minute() + 60, "Statistics": ["Sum", "Average"],
    });
    let response = harness.at(5, "GetMetricStatistics", read.clone()).await.unwrap();
    assert_eq!(
        response["Datapoints"],
        json!([{"Timestamp": harness.minute(), "Sum": 4.0, "Average": 4.0, "Unit": "Count"}])
    );
    read["StartTime"] = json!(harness.minute() - 86_400);
    let error = harness.at(5, "GetMetricStatistics", read).await.unwrap_err();
    assert_eq!(error.code, "InvalidParameterCombinationException");
}

#[tokio::test]
async fn dashboards_are_stored_listed_and_deleted_together() {
    let harness = Harness::new();
    let body = json!({"widgets": [{"type": "metric", "x": 0, "y": 0, "width": 12, "height": 6,
        "properties": {"metrics": [["Demo", "rate"]], "region": "us-east-1"}}]});
    let put = json!({"DashboardName": "run-1", "DashboardBody": body.to_string()});
    assert_eq!(harness.at(0, "PutDashboard", put).await.unwrap(), json!({"DashboardValidationMessages": []}));
    let got = harness.at(0, "GetDashboard", json!({"DashboardName": "run-1"})).await.unwrap();
    assert_eq!(got["DashboardArn"], "arn:aws:cloudwatch::000000000000:dashboard/run-1");
    assert_eq!(got["DashboardBody"], body.to_string());
    let listed = harness.at(0, "ListDashboards", json!({"DashboardNamePrefix": "run"})).await.unwrap();
    assert_eq!(listed["DashboardEntries"][0]["Size"], body.to_string().len());

    let both = json!({"DashboardNames": ["run-1", "run-2"]});
    let error = harness.at(0, "DeleteDashboards", both).await.unwrap_err();
    assert_eq!((error.status, error.code.as_str()), (404, "DashboardNotFoundError"));
    assert!(harness.at(0, "GetDashboard", json!({"DashboardName": "run-1"})).await.is_ok());
    harness.at(0, "DeleteDashboards", json!({"DashboardNames": ["run-1"]})).await.unwrap();
    assert!(harness.at(0, "GetDashboard", json!({"DashboardName": "run-1"})).await.is_err());
}

#[test]
fn an_invalid_dashboard_body_is_rejected_with_its_path() {
    let widget = |extra: Value| {
        let mut widget = json!({"type": "text", "properties": {"markdown": "hi"}});
        widget.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({"widgets": [widget]}).to_string()
    };
    assert_eq!(dashboards::validation_error(&widget(json!({"x": 23, "width": 24}))), None);
    let cases = [
        ("not json".to_owned(), "valid JSON"),
        ("{}".to_owned(), "widgets"),
        (r#"{"widgets": {}}"#.to_owned(), "array"),
        (widget(json!({"type": "pie"})), "/widgets/0/type"),
        (widget(json!({"x": 24})), "/widgets/0/x"),
        (widget(json!({"width": 25})), "/widgets/0/width"),
        (widget(json!({"height": 0})), "/widgets/0/height"),
        (widget(json!({"properties": {}})), "markdown"),
        (widget(json!({"type": "metric", "properties": {"metrics": []}})), "region"),
    ];
    for (body, part) in cases {
        let error = dashboards::validation_error(&body).unwrap();
        assert_eq!(error.code, "DashboardInvalidInputError");
        assert!(error.message.contains(part), "{}", error.message);
    }
}

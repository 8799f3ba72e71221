//! Bodies that CloudWatch accepts and bodies that it rejects.

use serde_json::{Value, json};

use super::*;

/// The dashboard body that the operator creates. A test in `src/reconcile/resources/dashboard.rs`
/// keeps this file current.
const OPERATOR_BODY: &str = include_str!("../../../../../../src/reconcile/resources/testdata/dashboard.json");

fn metric(change: Value) -> Value {
    let mut properties =
        json!({"metrics": [["AWS/EC2", "CPUUtilization", "InstanceId", "i-012345"]], "region": "us-east-1"});
    for (member, value) in change.as_object().unwrap() {
        properties[member] = value.clone();
    }
    json!({"type": "metric", "properties": properties})
}

fn found(widget: Value) -> Findings {
    check(&json!({"widgets": [widget]}).to_string())
}

#[test]
fn the_operators_dashboard_has_no_findings() {
    assert_eq!(check(OPERATOR_BODY), Findings::default());
}

/// The examples of the reference are accepted.
#[test]
fn the_references_examples_have_no_findings() {
    let accepted = [
        json!({"start": "-PT6H", "periodOverride": "inherit", "widgets": []}),
        json!({"start": "2018-12-17T06:00:00.000Z", "end": "2018-12-18T06:00:00.000Z", "widgets": []}),
        json!({"widgets": [{"type": "text", "x": 0, "y": 7, "width": 3, "height": 3, "properties": {"markdown": "Hello world"}}]}),
        json!({"widgets": [{"type": "text", "properties": {"markdown": "Hello world", "background": "transparent"}}]}),
        json!({"widgets": [metric(json!({"period": 300, "stat": "Average", "title": "EC2 Instance CPU", "liveData": false, "legend": {"position": "right"}}))]}),
        json!({"widgets": [metric(json!({"metrics": [
            ["AWS/EC2", "DiskReadBytes", "InstanceId", "i-123", {"color": "#ff7f0e", "stat": "p99.9", "yAxis": "right"}],
            [".", "DiskWriteBytes", ".", "."],
            ["...", "i-456", {"id": "m1", "visible": false}],
            [{"expression": "SUM(METRICS(\"m\"))/2", "label": "Half", "id": "e1", "period": 60}],
            ["AWS/Usage", "CallCount"]]}))]}),
        json!({"widgets": [metric(json!({"view": "gauge", "yAxis": {"left": {"min": 0, "max": 100, "label": "percent", "showUnits": false}}}))]}),
        json!({"widgets": [metric(json!({"annotations": {
            "horizontal": [{"value": 10, "label": "Trouble", "fill": "above", "color": "#d62728", "visible": true, "yAxis": "left"},
                [{"value": 1, "label": "band"}, {"value": 2}]],
            "vertical": [{"value": "2018-11-13T00:30:00Z", "fill": "before", "label": "Bug fix deployed"},
                [{"label": "Band on", "value": "2018-11-13T00:30:00Z"}, {"label": "Band off", "value": "2018-11-13T00:35:00.000Z"}]]}}))]}),
        json!({"widgets": [{"type": "metric", "properties": {"title": "alarm", "annotations": {"alarms": ["arn:aws:cloudwatch:us-east-1:1:alarm:a"]}}}]}),
        json!({"widgets": [{"type": "log", "properties": {"region": "us-east-1", "query": "SOURCE 'a' | fields @message", "view": "table"}}]}),
        json!({"widgets": [{"type": "alarm", "properties": {"title": "all", "alarms": ["arn:aws:cloudwatch:us-east-1:1:alarm:a"], "sortBy": "default"}}]}),
        json!({"widgets": [{"type": "explorer", "properties": {"labels": [{"key": "Team"}], "metrics": [{"metricName": "CPUUtilization"}]}}]}),
    ];
    for body in accepted {
        assert_eq!(check(&body.to_string()), Findings::default(), "{body}");
    }
}

#[test]
fn each_error_is_reported_with_its_path() {
    let vertical = |annotation: Value| metric(json!({"annotations": {"vertical": [annotation]}}));
    let line = |line: Value| metric(json!({"metrics": [line]}));
    let drawn = |drawn: Value| metric(json!({"metrics": [["A", "b", drawn]]}));
    let cases = [
        (metric(json!({"title": 1})), "/widgets/0/properties/title"),
        (metric(json!({"stacked": "true"})), "/widgets/0/properties/stacked"),
        (metric(json!({"view": "timeseries"})), "/widgets/0/properties/view"),
        (metric(json!({"period": 45})), "/widgets/0/properties/period"),
        (metric(json!({"period": "60"})), "/widgets/0/properties/period"),
        (metric(json!({"stat": "average"})), "/widgets/0/properties/stat"),
        (metric(json!({"legend": {"position": "top"}})), "/widgets/0/properties/legend/position"),
        (metric(json!({"yAxis": {"left": {"min": "0"}}})), "/widgets/0/properties/yAxis/left/min"),
        (metric(json!({"yAxis": []})), "/widgets/0/properties/yAxis"),
        (metric(json!({"view": "gauge"})), "/widgets/0/properties/yAxis"),
        (metric(json!({"end": "-PT1H"})), "/widgets/0/properties"),
        (metric(json!({"start": "yesterday"})), "/widgets/0/properties/start"),
        (metric(json!({"metrics": {}})), "/widgets/0/properties/metrics"),
        (line(json!("AWS/EC2")), "/widgets/0/properties/metrics/0"),
        (line(json!(["AWS/EC2"])), "/widgets/0/properties/metrics/0"),
        (line(json!(["AWS/EC2", "CPU", "InstanceId"])), "/widgets/0/properties/metrics/0"),
        (line(json!(["AWS/EC2", 5])), "/widgets/0/properties/metrics/0/1"),
        (line(json!([".", "CPU"])), "/widgets/0/properties/metrics/0/0"),
        (line(json!(["...", "i-1"])), "/widgets/0/properties/metrics/0/0"),
        (line(json!(["AWS/EC2", {"expression": "m1"}])), "/widgets/0/properties/metrics/0"),
        (drawn(json!({"id": "M1"})), "/widgets/0/properties/metrics/0/2/id"),
        (drawn(json!({"id": "m-1"})), "/widgets/0/properties/metrics/0/2/id"),
        (drawn(json!({"color": "red"})), "/widgets/0/properties/metrics/0/2/color"),
        (drawn(json!({"stat": "p101"})), "/widgets/0/properties/metrics/0/2/stat"),
        (drawn(json!({"yAxis": "top"})), "/widgets/0/properties/metrics/0/2/yAxis"),
        (drawn(json!({"visible": 1})), "/widgets/0/properties/metrics/0/2/visible"),
        (
            metric(json!({"metrics": [["A", "b", {"id": "m1"}], ["A", "c", {"id": "m1"}]]})),
            "/widgets/0/properties/metrics/1/2",
        ),
        (vertical(json!({"label": "when?"})), "/widgets/0/properties/annotations/vertical/0"),
        (vertical(json!({"value": 5})), "/widgets/0/properties/annotations/vertical/0/value"),
        (vertical(json!({"value": "2018-11-13"})), "/widgets/0/properties/annotations/vertical/0/value"),
        (
            vertical(json!({"value": "2018-11-13T00:30:00Z", "fill": "above"})),
            "/widgets/0/properties/annotations/vertical/0/fill",
        ),
        (
            vertical(json!([{"value": "2018-11-13T00:30:00Z"}])),
            "/widgets/0/properties/annotations/vertical/0",
        ),
        (
            vertical(json!([{"value": "2018-11-13T00:30:00Z"}, {"label": "end"}])),
            "/widgets/0/properties/annotations/vertical/0/1",
        ),
        (
            metric(json!({"annotations": {"horizontal": [{"value": "10"}]}})),
            "/widgets/0/properties/annotations/horizontal/0/value",
        ),
        (json!({"type": "log", "properties": {"query": "fields @message"}}), "/widgets/0/properties"),
        (json!({"type": "alarm", "properties": {}}), "/widgets/0/properties"),
        (
            json!({"type": "text", "properties": {"markdown": "a", "background": "red"}}),
            "/widgets/0/properties/background",
        ),
        (json!({"type": "text"}), "/widgets/0"),
        (json!("text"), "/widgets/0"),
    ];
    for (widget, path) in cases {
        let errors = found(widget.clone()).errors;
        assert_eq!(
            errors.iter().map(|error| error.path.as_str()).collect::<Vec<_>>(),
            [path],
            "{widget}: {errors:?}"
        );
    }
}

#[test]
fn unlisted_members_and_periods_are_warnings() {
    for (widget, path) in [
        (metric(json!({"color": "blue"})), "/widgets/0/properties/color"),
        (
            metric(json!({"metrics": [["A", "b", {"strokeWidth": 2}]]})),
            "/widgets/0/properties/metrics/0/2/strokeWidth",
        ),
        (metric(json!({"period": 10})), "/widgets/0/properties/period"),
    ] {
        let Findings { errors, warnings } = found(widget.clone());
        let paths: Vec<_> = warnings.iter().map(|warning| warning.path.as_str()).collect();
        assert_eq!(errors, [], "{widget}");
        assert_eq!(paths, [path], "{widget}");
    }
}

"""The operator's dashboard matches CloudWatch's documented schema, and two third-party emulators create, update
and delete it. The body is the expected value of the operator's own test (src/reconcile/resources/dashboard.rs).
"""

import copy
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import boto3
import jsonschema
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from conftest import REGION, REPOSITORY

BODY = json.loads((REPOSITORY / "src" / "reconcile" / "resources" / "testdata" / "dashboard.json").read_text())
SCHEMA = json.loads((Path(__file__).parent / "dashboard.schema.json").read_text())
NAME = "KinesisDemo-kd-viral-event-5f3c2a1b-r3"


def graphs(body):
    return [widget["properties"] for widget in body["widgets"] if widget["type"] == "metric"]


def before_the_first_phase():
    body = copy.deepcopy(BODY)
    for graph in graphs(body):
        graph["annotations"]["vertical"] = []
    return body


def schema_errors(body):
    return [error.json_path for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(body)]


def test_the_schema_is_valid():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_body_matches_the_documented_schema():
    assert schema_errors(BODY) == []
    assert schema_errors(before_the_first_phase()) == []


@pytest.mark.parametrize(
    ("break_body", "path"),
    [
        (lambda body: body.pop("widgets"), "$"),
        (lambda body: body.update(periodOverride="never"), "$.periodOverride"),
        (lambda body: body["widgets"][0].update(width=25), "$.widgets[0].width"),
        (lambda body: body["widgets"][0]["properties"].pop("markdown"), "$.widgets[0].properties"),
        (lambda body: graphs(body)[0].pop("region"), "$.widgets[1].properties"),
        (lambda body: graphs(body)[0].update(period=90), "$.widgets[1].properties.period"),
        (lambda body: graphs(body)[0].update(stat="p101"), "$.widgets[1].properties.stat"),
        (lambda body: graphs(body)[0].update(view="graph"), "$.widgets[1].properties.view"),
        (lambda body: graphs(body)[0].update(unknown=1), "$.widgets[1].properties"),
        (lambda body: graphs(body)[0]["metrics"].append(["AWS/Kinesis"]), "$.widgets[1].properties.metrics[6]"),
        (lambda body: graphs(body)[0]["metrics"].append([{"label": "a"}]), "$.widgets[1].properties.metrics[6]"),
        (lambda body: graphs(body)[0]["yAxis"]["left"].update(min="0"), "$.widgets[1].properties.yAxis.left.min"),
        (lambda body: graphs(body)[0]["annotations"]["vertical"][0].pop(), "$.widgets[1].properties.annotations.vertical[0]"),
        (lambda body: graphs(body)[0]["annotations"]["vertical"][0][1].update(value=5), "$.widgets[1].properties.annotations.vertical[0]"),
    ],
)
def test_a_broken_body_does_not_match(break_body, path):
    body = copy.deepcopy(BODY)
    break_body(body)
    assert schema_errors(body) == [path]


def refused(call, **arguments):
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return error.value.response["Error"]["Code"]


def create_update_and_delete(cloudwatch):
    for body in (before_the_first_phase(), BODY):
        response = cloudwatch.put_dashboard(DashboardName=NAME, DashboardBody=json.dumps(body))
        assert response.get("DashboardValidationMessages", []) == []
        assert json.loads(cloudwatch.get_dashboard(DashboardName=NAME)["DashboardBody"]) == body
    assert [entry["DashboardName"] for entry in cloudwatch.list_dashboards()["DashboardEntries"]] == [NAME]
    cloudwatch.delete_dashboards(DashboardNames=[NAME])
    assert refused(cloudwatch.get_dashboard, DashboardName=NAME) in ("ResourceNotFound", "DashboardNotFoundError")
    assert cloudwatch.list_dashboards()["DashboardEntries"] == []


def read_all_graph_metrics(cloudwatch):
    """Publishes the metrics of the graphs and reads them back with the names and dimensions in the body."""
    now = datetime.now(timezone.utc).replace(microsecond=0)
    wanted = {
        (metric[1], tuple(metric[2:-1]))
        for graph in graphs(BODY)
        for metric in graph["metrics"]
        if metric[0] == "KinesisDemo"
    }
    assert {name for name, _ in wanted} >= {"TargetRecordsPerSecond", "RunningTasks", "OpenShards", "WarmThroughputCurrent", "MessagesPerSecond"}
    data = [
        {
            "MetricName": name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in zip(dimensions[::2], dimensions[1::2])],
            "Timestamp": now - timedelta(seconds=60),
            "Value": 42.0,
        }
        for name, dimensions in sorted(wanted)
    ]
    cloudwatch.put_metric_data(Namespace="KinesisDemo", MetricData=data)
    queries = [
        {
            "Id": f"m{number}",
            "MetricStat": {
                "Metric": {"Namespace": "KinesisDemo", "MetricName": datum["MetricName"], "Dimensions": datum["Dimensions"]},
                "Period": 60,
                "Stat": "Average",
            },
        }
        for number, datum in enumerate(data)
    ]
    results = cloudwatch.get_metric_data(
        MetricDataQueries=queries, StartTime=now - timedelta(minutes=10), EndTime=now + timedelta(minutes=1)
    )["MetricDataResults"]
    assert len(results) == len(wanted)
    assert all(result["Values"] == [42.0] for result in results), results


def test_ministack_creates_updates_and_deletes_the_dashboard(emulator):
    create_update_and_delete(emulator.client("cloudwatch"))


def test_ministack_returns_the_metrics_of_the_graphs(emulator):
    read_all_graph_metrics(emulator.client("cloudwatch"))


@pytest.fixture
def moto_cloudwatch():
    with mock_aws():
        yield boto3.client("cloudwatch", region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test")


def test_moto_creates_updates_and_deletes_the_dashboard(moto_cloudwatch):
    create_update_and_delete(moto_cloudwatch)


def test_moto_returns_the_metrics_of_the_graphs(moto_cloudwatch):
    read_all_graph_metrics(moto_cloudwatch)

"""boto3 and the AWS CLI against a sandbox.

    SANDBOX_ACCESS_KEY_ID=KEY python tests/python/conformance.py ENDPOINT

The sandbox must run at a speed of a few hundred, with the cluster `demo` and a long-running program mapped to
the image `example.com/task:1`. Every response is checked against botocore's own model (shapes.py), and errors
must have AWS's codes.
"""

import json
import os
import subprocess
import sys
import time
import unittest

import boto3
import botocore.config
import botocore.exceptions

from shapes import Findings

REGION = "us-east-1"
FINDINGS = Findings()
ENDPOINT = None
# Not a command-line argument, because other users can read those.
KEY = os.environ.get("SANDBOX_ACCESS_KEY_ID", "")


def environment():
    """An environment without the user's AWS settings, so that no request reaches the real AWS."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return own | {
        "AWS_ENDPOINT_URL": ENDPOINT,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
    }


def client(service, key=None):
    created = boto3.client(
        service,
        region_name=REGION,
        endpoint_url=ENDPOINT,
        aws_access_key_id=key or KEY,
        aws_secret_access_key="any",
        config=botocore.config.Config(retries={"mode": "standard", "max_attempts": 5}),
    )
    FINDINGS.watch(created)
    return created


def until(what, read, seconds=30):
    """Polls until `read` returns a result: the sandbox is eventually consistent, as AWS is."""
    end = time.monotonic() + seconds
    while True:
        seen = read()
        if seen:
            return seen
        if time.monotonic() > end:
            raise AssertionError(f"timed out waiting for {what}")
        time.sleep(0.1)


class Case(unittest.TestCase):
    def refused(self, code, call, **arguments):
        with self.assertRaises(botocore.exceptions.ClientError) as caught:
            call(**arguments)
        self.assertEqual(caught.exception.response["Error"]["Code"], code)
        return caught.exception.response["Error"].get("Message", "")


class Identity(Case):
    def test_identity(self):
        self.assertEqual(client("sts").get_caller_identity()["Account"], "000000000000")

    def test_an_unknown_key_gets_the_errors_of_aws(self):
        unknown = "AKIAIOSFODNN7EXAMPLE"
        self.refused("InvalidClientTokenId", client("sts", unknown).get_caller_identity)
        self.refused("InvalidClientTokenId", client("cloudwatch", unknown).list_metrics)
        for service, operation in (
            ("kinesis", "list_streams"), ("ecs", "list_clusters"), ("ssm", "describe_parameters"),
            ("logs", "describe_log_groups"),
        ):
            self.refused("UnrecognizedClientException", getattr(client(service, unknown), operation))
        scaling = client("application-autoscaling", unknown)
        self.refused("UnrecognizedClientException", scaling.describe_scalable_targets, ServiceNamespace="ecs")


class Streams(Case):
    def summary(self, kinesis, name):
        return kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]

    def active(self, kinesis, name):
        return until("ACTIVE", lambda: self.summary(kinesis, name)["StreamStatus"] == "ACTIVE")

    def test_on_demand_stream_records_and_deletion(self):
        kinesis = client("kinesis")
        name = "conformance"
        self.refused("ResourceNotFoundException", kinesis.describe_stream_summary, StreamName=name)
        kinesis.create_stream(StreamName=name, StreamModeDetails={"StreamMode": "ON_DEMAND"}, Tags={"run": "7"})
        self.refused(
            "ResourceInUseException", kinesis.create_stream, StreamName=name, StreamModeDetails={"StreamMode": "ON_DEMAND"}
        )
        self.active(kinesis, name)
        summary = self.summary(kinesis, name)
        self.assertEqual(summary["StreamModeDetails"]["StreamMode"], "ON_DEMAND")
        self.assertEqual(summary["OpenShardCount"], 4)
        arn = summary["StreamARN"]
        self.assertEqual(kinesis.list_tags_for_resource(ResourceARN=arn)["Tags"], [{"Key": "run", "Value": "7"}])
        self.assertIn(name, kinesis.list_streams()["StreamNames"])

        records = [{"Data": f"record {n}".encode(), "PartitionKey": f"key {n}"} for n in range(20)]
        put = kinesis.put_records(StreamName=name, Records=records)
        self.assertEqual(put["FailedRecordCount"], 0)
        kinesis.put_record(StreamName=name, Data=b"one more", PartitionKey="key")
        read = []
        for shard in kinesis.list_shards(StreamName=name)["Shards"]:
            iterator = kinesis.get_shard_iterator(
                StreamName=name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            read += kinesis.get_records(ShardIterator=iterator)["Records"]
        self.assertEqual(len(read), 21)
        self.assertIn(b"record 7", [record["Data"] for record in read])

        kinesis.delete_stream(StreamName=name)
        until("the deletion", lambda: name not in kinesis.list_streams()["StreamNames"])

    def test_warm_throughput_needs_advantage_and_is_reached(self):
        kinesis = client("kinesis")
        name = "warm"
        kinesis.create_stream(StreamName=name, StreamModeDetails={"StreamMode": "ON_DEMAND"})
        self.active(kinesis, name)
        arn = self.summary(kinesis, name)["StreamARN"]
        settings = kinesis.describe_account_settings()["MinimumThroughputBillingCommitment"]
        self.assertEqual(settings["Status"], "DISABLED")
        self.refused(
            "ValidationException", kinesis.update_stream_warm_throughput, StreamARN=arn, WarmThroughputMiBps=50
        )
        enabled = kinesis.update_account_settings(MinimumThroughputBillingCommitment={"Status": "ENABLED"})
        self.assertEqual(enabled["MinimumThroughputBillingCommitment"]["Status"], "ENABLED")
        updated = kinesis.update_stream_warm_throughput(StreamARN=arn, WarmThroughputMiBps=50)
        self.assertEqual(updated["WarmThroughput"]["TargetMiBps"], 50)
        until("the warm throughput", lambda: self.summary(kinesis, name)["WarmThroughput"]["CurrentMiBps"] == 50)
        self.active(kinesis, name)
        kinesis.update_stream_warm_throughput(StreamARN=arn, WarmThroughputMiBps=0)
        self.active(kinesis, name)
        kinesis.delete_stream(StreamName=name)
        until("the deletion", lambda: name not in kinesis.list_streams()["StreamNames"])
        ended = kinesis.update_account_settings(MinimumThroughputBillingCommitment={"Status": "DISABLED"})
        status = ended["MinimumThroughputBillingCommitment"]["Status"]
        self.assertEqual(status, "ENABLED_UNTIL_EARLIEST_ALLOWED_END")


def definition(family):
    return {
        "family": family,
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "runtimePlatform": {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
        "containerDefinitions": [
            {"name": "main", "image": "example.com/task:1", "environment": [{"name": "KINESISDEMO_RUN", "value": "7"}]}
        ],
    }


NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-1"], "assignPublicIp": "ENABLED"}}


class Ecs(Case):
    def service(self, ecs):
        return ecs.describe_services(cluster="conformance", services=["s"], include=["TAGS"])["services"][0]

    def listed(self, ecs, count):
        arns = ecs.list_tasks(cluster="conformance", serviceName="s")["taskArns"]
        return arns if len(arns) == count else None

    def test_a_service_from_cluster_to_deletion(self):
        ecs = client("ecs")
        tags = [{"key": "run", "value": "7"}]
        ecs.create_cluster(clusterName="conformance", capacityProviders=["FARGATE"], tags=tags)
        clusters = ecs.describe_clusters(clusters=["conformance", "none"], include=["TAGS"])
        self.assertEqual(clusters["clusters"][0]["tags"], tags)
        self.assertEqual(clusters["failures"][0]["reason"], "MISSING")
        self.assertTrue(ecs.list_clusters()["clusterArns"])

        self.refused("ClientException", ecs.register_task_definition, **(definition("bad") | {"cpu": "300"}))
        foreign = definition("bad")
        foreign["containerDefinitions"][0]["environment"] = [{"name": "LD_PRELOAD", "value": "/tmp/foreign.so"}]
        self.assertIn("LD_PRELOAD", self.refused("ClientException", ecs.register_task_definition, **foreign))
        registered = ecs.register_task_definition(**definition("conformance"), tags=tags)["taskDefinition"]
        self.assertEqual(registered["revision"], 1)
        ecs.describe_task_definition(taskDefinition="conformance", include=["TAGS"])
        self.assertEqual(
            ecs.list_task_definitions(familyPrefix="conformance")["taskDefinitionArns"], [registered["taskDefinitionArn"]]
        )

        create = {
            "cluster": "conformance", "serviceName": "s", "taskDefinition": "conformance", "desiredCount": 2,
            "launchType": "FARGATE", "networkConfiguration": NETWORK, "tags": tags, "propagateTags": "SERVICE",
            "enableECSManagedTags": True, "availabilityZoneRebalancing": "DISABLED",
        }
        created = ecs.create_service(**create, clientToken="one")["service"]
        self.assertEqual((created["status"], created["desiredCount"]), ("ACTIVE", 2))
        self.assertEqual(ecs.create_service(**create, clientToken="one")["service"]["serviceArn"], created["serviceArn"])
        message = self.refused("InvalidParameterException", ecs.create_service, **create, clientToken="two")
        self.assertEqual(message, "Creation of service was not idempotent.")
        self.refused("ClusterNotFoundException", ecs.create_service, **(create | {"cluster": "none"}))
        until("two tasks", lambda: self.service(ecs)["runningCount"] == 2)
        until("one deployment", lambda: self.service(ecs)["deployments"][0]["rolloutState"] == "COMPLETED")
        self.assertEqual(ecs.list_services(cluster="conformance")["serviceArns"], [created["serviceArn"]])

        # Lists lag some seconds behind, as in ECS.
        arns = until("both in the list", lambda: self.listed(ecs, 2))
        tasks = ecs.describe_tasks(cluster="conformance", tasks=arns, include=["TAGS"])["tasks"]
        self.assertEqual({task["lastStatus"] for task in tasks}, {"RUNNING"})
        self.assertIn({"key": "run", "value": "7"}, tasks[0]["tags"])
        protected = ecs.update_task_protection(
            cluster="conformance", tasks=arns[:1], protectionEnabled=True, expiresInMinutes=5
        )
        self.assertEqual(protected["protectedTasks"][0]["taskArn"], arns[0])
        self.assertEqual(len(ecs.get_task_protection(cluster="conformance", tasks=arns)["protectedTasks"]), 2)
        self.refused(
            "InvalidParameterException", ecs.update_task_protection,
            cluster="conformance", tasks=arns, protectionEnabled=True, expiresInMinutes=2881,
        )

        updated = ecs.update_service(cluster="conformance", service="s", desiredCount=1)["service"]
        self.assertEqual(len(updated["deployments"]), 1)
        until("one task", lambda: self.service(ecs)["runningCount"] == 1)
        self.assertEqual(until("one in the list", lambda: self.listed(ecs, 1)), arns[:1])
        stopped = until(
            "the stopped task",
            lambda: ecs.list_tasks(cluster="conformance", desiredStatus="STOPPED")["taskArns"],
        )
        gone = ecs.describe_tasks(cluster="conformance", tasks=stopped)["tasks"][0]
        self.assertEqual(gone["stopCode"], "ServiceSchedulerInitiated")
        ecs.stop_task(cluster="conformance", task=arns[0], reason="conformance")
        ecs.tag_resource(resourceArn=created["serviceArn"], tags=[{"key": "more", "value": "x"}])
        self.assertEqual(len(ecs.list_tags_for_resource(resourceArn=created["serviceArn"])["tags"]), 2)
        self.scale_and_schedule()

        self.refused("ClusterContainsServicesException", ecs.delete_cluster, cluster="conformance")
        self.refused("ServiceNotFoundException", ecs.update_service, cluster="conformance", service="none")
        deleted = ecs.delete_service(cluster="conformance", service="s", force=True)["service"]
        self.assertEqual(deleted["status"], "DRAINING")
        until("INACTIVE", lambda: self.service(ecs)["status"] == "INACTIVE")
        self.refused("ServiceNotActiveException", ecs.update_service, cluster="conformance", service="s", desiredCount=1)
        ecs.deregister_task_definition(taskDefinition=registered["taskDefinitionArn"])
        gone = ecs.delete_task_definitions(taskDefinitions=[registered["taskDefinitionArn"]])
        self.assertEqual(gone["taskDefinitions"][0]["status"], "DELETE_IN_PROGRESS")

        def cluster_deleted():
            try:
                return ecs.delete_cluster(cluster="conformance")["cluster"]
            except ecs.exceptions.ClusterContainsTasksException:
                return None

        self.assertEqual(until("the empty cluster", cluster_deleted)["status"], "INACTIVE")

    def scale_and_schedule(self):
        scaling = client("application-autoscaling")
        target = {
            "ServiceNamespace": "ecs",
            "ResourceId": "service/conformance/s",
            "ScalableDimension": "ecs:service:DesiredCount",
        }

        def registered():
            try:
                return scaling.register_scalable_target(**target, MinCapacity=0, MaxCapacity=5, Tags={"run": "7"})
            except scaling.exceptions.ValidationException as refused:
                # Application Auto Scaling sees ECS changes with a delay.
                self.assertIn("ECS service doesn't exist", str(refused))
                return None

        until("the service in Application Auto Scaling", registered)
        registered_target = scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"][0]
        self.assertEqual(registered_target["MaxCapacity"], 5)
        self.assertEqual(scaling.list_tags_for_resource(ResourceARN=registered_target["ScalableTargetARN"])["Tags"], {"run": "7"})
        # Whole seconds, rounded down, and still in the future when the request arrives.
        at = time.strftime("at(%Y-%m-%dT%H:%M:%S)", time.gmtime(time.time() + 3))
        scaling.put_scheduled_action(
            **target, ScheduledActionName="scale-to-zero", Schedule=at, ScalableTargetAction={"MinCapacity": 0, "MaxCapacity": 0}
        )
        self.assertEqual(scaling.describe_scheduled_actions(ServiceNamespace="ecs")["ScheduledActions"][0]["Schedule"], at)
        ecs = client("ecs")
        until("the scale-to-zero", lambda: self.service(ecs)["desiredCount"] == 0)
        self.assertTrue(scaling.describe_scaling_activities(ServiceNamespace="ecs")["ScalingActivities"])
        scaling.delete_scheduled_action(**target, ScheduledActionName="scale-to-zero")
        self.refused("ObjectNotFoundException", scaling.delete_scheduled_action, **target, ScheduledActionName="scale-to-zero")
        scaling.deregister_scalable_target(**target)
        self.refused("ObjectNotFoundException", scaling.deregister_scalable_target, **target)


class Parameters(Case):
    def test_parameters(self):
        ssm = client("ssm")
        name = "/conformance/control"
        self.refused("ParameterNotFound", ssm.get_parameter, Name=name)
        put = {"Name": name, "Value": "{}", "Type": "String"}
        self.assertEqual(ssm.put_parameter(**put, Tags=[{"Key": "run", "Value": "7"}])["Version"], 1)
        self.refused("ParameterAlreadyExists", ssm.put_parameter, **put)
        self.refused("ValidationException", ssm.put_parameter, **put, Overwrite=True, Tags=[{"Key": "a", "Value": "b"}])
        self.refused("ValidationException", ssm.put_parameter, **(put | {"Value": "x" * 4097}), Overwrite=True)
        self.assertEqual(ssm.put_parameter(**(put | {"Value": "x" * 4096}), Overwrite=True)["Version"], 2)
        self.assertEqual(ssm.get_parameter(Name=name)["Parameter"]["Version"], 2)
        self.assertEqual(ssm.get_parameters(Names=[name, "/none"])["InvalidParameters"], ["/none"])
        self.assertEqual(ssm.get_parameters_by_path(Path="/conformance")["Parameters"][0]["Name"], name)
        self.assertTrue(ssm.describe_parameters()["Parameters"])
        tagged = {"ResourceType": "Parameter", "ResourceId": name}
        ssm.add_tags_to_resource(**tagged, Tags=[{"Key": "more", "Value": "x"}])
        self.assertEqual(len(ssm.list_tags_for_resource(**tagged)["TagList"]), 2)
        ssm.delete_parameter(Name=name)
        self.refused("ParameterNotFound", ssm.delete_parameter, Name=name)
        self.assertEqual(ssm.delete_parameters(Names=[name])["InvalidParameters"], [name])


class CloudWatch(Case):
    def test_metrics(self):
        cloudwatch = client("cloudwatch")
        dimensions = [{"Name": "Run", "Value": "7"}]
        start = int(time.time()) // 60 * 60 - 60
        cloudwatch.put_metric_data(
            Namespace="Conformance",
            MetricData=[
                {"MetricName": "sent", "Dimensions": dimensions, "Timestamp": start, "Value": 1.5, "Unit": "Count"},
                {"MetricName": "sent", "Dimensions": dimensions, "Timestamp": start, "Values": [1, 2], "Counts": [3, 1], "Unit": "Count"},
            ],
        )
        metric = {"Namespace": "Conformance", "MetricName": "sent", "Dimensions": dimensions}
        query = {"Id": "sent", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}

        def read():
            response = cloudwatch.get_metric_data(MetricDataQueries=[query], StartTime=start, EndTime=start + 60)
            return response["MetricDataResults"][0]["Values"]

        self.assertEqual(until("the metric", read), [6.5])
        statistics = cloudwatch.get_metric_statistics(
            **metric, Period=60, StartTime=start, EndTime=start + 60, Statistics=["Maximum"], Unit="Count"
        )
        self.assertEqual(statistics["Datapoints"][0]["Maximum"], 2)
        listed = until("the listing", lambda: cloudwatch.list_metrics(Namespace="Conformance")["Metrics"])
        self.assertEqual(listed[0]["Dimensions"], dimensions)
        self.refused(
            "InvalidParameterValue", cloudwatch.put_metric_data, Namespace="AWS/Own", MetricData=[{"MetricName": "a", "Value": 1}]
        )
        self.refused(
            "InvalidParameterValue", cloudwatch.put_metric_data, Namespace="n", MetricData=[{"MetricName": "a", "Value": float("nan")}]
        )

    def test_dashboards(self):
        cloudwatch = client("cloudwatch")
        body = json.dumps({"widgets": [{"type": "text", "properties": {"markdown": "hi"}}]})
        self.assertEqual(
            cloudwatch.put_dashboard(DashboardName="conformance", DashboardBody=body)["DashboardValidationMessages"], []
        )
        self.assertEqual(cloudwatch.get_dashboard(DashboardName="conformance")["DashboardBody"], body)
        self.assertEqual(cloudwatch.list_dashboards()["DashboardEntries"][0]["Size"], len(body))
        self.refused("InvalidParameterInput", cloudwatch.put_dashboard, DashboardName="conformance", DashboardBody="{}")
        cloudwatch.delete_dashboards(DashboardNames=["conformance"])
        self.refused("ResourceNotFound", cloudwatch.get_dashboard, DashboardName="conformance")
        self.refused("ResourceNotFound", cloudwatch.delete_dashboards, DashboardNames=["conformance"])


class Logs(Case):
    def test_logs(self):
        logs = client("logs")
        group, stream = "/conformance", "s"
        self.refused("ResourceNotFoundException", logs.create_log_stream, logGroupName=group, logStreamName=stream)
        logs.create_log_group(logGroupName=group, tags={"run": "7"})
        self.refused("ResourceAlreadyExistsException", logs.create_log_group, logGroupName=group)
        logs.put_retention_policy(logGroupName=group, retentionInDays=1)
        self.refused("InvalidParameterException", logs.put_retention_policy, logGroupName=group, retentionInDays=2)
        described = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]
        self.assertEqual(described["retentionInDays"], 1)
        self.assertEqual(logs.list_tags_for_resource(resourceArn=described["logGroupArn"])["tags"], {"run": "7"})
        logs.tag_resource(resourceArn=described["logGroupArn"], tags={"more": "x"})
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": f"line {n}"} for n in range(3)]
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
        where = {"logGroupName": group, "logStreamName": stream}
        seen = until("the lines", lambda: logs.get_log_events(**where, startFromHead=True)["events"])
        self.assertEqual([event["message"] for event in seen], ["line 0", "line 1", "line 2"])
        pages = list(logs.get_paginator("filter_log_events").paginate(logGroupName=group, PaginationConfig={"PageSize": 2}))
        self.assertEqual([len(page["events"]) for page in pages], [2, 1])
        found = logs.filter_log_events(logGroupName=group, filterPattern='"line 2"')["events"]
        self.assertEqual(found[0]["message"], "line 2")
        self.assertEqual(logs.describe_log_streams(logGroupName=group)["logStreams"][0]["lastEventTimestamp"], now)
        logs.delete_log_stream(logGroupName=group, logStreamName=stream)
        logs.delete_log_group(logGroupName=group)
        self.refused("ResourceNotFoundException", logs.delete_log_group, logGroupName=group)


class CommandLine(Case):
    """The AWS CLI, with calls to each of the main services."""

    def aws(self, *arguments):
        done = self.run_aws(*arguments)
        self.assertEqual(done.returncode, 0, f"aws {' '.join(arguments)}: {done.stderr}")
        return json.loads(done.stdout) if done.stdout.strip() else None

    def run_aws(self, *arguments):
        command = [sys.executable, "-m", "awscli", "--output", "json", *arguments]
        return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)

    def refused_aws(self, code, *arguments):
        done = self.run_aws(*arguments)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(f"({code})", done.stderr)

    def test_identity_and_parameters(self):
        self.assertEqual(self.aws("sts", "get-caller-identity")["Account"], "000000000000")
        put = ["ssm", "put-parameter", "--name", "/cli/control", "--type", "String", "--value", "x"]
        self.assertEqual(self.aws(*put)["Version"], 1)
        self.refused_aws("ParameterAlreadyExists", *put)
        self.assertEqual(self.aws("ssm", "get-parameter", "--name", "/cli/control")["Parameter"]["Value"], "x")
        self.aws("ssm", "delete-parameter", "--name", "/cli/control")

    def test_streams(self):
        self.aws("kinesis", "create-stream", "--stream-name", "cli", "--stream-mode-details", "StreamMode=ON_DEMAND")
        self.aws("kinesis", "wait", "stream-exists", "--stream-name", "cli")
        summary = self.aws("kinesis", "describe-stream-summary", "--stream-name", "cli")["StreamDescriptionSummary"]
        self.assertEqual(summary["StreamStatus"], "ACTIVE")
        put = self.aws(
            "kinesis", "put-records", "--stream-name", "cli",
            "--records", "Data=hi,PartitionKey=a", "Data=ho,PartitionKey=a",
        )
        shard = put["Records"][0]["ShardId"]
        iterator = self.aws(
            "kinesis", "get-shard-iterator", "--stream-name", "cli", "--shard-id", shard, "--shard-iterator-type", "TRIM_HORIZON"
        )["ShardIterator"]
        records = self.aws("kinesis", "get-records", "--shard-iterator", iterator)["Records"]
        self.assertEqual([record["Data"] for record in records], ["aGk=", "aG8="])
        self.assertIn("Status", self.aws("kinesis", "describe-account-settings")["MinimumThroughputBillingCommitment"])
        self.refused_aws(
            "ResourceNotFoundException", "kinesis", "update-stream-warm-throughput",
            "--stream-arn", "arn:aws:kinesis:us-east-1:000000000000:stream/none", "--warm-throughput-mi-bps", "5",
        )
        self.aws("kinesis", "delete-stream", "--stream-name", "cli")

    def test_ecs(self):
        self.aws("ecs", "register-task-definition", "--cli-input-json", json.dumps(definition("cli")))
        self.aws(
            "ecs", "create-service", "--cluster", "demo", "--service-name", "cli", "--task-definition", "cli",
            "--desired-count", "1", "--launch-type", "FARGATE", "--network-configuration", json.dumps(NETWORK),
        )
        services = ["--cluster", "demo", "--services", "cli"]
        until(
            "the task",
            lambda: self.aws("ecs", "describe-services", *services)["services"][0]["runningCount"] == 1,
        )
        service = ["--cluster", "demo", "--service", "cli"]
        self.aws("ecs", "update-service", *service, "--desired-count", "0")
        deleted = self.aws("ecs", "delete-service", *service)["service"]
        self.assertEqual(deleted["status"], "DRAINING")
        self.aws("ecs", "wait", "services-inactive", *services)
        self.refused_aws("ServiceNotActiveException", "ecs", "update-service", *service, "--desired-count", "1")
        self.aws("ecs", "deregister-task-definition", "--task-definition", "cli:1")

    def test_metrics_dashboards_and_logs(self):
        self.aws("cloudwatch", "put-metric-data", "--namespace", "Cli", "--metric-name", "sent", "--value", "2")
        listed = until("the metric", lambda: self.aws("cloudwatch", "list-metrics", "--namespace", "Cli")["Metrics"])
        self.assertEqual(listed[0]["MetricName"], "sent")
        start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600))
        end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
        points = self.aws(
            "cloudwatch", "get-metric-statistics", "--namespace", "Cli", "--metric-name", "sent", "--period", "60",
            "--statistics", "Sum", "--start-time", start, "--end-time", end,
        )["Datapoints"]
        self.assertEqual(points[0]["Sum"], 2)
        body = json.dumps({"widgets": []})
        self.aws("cloudwatch", "put-dashboard", "--dashboard-name", "cli", "--dashboard-body", body)
        self.assertEqual(self.aws("cloudwatch", "get-dashboard", "--dashboard-name", "cli")["DashboardBody"], body)
        self.aws("cloudwatch", "delete-dashboards", "--dashboard-names", "cli")
        self.aws("logs", "create-log-group", "--log-group-name", "/cli")
        self.aws("logs", "create-log-stream", "--log-group-name", "/cli", "--log-stream-name", "s")
        event = f"timestamp={int(time.time() * 1000)},message=hello"
        self.aws("logs", "put-log-events", "--log-group-name", "/cli", "--log-stream-name", "s", "--log-events", event)
        found = until("the line", lambda: self.aws("logs", "filter-log-events", "--log-group-name", "/cli")["events"])
        self.assertEqual(found[0]["message"], "hello")
        self.aws("logs", "delete-log-group", "--log-group-name", "/cli")


class ZzzModel(Case):
    """Checks all responses of the other tests. Its name makes it run last."""

    def test_the_check_detects_wrong_responses(self):
        findings, shape = Findings(), client("ecs").meta.service_model.operation_model("ListTasks").output_shape
        findings._check_json("x", b'{"taskArns": [1], "tasks": []}', shape)
        self.assertEqual(findings.wrong, ["x.taskArns[0]: 1 is no string", "x: tasks is not in the model"])

    def test_every_response_matches_the_model(self):
        self.assertEqual(FINDINGS.wrong, [])
        # Makes sure that the check saw responses.
        self.assertGreater(len(FINDINGS.operations), 70, sorted(FINDINGS.operations))


if __name__ == "__main__":
    ENDPOINT = sys.argv.pop(1)
    unittest.main(verbosity=2)

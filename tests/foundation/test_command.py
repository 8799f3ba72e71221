"""The built `kubectl kinesisdemo foundation` against an emulator: what it creates, prints, refuses and leaves.

The program is expected in $KINESISDEMO_PROGRAMS, or in the debug folder of $CARGO_TARGET_DIR or target.
`make test` builds it. Where a Kubernetes API server is needed, a fake one serves one list of objects.
"""

import json
import os
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from conftest import REGION, REPOSITORY, TEMPLATE
from test_stack import ACCOUNT, STACK, Stack

# The sources of the program. In its module, without the files used only by tests.
SOURCES = [TEMPLATE, *(REPOSITORY / "cli" / "src" / "foundation").rglob("*.rs")]
SOURCES = [source for source in SOURCES if source.name not in ("fake.rs", "tests.rs")]


def program():
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    named = os.environ.get("KINESISDEMO_PROGRAMS")
    path = (Path(named) if named else target / "debug").resolve() / "kubectl-kinesisdemo"
    if not path.exists():
        pytest.skip(f"no {path} (cargo build --workspace --bins)")
    if path.stat().st_mtime < max(source.stat().st_mtime for source in SOURCES):
        pytest.skip(f"{path} is older than its sources (cargo build --workspace --bins)")
    return path


class Command:
    """The program, run with an empty home folder: no kubeconfig, no AWS profile."""

    def __init__(self, emulator, home):
        self.path, self.home = program(), home
        self.environment = {
            "HOME": str(home),
            "AWS_ENDPOINT_URL": emulator.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def run(self, *words, **environment):
        return subprocess.run(
            [self.path, "foundation", *words],
            env=self.environment | environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def done(self, *words, **environment):
        """Runs the program, which must succeed, and returns its stdout and stderr."""
        ended = self.run(*words, **environment)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout, ended.stderr

    def refused(self, *words, code=1, **environment):
        """Runs the program, which must fail, and returns its stderr."""
        ended = self.run(*words, **environment)
        assert (ended.returncode, ended.stdout) == (code, ""), (ended.stdout, ended.stderr)
        return ended.stderr


@pytest.fixture
def command(emulator, tmp_path):
    return Command(emulator, tmp_path)


@pytest.fixture
def stack(emulator):
    stack = Stack(emulator)
    yield stack
    stack.delete()


def outputs(stack):
    described = stack.cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}


def names(stack):
    return [one["StackName"] for one in stack.cloudformation.describe_stacks()["Stacks"]]


def test_deploy_prints_the_values_and_delete_leaves_nothing(stack, command):
    before = stack.inventory()
    values, output = command.done("deploy")
    assert values == outputs(stack)["HelmValues"]
    assert yaml.safe_load(values)["aws"]["accounts"] == [ACCOUNT]
    lines = output.splitlines()
    assert lines[0].startswith(f"account {ACCOUNT}, Region {REGION}, stack {STACK}, at http://127.0.0.1:")
    created = {line.split()[1] for line in lines if "CREATE_COMPLETE" in line and line[:1].isdigit()}
    assert created == set(stack.resources()) | {STACK}
    assert "next: push the images" in output and "helm install kinesis-demo" in output

    described = stack.cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
    tags = {tag["Key"]: tag["Value"] for tag in described["Tags"]}
    assert tags == {"app.kubernetes.io/part-of": "kinesis-demo", "kinesisdemo.io/foundation": STACK}
    assert described["Capabilities"] == ["CAPABILITY_IAM"]

    _, output = command.done("delete")
    assert "there is no kubeconfig: only AWS was checked" in output
    assert output.splitlines()[-1] == f"the stack {STACK} is completely deleted in {REGION}"
    assert stack.inventory() == before
    assert names(stack) == []


def test_deploying_again_reports_that_nothing_changes(stack, command):
    first, _ = command.done("deploy", "--parameter", "ClusterName=load")
    again, output = command.done("deploy")
    assert again == first
    assert f"{STACK} is up to date: nothing to change" in output
    assert outputs(stack)["ClusterName"] == "load"


def test_an_update_prints_the_price_and_keeps_other_parameters(stack, command):
    command.done("deploy", "--parameter", "ClusterName=load", "--parameter", "StreamNames=kd-*")
    values, output = command.done("deploy", "--parameter", "ContainerInsights=enabled")
    assert "ContainerInsights=enabled (default disabled): CloudWatch Container Insights" in output
    assert "$0.30 per metric-month" in output
    assert "InsightsLogGroup" in output and "UPDATE_COMPLETE" in output
    assert yaml.safe_load(values)["aws"]["ecsCluster"] == "load"
    described = stack.cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
    given = {one["ParameterKey"]: one["ParameterValue"] for one in described["Parameters"]}
    assert (given["StreamNames"], given["ContainerInsights"]) == ("kd-*", "enabled")
    # The events of the creation are not printed again.
    assert not [line for line in output.splitlines() if " Vpc " in line and "CREATE_" in line]


def test_status_shows_the_stack_in_three_formats(stack, command):
    values, _ = command.done("deploy")
    text, _ = command.done("status", "--region", REGION)
    assert text.startswith(f"{STACK} is CREATE_COMPLETE since 20")
    assert "\n  Network                 Public\n" in text
    assert f"Registry           {ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com\n" in text
    document = json.loads(command.done("status", "-o", "json")[0])
    assert document["outputs"] == outputs(stack)
    assert (document["stackName"], document["account"], document["region"]) == (STACK, ACCOUNT, REGION)
    assert document["parameters"]["VpcPrefix"] == "10.42"
    assert command.done("status", "-o", "values")[0] == values


def test_a_missing_stack_is_reported_and_its_deletion_succeeds(stack, command):
    output = command.refused("status")
    assert f"there is no stack {STACK} in account {ACCOUNT} and Region {REGION}" in output
    assert "next: create it with `kubectl kinesisdemo foundation deploy`" in output
    _, output = command.done("delete", "--stack-name", "other")
    assert f"there is no stack other in {REGION}: nothing to delete" in output


@pytest.mark.parametrize(
    "parameter, words",
    [
        ("Networks=Public", "the template has no parameter Networks"),
        ("Network=Private", "Network cannot be Private"),
        # An error of AWS, before it creates anything.
        ("VpcPrefix=11.0", "VpcPrefix"),
        ("OperatorTrust=Irsa", "OperatorTrust Irsa needs OidcProviderArn"),
    ],
)
def test_invalid_parameters_are_refused_before_any_creation(stack, command, parameter, words):
    before = stack.inventory()
    output = command.refused("deploy", "--parameter", parameter)
    assert words in output
    if "=P" in parameter:
        assert "Public, PrivateNat, PrivateEndpoints" in output
    assert stack.inventory() == before
    assert names(stack) == []


def test_deletion_is_refused_while_a_service_exists(stack, command):
    before = stack.inventory()
    command.done("deploy")
    ecs = stack.emulator.client("ecs")
    container = {"name": "generator", "image": "generator", "essential": True}
    ecs.register_task_definition(family="kd-viral", containerDefinitions=[container])
    ecs.create_service(cluster="kinesis-demo", serviceName="kd-viral", taskDefinition="kd-viral", desiredCount=0)
    output = command.refused("delete")
    assert "the ECS cluster kinesis-demo has active services or tasks: service kd-viral (ACTIVE)" in output
    assert "next: end a run with `kubectl kinesisdemo stop NAME`" in output
    assert stack.settled()["StackStatus"] == "CREATE_COMPLETE"
    ecs.delete_service(cluster="kinesis-demo", service="kd-viral", force=True)
    command.done("delete")
    assert stack.inventory() == before


class TemplateBreakingProxy:
    """A proxy to the emulator that adds a broken resource to every template."""

    def __init__(self, emulator, resource):
        added = urllib.parse.quote(f"\nResources:\n  Broken: {json.dumps(resource)}\n", safe="").encode()
        marker = urllib.parse.quote("\nResources:\n", safe="").encode()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).replace(marker, added)
                headers = {name: value for name, value in self.headers.items() if name.lower() not in ("content-length", "host")}
                request = urllib.request.Request(emulator.endpoint + self.path, body, headers)
                try:
                    response = urllib.request.urlopen(request, timeout=30)
                except urllib.error.HTTPError as error:
                    response = error
                with response:
                    content = response.read()
                self.send_response(response.status)
                self.send_header("Content-Type", response.headers["Content-Type"])
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return f"http://127.0.0.1:{self.http.server_port}"

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


# IAM rejects a trust policy with NotPrincipal.
TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "NotPrincipal": {"Service": "ecs.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
BROKEN = {
    "in the middle": (
        {"Type": "AWS::IAM::Role", "DependsOn": ["Cluster", "Vpc"], "Properties": {"AssumeRolePolicyDocument": TRUST}},
        "Broken (AWS::IAM::Role) CREATE_FAILED: ",
    ),
    "by the validation": (
        {"Type": "AWS::Signer::SigningProfile", "Properties": {"PlatformId": "None"}},
        "Broken (AWS::Signer::SigningProfile): None is not a valid enum value",
    ),
}


@pytest.mark.parametrize("resource, words", BROKEN.values(), ids=BROKEN.keys())
def test_a_failed_creation_is_reported_and_leaves_nothing(stack, command, resource, words):
    before = stack.inventory()
    with TemplateBreakingProxy(stack.emulator, resource) as endpoint:
        output = command.refused("deploy", AWS_ENDPOINT_URL=endpoint)
    assert f"error: creating the stack {STACK} failed, and CloudFormation deleted it; the first failure: {words}" in output
    assert "nothing is left of this attempt" in output
    # The program follows the events to the end of the deletion.
    assert output.splitlines()[-3].endswith("DELETE_COMPLETE")
    assert stack.inventory() == before
    assert names(stack) == []


def test_a_failed_update_leaves_the_stack_unchanged(stack, command):
    command.done("deploy")
    before = stack.inventory()
    with TemplateBreakingProxy(stack.emulator, BROKEN["in the middle"][0]) as endpoint:
        output = command.refused("deploy", AWS_ENDPOINT_URL=endpoint)
    assert f"the operation on the stack {STACK} failed, and it is now UPDATE_ROLLBACK_COMPLETE; the first failure: Broken" in output
    assert "the stack is as it was before" in output
    assert stack.inventory() == before
    command.done("deploy")


def test_a_failed_deletion_lists_what_remains_and_can_be_retried(stack, command):
    before = stack.inventory()
    command.done("deploy")
    ec2 = stack.emulator.client("ec2")
    vpc = stack.resources()["Vpc"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.42.240.0/20")["Subnet"]["SubnetId"]
    output = command.refused("delete")
    assert f"error: the stack {STACK} is DELETE_FAILED: Vpc (AWS::EC2::VPC) DELETE_FAILED: " in output
    assert "next: remove what blocks these resources, then run `kubectl kinesisdemo foundation delete` again" in output
    output = command.refused("deploy")
    assert "is DELETE_FAILED and cannot be updated: its deletion failed, and some resources remain" in output
    ec2.delete_subnet(SubnetId=subnet)
    _, output = command.done("delete")
    assert "is completely deleted in" in output
    assert stack.inventory() == before


def test_a_foreign_stack_is_neither_updated_nor_deleted(stack, command):
    body = {"Resources": {"Logs": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "shop"}}}}
    stack.cloudformation.create_stack(StackName=STACK, TemplateBody=json.dumps(body))
    stack.settled()
    for verb in ("deploy", "delete"):
        assert "not a KinesisDemo foundation and was not changed" in command.refused(verb)
    assert list(stack.resources()) == ["Logs"]


def test_a_stack_deployed_by_the_aws_command_line_is_taken_over(stack, command):
    stack.cloudformation.create_stack(
        StackName=STACK, TemplateBody=TEMPLATE.read_text(), Capabilities=["CAPABILITY_IAM"]
    )
    stack.settled()
    values, _ = command.done("deploy")
    assert values == outputs(stack)["HelmValues"]
    described = stack.cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
    assert {tag["Key"] for tag in described["Tags"]} >= {"kinesisdemo.io/foundation"}


class Kubernetes:
    """A fake API server that serves a list of KinesisDemos and nothing else."""

    def __init__(self, folder):
        self.objects = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                found = self.path.split("?")[0] == "/apis/kinesisdemo.io/v1alpha1/kinesisdemos"
                failure = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, "message": "no"}
                listed = {"kind": "KinesisDemoList", "apiVersion": "kinesisdemo.io/v1alpha1", "metadata": {}, "items": server.objects}
                body = json.dumps(listed if found else failure).encode()
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)
        self.thread.start()
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.http.server_port}"}}],
                    "users": [{"name": "u", "user": {}}],
                    "contexts": [{"name": "demo", "context": {"cluster": "c", "user": "u"}}],
                    "current-context": "demo",
                }
            )
        )

    def has(self, name, stage, account=ACCOUNT):
        effective = {
            "accountId": account, "region": REGION, "cluster": "kinesis-demo", "streamName": "s", "baseName": "kd-s", "spec": {},
        }
        run = {"number": 1, "stageEnteredAt": "2026-11-23T10:00:00.000000Z", "effective": effective}
        self.objects.append(
            {
                "apiVersion": "kinesisdemo.io/v1alpha1",
                "kind": "KinesisDemo",
                "metadata": {"name": name, "namespace": "demos"},
                "spec": {},
                "status": {"stage": stage, "run": run},
            }
        )

    def stop(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def kubernetes(tmp_path):
    server = Kubernetes(tmp_path)
    yield server
    server.stop()


def test_deletion_is_refused_while_kubernetes_has_a_run(stack, command, kubernetes):
    command.done("deploy")
    kubernetes.has("viral", "Running")
    kubernetes.has("over", "Succeeded")
    kubernetes.has("sandbox", "Running", account="111111111111")
    output = command.refused("delete", "--kubeconfig", str(kubernetes.kubeconfig), "--context", "demo")
    assert f"KinesisDemos of account {ACCOUNT} and Region {REGION} are not over: demos/viral (Running)\n" in output
    assert "kubectl kinesisdemo cleanup NAME --namespace NAMESPACE" in output
    assert "over" not in output.split("are not over: ")[1].splitlines()[0]
    assert stack.settled()["StackStatus"] == "CREATE_COMPLETE"
    del kubernetes.objects[0]
    command.done("delete", KUBECONFIG=str(kubernetes.kubeconfig))
    assert stack.settled() is None


def test_an_unreachable_cluster_is_an_error_that_can_be_skipped(stack, command, kubernetes):
    command.done("deploy")
    kubernetes.http.server_close()
    output = command.refused("delete", KUBECONFIG=str(kubernetes.kubeconfig))
    assert "error: could not check Kubernetes for active runs: could not list the KinesisDemos of all namespaces" in output
    assert "or use --skip-kubernetes to check only AWS" in output
    assert stack.settled()["StackStatus"] == "CREATE_COMPLETE"
    output = command.refused("delete", KUBECONFIG=str(command.home / "absent"))
    assert "could not read the kubeconfig" in output
    command.done("delete", "--skip-kubernetes", KUBECONFIG=str(kubernetes.kubeconfig))
    assert stack.settled() is None


def test_a_cluster_without_the_definition_has_no_runs(stack, command, kubernetes):
    command.done("deploy")
    server = f"http://127.0.0.1:{kubernetes.http.server_port}"
    text = kubernetes.kubeconfig.read_text()
    kubernetes.kubeconfig.write_text(text.replace(server, f"{server}/elsewhere"))
    _, output = command.done("delete", "--kubeconfig", str(kubernetes.kubeconfig))
    assert "KinesisDemo is not installed in the Kubernetes cluster: only AWS was checked" in output


def test_aws_errors_are_reported_with_the_next_step(command):
    output = command.refused("status", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="", AWS_PROFILE="")
    assert "error: could not get the caller identity from AWS" in output
    assert "next: log in, or choose a profile with AWS_PROFILE" in output
    output = command.refused("status", AWS_REGION="")
    assert "error: no Region is configured" in output

"""An emulator creates the foundation with each of its options, returns the outputs, and has nothing left after
the deletion.

ministack emulates whole stacks. It has no EIP, NAT gateway or Pod Identity association, so these resources are
removed from the template for it, and it ignores permissions boundaries. moto, which cannot delete route tables,
is used for these.
"""

import json
import time
from pathlib import Path

import boto3
import cfnlint.decode
import pytest
import yaml
from botocore.exceptions import ClientError
from moto import mock_aws

from conftest import REGION, REPOSITORY, TEMPLATE

STACK = "kinesis-demo"
ACCOUNT = "000000000000"
ISSUER = "oidc.eks.us-east-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
IRSA = {"OperatorTrust": "Irsa", "OidcProviderArn": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}"}
POD_IDENTITY = {"OperatorTrust": "PodIdentity", "EksClusterName": "demos"}

# Resources that the emulator does not support, and those that need them.
UNKNOWN_TO_MINISTACK = ["NatAddress", "NatGateway", "PrivateDefaultRoute", "OperatorPodIdentity"]


def template():
    document, problems = cfnlint.decode.decode(str(TEMPLATE))
    assert problems == []
    return json.loads(json.dumps(document))


def parameters(values):
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]


class Stack:
    """The foundation in an emulator."""

    def __init__(self, emulator):
        self.emulator = emulator
        self.cloudformation = emulator.client("cloudformation")

    def create(self, values):
        body = template()
        for name in UNKNOWN_TO_MINISTACK:
            del body["Resources"][name]
        self.cloudformation.create_stack(
            StackName=STACK, TemplateBody=json.dumps(body), Parameters=parameters(values), Capabilities=["CAPABILITY_IAM"]
        )
        stack = self.settled()
        assert stack["StackStatus"] == "CREATE_COMPLETE", stack
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def settled(self):
        give_up_at = time.monotonic() + 60
        while time.monotonic() < give_up_at:
            try:
                stack = self.cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
            except ClientError as error:
                assert "does not exist" in str(error), error
                return None
            if not stack["StackStatus"].endswith("IN_PROGRESS"):
                return stack
            time.sleep(0.1)
        raise AssertionError("the stack is still in progress")

    def resources(self):
        listed = self.cloudformation.list_stack_resources(StackName=STACK)["StackResourceSummaries"]
        return {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in listed}

    def delete(self):
        self.cloudformation.delete_stack(StackName=STACK)
        return self.settled()

    def inventory(self):
        """All resources of the kinds in the template, whoever created them."""
        ec2, ecs, ecr = (self.emulator.client(name) for name in ("ec2", "ecs", "ecr"))
        iam, logs = self.emulator.client("iam"), self.emulator.client("logs")
        found = {
            "vpcs": [one["VpcId"] for one in ec2.describe_vpcs()["Vpcs"]],
            "subnets": [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]],
            "route tables": [one["RouteTableId"] for one in ec2.describe_route_tables()["RouteTables"]],
            "gateways": [one["InternetGatewayId"] for one in ec2.describe_internet_gateways()["InternetGateways"]],
            "security groups": [one["GroupId"] for one in ec2.describe_security_groups()["SecurityGroups"]],
            "endpoints": [one["VpcEndpointId"] for one in ec2.describe_vpc_endpoints()["VpcEndpoints"]],
            "repositories": [one["repositoryName"] for one in ecr.describe_repositories()["repositories"]],
            "roles": [one["RoleName"] for one in iam.list_roles()["Roles"]],
            "policies": [one["Arn"] for one in iam.list_policies(Scope="Local")["Policies"]],
            "log groups": [one["logGroupName"] for one in logs.describe_log_groups()["logGroups"]],
        }
        clusters = ecs.describe_clusters(clusters=ecs.list_clusters()["clusterArns"] or ["none"])["clusters"]
        found["clusters"] = [one["clusterName"] for one in clusters if one["status"] == "ACTIVE"]
        return {kind: sorted(names) for kind, names in found.items()}


@pytest.fixture
def stack(emulator):
    stack = Stack(emulator)
    yield stack
    stack.delete()


OPTIONS = {
    "default": {},
    "nat": {"Network": "PrivateNat"},
    "endpoints": {"Network": "PrivateEndpoints"},
    "insights": {"ContainerInsights": "enabled", "LogRetentionDays": "30"},
    "irsa": IRSA,
    "pod-identity": POD_IDENTITY,
    "advantage": {**IRSA, "AllowAdvantage": "true"},
    "boundary": {**IRSA, "PermissionsBoundaryArn": f"arn:aws:iam::{ACCOUNT}:policy/boundary"},
    "names": {"ClusterName": "load-tests", "StreamNames": "kd-*", "VpcPrefix": "172.31"},
}


@pytest.mark.parametrize("values", OPTIONS.values(), ids=OPTIONS.keys())
def test_deletion_removes_everything_that_was_created(stack, values):
    before = stack.inventory()
    outputs = stack.create(values)
    during = stack.inventory()
    assert set(outputs) >= {"HelmValues", "ClusterName", "SubnetIds", "SecurityGroupId", "TaskRoleArn", "ExecutionRoleArn"}
    assert len(during["vpcs"]) == len(before["vpcs"]) + 1
    assert outputs["ClusterName"] in during["clusters"]
    assert stack.delete() is None
    assert stack.inventory() == before


def test_repositories_are_deleted_with_their_images(stack):
    before = stack.inventory()
    stack.create({})
    manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []})
    stack.emulator.client("ecr").put_image(
        repositoryName="kinesis-demo-generator", imageManifest=manifest, imageTag="0.1.0"
    )
    assert stack.delete() is None
    assert stack.inventory() == before


def test_the_default_network_costs_nothing_while_idle(stack):
    stack.create({})
    created = {one["Type"] for name, one in template()["Resources"].items() if name in stack.resources()}
    assert created == {
        "AWS::EC2::InternetGateway",
        "AWS::EC2::Route",
        "AWS::EC2::RouteTable",
        "AWS::EC2::SecurityGroup",
        "AWS::EC2::Subnet",
        "AWS::EC2::SubnetRouteTableAssociation",
        "AWS::EC2::VPC",
        "AWS::EC2::VPCGatewayAttachment",
        "AWS::ECR::Repository",
        "AWS::ECS::Cluster",
        "AWS::IAM::ManagedPolicy",
        "AWS::IAM::Role",
    }


def test_two_zones_each_have_a_default_route(stack):
    outputs = stack.create({})
    ec2 = stack.emulator.client("ec2")
    subnets = ec2.describe_subnets(SubnetIds=outputs["SubnetIds"].split(","))["Subnets"]
    assert len({subnet["AvailabilityZone"] for subnet in subnets}) == 2
    assert {subnet["CidrBlock"] for subnet in subnets} == {"10.42.0.0/20", "10.42.16.0/20"}
    for subnet in subnets:
        assert not subnet["MapPublicIpOnLaunch"]
        tables = ec2.describe_route_tables(Filters=[{"Name": "association.subnet-id", "Values": [subnet["SubnetId"]]}])
        routes = tables["RouteTables"][0]["Routes"]
        assert [route.get("GatewayId", "")[:4] for route in routes if route["DestinationCidrBlock"] == "0.0.0.0/0"] == ["igw-"]


def test_tasks_have_only_outbound_https(stack):
    outputs = stack.create({})
    ec2 = stack.emulator.client("ec2")
    group = ec2.describe_security_groups(GroupIds=[outputs["SecurityGroupId"]])["SecurityGroups"][0]
    ports = [(rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) for rule in group["IpPermissionsEgress"]]
    assert (group["IpPermissions"], ports) == ([], [("tcp", 443, 443)])


def test_private_endpoints_cover_all_services_without_internet(stack):
    outputs = stack.create({"Network": "PrivateEndpoints"})
    ec2 = stack.emulator.client("ec2")
    endpoints = ec2.describe_vpc_endpoints()["VpcEndpoints"]
    prefix = f"com.amazonaws.{REGION}."
    services = {one["ServiceName"].removeprefix(prefix): one for one in endpoints}
    assert set(services) == {"ecr.api", "ecr.dkr", "kinesis-streams", "logs", "monitoring", "s3", "ssm"}
    for name, endpoint in services.items():
        assert endpoint["VpcEndpointType"] == ("Gateway" if name == "s3" else "Interface"), name
        if name != "s3":
            assert sorted(endpoint["SubnetIds"]) == sorted(outputs["SubnetIds"].split(",")), name
    # Checked in the template, because the emulator does not return it: without private DNS, tasks
    # would call the public addresses.
    interfaces = [one["Properties"] for one in template()["Resources"].values() if one["Type"] == "AWS::EC2::VPCEndpoint"]
    assert [one["PrivateDnsEnabled"] for one in interfaces if one["VpcEndpointType"] == "Interface"] == [True] * 6
    assert not {"InternetGateway", "PublicRoutes", "PublicSubnetA", "NatGateway"} & set(stack.resources())
    assert outputs["AssignPublicIp"] == "false"


def test_the_cluster_has_fargate_and_fargate_spot(stack):
    outputs = stack.create({"ContainerInsights": "enabled", "LogRetentionDays": "30"})
    ecs = stack.emulator.client("ecs")
    cluster = ecs.describe_clusters(clusters=[outputs["ClusterName"]], include=["SETTINGS", "TAGS"])["clusters"][0]
    assert cluster["capacityProviders"] == ["FARGATE", "FARGATE_SPOT"]
    assert cluster["settings"] == [{"name": "containerInsights", "value": "enabled"}]
    group = "/aws/ecs/containerinsights/kinesis-demo/performance"
    found = stack.emulator.client("logs").describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert [(one["logGroupName"], one["retentionInDays"]) for one in found] == [(group, 30)]


def trust(stack, arn):
    role = stack.emulator.client("iam").get_role(RoleName=arn.rsplit("/")[-1])["Role"]
    document = role["AssumeRolePolicyDocument"]
    return role, json.loads(document) if isinstance(document, str) else document


def test_only_ecs_can_assume_the_task_roles(stack):
    outputs = stack.create({})
    for output in ("TaskRoleArn", "ExecutionRoleArn"):
        (statement,) = trust(stack, outputs[output])[1]["Statement"]
        assert statement["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
        assert statement["Condition"] == {
            "StringEquals": {"aws:SourceAccount": ACCOUNT},
            "ArnLike": {"aws:SourceArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:*"},
        }


def test_irsa_trusts_one_service_account(stack):
    outputs = stack.create({**IRSA, "OperatorNamespace": "load", "OperatorServiceAccount": "someone"})
    (statement,) = trust(stack, outputs["OperatorRoleArn"])[1]["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Principal": {"Federated": IRSA["OidcProviderArn"]},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": {f"{ISSUER}:aud": "sts.amazonaws.com", f"{ISSUER}:sub": "system:serviceaccount:load:someone"}
        },
    }


def test_pod_identity_trusts_one_service_account_of_one_cluster(stack):
    outputs = stack.create(POD_IDENTITY)
    (statement,) = trust(stack, outputs["OperatorRoleArn"])[1]["Statement"]
    assert statement["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert statement["Action"] == ["sts:AssumeRole", "sts:TagSession"]
    assert statement["Condition"]["StringEquals"] == {
        "aws:RequestTag/eks-cluster-name": "demos",
        "aws:RequestTag/kubernetes-namespace": "kinesis-demo-system",
        "aws:RequestTag/kubernetes-service-account": "kinesis-demo-operator",
    }


@pytest.mark.parametrize("allowed", [False, True])
def test_the_advantage_policy_is_attached_only_on_request(stack, allowed):
    outputs = stack.create({**IRSA, "AllowAdvantage": str(allowed).lower()})
    attached = stack.emulator.client("iam").list_attached_role_policies(RoleName=outputs["OperatorRoleArn"].rsplit("/")[-1])
    arns = {one["PolicyArn"] for one in attached["AttachedPolicies"]}
    assert arns == {outputs["OperatorPolicyArn"]} | ({outputs["AdvantagePolicyArn"]} if allowed else set())


@pytest.mark.parametrize("trusted", [{}, IRSA], ids=["none", "irsa"])
@pytest.mark.parametrize("network", ["Public", "PrivateEndpoints"])
def test_the_outputs_are_valid_chart_values(stack, network, trusted):
    outputs = stack.create({"Network": network, **trusted})
    values = yaml.safe_load(outputs["HelmValues"])
    role = outputs.get("OperatorRoleArn")
    assert values == {
        "image": {"registry": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"},
        "aws": {
            "accounts": [ACCOUNT],
            "regions": [REGION],
            "ecsCluster": "kinesis-demo",
            "subnets": outputs["SubnetIds"].split(","),
            "securityGroups": [outputs["SecurityGroupId"]],
            "assignPublicIp": network == "Public",
            "taskRoleArn": outputs["TaskRoleArn"],
            "executionRoleArn": outputs["ExecutionRoleArn"],
        },
        "serviceAccount": {
            "name": "kinesis-demo-operator",
            "annotations": {"eks.amazonaws.com/role-arn": role} if trusted else {},
        },
    }
    chart = REPOSITORY / "charts" / "kinesis-demo-operator" / "values.yaml"
    if not chart.exists():
        pytest.skip("no chart beside the foundation")
    known = yaml.safe_load(chart.read_text())
    for section, members in values.items():
        assert set(members) <= set(known[section]), section


@pytest.mark.parametrize(
    "values",
    [
        {"Network": "Private"},
        {"VpcPrefix": "11.0"},
        {"VpcPrefix": "10.42.0.0/16"},
        {"ClusterName": "kinesis demo"},
        {"StreamNames": "a/b"},
        {"LogRetentionDays": "2"},
        {"OperatorTrust": "Irsa"},
        {"OperatorTrust": "PodIdentity"},
        {"OidcProviderArn": "oidc.eks.us-east-1.amazonaws.com/id/ABC"},
        {"OperatorNamespace": "Kinesis"},
        {"PermissionsBoundaryArn": "boundary"},
        {"AllowAdvantage": "yes"},
    ],
    ids=lambda values: "-".join(f"{key}={value}" for key, value in values.items()),
)
def test_wrong_parameters_are_refused(stack, values):
    with pytest.raises(ClientError) as refused:
        stack.create(values)
    assert refused.value.response["Error"]["Code"] == "ValidationError"


def test_every_parameter_is_described_and_constrained():
    document = template()
    grouped = document["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(name for group in grouped for name in group["Parameters"]) == sorted(document["Parameters"])
    for name, parameter in document["Parameters"].items():
        assert len(parameter["Description"]) > 15, name
        assert "AllowedPattern" in parameter or "AllowedValues" in parameter, name
        assert "AllowedPattern" not in parameter or "ConstraintDescription" in parameter, name


def test_every_taggable_resource_has_the_owner_tags():
    without = {
        "AWS::EC2::Route",
        "AWS::EC2::SubnetRouteTableAssociation",
        "AWS::EC2::VPCGatewayAttachment",
        "AWS::IAM::ManagedPolicy",
    }
    for name, resource in template()["Resources"].items():
        if resource["Type"] in without:
            continue
        tags = {tag["Key"]: tag["Value"] for tag in resource["Properties"]["Tags"]}
        assert tags["app.kubernetes.io/part-of"] == "kinesis-demo", name
        assert tags["kinesisdemo.io/foundation"] == {"Ref": "AWS::StackName"}, name


def test_no_resource_is_retained_after_deletion():
    for name, resource in template()["Resources"].items():
        assert resource.get("DeletionPolicy", "Delete") == "Delete", name
        if resource["Type"] == "AWS::ECR::Repository":
            assert resource["Properties"]["EmptyOnDelete"] is True, name


def created_by_moto(values):
    credentials = {"region_name": REGION, "aws_access_key_id": "test", "aws_secret_access_key": "test"}
    cloudformation, ec2, iam = (boto3.client(name, **credentials) for name in ("cloudformation", "ec2", "iam"))
    cloudformation.create_stack(
        StackName=STACK,
        TemplateBody=Path(TEMPLATE).read_text(),
        Parameters=parameters(values),
        Capabilities=["CAPABILITY_IAM"],
    )
    stack = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    listed = cloudformation.list_stack_resources(StackName=STACK)["StackResourceSummaries"]
    created = {one["LogicalResourceId"]: one.get("PhysicalResourceId") for one in listed}
    return outputs, created, ec2, iam


@mock_aws
def test_nat_serves_the_private_subnets():
    outputs, created, ec2, _ = created_by_moto({"Network": "PrivateNat"})
    assert outputs["AssignPublicIp"] == "false"
    assert outputs["SubnetIds"] == f"{created['PrivateSubnetA']},{created['PrivateSubnetB']}"
    (gateway,) = ec2.describe_nat_gateways()["NatGateways"]
    (address,) = ec2.describe_addresses()["Addresses"]
    assert gateway["NatGatewayAddresses"][0]["AllocationId"] == address["AllocationId"]
    assert gateway["SubnetId"] == created["PublicSubnetA"]
    default_routes = {}
    for name in ("PrivateRoutes", "PublicRoutes"):
        routes = ec2.describe_route_tables(RouteTableIds=[created[name]])["RouteTables"][0]["Routes"]
        (route,) = [route for route in routes if route.get("DestinationCidrBlock") == "0.0.0.0/0"]
        default_routes[name] = route.get("NatGatewayId") or route.get("GatewayId")
    assert default_routes == {"PrivateRoutes": gateway["NatGatewayId"], "PublicRoutes": created["InternetGateway"]}


@mock_aws
@pytest.mark.parametrize("trusted", [IRSA, POD_IDENTITY], ids=["irsa", "pod-identity"])
@pytest.mark.filterwarnings("ignore:Tried to parse AWS..EKS..PodIdentityAssociation")
def test_the_permissions_boundary_applies_to_every_role(trusted):
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
    _, created, _, iam = created_by_moto({**trusted, "PermissionsBoundaryArn": boundary})
    roles = iam.list_roles()["Roles"]
    assert len(roles) == 3, created
    for role in roles:
        attached = iam.get_role(RoleName=role["RoleName"])["Role"]["PermissionsBoundary"]
        assert attached["PermissionsBoundaryArn"] == boundary, role["RoleName"]

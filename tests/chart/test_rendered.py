"""What the rendered manifests must contain, by values file. In: helm's output. Has no side effects."""

import functools
import re
import unittest

import yaml

from chart import CHART, KUBERNETES, METADATA, NAMESPACE, RELEASE, ROOT, VALUES, find, helms, kinds, manifests, run, tool

SANDBOX_ACCOUNT = "000000000000"
DEFINITIONS = ("kinesisdemos.kinesisdemo.io", "kinesisdemoruns.kinesisdemo.io")
LABELS = {"name", "instance", "version", "component", "part-of", "managed-by"}


def arguments(name, suffix="operator"):
    return find(name, "Deployment", suffix)["spec"]["template"]["spec"]["containers"][0]["args"]


def environment(name):
    container = find(name, "Deployment", "operator" if name != "everything" else "demo")["spec"]["template"]["spec"]["containers"][0]
    return {variable["name"]: variable.get("value") for variable in container["env"]}


def pods(name):
    """The spec of every Pod, with the name of the object that creates it."""
    for document in manifests(name):
        spec = document.get("spec", {})
        if document["kind"] == "Pod":
            yield document["metadata"]["name"], spec
        elif document["kind"] in ("Deployment", "Job"):
            yield document["metadata"]["name"], spec["template"]["spec"]


def rules(*documents):
    """The rules as a set of single permissions: group, resource, name, verb."""
    return {(group, resource, name, verb)
            for document in documents for rule in document["rules"]
            for group in rule["apiGroups"] for resource in rule["resources"]
            for name in rule.get("resourceNames", ["*"]) for verb in rule["verbs"]}


def with_each_values(test):
    """Runs a test as a subtest per values file."""
    @functools.wraps(test)
    def with_each(self):
        for path in VALUES:
            with self.subTest(values=path.name):
                test(self, path.stem)
    return with_each


class Everywhere(unittest.TestCase):
    """Properties that hold for all values files."""

    def test_helm_lint_strict_passes(self):
        for helm in helms():
            for path in VALUES:
                with self.subTest(helm=helm, values=path.name):
                    ended = run(helm, "lint", "--strict", CHART, "--values", path, "--kube-version", KUBERNETES)
                    self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)

    @with_each_values
    def test_helm_3_and_4_render_the_same(self, name):
        both = helms()
        if len(both) < 2:
            self.skipTest("only one helm: run hack/chart/tools helm helm3")
        first, second = (manifests(name, helm) for helm in both)
        key = lambda document: (document["kind"], document["metadata"].get("namespace", ""), document["metadata"]["name"])
        self.assertEqual(sorted(first, key=key), sorted(second, key=key))

    @with_each_values
    def test_every_object_and_pod_has_all_labels(self, name):
        for document in manifests(name):
            for metadata in filter(None, [document["metadata"], document.get("spec", {}).get("template", {}).get("metadata")]):
                labels = metadata["labels"]
                lacking = {f"app.kubernetes.io/{label}" for label in LABELS} - set(labels)
                self.assertFalse(lacking, f"{document['kind']} {document['metadata']['name']}")
                self.assertEqual(labels["app.kubernetes.io/part-of"], "kinesis-demo")
                self.assertEqual(labels["app.kubernetes.io/instance"], RELEASE)
                self.assertEqual(labels["helm.sh/chart"], f"kinesis-demo-operator-{METADATA['version']}")

    @with_each_values
    def test_object_names_are_unique(self, name):
        names = [(document["kind"], document["metadata"].get("namespace"), document["metadata"]["name"]) for document in manifests(name)]
        self.assertEqual(len(names), len(set(names)), names)

    @with_each_values
    def test_selectors_match_only_pods_of_their_component(self, name):
        labelled = [(document["metadata"]["name"], (document["metadata"] if document["kind"] == "Pod" else document["spec"]["template"]["metadata"])["labels"])
                    for document in manifests(name) if document["kind"] in ("Pod", "Deployment", "Job")]
        for document in manifests(name):
            selector = {"Service": lambda spec: spec["selector"], "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
                        "Deployment": lambda spec: spec["selector"]["matchLabels"],
                        "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"]}.get(document["kind"])
            # The tasks' Pods are created by the sandbox.
            if selector and not document["metadata"]["name"].endswith("-tasks"):
                wanted = selector(document["spec"]).items()
                self.assertEqual(len([pod for pod, labels in labelled if wanted <= labels.items()]), 1, document["metadata"]["name"])

    @with_each_values
    def test_every_service_account_of_a_pod_is_created_or_given(self, name):
        created = {document["metadata"]["name"] for document in manifests(name) if document["kind"] == "ServiceAccount"} | {"given"}
        self.assertLessEqual({spec["serviceAccountName"] for _, spec in pods(name)}, created)

    @with_each_values
    def test_bindings_refer_to_existing_roles_and_accounts(self, name):
        roles = {(document["kind"], document["metadata"].get("namespace"), document["metadata"]["name"]) for document in manifests(name)}
        accounts = {(document["metadata"]["name"], document["metadata"]["namespace"]) for document in manifests(name) if document["kind"] == "ServiceAccount"}
        for document in manifests(name):
            if document["kind"].endswith("Binding"):
                role = (document["roleRef"]["kind"], document["metadata"].get("namespace"), document["roleRef"]["name"])
                self.assertIn(role, roles)
                self.assertIn((document["subjects"][0]["name"], document["subjects"][0]["namespace"]), accounts)

    @with_each_values
    def test_rules_have_no_wildcard_and_only_the_sandboxs_secret(self, name):
        own = {document["metadata"]["name"] for document in manifests(name) if document["kind"] == "Secret"}
        for document in manifests(name):
            if document["kind"] not in ("Role", "ClusterRole"):
                continue
            for group, resource, named, verb in rules(document):
                self.assertNotIn("*", (group, resource, verb))
                if resource == "secrets":
                    self.assertTrue(document["metadata"]["name"].endswith("-sandbox"))
                    self.assertIn(named, own)

    @with_each_values
    def test_pods_satisfy_the_restricted_profile(self, name):
        podsecurity = tool("podsecurity")
        stream = yaml.safe_dump_all(manifests(name))
        for version in ("v1.33", "v1.36", "latest"):
            ended = run(podsecurity, version, stdin=stream)
            self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)

    @with_each_values
    def test_containers_have_a_read_only_root_and_resource_limits(self, name):
        for pod, spec in pods(name):
            for container in spec["containers"]:
                self.assertTrue(container["securityContext"]["readOnlyRootFilesystem"], pod)
                self.assertIn("memory", container["resources"]["limits"], pod)
                self.assertEqual(set(container["resources"]["requests"]), {"cpu", "memory"}, pod)


class Definition(unittest.TestCase):
    """The CustomResourceDefinitions."""

    def test_the_charts_copies_equal_the_generated_files(self):
        self.assertEqual({file.name for file in (ROOT / "crds").iterdir()}, {f"{name}.yaml" for name in DEFINITIONS})
        for name in DEFINITIONS:
            self.assertEqual((CHART / f"files/{name}.yaml").read_bytes(), (ROOT / f"crds/{name}.yaml").read_bytes(), "run make generate")

    def test_rendering_does_not_change_the_definitions(self):
        for name in DEFINITIONS:
            generated = yaml.safe_load((ROOT / f"crds/{name}.yaml").read_text(encoding="utf-8"))
            rendered = find("default", "CustomResourceDefinition", name)
            self.assertEqual(rendered["spec"], generated["spec"])
            self.assertEqual(rendered["metadata"]["name"], generated["metadata"]["name"])

    def test_the_definitions_are_kept_after_uninstall(self):
        for name in DEFINITIONS:
            self.assertEqual(find("default", "CustomResourceDefinition", name)["metadata"]["annotations"]["helm.sh/resource-policy"], "keep")

    def test_the_definition_can_be_left_out(self):
        self.assertNotIn("CustomResourceDefinition", kinds("namespaced"))

    def test_the_example_objects_of_the_metadata_have_its_version(self):
        version = find("default", "CustomResourceDefinition", DEFINITIONS[0])["spec"]["versions"][0]["name"]
        for example in yaml.safe_load(METADATA["annotations"]["artifacthub.io/crdsExamples"]):
            self.assertEqual(example["apiVersion"], f"kinesisdemo.io/{version}")


class Rights(unittest.TestCase):
    """The permissions of the operator, the drain, the sandbox and users."""

    def local_role(self, kind, suffix):
        documents = yaml.safe_load_all((ROOT / "deploy/operator-role.yaml").read_text(encoding="utf-8"))
        return next(document for document in documents if document["kind"] == kind and document["metadata"]["name"].endswith(suffix))

    def test_cluster_wide_rules_equal_those_of_the_local_cluster(self):
        chart = rules(find("default", "ClusterRole", "operator-demos"))
        self.assertEqual(chart, rules(self.local_role("ClusterRole", "operator")))

    def test_lease_rules_are_limited_to_one_lease(self):
        group, lease, name = "coordination.k8s.io", "leases", "kinesis-demo-operator"
        chart = rules(find("default", "Role", "-leader"))
        self.assertEqual(chart, {(group, lease, "*", "create"), (group, lease, name, "get"), (group, lease, name, "update")})
        local_role = {verb for _, _, _, verb in rules(self.local_role("Role", "-leader"))}
        self.assertLessEqual({verb for _, _, _, verb in chart}, local_role)
        self.assertEqual(find("default", "Lease")["metadata"]["name"], name)

    def test_namespaced_rules_are_in_each_namespace_only(self):
        wide = rules(find("default", "ClusterRole", "operator-demos"))
        self.assertFalse({"ClusterRole", "ClusterRoleBinding"} & kinds("namespaced"))
        for suffix, wanted in (("operator-demos", wide), ("-drain", rules(find("default", "ClusterRole", "-drain")))):
            roles = [document for document in manifests("namespaced") if document["kind"] == "Role" and document["metadata"]["name"].endswith(suffix)]
            self.assertEqual({role["metadata"]["namespace"] for role in roles}, {"team-a", "team-b"})
            for role in roles:
                self.assertEqual(rules(role), wanted)
        for deployment in ("--namespace=team-a", "--namespace=team-b"):
            self.assertIn(deployment, arguments("namespaced"))
            self.assertIn(deployment, find("namespaced", "Job")["spec"]["template"]["spec"]["containers"][0]["args"])
        self.assertFalse([argument for argument in arguments("default") if argument.startswith("--namespace")])

    def test_the_drain_has_fewer_rules_than_the_operator(self):
        drain = rules(find("default", "ClusterRole", "-drain"))
        self.assertLess(drain, rules(find("default", "ClusterRole", "operator-demos")))
        self.assertEqual({resource for _, resource, _, _ in drain}, {"kinesisdemos"})

    def test_the_sandbox_role_equals_the_documented_one(self):
        role = find("sandbox", "Role", "-sandbox")
        self.assertEqual(role["metadata"]["namespace"], NAMESPACE)
        documented = re.search(r"```yaml\n(rules:\n.*?)```", (ROOT / "docs/sandbox.md").read_text(encoding="utf-8"), re.DOTALL)[1]
        secret = find("sandbox", "Secret", "-sandbox")["metadata"]["name"]
        self.assertEqual(rules(role), rules(yaml.safe_load(documented.replace("SECRET", secret))))

    def test_user_roles_aggregate_to_the_default_cluster_roles(self):
        for role in ("view", "edit", "admin"):
            found = find("default", "ClusterRole", f"-{role}")
            self.assertEqual(found["metadata"]["labels"][f"rbac.authorization.k8s.io/aggregate-to-{role}"], "true")
        self.assertEqual({verb for *_, verb in rules(find("default", "ClusterRole", "-view"))}, {"get", "list", "watch"})
        self.assertFalse({verb for *_, verb in rules(find("default", "ClusterRole", "-edit"))} & {"get", "list", "watch"})

    def test_tokens_are_mounted_only_in_pods_that_call_the_api(self):
        tokens = {name: spec["automountServiceAccountToken"] for name, spec in pods("sandbox")}
        self.assertEqual(tokens, {f"{RELEASE}-kinesis-demo-operator{suffix}": suffix != "-test" for suffix in ("", "-sandbox", "-drain", "-test")})
        for name in ("sandbox", "default"):
            for document in manifests(name):
                if document["kind"] == "ServiceAccount":
                    self.assertFalse(document["automountServiceAccountToken"])


class Operator(unittest.TestCase):
    """The operator's Deployment."""

    def test_by_default_only_the_sandbox_account_is_allowed(self):
        self.assertEqual([argument for argument in arguments("default") if argument.startswith("--account")], [f"--account={SANDBOX_ACCOUNT}"])
        self.assertNotIn("AWS_ENDPOINT_URL", environment("default"))
        self.assertNotIn("--local-timings", arguments("default"))

    def test_all_aws_values_become_arguments(self):
        self.assertEqual(arguments("aws"), [
            "run", "--admin-address=0.0.0.0:8080", "--account=123456789012", "--region=us-east-1", "--region=eu-west-1", "--ecs-cluster=demos",
            "--subnet=subnet-0123456789abcdef0", "--subnet=subnet-0123456789abcdef1", "--security-group=sg-0123456789abcdef0", "--no-public-ip",
            "--task-role-arn=arn:aws:iam::123456789012:role/kinesis-demo-task",
            "--execution-role-arn=arn:aws:iam::123456789012:role/kinesis-demo-execution",
            f"--generator-image=123456789012.dkr.ecr.us-east-1.amazonaws.com/kinesis-demo-generator:{METADATA['appVersion']}",
            "--allow-image=registry.example/demos/*", "--allow-subnet=subnet-0123456789abcdef2", "--allow-security-group=*",
            "--max-runs=3", "--max-records-per-second=5000000", "--max-tasks=7", "--max-warm-mib-per-second=1024", "--concurrency=10",
            "--log-format=json", "--log=info,kube_client=warn,aws_config=warn"])
        self.assertEqual(environment("aws")["AWS_REGION"], "us-east-1")

    def test_every_argument_is_a_flag_of_the_operator(self):
        source = (ROOT / "src/cli.rs").read_text(encoding="utf-8")
        for name in ("default", "aws", "namespaced", "sandbox"):
            for argument in arguments(name)[1:]:
                flag = argument.split("=")[0].removeprefix("--")
                field = flag.replace("-", "_")
                self.assertTrue(f'long = "{flag}"' in source or re.search(rf"pub {field}s?:", source), argument)

    def test_two_replicas_are_spread_and_evicted_one_at_a_time(self):
        spec = find("default", "Deployment")["spec"]
        self.assertEqual((spec["replicas"], spec["strategy"]["rollingUpdate"]["maxUnavailable"]), (2, 0))
        constraints = spec["template"]["spec"]["topologySpreadConstraints"]
        self.assertEqual({constraint["topologyKey"] for constraint in constraints}, {"kubernetes.io/hostname", "topology.kubernetes.io/zone"})
        for constraint in constraints:
            self.assertEqual(constraint["labelSelector"]["matchLabels"], spec["selector"]["matchLabels"])
        self.assertEqual(find("default", "PodDisruptionBudget")["spec"]["maxUnavailable"], 1)

    def test_probes_and_metrics_are_on_one_port(self):
        container = find("default", "Deployment")["spec"]["template"]["spec"]["containers"][0]
        self.assertEqual(container["livenessProbe"]["httpGet"], {"path": "/livez", "port": "metrics"})
        self.assertEqual(container["readinessProbe"]["httpGet"], {"path": "/readyz", "port": "metrics"})
        self.assertEqual(container["ports"], [{"name": "metrics", "containerPort": 8080, "protocol": "TCP"}])
        self.assertEqual(find("default", "Service")["spec"]["ports"][0]["targetPort"], "metrics")

    def test_placement_values_are_applied(self):
        deployment = find("placement", "Deployment")["spec"]
        spec = deployment["template"]["spec"]
        container = spec["containers"][0]
        self.assertEqual((container["image"], container["imagePullPolicy"]), ("kinesis-demo-operator:1.2.3", "Always"))
        self.assertEqual(deployment["replicas"], 3)
        self.assertEqual(spec["nodeSelector"], {"kubernetes.io/arch": "arm64"})
        self.assertEqual(spec["tolerations"][0]["key"], "demos")
        self.assertIn("nodeAffinity", spec["affinity"])
        self.assertEqual(spec["priorityClassName"], "system-cluster-critical")
        self.assertEqual(spec["imagePullSecrets"], [{"name": "pull"}])
        self.assertEqual(spec["topologySpreadConstraints"][0]["labelSelector"], {"matchLabels": {"own": "selector"}})
        self.assertEqual(environment("placement")["HTTPS_PROXY"], "http://proxy.example:3128")
        self.assertIn("--admin-address=[::]:8080", container["args"])
        labels = deployment["template"]["metadata"]["labels"]
        self.assertEqual((labels["example.com/team"], labels["app.kubernetes.io/name"]), ("streaming", "kinesis-demo-operator"))
        self.assertEqual(deployment["template"]["metadata"]["annotations"]["example.com/note"], "1")

    def test_images_by_registry_tag_and_digest(self):
        found = {spec["containers"][0]["name"]: spec["containers"][0]["image"] for _, spec in pods("everything")}
        registry, digest = "registry.example:5000/demos", "sha256:" + "0123456789abcdef" * 4
        self.assertEqual(found["operator"], f"{registry}/kinesis-demo-operator@{digest}")
        self.assertEqual((found["drain"], found["check"]), (found["operator"], found["operator"]))
        self.assertEqual(found["sandbox"], f"{registry}/kinesis-demo-sandbox:{METADATA['appVersion']}")
        self.assertIn("--generator-image=other.example/kinesis-demo-generator:v2", arguments("everything", "demo"))

    def test_the_iam_role_is_a_service_account_annotation(self):
        account = find("aws", "ServiceAccount", "operator")
        self.assertEqual(account["metadata"]["annotations"], {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/kinesis-demo-operator"})

    def test_optional_objects_can_be_left_out(self):
        self.assertEqual(kinds("least"), {"Deployment", "Service", "Lease", "Pod"})


class Sandbox(unittest.TestCase):
    """The local AWS."""

    def test_the_operator_uses_the_sandbox_endpoint(self):
        service = find("sandbox", "Service", "-sandbox")
        url = f"http://{service['metadata']['name']}.{NAMESPACE}.svc:{service['spec']['ports'][0]['port']}"
        given = environment("sandbox")
        self.assertEqual(given["AWS_ENDPOINT_URL"], url)
        self.assertEqual(given["AWS_EC2_METADATA_DISABLED"], "true")
        self.assertIn("--local-timings", arguments("sandbox"))
        self.assertIn(f"--account={SANDBOX_ACCOUNT}", arguments("sandbox"))
        serve = arguments("sandbox", "-sandbox")
        self.assertIn(f"--task-endpoint={url}", serve)
        self.assertIn(f"--task-namespace={NAMESPACE}", serve)
        self.assertIn("--cluster=kinesis-demo", serve)
        self.assertIn(f"--task-service-account={find('sandbox', 'ServiceAccount', '-tasks')['metadata']['name']}", serve)
        own = {variable["name"] for variable in find("sandbox", "Deployment", "-sandbox")["spec"]["template"]["spec"]["containers"][0]["env"]}
        self.assertEqual(own, {"POD_NAME", "POD_UID", "POD_NAMESPACE"})
        for stands_for in ("--subnet=", "--security-group=", "--task-role-arn=", "--execution-role-arn="):
            self.assertTrue([argument for argument in arguments("sandbox") if argument.startswith(stands_for)], stands_for)

    def test_the_sandbox_key_is_in_a_secret_and_in_no_manifest(self):
        secret = find("sandbox", "Secret", "-sandbox")
        self.assertEqual(secret["metadata"]["namespace"], NAMESPACE)
        self.assertFalse({"data", "stringData"} & secret.keys(), "the sandbox, not the chart, must write the key")
        name = secret["metadata"]["name"]
        self.assertIn(f"--task-secret={name}", arguments("sandbox", "-sandbox"))
        variables = find("sandbox", "Deployment", "operator")["spec"]["template"]["spec"]["containers"][0]["env"]
        sources = {variable["name"]: variable.get("valueFrom", {}).get("secretKeyRef") for variable in variables}
        for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            self.assertEqual(sources[variable], {"name": name, "key": variable})
        self.assertFalse([document for document in manifests("aws") if document["kind"] == "Secret"])

    def test_allowed_hosts_are_the_service_names_and_the_given_ones(self):
        service = find("everything", "Service", "-sandbox")["metadata"]["name"]
        # The sandbox takes the fourth name from the URL for the tasks.
        own = [service, f"{service}.{NAMESPACE}", f"{service}.{NAMESPACE}.svc.cluster.local"]
        given = [argument.removeprefix("--allow-host=") for argument in arguments("everything", "-sandbox") if argument.startswith("--allow-host=")]
        self.assertEqual(given, own + ["sandbox.example"])

    def test_probes_need_no_key_and_have_a_port_that_tells_nothing_else(self):
        container = find("sandbox", "Deployment", "-sandbox")["spec"]["template"]["spec"]["containers"][0]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            self.assertEqual(container[probe]["httpGet"], {"path": "/healthz", "port": "probes"})
        self.assertIn(f"--probe-listen=0.0.0.0:{ports['probes']}", container["args"])
        self.assertEqual([port["name"] for port in find("sandbox", "Service", "-sandbox")["spec"]["ports"]], ["aws"])

    def test_the_sandbox_has_one_replica_and_is_recreated(self):
        spec = find("sandbox", "Deployment", "-sandbox")["spec"]
        self.assertEqual((spec["replicas"], spec["strategy"]["type"]), (1, "Recreate"))

    def test_every_argument_is_a_flag_of_the_sandbox(self):
        source = (ROOT / "sandbox/src/args.rs").read_text(encoding="utf-8")
        for argument in arguments("sandbox", "-sandbox")[1:]:
            flag = argument.split("=")[0].removeprefix("--")
            self.assertTrue(f'long = "{flag}"' in source or f"pub {flag.replace('-', '_')}:" in source, argument)

    def test_the_network_policy_selects_the_label_of_the_task_pods(self):
        source = (ROOT / "sandbox/src/task_runner/pod/manifest.rs").read_text(encoding="utf-8")
        selected = find("everything", "NetworkPolicy", "-tasks")["spec"]["podSelector"]["matchLabels"]
        self.assertEqual(list(selected.values()), [RELEASE])
        self.assertIn(f'SANDBOX_LABEL: &str = "{list(selected)[0]}"', source)
        self.assertIn(f"--task-instance={RELEASE}", arguments("everything", "-sandbox"))

    def test_the_sandbox_is_off_by_default(self):
        self.assertFalse([document for document in manifests("default") if "sandbox" in document["metadata"]["name"]])


class Uninstall(unittest.TestCase):
    """The drain."""

    def test_the_drain_is_a_pre_delete_hook(self):
        hooks = {(document["kind"], document["metadata"]["annotations"]["helm.sh/hook"]) for document in manifests("default")
                 if "helm.sh/hook" in document["metadata"].get("annotations", {})}
        self.assertEqual(hooks, {("Job", "pre-delete"), ("Pod", "test")})
        policy = find("default", "Job")["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
        self.assertEqual(policy, "before-hook-creation,hook-succeeded")

    def test_the_job_deadline_is_longer_than_the_drain_timeout(self):
        job = find("default", "Job")["spec"]
        self.assertEqual(job["template"]["spec"]["containers"][0]["args"], ["drain", "--timeout=4m"])
        self.assertEqual(job["activeDeadlineSeconds"], 270)

    def test_a_failed_drain_is_not_retried(self):
        rules_of_failure = find("default", "Job")["spec"]["podFailurePolicy"]["rules"]
        self.assertEqual([rule["action"] for rule in rules_of_failure], ["Ignore", "FailJob"])


class Network(unittest.TestCase):
    """The NetworkPolicies."""

    def ports(self, name, suffix):
        policy = find(name, "NetworkPolicy", suffix)["spec"]
        self.assertEqual(policy["policyTypes"], ["Ingress", "Egress"])
        return {port["port"] for rule in policy.get("ingress", []) for port in rule["ports"]}, {port["port"] for rule in policy["egress"] for port in rule["ports"]}

    def test_only_what_is_needed_is_open(self):
        self.assertEqual(self.ports("network-policy", "operator"), ({"metrics"}, {53, 443, 6443, 80, 3128, 8443}))
        self.assertEqual(self.ports("network-policy", "-drain"), (set(), {53, 443, 6443}))
        self.assertEqual(self.ports("network-policy", "-test"), (set(), {53, "metrics"}))
        self.assertEqual(self.ports("everything", "-sandbox"), ({"aws"}, {53, 443, 6443}))
        self.assertEqual(self.ports("everything", "-tasks"), (set(), {53, "aws"}))
        self.assertEqual(self.ports("everything", "demo"), ({"metrics"}, {53, 443, 6443, "aws"}))

    def test_the_proxy_is_reached_where_the_user_says_it_is_and_on_its_ports(self):
        rules = find("network-policy", "NetworkPolicy", "operator")["spec"]["egress"]
        proxy = {"ports": [{"port": port, "protocol": "TCP"} for port in (3128, 8443)],
                 "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "proxy"}}}, {"ipBlock": {"cidr": "10.1.2.3/32"}}]}
        self.assertEqual([rule for rule in rules if {"port": 3128, "protocol": "TCP"} in rule["ports"]], [proxy])

    def test_metrics_are_read_by_whom_the_user_names_and_by_the_test(self):
        peers = find("network-policy", "NetworkPolicy", "operator")["spec"]["ingress"][0]["from"]
        self.assertEqual(peers[1:], [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}])
        self.assertEqual(peers[0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"], "test")


if __name__ == "__main__":
    unittest.main()

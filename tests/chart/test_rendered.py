"""What the rendered manifests must say, by values. In: helm's output. Touches nothing."""

import functools
import re
import unittest

import yaml

from chart import CHART, KUBERNETES, METADATA, NAMESPACE, RELEASE, ROOT, VALUES, find, helms, kinds, manifests, run, tool

SANDBOX_ACCOUNT = "000000000000"
DEFINITION = "kinesisdemos.kinesisdemo.io"
LABELS = {"name", "instance", "version", "component", "part-of", "managed-by"}


def arguments(name, suffix="operator"):
    return find(name, "Deployment", suffix)["spec"]["template"]["spec"]["containers"][0]["args"]


def environment(name):
    container = find(name, "Deployment", "operator" if name != "everything" else "demo")["spec"]["template"]["spec"]["containers"][0]
    return {variable["name"]: variable.get("value") for variable in container["env"]}


def pods(name):
    """Every Pod's spec, with the name of what makes it."""
    for document in manifests(name):
        spec = document.get("spec", {})
        if document["kind"] == "Pod":
            yield document["metadata"]["name"], spec
        elif document["kind"] in ("Deployment", "Job"):
            yield document["metadata"]["name"], spec["template"]["spec"]


def rules(*documents):
    """Rules as sets of single permissions: group, resource, name, verb."""
    return {(group, resource, name, verb)
            for document in documents for rule in document["rules"]
            for group in rule["apiGroups"] for resource in rule["resources"]
            for name in rule.get("resourceNames", ["*"]) for verb in rule["verbs"]}


def with_each_values(test):
    """Runs a test with each file of values, and says which one it was."""
    @functools.wraps(test)
    def with_each(self):
        for path in VALUES:
            with self.subTest(values=path.name):
                test(self, path.stem)
    return with_each


class Everywhere(unittest.TestCase):
    """What holds whatever the values are."""

    def test_helm_lints_it_strictly(self):
        for helm in helms():
            for path in VALUES:
                with self.subTest(helm=helm, values=path.name):
                    ended = run(helm, "lint", "--strict", CHART, "--values", path, "--kube-version", KUBERNETES)
                    self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)

    @with_each_values
    def test_helm_3_and_4_render_the_same(self, name):
        both = helms()
        if len(both) < 2:
            self.skipTest("one helm only: hack/chart/tools helm helm3")
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
    def test_no_two_objects_have_one_name(self, name):
        names = [(document["kind"], document["metadata"].get("namespace"), document["metadata"]["name"]) for document in manifests(name)]
        self.assertEqual(len(names), len(set(names)), names)

    @with_each_values
    def test_selectors_find_pods_and_only_those_of_their_component(self, name):
        labelled = [(document["metadata"]["name"], (document["metadata"] if document["kind"] == "Pod" else document["spec"]["template"]["metadata"])["labels"])
                    for document in manifests(name) if document["kind"] in ("Pod", "Deployment", "Job")]
        for document in manifests(name):
            selector = {"Service": lambda spec: spec["selector"], "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
                        "Deployment": lambda spec: spec["selector"]["matchLabels"],
                        "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"]}.get(document["kind"])
            # The tasks' Pods are made by the sandbox.
            if selector and not document["metadata"]["name"].endswith("-tasks"):
                wanted = selector(document["spec"]).items()
                self.assertEqual(len([pod for pod, labels in labelled if wanted <= labels.items()]), 1, document["metadata"]["name"])

    @with_each_values
    def test_every_service_account_that_a_pod_names_is_made_unless_it_is_given(self, name):
        made = {document["metadata"]["name"] for document in manifests(name) if document["kind"] == "ServiceAccount"} | {"given"}
        self.assertLessEqual({spec["serviceAccountName"] for _, spec in pods(name)}, made)

    @with_each_values
    def test_binding_and_role_belong_together(self, name):
        roles = {(document["kind"], document["metadata"].get("namespace"), document["metadata"]["name"]) for document in manifests(name)}
        accounts = {(document["metadata"]["name"], document["metadata"]["namespace"]) for document in manifests(name) if document["kind"] == "ServiceAccount"}
        for document in manifests(name):
            if document["kind"].endswith("Binding"):
                role = (document["roleRef"]["kind"], document["metadata"].get("namespace"), document["roleRef"]["name"])
                self.assertIn(role, roles)
                self.assertIn((document["subjects"][0]["name"], document["subjects"][0]["namespace"]), accounts)

    @with_each_values
    def test_no_wildcard_in_any_rule_and_no_secret_but_the_sandboxs_own_key(self, name):
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
    def test_pods_keep_to_the_restricted_profile(self, name):
        podsecurity = tool("podsecurity")
        stream = yaml.safe_dump_all(manifests(name))
        for version in ("v1.33", "v1.36", "latest"):
            ended = run(podsecurity, version, stdin=stream)
            self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)

    @with_each_values
    def test_containers_cannot_write_and_have_bounds(self, name):
        for pod, spec in pods(name):
            for container in spec["containers"]:
                self.assertTrue(container["securityContext"]["readOnlyRootFilesystem"], pod)
                self.assertIn("memory", container["resources"]["limits"], pod)
                self.assertEqual(set(container["resources"]["requests"]), {"cpu", "memory"}, pod)


class Definition(unittest.TestCase):
    """The CustomResourceDefinition."""

    def test_the_charts_copy_is_the_generated_file(self):
        self.assertEqual((CHART / f"files/{DEFINITION}.yaml").read_bytes(), (ROOT / f"crds/{DEFINITION}.yaml").read_bytes(),
                         f"cp crds/{DEFINITION}.yaml charts/kinesis-demo-operator/files/")

    def test_rendering_changes_nothing_of_it(self):
        generated = yaml.safe_load((ROOT / f"crds/{DEFINITION}.yaml").read_text(encoding="utf-8"))
        rendered = find("default", "CustomResourceDefinition")
        self.assertEqual(rendered["spec"], generated["spec"])
        self.assertEqual(rendered["metadata"]["name"], generated["metadata"]["name"])

    def test_it_outlives_the_release(self):
        self.assertEqual(find("default", "CustomResourceDefinition")["metadata"]["annotations"]["helm.sh/resource-policy"], "keep")

    def test_it_is_left_out_if_told_so(self):
        self.assertNotIn("CustomResourceDefinition", kinds("namespaced"))

    def test_the_example_objects_of_the_metadata_have_its_version(self):
        version = find("default", "CustomResourceDefinition")["spec"]["versions"][0]["name"]
        for example in yaml.safe_load(METADATA["annotations"]["artifacthub.io/crdsExamples"]):
            self.assertEqual(example["apiVersion"], f"kinesisdemo.io/{version}")


class Rights(unittest.TestCase):
    """What the operator, the drain, the sandbox and people may do."""

    def laptop(self, kind, suffix):
        documents = yaml.safe_load_all((ROOT / "deploy/operator-role.yaml").read_text(encoding="utf-8"))
        return next(document for document in documents if document["kind"] == kind and document["metadata"]["name"].endswith(suffix))

    def test_cluster_wide_they_are_those_of_the_laptop(self):
        chart = rules(find("default", "ClusterRole", "operator-demos"))
        self.assertEqual(chart, rules(self.laptop("ClusterRole", "operator")))

    def test_the_leases_are_at_most_those_of_the_laptop_and_of_one_name(self):
        group, lease, name = "coordination.k8s.io", "leases", "kinesis-demo-operator"
        chart = rules(find("default", "Role", "-leader"))
        self.assertEqual(chart, {(group, lease, "*", "create"), (group, lease, name, "get"), (group, lease, name, "update")})
        laptop = {verb for _, _, _, verb in rules(self.laptop("Role", "-leader"))}
        self.assertLessEqual({verb for _, _, _, verb in chart}, laptop)
        self.assertEqual(find("default", "Lease")["metadata"]["name"], name)

    def test_with_namespaces_the_same_in_each_and_nothing_for_the_cluster(self):
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

    def test_the_drain_may_do_less_than_the_operator(self):
        drain = rules(find("default", "ClusterRole", "-drain"))
        self.assertLess(drain, rules(find("default", "ClusterRole", "operator-demos")))
        self.assertEqual({resource for _, resource, _, _ in drain}, {"kinesisdemos"})

    def test_the_sandbox_may_run_pods_beside_it_and_nothing_else(self):
        role = find("sandbox", "Role", "-sandbox")
        self.assertEqual(role["metadata"]["namespace"], NAMESPACE)
        told = re.search(r"```yaml\n(rules:\n.*?)```", (ROOT / "docs/sandbox.md").read_text(encoding="utf-8"), re.DOTALL)[1]
        secret = find("sandbox", "Secret", "-sandbox")["metadata"]["name"]
        self.assertEqual(rules(role), rules(yaml.safe_load(told.replace("SECRET", secret))))

    def test_people_get_theirs_by_the_clusters_own_roles(self):
        for role in ("view", "edit", "admin"):
            found = find("default", "ClusterRole", f"-{role}")
            self.assertEqual(found["metadata"]["labels"][f"rbac.authorization.k8s.io/aggregate-to-{role}"], "true")
        self.assertEqual({verb for *_, verb in rules(find("default", "ClusterRole", "-view"))}, {"get", "list", "watch"})
        self.assertFalse({verb for *_, verb in rules(find("default", "ClusterRole", "-edit"))} & {"get", "list", "watch"})

    def test_tokens_are_mounted_only_where_the_api_is_spoken_to(self):
        tokens = {name: spec["automountServiceAccountToken"] for name, spec in pods("sandbox")}
        self.assertEqual(tokens, {f"{RELEASE}-kinesis-demo-operator{suffix}": suffix != "-test" for suffix in ("", "-sandbox", "-drain", "-test")})
        for name in ("sandbox", "default"):
            for document in manifests(name):
                if document["kind"] == "ServiceAccount":
                    self.assertFalse(document["automountServiceAccountToken"])


class Operator(unittest.TestCase):
    """The operator's Deployment."""

    def test_by_default_no_account_but_the_sandboxs(self):
        self.assertEqual([argument for argument in arguments("default") if argument.startswith("--account")], [f"--account={SANDBOX_ACCOUNT}"])
        self.assertNotIn("AWS_ENDPOINT_URL", environment("default"))
        self.assertNotIn("--local-timings", arguments("default"))

    def test_all_values_of_aws_reach_it(self):
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

    def test_every_argument_is_one_that_the_operator_has(self):
        source = (ROOT / "src/cli.rs").read_text(encoding="utf-8")
        for name in ("default", "aws", "namespaced", "sandbox"):
            for argument in arguments(name)[1:]:
                flag = argument.split("=")[0].removeprefix("--")
                field = flag.replace("-", "_")
                self.assertTrue(f'long = "{flag}"' in source or re.search(rf"pub {field}s?:", source), argument)

    def test_two_replicas_that_are_spread_and_one_at_a_time_evicted(self):
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

    def test_where_and_how_it_runs_is_the_users(self):
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

    def test_the_role_for_service_accounts_is_an_annotation(self):
        account = find("aws", "ServiceAccount", "operator")
        self.assertEqual(account["metadata"]["annotations"], {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/kinesis-demo-operator"})

    def test_what_can_be_left_out_is(self):
        self.assertEqual(kinds("least"), {"Deployment", "Service", "Lease", "Pod"})


class Sandbox(unittest.TestCase):
    """The local AWS."""

    def test_the_operator_speaks_to_it_and_to_nothing_else(self):
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

    def test_its_key_is_in_one_secret_and_in_no_manifest(self):
        secret = find("sandbox", "Secret", "-sandbox")
        self.assertEqual(secret["metadata"]["namespace"], NAMESPACE)
        self.assertFalse({"data", "stringData"} & secret.keys(), "the sandbox writes the key")
        name = secret["metadata"]["name"]
        self.assertIn(f"--task-secret={name}", arguments("sandbox", "-sandbox"))
        variables = find("sandbox", "Deployment", "operator")["spec"]["template"]["spec"]["containers"][0]["env"]
        held = {variable["name"]: variable.get("valueFrom", {}).get("secretKeyRef") for variable in variables}
        for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            self.assertEqual(held[variable], {"name": name, "key": variable})
        self.assertFalse([document for document in manifests("aws") if document["kind"] == "Secret"])

    def test_it_is_served_under_the_names_of_its_service_and_those_that_were_named(self):
        service = find("everything", "Service", "-sandbox")["metadata"]["name"]
        # The fourth name, in which the tasks' URL names it, the sandbox knows from there.
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

    def test_there_is_one_and_never_two(self):
        spec = find("sandbox", "Deployment", "-sandbox")["spec"]
        self.assertEqual((spec["replicas"], spec["strategy"]["type"]), (1, "Recreate"))

    def test_every_argument_is_one_that_the_sandbox_has(self):
        source = (ROOT / "sandbox/src/args.rs").read_text(encoding="utf-8")
        for argument in arguments("sandbox", "-sandbox")[1:]:
            flag = argument.split("=")[0].removeprefix("--")
            self.assertTrue(f'long = "{flag}"' in source or f"pub {flag.replace('-', '_')}:" in source, argument)

    def test_tasks_are_told_from_others_by_the_label_that_the_policies_select(self):
        source = (ROOT / "sandbox/src/services/ecs/pods/manifest.rs").read_text(encoding="utf-8")
        selected = find("everything", "NetworkPolicy", "-tasks")["spec"]["podSelector"]["matchLabels"]
        self.assertEqual(list(selected.values()), [RELEASE])
        self.assertIn(f'SANDBOX_LABEL: &str = "{list(selected)[0]}"', source)
        self.assertIn(f"--task-instance={RELEASE}", arguments("everything", "-sandbox"))

    def test_it_is_not_there_unless_asked_for(self):
        self.assertFalse([document for document in manifests("default") if "sandbox" in document["metadata"]["name"]])


class Uninstall(unittest.TestCase):
    """The drain."""

    def test_it_runs_before_the_deletion_and_only_its_job_is_a_hook(self):
        hooks = {(document["kind"], document["metadata"]["annotations"]["helm.sh/hook"]) for document in manifests("default")
                 if "helm.sh/hook" in document["metadata"].get("annotations", {})}
        self.assertEqual(hooks, {("Job", "pre-delete"), ("Pod", "test")})
        policy = find("default", "Job")["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
        self.assertEqual(policy, "before-hook-creation,hook-succeeded")

    def test_it_is_given_its_time_and_a_little_more(self):
        job = find("default", "Job")["spec"]
        self.assertEqual(job["template"]["spec"]["containers"][0]["args"], ["drain", "--timeout=4m"])
        self.assertEqual(job["activeDeadlineSeconds"], 270)

    def test_an_answer_is_not_asked_for_twice(self):
        rules_of_failure = find("default", "Job")["spec"]["podFailurePolicy"]["rules"]
        self.assertEqual([rule["action"] for rule in rules_of_failure], ["Ignore", "FailJob"])


class Network(unittest.TestCase):
    """The NetworkPolicies."""

    def ports(self, name, suffix):
        policy = find(name, "NetworkPolicy", suffix)["spec"]
        self.assertEqual(policy["policyTypes"], ["Ingress", "Egress"])
        return {port["port"] for rule in policy.get("ingress", []) for port in rule["ports"]}, {port["port"] for rule in policy["egress"] for port in rule["ports"]}

    def test_only_what_is_needed_is_open(self):
        self.assertEqual(self.ports("network-policy", "operator"), ({"metrics"}, {53, 443, 6443, 80}))
        self.assertEqual(self.ports("network-policy", "-drain"), (set(), {53, 443, 6443}))
        self.assertEqual(self.ports("network-policy", "-test"), (set(), {53, "metrics"}))
        self.assertEqual(self.ports("everything", "-sandbox"), ({"aws"}, {53, 443, 6443}))
        self.assertEqual(self.ports("everything", "-tasks"), (set(), {53, "aws"}))
        self.assertEqual(self.ports("everything", "demo"), ({"metrics"}, {53, 443, 6443, "aws"}))

    def test_metrics_are_read_by_whom_the_user_names_and_by_the_test(self):
        peers = find("network-policy", "NetworkPolicy", "operator")["spec"]["ingress"][0]["from"]
        self.assertEqual(peers[1:], [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}])
        self.assertEqual(peers[0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"], "test")


if __name__ == "__main__":
    unittest.main()

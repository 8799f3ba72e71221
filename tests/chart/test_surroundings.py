"""The chart in its users' environments: on OpenShift, with a company's certificate authority, in a parent
chart, under any release name.

In: helm's output. Writes parent charts into temporary folders. Uses no cluster.
"""

import base64
import copy
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree

import yaml

from chart import CHART, KUBERNETES, METADATA, ROOT, helms, manifests, run, template, tool

VALUES = ROOT / "tests/chart/values"
# The restricted-v2 SCC, as OpenShift 4.11 and later have it for every authenticated user
# (https://docs.openshift.com/container-platform/4.16/authentication/managing-security-context-constraints.html).
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
# A range as in a project's annotation openshift.io/sa.scc.uid-range.
RANGE = range(1_000_640_000, 1_000_650_000)


def pods(documents):
    """The spec of every Pod, with the name of the object that creates it."""
    for document in documents:
        spec = document.get("spec", {})
        if document["kind"] == "Pod":
            yield document["metadata"]["name"], spec
        elif document["kind"] in ("Deployment", "Job"):
            yield document["metadata"]["name"], spec["template"]["spec"]


def refusals(spec):
    """The fields of a Pod that restricted-v2 would reject, as paths."""
    wrong = []
    security = spec.get("securityContext", {})
    wrong += [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    if security.get("fsGroup", RANGE.start) not in RANGE:
        wrong.append("securityContext.fsGroup")
    if "seLinuxOptions" in security:
        wrong.append("securityContext.seLinuxOptions")
    for volume in spec.get("volumes", []):
        wrong += [f"volumes.{kind}" for kind in set(volume) - {"name"} - VOLUMES]
    for container in spec["containers"] + spec.get("initContainers", []):
        own = {**security, **container.get("securityContext", {})}
        if own.get("runAsUser", RANGE.start) not in RANGE:
            wrong.append("runAsUser")
        if own.get("allowPrivilegeEscalation") is not False:
            wrong.append("allowPrivilegeEscalation")
        if own.get("privileged"):
            wrong.append("privileged")
        if own.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            wrong.append("seccompProfile")
        capabilities = own.get("capabilities", {})
        if capabilities.get("drop") != ["ALL"] or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
            wrong.append("capabilities")
        wrong += ["hostPort" for port in container.get("ports", []) if "hostPort" in port]
    return wrong


def rendered(*arguments, values="sandbox"):
    """The manifests that helm renders with a values file and more arguments."""
    ended = template(VALUES / f"{values}.yaml", *arguments)
    if ended.returncode != 0:
        raise AssertionError(ended.stderr)
    return [document for document in yaml.safe_load_all(ended.stdout) if document]


class OpenShift(unittest.TestCase):
    """The chart sets no user and no group, because OpenShift assigns them."""

    def test_restricted_v2_admits_every_pod(self):
        found = dict(pods(manifests("openshift")))
        self.assertEqual(len(found), 4, found.keys())
        for name, spec in found.items():
            self.assertEqual(refusals(spec), [], name)
            self.assertIs(spec["securityContext"]["runAsNonRoot"], True)
            self.assertNotIn("65532", yaml.safe_dump(spec))

    def test_the_checks_of_this_test_detect_violations(self):
        for _, spec in pods(manifests("sandbox")):
            self.assertEqual(refusals(spec), ["securityContext.fsGroup", "runAsUser"])
        good = dict(pods(manifests("openshift")))
        for change, word in [
            (lambda spec: spec.update(hostNetwork=True), "hostNetwork"),
            (lambda spec: spec.update(volumes=[{"name": "a", "hostPath": {"path": "/"}}]), "volumes.hostPath"),
            (lambda spec: spec["containers"][0]["securityContext"].update(runAsUser=0), "runAsUser"),
            (lambda spec: spec["containers"][0]["securityContext"].pop("capabilities"), "capabilities"),
            (lambda spec: spec["securityContext"].pop("seccompProfile"), "seccompProfile"),
            (lambda spec: spec["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"), "allowPrivilegeEscalation"),
        ]:
            spec = copy.deepcopy(next(iter(good.values())))
            change(spec)
            self.assertEqual(refusals(spec), [word])

    def test_openshift_is_detected_by_api_and_overridden_by_a_value(self):
        has_user = lambda documents: {"runAsUser" in spec["securityContext"] for _, spec in pods(documents)}
        openshift = ("--api-versions", "security.openshift.io/v1")
        self.assertEqual(has_user(rendered()), {True})
        self.assertEqual(has_user(rendered(*openshift)), {False})
        self.assertEqual(has_user(rendered(*openshift, "--set", "openshift=disabled")), {True})
        self.assertEqual(has_user(rendered("--set", "openshift=enabled")), {False})

    def test_the_sandbox_lets_openshift_assign_the_task_user(self):
        # Task definitions set the user of the image, and the sandbox creates the Pods of tasks, not
        # the chart.
        flag = "--task-user-from-cluster"
        def has_flag(documents):
            return [flag in spec["containers"][0]["args"] for name, spec in pods(documents) if name.endswith("-sandbox")]
        openshift = ("--api-versions", "security.openshift.io/v1")
        self.assertEqual(has_flag(manifests("openshift")), [True])
        self.assertEqual(has_flag(rendered()), [False])
        self.assertEqual(has_flag(rendered(*openshift)), [True])
        self.assertEqual(has_flag(rendered(*openshift, "--set", "openshift=disabled")), [False])
        self.assertEqual(has_flag(rendered("--set", "openshift=enabled")), [True])
        self.assertIn(flag.removeprefix("--").replace("-", "_"), (ROOT / "sandbox/src/args.rs").read_text(encoding="utf-8"))

    def test_the_restricted_profile_admits_these_pods_too(self):
        for values in ("openshift", "custom-ca"):
            ended = run(tool("podsecurity"), "v1.36", stdin=template(VALUES / f"{values}.yaml").stdout)
            self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)


class CustomAuthority(unittest.TestCase):
    """A company's own certificates and the TLS settings for them, in every Pod."""

    def test_every_container_has_the_certificates(self):
        found = dict(pods(manifests("custom-ca")))
        self.assertEqual({name.rsplit("-", 1)[1] for name in found}, {"operator", "drain", "sandbox", "test"})
        for name, spec in found.items():
            self.assertIn({"name": "authorities", "configMap": {"name": "company-ca"}}, spec["volumes"], name)
            for container in spec["containers"]:
                self.assertIn({"name": "authorities", "mountPath": "/etc/company", "readOnly": True}, container["volumeMounts"], name)
                self.assertIn({"name": "SSL_CERT_FILE", "value": "/etc/company/ca-bundle.crt"}, container["env"], name)
                # Only the operator gets the proxy: the others would call the cluster's Services
                # through it.
                self.assertEqual("HTTPS_PROXY" in [variable["name"] for variable in container["env"]], container["name"] == "operator", name)
                names = [variable["name"] for variable in container["env"]]
                self.assertEqual(len(names), len(set(names)), names)

    def test_without_certificates_no_volume_is_added(self):
        for name, spec in pods(manifests("sandbox")):
            self.assertNotIn("volumes", spec, name)
            self.assertFalse([container for container in spec["containers"] if "volumeMounts" in container], name)

    def test_our_tls_library_reads_the_variable(self):
        lock = (ROOT / "Cargo.lock").read_text(encoding="utf-8")
        # With SSL_CERT_FILE or SSL_CERT_DIR set, the library reads nothing else.
        self.assertIn('name = "rustls-native-certs"', lock)
        self.assertNotIn('name = "webpki-roots"', lock, "built-in certificate authorities would ignore a company's own")


class Dependency(unittest.TestCase):
    """The chart as a dependency of a parent chart with the usual template names."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.parent = pathlib.Path(folder.name) / "parent"
        (self.parent / "templates").mkdir(parents=True)
        shutil.copytree(CHART, self.parent / "charts" / METADATA["name"])
        # Template names as `helm create` generates them. Ours must not collide with them.
        (self.parent / "templates/_helpers.tpl").write_text(
            "".join(f'{{{{- define "{prefix}{name}" -}}}}the-parents{{{{- end -}}}}\n' for prefix in ("", "parent.") for name in
                    ("name", "fullname", "labels", "selectorLabels", "serviceAccountName", "image", "validate")), encoding="utf-8")
        (self.parent / "templates/own.yaml").write_text(
            'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ include "fullname" . }}}\n', encoding="utf-8")
        self.describe({})
        self.values({})

    def describe(self, more):
        dependency = {"name": METADATA["name"], "version": METADATA["version"], "condition": f"{METADATA['name']}.enabled", **more}
        (self.parent / "Chart.yaml").write_text(yaml.safe_dump(
            {"apiVersion": "v2", "name": "parent", "version": "1.0.0", "dependencies": [dependency]}), encoding="utf-8")

    def values(self, ours, key=METADATA["name"]):
        (self.parent / "values.yaml").write_text(yaml.safe_dump({"global": {"team": "streaming"}, key: ours}), encoding="utf-8")

    def rendered(self, helm):
        ended = run(helm, "template", "shop", self.parent, "--namespace", "shop", "--kube-version", KUBERNETES)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        return [document for document in yaml.safe_load_all(ended.stdout) if document]

    def test_the_condition_enables_and_disables_the_chart(self):
        for helm in helms():
            with self.subTest(helm=helm):
                self.values({"enabled": False})
                self.assertEqual([document["metadata"]["name"] for document in self.rendered(helm)], ["the-parents"])
                self.values({"enabled": True, "sandbox": {"enabled": True}})
                names = {document["metadata"]["name"] for document in self.rendered(helm) if document["kind"] == "Deployment"}
                self.assertEqual(names, {"shop-kinesis-demo-operator", "shop-kinesis-demo-operator-sandbox"})

    def test_a_dependency_renders_the_same_as_the_chart_alone(self):
        for helm in helms():
            with self.subTest(helm=helm):
                ended = run(helm, "template", "shop", CHART, "--namespace", "shop", "--kube-version", KUBERNETES)
                key = lambda document: (document["kind"], document["metadata"]["name"])
                alone = sorted((document for document in yaml.safe_load_all(ended.stdout) if document), key=key)
                within = sorted((document for document in self.rendered(helm) if document["metadata"]["name"] != "the-parents"), key=key)
                self.assertEqual(within, alone)

    def test_an_alias_becomes_part_of_the_names(self):
        self.describe({"alias": "viral", "condition": "viral.enabled"})
        self.values({"enabled": True}, key="viral")
        for helm in helms():
            with self.subTest(helm=helm):
                names = [document["metadata"]["name"] for document in self.rendered(helm) if document["kind"] == "Deployment"]
                self.assertEqual(names, ["shop-viral"])

    def test_every_template_name_starts_with_the_charts_name(self):
        for file in sorted((CHART / "templates").rglob("*")):
            if file.is_file():
                for name in re.findall(r'define "([^"]*)"', file.read_text(encoding="utf-8")):
                    self.assertTrue(name.startswith("kinesis-demo-operator."), f"{file.name}: {name}")


class Names(unittest.TestCase):
    """Names repeat no words."""

    def named(self, release, namespace, *arguments):
        ended = run(helms()[0], "template", release, CHART, "--namespace", namespace, "--kube-version", KUBERNETES, "--set", "sandbox.enabled=true", *arguments)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        return [document for document in yaml.safe_load_all(ended.stdout) if document]

    def test_names_do_not_repeat_words_of_the_release(self):
        for release, namespace, expected in [
            ("kinesis-demo-operator", "demos", "kinesis-demo-operator"),
            ("kinesis-demo-operator", "kinesis-demo-operator", "kinesis-demo-operator"),
            ("kinesis-demo", "kinesis-demo-system", "kinesis-demo-operator"),
            ("kinesis", "demos", "kinesis-demo-operator"),
            ("my-kinesis-demo", "demos", "my-kinesis-demo-operator"),
            ("my-kinesis-demo-operator-2", "demos", "my-kinesis-demo-operator-2"),
            ("demo", "demo", "demo-kinesis-demo-operator"),
            ("akinesis", "demos", "akinesis-kinesis-demo-operator"),
        ]:
            with self.subTest(release=release, namespace=namespace):
                documents = self.named(release, namespace)
                names = [document["metadata"]["name"] for document in documents]
                self.assertIn(expected, names)
                for name in names:
                    self.assertLessEqual(len(re.findall("kinesis-demo-operator", name)), 1, name)
                    self.assertLessEqual(len(name), 253)

    def test_releases_of_one_name_in_two_namespaces_share_no_object(self):
        def of_the_cluster(namespace):
            return {(document["kind"], document["metadata"]["name"]) for document in self.named("kinesis-demo-operator", namespace)
                    if document["kind"] in ("ClusterRole", "ClusterRoleBinding")}
        one, other, own = (of_the_cluster(namespace) for namespace in ("one", "other", "kinesis-demo-operator"))
        self.assertTrue(one and not one & other and not one & own)

    def test_without_a_cluster_an_upgrade_renders_like_an_install(self):
        for helm in helms():
            with self.subTest(helm=helm):
                command = (helm, "template", "kinesis-demo", CHART, "--namespace", "demos", "--kube-version", KUBERNETES)
                install, upgrade = (run(*command, *more) for more in ((), ("--is-upgrade",)))
                self.assertEqual((install.returncode, upgrade.returncode), (0, 0), install.stderr + upgrade.stderr)
                self.assertEqual(upgrade.stdout, install.stdout)
                self.assertIn("name: kinesis-demo-operator\n", install.stdout)

    def test_name_override_follows_the_same_rules(self):
        names = [document["metadata"]["name"] for document in self.named("viral", "demos", "--set", "nameOverride=viral-event")]
        self.assertIn("viral-event", names)


class Described(unittest.TestCase):
    """The metadata for chart catalogues, and the helm commands in the documentation."""

    def test_it_has_an_icon_a_home_and_sources(self):
        head, data = METADATA["icon"].split(",", 1)
        self.assertEqual(head, "data:image/svg+xml;base64")
        self.assertTrue(xml.etree.ElementTree.fromstring(base64.b64decode(data)).tag.endswith("svg"))
        for address in [METADATA["home"], *METADATA["sources"]]:
            self.assertRegex(address, r"^https://[a-z.]+/")
        for helm in helms():
            self.assertNotIn("icon", run(helm, "lint", CHART, "--kube-version", KUBERNETES).stdout)

    def test_every_documented_upgrade_resets_then_reuses_values(self):
        listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "README.md", "docs", "charts", "foundation", "hack", "cli/src", "local-cluster/src"],
                                cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
        found = 0
        for name in listed:
            path = ROOT / name
            if not path.is_file() or path.suffix not in (".md", ".txt", ".gotmpl", ".rs", ".sh", ""):
                continue
            text = re.sub(r"\\\n\s*", "", path.read_text(encoding="utf-8"))
            self.assertNotRegex(text, r"(?<!reset-then)-(-)?reuse-values", name)
            for command in re.findall(r"^.*helm upgrade [^-\n].*--set.*$", text, re.MULTILINE):
                found += 1
                self.assertIn("--reset-then-reuse-values", command, name)
        self.assertGreaterEqual(found, 6)


if __name__ == "__main__":
    unittest.main()

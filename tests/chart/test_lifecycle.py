"""The life cycle of the chart on a real API server, with all available helms: install, upgrade, uninstall,
and reinstall under another name.

There is no node, so no Pod ever runs. Where Helm waits for Pods, the test writes their result to the API
server.
"""

import json
import pathlib
import shutil
import tempfile
import threading
import time
import unittest

import yaml

from api_server import ApiServer
from chart import CHART, ROOT, helms

DEFINITION = "kinesisdemos.kinesisdemo.io"
DEFINITIONS = (DEFINITION, "kinesisdemoruns.kinesisdemo.io")
OWNER = "meta.helm.sh/release-name"
OBJECT = """
apiVersion: kinesisdemo.io/v1alpha1
kind: KinesisDemo
metadata: {name: viral-event}
spec: {}
"""


class Lifecycle(unittest.TestCase):
    """Each test has namespaces of its own and starts without the definition."""

    @classmethod
    def setUpClass(cls):
        cls.helms = helms()
        cls.server = ApiServer()
        cls.addClassCleanup(cls.server.stop)
        cls.number = 0

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.helm_path = self.helms[0]
        self.server.kubectl("delete", "crd", *DEFINITIONS, "--ignore-not-found")

    def namespace(self):
        type(self).number += 1
        name = f"chart-{self.number}"
        self.server.kubectl("create", "namespace", name)
        for mode in ("enforce", "warn"):
            self.server.kubectl("label", "namespace", name, f"pod-security.kubernetes.io/{mode}=restricted")
        return name

    def helm(self, *words, fails=False):
        ended = self.server.command(self.helm_path, *words)
        output = ended.stdout + ended.stderr
        self.assertEqual(ended.returncode != 0, fails, f"helm {' '.join(map(str, words))}: {output}")
        self.assertNotIn("would violate PodSecurity", output)
        return output

    def definition(self):
        return self.server.get("crd", DEFINITION)

    def owner(self):
        return self.definition()["metadata"].get("annotations", {}).get(OWNER)

    def columns(self):
        return {column["name"] for column in self.definition()["spec"]["versions"][0]["additionalPrinterColumns"]}

    def chart_with_another_column(self, name):
        """A copy of the chart whose definition has one more column."""
        chart = self.folder / name
        shutil.copytree(CHART, chart)
        file = chart / f"files/{DEFINITION}.yaml"
        changed = yaml.safe_load(file.read_text(encoding="utf-8"))
        changed["spec"]["versions"][0]["additionalPrinterColumns"].append({"name": name, "type": "string", "jsonPath": ".metadata.name"})
        file.write_text(yaml.safe_dump(changed), encoding="utf-8")
        return chart

    def left(self, release):
        """The objects of a release, without Helm's own record."""
        kinds = ("deployments,services,serviceaccounts,roles,rolebindings,leases,poddisruptionbudgets,networkpolicies,configmaps,jobs,pods,"
                 "clusterroles,clusterrolebindings")
        found = self.server.kubectl("get", kinds, "--all-namespaces", "--selector", f"app.kubernetes.io/instance={release}", "--output", "name")
        return found.split()

    def test_every_values_file_installs_in_a_restricted_namespace(self):
        for helm in self.helms:
            self.helm_path = helm
            for values in ("default", "sandbox", "aws", "network-policy", "placement", "least"):
                with self.subTest(helm=helm, values=values):
                    namespace = self.namespace()
                    release = f"r{self.number}"
                    notes = self.helm("install", release, CHART, "--namespace", namespace, "--values", ROOT / f"tests/chart/values/{values}.yaml")
                    self.assertIn(f"helm test {release} --namespace {namespace}", notes)
                    self.helm("uninstall", release, "--namespace", namespace, "--no-hooks")
                    self.assertEqual(self.left(release), [])

    def test_an_upgrade_updates_the_definition_and_keeps_objects(self):
        for helm in self.helms:
            with self.subTest(helm=helm):
                self.helm_path = helm
                self.server.kubectl("delete", "crd", *DEFINITIONS, "--ignore-not-found")
                namespace = self.namespace()
                self.helm("install", "first", CHART, "--namespace", namespace, "--set", "sandbox.enabled=true")
                self.server.wait_until_established(DEFINITION)
                self.server.kubectl("apply", "--namespace", namespace, "-f", "-", stdin=OBJECT)
                before = self.server.get("kd", "viral-event", "--namespace", namespace)
                # The fields of the Lease that the operator writes.
                lease_fields = {"spec": {"holderIdentity": "replica", "leaseDurationSeconds": 15, "leaseTransitions": 7}}
                self.server.kubectl("patch", "lease", "kinesis-demo-operator", "--namespace", namespace, "--type=merge", "--patch", json.dumps(lease_fields))
                # An operator may drop metadata that it did not write. The upgrade must not delete
                # the Lease when Helm's labels are missing.
                lease = self.server.get("lease", "kinesis-demo-operator", "--namespace", namespace)
                for words in ("labels", "annotations", "managedFields"):
                    lease["metadata"].pop(words, None)
                self.server.kubectl("replace", "-f", "-", stdin=json.dumps(lease))
                self.helm("upgrade", "first", self.chart_with_another_column(f"More{self.number}"), "--namespace", namespace, "--reuse-values", "--set", "podLabels.a=b")
                self.assertIn(f"More{self.number}", self.columns())
                lease = self.server.get("lease", "kinesis-demo-operator", "--namespace", namespace)
                self.assertEqual(lease["spec"], lease_fields["spec"])
                self.assertEqual(lease["metadata"]["annotations"][OWNER], "first")
                self.assertEqual(self.server.get("kd", "viral-event", "--namespace", namespace)["metadata"]["uid"], before["metadata"]["uid"])
                self.helm("uninstall", "first", "--namespace", namespace, "--no-hooks")
                self.assertEqual(self.left("first"), [])
                self.assertEqual(self.server.get("kd", "viral-event", "--namespace", namespace)["metadata"]["uid"], before["metadata"]["uid"])

    def deployments(self, namespace):
        """The uids of the Deployments, by name."""
        found = self.server.get("deployments", "--namespace", namespace)["items"]
        return {one["metadata"]["name"]: one["metadata"]["uid"] for one in found}

    def test_an_upgrade_renames_nothing(self):
        for helm in self.helms:
            with self.subTest(helm=helm):
                self.helm_path = helm
                # The names of an earlier chart, created with `fullnameOverride`. The upgrade does
                # not set that value.
                namespace = self.namespace()
                doubled = "kinesis-demo-kinesis-demo-operator"
                self.helm("install", "kinesis-demo", CHART, "--namespace", namespace, "--set", "sandbox.enabled=true", "--set", f"fullnameOverride={doubled}")
                before = self.deployments(namespace)
                self.assertEqual(set(before), {doubled, f"{doubled}-sandbox"})
                objects = set(self.left("kinesis-demo"))
                for replicas in (3, 4):
                    self.helm("upgrade", "kinesis-demo", CHART, "--namespace", namespace, "--reset-values", "--set", "sandbox.enabled=true", "--set", f"replicas={replicas}")
                    self.assertEqual(self.deployments(namespace), before)
                    self.assertEqual(set(self.left("kinesis-demo")), objects)
                self.assertEqual(self.server.get("deployment", doubled, "--namespace", namespace)["spec"]["replicas"], 4)
                # Names change only if the user sets a value.
                self.helm("upgrade", "kinesis-demo", CHART, "--namespace", namespace, "--set", "fullnameOverride=mine")
                self.assertEqual(set(self.deployments(namespace)), {"mine"})
                self.helm("uninstall", "kinesis-demo", "--namespace", namespace, "--no-hooks")
                self.assertEqual(self.left("kinesis-demo"), [])

    def test_a_foreign_deployment_does_not_affect_the_names(self):
        namespace = self.namespace()
        other = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "kinesis-demo-kinesis-demo-operator"}, "spec": {
            "replicas": 0, "selector": {"matchLabels": {"app": "other"}},
            "template": {"metadata": {"labels": {"app": "other"}}, "spec": {"containers": [{"name": "other", "image": "other"}]}}}}
        self.server.kubectl("create", "--namespace", namespace, "-f", "-", stdin=json.dumps(other))
        for verb in ("install", "upgrade", "upgrade"):
            self.helm(verb, "kinesis-demo", CHART, "--namespace", namespace)
            self.assertEqual(set(self.deployments(namespace)), {"kinesis-demo-operator", "kinesis-demo-kinesis-demo-operator"})
        self.helm("uninstall", "kinesis-demo", "--namespace", namespace, "--no-hooks")

    def test_another_release_adopts_the_definition_only_by_flag(self):
        for helm in self.helms:
            with self.subTest(helm=helm):
                self.helm_path = helm
                self.server.kubectl("delete", "crd", *DEFINITIONS, "--ignore-not-found")
                old, new = self.namespace(), self.namespace()
                self.helm("install", "old", CHART, "--namespace", old)
                self.helm("uninstall", "old", "--namespace", old, "--no-hooks")
                self.assertEqual(self.owner(), "old")

                notes = self.helm("install", "new", CHART, "--namespace", new)
                self.assertIn(f"belongs to release old in namespace {old}", notes)
                self.assertIn("(it is the one of this chart)", notes)
                changed = self.chart_with_another_column(f"Other{self.number}")
                notes = self.helm("upgrade", "new", changed, "--namespace", new)
                self.assertIn("it is NOT the one of this chart", notes)
                self.assertEqual(self.owner(), "old")
                self.assertNotIn(f"Other{self.number}", self.columns())

                notes = self.helm("upgrade", "new", changed, "--namespace", new, "--set", "crds.adopt=true", "--take-ownership")
                self.assertNotIn("belongs to", notes)
                self.assertEqual(self.owner(), "new")
                self.assertIn(f"Other{self.number}", self.columns())
                # From here on upgrades work without the flag.
                notes = self.helm("upgrade", "new", self.chart_with_another_column(f"Third{self.number}"), "--namespace", new)
                self.assertNotIn("belongs to", notes)
                self.assertIn(f"Third{self.number}", self.columns())
                self.helm("uninstall", "new", "--namespace", new, "--no-hooks")
                self.assertIsNotNone(self.definition())

    def test_helm_refuses_to_adopt_without_take_ownership(self):
        self.server.kubectl("apply", "--server-side", "-f", ROOT / "crds")
        namespace = self.namespace()
        output = self.helm("install", "mine", CHART, "--namespace", namespace, "--set", "crds.adopt=true", fails=True)
        self.assertIn("invalid ownership metadata", output)

    def test_a_definition_applied_by_kubectl_is_left_unchanged(self):
        self.server.kubectl("apply", "--server-side", "-f", ROOT / "crds")
        namespace = self.namespace()
        notes = self.helm("install", "mine", CHART, "--namespace", namespace)
        self.assertIn("belongs to no Helm release", notes)
        self.assertIsNone(self.owner())
        self.helm("uninstall", "mine", "--namespace", namespace, "--no-hooks")

    def test_helm_4_upgrades_and_removes_a_release_of_helm_3(self):
        if len(self.helms) < 2:
            self.skipTest("only one helm: run hack/chart/tools helm helm3")
        namespace = self.namespace()
        self.helm_path = self.helms[1]
        self.helm("install", "moved", CHART, "--namespace", namespace)
        self.helm_path = self.helms[0]
        self.helm("upgrade", "moved", self.chart_with_another_column("Moved"), "--namespace", namespace, "--set", "replicas=3")
        self.assertIn("Moved", self.columns())
        self.assertEqual(self.server.get("deployment", "moved-kinesis-demo-operator", "--namespace", namespace)["spec"]["replicas"], 3)
        self.helm("uninstall", "moved", "--namespace", namespace, "--no-hooks")
        self.assertEqual(self.left("moved"), [])

    def test_a_lease_created_by_someone_else_is_left_alone(self):
        namespace = self.namespace()
        self.server.kubectl("create", "--namespace", namespace, "-f", "-", stdin=json.dumps(
            {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "kinesis-demo-operator"}}))
        self.helm("install", "second", CHART, "--namespace", namespace)
        self.helm("uninstall", "second", "--namespace", namespace, "--no-hooks")
        self.assertIsNotNone(self.server.get("lease", "kinesis-demo-operator", "--namespace", namespace))

    def finish_drain_job(self, namespace, name, complete):
        """Writes the result of the Job, as the Job controller would, as soon as Helm has created it."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        kinds = ("SuccessCriteriaMet", "Complete") if complete else ("FailureTarget", "Failed")
        status = {"startTime": now, "conditions": [
            {"type": kind, "status": "True", "reason": "Test", "message": "set by the test", "lastTransitionTime": now, "lastProbeTime": now} for kind in kinds]}
        if complete:
            status.update(completionTime=now, succeeded=1)
        def write_status():
            until = time.monotonic() + 60
            while time.monotonic() < until:
                if self.server.get("job", name, "--namespace", namespace):
                    self.server.kubectl("patch", "job", name, "--namespace", namespace, "--subresource=status", "--type=merge", "--patch", json.dumps({"status": status}))
                    return
                time.sleep(0.1)
        writer = threading.Thread(target=write_status)
        writer.start()
        self.addCleanup(writer.join)

    def test_an_uninstall_drains_first_and_fails_if_the_drain_fails(self):
        for helm in self.helms:
            with self.subTest(helm=helm):
                self.helm_path = helm
                namespace = self.namespace()
                release = f"drained-{self.number}"
                name = f"{release}-kinesis-demo-operator-drain"
                self.helm("install", release, CHART, "--namespace", namespace)
                self.finish_drain_job(namespace, name, complete=False)
                self.helm("uninstall", release, "--namespace", namespace, "--timeout", "60s", fails=True)
                # The operator still exists with its permissions, and so does the Job with its log.
                self.assertEqual(self.server.get("deployment", f"{release}-kinesis-demo-operator", "--namespace", namespace)["spec"]["replicas"], 2)
                self.assertIsNotNone(self.server.get("clusterrole", f"{release}-kinesis-demo-operator-{namespace}"))
                self.assertIsNotNone(self.server.get("job", name, "--namespace", namespace))
                # The next attempt creates a new Job.
                self.server.kubectl("delete", "job", name, "--namespace", namespace, "--cascade=background")
                self.finish_drain_job(namespace, name, complete=True)
                self.helm("uninstall", release, "--namespace", namespace, "--timeout", "60s")
                self.assertEqual(self.left(release), [])


if __name__ == "__main__":
    unittest.main()

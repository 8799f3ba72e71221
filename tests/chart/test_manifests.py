"""Checks the rendered manifests with kubeconform, kube-score and kube-linter. In: helm's output."""

import json
import pathlib
import re
import tempfile
import unittest

import yaml

from chart import METADATA, NAMESPACE, ROOT, VALUES, find, manifests, run, text, tool

# Custom kinds that the schemas of hack/chart/tools do not contain.
OTHERS = "ServiceMonitor,PrometheusRule"


def schemas():
    """The folder with one folder of schemas per version of Kubernetes."""
    return pathlib.Path(tool("schemas"))


def versions():
    """The versions of Kubernetes that have schemas, oldest first."""
    found = [re.fullmatch(r"v(\d+)\.(\d+)\.\d+-standalone-strict", folder.name) for folder in schemas().iterdir()]
    return sorted((int(match[1]), int(match[2]), match[0]) for match in found if match)


class Schemas(unittest.TestCase):
    """The Kubernetes schemas of every supported version."""

    def check(self, version, manifest):
        location = f"{schemas()}/{version}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
        return run(tool("kubeconform"), "-strict", "-verbose", "-skip", OTHERS, "-schema-location", location, "-", stdin=manifest)

    def test_every_supported_version_accepts_all_manifests(self):
        for _, _, version in versions():
            for path in VALUES:
                with self.subTest(version=version, values=path.name):
                    ended = self.check(version, text(path.stem))
                    self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)

    def test_the_schemas_start_at_the_oldest_supported_version(self):
        minors = [minor for _, minor, _ in versions()]
        oldest = int(re.search(r"1\.(\d+)", METADATA["kubeVersion"])[1])
        self.assertEqual(minors, list(range(oldest, oldest + len(minors))))
        self.assertGreaterEqual(len(minors), 4)

    def test_the_schemas_reject_an_unknown_field(self):
        for _, _, version in versions():
            wrong = text("default").replace("terminationGracePeriodSeconds", "terminationGraceSeconds")
            self.assertIn("terminationGraceSeconds", self.check(version, wrong).stdout)

    def custom(self, definition, documents):
        """Checks objects of a custom kind against its definition."""
        with tempfile.TemporaryDirectory() as folder:
            schema = closed(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
            # Fields of every object, which the definition need not declare.
            schema["properties"].update({"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}})
            (pathlib.Path(folder) / "schema.json").write_text(json.dumps(schema), encoding="utf-8")
            return run(tool("kubeconform"), "-strict", "-verbose", "-schema-location", f"{folder}/schema.json", "-", stdin=yaml.safe_dump_all(documents))

    def test_prometheus_operator_schemas_accept_our_objects(self):
        for kind in OTHERS.split(","):
            file = schemas() / f"prometheus-operator/monitoring.coreos.com_{kind.lower()}s.yaml"
            documents = [document for name in ("monitoring", "everything") for document in manifests(name) if document["kind"] == kind]
            self.assertEqual(len(documents), 2)
            ended = self.custom(yaml.safe_load(file.read_text(encoding="utf-8")), documents)
            self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)

    def test_the_example_objects_match_the_definition(self):
        definition = find("default", "CustomResourceDefinition", "demos.kinesisdemo.io")
        examples = yaml.safe_load(METADATA["annotations"]["artifacthub.io/crdsExamples"])
        ended = self.custom(definition, examples)
        self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)
        examples[1]["spec"]["fases"] = examples[1]["spec"].pop("phases")
        self.assertIn("fases", self.custom(definition, examples).stdout)


def closed(schema):
    """The schema, rejecting unknown fields, as an API server with strict validation does."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: {name: closed(field) for name, field in value.items()} if key == "properties" else closed(value) for key, value in schema.items()}
    if schema.get("type") == "object" and "properties" in schema and "x-kubernetes-preserve-unknown-fields" not in schema:
        result.setdefault("additionalProperties", False)
    return result


# Checks of kube-score that the chart deliberately does not satisfy.
DECLINED = (
    "container-image-pull-policy",  # Tags are versions, and a digest can be given; `image.pullPolicy` is the user's.
    "container-ephemeral-storage-request-and-limit",  # Only the log is written, which the kubelet bounds.
    "deployment-has-host-podantiaffinity",  # Topology spread does that, and works with a single node.
    "pod-probes-identical",  # The sandbox uses one page for both, with different timings.
)
# The first one is optional. The second one does not know Pods that the sandbox creates.
WITHOUT_POLICIES = ("pod-networkpolicy", "networkpolicy-targets-pod")


def given(path):
    """Prerequisites of a values file: the service account that it names if the chart creates none."""
    account = yaml.safe_load(path.read_text(encoding="utf-8")).get("serviceAccount", {})
    if account.get("create", True):
        return ""
    metadata = {"name": account["name"], "namespace": NAMESPACE}
    return yaml.safe_dump({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})


class Practice(unittest.TestCase):
    """The checks of two linters, except those declined with reasons here and in kube-linter.yaml."""

    def test_kube_score_finds_nothing_critical(self):
        score = tool("kube-score")
        for path in VALUES:
            closed_networks = "networkPolicy" in path.read_text(encoding="utf-8")
            declined = DECLINED + (WITHOUT_POLICIES[1:] if closed_networks else WITHOUT_POLICIES)
            if path.stem == "openshift":
                # OpenShift assigns each namespace its own range of user ids and rejects fixed ones.
                declined += ("container-security-context-user-group-id",)
            with self.subTest(values=path.name):
                ended = run(score, "score", "--kubernetes-version", "v1.36", "--output-format", "ci", "--ignore-container-cpu-limit",
                            "--enable-optional-test", "container-seccomp-profile", "--enable-optional-test", "container-ports-check",
                            *(word for name in declined for word in ("--ignore-test", name)), "-", stdin=text(path.stem))
                self.assertEqual(ended.returncode, 0, "\n".join(line for line in ended.stdout.splitlines() if line.startswith("[CRITICAL]")) + ended.stderr)
                self.assertIn("[OK]", ended.stdout)

    def test_kube_linter_finds_nothing(self):
        linter = tool("kube-linter")
        for path in VALUES:
            with self.subTest(values=path.name), tempfile.TemporaryDirectory() as folder:
                (pathlib.Path(folder) / "all.yaml").write_text(text(path.stem), encoding="utf-8")
                (pathlib.Path(folder) / "given.yaml").write_text(given(path), encoding="utf-8")
                ended = run(linter, "lint", "--config", ROOT / "tests/chart/kube-linter.yaml", folder)
                self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)


if __name__ == "__main__":
    unittest.main()

"""values.yaml, its schema, its documentation and the templates agree, and wrong values are rejected with a
clear message.
"""

import json
import os
import pathlib
import re
import tempfile
import unittest

import yaml

from chart import CHART, METADATA, ROOT, helms, run, template, tool

REFUSED = ROOT / "tests/chart/refused.yaml"


def leaves(values, path=()):
    """The paths of all values that are not objects or are empty objects."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, path + (key,))
        else:
            yield path + (key,)


def schema_of(path, schema):
    """The part of the schema for a value, or None if the schema accepts anything there."""
    node = schema
    for key in path:
        while "$ref" in node:
            node = schema["definitions"][node["$ref"].rsplit("/", 1)[1]]
        if key not in node.get("properties", {}):
            return node.get("additionalProperties") or None
        node = node["properties"][key]
    return node


# Values that take effect only if others are set.
BESIDE = {
    ("nameOverride",): {"fullnameOverride": ""},
    ("image", "tag"): {"image": {"digest": ""}},
    ("image", "repository"): {"image": {"digest": ""}},
    ("generator", "image", "tag"): {"generator": {"image": {"digest": ""}}},
    ("aws", "accounts"): {"sandbox": {"enabled": False}},
    ("serviceAccount", "create"): {"serviceAccount": {"name": "given"}},
    ("networkPolicy", "awsCidrs"): {"sandbox": {"enabled": False}},
    ("networkPolicy", "proxyTo"): {"sandbox": {"enabled": False}},
    ("networkPolicy", "proxyPorts"): {"sandbox": {"enabled": False}, "networkPolicy": {"proxyTo": [{"podSelector": {}}]}},
    ("extraVolumeMounts",): {"extraVolumes": [{"name": "changed", "emptyDir": {}}]},
}
# Below these are names that Kubernetes or the user chooses; a blank value takes one of the defaults out, as Helm has it.
OPEN = (("resources",), ("sandbox", "resources"), ("metrics", "grafanaDashboard", "labels"))
# These do something only where there is a cluster to look at: tests/chart/test_lifecycle.py.
WITH_A_CLUSTER = {("crds", "adopt")}


def branches(values, path=()):
    """The paths of all values, those that hold others too."""
    for key, value in values.items():
        yield path + (key,)
        if isinstance(value, dict):
            yield from branches(value, path + (key,))


def at(path, values):
    """The value at a path, or None."""
    for key in path:
        if not isinstance(values, dict) or key not in values:
            return None
        values = values[key]
    return values


def nested(path, value):
    """A nested object that sets one value."""
    for key in reversed(path):
        value = {key: value}
    return value


def merged(*all_values):
    """The values merged in order, as Helm does."""
    result = {}
    for values in all_values:
        for key, value in values.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result


def ended_with(values):
    """How helm ends that renders values."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values, file)
        file.flush()
        return template(file.name)


def rendered(values):
    """What helm renders of values."""
    ended = ended_with(values)
    if ended.returncode != 0:
        raise AssertionError(ended.stderr)
    return ended.stdout


class Agreement(unittest.TestCase):
    """values.yaml, schema, README and templates describe the same values."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.text = (CHART / "values.yaml").read_text(encoding="utf-8")
        cls.values = yaml.safe_load(cls.text)
        cls.schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
        cls.readme = (CHART / "README.md").read_text(encoding="utf-8")

    def documented(self):
        """The rows of the README's table: the path and description of each value."""
        rows = re.findall(r"^\| ([^ |]+) \| \w+ \| .*? \| (.*) \|$", self.readme, re.MULTILINE)
        return {path: meaning for path, meaning in rows if path != "Key"}

    def test_every_value_is_in_the_readme(self):
        rows = self.documented()
        for path in leaves(self.values):
            with self.subTest(value=".".join(path)):
                # An object may be documented as a whole.
                documented = [rows[".".join(path[:length])] for length in range(1, len(path) + 1) if ".".join(path[:length]) in rows]
                self.assertTrue(documented and all(meaning.strip() for meaning in documented))

    def test_the_readme_has_no_unknown_value(self):
        for row in self.documented():
            with self.subTest(value=row):
                node = self.values
                for key in row.split("."):
                    self.assertIn(key, node)
                    node = node[key]

    def test_every_value_is_in_the_schema(self):
        for path in leaves(self.values):
            with self.subTest(value=".".join(path)):
                self.assertIsNotNone(schema_of(path, self.schema))

    def test_the_schema_has_no_unknown_value_and_is_closed(self):
        def walk(node, values, path):
            for key, part in node.get("properties", {}).items():
                # Values of Helm itself: globals, and the condition of a parent chart.
                if path + (key,) in (("global",), ("enabled",)):
                    continue
                self.assertIn(key, values, ".".join(path + (key,)))
                if isinstance(values[key], dict) and "properties" in part and values[key]:
                    self.assertIs(part.get("additionalProperties"), False, ".".join(path + (key,)))
                    walk(part, values[key], path + (key,))
        self.assertIs(self.schema["additionalProperties"], False)
        walk(self.schema, self.values, ())

    def test_a_blank_value_is_refused_and_never_taken_for_nothing(self):
        # A blank value takes the default away before the schema is asked: what is not required would be zero, or an error of a template.
        for path in branches(self.values):
            with self.subTest(value=".".join(path)):
                ended = ended_with(nested(path, None))
                if any(path != above and path[:len(above)] == above for above in OPEN):
                    self.assertEqual(ended.returncode, 0, ended.stderr)
                    continue
                self.assertNotEqual(ended.returncode, 0, "it was not refused")
                self.assertIn(f"at '{''.join('/' + key for key in path[:-1])}': missing property '{path[-1]}'", ended.stderr)

    def test_no_value_is_accepted_and_does_nothing(self):
        base = yaml.safe_load((ROOT / "tests/chart/values/everything.yaml").read_text(encoding="utf-8"))
        changed = yaml.safe_load((ROOT / "tests/chart/changed.yaml").read_text(encoding="utf-8"))
        lacking = {path for path in leaves(self.values) if at(path, changed) is None}
        self.assertFalse(lacking, "missing in tests/chart/changed.yaml")
        for path in leaves(self.values):
            with self.subTest(value=".".join(path)):
                beside = BESIDE.get(path, {})
                after = rendered(merged(base, beside, nested(path, at(path, changed))))
                if path not in WITH_A_CLUSTER:
                    self.assertNotEqual(rendered(merged(base, beside)), after)

    def test_the_readme_equals_the_output_of_helm_docs(self):
        helm_docs = tool("helm-docs")
        ended = run(helm_docs, "--chart-search-root", CHART, "--dry-run", "--log-level", "error")
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertEqual(ended.stdout.strip(), self.readme.strip(), "helm-docs --chart-search-root charts/kinesis-demo-operator")

    def test_the_versions_equal_the_workspace_version(self):
        workspace = re.search(r'\[workspace\.package\]\nversion = "(.*)"', (ROOT / "Cargo.toml").read_text(encoding="utf-8"))[1]
        self.assertEqual((METADATA["version"], METADATA["appVersion"]), (workspace, workspace))
        for image in yaml.safe_load(METADATA["annotations"]["artifacthub.io/images"]):
            self.assertEqual(image["image"].rsplit(":", 1)[1], workspace)

    def test_the_oldest_kubernetes_matches_the_compiled_api_version(self):
        feature = re.search(r'k8s-openapi = .*"v1_(\d+)"', (ROOT / "Cargo.toml").read_text(encoding="utf-8"))[1]
        self.assertEqual(METADATA["kubeVersion"], f">=1.{feature}.0-0")

    def test_an_older_kubernetes_is_refused(self):
        ended = run(helms()[0], "template", CHART, "--kube-version", "1.32.9")
        self.assertNotEqual(ended.returncode, 0)
        self.assertIn("chart requires kubeVersion: >=1.33.0-0", ended.stderr)


class Limits(unittest.TestCase):
    """That the chart refuses the limits that its operator refuses, and with the same number."""

    OPERATOR = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/kinesis-demo-operator"

    def operators_refusal(self, runs, tasks, regions, sandbox):
        """What the operator says of limits; nothing if it takes them and looks for its cluster."""
        flags = [f"--region={region}" for region in regions] + (["--local-timings"] if sandbox else [])
        ended = run(self.OPERATOR, "run", f"--max-runs={runs}", f"--max-tasks={tasks}", "--admin-address=127.0.0.1:0", *flags,
                    env={"KUBECONFIG": "/nonexistent"})
        self.assertNotEqual(ended.returncode, 0)
        return None if "error: connect to Kubernetes" in ended.stderr else ended.stderr

    def test_they_are_those_of_the_operator(self):
        if not self.OPERATOR.exists():
            self.skipTest("the operator is not built: cargo build --workspace")
        refused = 0
        for sandbox in (False, True):
            for regions in (["us-east-1"], ["us-east-1", "eu-west-1"]):
                for runs in (1, 10, 11, 15, 16, 20, 21, 30, 31, 1000):
                    for tasks in (1, 100):
                        with self.subTest(runs=runs, tasks=tasks, regions=regions, sandbox=sandbox):
                            ended = ended_with({"sandbox": {"enabled": sandbox}, "aws": {"regions": regions}, "limits": {"runs": runs, "tasks": tasks}})
                            told = self.operators_refusal(runs, tasks, regions, sandbox)
                            self.assertEqual(ended.returncode != 0, told is not None, f"operator: {told}\nchart: {ended.stderr}")
                            for room in re.findall(r"room for \d+ \w+|\d+ in all", told or ""):
                                self.assertIn(room, ended.stderr)
                            refused += told is not None
        self.assertGreater(refused, 20)


class Refusals(unittest.TestCase):
    """The table of wrong values, with all available helms."""

    def test_each_wrong_value_is_rejected_with_a_message_naming_it(self):
        table = yaml.safe_load(REFUSED.read_text(encoding="utf-8"))
        self.assertGreaterEqual(len(table), 20)
        for helm in helms():
            for row in table:
                with self.subTest(helm=helm, values=row["values"]), tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                    yaml.safe_dump(row["values"], file)
                    file.flush()
                    base = ROOT / "tests/chart/values" / (row.get("base", "default") + ".yaml")
                    ended = template(base, "--values", file.name, helm=helm)
                    self.assertNotEqual(ended.returncode, 0, "the value was not rejected")
                    for words in row["says"]:
                        self.assertIn(words, ended.stderr)


if __name__ == "__main__":
    unittest.main()

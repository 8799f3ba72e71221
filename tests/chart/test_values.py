"""values.yaml, its schema, its documentation and the templates agree, and wrong values are rejected with a
clear message.
"""

import json
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
    ("extraVolumeMounts",): {"extraVolumes": [{"name": "changed", "emptyDir": {}}]},
}
# These values take effect only with a cluster: tests/chart/test_lifecycle.py.
WITH_A_CLUSTER = {("crds", "adopt")}


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


def rendered(values):
    """The output of helm with these values."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values, file)
        file.flush()
        ended = template(file.name)
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

    def test_every_value_changes_the_output(self):
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

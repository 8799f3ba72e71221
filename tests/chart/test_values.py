"""That values.yaml, its schema, its documentation and the templates agree, and that wrong values are refused readably."""

import json
import re
import tempfile
import unittest

import yaml

from chart import CHART, METADATA, ROOT, helms, run, template, tool

REFUSED = ROOT / "tests/chart/refused.yaml"


def leaves(values, path=()):
    """The paths of all values that are no objects, or are empty ones."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, path + (key,))
        else:
            yield path + (key,)


def schema_of(path, schema):
    """The part of the schema that speaks of a value, or None where the schema lets anything through."""
    node = schema
    for key in path:
        while "$ref" in node:
            node = schema["definitions"][node["$ref"].rsplit("/", 1)[1]]
        if key not in node.get("properties", {}):
            return node.get("additionalProperties") or None
        node = node["properties"][key]
    return node


# Values that do something only if others are set.
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
# These do something only where there is a cluster to look at: tests/chart/test_lifecycle.py.
WITH_A_CLUSTER = {("crds", "adopt")}


def at(path, values):
    """A value by its path; what is below an object that is replaced as a whole is found too."""
    for key in path:
        if not isinstance(values, dict) or key not in values:
            return None
        values = values[key]
    return values


def nested(path, value):
    """The values that set one."""
    for key in reversed(path):
        value = {key: value}
    return value


def merged(*all_values):
    """Values on top of values, as Helm lays them."""
    result = {}
    for values in all_values:
        for key, value in values.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result


def rendered(values):
    """What helm renders of values."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values, file)
        file.flush()
        ended = template(file.name)
    if ended.returncode != 0:
        raise AssertionError(ended.stderr)
    return ended.stdout


class Agreement(unittest.TestCase):
    """One set of values, told four times."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.text = (CHART / "values.yaml").read_text(encoding="utf-8")
        cls.values = yaml.safe_load(cls.text)
        cls.schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
        cls.readme = (CHART / "README.md").read_text(encoding="utf-8")

    def documented(self):
        """The rows of the README's table: a value's path and what is said of it."""
        rows = re.findall(r"^\| ([^ |]+) \| \w+ \| .*? \| (.*) \|$", self.readme, re.MULTILINE)
        return {path: meaning for path, meaning in rows if path != "Key"}

    def test_every_value_is_in_the_readme(self):
        rows = self.documented()
        for path in leaves(self.values):
            with self.subTest(value=".".join(path)):
                # An object may be told as a whole.
                told = [rows[".".join(path[:length])] for length in range(1, len(path) + 1) if ".".join(path[:length]) in rows]
                self.assertTrue(told and all(meaning.strip() for meaning in told))

    def test_the_readme_tells_of_no_value_that_is_not_there(self):
        for row in self.documented():
            with self.subTest(value=row):
                node = self.values
                for key in row.split("."):
                    self.assertIn(key, node)
                    node = node[key]

    def test_every_value_has_its_place_in_a_closed_schema(self):
        for path in leaves(self.values):
            with self.subTest(value=".".join(path)):
                self.assertIsNotNone(schema_of(path, self.schema))

    def test_the_schema_has_no_value_that_is_not_there(self):
        def walk(node, values, path):
            for key, part in node.get("properties", {}).items():
                # Helm's own: what all charts share, and the condition of a parent chart.
                if path + (key,) in (("global",), ("enabled",)):
                    continue
                self.assertIn(key, values, ".".join(path + (key,)))
                if isinstance(values[key], dict) and "properties" in part and values[key]:
                    self.assertIs(part.get("additionalProperties"), False, ".".join(path + (key,)))
                    walk(part, values[key], path + (key,))
        self.assertIs(self.schema["additionalProperties"], False)
        walk(self.schema, self.values, ())

    def test_no_value_is_accepted_and_does_nothing(self):
        base = yaml.safe_load((ROOT / "tests/chart/values/everything.yaml").read_text(encoding="utf-8"))
        changed = yaml.safe_load((ROOT / "tests/chart/changed.yaml").read_text(encoding="utf-8"))
        lacking = {path for path in leaves(self.values) if at(path, changed) is None}
        self.assertFalse(lacking, "tests/chart/changed.yaml lacks them")
        for path in leaves(self.values):
            with self.subTest(value=".".join(path)):
                beside = BESIDE.get(path, {})
                after = rendered(merged(base, beside, nested(path, at(path, changed))))
                if path not in WITH_A_CLUSTER:
                    self.assertNotEqual(rendered(merged(base, beside)), after)

    def test_the_readme_is_what_helm_docs_writes(self):
        helm_docs = tool("helm-docs")
        ended = run(helm_docs, "--chart-search-root", CHART, "--dry-run", "--log-level", "error")
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertEqual(ended.stdout.strip(), self.readme.strip(), "helm-docs --chart-search-root charts/kinesis-demo-operator")

    def test_the_versions_are_the_workspaces(self):
        workspace = re.search(r'\[workspace\.package\]\nversion = "(.*)"', (ROOT / "Cargo.toml").read_text(encoding="utf-8"))[1]
        self.assertEqual((METADATA["version"], METADATA["appVersion"]), (workspace, workspace))
        for image in yaml.safe_load(METADATA["annotations"]["artifacthub.io/images"]):
            self.assertEqual(image["image"].rsplit(":", 1)[1], workspace)

    def test_the_oldest_kubernetes_is_the_one_that_the_operator_is_compiled_for(self):
        feature = re.search(r'k8s-openapi = .*"v1_(\d+)"', (ROOT / "Cargo.toml").read_text(encoding="utf-8"))[1]
        self.assertEqual(METADATA["kubeVersion"], f">=1.{feature}.0-0")

    def test_an_older_kubernetes_is_refused(self):
        ended = run(helms()[0], "template", CHART, "--kube-version", "1.32.9")
        self.assertNotEqual(ended.returncode, 0)
        self.assertIn("chart requires kubeVersion: >=1.33.0-0", ended.stderr)


class Refusals(unittest.TestCase):
    """The table of wrong values, with every helm there is."""

    def test_each_wrong_value_is_refused_with_a_message_that_names_it(self):
        table = yaml.safe_load(REFUSED.read_text(encoding="utf-8"))
        self.assertGreaterEqual(len(table), 20)
        for helm in helms():
            for row in table:
                with self.subTest(helm=helm, values=row["values"]), tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                    yaml.safe_dump(row["values"], file)
                    file.flush()
                    base = ROOT / "tests/chart/values" / (row.get("base", "default") + ".yaml")
                    ended = template(base, "--values", file.name, helm=helm)
                    self.assertNotEqual(ended.returncode, 0, "it was not refused")
                    for words in row["says"]:
                        self.assertIn(words, ended.stderr)


if __name__ == "__main__":
    unittest.main()

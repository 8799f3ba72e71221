"""Every command, file, flag, value and field in the documentation exists."""

import re
import sys
import unittest

import yaml

import pages
from pages import PAGES, ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
VALUES = yaml.safe_load((ROOT / "charts/kinesis-demo-operator/values.yaml").read_text(encoding="utf-8"))
DEFINITION = yaml.safe_load((ROOT / "crds/kinesisdemos.kinesisdemo.io.yaml").read_text(encoding="utf-8"))
SCHEMA = DEFINITION["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
FOLDERS = "api|charts|cli|crds|deploy|docs|examples|foundation|generator|hack|local-cluster|report|sandbox|src|testing|tests|xtask"


def has_value(path):
    """Whether the chart has a value at this dotted path. Below a free-form object any path is valid."""
    node = VALUES
    for key in path.split("."):
        if not isinstance(node, dict):
            return False
        if not node:
            return True
        if key not in node:
            return False
        node = node[key]
    return True


def has_field(path):
    """Whether an object has a field at this dotted path, with or without a leading `spec`."""
    return any(field(path.replace("[]", ""), node) for node in (SCHEMA, SCHEMA["properties"]["spec"]))


def field(path, node):
    for key in path.split("."):
        node = node.get("items", node).get("properties", {})
        if key not in node:
            return False
        node = node[key]
    return True


def unknown(value, node, path=""):
    """The fields of a manifest that are not in the schema, and the values that are not in an enum."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in node.get("properties", {}):
                yield f"{path}.{key}"
            else:
                yield from unknown(inner, node["properties"][key], f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from unknown(inner, node.get("items", {}), f"{path}[]")
    elif "enum" in node and value not in node["enum"]:
        yield f"{path}: {value}"


def documents(page):
    """The YAML of a page: its code blocks, and the here-documents of its commands."""
    for language, body in pages.blocks(page):
        if language == "yaml":
            yield body
        for _, document in re.findall(r"<<'(\w+)'\n(.*?)^\s*\1$", body, re.MULTILINE | re.DOTALL):
            yield document


class Commands(unittest.TestCase):
    def check(self, of_page):
        """Fails with all problems that `of_page` finds."""
        wrong = [f"{pages.name(page)}: {found}" for page in PAGES for found in of_page(page)]
        self.assertEqual(wrong, [])

    def test_make_targets_and_their_variables_exist(self):
        targets = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
        scripts = [path for path in (ROOT / "hack").rglob("*") if path.is_file() and path.suffix in ("", ".sh")]
        sources = MAKEFILE + "".join(path.read_text(encoding="utf-8") for path in scripts)

        def of_page(page):
            documented = [words for words in pages.commands(page) if words[0] == "make"]
            documented += [span.split() for span in pages.spans(page) if re.match(r"make [a-z]", span)]
            for words in documented:
                for word in words[1:]:
                    variable = re.fullmatch(r"([A-Z_]+)=?.*", word)
                    if variable and not re.search(rf"\b{variable[1]}\b", sources):
                        yield f"{' '.join(words)}: no variable {variable[1]}"
                    elif re.fullmatch(r"[a-z][a-z-]*", word) and word not in targets:
                        yield f"{' '.join(words)}: no target {word}"

        self.check(of_page)

    def test_files_exist(self):
        def of_page(page):
            words = {word for command in pages.commands(page) for word in command} | set(pages.spans(page))
            for word in words:
                path = re.fullmatch(rf"(?:file://)?((?:{FOLDERS})/[\w./-]*[\w/])", word)
                # A Prometheus job or a Go package may look like a path, but does not start with one
                # of our folders.
                if path and not (ROOT / path[1]).exists() and not (page.parent / path[1]).exists():
                    yield path[1]

        self.check(of_page)

    def test_chart_values_exist(self):
        def of_page(page):
            for words in pages.commands(page):
                if words[0] == "helm":
                    for flag, value in zip(words, words[1:]):
                        # A comma separates pairs, except within braces.
                        for pair in re.split(r",(?![^{]*})", value) if flag == "--set" else []:
                            if not has_value(pair.split("=")[0]):
                                yield pair
            for span in pages.spans(page):
                set_to = re.fullmatch(r"([a-z][A-Za-z]+(?:\.[A-Za-z]+)+)=\S+", span)
                if set_to and not has_value(set_to[1]):
                    yield span

        self.check(of_page)

    def test_values_and_fields_in_the_text_exist(self):
        first = set(VALUES) | set(SCHEMA["properties"]["spec"]["properties"]) | {"spec", "status"}

        def of_page(page):
            for span in pages.spans(page):
                path = re.fullmatch(r"([a-z][A-Za-z]+)(?:\[\])?(?:\.[A-Za-z]+(?:\[\])?)+", span)
                if path and path[1] in first and not re.search(r"\.(rs|md|yaml|yml|json|sh|toml|io|com|txt)$", span):
                    if not has_value(span) and not has_field(span):
                        yield span

        self.check(lambda page: () if page.name in pages.GENERATED else of_page(page))

    def test_manifests_and_values_files_match_the_schemas(self):
        def of_page(page):
            for text in documents(page):
                for document in yaml.safe_load_all(text):
                    if not isinstance(document, dict):
                        continue
                    if document.get("kind") == "KinesisDemo" or set(document) == {"spec"}:
                        yield from unknown({"spec": document["spec"]}, SCHEMA)
                    elif set(document) <= set(VALUES):
                        yield from (".".join(path) for path in leaves(document) if not has_value(".".join(path)))

        self.check(of_page)

    def test_the_plugins_and_the_operators_flags_exist(self):
        ours = pages.text(ROOT / "docs/reference/cli.md"), pages.text(ROOT / "docs/reference/operator.md")
        sandbox = pages.text(ROOT / "docs/sandbox.md") + "".join(
            path.read_text(encoding="utf-8") for path in (ROOT / "sandbox/src").rglob("args.rs"))

        def sections(reference):
            return {title.split()[-1]: body for title, body in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", reference, re.MULTILINE | re.DOTALL)}

        def of_page(page):
            for words in pages.commands(page):
                plugin = words[:2] == ["kubectl", "kinesisdemo"] or words[0].endswith("kubectl-kinesisdemo")
                if not plugin:
                    continue
                rest = words[2:] if words[0] == "kubectl" else words[1:]
                body = sections(ours[0]).get(rest[0])
                if body is None:
                    yield f"{' '.join(words)}: no command {rest[0]}"
                    continue
                for word in rest[1:]:
                    if word.startswith("-") and len(word) > 1 and not re.search(rf"(^|\s){re.escape(word)}\b", body):
                        yield f"{' '.join(words)}: no flag {word}"
            for span in pages.spans(page):
                flag = re.match(r"(--[a-z-]+)", span)
                known = OTHERS | ({flag[1]} if flag and any(flag[1] in text for text in (*ours, sandbox)) else set())
                if flag and flag[1] not in known:
                    yield span

        self.check(of_page)


# Flags of Helm, kubectl and Docker that the text mentions.
OTHERS = {"--take-ownership", "--timeout", "--no-hooks", "--dry-run", "--for"}


def leaves(document, path=()):
    for key, value in document.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, path + (key,))
        else:
            yield path + (key,)


class Helm(unittest.TestCase):
    """Renders the chart with the values of each documented command. Needs helm."""

    def test_the_chart_accepts_the_values_of_every_command(self):
        sys.path.insert(0, str(ROOT / "tests/chart"))
        import chart  # pylint: disable=import-outside-toplevel
        helm, seen = chart.helms()[0], 0
        for page in PAGES:
            for words in pages.commands(page):
                if words[:2] not in (["helm", "install"], ["helm", "upgrade"]) or "…" in words:
                    continue
                seen += 1
                sets = [word for flag, value in zip(words, words[1:]) if flag == "--set" for word in (flag, value)]
                # The values file of the foundation contains the values of an account.
                if "--values" in words:
                    sets += ["--values", ROOT / "tests/chart/values/aws.yaml"]
                with self.subTest(f"{pages.name(page)}: {' '.join(words)}"):
                    ended = chart.run(helm, "template", words[2], chart.CHART, "--kube-version", chart.KUBERNETES, *sets)
                    self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertGreater(seen, 10)


class Aws(unittest.TestCase):
    """Checks AWS commands against botocore's models of operations and parameters. Needs botocore."""

    def test_operations_and_parameters_exist(self):
        try:
            import botocore.session  # pylint: disable=import-outside-toplevel
            from botocore import xform_name  # pylint: disable=import-outside-toplevel
        except ImportError:
            self.skipTest("the AWS commands of the documentation: no botocore; run hack/python-venv")
        session = botocore.session.get_session()
        # Global options of the AWS CLI, and its own commands.
        common = {"--query", "--output", "--region", "--no-cli-pager", "--endpoint-url"}
        own = {("cloudformation", "deploy"), ("ecr", "get-login-password")}
        wrong, seen = [], 0
        for page in PAGES:
            for words in pages.commands(page):
                if words[0] != "aws" or tuple(words[1:3]) in own:
                    continue
                seen += 1
                service, name = words[1], words[2]
                client = session.get_service_model(service)
                if name == "wait":
                    continue
                operations = {xform_name(operation).replace("_", "-"): operation for operation in client.operation_names}
                if name not in operations:
                    wrong.append(f"{pages.name(page)}: {' '.join(words)}: no operation {name}")
                    continue
                shape = client.operation_model(operations[name]).input_shape
                members = {"--" + xform_name(member).replace("_", "-") for member in (shape.members if shape else {})}
                flags = {word for word in words[3:] if word.startswith("--")}
                booleans = {flag.replace("--no-", "--") for flag in flags}
                wrong += [f"{pages.name(page)}: {' '.join(words)}: no parameter {flag}"
                          for flag in booleans - members - common]
        self.assertEqual(wrong, [])
        self.assertGreater(seen, 20)


if __name__ == "__main__":
    unittest.main()

"""The chart as the tests see it. In: files of values. Out: what helm makes of them; the other tools, by name.

Runs programs; writes nothing outside of temporary folders that its callers give.
"""

import functools
import os
import pathlib
import shutil
import subprocess
import unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/kinesis-demo-operator"
METADATA = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
VALUES = sorted((ROOT / "tests/chart/values").glob("*.yaml"))
TOOLS = pathlib.Path(os.environ.get("KINESISDEMO_TOOLS", ROOT / "target/tools"))
# What helm believes itself to be with, where there is no cluster; the tests of the schemas go through all versions.
KUBERNETES = "1.36.0"
NAMESPACE = "demos"
RELEASE = "kd"


def tool(name):
    """A tool's path: from the environment ($HELM for helm), from hack/chart/tools, or from PATH. Without one, the test is skipped."""
    variable = name.upper().replace("-", "_")
    named = os.environ.get(variable)
    if named:
        return named
    built = TOOLS / name
    found = str(built) if built.exists() else shutil.which(name)
    if not found:
        raise unittest.SkipTest(f"{name} is not here: hack/chart/tools {name}, or ${variable}")
    return found


def helms():
    """Every helm there is: the current one, and the newest Helm 3."""
    found = []
    for name in ("helm", "helm3"):
        try:
            found.append(tool(name))
        except unittest.SkipTest:
            pass
    if not found:
        raise unittest.SkipTest("helm is not here: hack/chart/tools helm, or $HELM")
    return found


def run(*command, stdin=None, **options):
    """A program's end, with its output as text."""
    return subprocess.run([str(word) for word in command], input=stdin, capture_output=True, text=True, check=False, **options)


def template(values, *arguments, helm=None):
    """`helm template` of a file of values: how it ended."""
    return run(helm or helms()[0], "template", RELEASE, CHART, "--namespace", NAMESPACE, "--kube-version", KUBERNETES,
               "--values", values, *arguments)


@functools.lru_cache(maxsize=None)
def text(name, helm=None):
    """What helm renders of tests/chart/values/NAME.yaml."""
    ended = template(ROOT / f"tests/chart/values/{name}.yaml", helm=helm)
    if ended.returncode != 0:
        raise AssertionError(f"helm template with values/{name}.yaml: {ended.stderr}")
    return ended.stdout


def manifests(name, helm=None):
    """The same, parsed."""
    return [document for document in yaml.safe_load_all(text(name, helm)) if document]


def find(name, kind, suffix=None):
    """The one object of a kind, whose name ends in `suffix` if that is given."""
    found = [document for document in manifests(name) if document["kind"] == kind
             and (suffix is None or document["metadata"]["name"].endswith(suffix))]
    if len(found) != 1:
        raise AssertionError(f"values/{name}.yaml: {len(found)} of {kind} …{suffix or ''} instead of one")
    return found[0]


def kinds(name):
    """The kinds that are rendered, without repetition."""
    return {document["kind"] for document in manifests(name)}

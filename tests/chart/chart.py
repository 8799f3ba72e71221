"""The chart for the tests. In: values files. Out: the manifests that helm renders; the other tools, by name.

Runs programs. Writes only into temporary folders of its callers.
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
# The Kubernetes version that helm assumes without a cluster. The schema tests use all supported
# versions.
KUBERNETES = "1.36.0"
NAMESPACE = "demos"
RELEASE = "kd"


def tool(name):
    """The path of a tool: from the environment ($HELM for helm), from hack/chart/tools, or from PATH.

    Skips the test if the tool is missing.
    """
    variable = name.upper().replace("-", "_")
    named = os.environ.get(variable)
    if named:
        return named
    built = TOOLS / name
    found = str(built) if built.exists() else shutil.which(name)
    if not found:
        raise unittest.SkipTest(f"no {name}: run hack/chart/tools {name}, or set ${variable}")
    return found


def helms():
    """All available helms: the current one, and the newest Helm 3."""
    found = []
    for name in ("helm", "helm3"):
        try:
            found.append(tool(name))
        except unittest.SkipTest:
            pass
    if not found:
        raise unittest.SkipTest("no helm: run hack/chart/tools helm, or set $HELM")
    return found


def run(*command, stdin=None, **options):
    """Runs a program and returns the completed process, with its output as text."""
    return subprocess.run([str(word) for word in command], input=stdin, capture_output=True, text=True, check=False, **options)


def template(values, *arguments, helm=None):
    """Runs `helm template` with a values file and returns the completed process."""
    return run(helm or helms()[0], "template", RELEASE, CHART, "--namespace", NAMESPACE, "--kube-version", KUBERNETES,
               "--values", values, *arguments)


@functools.lru_cache(maxsize=None)
def text(name, helm=None):
    """The output of helm with tests/chart/values/NAME.yaml."""
    ended = template(ROOT / f"tests/chart/values/{name}.yaml", helm=helm)
    if ended.returncode != 0:
        raise AssertionError(f"helm template with values/{name}.yaml: {ended.stderr}")
    return ended.stdout


def manifests(name, helm=None):
    """The same, parsed."""
    return [document for document in yaml.safe_load_all(text(name, helm)) if document]


def find(name, kind, suffix=None):
    """The only object of a kind, optionally with a name that ends in `suffix`."""
    found = [document for document in manifests(name) if document["kind"] == kind
             and (suffix is None or document["metadata"]["name"].endswith(suffix))]
    if len(found) != 1:
        raise AssertionError(f"values/{name}.yaml: {len(found)} of {kind} …{suffix or ''} instead of one")
    return found[0]


def kinds(name):
    """The set of rendered kinds."""
    return {document["kind"] for document in manifests(name)}

"""Linters report nothing in the template, except suppressed findings with a reason."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import REPOSITORY, TEMPLATE


def test_cfn_lint_reports_nothing():
    regions = ["us-east-1", "eu-west-1", "us-gov-west-1"]
    linted = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), "--include-checks", "I", "--regions", *regions, "--", TEMPLATE],
        capture_output=True,
        text=True,
    )
    assert (linted.returncode, linted.stdout, linted.stderr) == (0, "", "")


def test_checkov_reports_only_explained_findings():
    python = Path(os.environ.get("KINESISDEMO_CHECKOV_PYTHON", REPOSITORY / "target/foundation/checkov/bin/python"))
    if not python.exists():
        pytest.skip("no checkov; run hack/foundation/venv or set KINESISDEMO_CHECKOV_PYTHON")
    # `--skip-download`: the rules are built in, so checkov needs no network.
    checked = subprocess.run(
        [python, "-m", "checkov.main", "-f", TEMPLATE, "--framework", "cloudformation", "--compact", "--skip-download", "-o", "json"],
        capture_output=True,
        text=True,
    )
    report = json.loads(checked.stdout)
    failed = [f"{one['check_id']} {one['resource']}" for one in report["results"]["failed_checks"]]
    assert (failed, report["summary"]["parsing_errors"], checked.returncode) == ([], 0, 0)
    assert report["summary"]["passed"] > 30
    for skipped in report["results"]["skipped_checks"]:
        assert len(skipped["check_result"]["suppress_comment"]) > 20, skipped["check_id"]


def test_every_suppression_has_a_reason_next_to_it():
    lines = TEMPLATE.read_text().splitlines()
    for index, line in enumerate(lines):
        if "id: CKV" in line:
            assert lines[index + 1].strip().startswith("comment: "), line
        if "ignore_checks" in line:
            assert lines[index - 1].strip().startswith("# "), line

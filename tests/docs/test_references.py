"""The generated pages are up to date with their sources."""

import re
import subprocess
import sys
import unittest

import yaml

from pages import ROOT
from test_commands import SCHEMA, unknown


class References(unittest.TestCase):
    def test_generated_pages_are_up_to_date(self):
        ended = subprocess.run([sys.executable, ROOT / "hack/docs/generate", "--check"], capture_output=True, text=True, check=False)
        self.assertEqual(ended.returncode, 0, f"hack/docs/generate writes other pages:\n{ended.stdout[:4000]}{ended.stderr}")
        lacking = [line.removeprefix("skipped: ") for line in ended.stdout.splitlines() if line.startswith("skipped: ")]
        if lacking:
            self.skipTest("; ".join(lacking).replace("'", "").replace('"', ""))


class Objects(unittest.TestCase):
    """The recorded objects of tests/gitops."""

    def test_recorded_objects_match_the_schema_and_the_reasons(self):
        source = (ROOT / "api/src/conditions.rs").read_text(encoding="utf-8")
        words = set(re.findall(r"^    (\w+),$", source, re.MULTILINE))
        wrong = []
        for file in sorted((ROOT / "tests/gitops/objects").glob("*.yaml")):
            document = yaml.safe_load(file.read_text(encoding="utf-8"))
            known = {key: document[key] for key in ("spec", "status") if key in document}
            wrong += [f"{file.name}: {field}" for field in unknown(known, SCHEMA)]
            conditions = known.get("status", {}).get("conditions", [])
            wrong += [f"{file.name}: {each['type']} {each['reason']}" for each in conditions if not {each["type"], each["reason"]} <= words]
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    unittest.main()

"""The recorded objects of tests/gitops match the schema. (A test of xtask checks the generated pages.)"""

import unittest

import yaml

from pages import ROOT
from test_commands import SCHEMA, unknown


class Objects(unittest.TestCase):
    def test_recorded_objects_match_the_schema(self):
        wrong = []
        for file in sorted((ROOT / "tests/gitops/objects").glob("*.yaml")):
            document = yaml.safe_load(file.read_text(encoding="utf-8"))
            known = {key: document[key] for key in ("spec", "status") if key in document}
            wrong += [f"{file.name}: {field}" for field in unknown(known, SCHEMA)]
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    unittest.main()

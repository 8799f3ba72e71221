"""A real API server accepts the examples. Starts one on loopback and stops it."""

import sys
import unittest

from pages import ROOT

sys.path.insert(0, str(ROOT / "tests/chart"))
from api_server import ApiServer  # noqa: E402  pylint: disable=wrong-import-position


class Examples(unittest.TestCase):
    def test_every_example_is_accepted(self):
        server = ApiServer()
        self.addCleanup(server.stop)
        server.kubectl("apply", "--server-side", "-f", ROOT / "crds")
        server.wait_until_established("kinesisdemos.kinesisdemo.io")
        examples = sorted((ROOT / "examples").glob("*.yaml"))
        self.assertTrue(examples)
        for example in examples:
            with self.subTest(example.name):
                server.kubectl("create", "--dry-run=server", "-f", example)


if __name__ == "__main__":
    unittest.main()

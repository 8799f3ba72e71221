"""That the policies and the examples of the documentation do on a real API server what they say. Starts one, on loopback, and ends it."""

import sys
import unittest

from pages import ROOT

sys.path.insert(0, str(ROOT / "tests/chart"))
from api_server import ApiServer  # noqa: E402  pylint: disable=wrong-import-position

OBJECT = """
apiVersion: kinesisdemo.io/v1alpha1
kind: KinesisDemo
metadata: {name: NAME, namespace: NAMESPACE}
spec: {generator: {GENERATOR}}
"""
IMAGE = 'image: "registry.example.com/mine:1"'
SUBNETS = "fargate: {subnets: [subnet-0a1b2c3d]}"


def manifest(name, generator, namespace="default"):
    return OBJECT.replace("NAMESPACE", namespace).replace("NAME", name).replace("GENERATOR", generator)


class Policies(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = ApiServer()
        cls.addClassCleanup(cls.server.stop)
        cls.server.kubectl("apply", "--server-side", "-f", ROOT / "crds")
        cls.server.kubectl("wait", "--for=condition=Established", "crd/kinesisdemos.kinesisdemo.io", "--timeout=60s")
        # One that was there before the policy.
        cls.server.kubectl("apply", "-f", "-", stdin=manifest("before", IMAGE))
        cls.server.kubectl("create", "namespace", "free")
        cls.server.kubectl("label", "namespace", "free", "kinesisdemo.io/own-generator=allowed")
        cls.server.kubectl("apply", "-f", ROOT / "docs/policies/operator-defaults-only.yaml")

    def refusal(self, text):
        """What the server says of a manifest; empty if it takes it."""
        return self.server.command(self.server.programs / "kubectl", "create", "--dry-run=server", "-f", "-", stdin=text).stderr

    def test_own_images_and_networks_are_refused_and_nothing_else(self):
        # The server learns of a policy some seconds after it has taken it.
        answers = (self.refusal(manifest("own-image", IMAGE)) for _ in range(300))
        self.assertIn("generator.image: only the operator's own image is allowed here", next(filter(None, answers), ""))
        self.assertIn("generator.fargate: only the operator's own subnets", self.refusal(manifest("own-subnets", SUBNETS)))
        self.assertEqual(self.refusal(manifest("plain", "ratePerTask: 1000")), "")
        self.assertEqual(self.refusal(manifest("own-image", IMAGE, "free")), "")

    def test_the_operators_finalizer_can_be_put_on_an_object_that_was_there_before(self):
        finalizer = '{"metadata":{"finalizers":["kinesisdemo.io/cleanup"]}}'
        self.server.kubectl("patch", "kd", "before", "--type=merge", "--patch", finalizer)
        self.server.kubectl("patch", "kd", "before", "--type=merge", "--patch", '{"metadata":{"finalizers":null}}')

    def test_every_example_is_taken(self):
        for example in sorted((ROOT / "examples").glob("*.yaml")):
            with self.subTest(example.name):
                self.server.kubectl("create", "--dry-run=server", "-f", example)


if __name__ == "__main__":
    unittest.main()

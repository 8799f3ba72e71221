"""The CRD in a real API server through kubectl, and optionally in generators of Java and TypeScript classes.

The generators are fetched from Maven Central and npm, so they run only with KINESISDEMO_GENERATORS=1.
They need `java`, `mvn`, `node` and `npm`.
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import yaml

from api_server import ApiServer
from chart import ROOT

DEFINITION = ROOT / "crds/kinesisdemos.kinesisdemo.io.yaml"
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


class Applied(unittest.TestCase):
    maxDiff = None
    """The warnings of the API server, which kubectl prints."""

    @classmethod
    def setUpClass(cls):
        cls.server = ApiServer()
        cls.addClassCleanup(cls.server.stop)
        cls.apply(DEFINITION)
        cls.server.wait_until_established("kinesisdemos.kinesisdemo.io")

    @classmethod
    def apply(cls, file, *words):
        """Applies a file and returns the warnings that kubectl printed."""
        ended = cls.server.command(cls.server.programs / "kubectl", "apply", *words, "-f", file)
        if ended.returncode != 0:
            raise AssertionError(ended.stderr)
        return ended.stderr

    def changed(self, change):
        """Writes the definition with a change to a file and returns its name."""
        definition = yaml.safe_load(DEFINITION.read_text(encoding="utf-8"))
        change(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"])
        file = tempfile.NamedTemporaryFile("w", suffix=".yaml")
        self.addCleanup(file.close)
        yaml.safe_dump(definition, file)
        file.flush()
        return file.name

    def test_the_api_server_prints_no_warnings(self):
        for words in ([], ["--server-side", "--force-conflicts"]):
            with self.subTest(words=words):
                self.assertEqual(self.apply(DEFINITION, *words), "")
        self.assertTrue(EXAMPLES)
        for words in ([], ["--server-side"]):
            self.server.kubectl("delete", "kd", "--all")
            for example in EXAMPLES:
                with self.subTest(example=example.name, words=words):
                    self.assertEqual(self.apply(example, *words), "")
                    self.assertEqual(self.apply(example, *words), "")

    def test_the_api_server_would_warn_of_an_unsigned_format(self):
        def unsigned(status):
            status["traffic"]["properties"]["accepted"]["format"] = "uint64"
        self.addCleanup(self.apply, DEFINITION, "--server-side", "--force-conflicts")
        self.assertIn('unrecognized format "uint64"', self.apply(self.changed(unsigned), "--server-side", "--force-conflicts"))

    def write_status(self, status):
        words = ["patch", "kd", "quick", "--subresource=status", "--type=merge", "--patch", json.dumps({"status": status})]
        return self.server.command(self.server.programs / "kubectl", *words)

    def test_kubectl_get_shows_the_main_columns(self):
        self.server.kubectl("delete", "kd", "--all")
        for name in ("running", "stalled"):
            source = yaml.safe_load((ROOT / f"tests/gitops/objects/{name}.yaml").read_text(encoding="utf-8"))
            status = source["status"]
            if name == "running":
                status["run"] = {**status["run"], "ends": "2026-11-23T03:17:39Z"}
                status["cost"] = {"soFarUsd": "0.21"}
            self.server.kubectl("create", "-f", "-", stdin=json.dumps({**source, "metadata": {"name": name}}))
            self.server.kubectl("patch", "kd", name, "--subresource=status", "--type=merge", "--patch", json.dumps({"status": status}))
        header, *rows = self.server.kubectl("get", "kd").splitlines()
        starts = [header.index(title) for title in header.split()]
        cells = {row.split()[0]: dict(zip(header.split(), (row[start:end].strip() for start, end in zip(starts, [*starts[1:], None])))) for row in rows}
        self.assertEqual(cells["running"], {"NAME": "running", "RUN": "2", "STAGE": "Running", "PHASE": "spike", "RATE": "1000", "TARGET": "", "TASKS": "1",
                                            "WARM": "20", "ENDS": "2026-11-23T03:17:39Z", "COST": "0.21", "STALLED": "False"})
        self.assertEqual((cells["stalled"]["STAGE"], cells["stalled"]["STALLED"]), ("Pending", "True"))

    def test_status_numbers_and_enums_are_validated(self):
        self.server.kubectl("apply", "--server-side", "--force-conflicts", "-f", ROOT / "examples/quick.yaml")
        whole = {"number": 1, "stageEnteredAt": "2026-11-22T10:00:00.000000Z"}
        for number, accepted in ((4_294_967_295, True), (4_294_967_296, False), (0, False)):
            ended = self.write_status({"run": {**whole, "number": number}})
            self.assertEqual(ended.returncode == 0, accepted, f"{number}: {ended.stderr}")
        for stage, accepted in (("Running", True), ("Dancing", False)):
            self.assertEqual(self.write_status({"stage": stage}).returncode == 0, accepted, stage)


@unittest.skipUnless(os.environ.get("KINESISDEMO_GENERATORS") == "1", "KINESISDEMO_GENERATORS=1 fetches and runs generators of Java and TypeScript classes")
class Generated(unittest.TestCase):
    """Client generators accept the definition, and their output compiles."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def need(self, *programs):
        for program in programs:
            if not shutil.which(program):
                self.skipTest(f"{program} is not installed")

    def run_in_folder(self, *words):
        ended = subprocess.run([str(word) for word in words], cwd=self.folder, capture_output=True, text=True, check=False)
        self.assertEqual(ended.returncode, 0, f"{' '.join(map(str, words))}: {ended.stdout[-4000:]}{ended.stderr[-4000:]}")
        return ended.stdout + ended.stderr

    def test_fabric8_java_generator(self):
        self.need("mvn", "java")
        (self.folder / "pom.xml").write_text(POM.format(definition=DEFINITION), encoding="utf-8")
        self.run_in_folder("mvn", "--batch-mode", "--quiet", "compile")
        classes = list((self.folder / "target/classes").rglob("KinesisDemo*.class"))
        self.assertTrue(classes, list(self.folder.rglob("*.class"))[:5])

    def test_kubernetes_models_crd_generate(self):
        self.need("node", "npm")
        (self.folder / "package.json").write_text(json.dumps({
            "name": "kinesisdemo-models", "version": "0.0.0", "private": True,
            "crd-generate": {"input": [str(DEFINITION)], "output": "./gen"},
        }), encoding="utf-8")
        self.run_in_folder("npm", "install", "--no-audit", "--no-fund", "@kubernetes-models/crd-generate", "@kubernetes-models/base",
                           "@kubernetes-models/apimachinery", "@kubernetes-models/validate", "typescript@5", "tsx")
        self.run_in_folder("npx", "--no-install", "crd-generate")
        self.assertTrue(list((self.folder / "gen").rglob("KinesisDemo.ts")))
        (self.folder / "use.ts").write_text(USE, encoding="utf-8")
        self.run_in_folder("npx", "--no-install", "tsc", "--noEmit", "--strict", "--skipLibCheck", "--esModuleInterop", "--module", "commonjs",
                           "--target", "es2020", "use.ts")
        self.run_in_folder("npx", "--no-install", "tsx", "use.ts")


POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>io.kinesisdemo</groupId><artifactId>model</artifactId><version>0</version>
  <properties>
    <maven.compiler.source>11</maven.compiler.source>
    <maven.compiler.target>11</maven.compiler.target>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
    <fabric8>7.7.0</fabric8>
  </properties>
  <dependencies>
    <dependency><groupId>io.fabric8</groupId><artifactId>kubernetes-client</artifactId><version>${{fabric8}}</version></dependency>
    <dependency><groupId>io.fabric8</groupId><artifactId>generator-annotations</artifactId><version>${{fabric8}}</version></dependency>
  </dependencies>
  <build><plugins><plugin>
    <groupId>io.fabric8</groupId><artifactId>java-generator-maven-plugin</artifactId><version>${{fabric8}}</version>
    <executions><execution><goals><goal>generate</goal></goals></execution></executions>
    <configuration><source>{definition}</source></configuration>
  </plugin></plugins></build>
</project>
"""

USE = """import { KinesisDemo } from "./gen/kinesisdemo.io/v1alpha1/KinesisDemo";
const phases = [{ name: "calm", duration: "5s", recordsPerSecond: 50 }];
const good = new KinesisDemo({ metadata: { name: "quick" }, spec: { phases } });
good.validate();
const bad = new KinesisDemo({ metadata: { name: "quick" }, spec: { phases: [{ ...phases[0], recordsPerSecond: -1 }] } });
let refused = false;
try { bad.validate(); } catch { refused = true; }
if (!refused) { throw new Error("a negative rate was not refused"); }
"""


if __name__ == "__main__":
    unittest.main()

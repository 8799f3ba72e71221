"""Tests of the alerts and the dashboard.

In: the rendered PrometheusRule, the dashboard, a list of the operator's metrics. Runs promtool and
Prometheus.
"""

import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

import yaml

from chart import CHART, ROOT, find, run, tool

HERE = ROOT / "tests/chart/monitoring"
# The metrics page of one replica. A cluster test may pass the page that it fetched.
PAGE = pathlib.Path(os.environ.get("KINESISDEMO_METRICS_PAGE", HERE / "metrics.txt"))
DASHBOARD = json.loads((CHART / "files/grafana-dashboard.json").read_text(encoding="utf-8"))
# The values for Grafana's variables.
VARIABLES = {"$namespace": "team", "$name": "event", "$__rate_interval": "1m"}


def groups(name="monitoring"):
    return find(name, "PrometheusRule")["spec"]


def alerts():
    return [rule for group in groups()["groups"] for rule in group["rules"]]


def queries():
    """The queries of the dashboard with their panel titles and replaced variables."""
    found = [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
    found += [(annotation["name"], annotation["expr"]) for annotation in DASHBOARD["annotations"]["list"]]
    for title, query in found:
        for variable, value in VARIABLES.items():
            query = query.replace(variable, value)
        yield title, query


def metrics():
    """The operator's metrics with their labels, from the recorded page of one replica."""
    known = {}
    for name, labels in re.findall(r"^(kinesisdemo_\w+)(?:\{(.*)\})? ", PAGE.read_text(encoding="utf-8"), re.MULTILINE):
        known.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return known


class Names(unittest.TestCase):
    """The queries use metrics and labels that the operator exposes."""

    # Labels added by the scrape, not by the operator.
    TARGET = {"job", "instance", "pod", "namespace"}

    def test_every_query_uses_existing_metrics_and_labels(self):
        known = metrics()
        for title, query in list(queries()) + [(alert["alert"], alert["expr"]) for alert in alerts()]:
            with self.subTest(query=title):
                queried = re.findall(r"(kinesisdemo_\w+)(?:\{([^}]*)\})?", query)
                self.assertTrue(queried)
                for name, selector in queried:
                    self.assertIn(name, known)
                    for label in re.findall(r"(\w+) *[=!]", selector):
                        self.assertIn(label, known[name] | self.TARGET, name)

    def test_every_alert_has_summary_description_and_severity(self):
        for alert in alerts():
            with self.subTest(alert=alert["alert"]):
                self.assertEqual(set(alert["annotations"]), {"summary", "description"})
                self.assertIn(alert["labels"]["severity"], ("warning", "critical"))
                self.assertEqual(alert["labels"]["team"], "streaming")
                self.assertNotIn("{{ .", json.dumps(alert))

    def test_alerts_and_dashboard_count_the_same_calls_as_failed(self):
        outcomes = {}
        for title, query in list(queries()) + [(alert["alert"], alert["expr"]) for alert in alerts()]:
            for selected in re.findall(r'kinesisdemo_aws_calls_total\{[^}]*outcome=~"([^"]+)"', query):
                outcomes[title] = set(selected.split("|"))
        self.assertEqual(set(outcomes), {"Failed AWS calls", "KinesisDemoOperatorAwsCallsFailing"})
        # The words of the error classes, without those of normal calls.
        classes = (ROOT / "api/src/aws_error.rs").read_text(encoding="utf-8")
        words = set(re.findall(r'Self::\w+ => "(\w+)"', classes)) - {"not_found", "already_exists"}
        self.assertGreater(len(words), 3)
        for title, counted in outcomes.items():
            with self.subTest(query=title):
                self.assertEqual(counted, words)

    def test_the_dashboard_is_complete(self):
        ids = [panel["id"] for panel in DASHBOARD["panels"]]
        self.assertEqual(len(ids), len(set(ids)))
        self.assertEqual([variable["name"] for variable in DASHBOARD["templating"]["list"]], ["datasource", "namespace", "name"])
        for panel in DASHBOARD["panels"]:
            with self.subTest(panel=panel["title"]):
                place = panel["gridPos"]
                self.assertLessEqual(place["x"] + place["w"], 24)
                if panel["type"] != "row":
                    self.assertEqual(panel["datasource"], {"type": "prometheus", "uid": "${datasource}"})

    def test_the_config_map_contains_the_dashboard(self):
        found = find("monitoring", "ConfigMap")
        self.assertEqual(json.loads(found["data"]["kinesis-demo.json"]), DASHBOARD)
        self.assertEqual((found["metadata"]["labels"]["grafana_dashboard"], found["metadata"]["annotations"]["grafana_folder"]), ("1", "Demos"))

    def test_the_service_monitor_matches_service_and_honors_labels(self):
        monitor, service = find("monitoring", "ServiceMonitor"), find("monitoring", "Service")
        self.assertLessEqual(monitor["spec"]["selector"]["matchLabels"].items(), service["metadata"]["labels"].items())
        endpoint = monitor["spec"]["endpoints"][0]
        self.assertEqual((endpoint["port"], endpoint["honorLabels"]), (service["spec"]["ports"][0]["name"], True))
        self.assertEqual(monitor["metadata"]["labels"]["release"], "prometheus")


class Rules(unittest.TestCase):
    """Checks with promtool."""

    def setUp(self):
        self.promtool = tool("promtool")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def check(self, rules, *arguments):
        file = self.folder / "rules.yaml"
        file.write_text(yaml.safe_dump(rules), encoding="utf-8")
        return run(self.promtool, "check", "rules", *arguments, file)

    def test_the_rules_are_valid(self):
        ended = self.check(groups(), "--lint=all", "--lint-fatal")
        self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)
        self.assertIn(f"{len(alerts())} rules found", ended.stdout)

    def test_the_alerts_fire_exactly_when_expected(self):
        (self.folder / "rules.yaml").write_text(yaml.safe_dump(groups()), encoding="utf-8")
        cases = yaml.safe_load((HERE / "alerts.yaml").read_text(encoding="utf-8"))
        tested = {case["alertname"] for test in cases["tests"] for case in test["alert_rule_test"] if case.get("exp_alerts")}
        self.assertEqual({alert["alert"] for alert in alerts()}, tested, "tests/chart/monitoring/alerts.yaml")
        (self.folder / "alerts.yaml").write_text(yaml.safe_dump(cases), encoding="utf-8")
        ended = run(self.promtool, "test", "rules", self.folder / "alerts.yaml")
        self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)

    def test_the_operators_metrics_are_well_formed(self):
        # promtool reads the older text format, in which a counter's family is named like its
        # samples and units do not exist.
        page = re.sub(r"^# (HELP|TYPE) (\S+)(?= .*\n# TYPE \2 counter| counter$)", r"# \1 \2_total", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
        page = re.sub(r"^# (EOF|UNIT).*\n", "", page, flags=re.MULTILINE)
        ended = run(self.promtool, "check", "metrics", stdin=page)
        self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)

    def test_the_dashboards_queries_parse(self):
        rules = [{"record": f"query_{number}", "expr": query} for number, (_, query) in enumerate(queries())]
        ended = self.check({"groups": [{"name": "dashboard", "rules": rules}]})
        self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)
        self.assertIn(f"{len(rules)} rules found", ended.stdout)


class Answers(unittest.TestCase):
    """Queries against a real Prometheus with five minutes of a run in its store."""

    SAMPLES, EVERY = 21, 15

    def store(self, folder):
        """Creates a store with the recorded page scraped every 15 seconds and rising counters.

        Returns the instant of the last scrape.
        """
        now = int(time.time()) // 60 * 60 - 600
        page = PAGE.read_text(encoding="utf-8").splitlines()
        with (folder / "samples.om").open("w", encoding="utf-8") as out:
            counters = set()
            for line in page:
                kind = re.fullmatch(r"# TYPE (\w+) (\w+)", line)
                if kind and kind[2] in ("counter", "histogram"):
                    counters.add(kind[1])
                sample = re.fullmatch(r"((\w+)(?:\{(.*)\})?) (\S+)", line)
                if not sample:
                    out.write(line + "\n" if line != "# EOF" else "")
                    continue
                labels = f'{{{sample[3] + "," if sample[3] else ""}job="kd-kinesis-demo-operator-metrics",instance="10.0.0.1:8080"}}'
                rising = any(sample[2].startswith(counter) for counter in counters) or sample[2] == "kinesisdemo_run_records"
                for scrape in range(self.SAMPLES):
                    value = float(sample[4]) * (scrape + 1 if rising else 1)
                    at = now - (self.SAMPLES - 1 - scrape) * self.EVERY
                    if sample[2].endswith("_timestamp_seconds"):
                        value = now + (300 if "deadline" in sample[2] else -300)
                    out.write(f"{sample[2]}{labels} {value:g} {at}\n" if abs(value) < 1e6 else f"{sample[2]}{labels} {value:.0f} {at}\n")
            out.write("# EOF\n")
        ended = run(tool("promtool"), "tsdb", "create-blocks-from", "openmetrics", folder / "samples.om", folder / "data")
        self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)
        return now

    def start(self, folder):
        """Starts Prometheus on a free port without scrape targets and returns its address."""
        (folder / "prometheus.yaml").write_text("{}", encoding="utf-8")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        log = (folder / "log").open("w", encoding="utf-8")
        self.addCleanup(log.close)
        process = subprocess.Popen([tool("prometheus"), f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data",
                                    f"--web.listen-address={address}", "--storage.tsdb.retention.time=30d"], stdout=log, stderr=log)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        until = time.monotonic() + 60
        while time.monotonic() < until and process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://{address}/-/ready", timeout=5):
                    return address
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise AssertionError("prometheus did not start: " + (folder / "log").read_text(encoding="utf-8")[-2000:])

    def query(self, address, query, at):
        parameters = urllib.parse.urlencode({"query": query, "time": at})
        with urllib.request.urlopen(f"http://{address}/api/v1/query?{parameters}", timeout=30) as response:
            return json.load(response)["data"]["result"]

    def test_every_query_of_the_dashboard_has_a_result(self):
        tool("prometheus"), tool("promtool")
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            now = self.store(folder)
            address = self.start(folder)
            for title, query in queries():
                with self.subTest(panel=title):
                    result = self.query(address, query, now)
                    self.assertTrue(result, query)
                    self.assertFalse([series for series in result if series["value"][1] == "NaN"], query)
            by_title = dict(queries())
            self.assertEqual([series["metric"] for series in self.query(address, by_title["Stage"], now)], [{"stage": "Running"}])
            self.assertEqual([series["metric"] for series in self.query(address, by_title["Phases"], now)], [{"phase": "peak"}])
            self.assertEqual(self.query(address, by_title["Leaders"], now)[0]["value"][1], "1")
            self.doCleanups()


if __name__ == "__main__":
    unittest.main()

"""That the messages of docs/troubleshooting.md are those of the programs, and that none of the spec's is missing."""

import functools
import re
import unittest

import yaml

import pages
from pages import ROOT

PAGE = ROOT / "docs/troubleshooting.md"
# Other people's words, which no source of ours has.
FOREIGN = ['no matches for kind "KinesisDemo"', "exists and cannot be imported into the current release", "ImagePullBackOff"]


@functools.lru_cache
def sources():
    """All text that users can meet, with the line breaks of string literals and of YAML taken out."""
    files = [path for folder in ("src", "api/src", "cli/src", "sandbox/src") for path in (ROOT / folder).rglob("*.rs")]
    files += [*(ROOT / "charts/kinesis-demo-operator/templates").rglob("*"), *(ROOT / "crds").glob("*.yaml")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files if path.is_file())
    return " ".join(re.sub(r"\\\n\s*", "", text).split())


def documented():
    """The messages: what stands in backticks in the first cell of a table's row."""
    for row in re.findall(r"^\| (.*?) \|", pages.text(PAGE), re.MULTILINE):
        for message in re.findall(r"`([^`]+)`", row):
            # Reasons and names are no messages.
            if " " in message or "…" in message:
                yield message


def fragments(message):
    """What of a message does not vary. Names that a message takes from constants vary, too."""
    parts = re.split(r"…|kinesis-demo-operator", message)
    return [part.strip(" ;:,.") for part in parts if len(part.strip(" ;:,.()")) > 3]


class Messages(unittest.TestCase):
    maxDiff = None

    def test_every_documented_message_is_in_a_source(self):
        strange = []
        for message in documented():
            if message in FOREIGN or any(known in message for known in FOREIGN):
                continue
            strange += [f"{message}: {part}" for part in fragments(message) if part not in sources() and part.replace('"', '\\"') not in sources()]
        self.assertEqual(strange, [])
        self.assertGreater(len(list(documented())), 60)

    def test_every_rule_of_the_schema_is_documented(self):
        definition = yaml.safe_load((ROOT / "crds/kinesisdemos.kinesisdemo.io.yaml").read_text(encoding="utf-8"))
        told = list(documented())
        missing = [message for message in set(rules(definition)) if not any(fits(line, message) for line in told)]
        self.assertEqual(missing, [])

    def test_every_refusal_of_a_plan_and_of_a_run_is_documented(self):
        missing, told = [], [fragments(line) for line in documented()]
        for file in ("api/src/plan.rs", "src/reconcile/stages/pending.rs", "src/reconcile/stages/requests.rs", "cli/src/local_cluster/mod.rs"):
            text = (ROOT / file).read_text(encoding="utf-8").split("#[cfg(test)]")[0]
            text = re.sub(r"\\\n\s*", "", text)
            found = re.findall(r'(?:#\[error\(|PlanError::|problem\(|format!\(|refuse\([^"]*)\s*"((?:[^"\\]|\\.)+)"', text)
            # Only what says something by itself; `could not {attempt}` is said by its cause.
            for message in found:
                longest = max(re.split(r"\{[^}]*\}", message), key=len).strip(" ;:,.")
                known = any(parts and all(part in message for part in parts) for parts in told)
                if len(longest) > 15 and not longest.startswith("could not") and not known:
                    missing.append(f"{file}: {message}")
        self.assertEqual([line for line in missing if not any(known in line for known in NOT_REFUSALS)], [])


# Sentences of these files that are no refusals: what an accepted request did. And what follows `phases[…]: `.
NOT_REFUSALS = ["was aborted on request", "begins", "a phase of this name exists already", "recordsPerSecond is below zero", "duration is zero", "ramp.over is missing"]


def fits(line, message):
    pattern = ".*".join(re.escape(part) for part in line.split("…"))
    return re.fullmatch(pattern.replace(r"\ ", " "), message) is not None


def rules(node):
    if isinstance(node, dict):
        for rule in node.get("x-kubernetes-validations", []):
            yield rule["message"]
        for value in node.values():
            yield from rules(value)
    elif isinstance(node, list):
        for value in node:
            yield from rules(value)


if __name__ == "__main__":
    unittest.main()

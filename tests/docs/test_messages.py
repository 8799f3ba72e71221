"""docs/troubleshooting.md contains the messages of the programs, and every message about the spec."""

import functools
import re
import unittest

import yaml

import pages
from pages import ROOT

PAGE = ROOT / "docs/troubleshooting.md"
# Messages of other programs, which are not in our sources.
FOREIGN = ['no matches for kind "KinesisDemo"', "exists and cannot be imported into the current release", "ImagePullBackOff"]


@functools.lru_cache
def sources():
    """All text that users can see, with the line breaks of string literals and YAML removed."""
    files = [path for folder in ("src", "api/src", "cli/src", "local-cluster/src", "sandbox/src") for path in (ROOT / folder).rglob("*.rs")]
    files += [*(ROOT / "charts/kinesis-demo-operator/templates").rglob("*"), *(ROOT / "crds").glob("*.yaml")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files if path.is_file())
    return " ".join(re.sub(r"\\\n\s*", "", text).split())


def documented():
    """The documented messages: the text in backticks in the first cell of each table row."""
    for row in re.findall(r"^\| (.*?) \|", pages.text(PAGE), re.MULTILINE):
        for message in re.findall(r"`([^`]+)`", row):
            # Single words are reasons or names, not messages.
            if " " in message or "…" in message:
                yield message


def fragments(message):
    """The constant parts of a message. Names that come from constants count as variable."""
    parts = re.split(r"…|kinesis-demo-operator", message)
    return [part.strip(" ;:,.") for part in parts if len(part.strip(" ;:,.()")) > 3]


class Messages(unittest.TestCase):
    maxDiff = None

    def test_every_documented_message_is_in_a_source(self):
        unknown = []
        for message in documented():
            if message in FOREIGN or any(known in message for known in FOREIGN):
                continue
            unknown += [f"{message}: {part}" for part in fragments(message) if part not in sources() and part.replace('"', '\\"') not in sources()]
        self.assertEqual(unknown, [])
        self.assertGreater(len(list(documented())), 60)

    def test_every_rule_of_the_schema_is_documented(self):
        definition = yaml.safe_load((ROOT / "crds/kinesisdemos.kinesisdemo.io.yaml").read_text(encoding="utf-8"))
        messages = list(documented())
        missing = [message for message in set(rules(definition)) if not any(fits(line, message) for line in messages)]
        self.assertEqual(missing, [])

    def test_every_error_about_a_plan_or_a_run_is_documented(self):
        missing, known_parts = [], [fragments(line) for line in documented()]
        for file in ("api/src/plan.rs", "api/src/limits.rs", "src/reconcile/stages/pending.rs", "src/reconcile/stages/requests.rs", "local-cluster/src/error.rs"):
            text = (ROOT / file).read_text(encoding="utf-8").split("#[cfg(test)]")[0]
            text = re.sub(r"\\\n\s*", "", text)
            found = re.findall(r'(?:#\[error\(|PlanError::|problem\(|format!\(|refuse\([^"]*)\s*"((?:[^"\\]|\\.)+)"', text)
            # Skips short messages, and `could not {attempt}`, whose cause is documented.
            for message in found:
                longest = max(re.split(r"\{[^}]*\}", message), key=len).strip(" ;:,.")
                known = any(parts and all(part in message for part in parts) for parts in known_parts)
                if len(longest) > 15 and not longest.startswith("could not") and not known:
                    missing.append(f"{file}: {message}")
        self.assertEqual([line for line in missing if not any(known in line for known in NOT_ERRORS)], [])


# Sentences of these files that are not errors: results of accepted requests, and the texts after
# `phases[…]: `.
NOT_ERRORS = ["was aborted on request", "begins", "a phase of this name exists already", "recordsPerSecond is below zero", "duration is zero", "ramp.over is missing"]


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

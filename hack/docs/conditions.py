"""docs/reference/conditions.md. In: the enums of api/src/conditions.rs, and what to do about each reason (reasons.yaml). Out: a page."""

import pathlib
import re

import yaml

HEAD = """# Conditions and reasons

Made from `api/src/conditions.rs` and `hack/docs/reasons.yaml` by `hack/docs/generate`; do not edit. All conditions are set on the first visit of the
operator; a reason is one word of a closed set, and never changes its meaning within an API version. The message says the rest: what was attempted, on what,
what to do. [Troubleshooting](../troubleshooting.md) goes by messages.

| Stage | Ready | Reconciling | Stalled | Finished | Succeeded |
|---|---|---|---|---|---|
| `Pending` to `Starting` | False | True | False | False | Unknown |
| anything before `Running`, blocked | False | False | True | False | Unknown |
| `Running` | True | False | False | False | Unknown |
| `Draining`, `CleaningUp` | False | True | False | False | Unknown |
| `Succeeded` | True | False | False | True | True |
| `Failed` | False | False | True | True | False |
| `Aborted` | True | False | False | True | False |

`kubectl wait --for=condition=Finished` waits for the end, `--for=condition=Succeeded` for a good one. If AWS refuses a call, its reason is put on
`Ready` (in `Running`) or `Reconciling` (elsewhere) until a pass goes through; the operator goes on trying.
"""


def variants(text, enum):
    """The variants of an enum, with their doc comments."""
    body = re.search(r"pub enum " + enum + r" \{\n(.*?)\n\}", text, re.DOTALL)[1]
    found, doc = {}, []
    for line in body.splitlines():
        comment = re.match(r"\s*/// (.*)", line)
        variant = re.match(r"\s*(\w+),$", line)
        if comment:
            doc.append(comment[1])
        elif variant:
            found[variant[1]] = " ".join(doc)
            doc = []
    return found


def page(root):
    text = (root / "api/src/conditions.rs").read_text(encoding="utf-8")
    reasons = yaml.safe_load((pathlib.Path(__file__).parent / "reasons.yaml").read_text(encoding="utf-8"))
    known = variants(text, "Reason")
    described = [name for group in reasons for name in group["reasons"]]
    if sorted(described) != sorted(known):
        missing, extra = set(known) - set(described), set(described) - set(known)
        raise SystemExit(f"hack/docs/reasons.yaml: not described {sorted(missing)}, not in the code {sorted(extra)}")
    lines = [HEAD, "## Types", "", "| Type | True means |", "|---|---|"]
    lines += [f"| `{name}` | {doc} |" for name, doc in variants(text, "ConditionType").items()]
    lines += ["", "## Reasons", ""]
    for group in reasons:
        lines += [f"### {group['title']}", "", "| Reason | Where | Meaning | What to do |", "|---|---|---|---|"]
        for name, told in group["reasons"].items():
            lines.append(f"| `{name}` | {told['where']} | {told['means']} | {told.get('do', '')} |")
        lines.append("")
    return "\n".join(lines)

"""docs/reference/conditions.md. In: the enums of api/src/conditions.rs, and the text for each reason (reasons.yaml). Out: a page."""

import pathlib
import re

import yaml

HEAD = """# Conditions and reasons

Generated from `api/src/conditions.rs` and `hack/docs/reasons.yaml` by `hack/docs/generate`; do not edit. The operator sets all conditions in its first
reconcile of an object. A reason is one of the words below, and never changes its meaning within an API version. The message has the details: what was
attempted, on what, and what to do. [Troubleshooting](../troubleshooting.md) lists messages.

| Stage | Ready | Reconciling | Stalled | Finished | Succeeded |
|---|---|---|---|---|---|
| `Pending` to `Starting` | False | True | False | False | Unknown |
| any stage before `Running`, blocked | False | False | True | False | Unknown |
| `Running` | True | False | False | False | Unknown |
| `Draining`, `CleaningUp` | False | True | False | False | Unknown |
| `Succeeded` | True | False | False | True | True |
| `Failed` | False | False | True | True | False |
| `Aborted` | True | False | False | True | False |

`kubectl wait --for=condition=Finished` waits for the end, `--for=condition=Succeeded` for success. If an AWS call fails, `Ready` (in `Running`) or
`Reconciling` (in other stages) has the reason until a reconcile succeeds; the operator keeps trying.
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
        for name, entry in group["reasons"].items():
            lines.append(f"| `{name}` | {entry['where']} | {entry['means']} | {entry.get('do', '')} |")
        lines.append("")
    return "\n".join(lines)

"""docs/reference/metrics.md. In: the metrics with which the chart's alerts are tested, and the descriptions in src/metrics. Out: a page."""

import re

HEAD = """# Metrics

Generated from `tests/chart/monitoring/metrics.txt` and `src/metrics` by `hack/docs/generate`; do not edit. Every replica serves `/metrics` in the OpenMetrics
format on port 8080 of its Pod. Only the leader has metrics of objects and runs, until the object is deleted. `namespace` and `name` are the object's, so
Prometheus must scrape with `honor_labels: true` (the chart's ServiceMonitor does).

How to scrape, alert and visualise them: [Alerts and dashboards](../howto/monitor.md).
"""


def page(root):
    help_of = descriptions(root)
    families = read(root)
    lines = [HEAD, "| Metric | Type | Labels | Meaning |", "|---|---|---|---|"]
    for name, (kind, labels) in families.items():
        suffix = "_total" if kind == "counter" else ""
        labelled = "; ".join(label(key, values) for key, values in labels.items())
        lines.append(f"| `{name}{suffix}` | {kind} | {labelled} | {help_of[name]} |")
    return "\n".join([*lines, ""])


def read(root):
    """Name to type and labels, in the order of the page."""
    families = {}
    for line in (root / "tests/chart/monitoring/metrics.txt").read_text(encoding="utf-8").splitlines():
        declared = re.fullmatch(r"# TYPE (\S+) (\S+)", line)
        sample = re.match(r"(\w+)\{(.*)\} ", line)
        if declared:
            families[declared[1]] = (declared[2], {})
        elif sample:
            family = next(name for name in sorted(families, key=len, reverse=True) if sample[1].startswith(name))
            for key, value in re.findall(r'(\w+)="([^"]*)"', sample[2]):
                if key != "le":
                    families[family][1].setdefault(key, []).append(value)
    return families


# Labels with a fixed set of values, all of which the page shows.
CLOSED = {"kind", "state", "type"}


def label(key, values):
    values = list(dict.fromkeys(values))
    if key in CLOSED:
        return f"`{key}`: " + ", ".join(values)
    return f"`{key}`"


def descriptions(root):
    """Name to description, as the operator serves them in # HELP."""
    found = {}
    for file in sorted((root / "src/metrics").glob("*.rs")):
        text = file.read_text(encoding="utf-8")
        pairs = re.findall(r'register(?:_with_unit)?\(\s*"(\w+)",\s*"([^"]+)"', text)
        pairs += re.findall(r'^    \("(\w+)", "([^"]+)"\),$', text, re.MULTILINE)
        pairs += re.findall(r'name: "(\w+)", help: "([^"]+)"', text)
        found.update(pairs)
    return {name: found[short(name, found)] for name in read(root)}


def short(name, found):
    bare = name.removeprefix("kinesisdemo_")
    # The library adds the unit.
    return bare if bare in found else bare.removesuffix("_seconds")

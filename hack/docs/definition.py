"""docs/reference/crd.md. In: the CustomResourceDefinition. Out: every field with its type, default, bounds and description. Only reads."""

import yaml

HEAD = """# The KinesisDemo resource

Generated from `crds/kinesisdemos.kinesisdemo.io.yaml` by `hack/docs/generate`; do not edit. `kubectl explain kinesisdemo.spec` shows part of it.
"""


def page(root):
    definition = yaml.safe_load((root / "crds/kinesisdemos.kinesisdemo.io.yaml").read_text(encoding="utf-8"))
    names = definition["spec"]["names"]
    lines = [HEAD]
    lines += [
        "| | |",
        "|---|---|",
        f"| Group | `{definition['spec']['group']}` |",
        f"| Kind | `{names['kind']}`, {definition['spec']['scope'].lower()} |",
        f"| Names | `{names['plural']}`, `{names['singular']}`, `{'`, `'.join(names['shortNames'])}`; categories `{'`, `'.join(names['categories'])}` |",
        "",
    ]
    for version in definition["spec"]["versions"]:
        lines += version_section(version)
    return "\n".join(lines)


def version_section(version):
    state = ["served" if version["served"] else "not served", "stored" if version["storage"] else "not stored"]
    if version.get("deprecated"):
        state.append("deprecated")
    lines = [f"## {version['name']} ({', '.join(state)})", ""]
    lines += ["| Column of `kubectl get` | Field | Meaning |", "|---|---|---|"]
    for column in version["additionalPrinterColumns"]:
        wide = " (with `-o wide`)" if column.get("priority") else ""
        lines.append(f"| {column['name']}{wide} | `{column['jsonPath']}` | {column['description']} |")
    schema = version["schema"]["openAPIV3Schema"]
    lines += ["", *rules(schema, "The object")]
    spec, status = schema["properties"]["spec"], schema["properties"]["status"]
    lines += section("spec", spec, spec)
    lines += section("status", status, spec)
    return lines


def rules(schema, whose):
    found = schema.get("x-kubernetes-validations", [])
    if not found:
        return []
    lines = [f"{whose} must satisfy these CEL rules; otherwise it is rejected with the message:", ""]
    for rule in found:
        lines.append(f"- \"{rule['message']}\": `{' '.join(rule['rule'].split())}`")
    return [*lines, ""]


def section(path, schema, spec):
    """The section of an object, and of the objects in it."""
    lines = [f"### {path}", ""]
    if schema.get("description"):
        lines += [" ".join(schema["description"].split()), ""]
    lines += rules(schema, "It")
    lines += ["| Field | Type | Default | Bounds | Description |", "|---|---|---|---|---|"]
    needed = schema.get("required", [])
    below = []
    for name, field in schema.get("properties", {}).items():
        lines.append(row(name, field, name in needed))
        inner, suffix = field, ""
        if field.get("type") == "array":
            inner, suffix = field["items"], "[]"
        if "properties" in inner:
            below.append((f"{path}.{name}{suffix}", inner))
    lines.append("")
    for name, field in schema.get("properties", {}).items():
        if field.get("type") == "array":
            lines += rules(field, f"`{name}`")
    for inner_path, inner in below:
        if inner_path != "spec" and set(inner.get("properties", {})) == set(spec["properties"]):
            lines += [f"### {inner_path}", "", "The fields of [spec](#spec).", ""]
        else:
            lines += section(inner_path, inner, spec)
    return lines


def row(name, field, is_needed):
    description = " ".join(field.get("description", "").split()).replace("|", "\\|")
    default = "required" if is_needed else ""
    if "default" in field:
        default = code(field["default"])
    return f"| `{name}` | {kind(field)} | {default} | {bounds(field)} | {description} |"


def code(value):
    """A default as YAML; an object whose own fields have the defaults is shown as `{}`."""
    if isinstance(value, dict):
        return "`{}`"
    if isinstance(value, list):
        return f"{len(value)} items, see the description" if value else "`[]`"
    return f"`{value}`"


def kind(field):
    if field.get("type") == "array":
        return f"list of {kind(field['items'])}"
    if "enum" in field and field.get("type") == "string":
        return "one of " + ", ".join(f"`{value}`" for value in field["enum"] if value is not None)
    if field.get("format") == "date-time":
        return "instant"
    return field.get("type", "any")


def bounds(field):
    parts = []
    if "enum" in field and field.get("type") != "string":
        parts.append(", ".join(str(value) for value in field["enum"]))
        return "; ".join(parts)
    if "minimum" in field and "maximum" in field:
        parts.append(f"{number(field['minimum'])} to {number(field['maximum'])}")
    elif "minimum" in field:
        parts.append(f"at least {number(field['minimum'])}")
    elif "maximum" in field:
        parts.append(f"at most {number(field['maximum'])}")
    if "maxLength" in field:
        parts.append(f"{field.get('minLength', 0)} to {field['maxLength']} characters")
    if "maxItems" in field:
        parts.append(f"{field.get('minItems', 0)} to {field['maxItems']} items")
    if "pattern" in field:
        parts.append(f"`{field['pattern']}`".replace("|", "\\|"))
    if field.get("type") == "array":
        inner = bounds(field["items"])
        if inner:
            parts.append(f"each {inner}")
        if field.get("x-kubernetes-list-type") == "map":
            parts.append("by " + ", ".join(f"`{key}`" for key in field["x-kubernetes-list-map-keys"]))
    return "; ".join(parts)


def number(value):
    return str(int(value)) if float(value).is_integer() else str(value)
